//! Whom a request is for, and which page it comes from.

use std::net::IpAddr;

use axum::extract::Request;
use http::StatusCode;
use http::header::{HOST, HeaderValue};

use crate::problem::Problem;

/// The address of ours that a connection arrived at; on every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived(pub(crate) IpAddr);

/// Names that are always ours: browsers resolve them to this machine without asking anybody.
const ALWAYS: &[&str] = &["localhost", "127.0.0.1", "[::1]"];

/// The request's host and port, lower case, if it is one of ours.
pub(crate) fn check(request: &Request, hosts: &[String]) -> Result<String, Problem> {
    let mut values = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the request must have one `Host` header"));
    };
    // In absolute form a target may have any scheme (RFC 9110, 4.2.3): ours is HTTP, whoever speaks TLS for us.
    if request.uri().scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the request's target is no http:// or https:// URL",
        ));
    }
    let arrived = request.extensions().get::<Arrived>().map(|arrived| arrived.0);
    // A target with a host in it comes before the header (RFC 9112, 3.2.2): both must be ours.
    let target = request.uri().authority().map(|authority| authority.as_str());
    let ours = |text: &str| name_of(text).is_some_and(|name| is_ours(&name, hosts, arrived));
    match host.to_str() {
        Ok(text) if ours(text) && target.is_none_or(ours) => Ok(target.unwrap_or(text).to_ascii_lowercase()),
        _ => Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "`Host` names another server: if that name is ours, the server must be told so (`--allow-host NAME`)",
        )),
    }
}

/// Whether an `Origin` is that of our own page, which was asked for as `host`.
pub(crate) fn is_own(origin: &HeaderValue, host: &str) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    // Behind a proxy that speaks TLS the page is https, and we do not know.
    [("http://", ":80"), ("https://", ":443")].iter().any(|(scheme, port)| {
        origin.strip_prefix(scheme).is_some_and(|from| {
            let from = from.strip_suffix(port).unwrap_or(from);
            let host = host.strip_suffix(port).unwrap_or(host);
            from.eq_ignore_ascii_case(host)
        })
    })
}

fn is_ours(name: &str, hosts: &[String], arrived: Option<IpAddr>) -> bool {
    let address = match arrived {
        Some(IpAddr::V4(v4)) => v4.to_string(),
        Some(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => format!("[{v6}]"),
        },
        None => String::new(),
    };
    ALWAYS.contains(&name) || name == address || hosts.iter().any(|host| host == name)
}

/// The name of `name[:port]`, lower case; none if it is spelled in any other way: with a user, a path, spaces, a
/// port that is no number.
fn name_of(text: &str) -> Option<String> {
    let end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (name, port) = text.split_at_checked(end)?;
    let is_port = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => {
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    (is_port && !name.is_empty() && name.bytes().all(fits)).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let allowed = ["sync.example".to_owned()];
        let arrived = Some("192.168.1.5".parse().unwrap());
        for (text, expected) in [
            ("localhost", true),
            ("LocalHost:8787", true),
            ("127.0.0.1:1", true),
            ("[::1]:8787", true),
            ("[::1]", true),
            ("192.168.1.5:8787", true),
            ("sync.example", true),
            ("SYNC.example:443", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("localhost.", false),
            ("sync.example.", false),
            ("127.0.0.1.evil.example", false),
            ("user@localhost", false),
            ("localhost:80@evil.example", false),
            ("localhost:", false),
            ("localhost:x", false),
            ("localhost:99999", false),
            ("localhost:+80", false),
            ("localhost/", false),
            ("localhost ", false),
            ("127.1", false),
            ("2130706433", false),
            ("0x7f000001", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[0:0:0:0:0:0:0:1]", false),
            ("::1", false),
            ("", false),
            (":80", false),
        ] {
            let ours = name_of(text).is_some_and(|name| is_ours(&name, &allowed, arrived));
            assert_eq!(ours, expected, "{text:?}");
        }
    }

    #[test]
    fn origins() {
        for (origin, host, expected) in [
            ("http://localhost:8787", "localhost:8787", true),
            ("http://LOCALHOST:8787", "localhost:8787", true),
            ("http://localhost", "localhost:80", true),
            ("https://sync.example", "sync.example", true),
            ("https://sync.example", "sync.example:443", true),
            ("http://localhost:3000", "localhost:8787", false),
            ("http://127.0.0.1:8787", "localhost:8787", false),
            ("null", "localhost:8787", false),
            ("", "localhost:8787", false),
            ("file://localhost:8787", "localhost:8787", false),
            ("http://localhost:8787/", "localhost:8787", false),
            ("http://evil.example", "localhost:8787", false),
            ("http://localhost:8787.evil.example", "localhost:8787", false),
        ] {
            assert_eq!(is_own(&HeaderValue::from_static(origin), host), expected, "{origin} for {host}");
        }
    }
}
