//! Landings with more records than memory should hold: the rest comes in parts, and all of it is one Landing.

use std::sync::Arc;

use entities::{
    Bindings, Child, ColumnType, Entry, Failure, FailureKind, Mode, RecordBatch, RunEnd, SpecIndex, Spooled,
    SpooledPart, TaskId,
};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{batch, child_of, failure, plan, spec, with_cursor};

/// Records in parts, each of which may drive children of spec 1.
#[derive(Debug)]
struct Parts {
    parts: Vec<Value>,
    drives: bool,
    /// Reading fails behind them.
    broken: bool,
}

impl Spooled for Parts {
    fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.as_array().unwrap().len() as u64).sum()
    }

    fn children(&self) -> u64 {
        if self.drives { self.rows() } else { 0 }
    }

    fn parts(&self) -> Box<dyn Iterator<Item = Result<SpooledPart, Failure>> + '_> {
        let parts = self.parts.iter().map(|part| {
            let children = if self.drives { children_of(part) } else { Vec::new() };
            Ok(SpooledPart { records: batch(part), children })
        });
        Box::new(parts.chain(self.broken.then(|| Err(failure()))))
    }
}

fn children_of(records: &Value) -> Vec<Child> {
    let child = |(row, record): (usize, &Value)| Child {
        spec: SpecIndex(1),
        row: u32::try_from(row).unwrap(),
        bindings: Bindings(Arc::new(json!({"parent": record}).as_object().unwrap().clone())),
    };
    records.as_array().unwrap().iter().enumerate().map(child).collect()
}

fn spooled(first: &Value, parts: &[Value], drives: bool) -> RecordBatch {
    let spooled = Parts { parts: parts.to_vec(), drives, broken: false };
    RecordBatch { spooled: Some(Arc::new(spooled)), ..batch(first) }
}

pub fn all_parts_land_with_the_first_records(kind: &dyn Kind) {
    for mode in [Mode::Append, Mode::Merge, Mode::Replace] {
        let key: &[&str] = if mode == Mode::Merge { &["id"] } else { &[] };
        let mut f = Fixture::new(kind);
        let plan = plan("p", vec![spec("t", mode, key)]);
        let run = f.begin(&plan);
        // The column widens behind the first part, and one is new.
        let parts = [json!([{"id": 2, "v": 2}, {"id": 3, "v": 0.5}]), json!([{"id": 4, "v": "x", "new": 1}])];
        let (id, committed) = f.land_batch(run, 0, 0, spooled(&json!([{"id": 1, "v": 1}]), &parts, false));
        assert_eq!((committed.failed, committed.rows), (None, 4), "{mode:?}");
        f.open();
        f.begin(&plan);
        f.end(run, &[(0, 0)], RunEnd::Complete);
        assert_eq!(f.lines("t"), ["id=1 v=1", "id=2 v=2", "id=3 v=0.5", "id=4 new=1 v=x"], "{mode:?}");
        assert_eq!(f.rows("SELECT DISTINCT _task FROM t"), [id.to_string()], "{mode:?}");
        assert_eq!(f.rows("SELECT records FROM _sync_specs"), ["4"], "{mode:?}");
        assert_eq!(f.rows("SELECT rows FROM _sync_tasks"), ["4"], "{mode:?}");
    }
}

pub fn the_last_of_equal_keys_wins_over_parts(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan("p", vec![spec("t", Mode::Merge, &["id"])]));
    let parts = [json!([{"id": 1, "v": "second"}, {"id": 2, "v": "a"}]), json!([{"id": 1, "v": "third"}])];
    f.land_batch(run, 0, 0, spooled(&json!([{"id": 1, "v": "first"}]), &parts, false));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.lines("t"), ["id=1 v=third", "id=2 v=a"]);
}

pub fn a_refused_part_refuses_the_whole(kind: &dyn Kind) {
    for mode in [Mode::Append, Mode::Merge, Mode::Replace] {
        let mut f = Fixture::new(kind);
        let mut of = spec("t", mode, if mode == Mode::Merge { &["id"] } else { &[] });
        if mode != Mode::Merge {
            of.types = vec![("id".to_owned(), ColumnType::Text)];
        }
        let plan = plan("p", vec![of, spec("u", Mode::Append, &[])]);
        let run = f.begin(&plan);
        // A frozen type, or a key, that the last part breaks: found when all else has been written.
        let bad = match mode {
            Mode::Merge => {
                spooled(&json!([{"id": 1}]), &[json!([{"id": 2, "new": 1}]), json!([{"v": 3}])], false)
            }
            _ => {
                let spooled =
                    Parts { parts: vec![json!([{"id": "2", "new": 1}])], drives: false, broken: true };
                RecordBatch { spooled: Some(Arc::new(spooled)), ..batch(&json!([{"id": "1"}])) }
            }
        };
        let before = f.landing(run, 0, 0, Ok(batch(&json!([{"id": "7"}]))));
        let bad = f.landing(run, 0, 1, Ok(bad));
        let after = f.landing(run, 0, 2, Ok(batch(&json!([{"id": "8"}]))));
        let other = f.landing(run, 1, 0, Ok(batch(&json!([{"a": 1}]))));
        let ids = [&before, &bad, &after].map(|landing| landing.task.id.0);
        let entries = [before, bad, after, other].map(|landing| Entry::Land(Box::new(landing)));
        let committed = f.commit(entries.into());
        let failed = committed[1].failed.as_ref().unwrap_or_else(|| panic!("{mode:?} was not refused"));
        assert!(mode != Mode::Merge || failed.kind == FailureKind::Record, "{failed}");
        assert_eq!(committed[1].rows, 0, "{mode:?}");
        f.open();
        f.begin(&plan);
        assert_eq!(
            f.rows(&format!(
                "SELECT state FROM _sync_tasks WHERE id IN ({}, {}, {}) ORDER BY id",
                ids[0], ids[1], ids[2]
            )),
            ["done", "failed", "done"],
            "{mode:?}"
        );
        // The column that came and went can come again.
        f.land(run, 0, 3, json!([{"id": "9", "new": "text"}]));
        f.end(run, &[(0, 0), (1, 0)], RunEnd::Complete);
        assert_eq!(f.lines("t"), ["id=7", "id=8", "id=9 new=text"], "{mode:?}");
        assert_eq!(f.lines("u"), ["a=1"]);
    }
}

pub fn records_of_parts_drive_children(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("m", Mode::Merge, &["id"]), child_of(spec("c", Mode::Append, &[]), 0)]);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"id": 2, "v": 1}]));
    let first = json!([{"id": 1, "v": 1}, {"id": 2, "v": 1}]);
    let parts = [json!([{"id": 3, "v": 1}]), json!([{"id": 4, "v": 1}, {"id": 2, "v": 1}])];
    let mut landing = f.landing(run, 0, 1, Ok(spooled(&first, &parts, true)));
    landing.children = children_of(&first);
    landing.first_child = TaskId(f.next);
    f.next += 5;
    let committed = f.commit_one(landing);
    assert_eq!(committed.children, [(SpecIndex(1), 3)]);
    f.open();
    f.begin(&plan);
    let driven: Vec<Value> =
        f.open_tasks(run, 1).iter().map(|task| task.bindings.0["parent"]["id"].clone()).collect();
    assert_eq!(driven, [json!(1), json!(3), json!(4)]);
}

/// An incremental append drops records at its cursor, whichever part they come in.
pub fn a_boundary_runs_through_parts(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![with_cursor(spec("t", Mode::Append, &[]))]);
    let land = |f: &mut Fixture, run, records: RecordBatch, at: i64| {
        let mut landing = f.landing(run, 0, 0, Ok(records));
        landing.task.cursor = (at > 5).then(|| json!(5));
        landing.cursor = crate::plans::cursor(json!(at));
        landing.cursor_of = Some("{\"n\":0}".to_owned());
        f.commit_one(landing)
    };
    let run = f.begin(&plan);
    let parts = [json!([{"at": 5, "v": "b"}]), json!([{"at": 5, "v": "c"}])];
    land(&mut f, run, spooled(&json!([{"at": 4, "v": "a"}]), &parts, false), 5);
    f.end(run, &[(0, 0)], RunEnd::Complete);
    let run = f.begin(&plan);
    let parts = [json!([{"at": 5, "v": "c"}]), json!([{"at": 6, "v": "d"}])];
    let committed = land(&mut f, run, spooled(&json!([{"at": 5, "v": "b"}]), &parts, false), 6);
    assert_eq!((committed.dropped, committed.rows), (2, 1));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.lines("t"), ["at=4 v=a", "at=5 v=b", "at=5 v=c", "at=6 v=d"]);
}
