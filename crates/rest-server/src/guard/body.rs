//! Bodies: of the right type, not too large, not too slow.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

use crate::problem::Problem;
use crate::routes::{Route, Takes};

/// The largest body.
const MOST: usize = 1 << 20;
/// For how long a body may come in.
const TIME: Duration = Duration::from_secs(30);

/// The request with its body read.
pub(crate) async fn take(request: Request, route: &Route) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let size = body.size_hint();
    if size.exact() == Some(0) {
        // A plan is never empty, but that is for the plan's reader to say, with a line.
        if route.takes == Takes::Toml {
            check_type(&parts.headers, route)?;
        }
        return Ok(Request::from_parts(parts, Body::empty()));
    }
    check_type(&parts.headers, route)?;
    if size.lower() > MOST as u64 {
        return Err(too_large());
    }
    let body = read(body).await?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn check_type(headers: &HeaderMap, route: &Route) -> Result<(), Problem> {
    let wanted = match route.takes {
        Takes::Toml => "application/toml",
        Takes::Json => "application/json",
        Takes::Nothing => {
            let detail = format!("{} {} takes no body", route.method, route.path);
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
    };
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(found), None) if is_of(found, wanted) => Ok(()),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body must be UTF-8 and say `Content-Type: {wanted}`"),
        )),
    }
}

/// Whether a content type is the wanted one; the only parameter is `charset=utf-8`.
fn is_of(found: &HeaderValue, wanted: &str) -> bool {
    let Ok(found) = found.to_str() else { return false };
    let (essence, parameter) = match found.split_once(';') {
        Some((essence, parameter)) => (essence, parameter.trim()),
        None => (found, ""),
    };
    let is_utf8 = parameter.is_empty()
        || ["charset=utf-8", "charset=\"utf-8\""].iter().any(|utf8| parameter.eq_ignore_ascii_case(utf8));
    essence.trim().eq_ignore_ascii_case(wanted) && is_utf8
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(TIME, Limited::new(body, MOST).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(closing(Problem::new(StatusCode::BAD_REQUEST, "the body broke off"))),
        Err(_) => Err(closing(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {} s", TIME.as_secs()),
        ))),
    }
}

fn too_large() -> Problem {
    closing(Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {} MiB", MOST >> 20),
    ))
}

/// What is left of the body is not read: the connection is of no more use.
fn closing(problem: Problem) -> Problem {
    problem.header(CONNECTION, HeaderValue::from_static("close"))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let begun = tokio::time::Instant::now();
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let problem = read(Body::from_stream(never)).await.err().unwrap().into_response();
        assert_eq!((problem.status(), begun.elapsed()), (StatusCode::REQUEST_TIMEOUT, TIME));
        assert_eq!(problem.headers()[CONNECTION], "close");
    }

    #[test]
    fn content_types() {
        for (found, expected) in [
            ("application/toml", true),
            ("Application/TOML; charset=UTF-8", true),
            ("application/toml;charset=\"utf-8\"", true),
            ("application/toml; charset=latin1", false),
            ("application/toml; charset=utf-8; x=y", false),
            ("text/plain", false),
            ("application/json", false),
            ("application/tomlx", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            assert_eq!(is_of(&HeaderValue::from_static(found), "application/toml"), expected, "{found:?}");
        }
    }
}
