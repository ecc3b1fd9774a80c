//! What a request looks like on the wire.

use entities::{
    Auth, Body, CursorSpec, JqText, KeyPlace, Paginate, PaginateBy, ParamPlace, Place, Position, SizeParam,
    ValueTemplate,
};
use entities::{Worker, WorkerFactory, WorkerId};
use serde_json::json;

use crate::plans::{CANARY, Case, template, text};
use crate::server::Server;

/// Sends it and returns the request's text, the head in its own case.
async fn sent(edit: impl FnOnce(&mut Case)) -> String {
    let server = Server::empty();
    let case = Case::get(&server.origin, "/things", edit);
    case.run().await.expect("it compiles");
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    requests.into_iter().next().unwrap()
}

fn check(request: &str, parts: &[&str], absent: &[&str]) {
    let lower = request.to_lowercase();
    for part in parts {
        assert!(lower.contains(&part.to_lowercase()), "`{part}` is not in:\n{request}");
    }
    for part in absent {
        assert!(!lower.contains(&part.to_lowercase()), "`{part}` is in:\n{request}");
    }
}

#[tokio::test]
async fn defaults() {
    check(
        &sent(|_| {}).await,
        &[
            "GET /things HTTP/1.1\r\n",
            "accept: application/json\r\n",
            "accept-encoding: gzip, br, zstd, deflate\r\n",
            "user-agent: syncctl/test\r\n",
            "host: 127.0.0.1:",
        ],
        &["authorization", "content-length", "cookie"],
    );
}

#[tokio::test]
async fn credentials() {
    let key = |place| Auth::ApiKey { place, value: template("{{ secrets.canary }}") };
    for (auth, part) in [
        (Auth::Bearer(template("{{ secrets.canary }}")), format!("authorization: Bearer {CANARY}\r\n")),
        (
            Auth::Basic { user: template("me"), password: template("") },
            "authorization: Basic bWU6\r\n".to_owned(),
        ),
        (key(KeyPlace::Header("X-Key".to_owned())), format!("x-key: {CANARY}\r\n")),
        (key(KeyPlace::Query("k".to_owned())), "GET /things?k=c4n4ry%2F%2B%20%22key%22 HTTP/1.1".to_owned()),
        (key(KeyPlace::Cookie("sid".to_owned())), format!("cookie: a=b; sid={CANARY}\r\n")),
    ] {
        let request = sent(|case| {
            case.endpoint.auth = auth;
            case.endpoint.headers.push(("Cookie".to_owned(), template("a=b")));
        })
        .await;
        check(&request, &[&part], &[]);
    }
    let off = sent(|case| {
        case.endpoint.auth = Auth::Bearer(template("t0ken"));
        case.spec.auth = Some(Auth::None);
    })
    .await;
    check(&off, &[], &["authorization"]);
    let server = Server::empty();
    let case = Case::post(&server.origin, "/things", |case| {
        case.endpoint.auth = key(KeyPlace::Body("auth.key".to_owned()));
        case.spec.body =
            Body::Json(ValueTemplate::Map(vec![("n".to_owned(), ValueTemplate::Plain(json!(1)))]));
    });
    case.run().await.unwrap();
    check(
        &server.requests()[0],
        &[r#"{"n":1,"auth":{"key":"c4n4ry/+ \"key\""}}"#, "content-type: application/json\r\n"],
        &[],
    );
}

#[tokio::test]
async fn queries_and_paths() {
    let request = sent(|case| {
        case.bindings = json!({"repo": "a b/c?d#e", "ids": [1, 2], "none": null});
        case.spec.path = template("/r/{{ repo }}/x?fixed=1&v={{ repo }}");
        case.endpoint.query = vec![("lang".to_owned(), text("en")), ("state".to_owned(), text("open"))];
        case.spec.query = vec![
            ("state".to_owned(), text("all")),
            ("id".to_owned(), text("{{ ids }}")),
            ("no".to_owned(), text("{{ none }}")),
            ("list".to_owned(), ValueTemplate::List(vec![text("x&y"), ValueTemplate::Plain(json!(2.50))])),
        ];
    })
    .await;
    check(
        &request,
        &["GET /r/a%20b/c%3Fd%23e/x?fixed=1&v=a%20b/c?d%23e&lang=en&state=all&id=1&id=2&list=x%26y&list=2.5"],
        &["no="],
    );
}

#[tokio::test]
async fn pages_go_where_they_are_told() {
    let size = || Some(SizeParam { param: "size".to_owned(), value: 50 });
    let page = |place| PaginateBy::Page {
        param: "page".to_owned(),
        place,
        start: 1,
        size: size(),
        pages: None,
        total: None,
    };
    let token = |place| PaginateBy::Token {
        param: "meta.after".to_owned(),
        place,
        size: size(),
        next: JqText::new(".next"),
    };
    let offset = PaginateBy::Offset {
        param: "offset".to_owned(),
        place: ParamPlace::Query,
        start: 0,
        size: size(),
        total: None,
    };
    let link = PaginateBy::Link { rel: "next".to_owned() };
    let url = Position::Url("/other?k={{ secrets.canary }}&x={{ secrets.other }}".to_owned());
    for (by, position, parts, absent) in [
        (page(ParamPlace::Query), Position::First, vec!["/things?page=1&size=50 "], vec!["page=9"]),
        (page(ParamPlace::Query), Position::Number(7), vec!["/things?page=7&size=50 "], vec![]),
        (page(ParamPlace::Header), Position::Number(7), vec!["page: 7\r\n", "size: 50\r\n"], vec!["?"]),
        (
            page(ParamPlace::Form),
            Position::Number(7),
            vec!["\r\n\r\npage=7&size=50", "x-www-form-urlencoded"],
            vec!["?"],
        ),
        (page(ParamPlace::Json), Position::Number(7), vec!["\r\n\r\n{\"page\":7,\"size\":50}"], vec!["?"]),
        (offset, Position::First, vec!["/things?page=9&offset=0&size=50 "], vec![]),
        (token(ParamPlace::Query), Position::First, vec!["/things?page=9&size=50 "], vec!["after"]),
        (token(ParamPlace::Query), Position::Token(json!("a=b")), vec!["&meta.after=a%3Db&size=50 "], vec![]),
        (
            token(ParamPlace::Json),
            Position::Token(json!(12)),
            vec!["\r\n\r\n{\"meta\":{\"after\":12},\"size\":50}"],
            vec![],
        ),
        (link, url, vec!["GET /other?k=c4n4ry%2F%2B%20%22key%22&x={{%20secrets.other%20}} "], vec!["page=9"]),
    ] {
        let server = Server::empty();
        let case = Case::post(&server.origin, "/things", |case| {
            case.endpoint.auth = Auth::ApiKey {
                place: KeyPlace::Header("k".to_owned()),
                value: template("{{ secrets.canary }}"),
            };
            case.spec.query = vec![("page".to_owned(), text("9"))];
            if matches!(position, Position::Url(_)) {
                case.spec.method = entities::Method::Get;
            }
            if !parts.iter().any(|part| part.contains("page=9"))
                && !matches!(
                    by,
                    PaginateBy::Page { place: ParamPlace::Query, .. }
                        | PaginateBy::Token { .. }
                        | PaginateBy::Link { .. }
                )
            {
                case.spec.query.clear();
            }
            case.spec.paginate = Some(Paginate { by, until: None, max_pages: None, at: Place::default() });
            case.position = position;
        });
        case.run().await.unwrap();
        check(&server.requests()[0], &parts, &absent);
    }
}

#[tokio::test]
async fn cursors_start_where_the_plan_says() {
    for (cursor, part) in
        [(None, "since=2024"), (Some(json!("2025-01-01T00:00:00Z")), "since=2025-01-01T00%3A00%3A00Z")]
    {
        let request = sent(|case| {
            case.spec.cursor = Some(CursorSpec {
                field: "at".to_owned(),
                start: template("{{ from }}"),
                lookback: None,
                granularity: None,
                at: Place::default(),
            });
            case.bindings = json!({"from": "2024"});
            case.spec.query = vec![("since".to_owned(), text("{{ cursor }}"))];
            case.cursor = cursor;
        })
        .await;
        check(&request, &[part], &[]);
    }
}

#[tokio::test]
async fn a_header_cannot_begin_another() {
    for (source, bindings) in [("{{ secrets.canary }}", json!({})), ("{{ x }}", json!({"x": "a\r\nEvil: 1"}))]
    {
        let server = Server::empty();
        let case = Case::get(&server.origin, "/things", |case| {
            case.canary = "c4n4ry\r\nEvil: 1".to_owned();
            case.bindings = bindings;
            case.spec.headers = vec![("X-A".to_owned(), template(source))];
        });
        let failure = case.failure().await;
        assert!(failure.message.contains("`x-a`") && failure.message.contains("line end"), "{failure:?}");
        assert!(server.requests().is_empty());
    }
}

#[tokio::test]
async fn connections_are_kept() {
    let server = Server::start(|request| {
        let peer = request.len();
        assert!(peer > 0);
        (crate::server::ok("application/json", b"[]"), crate::server::Then::Keep)
    });
    let case = Case::get(&server.origin, "/things", |_| {});
    let (workers, job) = (case.workers(), case.job());
    let mut worker: Box<dyn Worker> = workers.worker(WorkerId(0));
    for _ in 0..20 {
        let execution = worker.execute(&job).await;
        assert_eq!(execution.status, Some(200));
        assert_eq!(execution.bytes, 2);
        assert!(execution.sent <= execution.answered && execution.answered <= execution.finished);
    }
    assert_eq!(server.requests().len(), 20);
}

/// Whatever a record's field is called: no request leaves the path that the plan names.
#[tokio::test]
async fn values_do_not_climb_out_of_the_path() {
    for (path, value, expected) in [
        ("/v1/{{ x }}/items", "..", None),
        ("/v1/{{ x }}", ".", None),
        ("/v1/{{ x }}/items", "a/../../admin", None),
        ("/v1/{{ x }}/items", "%2e%2E", None),
        ("/v1/.{{ x }}/items", ".", None),
        ("/v1/{{ x }}", "https://a.example/..", None),
        ("/v1/{{ x }}/items", "..a", Some("/v1/..a/items")),
        ("/v1/{{ x }}/items", "a.b", Some("/v1/a.b/items")),
        ("/v1/{{ x }}/items", "..\\..", Some("/v1/..%5C../items")),
        // What the plan itself writes is its own business.
        ("/v1/../v2/{{ x }}", "a", Some("/v2/a")),
    ] {
        let server = Server::empty();
        let case = Case::get(&server.origin, path, |case| case.bindings = json!({ "x": value }));
        let execution = case.run().await.expect("it compiles");
        let requests = server.requests();
        match expected {
            Some(expected) => assert!(requests[0].starts_with(&format!("GET {expected} ")), "{requests:?}"),
            None => {
                assert_eq!(requests.len(), 0, "{path} {value}: {requests:?}");
                let entities::Outcome::Failed(failure) = execution.outcome else {
                    panic!("{path} {value}: {:?}", execution.outcome)
                };
                assert_eq!(failure.kind, entities::FailureKind::Expression);
                assert!(failure.message.contains("`..`") && failure.help.is_some(), "{failure:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_raw_body_goes_as_it_is() {
    let server = Server::empty();
    let case = Case::post(&server.origin, "/x", |case| {
        case.bindings = json!({"id": 7});
        case.spec.body = Body::Raw(template("<q id=\"{{ id }}\">é\n</q>"));
        case.spec.headers = vec![("Content-Type".to_owned(), template("text/xml"))];
    });
    case.run().await.unwrap();
    let request = &server.requests()[0];
    assert!(request.ends_with("\r\n\r\n<q id=\"7\">é\n</q>"), "{request}");
    assert!(
        request.contains("content-type: text/xml\r\n") && !request.contains("json\r\ncontent-t"),
        "{request}"
    );
}

#[tokio::test]
async fn pages_in_the_path() {
    let by_page = |start| PaginateBy::Page {
        param: "page".to_owned(),
        place: ParamPlace::Path,
        start,
        size: Some(SizeParam { param: "size".to_owned(), value: 50 }),
        pages: None,
        total: None,
    };
    let by_token = || PaginateBy::Token {
        param: "page".to_owned(),
        place: ParamPlace::Path,
        size: None,
        next: JqText { source: ".next".into(), at: Place::default() },
    };
    for (by, path, position, expected) in [
        (by_page(3), "/l/{{ page }}/{{ size }}", Position::First, "/l/3/50"),
        (by_page(0), "/l/{{ page }}/{{ size }}", Position::Number(4), "/l/4/50"),
        (by_token(), "/l/{{ page | default('') }}", Position::First, "/l/"),
        (by_token(), "/l/{{ page | default('') }}", Position::Token(json!("a/b c")), "/l/a/b%20c"),
        (
            by_token(),
            "/l/{{ page | default('') | urlencode }}",
            Position::Token(json!("a/b c")),
            "/l/a%2Fb%20c",
        ),
    ] {
        let request = sent(|case| {
            case.spec.path = template(path);
            case.spec.paginate = Some(Paginate { by, until: None, max_pages: None, at: Place::default() });
            case.position = position;
        })
        .await;
        assert!(request.contains(&format!("{expected} HTTP")), "{expected}: {request}");
    }
}

#[tokio::test]
async fn the_idempotency_key_is_the_same_for_the_same_request() {
    let key = |edit: fn(&mut Case)| async move {
        let request = sent(|case| {
            case.spec.idempotency = Some("Idempotency-Key".to_owned());
            case.bindings = json!({"id": 7});
            case.clock = crate::plans::standing_clock(5).0;
            edit(case);
        })
        .await;
        let value = request.split_once("idempotency-key: ").unwrap().1;
        value.split_once("\r\n").unwrap().0.to_owned()
    };
    let first = key(|_| {}).await;
    assert_eq!(first.len(), 32);
    // Another factory is another process.
    assert_eq!(first, key(|_| {}).await);
    assert_ne!(first, key(|case| case.bindings = json!({"id": 8})).await);
    assert_ne!(first, key(|case| case.position = Position::Number(2)).await);
    assert_ne!(first, key(|case| case.spec.name = "others".to_owned()).await);
}
