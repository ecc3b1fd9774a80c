//! Redirects: an answer that asks for another request. Policy decides; another grant sends it.

use entities::{Failure, FailureClass, FailureKind, Hop, Method, Redirects};
use http::HeaderMap;
use http::header::LOCATION;
use url::Url;

use crate::address::{origin, same_origin};

/// Redirects followed for one task at most, as in curl's documentation and browsers' practice.
const MOST: u32 = 10;

/// The hop an answer asks for; none if it is no redirect.
pub(crate) fn hop(
    status: u16,
    headers: &HeaderMap,
    url: &Url,
    method: Method,
    before: Option<&Hop>,
    policy: &Redirects,
) -> Option<Result<Hop, Failure>> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    // Without a location it is an answer like any other, and its status says what it means.
    let location = headers.get(LOCATION)?;
    Some(follow(status, location.as_bytes(), url, method, before, policy))
}

fn follow(
    status: u16,
    location: &[u8],
    url: &Url,
    method: Method,
    before: Option<&Hop>,
    policy: &Redirects,
) -> Result<Hop, Failure> {
    let refused = |message: String| Failure::new(FailureClass::Permanent, FailureKind::Redirect, message);
    let mut target = std::str::from_utf8(location)
        .ok()
        .and_then(|text| url.join(text.trim()).ok())
        .ok_or_else(|| refused(format!("{} redirects to something that is not a URL", origin(url))))?;
    if !same_origin(&target, url) || !target.username().is_empty() || target.password().is_some() {
        return Err(refused(format!("{} redirects to another origin, {}", origin(url), origin(&target)))
            .help("make the other origin an endpoint of its own; credentials stay with theirs"));
    }
    if *policy == Redirects::None {
        return Err(refused(format!("{} redirects, and `redirects` is \"none\"", origin(url)))
            .help("set redirects = \"same-origin\", or ask for the final path"));
    }
    let (count, got) = match before {
        Some(Hop::Redirect { count, get, .. }) => (count + 1, *get),
        _ => (1, false),
    };
    if count > MOST {
        return Err(refused(format!("more than {MOST} redirects")));
    }
    if target.fragment().is_some() {
        target.set_fragment(None);
    }
    // RFC 9110, 15.4: 303 always, 301 and 302 of a POST by old custom; once a GET, always a GET.
    let get = got || status == 303 || (matches!(status, 301 | 302) && method == Method::Post);
    Ok(Hop::Redirect { url: target.into(), count, get })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy() {
        let at = |count, get| Some(Hop::Redirect { url: "https://a.example/h".to_owned(), count, get });
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
            let found = hop(status, &headers, &url, method, before.as_ref(), &policy);
            match (found, expected) {
                (None, None) => {}
                (Some(Ok(Hop::Redirect { url, count, get })), Some(Ok(expected))) => {
                    assert_eq!((url.as_str(), count, get), expected, "{status} {location}");
                }
                (Some(Err(failure)), Some(Err(part))) => {
                    assert!(failure.message.contains(part), "{location}: {}", failure.message);
                    assert!(!failure.message.contains("secret"), "{}", failure.message);
                }
                (found, expected) => panic!("{status} {location}: {found:?}, expected {expected:?}"),
            }
        }
        assert!(hop(302, &HeaderMap::new(), &url, Method::Get, None, &same).is_none());
    }
}
