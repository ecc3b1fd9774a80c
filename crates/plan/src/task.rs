//! `[tasks.NAME]`: a task spec, put together from its parts.

use entities::{
    Body, EndpointIndex, JqText, Method, OnRule, Paginate, Redirects, TaskSpec, TemplateText, ValueTemplate,
};
use toml::de::DeValue;

use crate::auth::auth;
use crate::endpoint::{headers_of, params_of};
use crate::foreach::foreach;
use crate::item::Item;
use crate::paginate::paginate;
use crate::reader::{Section, suggest_or_list};
use crate::reading::reading;
use crate::rules::rules;
use crate::write::{check_table, writing};

/// Whether a task or endpoint may be called so.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The names a task may refer to, in the plan's order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    pub(crate) endpoints: Vec<String>,
    pub(crate) tasks: Vec<String>,
}

/// Reads one task. What is wrong in it is recorded; the rest is read on.
pub(crate) fn task(name: &str, item: &Item<'_>, neighbours: &Neighbours) -> Option<TaskSpec> {
    let example = format!("[tasks.{name}]");
    let mut section = item.section(&example)?;
    section.what = example;
    if !section.has("table") && is_name(name) {
        check_table(item, name, item.key_span.clone());
    }
    let endpoint = endpoint(&mut section, neighbours);
    let request = request(&mut section);
    let headers = section.take("headers").as_ref().map(headers_of).unwrap_or_default();
    let auth = section.take("auth").as_ref().and_then(auth);
    let redirects = section.take("redirects").as_ref().and_then(redirects).unwrap_or(Redirects::SameOrigin);
    let foreach = section.take("foreach").map(|item| foreach(&item, &neighbours.tasks)).unwrap_or_default();
    let paginate: Option<Paginate> = section.take("paginate").as_ref().and_then(paginate);
    let reading = reading(&mut section);
    let on: Vec<OnRule> = section.take("on").as_ref().map(rules).unwrap_or_default();
    let writing = writing(&mut section, name);
    section.not_built(&[
        ("cap", "make windows small enough that no answer is cut off"),
        ("total", "use `total` of `paginate`"),
        ("idempotency", "remove it"),
        ("zone", "windows are cut in UTC for now"),
        ("cost", "remove it: each request counts as one"),
        ("weight", "remove it: tasks take turns"),
        ("order", "remove it"),
    ]);
    section.finish();
    Some(TaskSpec {
        name: name.to_owned(),
        endpoint,
        method: request.method,
        path: request.path,
        query: request.query,
        headers,
        body: request.body,
        auth,
        redirects,
        idempotency: None,
        zone: None,
        foreach,
        paginate,
        reading,
        on,
        table: writing.table,
        key: writing.key,
        mode: writing.mode,
        types: Vec::new(),
        schema: entities::SchemaPolicy::Evolve,
        text: entities::TextPolicy::Replace,
        cursor: writing.cursor,
        fingerprint: String::new(),
        at: item.findings.place(item.key_span.clone()),
    })
}

fn endpoint(section: &mut Section<'_>, neighbours: &Neighbours) -> EndpointIndex {
    let names = &neighbours.endpoints;
    let index = match section.take("endpoint") {
        Some(item) => item.string().and_then(|name| {
            let index = names.iter().position(|endpoint| endpoint == name);
            if index.is_none() {
                item.wrong(
                    "unknown-endpoint",
                    format!("the plan has no endpoint `{name}`"),
                    "unknown endpoint",
                    suggest_or_list(name, names.iter().map(String::as_str), "endpoints"),
                );
            }
            index
        }),
        None => {
            if names.len() > 1 {
                let all: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                let _ = section.need("endpoint", &all.join(" or endpoint = "));
            }
            None
        }
    };
    EndpointIndex(index.and_then(|index| u32::try_from(index).ok()).unwrap_or(0))
}

struct Request {
    method: Method,
    path: TemplateText,
    query: Vec<(String, ValueTemplate)>,
    body: Body,
}

fn request(section: &mut Section<'_>) -> Request {
    let (get, post) = (section.take("get"), section.take("post"));
    let query = section.take("query").map(|item| params_of(&item, "query")).unwrap_or_default();
    let (json, form) = (section.take("json"), section.take("form"));
    section.not_built(&[("body", "use json = {…} or form = {…}")]);
    for later in ["put", "patch", "delete", "head"] {
        if section.has(later) {
            section.not_built(&[(later, "use `get` or `post`")]);
        }
    }
    let (method, path) = match (&get, &post) {
        (Some(get), None) => (Method::Get, path(get)),
        (None, Some(post)) => (Method::Post, path(post)),
        (Some(_), Some(post)) => {
            section.findings.push(
                section
                    .findings
                    .error(
                        "two-methods",
                        post.key_span.clone(),
                        format!("{} says both `get` and `post`", section.what),
                    )
                    .label("a second request")
                    .help("a task sends one kind of request: keep one of them"),
            );
            (Method::Post, path(post))
        }
        (None, None) => {
            let error = section
                .findings
                .error("missing-key", section.span.clone(), format!("{} has no request", section.what))
                .label("`get` or `post` is missing")
                .help("add get = \"/path\" or post = \"/path\"");
            let later = ["put", "patch", "delete", "head"].iter().any(|method| section.has(method));
            if !later {
                section.missing(&["get", "post"], error);
            }
            (Method::Get, None)
        }
    };
    if get.is_some() && post.is_none() {
        for item in [&json, &form].into_iter().flatten() {
            section.findings.push(
                section
                    .findings
                    .error(
                        "body-with-get",
                        item.key_span.clone(),
                        format!("{}: a GET request has no body", item.what),
                    )
                    .label("would need `post`")
                    .help("write `post = …` instead of `get = …`, or move the values to `query`"),
            );
        }
    }
    if let (Some(_), Some(form)) = (&json, &form) {
        section.findings.push(
            section
                .findings
                .error(
                    "two-bodies",
                    form.key_span.clone(),
                    format!("{} says both `json` and `form`", section.what),
                )
                .label("a second body")
                .help("keep one of them"),
        );
    }
    let body = match (json, form) {
        (Some(json), _) => json.value_template().map_or(Body::Empty, Body::Json),
        (None, Some(form)) => Body::Form(params_of(&form, "form")),
        (None, None) => Body::Empty,
    };
    Request { method, path: path.unwrap_or_else(|| TemplateText::new("")), query, body }
}

fn path(item: &Item<'_>) -> Option<TemplateText> {
    let text = item.template()?;
    let source = &*text.source;
    let absolute = source.starts_with("https://") || source.starts_with("http://");
    if !(source.is_empty()
        || source.starts_with('/')
        || source.starts_with('?')
        || source.starts_with("{{")
        || absolute)
    {
        item.wrong(
            "bad-path",
            format!("{} must begin with `/`", item.what),
            "it is joined to `base_url`",
            format!("write \"/{}\"", source.escape_debug()),
        );
    }
    if source.contains('#') && !source.contains("{{") {
        item.wrong(
            "bad-path",
            format!("{} holds a fragment, which is never sent", item.what),
            "never sent",
            "remove `#` and what follows",
        );
    }
    if let Some(bad) = source.chars().find(|c| c.is_control()) {
        item.wrong("bad-path", format!("{} holds the control character {bad:?}", item.what), "", "remove it");
    }
    Some(text)
}

fn redirects(item: &Item<'_>) -> Option<Redirects> {
    if let DeValue::Array(_) = item.get() {
        item.not_built("a list of origins in `redirects`", Some("use \"same-origin\" or \"none\""));
        return None;
    }
    match item.string()? {
        "same-origin" => Some(Redirects::SameOrigin),
        "none" => Some(Redirects::None),
        other => {
            let policies = ["same-origin", "none"];
            item.wrong(
                "unknown-redirects",
                format!("`{other}` is not a policy for redirects"),
                "unknown policy",
                suggest_or_list(other, policies.into_iter(), "policies"),
            );
            None
        }
    }
}

/// Every jq program of a task that reads its own answers.
pub(crate) fn programs(task: &TaskSpec) -> Vec<&JqText> {
    use entities::PaginateBy::{Link, Offset, Page, Token, Url};
    let mut programs: Vec<Option<&JqText>> = vec![
        task.reading.records.as_ref(),
        task.reading.columns.as_ref(),
        task.reading.map.as_ref(),
        task.reading.filter.as_ref(),
    ];
    if let Some(paginate) = &task.paginate {
        programs.push(paginate.until.as_ref());
        match &paginate.by {
            Page { pages, total, .. } => programs.extend([pages.as_ref(), total.as_ref()]),
            Offset { total, .. } => programs.push(total.as_ref()),
            Token { next, .. } | Url { next } => programs.push(Some(next)),
            Link { .. } => {}
        }
    }
    programs.extend(task.on.iter().map(|rule| rule.when.as_ref()));
    programs.into_iter().flatten().collect()
}
