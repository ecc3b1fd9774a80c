//! Answers that are compressed, cut, endless, late or no HTTP at all.

use std::time::Duration;

use async_compression::tokio::write::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use entities::{FailureClass, FailureKind, Outcome};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::plans::{Case, failure_of};
use crate::server::{Server, Then, answer, ok};

macro_rules! compress {
    ($encoder:ident, $bytes:expr) => {{
        let mut encoder = $encoder::new(Vec::new());
        finish(&mut encoder, $bytes).await;
        encoder.into_inner()
    }};
}

async fn finish(encoder: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
}

const RECORDS: &[u8] = br#"[{"id":1,"name":"a"},{"id":2,"name":"b"}]"#;

#[tokio::test]
async fn every_encoding_is_read() {
    let gzip = compress!(GzipEncoder, RECORDS);
    let two_members =
        [compress!(GzipEncoder, &RECORDS[..10]), compress!(GzipEncoder, &RECORDS[10..])].concat();
    let layered = compress!(BrotliEncoder, &gzip);
    for (encoding, body) in [
        ("identity", RECORDS.to_vec()),
        ("gzip", gzip),
        ("gzip", two_members),
        ("deflate", compress!(ZlibEncoder, RECORDS)),
        ("deflate", compress!(DeflateEncoder, RECORDS)),
        ("br", compress!(BrotliEncoder, RECORDS)),
        ("zstd", compress!(ZstdEncoder, RECORDS)),
        ("gzip, br", layered),
    ] {
        let wire = body.len() as u64;
        let bytes = answer(
            200,
            &format!("Content-Type: application/json\r\nContent-Encoding: {encoding}\r\n"),
            &body,
        );
        let server = Server::start(move |_| (bytes.clone(), Then::Keep));
        let execution = Case::get(&server.origin, "/x", |_| {}).run().await.unwrap();
        assert_eq!(execution.bytes, wire, "{encoding}");
        match execution.outcome {
            Outcome::Landed(landed) => assert_eq!(landed.received, 2, "{encoding}"),
            other => panic!("{encoding}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn hostile_answers_are_named_failures() {
    use FailureClass::{Permanent, Transient};
    use FailureKind::{BodyTooLarge, Decode, Protocol, TimedOut, Truncated};
    let head = |headers: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{headers}\r\n").into_bytes()
    };
    let with = |headers: &str, body: &[u8]| [head(headers), body.to_vec()].concat();
    let gzip = compress!(GzipEncoder, RECORDS);
    let zeros = vec![0u8; 64 << 20];
    let (gzip_bomb, br_bomb, zstd_bomb) = (
        compress!(GzipEncoder, &zeros),
        compress!(BrotliEncoder, &zeros[..8 << 20]),
        compress!(ZstdEncoder, &zeros),
    );
    let layered_bomb = compress!(GzipEncoder, &gzip_bomb);
    let cut = gzip[..gzip.len() - 9].to_vec();
    let members: &'static [u8] = Box::leak(compress!(GzipEncoder, b"").into_boxed_slice());
    let mut many = Vec::from(&b"HTTP/1.1 200 OK\r\n"[..]);
    for index in 0..200 {
        many.extend_from_slice(format!("h{index}: x\r\n").as_bytes());
    }
    many.extend_from_slice(b"\r\n");
    type Hostile = (&'static str, Vec<u8>, Then, FailureClass, FailureKind, &'static str);
    let cases: Vec<Hostile> = vec![
        (
            "short of content-length",
            with("Content-Length: 1000\r\n", b"[{\"a\":1}"),
            Then::Close,
            Transient,
            Truncated,
            "after 8 of 1,000",
        ),
        (
            "chunked, cut",
            with("Transfer-Encoding: chunked\r\n", b"5\r\n[{\"a\"\r\n"),
            Then::Close,
            Transient,
            Truncated,
            "after 5 bytes",
        ),
        (
            "chunked, cut in a chunk",
            with("Transfer-Encoding: chunked\r\n", b"50\r\n[{\"a\""),
            Then::Close,
            Transient,
            Truncated,
            "ended after",
        ),
        (
            "bad chunk",
            with("Transfer-Encoding: chunked\r\n", b"zz\r\n[]\r\n"),
            Then::Close,
            Transient,
            Protocol,
            "not framed",
        ),
        (
            "reset in the body",
            with("Content-Length: 1000\r\n", b"[{\"a\":1}"),
            Then::Reset,
            Transient,
            Truncated,
            "ended after",
        ),
        ("closed without an answer", vec![], Then::Close, Transient, Truncated, "without an answer"),
        ("reset without an answer", vec![], Then::Reset, Transient, Truncated, "without an answer"),
        (
            "half a head",
            b"HTTP/1.1 200 OK\r\nContent-".to_vec(),
            Then::Close,
            Transient,
            Truncated,
            "without an answer",
        ),
        (
            "not HTTP",
            b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec(),
            Then::Close,
            Permanent,
            Protocol,
            "does not answer in HTTP",
        ),
        ("too many headers", many, Then::Close, Permanent, Protocol, "headers are too large"),
        (
            "endless",
            head(""),
            Then::Repeat(&[b'x'; 8192]),
            Permanent,
            BodyTooLarge,
            "larger than max_body, 1,048,576",
        ),
        (
            "endless chunked",
            head("Transfer-Encoding: chunked\r\n"),
            Then::Repeat(b"10\r\n0123456789abcdef\r\n"),
            Permanent,
            BodyTooLarge,
            "larger than",
        ),
        (
            "announced too large",
            with("Content-Length: 2000000\r\n", b"[1"),
            Then::Hang,
            Permanent,
            BodyTooLarge,
            "announces 2,000,000",
        ),
        (
            "gzip bomb",
            with("Content-Encoding: gzip\r\n", &gzip_bomb),
            Then::Close,
            Permanent,
            BodyTooLarge,
            "larger than",
        ),
        (
            "br bomb",
            with("Content-Encoding: br\r\n", &br_bomb),
            Then::Close,
            Permanent,
            BodyTooLarge,
            "larger than",
        ),
        (
            "zstd bomb",
            with("Content-Encoding: zstd\r\n", &zstd_bomb),
            Then::Close,
            Permanent,
            BodyTooLarge,
            "larger than",
        ),
        (
            "layered bomb",
            with("Content-Encoding: gzip, gzip\r\n", &layered_bomb),
            Then::Close,
            Permanent,
            BodyTooLarge,
            "larger than",
        ),
        (
            "members of nothing for ever",
            head("Content-Encoding: gzip\r\n"),
            Then::Repeat(members),
            Permanent,
            BodyTooLarge,
            "larger than",
        ),
        (
            "gzip, cut",
            [head(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", cut.len())), cut.clone()]
                .concat(),
            Then::Keep,
            Transient,
            Truncated,
            "ended early",
        ),
        (
            "gzip, cut by closing",
            with("Content-Encoding: gzip\r\n", &cut),
            Then::Close,
            Transient,
            Truncated,
            "ended early",
        ),
        (
            "gzip that is none",
            with("Content-Encoding: gzip\r\nContent-Length: 5\r\n", b"[1,2]"),
            Then::Keep,
            Permanent,
            Decode,
            "Content-Encoding says",
        ),
        (
            "zstd that is none",
            with("Content-Encoding: zstd\r\nContent-Length: 5\r\n", b"[1,2]"),
            Then::Keep,
            Permanent,
            Decode,
            "Content-Encoding says",
        ),
        (
            "unknown encoding",
            with("Content-Encoding: compress\r\nContent-Length: 5\r\n", b"[1,2]"),
            Then::Keep,
            Permanent,
            Decode,
            "`compress`",
        ),
        ("hang before the head", vec![], Then::Hang, Transient, TimedOut, "no byte for 300ms"),
        (
            "hang in the body",
            with("Content-Length: 1000\r\n", b"[{\"a\":1}"),
            Then::Hang,
            Transient,
            TimedOut,
            "no byte for 300ms (the answer had begun: 8 bytes)",
        ),
        (
            "hang in a compressed body",
            with("Content-Encoding: gzip\r\nContent-Length: 1000\r\n", &gzip[..20]),
            Then::Hang,
            Transient,
            TimedOut,
            "no byte for 300ms",
        ),
    ];
    for (name, bytes, then, class, kind, part) in cases {
        let server = Server::start(move |_| (bytes.clone(), then));
        let execution = Case::get(&server.origin, "/x?a=1", |_| {}).run().await.unwrap();
        let failure = failure_of(execution);
        assert_eq!((failure.class, failure.kind), (class, kind), "{name}: {failure:?}");
        assert!(failure.message.contains(part), "{name}: {}", failure.message);
        assert_eq!(
            failure.request.as_deref(),
            Some(format!("GET {}/x?a=1", server.origin).as_str()),
            "{name}"
        );
        assert_eq!(failure.place.unwrap().line, 7, "{name}");
        assert_eq!(server.requests().len(), 1, "{name}: sent more than once");
    }
}

#[tokio::test]
async fn a_slow_answer_runs_into_its_total_time_out() {
    let server = Server::start(|_| (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Then::Repeat(b"x")));
    let case = Case::get(&server.origin, "/x", |case| {
        case.endpoint.timeout.total = Duration::from_millis(200);
        case.endpoint.max_body = u64::MAX;
    });
    let failure = case.failure().await;
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert!(failure.message.starts_with("not done after 200ms"), "{}", failure.message);
    assert_eq!(
        failure.help.as_deref(),
        Some("raise total in timeout = { total = \"…\" } of [endpoints.api]")
    );
}

#[tokio::test]
async fn hosts_that_are_not_there() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (base, part) in
        [(format!("http://{closed}"), "cannot connect"), ("http://nowhere.invalid".to_owned(), "cannot find")]
    {
        let failure = Case::get(&base, "/x", |case| case.endpoint.timeout.idle = Duration::from_secs(5))
            .failure()
            .await;
        assert_eq!(
            (failure.class, failure.kind),
            (FailureClass::Transient, FailureKind::Connect),
            "{failure:?}"
        );
        assert!(failure.message.contains(part), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_nothing() {
    let server = Server::start(|_| (ok("application/json", b"[]"), Then::Close));
    let case = Case::get(&server.origin, "/x", |_| {});
    let (workers, job) = (case.workers(), case.job());
    let mut worker = entities::WorkerFactory::worker(&workers, entities::WorkerId(0));
    for _ in 0..5 {
        let execution = worker.execute(&job).await;
        assert_eq!(execution.status, Some(200), "{execution:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.requests().len(), 5);
}
