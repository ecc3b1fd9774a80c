//! Whole answers through a [`Reader`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use entities::{
    Auth, Body, Cell, CursorSpec, Endpoint, EndpointIndex, Foreach, JqText, Limits, Method, Mode, Moment,
    OnAction, OnRule, Over, Page, Paginate, PaginateBy, ParamPlace, PhaseCell, Place, PlanName, Position,
    Reading, Redirects, RetryPolicy, RunContext, RunId, SchemaPolicy, Secrets, SourceText, StoreTarget, Task,
    TaskId, TaskSpec, TemplateText, TimeOuts, ValueTemplate, Which,
};
use serde_json::{Value, json};

use super::*;

mod chains;
mod formats;
mod values;

fn jq(source: &str) -> Option<JqText> {
    Some(JqText::new(source))
}

fn text(source: &str) -> ValueTemplate {
    ValueTemplate::Text(TemplateText::new(source))
}

fn spec(name: &str) -> TaskSpec {
    TaskSpec {
        name: name.into(),
        endpoint: EndpointIndex(0),
        method: Method::Get,
        path: TemplateText::new("/x"),
        query: Vec::new(),
        headers: Vec::new(),
        body: Body::Empty,
        auth: None,
        redirects: Redirects::SameOrigin,
        idempotency: None,
        zone: None,
        foreach: Vec::new(),
        paginate: None,
        reading: Reading::default(),
        on: Vec::new(),
        table: name.into(),
        key: Vec::new(),
        mode: Mode::Append,
        types: Vec::new(),
        schema: SchemaPolicy::Evolve,
        text: TextPolicy::Replace,
        cursor: None,
        cost: None,
        weight: 1,
        order: entities::Order::Given,
        places: entities::KeyPlaces::default(),
        fingerprint: String::new(),
        at: Place::default(),
    }
}

fn rule(status: Vec<(u16, u16)>, when: Option<JqText>, action: OnAction) -> OnRule {
    OnRule { status, when, action, message: None, at: Place::default() }
}

fn cursor(field: &str, start: &str) -> CursorSpec {
    CursorSpec {
        field: field.into(),
        start: TemplateText::new(start),
        lookback: None,
        granularity: None,
        at: Place::default(),
    }
}

fn foreach(name: &str, over: Over) -> Foreach {
    Foreach { name: name.into(), over, at: Place::default() }
}

fn paginate(by: PaginateBy) -> Option<Paginate> {
    Some(Paginate { by, until: None, max_pages: None, at: Place::default() })
}

fn endpoint(on: Vec<OnRule>) -> Endpoint {
    Endpoint {
        name: "x".into(),
        base_url: TemplateText::new("https://api.example.com"),
        headers: Vec::new(),
        query: Vec::new(),
        auth: Auth::None,
        limits: Limits::PoliteDefault,
        concurrency: 2,
        timeout: TimeOuts::default(),
        retry: RetryPolicy::default(),
        max_body: 1 << 20,
        on,
        at: Place::default(),
    }
}

/// Reads an answer for the first of `tasks`.
struct Case {
    tasks: Vec<TaskSpec>,
    on: Vec<OnRule>,
    bindings: Value,
    page: Page,
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: Bytes,
}

impl Case {
    fn new(task: TaskSpec, body: &str) -> Case {
        Case {
            tasks: vec![task],
            on: Vec::new(),
            bindings: json!({}),
            page: Page::first(),
            status: 200,
            headers: Vec::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn status(mut self, status: u16) -> Case {
        self.status = status;
        self
    }

    fn plan(&self) -> SyncPlan {
        SyncPlan {
            name: PlanName("p".into()),
            description: None,
            source: Arc::new(SourceText { name: "p.toml".into(), text: String::new() }),
            vars: json!({ "since": "2024", "least": 0 }).as_object().unwrap().clone(),
            secrets: BTreeMap::new(),
            store: StoreTarget::Sqlite("p.db".into()),
            endpoints: vec![endpoint(self.on.clone())],
            tasks: self.tasks.clone(),
        }
    }

    fn reader(&self, spec: SpecIndex) -> Reader {
        Reader::compile(&self.plan(), spec).unwrap()
    }

    fn read(self) -> Outcome {
        let plan = self.plan();
        let reader = Reader::compile(&plan, SpecIndex(0)).unwrap();
        let vars = plan.vars.clone();
        let globals = expr::Globals::new(&vars, &Secrets::default(), Moment(0));
        let context = RunContext {
            run: RunId(1),
            plan: Arc::new(plan),
            secrets: Secrets::default(),
            now: Moment(0),
            vars,
        };
        let task = Task {
            id: TaskId(1),
            spec: SpecIndex(0),
            chain: TaskId(1),
            combination: Some(0),
            bindings: Bindings(Arc::new(self.bindings.as_object().unwrap().clone())),
            page: self.page,
            slice: None,
            cursor: None,
        };
        let job =
            Job { context: Arc::new(context), task, attempt: 1, hop: None, phase: PhaseCell::default() };
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        let answer = Answer {
            status: self.status,
            headers: headers.collect(),
            body: self.body,
            url: http::Uri::from_static("https://api.example.com/x?page=1"),
            secrets: None,
            received: Moment(0),
        };
        reader.read(&job, &globals, &answer)
    }

    fn landed(self) -> Landed {
        match self.read() {
            Outcome::Landed(landed) => *landed,
            other => panic!("{other:?}"),
        }
    }

    fn failed(self) -> Failure {
        match self.read() {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }
}

fn rows(batch: &RecordBatch) -> Value {
    (0..batch.rows).map(|row| Value::Object(cells::record_of(batch, row))).collect()
}

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
fn map_where_and_fields() {
    let mut task = spec("a");
    task.reading = Reading {
        records: jq(".items[]"),
        map: jq("{id, user: .user.login}"),
        filter: jq(".id > 1"),
        fields: vec![
            ("since".into(), text("{{ vars.since }}")),
            ("copy".into(), text("{{ record.id }}")),
            ("label".into(), text("{{ repo }}#{{ record.user }}")),
        ],
        ..Reading::default()
    };
    task.foreach = vec![Foreach {
        name: "repo".into(),
        over: Over::Range { from: 1, to: 1, step: 1 },
        at: Place::default(),
    }];
    let body =
        r#"{"items":[{"id":1,"user":{"login":"a"}},{"id":12345678901234567890,"user":{"login":"b"}}]}"#;
    let landed = Case { bindings: json!({ "repo": "r" }), ..Case::new(task, body) }.landed();
    assert_eq!(landed.received, 2);
    let expected: Value = serde_json::from_str(
        r#"[{"id":12345678901234567890,"user":"b","since":"2024","copy":12345678901234567890,"label":"r#b"}]"#,
    )
    .unwrap();
    assert_eq!(rows(&landed.records), expected);
}

#[test]
fn columns_by_either_way() {
    let body = r#"{"data":{"fields":["code","close"],"items":[["A",1.5],["B",null]]}}"#;
    for (columns, map) in [(".data.fields", None), ("[.data.fields[]]", None), (".data.fields", jq("."))] {
        let mut task = spec("a");
        task.reading =
            Reading { records: jq(".data.items[]"), columns: jq(columns), map, ..Reading::default() };
        let landed = Case::new(task.clone(), body).landed();
        assert_eq!(
            rows(&landed.records),
            json!([{"code":"A","close":1.5},{"code":"B","close":null}]),
            "{columns}"
        );
        let failure = Case::new(task.clone(), r#"{"data":{"fields":["code"],"items":[["A",1.5]]}}"#).failed();
        assert_eq!(failure.message, "record 1 does not fit `columns`: number of values 2, of columns 1");
        let failure = Case::new(task, r#"{"data":{"fields":["a","a"],"items":[["A",1.5]]}}"#).failed();
        assert_eq!(failure.message, "two columns are called `a`");
    }
}

#[test]
fn programs_select_records_and_pages() {
    let mut task = spec("a");
    task.reading.records = jq("[.groups[].rows[]] | map(select(.ok))");
    task.paginate = paginate(PaginateBy::Token {
        param: "c".into(),
        place: ParamPlace::Query,
        size: None,
        next: JqText::new("if .more then .groups[-1].rows[-1].id else null end"),
    });
    let body = r#"{"more":true,"groups":[{"rows":[{"id":1,"ok":true}]},{"rows":[{"id":2,"ok":true},{"id":3,"ok":false}]}]}"#;
    let landed = Case::new(task, body).landed();
    assert_eq!((landed.received, landed.records.rows), (2, 2));
    let Next::Pages(pages) = landed.next else { panic!("no pages") };
    assert_eq!(pages[0].position, Position::Token(json!(3)));
}

#[test]
fn every_kind_goes_on() {
    let body = r#"{"rows":[{"id":"a"},{"id":"b"}],"total":"5","next":"t2","links":{"next":"/x?page=2"}}"#;
    let param = || "p".to_owned();
    let query = ParamPlace::Query;
    for (by, expected) in [
        (
            PaginateBy::Page {
                param: param(),
                place: query,
                start: 1,
                size: None,
                pages: None,
                total: jq(".total"),
            },
            vec![Position::Number(2), Position::Number(3)],
        ),
        (
            PaginateBy::Page { param: param(), place: query, start: 0, size: None, pages: None, total: None },
            vec![Position::Number(1)],
        ),
        (
            PaginateBy::Offset { param: param(), place: query, start: 0, size: None, total: jq(".total") },
            vec![Position::Offset(2), Position::Offset(4)],
        ),
        (
            PaginateBy::Token { param: param(), place: query, size: None, next: JqText::new(".next") },
            vec![Position::Token(json!("t2"))],
        ),
        (
            PaginateBy::Token { param: param(), place: query, size: None, next: JqText::new(".rows[-1].id") },
            vec![Position::Token(json!("b"))],
        ),
        (
            PaginateBy::Token { param: param(), place: query, size: None, next: JqText::new(".no.such") },
            vec![],
        ),
        (PaginateBy::Url { next: JqText::new(".links.next") }, vec![Position::Url("/x?page=2".into())]),
        (PaginateBy::Link { rel: "next".into() }, vec![Position::Url("/x?page=9".into())]),
    ] {
        let mut task = spec("a");
        task.reading.records = jq(".rows[]");
        task.paginate = paginate(by.clone());
        let landed =
            Case { headers: vec![("link", "<?page=9>; rel=\"next\"")], ..Case::new(task, body) }.landed();
        let positions: Vec<_> = match landed.next {
            Next::Pages(pages) => pages.into_iter().map(|page| page.position).collect(),
            Next::End => Vec::new(),
            other => panic!("{other:?}"),
        };
        assert_eq!(positions, expected, "{by:?}");
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

#[test]
fn until_and_answers_without_a_body_end_it() {
    let mut task = spec("a");
    task.reading.records = jq(".rows[]");
    task.paginate = paginate(PaginateBy::Page {
        param: "p".into(),
        place: ParamPlace::Query,
        start: 1,
        size: None,
        pages: None,
        total: jq(".total"),
    });
    if let Some(paginate) = &mut task.paginate {
        paginate.until = jq(".rows[-1].id >= 7 and $status == 200");
    }
    for (status, body, ends) in [
        (200, r#"{"rows":[{"id":6}],"total":9}"#, false),
        (200, r#"{"rows":[{"id":7}],"total":9}"#, true),
        (204, "", true),
    ] {
        let next = Case::new(task.clone(), body).status(status).landed().next;
        match next {
            Next::End => assert!(ends, "{body}"),
            Next::Pages(pages) => {
                assert!(!ends, "{body}");
                assert_eq!(
                    (pages.len(), pages[0].stride),
                    (1, 1),
                    "with `until` pages go one after the other"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn pagings_fail_by_name() {
    let body = r#"{"rows":[{"id":1}],"next":"https://evil.example.com/","odd":{"a":1}}"#;
    let total = |total: &str| PaginateBy::Offset {
        param: "o".into(),
        place: ParamPlace::Query,
        start: 0,
        size: None,
        total: jq(total),
    };
    for (by, kind) in [
        (PaginateBy::Url { next: JqText::new(".next") }, FailureKind::Redirect),
        (PaginateBy::Url { next: JqText::new(".odd") }, FailureKind::Decode),
        (total(".total"), FailureKind::Missing),
        (total(".odd"), FailureKind::Decode),
    ] {
        let mut task = spec("a");
        task.reading.records = jq(".rows[]");
        task.paginate = paginate(by.clone());
        assert_eq!(Case::new(task, body).failed().kind, kind, "{by:?}");
    }
}

#[test]
fn the_same_records_again() {
    for map in [None, jq(".")] {
        let mut task = spec("a");
        task.reading.records = jq(".rows[]");
        task.reading.map = map;
        task.paginate = paginate(PaginateBy::Token {
            param: "c".into(),
            place: ParamPlace::Query,
            size: None,
            next: JqText::new(".next"),
        });
        let first = Case::new(task.clone(), r#"{"rows":[{"id":1}],"next":1}"#).landed();
        let Next::Pages(pages) = first.next else { panic!("no pages") };
        let second = |body| Case { page: pages[0].clone(), ..Case::new(task.clone(), body) };
        assert_eq!(second(r#"{"rows":[{"id":1}],"next":2}"#).failed().kind, FailureKind::PageLoop);
        assert_eq!(second(r#"{"rows":[{"id":2}],"next":2}"#).landed().records.rows, 1);
        assert_eq!(second(r#"{"rows":[],"next":2}"#).landed().records.rows, 0);
    }
}

#[test]
fn children_are_bound_to_what_they_need() {
    let mut parent = spec("issues");
    parent.key = vec!["id".into()];
    parent.foreach = vec![Foreach {
        name: "repo".into(),
        over: Over::Range { from: 1, to: 1, step: 1 },
        at: Place::default(),
    }];
    let mut child = spec("comments");
    child.path = TemplateText::new("/repos/{{ issue.repo }}/issues/{{ issue.number }}");
    child.reading.fields = vec![("who".into(), text("{{ issue.user.login }}"))];
    child.foreach = vec![Foreach {
        name: "issue".into(),
        over: Over::Records {
            task: SpecIndex(0),
            filter: jq(".comments > 0"),
            batch: None,
            which: Which::Changed,
        },
        at: Place::default(),
    }];
    let body = r#"[{"id":98765432109876543210,"number":7,"comments":2,"user":{"login":"x"},"repo":"field","body":"long"},
                   {"id":2,"number":8,"comments":0,"user":null}]"#;
    let case = |child| Case {
        tasks: vec![parent.clone(), child],
        bindings: json!({ "repo": "tokio" }),
        ..Case::new(parent.clone(), body)
    };
    let landed = case(child.clone()).landed();
    let bindings: Vec<String> =
        landed.children.iter().map(|child| Value::Object((*child.bindings.0).clone()).to_string()).collect();
    let issue = r#"{"id":98765432109876543210,"number":7,"repo":"tokio","user":{"login":"x"}}"#;
    assert_eq!(bindings, [format!(r#"{{"issue":{issue}}}"#)]);
    assert!(landed.children.iter().all(|child| child.row == 0 && child.spec == SpecIndex(1)));

    child.reading.map = jq(". + {title: $issue.body}");
    let landed = case(child).landed();
    assert_eq!(landed.children[0].bindings.0["issue"]["body"], json!("long"), "jq may use all of it");
    assert_eq!(landed.children[0].bindings.0["issue"]["repo"], json!("tokio"));
}

#[test]
fn the_cursor_is_of_the_final_records() {
    let mut task = spec("a");
    task.cursor = Some(cursor("at", ""));
    let landed = Case::new(task.clone(), r#"[{"at":3},{"at":12}]"#).landed();
    assert_eq!(landed.cursor.map(|cursor| cursor.0), Some(json!(12)));
    assert_eq!(landed.records.cells, [Cell::Int(3), Cell::Int(12)]);
    assert_eq!(Case::new(task, r#"[{"id":3}]"#).failed().kind, FailureKind::Missing);
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
