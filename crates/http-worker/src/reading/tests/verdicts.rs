//! What answers mean: rules first, then the defaults.

use super::*;

#[test]
fn what_is_not_read_is_told_by_its_name() {
    let choose = "say what the answer is: decode = \"json\", \"jsonl\", \"csv\", \"xml\" or \"text\"";
    for (kind, body, expected) in [
        ("application/pdf", "%PDF", Some("the answer calls itself application/pdf, which is not read")),
        ("text/plain; charset=utf-8", "a,b\n1,2\n", Some(choose)),
        ("application/json", "{}\n{}\n", None),
        ("text/plain", "{", Some(choose)),
    ] {
        let failure = Case { headers: vec![("content-type", kind)], ..Case::new(spec("a"), body) }.failed();
        assert_eq!(failure.help.as_deref(), expected, "{kind}");
    }
}

#[test]
fn defaults() {
    for (status, headers, body, expected) in [
        (200, vec![], "[]", "landed"),
        (201, vec![], "[]", "landed"),
        (204, vec![], "", "landed"),
        (200, vec![], "", "failed decode: empty body: the answer should be JSON"),
        (200, vec![], "<html>", "failed decode: the answer is HTML, not JSON"),
        (408, vec![], "", "retry status: 408 Request Timeout, None"),
        (500, vec![], r#"{"error":"boom"}"#, "retry status: 500 Internal Server Error: boom, None"),
        (500, vec![("retry-after", "7")], "", "retry status: 500 Internal Server Error, Some(7s)"),
        (503, vec![], "<html>", "retry status: 503 Service Unavailable, None"),
        (503, vec![("retry-after", "7")], "", "wait rate_limited: 503 Service Unavailable, Some(7s)"),
        (429, vec![], "", "wait rate_limited: 429 Too Many Requests, None"),
        (429, vec![("retry-after", "100000")], "", "wait rate_limited: 429 Too Many Requests, Some(100000s)"),
        (429, vec![("retry-after", "0")], "", "wait rate_limited: 429 Too Many Requests, None"),
        (429, vec![("x-ratelimit-reset", "30")], "", "wait rate_limited: 429 Too Many Requests, Some(30s)"),
        (
            403,
            vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "60")],
            "",
            "wait rate_limited: 403 Forbidden, Some(60s)",
        ),
        (403, vec![("retry-after", "60")], "", "wait rate_limited: 403 Forbidden, Some(60s)"),
        (403, vec![("x-ratelimit-remaining", "12")], "", "failed status: 403 Forbidden"),
        (
            401,
            vec![],
            r#"{"message":"Bad\ncredentials"}"#,
            "failed unauthorized: 401 Unauthorized: Bad credentials",
        ),
        (404, vec![], r#"{"errors":[{"message":"no such"}]}"#, "failed status: 404 Not Found: no such"),
        (422, vec![], r#"{"error":{"message":"odd"}}"#, "failed status: 422 Unprocessable Entity: odd"),
        (400, vec![], r#"{"detail":"page"}"#, "failed status: 400 Bad Request: page"),
        (400, vec![], r#"{"msg":"抱歉"}"#, "failed status: 400 Bad Request: 抱歉"),
        (304, vec![], "", "failed status: 304 Not Modified"),
        (999, vec![], "", "failed status: 999"),
    ] {
        let case = Case { headers: headers.clone(), ..Case::new(spec("a"), body).status(status) };
        let said = match case.read() {
            Outcome::Landed(_) => "landed".to_owned(),
            Outcome::Retry { failure, after } => format!("retry {failure}, {after:?}"),
            Outcome::Wait { failure, how_long } => format!("wait {failure}, {how_long:?}"),
            Outcome::Failed(failure) => format!("failed {failure}"),
            Outcome::Hop(_) => "hop".to_owned(),
        };
        assert_eq!(said, expected, "{status} {headers:?} {body}");
    }
}

#[test]
fn long_words_are_cut() {
    let body = json!({ "message": "é".repeat(1000) }).to_string();
    let failure = Case::new(spec("a"), &body).status(404).failed();
    assert_eq!(failure.message.chars().count(), "404 Not Found: ".chars().count() + 201);
}

#[test]
fn rules_come_first() {
    let wait = OnAction::Wait { how_long: Some(Duration::from_secs(60)) };
    let mut task = spec("a");
    task.on = vec![
        rule(vec![(404, 404), (410, 410)], None, OnAction::Skip),
        rule(vec![], jq(".code == 40203"), wait),
        rule(vec![(200, 299)], jq(".code != null and .code != 0"), OnAction::Fail),
        rule(vec![(500, 599)], None, OnAction::Fail),
        rule(vec![(409, 409)], None, OnAction::Stop),
        rule(
            vec![],
            jq("$status == 418 and $headers[\"x-y\"] == \"z\" and $vars.since == \"2024\""),
            OnAction::Retry,
        ),
    ];
    let case = |status, body: &str| Case {
        headers: vec![("x-y", "z"), ("retry-after", "90")],
        on: vec![rule(vec![(404, 404)], None, OnAction::Retry), rule(vec![(420, 420)], None, wait)],
        ..Case::new(task.clone(), body).status(status)
    };
    assert!(case(404, "").landed().skipped);
    assert!(case(410, "<html>").landed().skipped);
    let stopped = case(409, "{}").landed();
    assert!(!stopped.skipped && stopped.records.rows == 0 && matches!(stopped.next, Next::End));
    assert_eq!(case(503, "{}").failed().kind, FailureKind::Rule);
    assert_eq!(case(200, r#"{"code":7}"#).failed().kind, FailureKind::Rule);
    assert_eq!(case(200, r#"{"code":0}"#).landed().records.rows, 1);
    assert!(matches!(case(418, "{}").read(), Outcome::Retry { .. }));
    for (status, body) in [(200, r#"{"code":40203}"#), (420, "")] {
        match case(status, body).read() {
            Outcome::Wait { how_long, .. } => {
                assert_eq!(how_long, Some(Duration::from_secs(90)), "the longer")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_reset_counts_only_for_a_limit() {
    let wait = OnAction::Wait { how_long: Some(Duration::from_secs(60)) };
    for (status, action, remaining, expected) in [
        (500, OnAction::Retry, "12", None),
        (200, wait, "12", Some(60)),
        (200, wait, "0", Some(3000)),
        (429, wait, "12", Some(3000)),
    ] {
        let mut task = spec("a");
        task.on = vec![rule(vec![], None, action)];
        let headers = vec![("x-ratelimit-reset", "3000"), ("x-ratelimit-remaining", remaining)];
        let said = match (Case { headers, ..Case::new(task, "{}").status(status) }).read() {
            Outcome::Retry { after, .. } => after,
            Outcome::Wait { how_long, .. } => how_long,
            other => panic!("{other:?}"),
        };
        assert_eq!(said, expected.map(Duration::from_secs), "{status} {remaining}");
    }
}

proptest::proptest! {
    #[test]
    fn any_answer_is_read(status in 100u16..600, body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
        let mut task = spec("a");
        task.reading.records = jq(".rows[]?");
        task.paginate = paginate(PaginateBy::Url { next: JqText::new(".next") });
        task.on = vec![rule(vec![(500, 599)], jq(".a == 1"), OnAction::Skip)];
        let _ = Case { body: body.into(), ..Case::new(task, "").status(status) }.read();
    }
}
