//! What only shows when the parts of a plan are looked at together.

use entities::{
    Auth, Body, CursorSpec, Endpoint, KeyPlace, Method, Mode, Over, PaginateBy, ParamPlace, Place, TaskSpec,
    ValueTemplate,
};

use crate::findings::Findings;
use crate::item::not_built;
use crate::names::span;
use crate::projection;
use crate::reader::closest;

/// Checks what concerns several keys, tasks or sections.
pub(crate) fn check(findings: &Findings, endpoints: &[Option<Endpoint>], tasks: &[Option<TaskSpec>]) {
    let found: Vec<&TaskSpec> = tasks.iter().flatten().collect();
    for task in &found {
        check_paging(findings, task);
        check_columns(findings, task);
        check_origin(findings, task, endpoints);
        check_key_place(findings, task, endpoints);
        check_size(findings, task);
        check_windows(findings, task);
    }
    let cyclic = check_cycles(findings, tasks);
    if !cyclic {
        for task in &found {
            check_replace(findings, task, tasks);
        }
    }
    check_tables(findings, &found);
    check_unused_endpoints(findings, endpoints, &found);
}

/// The paging parameter must have a body to go to, and nobody else may set it.
fn check_paging(findings: &Findings, task: &TaskSpec) {
    let Some(paginate) = &task.paginate else { return };
    let (param, place, size) = match &paginate.by {
        PaginateBy::Page { param, place, size, .. }
        | PaginateBy::Offset { param, place, size, .. }
        | PaginateBy::Token { param, place, size, .. } => (param, *place, size),
        PaginateBy::Url { .. } | PaginateBy::Link { .. } => return,
    };
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
    let sent_params: &[(String, ValueTemplate)] = match (place, &task.body) {
        (ParamPlace::Query, _) => &task.query,
        (ParamPlace::Form, Body::Form(form)) => form,
        (ParamPlace::Json, Body::Json(ValueTemplate::Map(entries))) => entries,
        _ => &[],
    };
    for param in [Some(param), size.as_ref().map(|size| &size.param)].into_iter().flatten() {
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

/// A key that goes into the body needs a JSON object to go into.
fn check_key_place(findings: &Findings, task: &TaskSpec, endpoints: &[Option<Endpoint>]) {
    let Some(Some(endpoint)) = endpoints.get(task.endpoint.0 as usize) else { return };
    let auth = task.auth.as_ref().unwrap_or(&endpoint.auth);
    let Auth::ApiKey { place: KeyPlace::Body(path), .. } = auth else { return };
    let why = match (task.method, &task.body) {
        (Method::Get, _) => "a GET request has no body",
        (Method::Post, Body::Form(_)) => "the task sends a form",
        (Method::Post, Body::Raw(_)) => "the task sends `body` as it is",
        (Method::Post, Body::Json(ValueTemplate::List(_) | ValueTemplate::Plain(_))) => {
            "the task's JSON is no object"
        }
        (Method::Post, Body::Empty | Body::Json(ValueTemplate::Map(_) | ValueTemplate::Text(_))) => return,
    };
    findings.push(
        findings
            .error(
                "wrong-place",
                span(task.at),
                format!("the key of [tasks.{}] goes to `{path}` of a JSON body, but {why}", task.name),
            )
            .label("the key has nowhere to go")
            .help("use `post` with json = {…}, another place for the key, or auth = \"none\""),
    );
}

/// The key and the cursor must survive a `map` that says plainly what it keeps.
fn check_columns(findings: &Findings, task: &TaskSpec) {
    let Some(map) = &task.reading.map else { return };
    let Some(mut kept) = projection::fields(&map.source) else { return };
    kept.extend(task.reading.fields.iter().map(|(name, _)| name.clone()));
    let cursor: Option<(&str, &CursorSpec)> =
        task.cursor.as_ref().map(|cursor| (cursor.field.as_str(), cursor));
    let needed = task.key.iter().map(|name| ("key column", name.as_str(), map.at));
    let needed = needed.chain(cursor.map(|(name, _)| ("cursor field", name, map.at)));
    for (what, name, at) in needed {
        if name.is_empty() || kept.iter().any(|field| field == name) {
            continue;
        }
        let help = match closest(name, kept.iter().map(String::as_str)) {
            Some(field) => format!("add `{name}` to the map, or did you mean `{field}`?"),
            None => format!("add `{name}` to the map"),
        };
        findings.push(
            findings
                .error(
                    "dropped-column",
                    span(at),
                    format!("`map` of [tasks.{}] drops the {what} `{name}`", task.name),
                )
                .label(format!("no `{name}` here"))
                .help(help),
        );
    }
}

/// An absolute URL must be of the endpoint's origin.
fn check_origin(findings: &Findings, task: &TaskSpec, endpoints: &[Option<Endpoint>]) {
    let Some(Some(endpoint)) = endpoints.get(task.endpoint.0 as usize) else { return };
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
        findings.push(
            findings
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

/// Combinations are numbered; their number must fit comfortably.
fn check_size(findings: &Findings, task: &TaskSpec) {
    const MOST: u128 = 1_000_000_000_000_000;
    let mut product: u128 = 1;
    for foreach in &task.foreach {
        let count = match &foreach.over {
            Over::Range { from, to, step } => {
                from.abs_diff(*to) as u128 / u128::from(step.unsigned_abs().max(1)) + 1
            }
            Over::List(ValueTemplate::List(items)) => items.len() as u128,
            _ => 1,
        };
        product = product.saturating_mul(count);
        if product > MOST {
            findings.push(
                findings
                    .error(
                        "too-many",
                        span(foreach.at),
                        format!("`foreach` of [tasks.{}] has more than 10^15 combinations", task.name),
                    )
                    .label("too many")
                    .help("make the range or lists smaller"),
            );
            return;
        }
    }
}

fn check_windows(findings: &Findings, task: &TaskSpec) {
    let windows = task.foreach.iter().filter(|foreach| matches!(foreach.over, Over::Windows { .. })).count();
    if windows > 0
        && let Some(cursor) = &task.cursor
    {
        not_built(
            findings,
            span(cursor.at),
            "a cursor together with windows",
            Some("remove the cursor, or the windows"),
        );
    }
}

/// A task cannot be repeated over its own records, not even through others.
fn check_cycles(findings: &Findings, tasks: &[Option<TaskSpec>]) -> bool {
    let mut cyclic = false;
    for (index, task) in tasks.iter().enumerate() {
        let Some(task) = task else { continue };
        let mut path = vec![task.name.as_str()];
        let mut at = task;
        let mut members = vec![index];
        while let Some(parent) = at.parent() {
            let parent = parent.0 as usize;
            let Some(Some(next)) = tasks.get(parent) else { break };
            path.push(&next.name);
            if parent == index {
                cyclic = true;
                // Each circle is reported once, at its first task.
                if members.iter().min() == Some(&index) {
                    let foreach =
                        task.foreach.iter().find(|foreach| matches!(foreach.over, Over::Records { .. }));
                    let message = if path.len() == 2 {
                        format!("[tasks.{}] is repeated over its own records", task.name)
                    } else {
                        format!("tasks are repeated over each other's records: {}", path.join(" <- "))
                    };
                    findings.push(
                        findings
                            .error(
                                "cycle",
                                foreach.map_or(span(task.at), |foreach| span(foreach.at)),
                                message,
                            )
                            .label("goes in a circle")
                            .help("one task must begin without another's records"),
                    );
                }
                break;
            }
            if members.contains(&parent) {
                break;
            }
            members.push(parent);
            at = next;
        }
    }
    cyclic
}

/// `replace` shows a whole copy, which a task that fetches only what changed does not make.
fn check_replace(findings: &Findings, task: &TaskSpec, tasks: &[Option<TaskSpec>]) {
    if task.mode != Mode::Replace {
        return;
    }
    let mut at = task;
    loop {
        if let Some(cursor) = &at.cursor {
            let (whose, help) = if std::ptr::eq(at, task) {
                (
                    "its own cursor".to_owned(),
                    "add key = [\"id\"] and use mode = \"merge\", use \"append\", or remove the cursor"
                        .to_owned(),
                )
            } else {
                (
                    format!("the cursor of [tasks.{}] in line {}", at.name, cursor.at.line),
                    "add key = [\"id\"] (then the mode is \"merge\"), or mode = \"append\"".to_owned(),
                )
            };
            findings.push(
                findings
                    .error(
                        "replace-with-cursor",
                        span(task.at),
                        format!(
                            "[tasks.{}] replaces its table, but {whose} lets a run fetch only what changed",
                            task.name
                        ),
                    )
                    .label("would lose the rows that did not change")
                    .help(help),
            );
            return;
        }
        let Some(parent) = at.parent() else { return };
        let Some(Some(parent)) = tasks.get(parent.0 as usize) else { return };
        at = parent;
    }
}

/// Tasks that share a table must agree on what happens to it.
fn check_tables(findings: &Findings, tasks: &[&TaskSpec]) {
    for (index, task) in tasks.iter().enumerate() {
        let Some(earlier) = tasks[..index].iter().find(|other| other.table.eq_ignore_ascii_case(&task.table))
        else {
            continue;
        };
        let who = format!("[tasks.{}] and [tasks.{}]", earlier.name, task.name);
        let (message, label, help) = if earlier.table != task.table {
            (
                format!(
                    "{who} write tables `{}` and `{}`, which are the same name in SQL",
                    earlier.table, task.table
                ),
                "differs only in case",
                "write both the same, or choose another name".to_owned(),
            )
        } else if task.mode != earlier.mode {
            (
                format!(
                    "{who} write table `{}` with mode \"{}\" and \"{}\"",
                    task.table,
                    earlier.mode.as_str(),
                    task.mode.as_str()
                ),
                "another mode",
                "give both the same `mode` and `key`, or this one its own `table`".to_owned(),
            )
        } else if task.mode == Mode::Replace {
            (
                format!("{who} both replace table `{}`", task.table),
                "would replace the other's rows",
                "give this one its own `table`, or both a `key`".to_owned(),
            )
        } else if task.key != earlier.key {
            (
                format!("{who} write table `{}` with different keys", task.table),
                "another key",
                format!("use the same key in both: key = {}", serde_json::Value::from(earlier.key.clone())),
            )
        } else {
            continue;
        };
        findings.push(findings.error("table-clash", span(task.at), message).label(label).help(help));
    }
}

fn check_unused_endpoints(findings: &Findings, endpoints: &[Option<Endpoint>], tasks: &[&TaskSpec]) {
    if findings.has_errors() || endpoints.len() < 2 {
        return;
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let Some(endpoint) = endpoint else { continue };
        if !tasks.iter().any(|task| task.endpoint.0 as usize == index) {
            let at: Place = endpoint.at;
            findings.push(
                findings
                    .error("unused", span(at), format!("endpoint `{}` is never used", endpoint.name))
                    .warning()
                    .label("never used")
                    .help(format!("remove it, or write endpoint = \"{}\" in a task", endpoint.name)),
            );
        }
    }
}
