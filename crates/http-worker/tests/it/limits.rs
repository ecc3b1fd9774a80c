//! What answers say about limits, and how it reaches the engine.

use std::time::Duration;

use entities::{Cost, Execution, Grant, Hop, JqText, Limit, LimitNews, Limits, Moment, Outcome, ServerQuota};

use crate::plans::Case;
use crate::server::{Server, Then, answer};
use crate::tokens::oauth2;

const QUOTA: &str = "Content-Type: application/json\r\nX-RateLimit-Limit: 5000\r\nX-RateLimit-Remaining: 4999\r\n\
                     X-RateLimit-Reset: 60\r\n";

fn quota() -> ServerQuota {
    let (limit, resets_in) = (Some(5000), Some(Duration::from_secs(60)));
    ServerQuota { limit, window: None, remaining: 4999, resets_in }
}

fn news(execution: Execution) -> LimitNews {
    execution.news.map(|news| *news).unwrap_or_default()
}

#[tokio::test]
async fn every_answer_says_what_is_left_and_what_it_cost() {
    let cost = |edit: &mut Case| {
        let cost = Cost::Read { actual: JqText::new(".cost"), most: Some(9) };
        let limit = Limit::plain(100, Duration::from_secs(60), "100/min");
        edit.endpoint.limits = Limits::Declared(vec![limit.clone(), Limit { cost: Some(cost), ..limit }]);
    };
    for (status, body, costs) in [
        (200, "{\"cost\": 7}", vec![(1, 7)]),
        (200, "{}", vec![]),
        (404, "{\"cost\": 7}", vec![(1, 7)]),
        (429, "{\"cost\": 7}", vec![(1, 7)]),
        (500, "oh dear", vec![]),
        (302, "", vec![]),
    ] {
        let bytes = answer(status, &format!("{QUOTA}Location: /y\r\n"), body.as_bytes());
        let server = Server::start(move |_| (bytes.clone(), Then::Keep));
        let execution = Case::get(&server.origin, "/x", cost).run().await.unwrap();
        assert_eq!(news(execution), LimitNews { quotas: vec![quota()], costs }, "{status} {body}");
    }
    let server = Server::empty();
    let execution = Case::get(&server.origin, "/x", cost).run().await.unwrap();
    assert_eq!(execution.news, None);
}

#[tokio::test]
async fn a_token_s_answer_counts_if_it_is_the_api_s() {
    let body = br#"{"access_token":"token-1","expires_in":60}"#;
    let start = || Server::start(|_| (answer(200, QUOTA, body), Then::Keep));
    let (api, elsewhere) = (start(), start());
    for (tokens, quotas) in [(&api, vec![quota()]), (&elsewhere, vec![])] {
        let url = format!("{}/token", tokens.origin);
        let case = Case::get(&api.origin, "/x", |case| {
            case.endpoint.auth = oauth2(&url, Grant::ClientCredentials, |_| {});
        });
        let execution = case.run().await.unwrap();
        assert!(matches!(execution.outcome, Outcome::Hop(Hop::Renewed { .. })), "{execution:?}");
        assert_eq!(news(execution).quotas, quotas);
    }
    // So for a redirect that leads elsewhere.
    for (bare, quotas) in [(true, vec![]), (false, vec![quota()])] {
        let url = format!("{}/y", api.origin);
        let mut case = Case::get(&api.origin, "/x", |_| {});
        case.hop = Some(Hop::Redirect { url, count: 1, get: false, bare, renewed: 0 });
        assert_eq!(news(case.run().await.unwrap()).quotas, quotas, "bare: {bare}");
    }
}

/// (status, headers, how long)
#[tokio::test]
async fn a_refusal_waits_for_the_latest_of_what_it_names() {
    let left = |remaining: &str, reset: u32| {
        format!("X-RateLimit-Remaining: {remaining}\r\nX-RateLimit-Reset: {reset}\r\n")
    };
    for (status, headers, expected) in [
        (429, "Retry-After: 5\r\n".to_owned(), Some(5)),
        (429, format!("Retry-After: 5\r\n{}", left("0", 30)), Some(30)),
        (429, format!("Retry-After: 60\r\n{}", left("0", 30)), Some(60)),
        (429, format!("Retry-After: 5\r\n{}", left("12", 30)), Some(5)),
        (429, left("0", 30), Some(30)),
        (429, left("12", 30), Some(30)),
        (429, "RateLimit: \"a\";r=0;t=12, \"b\";r=0;t=50, \"c\";r=9;t=99\r\n".to_owned(), Some(50)),
        (429, left("0", 0), None),
        (429, String::new(), None),
        (503, format!("Retry-After: 5\r\n{}", left("0", 30)), Some(30)),
        (403, left("0", 30), Some(30)),
        (403, format!("Retry-After: 5\r\n{}", left("12", 30)), Some(5)),
    ] {
        let bytes = answer(status, &headers, b"");
        let server = Server::start(move |_| (bytes.clone(), Then::Keep));
        let execution = Case::get(&server.origin, "/x", |_| {}).run().await.unwrap();
        let Outcome::Wait { how_long, .. } = execution.outcome else { panic!("{execution:?}") };
        assert_eq!(how_long, expected.map(Duration::from_secs), "{status} {headers}");
    }
}

/// Whatever bytes a server puts there, its answer is read or it is a failure; nothing panics or hangs.
#[tokio::test]
async fn headers_of_any_bytes_are_survived() {
    const SEED: u64 = 20_261_122;
    const NAMES: [&str; 9] = [
        "Retry-After",
        "Set-Cookie",
        "Date",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-Rate-Limit-Reset",
        "RateLimit",
        "RateLimit-Policy",
        "RateLimit-Reset",
    ];
    let mut state = SEED;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let (mut read, mut failed) = (0, 0);
    for round in 0..400 {
        let status = [200, 200, 429, 403, 503][next(5)];
        let mut bytes = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n").into_bytes();
        for _ in 0..next(6) {
            bytes.extend_from_slice(NAMES[next(NAMES.len())].as_bytes());
            bytes.extend_from_slice(b": ");
            for _ in 0..next(20) {
                let any = u8::try_from(next(256)).unwrap();
                let likely = b"0123456789;=,\" rtqwGMT:-.";
                bytes.push(if next(4) == 0 { any } else { likely[next(likely.len())] });
            }
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n[]");
        let sent = bytes.clone();
        let server = Server::start(move |_| (sent.clone(), Then::Close));
        let execution = Case::get(&server.origin, "/x", |_| {}).run().await.unwrap();
        assert!(execution.finished >= Moment(0));
        match execution.outcome {
            Outcome::Landed(_) | Outcome::Wait { .. } | Outcome::Failed(_) => read += 1,
            Outcome::Retry { .. } => failed += 1,
            Outcome::Hop(_) => panic!("seed {SEED}, round {round}: {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    assert!(read > 100 && failed > 0, "{read} {failed}");
}
