//! Responses: the few shapes that datasets give, and how a fault spoils one.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::json;

use crate::body::{Body, Step};
use crate::faults::Fault;

/// What the service hands to hyper.
pub(crate) type Answer = Response<Body>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Time for the socket to take what was sent before the connection ends.
pub(crate) const FLUSH: Duration = Duration::from_millis(2);

/// A 200 with JSON.
pub(crate) fn json(bytes: impl Into<Bytes>) -> Answer {
    typed(Body::whole(bytes), JSON)
}

/// A 200 with plain text.
pub(crate) fn text(bytes: impl Into<Bytes>) -> Answer {
    typed(Body::whole(bytes), HeaderValue::from_static("text/plain; charset=utf-8"))
}

/// A 200 with a body of a content type.
pub(crate) fn typed(body: Body, content_type: HeaderValue) -> Answer {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// An error with a JSON body `{"message": …}`.
pub(crate) fn refusal(status: StatusCode, message: &str) -> Answer {
    let mut response = json(json!({ "message": message, "status": status.as_u16() }).to_string());
    *response.status_mut() = status;
    response
}

/// A 429 that says when to come back, if anything.
pub(crate) fn limited(retry_after: Option<&str>) -> Answer {
    let response = refusal(StatusCode::TOO_MANY_REQUESTS, "too many requests");
    match retry_after {
        Some(when) => with_header(response, RETRY_AFTER, when),
        None => response,
    }
}

/// The same answer with one more header; a value that is no header value is left out.
pub(crate) fn with_header(mut response: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Makes a good answer bad. None: no head either.
pub(crate) fn spoil(response: Answer, fault: Fault, retry_after: Option<&str>) -> Option<Answer> {
    let keep_length = match fault {
        Fault::Error => {
            return Some(refusal(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox was told to fail"));
        }
        Fault::Limited => return Some(limited(retry_after)),
        Fault::ResetBeforeHead => return None,
        Fault::ResetInBody | Fault::TruncatedLength => true,
        Fault::TruncatedChunked => false,
    };
    let (head, body) = response.into_parts();
    let body = match body {
        Body::Whole(bytes) => cut(bytes.unwrap_or_default(), keep_length),
        script => script,
    };
    Some(Response::from_parts(head, body))
}

/// The first half of the bytes, then the end of the connection.
pub(crate) fn cut(bytes: Bytes, keep_length: bool) -> Body {
    let half = bytes.slice(..bytes.len() / 2);
    // A body of no bytes can only be cut short when it claims some.
    let claimed = keep_length.then_some(bytes.len().max(1) as u64);
    Body::script(claimed, [Step::Send(half), Step::Wait(FLUSH), Step::Break])
}
