//! What users make beside our tables: constraints, views, indexes, tables with a name that a plan wants.

use entities::{Entry, Mode, ResumeMode, RunEnd, SpecIndex, StoreError};
use serde_json::json;

use crate::fixture::{Fixture, batch, plan, spec};

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
fn rows_keep_their_number_when_a_table_is_rebuilt() {
    let plan = plan("p", vec![spec("m", Mode::Merge, &["id"])]);
    let mut f = Fixture::new();
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"id": 1, "v": 1.5}, {"id": 2, "v": 2.5}, {"id": 3, "v": 3.5}]));
    f.sql("DELETE FROM m WHERE id = 1");
    f.land(run, 0, 1, json!([{"id": 4, "v": "text"}]));
    assert_eq!(f.rows("SELECT rowid, id FROM m ORDER BY id"), ["2,2", "3,3", "4,4"]);
    let rows = f.store().rows(run, SpecIndex(0), 2, 10).unwrap();
    assert_eq!(rows.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 4]);
}
