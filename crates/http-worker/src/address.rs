//! From `base_url` and a path to the URL of a request, which never leaves the origin of `base_url`.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use entities::{Failure, Place};
use http::Uri;
use http::uri::{Parts, PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::template::wrong;

/// Everything but what RFC 3986 calls unreserved. A space becomes `%20`, which every server reads,
/// and not `+`, which only form decoders do.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A `base_url`, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// Scheme, host, port and path.
    pub(crate) url: Url,
    /// The same, as requests have it.
    pub(crate) uri: Uri,
    /// The same as text, without a slash at its end.
    base: String,
    /// How many bytes of that are scheme, host and port.
    origin: usize,
    /// As people wrote it: `sandbox://market` instead of the port of today.
    pub(crate) shown: String,
    /// It is the practice API inside this process.
    pub(crate) sandbox: bool,
    /// Where the plan says so.
    pub(crate) at: Place,
}

impl Address {
    /// Reads a rendered `base_url`.
    pub(crate) fn parse(text: &str, sandbox_origin: Option<&str>, at: Place) -> Result<Address, Failure> {
        if let Some(rest) = text.strip_prefix("sandbox://") {
            let origin = sandbox_origin
                .ok_or_else(|| wrong("there is no sandbox here: `base_url` cannot be `sandbox://…`", at))?;
            if leads_out(rest) {
                return Err(wrong("`base_url` leads out of the practice API that it names", at)
                    .help("write it as sandbox://NAME?option=value"));
            }
            let url = sandbox_url(rest, origin);
            let name = rest.split(['?', '/']).next().unwrap_or(rest);
            return Address::of(&url, format!("sandbox://{name}"), true, at);
        }
        Address::of(text, text.trim_end_matches('/').to_owned(), false, at)
    }

    fn of(text: &str, shown: String, sandbox: bool, at: Place) -> Result<Address, Failure> {
        let url = Url::parse(text).map_err(|error| {
            wrong(format!("`base_url` is not a URL: {error}"), at).help("write it as https://api.example.com")
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong("`base_url` is neither http:// nor https://", at));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("`base_url` holds a user name or password", at)
                .help("move them to auth = { basic = { user = …, password = … } }"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("`base_url` holds a query or fragment", at)
                .help("move parameters to `query` of the endpoint"));
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        let uri = Uri::try_from(url.as_str())
            .map_err(|error| wrong(format!("`base_url` is not a URL: {error}"), at))?;
        let origin = url[..url::Position::BeforePath].len();
        Ok(Address { url, uri, base, origin, shown, sandbox, at })
    }

    /// The URI of a text that [`join`](Self::join) began. It holds whatever a template rendered, and
    /// still does not leave the origin.
    pub(crate) fn request(&self, text: &str, at: Place) -> Result<Uri, Failure> {
        let wrong_url = |error: &dyn Display| wrong(format!("the request's URL: {error}"), at);
        if text.strip_prefix(&self.base).is_some_and(is_settled) {
            let mut parts = Parts::default();
            parts.scheme = self.uri.scheme().cloned();
            parts.authority = self.uri.authority().cloned();
            let path = PathAndQuery::try_from(&text[self.origin..]).map_err(|error| wrong_url(&error))?;
            parts.path_and_query = Some(path);
            return Uri::from_parts(parts).map_err(|error| wrong_url(&error));
        }
        let url = Url::parse(text).map_err(|error| wrong_url(&error))?;
        if !same_origin(&url, &self.url) {
            return Err(wrong("the path leads to another origin", at));
        }
        Uri::try_from(url.as_str()).map_err(|error| wrong_url(&error))
    }

    /// The URL text of a path below the base, without a query. An absolute URL is taken if it has
    /// the same origin.
    pub(crate) fn join(&self, path: &str, at: Place) -> Result<String, Failure> {
        if self.sandbox && dot_segments(path) > 0 {
            let message = "a `.` or `..` in the path leads out of the practice API that `base_url` names";
            return Err(wrong(message, at).help("name what the path leads to in `base_url`"));
        }
        let mut text = String::with_capacity(self.base.len() + path.len() + 64);
        if path.starts_with("http://") || path.starts_with("https://") {
            let absolute =
                Url::parse(path).map_err(|error| wrong(format!("the path is not a URL: {error}"), at))?;
            if !same_origin(&absolute, &self.url) {
                return Err(wrong(
                    format!("the path leads to {}, the endpoint is {}", origin(&absolute), origin(&self.url)),
                    at,
                )
                .help("make it an endpoint of its own: credentials stay with their origin"));
            }
            encode_path(path, &mut text);
            return Ok(text);
        }
        text.push_str(&self.base);
        if !path.is_empty() && !path.starts_with('/') {
            // Also what keeps `@evil.example` from becoming the host.
            text.push('/');
        }
        encode_path(path, &mut text);
        Ok(text)
    }

    /// A URL given relative to the origin, or absolute with the same origin.
    pub(crate) fn resolve(&self, text: &str) -> Option<Url> {
        let mut url = self.url.join(text).ok()?;
        url.set_fragment(None);
        let plain = url.username().is_empty() && url.password().is_none();
        (plain && same_origin(&url, &self.url)).then_some(url)
    }
}

/// How many segments of a path are `.` or `..`, percent-encoded or not, the way a URL parser sees them:
/// it takes them out, and the segment before a `..` along. Many servers do so behind `%2F`, too.
pub(crate) fn dot_segments(path: &str) -> usize {
    if !path.contains(['.', '%']) {
        return 0;
    }
    let is_dots = |segment: &str| {
        // "%2e%2E" at most.
        segment.len() <= 6 && matches!(segment.replace("%2e", ".").replace("%2E", ".").as_str(), "." | "..")
    };
    let separated = match path.contains("%2") {
        true => Cow::Owned(path.replace("%2f", "/").replace("%2F", "/")),
        false => Cow::Borrowed(path),
    };
    separated.split('/').filter(|segment| is_dots(segment)).count()
}

/// Whether a parser would leave a path and query behind a base as they are: no dot segments, nothing that
/// it would encode. Most are so, and the parser costs more than the rest of a request's making.
fn is_settled(rest: &str) -> bool {
    rest.starts_with('/')
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/?&=%-._~:;,+@!$()*".contains(&byte))
        && !["/.", "%2e", "%2E"].iter().any(|dots| rest.contains(dots))
}

/// `market/v1?records=2000&errors=5` → `ORIGIN/market;records=2000;errors=5/v1`: options are part of
/// the path, so that every request below it carries them.
fn sandbox_url(rest: &str, origin: &str) -> String {
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (name, path) = place.split_once('/').unwrap_or((place, ""));
    let mut url = format!("{}/{name}", origin.trim_end_matches('/'));
    for option in options.split('&').filter(|option| !option.is_empty()) {
        url.push(';');
        url.push_str(option);
    }
    if !path.is_empty() {
        url.push('/');
        url.push_str(path);
    }
    url
}

/// Whether what follows `sandbox://` could name one of its APIs and lead to another, or to the server's own pages:
/// by parts that a URL parser takes out or reads as slashes.
fn leads_out(rest: &str) -> bool {
    rest.starts_with('_')
        || rest.contains(|c: char| matches!(c, '\\' | '#') || c.is_control())
        || dot_segments(rest) > 0
}

/// Same scheme, host and port: the only boundary credentials know.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// The URL of a request.
pub(crate) fn url_of(request: &Uri) -> Result<Url, Failure> {
    Url::parse(&request.to_string())
        .map_err(|error| wrong(format!("the request's URL: {error}"), Place::default()))
}

/// `https://host:port`, for people.
pub(crate) fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Appends `name=value`, percent-encoded.
pub(crate) fn push_pair(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, "{}={}", utf8_percent_encode(name, VALUE), utf8_percent_encode(value, VALUE));
}

/// A value as it would stand in a query.
pub(crate) fn encode_value(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

/// A value as it would stand in a part of a path: as [`encode_path`] writes it, but that it stays one part.
pub(crate) fn encode_segment(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    encode(&value.replace('%', "%25"), b"\"#<>?`{}|^\\/", &mut out);
    out
}

/// Appends a path; what may not stand in one is percent-encoded, `?` and `#` included. What is
/// percent-encoded already stays as it is.
pub(crate) fn encode_path(path: &str, out: &mut String) {
    encode(path, b"\"#<>?`{}|^\\", out);
}

/// Appends a query string that is written out in a path.
pub(crate) fn encode_query(query: &str, out: &mut String) {
    encode(query, b"\"#<>`{}|^\\", out);
}

fn encode(text: &str, illegal: &[u8], out: &mut String) {
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().copied().enumerate() {
        let stray = byte == b'%'
            && !(bytes.get(index + 1).is_some_and(u8::is_ascii_hexdigit)
                && bytes.get(index + 2).is_some_and(u8::is_ascii_hexdigit));
        if byte.is_ascii_graphic() && !illegal.contains(&byte) && !stray {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_base() {
        for (base, path, expected) in [
            ("https://a.example", "/x", Some("https://a.example/x")),
            ("https://a.example/v1/", "/x y", Some("https://a.example/v1/x%20y")),
            ("https://a.example/v1", "x?y#z", Some("https://a.example/v1/x%3Fy%23z")),
            ("https://a.example", "/50%/%2F", Some("https://a.example/50%25/%2F")),
            ("https://a.example", "/é", Some("https://a.example/%C3%A9")),
            ("https://a.example", "@evil.example/x", Some("https://a.example/@evil.example/x")),
            ("https://a.example", ".evil.example/x", Some("https://a.example/.evil.example/x")),
            ("https://a.example", "//evil.example/x", Some("https://a.example//evil.example/x")),
            ("https://a.example", "\\\\evil.example", Some("https://a.example/%5C%5Cevil.example")),
            ("https://a.example", "", Some("https://a.example")),
            ("https://a.example", "https://a.example:443/z", Some("https://a.example:443/z")),
            ("https://a.example", "http://a.example/z", None),
            ("https://a.example", "https://b.example/z", None),
            (
                "sandbox://market?records=5&errors=1",
                "/bars",
                Some("http://127.0.0.1:9/market;records=5;errors=1/bars"),
            ),
            ("sandbox://market/v1", "/bars", Some("http://127.0.0.1:9/market/v1/bars")),
        ] {
            let address = Address::parse(base, Some("http://127.0.0.1:9"), Place::default()).unwrap();
            let joined = address.join(path, Place::default());
            assert_eq!(joined.as_deref().ok(), expected, "{base} {path}");
            if let Ok(text) = joined {
                assert!(same_origin(&Url::parse(&text).unwrap(), &address.url), "{base} {path}");
                assert!(address.request(&text, Place::default()).is_ok(), "{base} {path}");
            }
        }
    }

    #[test]
    fn requests_are_what_a_parser_makes_of_them() {
        let address = Address::parse("https://a.example/v1", None, Place::default()).unwrap();
        for (behind, settled) in [
            ("/x/600519.SH?a=%20b&c=1,2", true),
            ("//b.example/x", true),
            ("/x?y=/z?", true),
            ("", false),
            ("/..", false),
            ("/../..//b.example", false),
            ("/x/./y", false),
            ("/%2e%2E/y", false),
            ("/x?a='b'", false),
            ("?a=1", false),
            ("x/y", false),
        ] {
            let text = format!("https://a.example/v1{behind}");
            assert_eq!(is_settled(behind), settled, "{behind}");
            let request = address.request(&text, Place::default()).unwrap();
            assert_eq!(request.to_string(), Url::parse(&text).unwrap().as_str(), "{behind}");
            assert_eq!(url_of(&request).unwrap().as_str(), request.to_string(), "{behind}");
        }
        for text in ["https://a.example.evil/v1", "https://a.example@evil/v1", "http://a.example/v1"] {
            assert!(address.request(text, Place::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn dot_segments_are_those_that_a_url_parser_takes_out() {
        for (path, expected) in [
            ("", 0),
            ("/a/b", 0),
            ("/a.b/..c/c../...", 0),
            ("/.", 1),
            ("/a/../b/..", 2),
            ("..", 1),
            ("/%2e%2E/x", 1),
            ("/.%2e/%2E/x", 2),
            ("/%252e%252e/x", 0),
            // What is escaped by `encode_path` is no separator.
            ("/a\\..\\b", 0),
            ("/..?x", 0),
        ] {
            assert_eq!(dot_segments(path), expected, "{path}");
            let mut encoded = "http://h/base".to_owned();
            encode_path(&format!("/{path}").replace("//", "/"), &mut encoded);
            let parsed = Url::parse(&encoded).unwrap();
            assert_eq!(parsed.as_str() != encoded, expected > 0, "{encoded} {parsed}");
        }
    }

    #[test]
    fn bases_that_are_none() {
        for base in
            ["", "api.example.com", "ftp://x", "https://u:p@x", "https://x?k=1", "https://", "sandbox://m"]
        {
            assert!(Address::parse(base, None, Place::default()).is_err(), "{base}");
        }
    }

    #[test]
    fn practice_apis_are_those_that_are_named() {
        let parse = |rest: &str| {
            Address::parse(&format!("sandbox://{rest}"), Some("http://127.0.0.1:9"), Place::default())
        };
        for rest in
            ["market", "market/v1", "market?records=5&slow=20ms..200ms", "tracker?limit=50/s,600/min", "m.n"]
        {
            let address = parse(rest).unwrap();
            assert_eq!(
                address.url.path().len() + "http://127.0.0.1:9".len(),
                address.url.as_str().len(),
                "{rest}"
            );
            assert_eq!(address.url.path().len(), rest.len() + 1, "{rest}: {}", address.url);
        }
        for rest in [
            "market/../hostile",
            "market/%2e%2E/hostile",
            "market/.%2e/hostile",
            "market%2f..%2Fhostile",
            "market?a=b/../hostile",
            "market?a=b/./../../_stats",
            "market?limit=5/..",
            "market\\..\\_stats",
            "market/.\t./_stats",
            "market/.\n./_stats",
            "market/..#",
            "../_stats",
            "./_stats",
            "_stats",
            "_reset",
            "..",
        ] {
            let failure = parse(rest).unwrap_err();
            assert!(failure.message.contains("practice API"), "{rest}: {}", failure.message);
            assert!(failure.help.is_some(), "{rest}");
        }
        let address = parse("market?records=5").unwrap();
        for (path, stays) in [
            ("/bars/X.Y", true),
            ("/...", true),
            ("/../_stats", false),
            ("/%2e%2E/_stats", false),
            ("/x%2F..%2f..%2F_stats", false),
            ("./bars", false),
            ("http://127.0.0.1:9/../_stats", false),
        ] {
            assert_eq!(address.join(path, Place::default()).is_ok(), stays, "{path}");
        }
    }

    #[test]
    fn next_urls_keep_the_origin() {
        let address = Address::parse("https://a.example/v1", None, Place::default()).unwrap();
        for (text, expected) in [
            ("/v1/x?page=2", Some("https://a.example/v1/x?page=2")),
            ("https://a.example/y#f", Some("https://a.example/y")),
            ("//b.example/y", None),
            ("https://u:p@a.example/y", None),
            ("http://a.example/y", None),
            ("https://a.example:444/y", None),
        ] {
            assert_eq!(address.resolve(text).as_ref().map(Url::as_str), expected, "{text}");
        }
    }

    #[test]
    fn an_encoded_slash_separates_for_many_servers() {
        for (path, expected) in [("/x/..%2f..%2Fadmin", 2), ("/x%2Fy", 0), ("/a..%2f", 0), ("/x%2F%2e%2E", 1)]
        {
            assert_eq!(dot_segments(path), expected, "{path}");
        }
    }
}
