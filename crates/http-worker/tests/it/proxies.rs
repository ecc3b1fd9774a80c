//! Requests through proxies.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use entities::{FailureClass, FailureKind, Grant, Outcome, Redirects};
use http_worker::ProxySettings;

use crate::plans::{Case, drive};
use crate::server::{Server, Then, answer, ok};
use crate::tls::{Authority, TlsServer};
use crate::tokens::oauth2;

#[tokio::test]
async fn plain_http_is_forwarded_whole() {
    let proxy = Server::start(|_| (ok("application/json", b"[]"), Then::Keep));
    let case = Case::get("http://api.example:8080", "/things?x=1", |case| {
        case.proxy.http = Some(format!("http://me:pw@127.0.0.1:{}", proxy.port));
    });
    assert_eq!(case.run().await.unwrap().status, Some(200));
    let request = &proxy.requests()[0];
    assert!(request.starts_with("GET http://api.example:8080/things?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("proxy-authorization: Basic bWU6cHc=\r\n"), "{request}");
}

#[tokio::test]
async fn token_requests_and_redirects_go_the_same_way() {
    let proxy = Server::start(|request| match request.split(' ').nth(1).unwrap() {
        "http://auth.example/token" => (ok("application/json", br#"{"access_token":"t0k3n"}"#), Then::Keep),
        "http://api.example/x" => (answer(302, "Location: http://files.example/y\r\n", b""), Then::Keep),
        _ => (ok("application/json", b"[]"), Then::Keep),
    });
    let case = Case::get("http://api.example", "/x", |case| {
        case.endpoint.auth = oauth2("http://auth.example/token", Grant::ClientCredentials, |_| {});
        case.spec.redirects = Redirects::Origins(vec!["http://files.example".to_owned()]);
        case.proxy.http = Some(format!("http://me:pw@127.0.0.1:{}", proxy.port));
    });
    let (outcome, grants) = drive(&case.workers(), &case.job()).await;
    assert!(matches!(outcome, Outcome::Landed(_)) && grants == 3, "{outcome:?}");
    let requests = proxy.requests();
    for (request, begins) in requests.iter().zip([
        "POST http://auth.example/token ",
        "GET http://api.example/x ",
        "GET http://files.example/y ",
    ]) {
        assert!(request.starts_with(begins), "{request}");
        assert!(request.contains("proxy-authorization: Basic bWU6cHc=\r\n"), "{request}");
    }
    assert!(!requests[2].contains("t0k3n"), "{}", requests[2]);
}

#[tokio::test]
async fn no_proxy_goes_without() {
    let server = Server::empty();
    let proxy = Server::empty();
    let case = Case::get(&server.origin, "/x", |case| {
        let value = Some(format!("http://127.0.0.1:{}", proxy.port));
        case.proxy = ProxySettings {
            all: value,
            no: Some("localhost,127.0.0.0/8".to_owned()),
            ..ProxySettings::default()
        };
    });
    assert_eq!(case.run().await.unwrap().status, Some(200));
    assert_eq!((server.requests().len(), proxy.requests().len()), (1, 0));
}

#[tokio::test]
async fn https_goes_through_a_tunnel() {
    let authority = Authority::new("known");
    let server = TlsServer::start(&authority, "localhost", false, b"[]");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = server.port;
    let tunnel = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let mut upstream = TcpStream::connect(("127.0.0.1", target)).unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        thread::spawn(move || std::io::copy(&mut upstream, &mut client));
        String::from_utf8(head).unwrap()
    });
    let case = Case::get(&format!("https://localhost:{}", server.port), "/x", |case| {
        case.proxy.https = Some(format!("http://me:pw@127.0.0.1:{port}"));
        case.roots = Some(authority.pem());
    });
    let execution = case.run().await.unwrap();
    assert_eq!(execution.status, Some(200), "{execution:?}");
    let head = tunnel.join().unwrap();
    assert!(head.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", server.port)), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic bWU6cHc=\r\n"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_wants_a_password() {
    let proxy = Server::start(|_| (answer(407, "", b""), Then::Close));
    let case = Case::get("https://api.example", "/x", |case| {
        case.proxy.https = Some(format!("http://127.0.0.1:{}", proxy.port));
    });
    let failure = case.failure().await;
    assert_eq!((failure.class, failure.kind), (FailureClass::Permanent, FailureKind::Connect), "{failure:?}");
    assert!(failure.message.contains("the proxy to https://api.example"), "{}", failure.message);
}
