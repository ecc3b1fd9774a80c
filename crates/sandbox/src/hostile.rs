//! One endpoint for each answer that must never look like success.

use std::io;
use std::time::Duration;

use async_compression::tokio::write::GzipEncoder;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderValue, LOCATION};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;

use crate::answer::{self, Answer, FLUSH, limited, refusal, typed, with_header};
use crate::ask::Ask;
use crate::body::{Body, Step};
use crate::service::echo;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers a request below `/hostile`; `elsewhere` is the other origin.
pub(crate) async fn answer(ask: &Ask<'_>, elsewhere: &str) -> io::Result<Answer> {
    let response = match ask.rest {
        "/good" => answer::json(records(1..11, &Value::Null)),
        "/truncated-length" => typed(answer::cut(records(1..101, &Value::Null), true), JSON),
        "/truncated-chunked" => typed(answer::cut(records(1..101, &Value::Null), false), JSON),
        "/html" => typed(
            Body::whole("<!doctype html><title>Sign in</title><h1>Please sign in to the portal</h1>\n"),
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        "/broken-json" => answer::json(r#"{"data":[{"id":1,"number":1},{"id":2,"num"#),
        "/endless" => endless(),
        "/gzip-bomb" => with_header(gzip_bomb().await?, CONTENT_ENCODING, "gzip"),
        "/hang-before-headers" => std::future::pending().await,
        "/hang-in-body" => {
            let whole = records(1..101, &Value::Null);
            let half = whole.slice(..whole.len() / 2);
            typed(Body::script(Some(whole.len() as u64), [Step::Send(half), Step::Hang]), JSON)
        }
        "/slow-loris" => {
            let whole = records(1..11, &Value::Null);
            let length = whole.len() as u64;
            typed(Body::script(Some(length), [Step::Drip(whole, Duration::from_millis(100))]), JSON)
        }
        "/redirect-elsewhere" => redirect(&format!("{elsewhere}/stolen?{}", ask.query)),
        "/redirect-same" => redirect(&format!("{}/{}/good", ask.origin, ask.segment)),
        "/redirect-loop" => redirect(&format!("/{}/redirect-loop", ask.segment)),
        "/not-found" => refusal(StatusCode::NOT_FOUND, "no such resource"),
        "/forbidden" => refusal(StatusCode::FORBIDDEN, "this key may not read that"),
        "/always-500" => refusal(StatusCode::INTERNAL_SERVER_ERROR, "always"),
        "/always-429" => limited(Some("1")),
        "/echo-secret" => {
            let mut response =
                answer::json(json!({ "message": "bad request", "you_sent": echo(ask) }).to_string());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
        "/empty" => answer::json(""),
        "/wrong-type" => answer::json(r#"{"data":"a text where a list should be","meta":7}"#),
        "/bom" => {
            let mut out = b"\xef\xbb\xbf".to_vec();
            out.extend(records(1..11, &Value::Null));
            answer::json(out)
        }
        // First page → A → B → A → …; pages differ, so that only the repeated token gives the loop away.
        "/loop-token" => match ask.param("cursor").as_deref() {
            None => answer::json(records(1..11, &"A".into())),
            Some("A") => answer::json(records(11..21, &"B".into())),
            Some(_) => answer::json(records(21..31, &"A".into())),
        },
        "/same-page" => answer::json(records(1..11, &Value::Null)),
        "/short-page" => short_page(ask),
        _ => refusal(StatusCode::NOT_FOUND, "no such hostility; GET / lists the routes"),
    };
    Ok(response)
}

/// `{data: [{id, number, name}], meta: {next}}`.
fn records(numbers: std::ops::Range<u64>, next: &Value) -> Bytes {
    json!({ "data": list(numbers), "meta": { "next": next } }).to_string().into()
}

fn list(numbers: std::ops::Range<u64>) -> Vec<Value> {
    numbers
        .map(|number| json!({ "id": number, "number": number, "name": format!("record {number}") }))
        .collect()
}

/// Five pages of ten, said so in `meta`; the third holds five.
fn short_page(ask: &Ask<'_>) -> Answer {
    let page = match ask.number("page", 1) {
        Ok(page @ 1..=5) => page,
        Ok(_) => return answer::json(r#"{"data":[],"meta":{"pages":5,"total":50}}"#),
        Err(problem) => return refusal(StatusCode::BAD_REQUEST, &problem),
    };
    let first = (page - 1) * 10 + 1;
    let count = if page == 3 { 5 } else { 10 };
    let meta = json!({ "page": page, "pages": 5, "total": 50 });
    answer::json(json!({ "data": list(first..first + count), "meta": meta }).to_string())
}

fn endless() -> Answer {
    let chunk = Bytes::from(r#"{"id":1,"number":1,"name":"again and again"},"#.repeat(1000));
    let start = Bytes::from_static(br#"{"data":["#);
    typed(Body::script(None, [Step::Send(start), Step::Repeat(chunk, u64::MAX)]), JSON)
}

fn redirect(to: &str) -> Answer {
    let mut response = Response::new(Body::whole(""));
    *response.status_mut() = StatusCode::FOUND;
    with_header(response, LOCATION, to)
}

/// 10 GB of zeros. A sync-flushed deflate stream of zeros repeats: after the first stretch every stretch compresses
/// to the same bytes, so one is made and sent many times. The trailer's checksum is not that of the zeros.
async fn gzip_bomb() -> io::Result<Answer> {
    const STRETCH: usize = 4 << 20;
    const TIMES: u64 = 2500;
    /// An empty last block, then checksum and length.
    const END: &[u8] = &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    static PARTS: OnceCell<(Bytes, Bytes)> = OnceCell::const_new();
    let make = || async {
        let zeros = vec![0; STRETCH];
        let mut encoder = GzipEncoder::new(Vec::new());
        let mut ends = [0; 2];
        for end in &mut ends {
            encoder.write_all(&zeros).await?;
            encoder.flush().await?;
            *end = encoder.get_ref().len();
        }
        let whole = Bytes::from(encoder.into_inner());
        io::Result::Ok((whole.slice(..ends[0]), whole.slice(ends[0]..ends[1])))
    };
    let (first, again) = PARTS.get_or_try_init(make).await?.clone();
    let steps = [
        Step::Send(first),
        Step::Repeat(again, TIMES - 1),
        Step::Send(Bytes::from_static(END)),
        Step::Wait(FLUSH),
    ];
    Ok(typed(Body::script(None, steps), JSON))
}
