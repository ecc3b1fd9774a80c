//! Redirects: an answer that asks for another request. Policy decides; another grant sends it.

use entities::{Failure, FailureClass, FailureKind, Hop, Method, Redirects};
use http::HeaderMap;
use http::header::LOCATION;
use url::Url;

use crate::address::{origin, same_origin};

/// Redirects followed for one task at most, as in curl's documentation and browsers' practice.
const MOST: u32 = 10;

/// The request whose answer may be a redirect.
pub(crate) struct Redirected<'a> {
    /// Its URL.
    pub(crate) url: &'a Url,
    /// The `base_url` of its endpoint.
    pub(crate) home: &'a Url,
    /// The task's method.
    pub(crate) method: Method,
    /// The task's request has a body.
    pub(crate) body: bool,
    /// What led to it.
    pub(crate) before: Option<&'a Hop>,
    pub(crate) policy: &'a Redirects,
}

/// The hop an answer asks for; none if it is no redirect.
pub(crate) fn hop(
    status: u16,
    headers: &HeaderMap,
    request: &Redirected<'_>,
) -> Option<Result<Hop, Failure>> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    // Without a location it is an answer like any other, and its status says what it means.
    let location = headers.get(LOCATION)?;
    Some(follow(status, location.as_bytes(), request))
}

fn follow(status: u16, location: &[u8], request: &Redirected<'_>) -> Result<Hop, Failure> {
    let Redirected { url, home, policy, .. } = *request;
    let mut target = std::str::from_utf8(location)
        .ok()
        .and_then(|text| url.join(text.trim()).ok())
        .ok_or_else(|| refused(format!("{} redirects to something that is not a URL", origin(url))))?;
    let (count, got, left, renewed) = match request.before {
        Some(Hop::Redirect { count, get, bare, renewed, .. }) => (count + 1, *get, *bare, *renewed),
        Some(Hop::Renewed { count }) => (1, false, false, *count),
        None => (1, false, false, 0),
    };
    // RFC 9110, 15.4: 303 always, 301 and 302 of a POST by old custom; once a GET, always a GET.
    let get = got || status == 303 || (matches!(status, 301 | 302) && request.method == Method::Post);
    let at_home = same_origin(&target, home) && target.username().is_empty() && target.password().is_none();
    let bare = left || !at_home;
    if bare {
        may_leave(&target, at_home, get || request.method == Method::Get || !request.body, request)?;
    }
    if *policy == Redirects::None {
        return Err(refused(format!("{} redirects, and `redirects` is \"none\"", origin(url)))
            .help("set redirects = \"same-origin\", or ask for the final path"));
    }
    if count > MOST {
        return Err(refused(format!("more than {MOST} redirects")));
    }
    if target.fragment().is_some() {
        target.set_fragment(None);
    }
    Ok(Hop::Redirect { url: target.into(), count, get, bare, renewed })
}

/// Whether a request may go to another origin, or come back from one.
fn may_leave(target: &Url, at_home: bool, bodiless: bool, request: &Redirected<'_>) -> Result<(), Failure> {
    let (from, to) = (origin(request.url), origin(target));
    let listed = match request.policy {
        Redirects::Origins(origins) => origins
            .iter()
            .filter_map(|listed| Url::parse(listed).ok())
            .any(|listed| same_origin(&listed, target)),
        Redirects::SameOrigin | Redirects::None => false,
    };
    let plain = target.username().is_empty() && target.password().is_none();
    if !plain || !(listed || at_home) {
        let help = match request.policy {
            Redirects::Origins(_) if plain => format!("add \"{to}\" to `redirects`; it gets no credentials"),
            Redirects::Origins(_) => "a URL with a user name or password is never followed".to_owned(),
            _ => format!(
                "make the other origin an endpoint of its own, or list it: redirects = [\"{to}\"] (it gets no credentials)"
            ),
        };
        return Err(refused(format!("{from} redirects to another origin, {to}")).help(help));
    }
    if request.url.scheme() == "https" && target.scheme() != "https" {
        return Err(refused(format!("{from} redirects to {to}: from https to http nothing is followed")));
    }
    if !bodiless {
        return Err(refused(format!("{from} redirects a POST to another origin, {to}"))
            .help("its body stays with the endpoint: make the other origin an endpoint of its own"));
    }
    Ok(())
}

fn refused(message: String) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Redirect, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy() {
        let at = |count, get| {
            let url = "https://a.example/h".to_owned();
            Some(Hop::Redirect { url, count, get, bare: false, renewed: 0 })
        };
        let same = Redirects::SameOrigin;
        // (status, location, method, before, policy) → (url, count, get), a message's part, or no redirect
        type Case = (
            u16,
            &'static str,
            Method,
            Option<Hop>,
            Redirects,
            Option<Result<(&'static str, u32, bool), &'static str>>,
        );
        let cases: Vec<Case> = vec![
            (200, "/y", Method::Get, None, same.clone(), None),
            (304, "/y", Method::Get, None, same.clone(), None),
            (302, "/y?z#f", Method::Get, None, same.clone(), Some(Ok(("https://a.example/y?z", 1, false)))),
            (
                302,
                "y",
                Method::Get,
                at(3, false),
                same.clone(),
                Some(Ok(("https://a.example/p/y", 4, false))),
            ),
            (301, "/y", Method::Post, None, same.clone(), Some(Ok(("https://a.example/y", 1, true)))),
            (303, "/y", Method::Get, None, same.clone(), Some(Ok(("https://a.example/y", 1, true)))),
            (307, "/y", Method::Post, None, same.clone(), Some(Ok(("https://a.example/y", 1, false)))),
            (308, "/y", Method::Post, at(1, true), same.clone(), Some(Ok(("https://a.example/y", 2, true)))),
            (
                302,
                "https://a.example:443/y",
                Method::Get,
                None,
                same.clone(),
                Some(Ok(("https://a.example/y", 1, false))),
            ),
            (302, "http://a.example/y", Method::Get, None, same.clone(), Some(Err("http://a.example"))),
            (302, "//b.example/y", Method::Get, None, same.clone(), Some(Err("https://b.example"))),
            (
                302,
                "https://a.example:444/y",
                Method::Get,
                None,
                same.clone(),
                Some(Err("https://a.example:444")),
            ),
            (302, "https://u:p@a.example/y", Method::Get, None, same.clone(), Some(Err("another origin"))),
            (302, "file:///etc/passwd", Method::Get, None, same.clone(), Some(Err("another origin"))),
            (302, "https://", Method::Get, None, same.clone(), Some(Err("not a URL"))),
            (302, "/y", Method::Get, at(10, false), same.clone(), Some(Err("more than 10"))),
            (302, "/y", Method::Get, None, Redirects::None, Some(Err("\"none\""))),
        ];
        let url = Url::parse("https://a.example/p/x?q=secret").unwrap();
        for (status, location, method, before, policy, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, location.parse().unwrap());
            let request = Redirected {
                url: &url,
                home: &url,
                method,
                body: true,
                before: before.as_ref(),
                policy: &policy,
            };
            match (hop(status, &headers, &request), expected) {
                (None, None) => {}
                (
                    Some(Ok(Hop::Redirect { url, count, get, bare: false, renewed: 0 })),
                    Some(Ok(expected)),
                ) => {
                    assert_eq!((url.as_str(), count, get), expected, "{status} {location}");
                }
                (Some(Err(failure)), Some(Err(part))) => {
                    assert!(failure.message.contains(part), "{location}: {}", failure.message);
                    assert!(!failure.message.contains("secret"), "{}", failure.message);
                }
                (found, expected) => panic!("{status} {location}: {found:?}, expected {expected:?}"),
            }
        }
        let request = Redirected {
            url: &url,
            home: &url,
            method: Method::Get,
            body: false,
            before: None,
            policy: &same,
        };
        assert!(hop(302, &HeaderMap::new(), &request).is_none());
    }

    #[test]
    fn other_origins() {
        let listed =
            || Redirects::Origins(vec!["https://b.example".to_owned(), "http://c.example:8080".to_owned()]);
        let home = Url::parse("https://a.example/v1").unwrap();
        // (from, status, to, method, body, has left before) → the hop is (bare, get), or a message's part
        for (from, status, to, method, body, left, expected) in [
            ("https://a.example/x", 302, "https://b.example/y", Method::Get, false, false, Ok((true, false))),
            (
                "https://a.example/x",
                302,
                "https://B.example:443/y",
                Method::Get,
                false,
                false,
                Ok((true, false)),
            ),
            ("https://a.example/x", 302, "/y", Method::Get, false, false, Ok((false, false))),
            // On the way back it stays without everything.
            ("https://b.example/y", 302, "https://a.example/z", Method::Get, false, true, Ok((true, false))),
            ("https://b.example/y", 302, "/z", Method::Get, false, true, Ok((true, false))),
            (
                "https://b.example/y",
                302,
                "https://d.example/z",
                Method::Get,
                false,
                true,
                Err("another origin"),
            ),
            (
                "https://a.example/x",
                302,
                "https://b.example:444/y",
                Method::Get,
                false,
                false,
                Err("another origin"),
            ),
            (
                "https://a.example/x",
                302,
                "https://u@b.example/y",
                Method::Get,
                false,
                false,
                Err("another origin"),
            ),
            (
                "https://a.example/x",
                302,
                "http://c.example:8080/y",
                Method::Get,
                false,
                false,
                Err("from https to http"),
            ),
            (
                "https://a.example/x",
                302,
                "http://a.example/y",
                Method::Get,
                false,
                false,
                Err("another origin"),
            ),
            ("https://a.example/x", 303, "https://b.example/y", Method::Post, true, false, Ok((true, true))),
            ("https://a.example/x", 302, "https://b.example/y", Method::Post, true, false, Ok((true, true))),
            ("https://a.example/x", 307, "https://b.example/y", Method::Post, true, false, Err("a POST")),
            ("https://a.example/x", 308, "https://b.example/y", Method::Post, true, false, Err("a POST")),
            (
                "https://a.example/x",
                307,
                "https://b.example/y",
                Method::Post,
                false,
                false,
                Ok((true, false)),
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, to.parse().unwrap());
            let url = Url::parse(from).unwrap();
            let before = left.then(|| Hop::Redirect {
                url: from.to_owned(),
                count: 1,
                get: false,
                bare: true,
                renewed: 1,
            });
            let policy = listed();
            let request =
                Redirected { url: &url, home: &home, method, body, before: before.as_ref(), policy: &policy };
            match (hop(status, &headers, &request).unwrap(), expected) {
                (Ok(Hop::Redirect { bare, get, .. }), Ok(expected)) => {
                    assert_eq!((bare, get), expected, "{from} → {to}");
                }
                (Err(failure), Err(part)) => {
                    assert!(failure.message.contains(part), "{from} → {to}: {}", failure.message);
                }
                (found, expected) => panic!("{from} {status} → {to}: {found:?}, expected {expected:?}"),
            }
        }
    }
}
