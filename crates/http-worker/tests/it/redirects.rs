//! Redirects: within an origin they are hops that take a grant; to other origins, if they are listed,
//! nothing of the plan goes along.

use entities::{Auth, Body, FailureKind, Hop, KeyPlace, Outcome, Redirects, ValueTemplate};

use crate::plans::{Case, drive, failure_of, template};
use crate::server::{Server, Then, answer, ok};

#[tokio::test]
async fn a_hop_is_another_grant_and_keeps_the_credentials() {
    let server = Server::start(|request| match request.contains(" /old") {
        true => (answer(302, "Location: /new?x=1\r\n", b"moved"), Then::Keep),
        false => (ok("application/json", b"[]"), Then::Keep),
    });
    let mut case = Case::post(&server.origin, "/old", |case| {
        case.endpoint.auth = Auth::Bearer(template("{{ secrets.canary }}"));
        case.spec.body = Body::Json(ValueTemplate::Map(vec![]));
    });
    let execution = case.run().await.unwrap();
    assert_eq!(execution.status, Some(302));
    let hop = match execution.outcome {
        Outcome::Hop(hop) => hop,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        hop,
        Hop::Redirect {
            url: format!("{}/new?x=1", server.origin),
            count: 1,
            get: true,
            bare: false,
            renewed: 0
        }
    );
    case.hop = Some(hop);
    assert_eq!(case.run().await.unwrap().status, Some(200));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests[1].starts_with("GET /new?x=1 ") && requests[1].contains("Bearer c4n4ry"),
        "{}",
        requests[1]
    );
    assert!(!requests[1].to_lowercase().contains("content-"), "{}", requests[1]);
}

#[tokio::test]
async fn nothing_reaches_another_origin() {
    let other = Server::empty();
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/stolen", other.origin);
        let server =
            Server::start(move |_| (answer(status, &format!("Location: {location}\r\n"), b""), Then::Keep));
        let case = Case::get(&server.origin, "/x", |case| {
            case.endpoint.auth = Auth::Bearer(template("{{ secrets.canary }}"));
            case.endpoint.headers = vec![("X-Plan".to_owned(), template("p"))];
        });
        let failure = failure_of(case.run().await.unwrap());
        assert_eq!((failure.kind, failure.status), (FailureKind::Redirect, Some(status)));
        assert!(
            failure.message.contains(&server.origin) && failure.message.contains(&other.origin),
            "{failure:?}"
        );
        // Nor does a hop or a next URL that someone slipped in.
        let case = Case::get(&server.origin, "/x", |case| {
            case.hop = Some(Hop::Redirect {
                url: format!("{}/stolen", other.origin),
                count: 1,
                get: false,
                bare: false,
                renewed: 0,
            });
        });
        assert_eq!(case.failure().await.kind, FailureKind::Redirect);
    }
    assert!(other.requests().is_empty());
}

/// All that a plan sends beside a GET of a path: none of it may come along to another origin.
fn loaded(case: &mut Case, away: &str) {
    let secret = || template("{{ secrets.canary }}");
    case.endpoint.auth = Auth::ApiKey { place: KeyPlace::Cookie("sid".to_owned()), value: secret() };
    case.endpoint.headers = vec![
        ("X-Plan".to_owned(), template("p-l-a-n")),
        ("Authorization".to_owned(), secret()),
        ("Proxy-Authorization".to_owned(), secret()),
        ("Cookie".to_owned(), template("own=p-l-a-n")),
        ("User-Agent".to_owned(), template("p-l-a-n")),
    ];
    case.endpoint.query = vec![("q".to_owned(), crate::plans::text("p-l-a-n"))];
    case.spec.idempotency = Some("Idempotency-Key".to_owned());
    case.spec.redirects = Redirects::Origins(vec![away.to_owned()]);
}

#[tokio::test]
async fn to_a_listed_origin_and_back_goes_nothing_of_the_plan() {
    for status in [301, 302, 303, 307, 308] {
        // a → b → a: what went home again stays bare.
        let home_port = std::sync::Arc::new(std::sync::atomic::AtomicU16::new(0));
        let port = home_port.clone();
        let away = Server::start(move |_| {
            let port = port.load(std::sync::atomic::Ordering::SeqCst);
            let headers = format!("Location: http://127.0.0.1:{port}/back\r\nSet-Cookie: c=1\r\n");
            (answer(status, &headers, b""), Then::Keep)
        });
        let location = format!("Location: {}/away?signed=x\r\n", away.origin);
        let home = Server::start(move |request| match request.contains(" /back") {
            true => (ok("application/json", b"[{\"id\":1}]"), Then::Keep),
            false => (answer(status, &location, b""), Then::Keep),
        });
        home_port.store(home.port, std::sync::atomic::Ordering::SeqCst);
        let case = Case::get(&home.origin, "/x", |case| loaded(case, &away.origin));
        let (outcome, grants) = drive(&case.workers(), &case.job()).await;
        assert!(matches!(outcome, Outcome::Landed(_)) && grants == 3, "{outcome:?} {grants}");
        let first = &home.requests()[0];
        for part in ["p-l-a-n", "c4n4ry", "idempotency-key"] {
            assert!(first.contains(part), "{part}: {first}");
        }
        for bare in [&away.requests()[0], &home.requests()[1]] {
            for part in ["p-l-a-n", "c4n4ry", "idempotency-key", "cookie", "authorization", "referer"] {
                assert!(!bare.to_lowercase().contains(part), "{part}: {bare}");
            }
            assert!(bare.starts_with("GET ") && bare.contains("user-agent: syncctl/test"), "{bare}");
        }
    }
}

#[tokio::test]
async fn what_may_not_leave() {
    let away = Server::empty();
    type Edit = fn(&mut Case);
    let cases: [(Edit, u16, &str, &str); 4] = [
        // A POST's body stays.
        (|case| case.spec.body = Body::Json(ValueTemplate::Map(vec![])), 307, "/y", "redirects a POST"),
        (|_| {}, 302, "/y?key=c4n4ry%2F%2B%20%22key%22", "with a secret in the URL"),
        (|case| case.spec.redirects = Redirects::SameOrigin, 302, "/y", "another origin"),
        (
            |case| case.spec.redirects = Redirects::Origins(vec!["http://127.0.0.1:1".to_owned()]),
            302,
            "/y",
            "another origin",
        ),
    ];
    for (edit, status, path, part) in cases {
        let location = format!("Location: {}{path}\r\n", away.origin);
        let home = Server::start(move |_| (answer(status, &location, b""), Then::Keep));
        let case = Case::post(&home.origin, "/x", |case| {
            loaded(case, &away.origin);
            edit(case);
        });
        let failure = case.failure().await;
        assert_eq!(failure.kind, FailureKind::Redirect);
        assert!(failure.message.contains(part), "{failure:?}");
        assert!(!format!("{failure:?}").contains("c4n4ry"), "{failure:?}");
    }
    assert!(away.requests().is_empty());
    // A POST without a body has nothing to leave behind.
    let location = format!("Location: {}/y\r\n", away.origin);
    let home = Server::start(move |_| (answer(308, &location, b""), Then::Keep));
    let case = Case::post(&home.origin, "/x", |case| loaded(case, &away.origin));
    assert!(matches!(drive(&case.workers(), &case.job()).await.0, Outcome::Landed(_)));
    assert!(away.requests()[0].starts_with("POST /y "), "{:?}", away.requests());
}

#[tokio::test]
async fn a_failure_elsewhere_names_it_without_its_query() {
    let away = Server::start(|_| (answer(403, "", b"expired"), Then::Keep));
    let location = format!("Location: {}/file?X-Signature=abcdef\r\n", away.origin);
    let home = Server::start(move |_| (answer(302, &location, b""), Then::Keep));
    let case = Case::get(&home.origin, "/x", |case| loaded(case, &away.origin));
    let (outcome, _) = drive(&case.workers(), &case.job()).await;
    let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.request, Some(format!("GET {}/file?***", away.origin)));
    assert!(!format!("{failure:?}").contains("abcdef"), "{failure:?}");
}
