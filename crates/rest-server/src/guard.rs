//! What every request must pass before a handler sees it, and what every answer carries.
//!
//! In this order: `Host` (against DNS rebinding), `Origin` and `Sec-Fetch-Site` (against requests that other pages
//! make), the token, the route, the content type, the size and the speed of the body.

mod body;
mod host;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, StatusCode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::RestConfig;
use crate::app::App;
use crate::problem::{PROBLEM_JSON, Problem};
use crate::routes::{Access, Route, route_of};

pub(crate) use host::Arrived;

/// What is sent with every answer.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// What the guard knows.
pub(crate) struct Guard {
    /// The token's hash: comparing hashes takes the same time whatever was sent, and however long it is.
    token: [u8; 32],
    hosts: Vec<String>,
}

impl Guard {
    pub(crate) fn new(config: &RestConfig) -> Guard {
        Guard {
            token: Sha256::digest(config.token.expose().as_bytes()).into(),
            hosts: config.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        }
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some((scheme, token)) = value.as_bytes().split_first_chunk::<7>() else { return false };
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return false;
        }
        let found: [u8; 32] = Sha256::digest(token).into();
        found.ct_eq(&self.token).into()
    }
}

/// The layer around all routes, those that do not exist among them.
pub(crate) async fn stand(
    State(app): State<Arc<App>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let path = matched.as_ref().map_or("other", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let mut response = match admit(&app.guard, &path, request).await {
        Ok(request) => caught(next.run(request), &path).await,
        Err(problem) => problem.into_response(),
    };
    response = as_problem(response, &method);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    app.metrics.answered(&path, &method, response.status(), begun.elapsed());
    response
}

/// A panic is an answer too: without details, which are the log's.
async fn caught(answer: impl Future<Output = Response>, path: &str) -> Response {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(path, "a handler panicked");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "this is a bug of the server").into_response()
        }
    }
}

/// Lets a request in, its body read, or says why not.
async fn admit(guard: &Guard, path: &str, request: Request) -> Result<Request, Problem> {
    let host = host::check(&request, &guard.hosts)?;
    let route = route_of(request.method().as_str(), path);
    check_origin(&request, &host, route)?;
    let is_open = crate::routes::ROUTES.iter().any(|row| row.path == path && row.access == Access::Open);
    if !is_open && !guard.has_token(request.headers()) {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "the token is missing or wrong: send `Authorization: Bearer …` with what the server's token file holds",
        )
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"syncctl\"")));
    }
    match route {
        Some(route) => body::take(request, route).await,
        // No such route or method: the router says so, and nobody reads the body.
        None => Ok(request),
    }
}

/// A page of another origin may neither read nor change anything. It may link to the page.
fn check_origin(request: &Request, host: &str, route: Option<&Route>) -> Result<(), Problem> {
    let refused = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, detail));
    let headers = request.headers();
    let mut origins = headers.get_all(ORIGIN).iter();
    if let Some(origin) = origins.next()
        && (origins.next().is_some() || !host::is_own(origin, host))
    {
        return refused("the request comes from a page of another origin (`Origin`)");
    }
    let is_page = route.is_some_and(|route| matches!(route.path, "/" | "/api"));
    let navigates = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) if is_page && navigates && reads => Ok(()),
        Some(_) => refused("the request comes from a page of another origin (`Sec-Fetch-Site`)"),
    }
}

/// axum's own refusals, as problems: 405 above all, whose `Allow` stays.
fn as_problem(response: Response, method: &Method) -> Response {
    let status = response.status();
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(ALLOW).cloned();
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => format!("{method} is not for this path"),
        _ => "the request cannot be served".to_owned(),
    };
    let problem = Problem::new(status, detail);
    match allow {
        Some(allow) => problem.header(ALLOW, allow).into_response(),
        None => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_without_details() {
        let response = caught(async { panic!("S3CR3T") }, "/").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("this is a bug of the server") && !body.contains("S3CR3T"), "{body}");
    }
}
