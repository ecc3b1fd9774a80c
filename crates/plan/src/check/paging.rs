//! Paging: has the parameter a place to go to, and is nothing said twice?

use entities::{Body, Method, Paginate, PaginateBy, ParamPlace, SizeParam, TaskSpec, ValueTemplate};
use expr::Template;

use crate::endpoint::check_header_name;
use crate::findings::Findings;
use crate::names::span;

pub(super) fn check(findings: &Findings, task: &TaskSpec) {
    let Some(paginate) = &task.paginate else { return };
    check_total(findings, task, paginate);
    let (param, place, size) = match &paginate.by {
        PaginateBy::Page { param, place, size, .. }
        | PaginateBy::Offset { param, place, size, .. }
        | PaginateBy::Token { param, place, size, .. } => (param, *place, size.as_ref()),
        PaginateBy::Url { .. } | PaginateBy::Link { .. } => return,
    };
    check_place(findings, task, paginate, place);
    check_twice(findings, task, paginate, place, [Some(param), size.map(|size| &size.param)]);
    match place {
        ParamPlace::Path => check_path(findings, task, paginate, param),
        ParamPlace::Header => check_header_name(findings, param, span(paginate.at)),
        ParamPlace::Query | ParamPlace::Json | ParamPlace::Form => {}
    }
    if let (Some(cap), Some(size)) = (task.reading.cap, size) {
        check_cap(findings, task, paginate, cap, size);
    }
}

/// The parameter needs something to go into.
fn check_place(findings: &Findings, task: &TaskSpec, paginate: &Paginate, place: ParamPlace) {
    let problem = match (place, &task.body, task.method) {
        (ParamPlace::Json, Body::Form(_), _) => {
            Some(("in = \"json\"", "the task sends a form", "write in = \"form\""))
        }
        (ParamPlace::Json, Body::Json(ValueTemplate::List(_) | ValueTemplate::Plain(_)), _) => {
            Some(("in = \"json\"", "the task's JSON is no object", "write json = {…}"))
        }
        (ParamPlace::Form, Body::Json(_), _) => {
            Some(("in = \"form\"", "the task sends JSON", "write in = \"json\""))
        }
        (ParamPlace::Json, Body::Raw(_), _) => {
            Some(("in = \"json\"", "the task sends `body` as it is", "write json = {…} instead of `body`"))
        }
        (ParamPlace::Form, Body::Raw(_), _) => {
            Some(("in = \"form\"", "the task sends `body` as it is", "write form = {…} instead of `body`"))
        }
        (ParamPlace::Json, _, Method::Get) => {
            Some(("in = \"json\"", "a GET request has no body", "write in = \"query\", or use `post`"))
        }
        (ParamPlace::Form, _, Method::Get) => {
            Some(("in = \"form\"", "a GET request has no body", "write in = \"query\", or use `post`"))
        }
        _ => None,
    };
    if let Some((what, why, help)) = problem {
        findings.push(
            findings
                .error(
                    "wrong-place",
                    span(paginate.at),
                    format!("`paginate` of [tasks.{}] says {what}, but {why}", task.name),
                )
                .label("the parameter has nowhere to go")
                .help(help),
        );
    }
}

/// Nobody else may set the parameters.
fn check_twice(
    findings: &Findings,
    task: &TaskSpec,
    paginate: &Paginate,
    place: ParamPlace,
    params: [Option<&String>; 2],
) {
    let sent_params: &[(String, ValueTemplate)] = match (place, &task.body) {
        (ParamPlace::Query, _) => &task.query,
        (ParamPlace::Form, Body::Form(form)) => form,
        (ParamPlace::Json, Body::Json(ValueTemplate::Map(entries))) => entries,
        _ => &[],
    };
    for param in params.into_iter().flatten() {
        if sent_params.iter().any(|(name, _)| name == param) {
            findings.push(
                findings
                    .error(
                        "param-twice",
                        span(paginate.at),
                        format!("`{param}` of [tasks.{}] is set by `paginate` and by the request", task.name),
                    )
                    .label(format!("also sets `{param}`"))
                    .help(format!("remove `{param}` from the request")),
            );
        }
    }
}

/// In the path the parameter is a name that the path uses.
fn check_path(findings: &Findings, task: &TaskSpec, paginate: &Paginate, param: &str) {
    let report = |code, message: String, label: &str, help: String| {
        findings.push(findings.error(code, span(paginate.at), message).label(label).help(help));
    };
    let is_name = param.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && param.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return report(
            "bad-name",
            format!("with in = \"path\", `param` is a name that the path uses; `{param}` cannot be one"),
            "not a name that templates can use",
            "use letters, digits and `_`: param = \"page\" and get = \"/list/{{ page }}\"".to_owned(),
        );
    }
    let taken = ["vars", "secrets", "cursor", "now", "today", "record"];
    if taken.contains(&param) || task.foreach.iter().any(|foreach| foreach.name == param) {
        return report(
            "reserved-name",
            format!("`{param}` already stands for something in the path of [tasks.{}]", task.name),
            "stands for something else",
            "call it something else: param = \"page\" and get = \"/list/{{ page }}\"".to_owned(),
        );
    }
    // One that does not compile is reported where templates are checked.
    if let Ok(path) = Template::compile(&task.path)
        && !path.names().iter().any(|name| name == param)
    {
        report(
            "unused-param",
            format!(
                "the path of [tasks.{}] does not use `{param}`: every page would be the first",
                task.name
            ),
            "goes into the path, which has no place for it",
            format!("write `{{{{ {param} }}}}` where the page belongs in the path"),
        );
    }
}

/// How many there are is said once.
fn check_total(findings: &Findings, task: &TaskSpec, paginate: &Paginate) {
    let Some(total) = &task.reading.total else { return };
    let (key, other) = match &paginate.by {
        PaginateBy::Page { total: Some(other), .. } | PaginateBy::Offset { total: Some(other), .. } => {
            ("total", other)
        }
        PaginateBy::Page { pages: Some(other), .. } => ("pages", other),
        _ => return,
    };
    findings.push(
        findings
            .error(
                "total-twice",
                span(total.at),
                format!("[tasks.{}] says twice how much there is: here and by `{key}` of `paginate`", task.name),
            )
            .label("said before")
            .help(format!(
                "keep one: `{key}` in line {} lets pages go out in parallel, `total` of the task only compares at the end",
                other.at.line
            )),
    );
}

/// A full page is no sign that an answer was cut off.
fn check_cap(findings: &Findings, task: &TaskSpec, paginate: &Paginate, cap: u64, size: &SizeParam) {
    if cap > size.value {
        return;
    }
    findings.push(
        findings
            .error(
                "cap-below-page",
                span(paginate.at),
                format!(
                    "`cap` of [tasks.{}] is {cap}, and a page holds {} records: every full page would look cut off",
                    task.name, size.value
                ),
            )
            .label("a page as large as the cap")
            .help("raise `cap` to what the API cuts whole answers off at, or remove it: pages go on by themselves"),
    );
}
