//! Requests: do they stay with their origin, and has everything a place to go to?

use entities::{Auth, Body, KeyPlace, Method, TaskSpec, ValueTemplate};

use crate::check::Whole;
use crate::names::span;

pub(super) fn check(plan: Whole<'_>, task: &TaskSpec) {
    check_origin(plan, task);
    check_key_place(plan, task);
    check_idempotency(plan, task);
}

/// A key or token that goes into the body needs a JSON object to go into.
fn check_key_place(plan: Whole<'_>, task: &TaskSpec) {
    let path = match plan.auth(task) {
        Some(Auth::ApiKey { place: KeyPlace::Body(path), .. }) => path,
        Some(Auth::Login(login)) => match &login.place {
            KeyPlace::Body(path) => path,
            _ => return,
        },
        _ => return,
    };
    let why = match (task.method, &task.body) {
        (Method::Get, _) => "a GET request has no body",
        (Method::Post, Body::Form(_)) => "the task sends a form",
        (Method::Post, Body::Raw(_)) => "the task sends `body` as it is",
        (Method::Post, Body::Json(ValueTemplate::List(_) | ValueTemplate::Plain(_))) => {
            "the task's JSON is no object"
        }
        (Method::Post, Body::Empty | Body::Json(ValueTemplate::Map(_) | ValueTemplate::Text(_))) => return,
    };
    plan.findings.push(
        plan.findings
            .error(
                "wrong-place",
                span(task.at),
                format!("the key of [tasks.{}] goes to `{path}` of a JSON body, but {why}", task.name),
            )
            .label("the key has nowhere to go")
            .help("use `post` with json = {…}, another place for the key, or auth = \"none\""),
    );
}

/// An absolute URL must be of the endpoint's origin.
fn check_origin(plan: Whole<'_>, task: &TaskSpec) {
    let Some(endpoint) = plan.endpoint(task) else { return };
    let (path, base) = (&*task.path.source, &*endpoint.base_url.source);
    if !(path.starts_with("http://") || path.starts_with("https://"))
        || base.is_empty()
        || base.contains("{{")
    {
        return;
    }
    // A template behind the origin does not matter, one within it cannot be judged.
    let prefix = path.split("{{").next().unwrap_or("");
    let (Ok(url), Ok(base)) = (url::Url::parse(prefix), url::Url::parse(base)) else { return };
    if url.origin() != base.origin() {
        plan.findings.push(
            plan.findings
                .error(
                    "other-origin",
                    span(task.path.at),
                    format!(
                        "[tasks.{}] asks {}, but its endpoint is {}",
                        task.name,
                        url.origin().ascii_serialization(),
                        base.origin().ascii_serialization()
                    ),
                )
                .label("another origin than `base_url`")
                .help("add an endpoint for it: credentials and limits belong to an origin"),
        );
    }
}

/// A key for repeated requests belongs to requests that change something.
fn check_idempotency(plan: Whole<'_>, task: &TaskSpec) {
    let (findings, at) = (plan.findings, plan.key(task, "idempotency"));
    let Some(header) = &task.idempotency else { return };
    if task.method == Method::Get {
        findings.push(
            findings
                .error(
                    "useless-idempotency",
                    at.clone(),
                    format!(
                        "[tasks.{}] sends `{header}` with a GET request, which may be repeated anyway",
                        task.name
                    ),
                )
                .warning()
                .label("a GET changes nothing")
                .help("remove `idempotency`"),
        );
    }
    if task.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header)) {
        findings.push(
            findings
                .error(
                    "param-twice",
                    at,
                    format!("`{header}` of [tasks.{}] is set by `idempotency` and by `headers`", task.name),
                )
                .label(format!("sets `{header}` twice"))
                .help(format!("remove `{header}` from `headers`")),
        );
    }
}
