//! Each hostile answer is what it says.

use std::time::Duration;

use async_compression::tokio::write::GzipDecoder;
use tokio::io::AsyncWriteExt;

use crate::client::{get, sandbox, send};

#[tokio::test]
async fn bodies_that_lie() {
    let sandbox = sandbox().await;
    for (path, status, complete, length, json) in [
        ("good", 200, true, true, true),
        ("truncated-length", 200, false, true, false),
        ("truncated-chunked", 200, false, false, false),
        ("html", 200, true, true, false),
        ("broken-json", 200, true, true, false),
        ("endless", 200, false, false, false),
        ("hang-in-body", 200, false, true, false),
        ("not-found", 404, true, true, true),
        ("forbidden", 403, true, true, true),
        ("always-500", 500, true, true, true),
        ("always-429", 429, true, true, true),
        ("empty", 200, true, true, false),
        ("wrong-type", 200, true, true, true),
        ("bom", 200, true, true, false),
        ("same-page?page=4", 200, true, true, true),
    ] {
        let got = get(&sandbox, &format!("/hostile/{path}")).await;
        let parses = serde_json::from_slice::<serde_json::Value>(&got.body).is_ok();
        let seen = (got.status, got.complete, got.headers.contains_key("content-length"), parses);
        assert_eq!(seen, (status, complete, length, json), "{path}");
    }
}

#[tokio::test]
async fn answers_that_hang() {
    let sandbox = sandbox().await;
    let hang = send(&sandbox, "GET", "/hostile/hang-before-headers", &[], "");
    assert!(tokio::time::timeout(Duration::from_millis(300), hang).await.is_err());
    let loris = get(&sandbox, "/hostile/slow-loris");
    assert!(tokio::time::timeout(Duration::from_millis(700), loris).await.is_err());
    // Stopping does not wait for what hangs.
    tokio::time::timeout(Duration::from_secs(1), sandbox.stop()).await.unwrap();
}

#[tokio::test]
async fn the_bomb_unpacks_to_zeros_without_end() {
    let sandbox = sandbox().await;
    let got = get(&sandbox, "/hostile/gzip-bomb").await;
    assert_eq!(got.header("content-encoding"), "gzip");
    assert!(got.complete && (5 << 20..15 << 20).contains(&got.body.len()), "{}", got.body.len());
    let mut decoder = GzipDecoder::new(Vec::new());
    decoder.write_all(&got.body[..64 << 10]).await.unwrap();
    decoder.flush().await.unwrap();
    let zeros = decoder.into_inner();
    assert!(zeros.len() > 40 << 20 && zeros.iter().all(|byte| *byte == 0), "{}", zeros.len());
}

#[tokio::test]
async fn redirects_lead_where_they_say() {
    let sandbox = sandbox().await;
    let origin = sandbox.origin();
    for (path, to) in [
        ("redirect-same", format!("{origin}/hostile;seed=3/good")),
        ("redirect-loop", "/hostile;seed=3/redirect-loop".to_owned()),
    ] {
        let got = get(&sandbox, &format!("/hostile;seed=3/{path}")).await;
        assert_eq!((got.status, got.header("location")), (302, to.as_str()));
    }
    let elsewhere = get(&sandbox, "/hostile/redirect-elsewhere?a=b").await.header("location").to_owned();
    assert!(!elsewhere.starts_with(&origin) && elsewhere.ends_with("/stolen?a=b"), "{elsewhere}");
    assert_eq!(sandbox.elsewhere_log(), []);

    let address = elsewhere.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /stolen HTTP/1.0\r\nAuthorization: Bearer x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.unwrap();
    let log = sandbox.elsewhere_log();
    assert_eq!(log[0].path_and_query, "/stolen");
    assert!(log[0].headers.contains(&("authorization".to_owned(), "Bearer x".to_owned())));
    let lines = get(&sandbox, "/_elsewhere_log").await.body;
    assert!(String::from_utf8(lines).unwrap().contains("/stolen"));
}

#[tokio::test]
async fn pages_that_loop_and_fall_short() {
    let sandbox = sandbox().await;
    for (cursor, next) in [("", "A"), ("?cursor=A", "B"), ("?cursor=B", "A")] {
        assert_eq!(get(&sandbox, &format!("/hostile/loop-token{cursor}")).await.json()["meta"]["next"], next);
    }
    let mut sizes = Vec::new();
    for page in 1..=6 {
        let json = get(&sandbox, &format!("/hostile/short-page?page={page}")).await.json();
        assert_eq!(json["meta"]["total"], 50);
        sizes.push(json["data"].as_array().unwrap().len());
    }
    assert_eq!(sizes, [10, 10, 5, 10, 10, 0]);
    let headers = [("authorization", "Bearer CANARY")];
    let echoed = send(&sandbox, "GET", "/hostile/echo-secret?key=CANARY2", &headers, "").await.unwrap();
    assert_eq!(echoed.status, 400);
    let echoed = echoed.json();
    assert_eq!(echoed["you_sent"]["headers"]["authorization"], "Bearer CANARY");
    assert_eq!(echoed["you_sent"]["query"], "key=CANARY2");
}
