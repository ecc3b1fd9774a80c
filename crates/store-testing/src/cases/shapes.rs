//! What a plan says about a table: mirror, types, a frozen schema; and records of many fields.

use entities::{ColumnType, Deleted, FailureKind, Mode, RunEnd, RunId, SchemaPolicy, SpecIndex};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{batch, plan, spec};

pub fn a_mirror_removes_or_marks_what_a_complete_run_did_not_return(kind: &dyn Kind) {
    let cases = [
        (Deleted::Remove, vec!["2", "3"], vec!["1", "2", "3"]),
        (Deleted::Mark, vec!["1", "2", "3"], vec!["1", "2", "3"]),
    ];
    for (deleted, after, back) in cases {
        let mut f = Fixture::new(kind);
        let plan = plan("p", vec![spec("t", Mode::Mirror(deleted), &["id"])]);
        let run = f.begin(&plan);
        f.land(run, 0, 0, json!([{"id": 1}, {"id": 2}]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        // Failed: nothing goes.
        let run = f.begin(&plan);
        f.land(run, 0, 0, json!([{"id": 2}]));
        f.fail(run, 0, 1);
        f.end(run, &[(0, 1)], RunEnd::Failed);
        assert_eq!(f.rows("SELECT id FROM t"), ["1", "2"]);
        let run = f.begin(&plan);
        f.land(run, 0, 0, json!([{"id": 2}, {"id": 3}]));
        f.end_spec(run, 0, 0);
        assert_eq!(f.rows("SELECT id FROM t ORDER BY id"), after);
        let there = f.store().rows(run, SpecIndex(0), 0, 9).unwrap();
        assert_eq!(there.iter().map(|(_, row)| row["id"].clone()).collect::<Vec<_>>(), [json!(2), json!(3)]);
        assert!(!there[0].1.contains_key("_deleted_at"));
        f.end(run, &[], RunEnd::Complete);
        if deleted == Deleted::Mark {
            assert_eq!(f.rows("SELECT id FROM t WHERE _deleted_at = '1970-01-01T00:00:01.234Z'"), ["1"]);
        }
        let run = f.begin(&plan);
        f.land(run, 0, 0, json!([{"id": 1}, {"id": 2}, {"id": 3}]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        assert_eq!(f.rows("SELECT id FROM t ORDER BY id"), back);
        if deleted == Deleted::Mark {
            assert_eq!(f.rows("SELECT count(*) FROM t WHERE _deleted_at IS NOT NULL"), ["0"]);
        }
    }
}

pub fn a_mirror_that_starts_over_does_not_count_what_it_landed_before(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let mut plan = plan("p", vec![spec("t", Mode::Mirror(Deleted::Remove), &["id"])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"id": 1}, {"id": 2}]));
    plan.tasks[0].fingerprint = "2".to_owned();
    assert_eq!(f.resume_some(&plan, &[0]), run);
    f.land(run, 0, 0, json!([{"id": 2}]));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT id FROM t"), ["2"]);
}

pub fn columns_have_the_type_that_the_plan_says(kind: &dyn Kind) {
    // What the column is already, from a run without `types`; what is said; what comes of it.
    type Case<'c> = (Option<Value>, ColumnType, Value, Result<&'c str, &'c str>);
    let cases: Vec<Case<'_>> = vec![
        (None, ColumnType::Decimal, json!(null), Ok("decimal")),
        (None, ColumnType::Decimal, json!(1), Ok("decimal")),
        (None, ColumnType::Float, json!(1), Ok("float")),
        (None, ColumnType::Text, json!(7), Ok("text")),
        (
            None,
            ColumnType::Timestamp,
            json!("2024-01-01T00:00:00Z"),
            Ok(if kind.has_times() { "timestamp" } else { "text" }),
        ),
        (None, ColumnType::Date, json!("2024-02-29"), Ok(if kind.has_times() { "date" } else { "text" })),
        (None, ColumnType::Json, json!([1]), Ok("json")),
        (Some(json!(null)), ColumnType::Int, json!(1), Ok("int")),
        (Some(json!(1)), ColumnType::Decimal, json!(1), Ok("decimal")),
        (
            Some(json!("x")),
            ColumnType::Int,
            json!(1),
            Err("column `v` of table `t` is text and cannot become int"),
        ),
        (Some(json!(0.5)), ColumnType::Bool, json!(true), Err("is float and cannot become bool")),
    ];
    for (held, said, value, expected) in cases {
        let mut f = Fixture::new(kind);
        let mut plan = plan("p", vec![spec("t", Mode::Append, &[])]);
        if let Some(held) = &held {
            let run = f.begin(&plan);
            f.land(run, 0, 0, json!([{"v": held}]));
            f.end(run, &[(0, 0)], RunEnd::Complete);
        }
        plan.tasks[0].types = vec![("v".to_owned(), said)];
        let run = f.begin(&plan);
        for n in 0..2 {
            let (_, committed) = f.land(run, 0, n, json!([{"v": value}]));
            match (&expected, committed.failed) {
                (Ok(kind), None) => {
                    assert_eq!(
                        f.rows("SELECT type FROM _sync_columns WHERE name = 'v'"),
                        [kind.to_string()],
                        "{said:?}"
                    );
                }
                (Err(words), Some(failure)) => {
                    assert!(failure.message.contains(words) && failure.help.is_some(), "{failure}");
                }
                (expected, failed) => panic!("{held:?} {said:?}: {expected:?} {failed:?}"),
            }
        }
    }
}

pub fn a_frozen_table_takes_no_other_columns(kind: &dyn Kind) {
    for mode in [Mode::Append, Mode::Replace] {
        let cases = [
            (json!([{"a": 1, "b": "x"}, {"b": "y"}]), None),
            (json!([{"a": 1, "new": null}]), None),
            (
                json!([{"a": 1}, {"a": 2, "new": 1}]),
                Some("record 2 of 2 has a field `new` which table `t` has no column for"),
            ),
            (json!([{"a": "one"}]), Some("record 1 of 1 has a field `a` which is no int")),
        ];
        let mut f = Fixture::new(kind);
        let mut frozen = spec("t", mode, &[]);
        frozen.schema = SchemaPolicy::Frozen;
        let plan = plan("p", vec![frozen]);
        let run = f.begin(&plan);
        f.land(run, 0, 0, json!([{"a": 1}]));
        f.open();
        f.begin(&plan);
        f.land(run, 0, 1, json!([{"b": "x"}]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
        let run = f.begin(&plan);
        let mut failed = 0;
        for (n, (records, expected)) in cases.into_iter().enumerate() {
            let landing = f.landing(run, 0, n as u64, Ok(batch(&records)));
            let committed = f.commit(vec![entities::Entry::Land(Box::new(landing))]).remove(0);
            match (committed.failed, expected) {
                (None, None) => {}
                (Some(failure), Some(words)) => {
                    assert_eq!(failure.kind, FailureKind::Record);
                    assert!(failure.message.contains(words), "{failure}");
                    let request = failure.request.unwrap_or_default();
                    assert!(request.starts_with("GET /"), "the request it is about: {request}");
                    assert!(
                        !failure.help.unwrap_or_default().contains("types"),
                        "a frozen table has its types"
                    );
                    failed += 1;
                }
                other => panic!("{mode:?} {records}: {other:?}"),
            }
        }
        assert_eq!(failed, 2);
        assert_eq!(f.rows("SELECT name FROM _sync_columns WHERE target = 't' ORDER BY place"), ["a", "b"]);
    }
}

pub fn a_second_run_changes_nothing_but_the_task_of_what_came_again(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Merge, &["id"])]);
    let records = json!([{"id": 1, "v": 0.1, "j": {"a": [1]}}, {"id": 2, "v": null, "j": null}]);
    let run = f.begin(&plan);
    let (first, _) = f.land(run, 0, 0, records.clone());
    f.end(run, &[(0, 0)], RunEnd::Complete);
    let before = f.rows("SELECT id, v, j FROM t ORDER BY id");
    let run = f.begin(&plan);
    let (second, _) = f.land(run, 0, 0, json!([records[1]]));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT id, v, j FROM t ORDER BY id"), before);
    assert_eq!(f.rows("SELECT _task FROM t ORDER BY id"), [first.to_string(), second.to_string()]);
}

pub fn rows_keep_their_number_when_a_column_widens(kind: &dyn Kind) {
    let plan = plan("p", vec![spec("m", Mode::Merge, &["id"])]);
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"id": 1, "v": 1.5}, {"id": 2, "v": 2.5}, {"id": 3, "v": 3.5}]));
    let numbers = |f: &mut Fixture, after: u64| {
        let rows = f.store().rows(run, SpecIndex(0), after, 10).unwrap();
        rows.into_iter().map(|(number, row)| (number, row["id"].clone())).collect::<Vec<_>>()
    };
    let before = numbers(&mut f, 0);
    assert_eq!(before.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>(), [json!(1), json!(2), json!(3)]);
    f.land(run, 0, 1, json!([{"id": 4, "v": "text"}]));
    let after = numbers(&mut f, 0);
    assert_eq!(after[..3], before);
    assert_eq!(numbers(&mut f, before[1].0), after[2..]);
    let unknown = f.store().rows(RunId(99), SpecIndex(0), 0, 10);
    assert!(unknown.is_err(), "no rows would look like an empty table");
}
