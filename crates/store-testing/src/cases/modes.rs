//! Append, merge, replace: what a table holds after landings, runs and failures.

use entities::{Entry, FailureKind, Mode, ResumeMode, RunEnd, StoreError};
use serde_json::json;

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{batch, plan, spec};

pub fn append_adds(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
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

pub fn merge_keeps_the_last_of_a_key_and_nulls_what_is_absent(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Merge, &["id"])]);
    let run = f.begin(&plan);
    f.land(
        run,
        0,
        0,
        json!([{"id": 1, "a": "x", "b": 1}, {"id": 2, "a": "y", "b": 2}, {"id": 1, "a": "z", "b": 3}]),
    );
    assert_eq!(f.rows("SELECT id, a, b FROM t ORDER BY id"), ["1,z,3", "2,y,2"]);
    let (id, _) = f.land(run, 0, 1, json!([{"id": 2, "a": "w"}]));
    assert_eq!(f.rows("SELECT id, a, b, _task FROM t WHERE id = 2"), [format!("2,w,null,{id}")]);
}

pub fn merge_by_two_columns(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Merge, &["code", "day"])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"day": 1, "code": "a", "v": 1.5}, {"day": 2, "code": "a", "v": 2.5}]));
    f.land(run, 0, 1, json!([{"v": 9.5, "code": "a", "day": 2}]));
    assert_eq!(f.rows("SELECT code, day, v FROM t ORDER BY day"), ["a,1,1.5", "a,2,9.5"]);
}

pub fn a_record_without_its_key_fails_its_landing_only(kind: &dyn Kind) {
    for records in [json!([{"id": 1}, {"a": 2}]), json!([{"a": 2}]), json!([{"id": null, "a": 2}])] {
        let mut f = Fixture::new(kind);
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
        assert_eq!(f.rows("SELECT state, rows FROM _sync_tasks ORDER BY id"), ["failed,0", "done,1"]);
        assert_eq!(f.rows("SELECT done, failed, records FROM _sync_specs"), ["2,1,1"]);
    }
}

pub fn replace_swaps_at_the_end(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Replace, &[])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 1}, {"a": 2}]));
    assert_eq!(f.place.seen("t").unwrap_or_default().rows.len(), 0, "nothing is to be seen of half a copy");
    f.end(run, &[(0, 0)], RunEnd::Complete);
    let before = f.place.seen("t");
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 1.5, "b": "new"}]));
    assert_eq!(f.place.seen("t"), before, "the old content stays visible");
    f.open();
    assert_eq!(f.begin(&plan), run);
    assert_eq!(f.place.seen("t"), before, "also over a crash");
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.lines("t"), ["a=1.5 b=new"]);
    assert_eq!(f.leftovers(), [""; 0]);
    assert_eq!(f.rows("SELECT count(*) FROM _sync_columns WHERE target LIKE '%stage%'"), ["0"]);
}

pub fn replace_with_a_failure_keeps_the_old_content(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
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
    assert_eq!(f.leftovers(), [""; 0]);
    let run = f.begin(&plan);
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT count(*) FROM t"), ["0"], "a complete run without records");
}

pub fn staging_survives_the_process(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Replace, &[])]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"a": 1}]));
    f.open();
    assert_eq!(f.begin(&plan), run);
    f.land(run, 0, 1, json!([{"a": 2}]));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT a FROM t ORDER BY a"), ["1", "2"]);
}

pub fn tables_of_others_are_refused(kind: &dyn Kind) {
    let of_t = || plan("p", vec![spec("t", Mode::Append, &[])]);
    for (made_by_hand, expected) in [(true, "somebody else"), (false, "plan `other`")] {
        let mut f = Fixture::new(kind);
        if made_by_hand {
            f.store = None;
            f.place.make_foreign("t");
            f.open();
        } else {
            f.change_ledger(
                "INSERT INTO _sync_tables (name, plan, mode, key) VALUES ('T', 'other', 'append', '[]')",
            );
        }
        match f.try_begin(&of_t(), ResumeMode::Auto) {
            Err(StoreError::Foreign { owner, .. }) => assert!(owner.contains(expected), "{owner}"),
            other => panic!("{expected}: {other:?}"),
        }
        assert_eq!(f.rows("SELECT count(*) FROM _sync_runs"), ["0"]);
        // Others get on.
        let run = f.begin(&plan("p", vec![spec("u", Mode::Append, &[])]));
        f.land(run, 0, 0, json!([{"a": 1}]));
        f.end(run, &[(0, 0)], RunEnd::Complete);
    }
    let mut f = Fixture::new(kind);
    let result = f.try_begin(&plan("p", vec![spec("_sync_tasks", Mode::Append, &[])]), ResumeMode::Auto);
    assert!(matches!(result, Err(StoreError::Foreign { .. })));
}

pub fn an_error_leaves_nothing_and_the_store_usable(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let run = f.begin(&plan);
    let (id, _) = f.land(run, 0, 0, json!([{"a": 1}]));
    let good = f.landing(run, 0, 1, Ok(batch(&json!([{"a": 2, "b": 1}]))));
    let mut again = f.landing(run, 0, 2, Ok(batch(&json!([{"a": 3}]))));
    again.task.id.0 = id;
    again.task.chain.0 = id;
    let result = f.store().commit([good, again].map(|l| Entry::Land(Box::new(l))).into());
    assert!(matches!(result, Err(StoreError::Broken { .. })), "{result:?}");
    assert_eq!(f.rows("SELECT _task, a FROM t"), [format!("{id},1")]);
    f.land(run, 0, 5, json!([{"a": 2, "b": 1}]));
    assert_eq!(f.rows("SELECT a, b FROM t"), ["1,null", "2,1"]);
}

pub fn a_key_that_comes_later_is_taken_if_the_rows_allow(kind: &dyn Kind) {
    for (records, expected) in [
        (json!([{"id": 1, "v": 1}, {"id": 2, "v": 2}]), None),
        (json!([{"id": 1, "v": 1}, {"id": 1, "v": 2}]), Some("cannot have the key (id)")),
    ] {
        let mut f = Fixture::new(kind);
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
