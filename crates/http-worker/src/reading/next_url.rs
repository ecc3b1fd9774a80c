//! The URL of a next page, as the ledger may keep it: relative to its origin and without secrets.

use entities::{Failure, FailureClass, FailureKind, Secret, Secrets};
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::address::encode_segment;

/// Shorter values stand in others by chance.
const LONG: usize = 8;

/// Path and query of `next`, resolved against the URL of the request it came in answer to.
///
/// Secret values in it are put back to `{{ secrets.name }}`, and the parameters `own`, which carry
/// the credential, are left out: they are added to every request. Braces that came from the API are
/// percent-encoded, so that nothing in the result but our own is a template.
pub(super) fn relative(
    next: &str,
    request: &Url,
    secrets: &Secrets,
    own: &[String],
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
        out.push_str(&concealed(&decoded, &values, in_path).unwrap_or_else(|| without_braces(segment)));
    }
    if out.starts_with("//") {
        // By itself that would name a host.
        out.insert_str(0, "/.");
    }
    let mut separator = '?';
    for pair in url.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
        let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some((name, value)) = url::form_urlencoded::parse(pair.as_bytes()).next() else { continue };
        if own.iter().any(|own| *own == *name) {
            continue;
        }
        out.push(separator);
        separator = '&';
        match concealed(&value, &values, in_query) {
            Some(value) => out.push_str(&format!("{}={value}", without_braces(raw_name))),
            None if pair.contains('=') => {
                out.push_str(&format!("{}={}", without_braces(raw_name), without_braces(raw_value)));
            }
            None => out.push_str(&without_braces(raw_name)),
        }
    }
    Ok(out)
}

/// Whether a text holds a secret that is too long to be there by chance.
pub(super) fn holds_secret(text: &str, secrets: &Secrets) -> bool {
    secrets.0.values().map(Secret::expose).any(|value| value.len() >= LONG && text.contains(value))
}

fn exact<'s>(text: &str, values: &[(&'s str, &str)]) -> Option<&'s str> {
    values.iter().find(|(_, value)| *value == text).map(|(name, _)| *name)
}

/// A decoded query value or part of a path with its secrets put back, the rest `encoded` anew; none if it
/// has none. Short secrets count only as the whole value: they occur in others by chance.
fn concealed(text: &str, values: &[(&str, &str)], encoded: fn(&str) -> String) -> Option<String> {
    if let Some(name) = exact(text, values) {
        return Some(placeholder(name));
    }
    let (at, name, len) = values
        .iter()
        .filter(|(_, value)| value.len() >= LONG)
        .find_map(|(name, value)| text.find(value).map(|at| (at, *name, value.len())))?;
    let part = |part: &str| concealed(part, values, encoded).unwrap_or_else(|| encoded(part));
    Some(format!("{}{}{}", part(&text[..at]), placeholder(name), part(&text[at + len..])))
}

fn in_query(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn in_path(text: &str) -> String {
    encode_segment(text)
}

fn placeholder(name: &str) -> String {
    format!("{{{{ secrets.{name} }}}}")
}

fn without_braces(text: &str) -> String {
    text.replace('{', "%7B").replace('}', "%7D")
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_text_is_resolved(next in "(https?://|//|/|\\?|api\\.example\\.com|[-%a-z0-9&=#:@{} é\\\\]){0,12}") {
            let request = Url::parse("https://api.example.com/v1/items?page=1").unwrap();
            let secrets = Secrets([("a".to_owned(), Secret::new("a".to_owned()))].into());
            if let Ok(relative) = relative(&next, &request, &secrets, &[]) {
                let again = request.join(&relative.replace("{{ secrets.a }}", "a")).unwrap();
                proptest::prop_assert_eq!(again.origin(), request.origin(), "{}", relative);
            }
        }
    }

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
            // As Telegram has it.
            ("/bot7:hunter22/x y", None, "/bot7:{{ secrets.key }}/x%20y"),
            ("/hunter22hunter22", None, "/{{ secrets.key }}{{ secrets.key }}"),
            ("?page=12&n=123", None, "/v1/items?page={{ secrets.pin }}&n=123"),
            ("?q={{ secrets.key }}", None, "/v1/items?q=%7B%7B%20secrets.key%20%7D%7D"),
            ("?flag&x=", None, "/v1/items?flag&x="),
            ("https://api.example.com//x?p=2", None, "/.//x?p=2"),
            ("?q=1,2#part", None, "/v1/items?q=1,2"),
        ] {
            let own: Vec<String> = own.into_iter().map(str::to_owned).collect();
            assert_eq!(relative(next, &request, &secrets, &own).as_deref(), Ok(expected), "{next}");
        }
        for next in [
            "https://evil.example.com/",
            "http://api.example.com/v1",
            "https://api.example.com:8443/",
            "//evil.example.com/x",
            "javascript:alert(1)",
            "file:///etc/passwd",
        ] {
            let failure = relative(next, &request, &secrets, &[]).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Redirect, "{next}");
        }
        assert_eq!(relative("https://[", &request, &secrets, &[]).unwrap_err().kind, FailureKind::Decode);
    }
}
