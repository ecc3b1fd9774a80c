//! Plans that may reach public addresses only, over real sockets: a listener on every address of this
//! machine that must see no connection at all.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use entities::{
    FailureClass, FailureKind, Grant, Hop, JqText, Next, Outcome, Paginate, PaginateBy, Place, Redirects,
};
use http_worker::{AllowedAddress, Reach};

use crate::plans::{Case, drive, failure_of};
use crate::server::{Server, Then, answer, ok};
use crate::tokens::{login, oauth2};

/// Listens at one port of every address of this machine, and answers nobody.
struct Canary {
    listener: TcpListener,
    port: u16,
}

impl Canary {
    fn new() -> Canary {
        // Takes IPv4 too.
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))
            .unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        Canary { listener, port }
    }

    /// Whether anyone has connected since it was asked last.
    fn is_touched(&self) -> bool {
        let mut touched = false;
        loop {
            match self.listener.accept() {
                Ok(_) => touched = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return touched,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn public(allowed: &[&str]) -> Reach {
    Reach::Public { allowed: allowed.iter().map(|text| AllowedAddress::parse(text).unwrap()).collect() }
}

/// A server that plans may reach, and nothing else of this machine.
fn beside(server: &Server) -> Reach {
    public(&[&format!("127.0.0.1:{}", server.port)])
}

/// Spellings of hosts that are not public.
const HOSTS: &[&str] = &[
    // Loopback.
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.01",
    "00000000177.0.0.1",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "127.0.0%2e1",
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0．0．1",
    "①②⑦.⓪.⓪.①",
    "0",
    "0.0.0.0",
    "0x0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "api.localhost",
    "loc%61lhost",
    "ｌｏｃａｌｈｏｓｔ",
    "lo\u{ad}calhost",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    // The metadata of clouds.
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "169.254.43518",
    "169.16689662",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fd00:ec2::254]",
    "[fe80::a9fe:a9fe]",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    // Networks of one's own, and what nobody has.
    "10.0.0.1",
    "167772161",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "0300.0250.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[fc00::1]",
    "[fdff::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[2001:0:7f00:1::]",
];

#[tokio::test]
async fn no_spelling_of_a_private_host_is_connected_to() {
    let canary = Canary::new();
    assert!(HOSTS.len() >= 70);
    for host in HOSTS {
        for scheme in ["http", "https"] {
            let base = format!("{scheme}://{host}:{}", canary.port);
            let failure =
                Case::get(&base, "/latest/meta-data", |case| case.reach = public(&[])).failure().await;
            assert_eq!(
                (failure.kind, failure.class),
                (FailureKind::NotPublic, FailureClass::Permanent),
                "{base}: {failure:?}"
            );
            assert!(failure.help.unwrap().contains("--allow-private "), "{base}");
            assert!(!canary.is_touched(), "{base}");
        }
    }
    // The canary does see those who come, and what is allowed is reached.
    for (base, reach) in [
        (format!("http://127.0.0.1:{}", canary.port), Reach::Anywhere),
        (format!("http://0x7f.1:{}", canary.port), Reach::Anywhere),
        (format!("http://0x7f.1:{}", canary.port), public(&["127.0.0.0/8"])),
        (format!("http://[::ffff:127.0.0.1]:{}", canary.port), public(&["127.0.0.1"])),
        (format!("http://localhost:{}", canary.port), public(&["127.0.0.1"])),
        (format!("http://LocalHost:{}", canary.port), public(&["localhost"])),
    ] {
        let failure = Case::get(&base, "/x", |case| case.reach = reach.clone()).failure().await;
        assert_eq!(failure.kind, FailureKind::TimedOut, "{base} {reach:?}: {failure:?}");
        assert!(canary.is_touched(), "{base} {reach:?}");
    }
}

#[tokio::test]
async fn urls_that_pretend_to_lead_elsewhere() {
    let canary = Canary::new();
    let port = canary.port;
    for (base, expected) in [
        (format!("http://api.example@127.0.0.1:{port}"), FailureKind::Expression),
        (format!("http://api.example:80@127.0.0.1:{port}"), FailureKind::Expression),
        (format!("http://127.0.0.1:{port}#@api.example"), FailureKind::Expression),
        (format!("http://127.0.0.1:{port}?@api.example"), FailureKind::Expression),
        (format!("http:127.0.0.1:{port}"), FailureKind::NotPublic),
        (format!("http:/127.0.0.1:{port}"), FailureKind::NotPublic),
        (format!("http:\\\\127.0.0.1:{port}"), FailureKind::NotPublic),
        (format!("HTTP://127.0.0.1:{port}"), FailureKind::NotPublic),
        (format!("http://\t127.0.\n0.1:{port}"), FailureKind::NotPublic),
        (format!("http://127.0.0.1:{port}\\@api.example"), FailureKind::NotPublic),
        (format!("http://127.0.0.1:{port}/@api.example"), FailureKind::NotPublic),
        (format!("http://127.0.0.1:0{port}"), FailureKind::NotPublic),
        (format!("http://[::1%25lo]:{port}"), FailureKind::Expression),
        (format!("http://127.0.0.1%00:{port}"), FailureKind::Expression),
        (format!("http://127.0.0.256:{port}"), FailureKind::Expression),
        (format!("ftp://127.0.0.1:{port}"), FailureKind::Expression),
    ] {
        let failure = Case::get(&base, "/x", |case| case.reach = public(&[])).failure().await;
        assert_eq!(failure.kind, expected, "{base}: {failure:?}");
        assert!(!canary.is_touched(), "{base}");
    }
}

#[tokio::test]
async fn the_failure_names_host_place_and_way_out_and_not_what_listens() {
    let canary = Canary::new();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let at = Place { start: 10, end: 20, line: 3, column: 12 };
    let mut messages = Vec::new();
    for port in [canary.port, closed] {
        let case = Case::get(&format!("http://127.0.0.1:{port}"), "/x", |case| {
            case.reach = public(&[]);
            case.endpoint.base_url.at = at;
        });
        let failure = case.failure().await;
        assert_eq!(failure.place, Some(at));
        assert_eq!(failure.status, None);
        messages.push(format!("{failure:?}").replace(&port.to_string(), "PORT"));
    }
    assert_eq!(messages[0], messages[1]);
    assert!(messages[0].contains("127.0.0.1 is a loopback address"), "{}", messages[0]);
    assert!(messages[0].contains("--allow-private 127.0.0.1:PORT"), "{}", messages[0]);
    assert!(messages[0].contains("GET http://127.0.0.1:PORT/x"), "{}", messages[0]);
    assert!(!canary.is_touched());
}

#[tokio::test]
async fn redirects_to_private_addresses() {
    let canary = Canary::new();
    for status in [301, 302, 303, 307, 308] {
        for host in ["127.0.0.1", "2130706433", "[::1]", "localhost", "169.254.169.254", "[::ffff:7f00:1]"] {
            let target = format!("http://{host}:{}", canary.port);
            let location = format!("Location: {target}/latest\r\n");
            let server = Server::start(move |_| (answer(status, &location, b""), Then::Keep));
            let case = Case::get(&server.origin, "/x", |case| {
                case.reach = beside(&server);
                case.spec.redirects = Redirects::Origins(vec![target.clone()]);
            });
            let (outcome, grants) = drive(&case.workers(), &case.job()).await;
            let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
            assert_eq!((failure.kind, grants), (FailureKind::NotPublic, 2), "{target}: {failure:?}");
            assert_eq!(failure.class, FailureClass::Permanent);
            assert!(!canary.is_touched(), "{status} {target}");
            // Without the list it is refused before.
            let case = Case::get(&server.origin, "/x", |case| case.reach = beside(&server));
            assert_eq!(case.failure().await.kind, FailureKind::Redirect);
            assert!(!canary.is_touched(), "{status} {target}");
        }
    }
}

#[tokio::test]
async fn next_pages_at_private_addresses() {
    let canary = Canary::new();
    for next in [
        "http://169.254.169.254/latest/meta-data",
        &format!("http://127.0.0.1:{}/", canary.port),
        &format!("//127.0.0.1:{}/", canary.port),
        &format!("http://localhost:{}/", canary.port),
        &format!("http:\\\\[::1]:{}/", canary.port),
    ] {
        let link = format!("Content-Type: application/json\r\nLink: <{next}>; rel=\"next\"\r\n");
        let body = serde_json::json!({ "rows": [{ "id": 1 }], "next": next }).to_string();
        let server = Server::start(move |_| (answer(200, &link, body.as_bytes()), Then::Keep));
        for by in
            [PaginateBy::Url { next: JqText::new(".next") }, PaginateBy::Link { rel: "next".to_owned() }]
        {
            let case = Case::get(&server.origin, "/x", |case| {
                case.reach = beside(&server);
                case.spec.reading.records = Some(JqText::new(".rows[]"));
                case.spec.paginate =
                    Some(Paginate { by: by.clone(), until: None, max_pages: None, at: Place::default() });
            });
            let execution = case.run().await.unwrap();
            let failure = match execution.outcome {
                Outcome::Landed(landed) => match landed.next {
                    Next::Broken(_, failure) => failure,
                    other => panic!("{next}: {other:?}"),
                },
                _ => failure_of(execution),
            };
            assert_eq!(failure.kind, FailureKind::Redirect, "{next} {by:?}: {failure:?}");
            assert!(!canary.is_touched(), "{next}");
        }
    }
}

#[tokio::test]
async fn token_requests_to_private_addresses() {
    let canary = Canary::new();
    let server = Server::empty();
    for host in ["127.0.0.1", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"] {
        let case = Case::get(&server.origin, "/x", |case| {
            case.reach = beside(&server);
            let url = format!("http://{host}:{}/token", canary.port);
            case.endpoint.auth = oauth2(&url, Grant::ClientCredentials, |_| {});
        });
        let workers = case.workers();
        for _ in 0..3 {
            let (outcome, _) = drive(&workers, &case.job()).await;
            let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
            assert_eq!(failure.kind, FailureKind::NotPublic, "{host}: {failure:?}");
            assert_eq!(failure.place.map(|place| place.line), Some(3), "{failure:?}");
        }
        assert!(!canary.is_touched(), "{host}");
    }
    assert!(server.requests().is_empty());
    // A login goes to the endpoint's own origin.
    let case = Case::get(&format!("http://127.0.0.1:{}", canary.port), "/x", |case| {
        case.reach = beside(&server);
        case.endpoint.auth = login(|_| {});
    });
    assert_eq!(case.failure().await.kind, FailureKind::NotPublic);
    assert!(!canary.is_touched());
}

#[tokio::test]
async fn the_practice_api_is_exempt_and_nothing_it_leads_to() {
    let canary = Canary::new();
    let location = format!("http://127.0.0.1:{}/latest", canary.port);
    let (away, hop) = (format!("http://127.0.0.1:{}", canary.port), format!("Location: {location}\r\n"));
    let sandbox = Server::start(move |request| match request.split(' ').nth(1).unwrap() {
        "/market/away" => (answer(302, &hop, b""), Then::Keep),
        "/market/near" => (answer(302, "Location: /market/x\r\n", b""), Then::Keep),
        "/market/token" => (ok("application/json", br#"{"access_token":"t0k3n"}"#), Then::Keep),
        _ => (ok("application/json", b"[]"), Then::Keep),
    });
    let case = |path: &str| {
        Case::get("sandbox://market", path, |case| {
            case.reach = public(&[]);
            case.sandbox = Some(sandbox.origin.clone());
            case.spec.redirects = Redirects::Origins(vec![away.clone()]);
            case.endpoint.auth = oauth2("token", Grant::ClientCredentials, |_| {});
        })
    };
    for path in ["/x", "/near"] {
        let case = case(path);
        let (outcome, _) = drive(&case.workers(), &case.job()).await;
        assert!(matches!(outcome, Outcome::Landed(_)), "{path}: {outcome:?}");
    }
    let case = case("/away");
    let (outcome, _) = drive(&case.workers(), &case.job()).await;
    let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.kind, FailureKind::NotPublic, "{failure:?}");
    assert!(!canary.is_touched());
    // Its port is nobody else's to reach: not by its address, not by a hop.
    let before = sandbox.requests().len();
    let plain = Case::get(&sandbox.origin, "/market/x", |case| {
        case.reach = public(&[]);
        case.sandbox = Some(sandbox.origin.clone());
    });
    assert_eq!(plain.failure().await.kind, FailureKind::NotPublic);
    let hop = Case::get("sandbox://market", "/x", |case| {
        case.reach = public(&[]);
        case.sandbox = Some(sandbox.origin.clone());
        let url = format!("{}/market/x", sandbox.origin);
        case.hop = Some(Hop::Redirect { url, count: 2, get: true, bare: true, renewed: 0 });
    });
    assert_eq!(hop.failure().await.kind, FailureKind::NotPublic);
    assert_eq!(sandbox.requests().len(), before);
}

#[tokio::test]
async fn the_owners_proxy_may_be_private_and_what_is_behind_it_may_not() {
    let canary = Canary::new();
    let proxy = Server::empty();
    let behind = |base: &str| {
        Case::get(base, "/x", |case| {
            case.reach = public(&[]);
            case.proxy.all = Some(format!("http://127.0.0.1:{}", proxy.port));
        })
    };
    for scheme in ["http", "https"] {
        for host in [
            "127.0.0.1",
            "0x7f.1",
            "169.254.169.254",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "localhost",
            "a.localhost",
        ] {
            let base = format!("{scheme}://{host}:{}", canary.port);
            let failure = behind(&base).failure().await;
            assert_eq!(failure.kind, FailureKind::NotPublic, "{base}: {failure:?}");
        }
    }
    assert!(proxy.requests().is_empty() && !canary.is_touched());
    // What no name server here knows is the proxy's to find.
    assert_eq!(behind("http://known-to-the-proxy.invalid").run().await.unwrap().status, Some(200));
    assert_eq!(proxy.requests().len(), 1);
}
