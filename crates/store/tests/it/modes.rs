//! Append, merge, replace: what a table holds after landings, runs and failures.

use entities::{Entry, FailureKind, Mode, ResumeMode, RunEnd, StoreError};
use serde_json::json;

use crate::fixture::{Fixture, batch, plan, spec};

#[test]
fn append_adds() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let run = f.begin(&plan);
    let (first, _) = f.land(run, 0, 0, json!([{"a": 1}, {"a": 1}]));
    let (second, committed) = f.land(run, 0, 1, json!([{"a": 2}]));
    assert_eq!(committed.rows, 1);
    assert_eq!(
        f.rows("SELECT _task, a FROM t"),
        [format!("{first},1"), format!("{first},1"), format!("{second},2")]
    );
}

#[test]
fn merge_keeps_the_last_of_a_key_and_nulls_what_is_absent() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Merge, &["id"])]);
    let run = f.begin(&plan);
    f.land(
        run,
        0,
        0,
        json!([{"id": 1, "a": "x", "b": 1}, {"id": 2, "a": "y", "b": 2}, {"id": 1, "a": "z", "b": 3}]),
    );
    assert_eq!(f.rows("SELECT id, a, b FROM t ORDER BY id"), ["1,'z',3", "2,'y',2"]);
    let (id, _) = f.land(run, 0, 1, json!([{"id": 2, "a": "w"}]));
    assert_eq!(f.rows("SELECT id, a, b, _task FROM t WHERE id = 2"), [format!("2,'w',null,{id}")]);
}

#[test]
fn merge_by_two_columns() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Merge, &["code", "day"])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"day": 1, "code": "a", "v": 1.5}, {"day": 2, "code": "a", "v": 2.5}]));
    f.land(run, 0, 1, json!([{"v": 9.5, "code": "a", "day": 2}]));
    assert_eq!(f.rows("SELECT code, day, v FROM t ORDER BY day"), ["'a',1,1.5", "'a',2,9.5"]);
}

#[test]
fn a_record_without_its_key_fails_its_landing_only() {
    for records in [json!([{"id": 1}, {"a": 2}]), json!([{"a": 2}]), json!([{"id": null, "a": 2}])] {
        let mut f = Fixture::new();
        let plan = plan("p", vec![spec("t", Mode::Merge, &["id"])]);
        let run = f.begin(&plan);
        let bad = f.landing(run, 0, 0, Ok(batch(&records)));
        let good = f.landing(run, 0, 1, Ok(batch(&json!([{"id": 7}]))));
        let committed = f.commit(vec![Entry::Land(Box::new(bad)), Entry::Land(Box::new(good))]);
        let failure = committed[0].failed.clone().unwrap();
        assert_eq!(failure.kind, FailureKind::Record);
        assert!(failure.message.contains("`id`"), "{}", failure.message);
        assert_eq!(committed[1].failed, None);
        assert_eq!(f.rows("SELECT id FROM t"), ["7"]);
        assert_eq!(f.rows("SELECT state, rows FROM _sync_tasks ORDER BY id"), ["'failed',0", "'done',1"]);
        assert_eq!(f.rows("SELECT done, failed, records FROM _sync_specs"), ["2,1,1"]);
    }
}

#[test]
fn what_a_users_constraint_refuses_fails_its_landing_only() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 1}]));
    f.sql("CREATE UNIQUE INDEX mine ON t (a)");
    let good = f.landing(run, 0, 1, Ok(batch(&json!([{"a": 2}]))));
    let bad = f.landing(run, 0, 2, Ok(batch(&json!([{"a": 3, "new": 1}, {"a": 1, "new": 1}]))));
    let last = f.landing(run, 0, 3, Ok(batch(&json!([{"a": 4}]))));
    let committed = f.commit([good, bad, last].map(|l| Entry::Land(Box::new(l))).into());
    assert!(committed[1].failed.as_ref().unwrap().message.contains("UNIQUE"), "{:?}", committed[1]);
    assert_eq!(f.rows("SELECT * FROM t ORDER BY a").len(), 3);
    assert_eq!(f.rows("SELECT a FROM t ORDER BY a"), ["1", "2", "4"]);
    // The store goes on, and the column that was rolled back can come again.
    f.land(run, 0, 4, json!([{"a": 5, "new": 2}]));
    assert_eq!(f.rows("SELECT a, new FROM t WHERE a = 5"), ["5,2"]);
}

#[test]
fn replace_swaps_at_the_end_and_keeps_views_and_indexes() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Replace, &[])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 1}, {"a": 2}]));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    f.sql("CREATE VIEW mine AS SELECT a FROM t; CREATE INDEX by_a ON t (a)");
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 1.5, "b": "new"}]));
    assert_eq!(f.rows("SELECT a FROM mine"), ["1", "2"], "the old content stays visible");
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT a FROM mine"), ["1.5"]);
    assert_eq!(f.rows("SELECT b FROM t"), ["'new'"]);
    assert_eq!(f.rows("SELECT count(*) FROM sqlite_schema WHERE name = 'by_a'"), ["1"]);
    assert_eq!(f.rows("SELECT name FROM sqlite_schema WHERE name LIKE '%stage%'"), [""; 0]);
    assert_eq!(f.rows("SELECT count(*) FROM _sync_columns WHERE target LIKE '%stage%'"), ["0"]);
}

#[test]
fn replace_with_a_failure_keeps_the_old_content() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Replace, &["id"])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"id": 1, "v": 1}, {"id": 1, "v": 2}]));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT id, v FROM t"), ["1,2"], "the last of equal keys");
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"id": 5, "v": 5}]));
    f.fail(run, 0, 1);
    f.end(run, &[(0, 1)], RunEnd::Failed);
    assert_eq!(f.rows("SELECT id, v FROM t"), ["1,2"]);
    assert_eq!(f.rows("SELECT name FROM sqlite_schema WHERE name LIKE '%stage%'"), [""; 0]);
    let run = f.begin(&plan);
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT count(*) FROM t"), ["0"], "a complete run without records");
}

#[test]
fn staging_survives_the_process() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Replace, &[])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 1}]));
    f.open();
    assert_eq!(f.begin(&plan), run);
    f.land(run, 0, 1, json!([{"a": 2}]));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT a FROM t ORDER BY a"), ["1", "2"]);
}

#[test]
fn tables_of_others_are_refused() {
    let cases = [
        ("CREATE TABLE t (x)", "somebody else"),
        ("CREATE VIEW T AS SELECT 1", "somebody else"),
        ("INSERT INTO _sync_tables VALUES ('T', 'other', 'append', '[]')", "plan `other`"),
    ];
    for (made, expected) in cases {
        let mut f = Fixture::new();
        f.sql(made);
        let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
        match f.try_begin(&plan, ResumeMode::Auto) {
            Err(StoreError::Foreign { owner, .. }) => assert!(owner.contains(expected), "{made}: {owner}"),
            other => panic!("{made}: {other:?}"),
        }
        assert_eq!(f.rows("SELECT count(*) FROM _sync_runs"), ["0"]);
    }
    for name in ["_sync_tasks", "sqlite_x"] {
        let mut f = Fixture::new();
        let result = f.try_begin(&plan("p", vec![spec(name, Mode::Append, &[])]), ResumeMode::Auto);
        assert!(matches!(result, Err(StoreError::Foreign { .. })), "{name}");
    }
}

#[test]
fn an_error_leaves_nothing_and_the_store_usable() {
    let mut f = Fixture::new();
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let run = f.begin(&plan);
    let (id, _) = f.land(run, 0, 0, json!([{"a": 1}]));
    let good = f.landing(run, 0, 1, Ok(batch(&json!([{"a": 2, "b": 1}]))));
    let mut again = f.landing(run, 0, 2, Ok(batch(&json!([{"a": 3}]))));
    again.task.id.0 = id;
    again.task.chain.0 = id;
    let result = f.store.as_mut().unwrap().commit([good, again].map(|l| Entry::Land(Box::new(l))).into());
    assert!(matches!(result, Err(StoreError::Broken { .. })), "{result:?}");
    assert_eq!(f.rows("SELECT * FROM t"), [format!("{id},1")]);
    f.land(run, 0, 5, json!([{"a": 2, "b": 1}]));
    assert_eq!(f.rows("SELECT a, b FROM t"), ["1,null", "2,1"]);
}

#[test]
fn a_key_that_comes_later_is_taken_if_the_rows_allow() {
    for (records, expected) in [
        (json!([{"id": 1, "v": 1}, {"id": 2, "v": 2}]), None),
        (json!([{"id": 1, "v": 1}, {"id": 1, "v": 2}]), Some("cannot have the key (id)")),
    ] {
        let mut f = Fixture::new();
        let append = plan("p", vec![spec("t", Mode::Append, &[])]);
        let run = f.begin(&append);
        f.land(run, 0, 0, records);
        f.end(run, &[(0, 0)], RunEnd::Complete);
        let merge = plan("p", vec![spec("t", Mode::Merge, &["id"])]);
        match (f.try_begin(&merge, ResumeMode::Auto), expected) {
            (Ok(begun), None) => {
                f.land(begun.run, 0, 0, json!([{"id": 2, "v": 9}]));
                assert_eq!(f.rows("SELECT id, v FROM t ORDER BY id"), ["1,1", "2,9"]);
                f.end(begun.run, &[(0, 0)], RunEnd::Complete);
                let run = f.begin(&append);
                f.land(run, 0, 0, json!([{"id": 2, "v": 9}]));
                assert_eq!(f.rows("SELECT count(*) FROM t"), ["3"]);
            }
            (Err(error), Some(words)) => assert!(error.to_string().contains(words), "{error}"),
            (other, _) => panic!("{other:?}"),
        }
    }
}
