//! Names that lead elsewhere each time they are looked up, over real sockets. 127.0.0.2 is allowed and plays
//! the public host; 127.0.0.1 is what nothing may connect to.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use entities::{FailureKind, PhaseCell, TimeOuts};
use http::{Request, Uri};

use super::*;
use crate::client::{Connector, RequestBody, pooled};
use crate::network_error;
use crate::proxy::{Proxies, ProxySettings};
use crate::reach::AllowedAddress;

const PUBLIC: &str = "127.0.0.2";
const PRIVATE: &str = "127.0.0.1";

/// What a name server says, one answer after the other; the last one for ever.
fn told(answers: &[&[&str]]) -> (Names, Arc<AtomicUsize>) {
    let addresses = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
    let answers: Vec<Vec<IpAddr>> = answers.iter().map(addresses).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let names = Names::Told(Arc::new(move |_| {
        answers[count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)].clone()
    }));
    (names, asked)
}

fn gate(allowed: &[&str], names: Names) -> Gate {
    let allowed = allowed.iter().map(|text| AllowedAddress::parse(text).unwrap()).collect();
    Gate { reach: Arc::new(Reach::Public { allowed }), names }
}

/// A server at the public address, and a listener at the same port of the private one.
struct World {
    port: u16,
    canary: TcpListener,
}

impl World {
    fn new(keeps: bool) -> World {
        let (server, canary) = loop {
            let server = TcpListener::bind((PUBLIC, 0)).unwrap();
            let port = server.local_addr().unwrap().port();
            if let Ok(canary) = TcpListener::bind((PRIVATE, port)) {
                break (server, canary);
            }
        };
        canary.set_nonblocking(true).unwrap();
        let port = server.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in server.incoming().flatten() {
                thread::spawn(move || answer(stream, keeps));
            }
        });
        World { port, canary }
    }

    fn is_untouched(&self) -> bool {
        matches!(self.canary.accept(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

fn answer(mut stream: TcpStream, keeps: bool) {
    while read_head(&mut stream).is_some() {
        let connection = if keeps { "keep-alive" } else { "close" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: {connection}\r\n\r\n");
        if stream.write_all(head.as_bytes()).is_err() || !keeps {
            return;
        }
    }
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

fn client(gate: Gate, proxies: Proxies) -> crate::client::Client {
    pooled(Connector::new(Duration::from_secs(2), proxies, gate, crate::tls::trusting_nobody().unwrap()))
}

/// The status, or the failure.
async fn get(client: &crate::client::Client, url: &str) -> Result<u16, entities::Failure> {
    let mut request = Request::new(RequestBody::new(None, PhaseCell::default()));
    *request.uri_mut() = url.parse::<Uri>().unwrap();
    let second = Duration::from_secs(1);
    let timeouts = TimeOuts { connect: second, idle: second, total: second };
    match client.request(request).await {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(network_error::no_answer(&error, url, "api", &timeouts)),
    }
}

#[tokio::test]
async fn a_name_that_flips_is_caught_at_each_connection() {
    let world = World::new(false);
    let (names, asked) = told(&[&[PUBLIC], &[PRIVATE], &[PUBLIC], &[PRIVATE]]);
    let client = client(gate(&[PUBLIC], names), Proxies::none());
    let url = format!("http://rebind.example:{}/", world.port);
    for nth in 1..=6 {
        let got = get(&client, &url).await;
        // One look-up for each connection: what was checked is what was connected to.
        assert_eq!(asked.load(Ordering::SeqCst), nth);
        if matches!(nth, 1 | 3) {
            assert_eq!(got.as_ref().ok(), Some(&200), "{nth}: {got:?}");
            continue;
        }
        let failure = got.unwrap_err();
        assert_eq!(failure.kind, FailureKind::NotPublic, "{failure:?}");
        let expected = "rebind.example is at 127.0.0.1, a loopback address; \
                        plans of this server may reach public addresses only";
        assert_eq!(failure.message, expected);
        let help = format!(
            "start the server with --allow-private 127.0.0.1:{} if the plan may reach it",
            world.port
        );
        assert_eq!(failure.help, Some(help));
        assert!(world.is_untouched());
    }
}

#[tokio::test]
async fn a_connection_that_is_kept_was_checked() {
    let world = World::new(true);
    let (names, asked) = told(&[&[PUBLIC], &[PRIVATE]]);
    let client = client(gate(&[PUBLIC], names), Proxies::none());
    let url = format!("http://rebind.example:{}/", world.port);
    for _ in 0..5 {
        assert_eq!(get(&client, &url).await, Ok(200));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // The same place by another name is another connection, and is looked up.
    let other = format!("http://other.example:{}/", world.port);
    assert_eq!(get(&client, &other).await.unwrap_err().kind, FailureKind::NotPublic);
    assert!(world.is_untouched());
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_are_tried() {
    let world = World::new(false);
    for answer in [
        &[&[PRIVATE, PUBLIC][..]][..],
        &[&[PUBLIC, PRIVATE]],
        &[&["::1", "169.254.169.254", "10.0.0.1", PUBLIC]],
        &[&["::ffff:127.0.0.1", "::ffff:127.0.0.2"]],
    ] {
        let (names, _) = told(answer);
        let client = client(gate(&[PUBLIC], names), Proxies::none());
        let got = get(&client, &format!("http://mixed.example:{}/", world.port)).await;
        assert_eq!(got, Ok(200), "{answer:?}");
    }
    // The public one does not answer: that is no reason to try the other.
    let (names, _) = told(&[&["127.0.0.3", PRIVATE]]);
    let client = client(gate(&["127.0.0.3"], names), Proxies::none());
    let failure = get(&client, &format!("http://mixed.example:{}/", world.port)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connect, "{failure:?}");
    assert!(world.is_untouched());
}

#[tokio::test]
async fn what_is_allowed() {
    let world = World::new(false);
    let port = world.port;
    let with_port = format!("127.0.0.2:{port}");
    let other_port = format!("127.0.0.2:{}", port ^ 1);
    for (allowed, host, expected) in [
        ("127.0.0.2", "some.example", true),
        (&with_port, "some.example", true),
        (&other_port, "some.example", false),
        ("127.0.0.0/30", "some.example", true),
        ("127.0.0.4/30", "some.example", false),
        ("some.example", "some.example", true),
        ("some.example", "SOME.example.", true),
        ("some.example", "other.example", false),
        ("127.0.0.2", "127.0.0.2", true),
        ("127.0.0.2", "[::ffff:127.0.0.2]", true),
        ("some.example", "127.0.0.2", false),
    ] {
        let (names, _) = told(&[&[PUBLIC]]);
        let client = client(gate(&[allowed], names), Proxies::none());
        let got = get(&client, &format!("http://{host}:{port}/")).await;
        assert_eq!(got.is_ok(), expected, "{allowed} {host}: {got:?}");
        if let Err(failure) = got {
            assert_eq!(failure.kind, FailureKind::NotPublic, "{allowed} {host}");
        }
    }
}

#[tokio::test]
async fn localhost_is_this_machine_whoever_is_asked() {
    for (answers, host, expected) in [
        (&[&[][..]][..], "localhost", FailureKind::NotPublic),
        (&[&[]], "api.LocalHost.", FailureKind::NotPublic),
        (&[&[PRIVATE]], "localhost", FailureKind::NotPublic),
        // None of ours, and nobody knows it.
        (&[&[]], "localhost.example", FailureKind::Connect),
        (&[&[]], "notlocalhost", FailureKind::Connect),
    ] {
        let (names, _) = told(answers);
        let client = client(gate(&[], names), Proxies::none());
        let failure = get(&client, &format!("http://{host}:1/")).await.unwrap_err();
        assert_eq!(failure.kind, expected, "{host}: {failure:?}");
    }
}

/// A proxy that answers whatever it is asked, and keeps the beginning of that.
fn proxy(
    scheme: &str,
    talk: fn(&mut TcpStream) -> Vec<u8>,
) -> (Proxies, Arc<std::sync::Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((PRIVATE, 0)).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = seen.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let asked = talk(&mut stream);
            kept.lock().unwrap().push(asked);
        }
    });
    let settings = ProxySettings { all: Some(format!("{scheme}://{address}")), ..ProxySettings::default() };
    (Proxies::new(&settings).unwrap(), seen)
}

/// What follows the greeting of SOCKS5.
fn socks5(stream: &mut TcpStream) -> Vec<u8> {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).unwrap();
    stream.write_all(&[5, 0]).unwrap();
    let mut asked = vec![0; 4];
    stream.read_exact(&mut asked).unwrap();
    let rest = if asked[3] == 1 { 4 + 2 } else { 16 + 2 };
    if asked[3] == 3 {
        let mut length = [0];
        stream.read_exact(&mut length).unwrap();
        let mut name = vec![0; usize::from(length[0]) + 2];
        stream.read_exact(&mut name).unwrap();
        asked.extend(name);
    } else {
        let mut address = vec![0; rest];
        stream.read_exact(&mut address).unwrap();
        asked.extend(address);
    }
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    answer(stream.try_clone().unwrap(), false);
    asked
}

fn forwards(stream: &mut TcpStream) -> Vec<u8> {
    let head = read_head(stream).unwrap_or_default();
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    head.into_bytes()
}

#[tokio::test]
async fn behind_a_proxy_names_are_judged_by_what_they_are_here() {
    // (the name's addresses here, URL, let through)
    for (answers, url, expected) in [
        (&[&["127.0.0.2"][..]][..], "http://api.example/", true),
        (&[&[PRIVATE]], "http://api.example/", false),
        // It is the proxy that would choose.
        (&[&["127.0.0.2", PRIVATE]], "http://api.example/", false),
        (&[&[]], "http://known-to-the-proxy.example/", true),
        (&[&[]], "http://localhost/", false),
        (&[&[]], "http://x.localhost/", false),
        (&[&[PRIVATE]], "http://allowed.example/", true),
        (&[&["127.0.0.2"]], "http://169.254.169.254/", false),
        (&[&["127.0.0.2"]], "http://[::1]/", false),
        (&[&["127.0.0.2"]], "http://127.0.0.2/", true),
        (&[&[PRIVATE]], "https://api.example/", false),
        (&[&["127.0.0.2"]], "https://127.0.0.1/", false),
    ] {
        for scheme in ["http", "socks5h"] {
            let (names, _) = told(answers);
            let (proxies, seen) = proxy(scheme, if scheme == "http" { forwards } else { socks5 });
            let client = client(gate(&["127.0.0.2", "allowed.example"], names), proxies);
            let got = get(&client, url).await;
            assert_eq!(got.is_ok(), expected, "{scheme} {url} {answers:?}: {got:?}");
            if let Err(failure) = got {
                assert_eq!(failure.kind, FailureKind::NotPublic, "{scheme} {url}: {failure:?}");
                assert!(seen.lock().unwrap().is_empty(), "{scheme} {url}");
            }
        }
    }
}

#[tokio::test]
async fn a_proxy_is_told_the_address_that_was_checked_and_the_right_port() {
    // (proxy, URL, what it is asked for)
    let by_address = [5, 1, 0, 1, 127, 0, 0, 2];
    let by_name = [&[5, 1, 0, 3][..], b"api.example"].concat();
    for (scheme, url, asked, port) in [
        ("socks5", "http://api.example/", &by_address[..], 80_u16),
        ("socks5", "http://api.example:8080/", &by_address[..], 8080),
        ("socks5h", "http://api.example/", &by_name[..], 80),
        ("socks5h", "http://api.example:8080/", &by_name[..], 8080),
    ] {
        let (names, looked_up) = told(&[&["127.0.0.2"], &[PRIVATE]]);
        let (proxies, seen) = proxy(scheme, socks5);
        let client = client(gate(&["127.0.0.2"], names), proxies);
        assert_eq!(get(&client, url).await, Ok(200), "{scheme} {url}");
        assert_eq!(looked_up.load(Ordering::SeqCst), 1);
        let deadline = 200;
        for turn in 0.. {
            if let Some(seen) = seen.lock().unwrap().first() {
                assert_eq!(*seen, [asked, &port.to_be_bytes()].concat(), "{scheme} {url}");
                break;
            }
            assert!(turn < deadline, "{scheme} {url}: nothing seen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
