//! What the command line asks of a store, while a run writes.

use entities::{Mode, RunEnd};
use serde_json::json;
use store::SqliteReader;

use crate::fixture::{Fixture, plan, spec};

#[test]
fn answers_while_a_run_writes() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Merge, &["id"]), spec("u", Mode::Append, &[])]);
    let run = f.begin(&plan);
    let (id, _) = f.land(run, 0, 3, json!([{"id": 1, "v": "x"}, {"id": 2, "v": "y"}]));
    f.land(run, 1, 0, json!([{"a": "b=c"}]));
    let failed = f.fail(run, 1, 4);
    let reader = SqliteReader::open(&f.path()).unwrap();

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
