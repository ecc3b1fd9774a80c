//! A sandbox that runs for months: what it remembers is bounded, however many requests come.

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sandbox::{Offers, Sandbox, SandboxConfig, start};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{get, post, send};

const CONNECTIONS: u64 = 4;

/// Makes requests over a few connections that are kept, whatever the answers.
async fn send_many(
    sandbox: &Sandbox,
    count: u64,
    request: impl Fn(u64) -> Request<Full<bytes::Bytes>> + Copy + Send + 'static,
) {
    let mut clients = JoinSet::new();
    for first in 0..CONNECTIONS {
        let address = sandbox.origin().replace("http://", "");
        clients.spawn(async move {
            let mut tasks = JoinSet::new();
            let stream = TcpStream::connect(&address).await.unwrap();
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tasks.spawn(connection);
            for number in (first..count).step_by(CONNECTIONS as usize) {
                sender.ready().await.unwrap();
                let answer = sender.send_request(request(number)).await.unwrap();
                answer.into_body().collect().await.unwrap();
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

fn plain(method: &str, path: String, body: String) -> Request<Full<bytes::Bytes>> {
    Request::builder().method(method).uri(path).header("host", "sandbox").body(Full::from(body)).unwrap()
}

async fn remembered(sandbox: &Sandbox, segment: &str) -> u64 {
    get(sandbox, "/_stats").await.json()["mounts"][segment]["remembered"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_does_not_grow() {
    const MANY: u64 = 100_000;
    let sandbox = start(SandboxConfig { log: 1_000, ..SandboxConfig::default() }).await.unwrap();
    send_many(&sandbox, MANY, |n| plain("GET", format!("/bench;errors=3/small/{n}"), String::new())).await;
    assert_eq!(get(&sandbox, "/bench/small/7").await.status, 200);
    let log = sandbox.log();
    assert_eq!(log.len(), 1_000);
    assert!(
        log.iter().all(|entry| entry.status == 200 || entry.status == 500),
        "answers belong to their arrivals"
    );
    assert_eq!(log[999].path_and_query, "/bench/small/7", "the last ones");
    let kept = remembered(&sandbox, "bench;errors=3").await;
    assert!((16_384..=2 * 16_384).contains(&kept), "{kept} requests are remembered");

    send_many(&sandbox, 3_000, |n| plain("POST", "/graph;records=9".to_owned(), format!("{{\"n\":{n}}}")))
        .await;
    send_many(&sandbox, 3_000, |n| plain("GET", format!("/stolen?{n}"), String::new())).await;
    assert!(remembered(&sandbox, "graph;records=9").await <= 3_000);
}

/// The tokens given out last are good, however many there were.
#[tokio::test]
async fn old_tokens_are_forgotten() {
    let sandbox = start(SandboxConfig::default()).await.unwrap();
    let login = || {
        plain(
            "POST",
            "/warehouse/session".to_owned(),
            r#"{"user":"practice","password":"practice-secret"}"#.to_owned(),
        )
    };
    let first = token(&sandbox).await;
    assert!(is_good(&sandbox, &first).await);
    send_many(&sandbox, 3_000, move |_| login()).await;
    let last = token(&sandbox).await;
    assert!(is_good(&sandbox, &last).await && !is_good(&sandbox, &first).await);
    assert!(!is_good(&sandbox, &last.replace("access-", "access-0")).await, "not as it was written");
    assert!(remembered(&sandbox, "warehouse").await <= 1_000);
}

async fn token(sandbox: &Sandbox) -> String {
    let answer = post(sandbox, "/warehouse/session", r#"{"user":"practice","password":"practice-secret"}"#)
        .await
        .json();
    answer["session"]["token"].as_str().unwrap().to_owned()
}

async fn is_good(sandbox: &Sandbox, token: &str) -> bool {
    send(sandbox, "GET", "/warehouse/products", &[("x-session", token)], "").await.unwrap().status == 200
}

/// Made-up datasets do not fill the memory, and those that are known go on.
#[tokio::test]
async fn datasets_have_an_end() {
    let sandbox = start(SandboxConfig::default()).await.unwrap();
    assert_eq!(get(&sandbox, "/bench/small/1").await.status, 200);
    send_many(&sandbox, 5_000, |n| plain("GET", format!("/bench;seed={n}/small/1"), String::new())).await;
    let refused = get(&sandbox, "/bench;seed=9999/small/1").await;
    assert_eq!(refused.status, 404);
    assert!(String::from_utf8(refused.body).unwrap().contains("_reset"));
    assert_eq!(get(&sandbox, "/bench/small/2").await.status, 200);
    assert_eq!(get(&sandbox, "/_stats").await.json()["mounts"].as_object().unwrap().len(), 4_096);
    assert_eq!(post(&sandbox, "/_reset", "").await.status, 200);
    assert_eq!(get(&sandbox, "/bench;seed=9999/small/1").await.status, 200);
}

/// A server for the plans of others shows and does nothing but datasets, and never has too many of them.
#[tokio::test]
async fn practice_only() {
    let sandbox = start(SandboxConfig { log: 1_000, offers: Offers::Practice, ..SandboxConfig::default() })
        .await
        .unwrap();
    for (method, path, expected) in [
        ("GET", "/", 200),
        ("GET", "/tracker/projects", 200),
        ("GET", "/_stats", 404),
        ("GET", "/_log", 404),
        ("GET", "/_elsewhere_log", 404),
        ("POST", "/_reset", 404),
        ("GET", "/hostile/good", 404),
        ("GET", "/hostile;seed=2/endless", 404),
        ("GET", "/bench/small/1", 404),
        ("GET", "/helpdesk/_expected", 200),
    ] {
        assert_eq!(send(&sandbox, method, path, &[], "").await.unwrap().status, expected, "{method} {path}");
    }
    send_many(&sandbox, 5_000, |n| plain("GET", format!("/tracker;seed={n}/projects"), String::new())).await;
    assert_eq!(get(&sandbox, "/tracker;seed=9999/projects").await.status, 200);
}
