//! `[endpoints.NAME]`.

use std::collections::BTreeSet;
use std::ops::Range;

use entities::{Auth, Endpoint, RetryPolicy, TemplateText, TimeOuts, ValueTemplate};
use toml::de::DeValue;

use crate::address::base_url_of;
use crate::auth::auth;
use crate::findings::Findings;
use crate::item::Item;
use crate::limit::limits;
use crate::rules::rules;
use crate::units;

/// Reads one endpoint. What is wrong in it is recorded; the rest is read on.
pub(crate) fn endpoint(name: &str, item: &Item<'_>) -> Option<Endpoint> {
    let example = format!("[endpoints.{name}]");
    let mut section = item.section(&example)?;
    section.what.clone_from(&example);
    let base_url = section.need("base_url", "\"https://api.example.com\"");
    let headers = section.take("headers");
    let query = section.take("query");
    let auth_item = section.take("auth");
    let limits_item = section.take("limits");
    let concurrency = section.take("concurrency");
    let timeout = section.take("timeout");
    let retry = section.take("retry");
    let max_body = section.take("max_body");
    let on = section.take("on");
    section.finish();
    Some(Endpoint {
        name: name.to_owned(),
        base_url: base_url.as_ref().and_then(base_url_of).unwrap_or_else(|| TemplateText::new("")),
        headers: headers.as_ref().map(headers_of).unwrap_or_default(),
        query: query.as_ref().map(|item| params_of(item, "query")).unwrap_or_default(),
        auth: auth_item.as_ref().and_then(auth).unwrap_or(Auth::None),
        limits: limits(limits_item.as_ref()),
        concurrency: concurrency
            .and_then(|item| item.integer_in(1, 10_000))
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(8),
        timeout: timeout.as_ref().map(time_outs).unwrap_or_default(),
        retry: retry.as_ref().map(retry_of).unwrap_or_default(),
        max_body: max_body.as_ref().and_then(max_body_of).unwrap_or(64 << 20),
        on: on.as_ref().map(rules).unwrap_or_default(),
        at: item.findings.place(item.key_span.clone()),
    })
}

/// A table of headers.
pub(crate) fn headers_of(item: &Item<'_>) -> Vec<(String, TemplateText)> {
    let mut headers: Vec<(String, TemplateText)> = Vec::new();
    let mut said = BTreeSet::new();
    for (name, item) in item.entries("headers = { Accept = \"application/json\" }").unwrap_or_default() {
        check_header_name(item.findings, name, item.key_span.clone());
        if !said.insert(name.to_ascii_lowercase()) {
            item.findings.push(
                item.findings
                    .error("header-twice", item.key_span.clone(), format!("header `{name}` is said twice"))
                    .label("names of headers are the same in upper and lower case")
                    .help("remove one of them"),
            );
        }
        let Some(value) = item.template() else { continue };
        if value.source.chars().any(|c| c.is_control() && c != '\t') {
            item.wrong(
                "bad-header",
                format!("header `{name}` holds a line break or control character"),
                "would begin a header of its own",
                "write the value in one line; text with line ends can go into `json` or `form`, or encoded: {{ … | base64 }}",
            );
        }
        headers.push((name.to_owned(), value));
    }
    headers
}

/// A header's name is a token (RFC 9110), and not one that the client sets itself.
pub(crate) fn check_header_name(findings: &Findings, name: &str, span: Range<usize>) {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        findings.push(
            findings
                .error("bad-header", span, format!("`{name}` is not the name of a header"))
                .label("not a header name")
                .help("use letters, digits and `-`: \"X-Api-Key\""),
        );
    } else if ["host", "content-length", "transfer-encoding", "connection"]
        .contains(&name.to_ascii_lowercase().as_str())
    {
        findings.push(
            findings
                .error("bad-header", span, format!("header `{name}` is set by syncctl itself"))
                .label("cannot be set")
                .help("remove it"),
        );
    }
}

/// A table of parameters: `query` or `form`.
pub(crate) fn params_of(item: &Item<'_>, key: &str) -> Vec<(String, ValueTemplate)> {
    let mut params = Vec::new();
    for (name, item) in item.entries(&format!("{key} = {{ name = \"value\" }}")).unwrap_or_default() {
        let nested = match item.get() {
            DeValue::Table(_) => true,
            DeValue::Array(items) => {
                items.iter().any(|item| item.get_ref().is_array() || item.get_ref().is_table())
            }
            _ => false,
        };
        if nested {
            item.wrong(
                "nested-param",
                format!("{} is nested, which a {key} cannot say", item.what),
                "expected a value or a list of values",
                "use a value, a list (which repeats the parameter), or a template with `| json`",
            );
            continue;
        }
        if let Some(value) = item.value_template() {
            params.push((name.to_owned(), value));
        }
    }
    params
}

fn time_outs(item: &Item<'_>) -> TimeOuts {
    let mut times = TimeOuts::default();
    let Some(mut section) = item.section("timeout = { connect = \"10s\", idle = \"30s\", total = \"5m\" }")
    else {
        return times;
    };
    let (connect, idle, total) = (section.take("connect"), section.take("idle"), section.take("total"));
    section.finish();
    for (item, time) in [(&connect, &mut times.connect), (&idle, &mut times.idle), (&total, &mut times.total)]
    {
        if let Some(value) = item.as_ref().and_then(|item| positive_duration(item)) {
            *time = value;
        }
    }
    if let Some(total) = &total
        && times.total < times.connect.max(idle.as_ref().map_or(times.connect, |_| times.idle))
        && (connect.is_some() || idle.is_some())
    {
        total.wrong(
            "bad-timeout",
            "the `total` time-out is shorter than `connect` or `idle`, which could then never run out",
            "too short",
            "raise `total`, or lower the others",
        );
    }
    times
}

/// A duration above zero.
pub(crate) fn positive_duration(item: &Item<'_>) -> Option<std::time::Duration> {
    let text = item.string()?;
    match units::duration(text) {
        None => {
            item.wrong(
                "bad-duration",
                format!("`{text}` is not a duration"),
                "expected NUMBER and UNIT",
                units::DURATION_EXAMPLES,
            );
            None
        }
        Some(duration) if duration.is_zero() => {
            item.wrong(
                "bad-duration",
                format!("{} must be above zero", item.what),
                "zero",
                units::DURATION_EXAMPLES,
            );
            None
        }
        Some(duration) => Some(duration),
    }
}

fn retry_of(item: &Item<'_>) -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    let Some(mut section) = item.section("retry = { attempts = 5, backoff = \"1s..1m\" }") else {
        return policy;
    };
    let (attempts, backoff) = (section.take("attempts"), section.take("backoff"));
    section.finish();
    if let Some(item) = &attempts {
        match item.integer() {
            Some(..=0) => item.wrong(
                "out-of-range",
                "`attempts` counts tries in all, the first included: it must be at least 1",
                "would never send a request",
                "write attempts = 1 for no retries",
            ),
            Some(value) => policy.attempts = u32::try_from(value).unwrap_or(u32::MAX),
            None => {}
        }
    }
    if let Some(item) = &backoff
        && let Some(text) = item.string()
    {
        match units::back_off(text) {
            None => item.wrong(
                "bad-backoff",
                format!("`{text}` is not a back-off"),
                "expected FIRST..LONGEST",
                "write backoff = \"1s..1m\"",
            ),
            Some(found) if found.first > found.most => item.wrong(
                "bad-backoff",
                format!("the first step of `{text}` is longer than the longest"),
                "the wrong way round",
                swapped(text),
            ),
            Some(found) if found.most.is_zero() => {
                item.wrong(
                    "bad-backoff",
                    "a back-off of zero would retry without a pause",
                    "zero",
                    "write backoff = \"1s..1m\"",
                );
            }
            Some(found) => policy.backoff = found,
        }
    }
    policy
}

fn swapped(text: &str) -> String {
    match text.split_once("..") {
        Some((first, most)) => format!("write backoff = \"{}..{}\"", most.trim(), first.trim()),
        None => "write backoff = \"1s..1m\"".to_owned(),
    }
}

fn max_body_of(item: &Item<'_>) -> Option<u64> {
    let size = size(item)?;
    if size == 0 {
        item.wrong("bad-size", "`max_body` of zero would refuse every answer", "zero", SIZES);
        return None;
    }
    Some(size)
}

/// How a size is written, for help texts.
const SIZES: &str = "sizes look like \"64MiB\", \"512KiB\" or \"10MB\"";

/// A number of bytes.
pub(crate) fn size(item: &Item<'_>) -> Option<u64> {
    if let DeValue::Integer(_) = item.get() {
        item.expected("a size", Some(SIZES.to_owned()));
        return None;
    }
    let text = item.string()?;
    let size = units::size(text);
    if size.is_none() {
        item.wrong("bad-size", format!("`{text}` is not a size"), "expected NUMBER and UNIT", SIZES);
    }
    size
}
