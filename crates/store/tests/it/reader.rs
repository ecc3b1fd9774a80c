//! What the command line asks of a store, while a run writes.

use entities::{Entry, Mode, RunEnd};
use serde_json::json;
use store::Reader;

use crate::fixture::{Fixture, batch, cursor, failure, follow_up, landing_of, plan, spec, with_cursor};

#[test]
fn answers_while_a_run_writes() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Merge, &["id"]), spec("u", Mode::Append, &[])]);
    let run = f.begin(&plan);
    let (id, _) = f.land(run, 0, 3, json!([{"id": 1, "v": "x"}, {"id": 2, "v": "y"}]));
    f.land(run, 1, 0, json!([{"a": "b=c"}]));
    let failed = f.fail(run, 1, 4);
    let reader = Reader::open(&f.path()).unwrap();

    let runs = reader.runs(Some("p"), 10).unwrap();
    assert_eq!((runs.len(), runs[0].state.as_str(), runs[0].ended.clone()), (1, "running", None));
    assert_eq!(runs[0].started, "1970-01-01T00:00:01.000Z");
    let tasks: Vec<_> =
        runs[0].tasks.iter().map(|t| (t.task.as_str(), t.done, t.failed, t.records)).collect();
    assert_eq!(tasks, [("t", 1, 0, 2), ("u", 2, 1, 1)]);
    assert!(reader.runs(Some("other"), 10).unwrap().is_empty());

    for (table, key) in [("t", "2"), ("t", "v=y"), ("t", "id=2")] {
        let traced = reader.trace(table, &[key.to_owned()]).unwrap();
        assert_eq!(traced.len(), 1, "{key}");
        assert_eq!(traced[0].row["v"], json!("y"));
        let request = traced[0].request.clone().unwrap();
        assert_eq!((request.id, request.task.as_str(), request.bindings), (id, "t", json!({"n": 3})));
    }
    assert_eq!(reader.trace("u", &["a=b=c".to_owned()]).unwrap().len(), 1);
    for (table, key) in [("u", "1"), ("nope", "1")] {
        let error = reader.trace(table, &[key.to_owned()]).unwrap_err().to_string();
        assert!(error.contains(table), "{error}");
    }

    let columns: Vec<_> = reader.columns("t").unwrap().into_iter().map(|(_, column)| column).collect();
    assert_eq!(columns, ["id", "v"]);
    assert!(reader.columns("nope").unwrap().is_empty());

    let failures = reader.failures(run.0, 10).unwrap();
    assert_eq!((failures.len(), failures[0].request.id), (1, failed));
    assert_eq!(failures[0].failure["message"], json!("404 Not Found"));
    f.end(run, &[(0, 0), (1, 1)], RunEnd::Failed);
    assert_eq!(reader.runs(None, 1).unwrap()[0].state, "failed");
    assert_eq!(
        f.rows("SELECT plan, task, state, attempt, status, rows, waited_ms, ms, sent, message FROM _sync_requests WHERE task = 't'"),
        ["'p','t','done',1,200,2,5,40,'1970-01-01T00:00:02.000Z',null"]
    );
}

#[test]
fn answers_what_explain_failures_and_retry_ask() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![with_cursor(spec("t", Mode::Append, &[])), spec("u", Mode::Append, &[])]);
    let run = f.begin(&plan);
    for (n, result) in [Ok(batch(&json!([{"at": 1}, {"at": 2}]))), Err(failure())].into_iter().enumerate() {
        let mut landing = f.landing(run, 0, n as u64, result);
        landing.cursor = cursor(json!(2));
        landing.cursor_of = Some(format!("{{\"n\":{n}}}"));
        if n == 0 {
            let next = follow_up(&landing.task, f.id());
            landing.next.push(next.clone());
            let mut last = landing_of(run, next, Ok(batch(&json!([]))));
            last.cursor_of.clone_from(&landing.cursor_of);
            f.commit([landing, last].map(|landing| Entry::Land(Box::new(landing))).into());
        } else {
            f.commit(vec![Entry::Land(Box::new(landing))]);
        }
    }
    f.fail(run, 1, 4);
    let reader = Reader::open(&f.path()).unwrap();
    assert!(reader.history("p", 9).unwrap().is_empty(), "not finished");
    f.end(run, &[(0, 1), (1, 1)], RunEnd::Failed);

    let history = reader.history("p", 9).unwrap();
    let t = &history[0];
    assert_eq!((t.task.as_str(), t.runs, t.chains, t.requests, t.failed, t.records), ("t", 1, 2, 3, 1, 2));
    assert_eq!((t.requests_per_chain(), t.ms_per_request()), (1.5, 40.0));
    let cursors = reader.cursors("p", 9).unwrap();
    let shown: Vec<_> = cursors.iter().map(|c| (c.combination.clone(), c.value.clone(), c.debts)).collect();
    assert_eq!(shown, [(json!({"n": 0}), Some(json!(2)), 0), (json!({"n": 1}), None, 1)]);
    let retry = f.retry(&plan).unwrap().run;
    for (spec, combination) in [(0, Some("{\"n\":1}")), (1, None)] {
        let task = f.open_tasks(retry, spec).remove(0);
        let mut landing = landing_of(retry, task, Ok(batch(&json!([]))));
        landing.cursor_of = combination.map(str::to_owned);
        f.commit(vec![Entry::Land(Box::new(landing))]);
    }
    f.end(retry, &[(0, 0), (1, 0)], RunEnd::Complete);
    let cursors = reader.cursors("p", 9).unwrap();
    assert!(cursors.iter().all(|cursor| cursor.debts == 0), "{cursors:?}");
}
