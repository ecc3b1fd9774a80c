//! URLs of a plan: `base_url`, and others that are absolute or below it.

use std::ops::Range;

use entities::TemplateText;
use url::Url;

use crate::findings::Findings;
use crate::item::Item;
use crate::reader::closest;

/// The APIs of the sandbox: its `routes.md` tells of each.
const PRACTICE: [&str; 17] = [
    "market",
    "tracker",
    "helpdesk",
    "forms",
    "billing",
    "boards",
    "crm",
    "fitness",
    "warehouse",
    "telemetry",
    "payments",
    "rates",
    "graph",
    "trades",
    "signed",
    "formats",
    "catalog",
];

/// Reads `base_url`.
pub(crate) fn base_url_of(item: &Item<'_>) -> Option<TemplateText> {
    let mut text = item.template()?;
    if !text.source.contains("{{") && !text.source.contains("{%") {
        check_base_url(item.findings, &text.source, item.span());
    }
    // Paths begin with `/`: a slash at the end would double it.
    if text.source.ends_with('/') && !text.source.ends_with("//") {
        text.source = text.source.trim_end_matches('/').into();
    }
    Some(text)
}

/// A base URL without templates: is it one that requests can be built on?
pub(crate) fn check_base_url(findings: &Findings, text: &str, span: Range<usize>) {
    let report = |code, message: String, label: &str, help: String| {
        findings.push(findings.error(code, span.clone(), message).label(label).help(help));
    };
    // Before anything shows the text.
    if has_credentials(text) {
        findings.hide(span.clone());
        let help =
            "use auth = { basic = { user = \"…\", password = \"{{ secrets.password }}\" } }".to_owned();
        let message = "a base URL must not hold credentials".to_owned();
        return report("bad-url", message, "would be shown in outputs", help);
    }
    let schemes = "begin it with https://, http:// or sandbox://";
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https" | "sandbox") => {}
        Some(other) => {
            let help = match closest(other, ["https", "http", "sandbox"].into_iter()) {
                Some(scheme) => format!("did you mean `{scheme}://`?"),
                None => schemes.to_owned(),
            };
            return report(
                "bad-url",
                format!("`{text}`: `{other}` is not a scheme that syncctl speaks"),
                "unknown scheme",
                help,
            );
        }
        None => return report("bad-url", format!("`{text}` is not a URL"), "no scheme", schemes.to_owned()),
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            return report(
                "bad-url",
                format!("`{text}` is not a URL: {error}"),
                "not a URL",
                schemes.to_owned(),
            );
        }
    };
    let sandbox = url.scheme() == "sandbox";
    if url.host_str().unwrap_or("").is_empty() {
        report("bad-url", format!("`{text}` has no host"), "no host", "write https://HOST".to_owned());
    } else if sandbox && !url.host_str().is_some_and(|host| PRACTICE.contains(&host)) {
        let host = url.host_str().unwrap_or("");
        let help = match closest(host, PRACTICE.into_iter()) {
            Some(name) => format!("did you mean `sandbox://{name}`?"),
            None => "use sandbox://market or sandbox://tracker".to_owned(),
        };
        report("bad-url", format!("the sandbox has no API called `{host}`"), "unknown practice API", help);
    } else if url.query().is_some() && !sandbox {
        report(
            "bad-url",
            "a base URL cannot have a query".to_owned(),
            "paths are added behind it",
            "move it to query = { … } of the endpoint".to_owned(),
        );
    } else if url.fragment().is_some() {
        report(
            "bad-url",
            "a base URL cannot have a fragment".to_owned(),
            "never sent",
            "remove `#` and what follows".to_owned(),
        );
    }
}

/// An absolute URL of any origin, or a path below `base_url`, as far as it can be judged.
pub(crate) fn check_absolute(item: &Item<'_>, text: &str) {
    if text.starts_with('/') || text.starts_with("{{") || text.starts_with("{%") {
        return;
    }
    if has_credentials(text) {
        item.findings.hide(item.span());
        return item.wrong(
            "bad-url",
            format!("{} must not hold credentials", item.what),
            "would be shown in outputs",
            "say who the client is with `client_id` and `client_secret`",
        );
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("https" | "http" | "sandbox")) {
        item.wrong(
            "bad-url",
            format!("`{text}` is not a URL"),
            "expected a URL or a path",
            "begin it with https://, or with `/` for a path below `base_url`",
        );
        return;
    }
    // A template behind the host does not matter, one within it cannot be judged.
    let literal = text.split("{{").next().unwrap_or("");
    match Url::parse(literal) {
        Err(error) if literal.len() == text.len() => {
            item.wrong(
                "bad-url",
                format!("`{text}` is not a URL: {error}"),
                "not a URL",
                "write https://HOST/PATH",
            );
        }
        Ok(url) if url.fragment().is_some() => {
            item.wrong(
                "bad-url",
                format!("{} holds a fragment, which is never sent", item.what),
                "never sent",
                "remove `#` and what follows",
            );
        }
        _ => {}
    }
}

/// Whether `user:password@` stands before the host, with or without a scheme.
pub(crate) fn has_credentials(text: &str) -> bool {
    let behind = text.split_once("://").map_or(text, |(_, behind)| behind);
    let authority = behind.split(['/', '?', '#']).next().unwrap_or("");
    // `@` within a template is a filter's argument or a text.
    authority.split("{{").next().is_some_and(|literal| literal.contains('@'))
}
