//! The URL of a next page, as the ledger may keep it: relative to its origin and without secrets.

use entities::{Failure, FailureClass, FailureKind, Secrets};
use url::Url;
use url::form_urlencoded::byte_serialize;

/// Path and query of `next`, resolved against the URL of the request it came in answer to.
///
/// Secret values in it are put back to `{{ secrets.name }}`, and the parameter `own`, which carries
/// the API key, is left out: it is added to every request. Braces that came from the API are
/// percent-encoded, so that nothing in the result but our own is a template.
pub(super) fn relative(
    next: &str,
    request: &Url,
    secrets: &Secrets,
    own: Option<&str>,
) -> Result<String, Failure> {
    let failure = |kind, message: String| Failure::new(FailureClass::Permanent, kind, message);
    let url = request
        .join(next.trim())
        .map_err(|e| failure(FailureKind::Decode, format!("the next page's URL is not one ({e})")))?;
    if url.origin() != request.origin() {
        let (there, here) = (url.origin().ascii_serialization(), request.origin().ascii_serialization());
        return Err(failure(
            FailureKind::Redirect,
            format!("next page is on another origin: {there}, not {here}"),
        )
        .help("credentials are sent to the endpoint's own origin only"));
    }
    let mut values: Vec<(&str, &str)> = secrets
        .0
        .iter()
        .map(|(name, secret)| (name.as_str(), secret.expose()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    // Longest first, so that a secret that contains another leaves no remainder.
    values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));

    let mut out = String::new();
    for (nth, segment) in url.path().split('/').enumerate() {
        if nth > 0 {
            out.push('/');
        }
        let decoded = percent_encoding::percent_decode_str(segment).decode_utf8_lossy();
        out.push_str(&match exact(&decoded, &values) {
            Some(name) => placeholder(name),
            None => without_braces(segment),
        });
    }
    let mut separator = '?';
    for pair in url.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
        let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some((name, value)) = url::form_urlencoded::parse(pair.as_bytes()).next() else { continue };
        if own == Some(&*name) {
            continue;
        }
        out.push(separator);
        separator = '&';
        match concealed(&value, &values) {
            Some(value) => out.push_str(&format!("{}={value}", without_braces(raw_name))),
            None if pair.contains('=') => {
                out.push_str(&format!("{}={}", without_braces(raw_name), without_braces(raw_value)));
            }
            None => out.push_str(&without_braces(raw_name)),
        }
    }
    Ok(out)
}

fn exact<'s>(text: &str, values: &[(&'s str, &str)]) -> Option<&'s str> {
    values.iter().find(|(_, value)| *value == text).map(|(name, _)| *name)
}

/// A decoded query value with its secrets put back, the rest encoded anew; none if it has none.
/// Short secrets count only as the whole value: they occur in others by chance.
fn concealed(text: &str, values: &[(&str, &str)]) -> Option<String> {
    if let Some(name) = exact(text, values) {
        return Some(placeholder(name));
    }
    let (at, name, len) = values
        .iter()
        .filter(|(_, value)| value.len() >= 8)
        .find_map(|(name, value)| text.find(value).map(|at| (at, *name, value.len())))?;
    let encoded = |part: &str| {
        concealed(part, values).unwrap_or_else(|| byte_serialize(part.as_bytes()).collect::<String>())
    };
    Some(format!("{}{}{}", encoded(&text[..at]), placeholder(name), encoded(&text[at + len..])))
}

fn placeholder(name: &str) -> String {
    format!("{{{{ secrets.{name} }}}}")
}

fn without_braces(text: &str) -> String {
    text.replace('{', "%7B").replace('}', "%7D")
}

#[cfg(test)]
mod tests {
    use entities::Secret;

    use super::*;

    #[test]
    fn next_urls() {
        let request = Url::parse("https://api.example.com/v1/items?page=1&api_key=hunter22").unwrap();
        let secrets = Secrets(
            [("key", "hunter22"), ("odd", "a b/ü&c"), ("pin", "12")]
                .map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())))
                .into(),
        );
        for (next, own, expected) in [
            ("https://api.example.com/v1/items?page=2", None, "/v1/items?page=2"),
            ("https://API.example.com:443/v1/items?page=2", None, "/v1/items?page=2"),
            ("/v1/items?page=2", None, "/v1/items?page=2"),
            ("items?page=2", None, "/v1/items?page=2"),
            ("?page=2", None, "/v1/items?page=2"),
            ("?page=2&api_key=hunter22", None, "/v1/items?page=2&api_key={{ secrets.key }}"),
            ("?page=2&api_key=hunter22", Some("api_key"), "/v1/items?page=2"),
            ("?api_key=rotated&page=2", Some("api_key"), "/v1/items?page=2"),
            ("?t=a+b%2F%C3%BC%26c", None, "/v1/items?t={{ secrets.odd }}"),
            ("?t=Bearer+hunter22", None, "/v1/items?t=Bearer+{{ secrets.key }}"),
            ("/k/hunter22/items", None, "/k/{{ secrets.key }}/items"),
            ("?page=12&n=123", None, "/v1/items?page={{ secrets.pin }}&n=123"),
            ("?q={{ secrets.key }}", None, "/v1/items?q=%7B%7B%20secrets.key%20%7D%7D"),
            ("?flag&x=", None, "/v1/items?flag&x="),
            ("?q=1,2#part", None, "/v1/items?q=1,2"),
        ] {
            assert_eq!(relative(next, &request, &secrets, own).as_deref(), Ok(expected), "{next}");
        }
        for next in [
            "https://evil.example.com/",
            "http://api.example.com/v1",
            "https://api.example.com:8443/",
            "//evil.example.com/x",
            "javascript:alert(1)",
            "file:///etc/passwd",
        ] {
            let failure = relative(next, &request, &secrets, None).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Redirect, "{next}");
        }
        assert_eq!(relative("https://[", &request, &secrets, None).unwrap_err().kind, FailureKind::Decode);
    }
}
