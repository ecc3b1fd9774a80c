//! The request of a task (or of a login): method and path, body, redirects.

use entities::{Body, Method, Redirects, TemplateText};
use toml::de::DeValue;

use crate::endpoint::{check_header_name, params_of};
use crate::item::Item;
use crate::reader::{Section, suggest_or_list};

/// Methods that HTTP has and the format has not.
const OTHERS: [&str; 4] = ["put", "patch", "delete", "head"];

/// What `get = …` or `post = …` says.
pub(crate) struct MethodAndPath {
    pub(crate) method: Method,
    /// None if there is none, or a wrong one.
    pub(crate) path: Option<TemplateText>,
    /// Whether `get` alone is said, which leaves no room for a body.
    is_get: bool,
}

/// Reads `get` or `post`.
pub(crate) fn method_and_path(section: &mut Section<'_>) -> MethodAndPath {
    let (get, post) = (section.take("get"), section.take("post"));
    let mut other = false;
    for method in OTHERS {
        if section.has(method)
            && let Some(item) = section.take_unlisted(method)
        {
            other = true;
            item.findings.push(
                item.findings
                    .error(
                        "bad-method",
                        item.key_span.clone(),
                        format!("{} cannot be: a plan reads", item.what),
                    )
                    .label("changes what it asks, or brings no records")
                    .help("use `get` or `post`"),
            );
        }
    }
    let is_get = get.is_some() && post.is_none();
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
            if !other {
                section.missing(&["get", "post"], error);
            }
            (Method::Get, None)
        }
    };
    MethodAndPath { method, path, is_get }
}

/// Reads `json`, `form` or `body`.
pub(crate) fn body_of(section: &mut Section<'_>, request: &MethodAndPath) -> Body {
    let mut bodies: Vec<(&str, Item<'_>)> = Vec::new();
    for key in ["json", "form", "body"] {
        bodies.extend(section.take(key).map(|item| (key, item)));
    }
    if request.is_get {
        for (_, item) in &bodies {
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
    if let [(first, _), others @ ..] = bodies.as_slice() {
        for (key, item) in others {
            section.findings.push(
                section
                    .findings
                    .error(
                        "two-bodies",
                        item.key_span.clone(),
                        format!("{} says both `{first}` and `{key}`", section.what),
                    )
                    .label("a second body")
                    .help("keep one of them"),
            );
        }
    }
    match bodies.first() {
        Some(("json", item)) => item.value_template().map_or(Body::Empty, Body::Json),
        Some(("form", item)) => Body::Form(params_of(item, "form")),
        Some((_, item)) => item.template().map_or(Body::Empty, Body::Raw),
        None => Body::Empty,
    }
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

/// Reads `idempotency`: the name of a header.
pub(crate) fn idempotency(item: &Item<'_>) -> Option<String> {
    let name = item.string()?;
    check_header_name(item.findings, name, item.span());
    Some(name.to_owned())
}

/// Reads `redirects`.
pub(crate) fn redirects(item: &Item<'_>) -> Option<Redirects> {
    if let DeValue::Array(_) = item.get() {
        let origins = item.strings()?;
        if origins.is_empty() {
            item.wrong(
                "empty",
                format!("{} is an empty list", item.what),
                "no origin",
                "write redirects = \"same-origin\", or name origins: [\"https://cdn.example.com\"]",
            );
        }
        return Some(Redirects::Origins(
            origins.iter().filter_map(|(text, item)| origin(text, item)).collect(),
        ));
    }
    match item.string()? {
        "same-origin" => Some(Redirects::SameOrigin),
        "none" => Some(Redirects::None),
        other if other.contains("://") => {
            item.wrong(
                "unknown-redirects",
                format!("{} must be a list where it names origins", item.what),
                "expected a list",
                format!("write redirects = [\"{}\"]", other.escape_debug()),
            );
            None
        }
        other => {
            let policies = ["same-origin", "none"];
            item.wrong(
                "unknown-redirects",
                format!("`{other}` is not a policy for redirects"),
                "unknown policy",
                match other {
                    "all" | "follow" => {
                        "name the origins that may be followed: [\"https://cdn.example.com\"]".to_owned()
                    }
                    _ => suggest_or_list(other, policies.into_iter(), "policies"),
                },
            );
            None
        }
    }
}

/// Scheme, host and port, and nothing else.
fn origin(text: &str, item: &Item<'_>) -> Option<String> {
    let url = url::Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty())
    });
    let Some(url) = url else {
        item.wrong(
            "bad-origin",
            format!("`{text}` is not an origin"),
            "expected scheme and host",
            "write it as \"https://cdn.example.com\"",
        );
        return None;
    };
    let origin = url.origin().ascii_serialization();
    let bare = matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !bare {
        item.wrong(
            "bad-origin",
            format!("`{text}` is more than an origin"),
            "a path is not compared",
            format!("write \"{origin}\""),
        );
        return None;
    }
    Some(origin)
}
