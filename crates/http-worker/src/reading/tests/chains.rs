//! What ends a chain of pages, and what is cut off: `total`, `cap`, `split`.

use entities::{
    Endpoint, FailureKind, Foreach, JqText, Next, OnAction, Outcome, Over, Page, PaginateBy, ParamPlace,
    Place, Position, SpecIndex, Step, TaskSpec, TemplateText, ValueTemplate, Which,
};
use serde_json::{Value, json};

use super::{Case, cursor, foreach, jq, paginate, rule, spec, text};

#[test]
fn totals() {
    let by_token = paginate(PaginateBy::Token {
        param: "c".into(),
        place: ParamPlace::Query,
        size: None,
        next: JqText::new(".next"),
    });
    // Received before, the newest total before, the answer; the sum that goes on, or the failure.
    for (paged, before, newest, body, expected) in [
        (false, None, None, r#"{"rows":[1,2],"count":2}"#, Ok(None)),
        (false, None, None, r#"{"rows":[1,2],"count":1}"#, Ok(None)),
        (false, None, None, r#"{"rows":[],"count":0}"#, Ok(None)),
        (
            false,
            None,
            None,
            r#"{"rows":[1,2],"count":"3"}"#,
            Err("short: 2 records came, but the source says there are 3"),
        ),
        (
            false,
            None,
            None,
            r#"{"rows":[1,2]}"#,
            Err("missing: the answer does not say how many there are: nothing at `.count`"),
        ),
        (true, None, None, r#"{"rows":[1,2],"count":5,"next":"b"}"#, Ok(Some((2, 5)))),
        (true, Some(2), Some(5), r#"{"rows":[1,2],"count":4,"next":"c"}"#, Ok(Some((4, 4)))),
        (true, Some(2), Some(5), r#"{"rows":[1,2],"count":4}"#, Ok(None)),
        (true, Some(2), Some(5), r#"{"rows":[1,2,3]}"#, Ok(None)),
        (
            true,
            Some(2),
            Some(5),
            r#"{"rows":[1,2]}"#,
            Err("short: 4 records came, but the source says there are 5"),
        ),
        (
            false,
            None,
            None,
            r#"{"rows":[1],"count":2}"#,
            Err("short: 1 record came, but the source says there are 2"),
        ),
        (
            true,
            Some(2),
            Some(4),
            r#"{"rows":[1,2],"count":9}"#,
            Err("short: 4 records came, but the source says there are 9"),
        ),
    ] {
        let mut task = spec("a");
        task.reading.records = jq(".rows[]");
        // Counted before `where`.
        task.reading.filter = jq(". > 1");
        task.reading.total = jq(".count");
        task.paginate = by_token.clone().filter(|_| paged);
        let number = if before.is_some() { 2 } else { 1 };
        let page = Page { number, received: before, total: newest, ..Page::first() };
        let said = match (Case { page, ..Case::new(task, body) }).read() {
            Outcome::Landed(landed) => match landed.next {
                Next::End => Ok(None),
                Next::Pages(pages) => Ok(Some((pages[0].received.unwrap(), pages[0].total.unwrap()))),
                other => panic!("{other:?}"),
            },
            Outcome::Failed(failure) => Err(failure.to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(said.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e), "{body}");
    }
}

#[test]
fn with_a_total_pages_go_one_after_the_other() {
    let mut task = spec("a");
    task.reading.records = jq(".rows[]");
    task.reading.total = jq(".count");
    let query = ParamPlace::Query;
    task.paginate = paginate(PaginateBy::Offset {
        param: "o".into(),
        place: query,
        start: 0,
        size: None,
        total: jq(".count"),
    });
    let Next::Pages(pages) = Case::new(task, r#"{"rows":[1,2],"count":9}"#).landed().next else {
        panic!("no pages")
    };
    let shape: Vec<_> =
        pages.iter().map(|page| (page.position.clone(), page.stride, page.received)).collect();
    assert_eq!(shape, [(Position::Offset(2), 1, Some(2))]);
}

fn windows() -> Foreach {
    foreach(
        "day",
        Over::Windows {
            every: Step::Days(1),
            from: TemplateText::new("2024-01-01"),
            to: TemplateText::new("{{ now }}"),
            overlap: std::time::Duration::ZERO,
        },
    )
}

fn records(batch: Option<u32>) -> Foreach {
    foreach("ids", Over::Records { task: SpecIndex(0), filter: None, batch, which: Which::Changed })
}

fn query(pairs: &[(&str, &str)]) -> Vec<(String, ValueTemplate)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect()
}

/// The halves of a capped answer, by the name that was halved; or why there are none.
fn halves(task: TaskSpec, bindings: Value, page: Page, half: &str) -> Result<Vec<Value>, String> {
    let case = Case { bindings, page, ..Case::new(task, r#"[{"id":1},{"id":2}]"#) };
    match case.read() {
        Outcome::Landed(landed) => {
            assert_eq!((landed.records.rows, landed.received), (0, 0), "nothing of it lands");
            match landed.next {
                Next::Split(halves) => Ok(halves.iter().map(|bindings| bindings.0[half].clone()).collect()),
                other => panic!("{other:?}"),
            }
        }
        Outcome::Failed(failure) => {
            assert_eq!(failure.kind, FailureKind::Capped);
            assert!(failure.help.is_some());
            Err(failure.message)
        }
        other => panic!("{other:?}"),
    }
}

/// `granularity` is a key of `cursor`: a task without one is not told to change it.
#[test]
fn what_cannot_be_halved_says_what_to_do() {
    let moment = json!({ "start": "2024-01-01T00:00:00Z", "end": "2024-01-01T00:00:01Z", "last": "2024-01-01T00:00:00Z" });
    let finer = "make `granularity` of the cursor smaller if the API is finer, or ask for less at a time";
    let less = "ask for less at a time, with one more name in `foreach`, or by `paginate`";
    let both = query(&[("from", "{{ day.start }}"), ("to", "{{ day.end }}")]);
    let mut plain = spec("a");
    plain.reading.cap = Some(2);
    let windowed = TaskSpec { foreach: vec![windows()], query: both, ..plain.clone() };
    let batched =
        TaskSpec { foreach: vec![records(Some(3))], query: query(&[("ids", "{{ ids }}")]), ..plain };
    let with_cursor = |task: &TaskSpec| TaskSpec { cursor: Some(cursor("at", "2024-01-01")), ..task.clone() };
    for (task, bindings, expected) in [
        (with_cursor(&windowed), json!({ "day": moment }), finer),
        (windowed, json!({ "day": moment }), less),
        (with_cursor(&batched), json!({ "ids": [1] }), less),
    ] {
        let failure = Case { bindings, ..Case::new(task, r#"[{"id":1},{"id":2}]"#) }.failed();
        assert_eq!(failure.help.as_deref(), Some(expected));
    }
}

#[test]
fn capped_answers_are_split() {
    let day = json!({ "start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z", "last": "2024-01-01T23:59:59Z" });
    let parts = vec![
        json!({ "start": "2024-01-01T00:00:00Z", "end": "2024-01-01T12:00:00Z", "last": "2024-01-01T11:59:59Z" }),
        json!({ "start": "2024-01-01T12:00:00Z", "end": "2024-01-02T00:00:00Z", "last": "2024-01-01T23:59:59Z" }),
    ];
    let both = [("from", "{{ day.start }}"), ("to", "{{ day.end }}")];
    let mut plain = spec("a");
    plain.reading.cap = Some(2);
    let windowed =
        |pairs: &[(&str, &str)]| TaskSpec { foreach: vec![windows()], query: query(pairs), ..plain.clone() };
    let first = Page::first;
    let capped = "the answer has 2 records, and `cap` is 2; it cannot be split: ";
    for (task, bindings, page, half, expected) in [
        (windowed(&both), json!({ "day": day }), first(), "day", Ok(parts.clone())),
        // A rule may say so as well.
        (
            {
                let mut task = windowed(&both);
                task.reading.cap = None;
                task.on = vec![rule(vec![], jq("length >= 2"), OnAction::Split)];
                task
            },
            json!({ "day": day }),
            first(),
            "day",
            Ok(parts.clone()),
        ),
        // Both halves would be the day that was asked for.
        (
            windowed(&[("day", "{{ day.start | date('%Y%m%d') }}")]),
            json!({ "day": day }),
            first(),
            "day",
            Err("a half of it would send the same request"),
        ),
        // The first half would be the same request.
        (
            windowed(&both[..1]),
            json!({ "day": day }),
            first(),
            "day",
            Err("a half of it would send the same request"),
        ),
        (
            windowed(&both),
            json!({ "day": day }),
            Page { number: 2, ..first() },
            "day",
            Err("it is not the first page"),
        ),
        (
            plain.clone(),
            json!({}),
            first(),
            "day",
            Err("the task has neither windows nor batches of more than one record"),
        ),
        (
            TaskSpec {
                cursor: Some(cursor("at", "2024-01-01")),
                ..windowed(&[("q", "{{ cursor }}{{ day.start }}{{ day.end }}")])
            },
            json!({ "day": day }),
            first(),
            "day",
            Ok(parts.clone()),
        ),
        // Batches, in the body too.
        (
            TaskSpec {
                foreach: vec![records(Some(3))],
                query: query(&[("ids", "{{ ids | join(',') }}")]),
                ..plain.clone()
            },
            json!({ "ids": [1, 2, 3] }),
            first(),
            "ids",
            Ok(vec![json!([1, 2]), json!([3])]),
        ),
        (
            TaskSpec {
                foreach: vec![records(Some(3))],
                body: entities::Body::Json(ValueTemplate::Map(vec![("ids".into(), text("{{ ids }}"))])),
                ..plain.clone()
            },
            json!({ "ids": [1, 2] }),
            first(),
            "ids",
            Ok(vec![json!([1]), json!([2])]),
        ),
        (
            TaskSpec {
                foreach: vec![records(Some(3))],
                query: query(&[("ids", "{{ ids }}")]),
                ..plain.clone()
            },
            json!({ "ids": [1] }),
            first(),
            "ids",
            Err("there is nothing left to halve"),
        ),
        // The window before the batch.
        (
            TaskSpec { foreach: vec![records(Some(3)), windows()], query: query(&both), ..plain.clone() },
            json!({ "ids": [1, 2], "day": day }),
            first(),
            "day",
            Ok(parts.clone()),
        ),
    ] {
        let said = halves(task, bindings.clone(), page, half);
        let expected = expected.map_err(|why: &str| format!("{capped}{why}"));
        assert_eq!(said, expected, "{bindings}");
    }
    let under = TaskSpec { reading: entities::Reading { cap: Some(3), ..Default::default() }, ..plain };
    assert_eq!(Case::new(under, r#"[{"id":1},{"id":2}]"#).landed().records.rows, 2);
}

#[test]
fn a_split_leaves_the_other_names_alone() {
    let mut task = spec("a");
    task.reading.cap = Some(1);
    task.foreach = vec![foreach("repo", Over::Range { from: 1, to: 2, step: 1 }), windows()];
    task.zone = Some("Asia/Shanghai".into());
    task.query = query(&[("from", "{{ day.start }}"), ("to", "{{ day.last }}")]);
    let day =
        json!({ "start": "2024-01-01T00:00:00+08:00", "end": "2024-01-05T00:00:00+08:00", "last": "x" });
    let case = Case { bindings: json!({ "repo": 1, "day": day }), ..Case::new(task, r#"[{"id":1}]"#) };
    let Next::Split(halves) = case.landed().next else { panic!("not split") };
    let ends: Vec<_> =
        halves.iter().map(|half| (&half.0["repo"], &half.0["day"]["start"], &half.0["day"]["end"])).collect();
    let one = json!(1);
    let edges = ["2024-01-01T00:00:00+08:00", "2024-01-03T00:00:00+08:00", "2024-01-05T00:00:00+08:00"]
        .map(Value::from);
    assert_eq!(ends, [(&one, &edges[0], &edges[1]), (&one, &edges[1], &edges[2])]);
}

#[test]
fn a_rule_that_asks_for_another_credential() {
    let mut task = spec("a");
    task.on = vec![rule(vec![], jq(".code == 40101"), OnAction::Reauth)];
    let failure = Case::new(task, r#"{"code":40101}"#).failed();
    // The worker renews what it can for this kind.
    assert_eq!(failure.kind, FailureKind::Unauthorized);
}

#[test]
fn an_endpoint_compiles_with_the_place_of_the_zone() {
    let mut task = spec("a");
    task.zone = Some("Mars/Base".into());
    let endpoint = Endpoint { at: Place::default(), ..super::endpoint(Vec::new(), Vec::new()) };
    let failure = super::split::Splitter::compile(&task, &endpoint).err().unwrap();
    assert!(failure.message.starts_with("the zone `Mars/Base` is not known"), "{}", failure.message);
}
