//! Redirects: within an origin they are hops that take a grant, across origins nothing is sent.

use entities::{Auth, Body, FailureKind, Hop, Outcome, ValueTemplate};

use crate::plans::{Case, failure_of, template};
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
    assert_eq!(hop, Hop::Redirect { url: format!("{}/new?x=1", server.origin), count: 1, get: true });
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
            case.hop = Some(Hop::Redirect { url: format!("{}/stolen", other.origin), count: 1, get: false });
        });
        assert_eq!(case.failure().await.kind, FailureKind::Redirect);
    }
    assert!(other.requests().is_empty());
}
