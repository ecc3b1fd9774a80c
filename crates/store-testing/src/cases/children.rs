//! Children: which records drive them, and what is owed to the next run.

use entities::{
    Bindings, Child, Committed, Entry, Mode, Over, ResumeMode, RunEnd, RunId, SpecIndex, SyncPlan, TaskId,
};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{batch, child_of, failure, landing_of, plan, spec};

fn land_parents(f: &mut Fixture, run: RunId, parent: u32, child: u32, records: Value) -> Committed {
    let mut landing = f.landing(run, parent, 0, Ok(batch(&records)));
    for (row, record) in records.as_array().unwrap().iter().enumerate() {
        let bindings = Bindings(std::sync::Arc::new(json!({"parent": record}).as_object().unwrap().clone()));
        landing.children.push(Child { spec: SpecIndex(child), row: u32::try_from(row).unwrap(), bindings });
    }
    landing.first_child = TaskId(f.next);
    f.next += i64::try_from(landing.children.len()).unwrap();
    f.commit(vec![Entry::Land(Box::new(landing))]).remove(0)
}

pub fn only_new_and_changed_records_of_a_merge_table_drive_children(kind: &dyn Kind) {
    let first = json!([{"id": 1, "v": 1.5}, {"id": 2, "v": null}, {"id": 3, "v": true}]);
    let second = json!([{"id": 1, "v": 1.5}, {"id": 2, "v": 2.5}, {"id": 4, "v": 1.5}, {"id": 4, "v": 9.5}]);
    let cases = [
        (Mode::Merge, Mode::Append, vec!["2", "4"]),
        (Mode::Merge, Mode::Replace, vec!["1", "2", "4", "4"]),
        (Mode::Append, Mode::Merge, vec!["1", "2", "4", "4"]),
        (Mode::Replace, Mode::Append, vec!["1", "2", "4", "4"]),
    ];
    for (parent, child, expected) in cases {
        let mut f = Fixture::new(kind);
        let specs = vec![spec("parents", parent, &["id"]), child_of(spec("children", child, &["x"]), 0)];
        let plan = plan("p", specs);
        let run = f.begin(&plan);
        let committed = land_parents(&mut f, run, 0, 1, first.clone());
        assert_eq!(committed.children, [(SpecIndex(1), 3)], "{parent:?} {child:?}");
        f.settle(run, &[1]);
        let committed = land_parents(&mut f, run, 0, 1, second.clone());
        assert_eq!(committed.children, [(SpecIndex(1), expected.len() as u64)], "{parent:?} {child:?}");
        let open = f.rows(
            "SELECT json_extract(bindings, '$.parent.id') FROM _sync_tasks WHERE state = 'open' ORDER BY id",
        );
        assert_eq!(open, expected, "{parent:?} {child:?}");
        for task in f.open_tasks(run, 1) {
            assert_eq!((task.chain, task.combination, task.page.number), (task.id, None, 1));
        }
    }
}

pub fn an_unchanged_row_still_gets_its_task(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan =
        plan("p", vec![spec("parents", Mode::Merge, &["id"]), child_of(spec("c", Mode::Append, &[]), 0)]);
    let run = f.begin(&plan);
    land_parents(&mut f, run, 0, 1, json!([{"id": 1, "v": "x"}]));
    let committed = land_parents(&mut f, run, 0, 1, json!([{"id": 1, "v": "x"}]));
    assert_eq!((committed.children, committed.rows), (vec![], 0));
    let newest = f.rows("SELECT max(id) FROM _sync_tasks WHERE spec = 0");
    assert_eq!(f.rows("SELECT _task FROM parents"), newest);
}

pub fn a_failed_child_is_owed_to_the_next_run_and_settled_once(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan =
        plan("p", vec![spec("parents", Mode::Merge, &["id"]), child_of(spec("c", Mode::Append, &[]), 0)]);
    let run = f.begin(&plan);
    land_parents(&mut f, run, 0, 1, json!([{"id": 1}, {"id": 2}]));
    let open = f.open_tasks(run, 1);
    let bad = landing_of(run, open[0].clone(), Err(failure()));
    let good = landing_of(run, open[1].clone(), Ok(batch(&json!([{"a": 1}]))));
    f.commit([bad, good].map(|l| Entry::Land(Box::new(l))).into());
    f.fail(run, 0, 9);
    f.end(run, &[(0, 1), (1, 2)], RunEnd::Failed);

    let second = f.begin(&plan);
    let owed = f.open_tasks(second, 1);
    assert_eq!(owed.len(), 1, "the failed child, not the failed root");
    assert_eq!(owed[0].bindings, open[0].bindings);
    assert!(owed[0].id > open[1].id && owed[0].chain == owed[0].id);
    assert!(f.open_tasks(second, 0).is_empty());
    // Again failed: owed again. Then done: no longer.
    f.commit(vec![Entry::Land(Box::new(landing_of(second, owed[0].clone(), Err(failure()))))]);
    f.end(second, &[(0, 0), (1, 1)], RunEnd::Failed);
    let third = f.begin(&plan);
    let owed = f.open_tasks(third, 1);
    assert_eq!(owed.len(), 1);
    f.commit(vec![Entry::Land(Box::new(landing_of(third, owed[0].clone(), Ok(batch(&json!([{"a": 2}]))))))]);
    f.end(third, &[(0, 0), (1, 0)], RunEnd::Complete);
    let fourth = f.begin(&plan);
    assert!(f.open_tasks(fourth, 1).is_empty());
}

pub fn undoing_a_run_carries_over_what_only_it_would_have_asked_for(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan =
        plan("p", vec![spec("parents", Mode::Merge, &["id"]), child_of(spec("c", Mode::Append, &[]), 0)]);
    let run = f.begin(&plan);
    land_parents(&mut f, run, 0, 1, json!([{"id": 1}]));
    let task = f.open_tasks(run, 1).remove(0);
    f.commit(vec![Entry::Land(Box::new(landing_of(run, task, Ok(batch(&json!([{"a": 1}]))))))]);
    f.end(run, &[(0, 0), (1, 0)], RunEnd::Complete);

    // The second run changes 2 and 3 only, finishes the child of 2, and is undone.
    let run = f.begin(&plan);
    land_parents(&mut f, run, 0, 1, json!([{"id": 1}, {"id": 2}, {"id": 3}]));
    let task = f.open_tasks(run, 1).remove(0);
    f.commit(vec![Entry::Land(Box::new(landing_of(run, task, Ok(batch(&json!([{"a": 2}]))))))]);
    let third = f.try_begin(&plan, ResumeMode::Fresh).unwrap().run;
    assert_eq!(f.rows("SELECT a FROM c"), ["1"]);
    let again = |f: &mut Fixture, run| {
        let open = f.open_tasks(run, 1);
        open.iter().map(|task| task.bindings.0["parent"]["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(again(&mut f, third), [json!(2), json!(3)]);
    assert_eq!(land_parents(&mut f, third, 0, 1, json!([{"id": 1}, {"id": 2}, {"id": 3}])).children, []);
    // Undone once more: carried over once more, not twice.
    let fourth = f.try_begin(&plan, ResumeMode::Fresh).unwrap().run;
    assert_eq!(again(&mut f, fourth), [json!(2), json!(3)]);
}

pub fn a_changed_child_starts_over_with_every_record_of_its_parent(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let before =
        plan("p", vec![spec("parents", Mode::Merge, &["id"]), child_of(spec("c", Mode::Append, &[]), 0)]);
    let run = f.begin(&before);
    // Its filter let one of two records through.
    let both = json!([{"id": 1}, {"id": 2}]);
    let mut landing = f.landing(run, 0, 0, Ok(batch(&both)));
    let bindings = Bindings(std::sync::Arc::new(json!({"parent": {"id": 1}}).as_object().unwrap().clone()));
    landing.children.push(Child { spec: SpecIndex(1), row: 0, bindings });
    landing.first_child = f.id();
    f.commit(vec![Entry::Land(Box::new(landing))]);
    let task = f.open_tasks(run, 1).remove(0);
    f.commit(vec![Entry::Land(Box::new(landing_of(run, task, Ok(batch(&json!([{"a": 1}]))))))]);

    // Now it lets both through: the unchanged parents must drive it all the same.
    let mut changed = before.clone();
    changed.tasks[1].fingerprint = "2".to_owned();
    let begun = f.try_begin(&changed, ResumeMode::Resume).unwrap();
    assert_eq!((begun.specs[0].done, begun.specs[1].done, begun.specs[1].open), (0, 0, 0));
    assert_eq!(f.rows("SELECT count(*) FROM c"), ["0"]);
    assert_eq!(land_parents(&mut f, run, 0, 1, both).children, [(SpecIndex(1), 2)]);
}

/// A child that starts over waits for its parent to land again. If the run then goes on without both, or is undone, the
/// next one makes up for it: the parent's rows stay, and look unchanged.
pub fn what_a_child_that_started_over_still_lacks_is_made_up_for(kind: &dyn Kind) {
    let parents = json!([{"id": 1}, {"id": 2}, {"id": 3}]);
    for mode in [Mode::Append, Mode::Merge] {
        for driven_again in [false, true] {
            for undone in [false, true] {
                let mut f = Fixture::new(kind);
                let case = format!("{mode:?}, driven again: {driven_again}, undone: {undone}");
                let key: &[&str] = if mode == Mode::Merge { &["a"] } else { &[] };
                let specs = vec![
                    spec("parents", Mode::Merge, &["id"]),
                    child_of(spec("c", mode, key), 0),
                    spec("other", Mode::Append, &[]),
                ];
                let before = plan("p", specs);
                if mode == Mode::Merge {
                    // It has been run before; nothing but what changes would drive it.
                    let run = f.begin(&before);
                    f.end(run, &[(0, 0), (1, 0), (2, 0)], RunEnd::Complete);
                }
                let run = f.begin(&before);
                land_parents(&mut f, run, 0, 1, parents.clone());
                let task = f.open_tasks(run, 1).remove(0);
                f.commit(vec![Entry::Land(Box::new(landing_of(run, task, Ok(batch(&json!([{"a": 1}]))))))]);

                let mut changed = before.clone();
                changed.tasks[1].fingerprint = "2".to_owned();
                f.try_begin(&changed, ResumeMode::Resume).unwrap();
                if driven_again {
                    assert_eq!(
                        land_parents(&mut f, run, 0, 1, json!([{"id": 1}])).children.len(),
                        1,
                        "{case}"
                    );
                    let task = f.open_tasks(run, 1).remove(0);
                    let landing = landing_of(run, task, Ok(batch(&json!([{"a": 1}]))));
                    f.commit(vec![Entry::Land(Box::new(landing))]);
                }
                let next = if undone {
                    f.begin_some_afresh(&before, &[0, 1, 2])
                } else {
                    let run = f.resume_some(&changed, &[2]);
                    f.end(run, &[(2, 0)], RunEnd::Complete);
                    f.begin(&before)
                };
                land_parents(&mut f, next, 0, 1, parents.clone());
                let mut records: Vec<i64> = Vec::new();
                for task in f.open_tasks(next, 1) {
                    let id = task.bindings.0["parent"]["id"].as_i64().unwrap();
                    records.push(id);
                    let landing = landing_of(next, task, Ok(batch(&json!([{"a": id}]))));
                    f.commit(vec![Entry::Land(Box::new(landing))]);
                }
                records.sort_unstable();
                assert_eq!(records, [1, 2, 3], "{case}");
                f.end(next, &[(0, 0), (1, 0), (2, 0)], RunEnd::Complete);
                assert_eq!(f.rows("SELECT a FROM c ORDER BY a"), ["1", "2", "3"], "{case}");
                // Once is enough.
                let last = f.begin(&before);
                assert!(land_parents(&mut f, last, 0, 1, parents.clone()).children.is_empty(), "{case}");
                assert!(f.open_tasks(last, 1).is_empty(), "{case}");
            }
        }
    }
}

/// The same run goes on with both again: nothing is driven twice.
pub fn a_child_that_started_over_and_was_left_out_is_taken_in_once(kind: &dyn Kind) {
    for driven_again in [false, true] {
        let mut f = Fixture::new(kind);
        let specs = vec![
            spec("parents", Mode::Merge, &["id"]),
            child_of(spec("c", Mode::Append, &[]), 0),
            spec("other", Mode::Append, &[]),
        ];
        let before = plan("p", specs);
        let parents = json!([{"id": 1}, {"id": 2}, {"id": 3}]);
        let run = f.begin(&before);
        land_parents(&mut f, run, 0, 1, parents.clone());
        let mut changed = before.clone();
        changed.tasks[1].fingerprint = "2".to_owned();
        f.try_begin(&changed, ResumeMode::Resume).unwrap();
        if driven_again {
            land_parents(&mut f, run, 0, 1, json!([{"id": 1}]));
            let task = f.open_tasks(run, 1).remove(0);
            f.commit(vec![Entry::Land(Box::new(landing_of(run, task, Ok(batch(&json!([{"a": 1}]))))))]);
        }
        f.resume_some(&changed, &[2]);
        f.resume_some(&changed, &[0, 1, 2]);
        land_parents(&mut f, run, 0, 1, parents);
        let records: Vec<_> = f
            .open_tasks(run, 1)
            .iter()
            .map(|task| task.bindings.0["parent"]["id"].as_i64().unwrap())
            .collect();
        let mut sorted = records.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [1, 2, 3], "driven again: {driven_again}");
    }
}

/// The child of `parents` with a list of `others`, too.
fn with_list(mode: Mode) -> SyncPlan {
    let mut child = child_of(spec("c", mode, &["a"]), 0);
    let over = Over::Records { task: SpecIndex(2), filter: None, batch: None, which: entities::Which::All };
    let at = entities::Place::default();
    child.foreach.insert(0, entities::Foreach { name: "other".to_owned(), over, at });
    plan("p", vec![spec("parents", Mode::Merge, &["id"]), child, spec("others", Mode::Merge, &["id"])])
}

pub fn a_child_starts_over_with_the_task_whose_rows_it_multiplies_with(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let before = with_list(Mode::Merge);
    let run = f.begin(&before);
    land_parents(&mut f, run, 0, 1, json!([{"id": 1}, {"id": 2}]));
    let heads = f.open_tasks(run, 1);
    let mut first = landing_of(run, heads[0].clone(), Ok(batch(&json!([{"a": 1}]))));
    let names = json!({"other": {"id": 7}, "parent": {"id": 1}});
    first.task.bindings = Bindings(std::sync::Arc::new(names.as_object().unwrap().clone()));
    let (start, end) = (None, None);
    first.task.slice =
        Some(entities::Slice { head: heads[0].id, index: 0, stride: 1, start, end, half: false });
    f.commit(vec![Entry::Land(Box::new(first))]);
    assert_eq!(f.open_tasks(run, 1).len(), 1);

    // Other rows, other products: both records drive the child anew.
    let mut changed = before.clone();
    changed.tasks[2].fingerprint = "2".to_owned();
    let begun = f.try_begin(&changed, ResumeMode::Resume).unwrap();
    assert_eq!((begun.specs[1].done, begun.specs[1].open), (0, 2));
    let open = f.open_tasks(run, 1);
    assert!(open.iter().all(|task| task.slice.is_none() && task.bindings.0.len() == 1), "{open:?}");
}

pub fn a_retry_has_the_children_that_its_records_drive_and_the_full_copies_that_read_its_rows(
    kind: &dyn Kind,
) {
    for (mode, failed, expected) in [
        (Mode::Merge, 2, vec![2]),
        (Mode::Replace, 2, vec![1, 2]),
        (Mode::Merge, 0, vec![0, 1]),
        (Mode::Replace, 0, vec![0, 1]),
    ] {
        let mut f = Fixture::new(kind);
        let plan = with_list(mode);
        let run = f.begin(&plan);
        for index in [0, 2] {
            let came = if index == failed { Err(failure()) } else { Ok(batch(&json!([{"id": 1}]))) };
            let landing = f.landing(run, index, 0, came);
            f.commit(vec![Entry::Land(Box::new(landing))]);
        }
        f.end(run, &[(0, 0), (1, 0), (2, 0)], RunEnd::Failed);
        let begun = f.retry(&plan).unwrap();
        let specs: Vec<u32> = begun.specs.iter().map(|progress| progress.spec.0).collect();
        assert_eq!(specs, expected, "{mode:?}, {failed} failed");
    }
}

pub fn what_a_list_is_read_from_starts_over_with_what_multiplies_with_it(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let mut more = spec("more", Mode::Merge, &["id"]);
    more.table = "others".to_owned();
    let mut pairs = child_of(spec("pairs", Mode::Append, &[]), 0);
    let over = Over::Records { task: SpecIndex(1), filter: None, batch: None, which: entities::Which::All };
    pairs.foreach.push(entities::Foreach { name: "other".to_owned(), over, ..pairs.foreach[0].clone() });
    let parents = spec("parents", Mode::Merge, &["id"]);
    let before = plan("p", vec![parents, spec("others", Mode::Merge, &["id"]), more, pairs]);
    let run = f.begin(&before);
    land_parents(&mut f, run, 0, 3, json!([{"id": 1}, {"id": 2}]));
    let head = f.open_tasks(run, 3).remove(0);
    let landing = landing_of(run, head, Ok(batch(&json!([{"x": 1}]))));
    f.commit(vec![Entry::Land(Box::new(landing))]);
    assert_eq!((f.open_tasks(run, 3).len(), f.rows("SELECT x FROM pairs").len()), (1, 1));
    let mut changed = before.clone();
    changed.tasks[2].fingerprint = "2".to_owned();
    assert!(f.try_begin(&changed, ResumeMode::Resume).unwrap().resumed);
    assert_eq!((f.open_tasks(run, 3).len(), f.rows("SELECT x FROM pairs").len()), (2, 0));
}

pub fn a_child_that_changed_between_runs_is_driven_by_every_record_unless_it_appends(kind: &dyn Kind) {
    for (mode, expected) in [(Mode::Merge, vec![(SpecIndex(1), 1)]), (Mode::Append, vec![])] {
        let mut f = Fixture::new(kind);
        let before =
            plan("p", vec![spec("parents", Mode::Merge, &["id"]), child_of(spec("c", mode, &["a"]), 0)]);
        let run = f.begin(&before);
        land_parents(&mut f, run, 0, 1, json!([{"id": 1}]));
        f.settle(run, &[1]);
        f.end(run, &[(0, 0), (1, 0)], RunEnd::Complete);
        let mut changed = before.clone();
        changed.tasks[1].fingerprint = "2".to_owned();
        let run = f.begin(&changed);
        assert_eq!(land_parents(&mut f, run, 0, 1, json!([{"id": 1}])).children, expected, "{mode:?}");
    }
}

pub fn a_run_without_the_children_owes_them_to_the_next(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan =
        plan("p", vec![spec("parents", Mode::Merge, &["id"]), child_of(spec("c", Mode::Append, &[]), 0)]);
    let first = f.begin_some(&plan, &[0], false);
    let committed = land_parents(&mut f, first, 0, 1, json!([{"id": 1}, {"id": 2}]));
    assert_eq!(committed.children, []);
    f.end(first, &[(0, 0)], RunEnd::Complete);

    // The parents are unchanged now: nothing but the debt brings the children back.
    let second = f.begin(&plan);
    assert_eq!(f.open_tasks(second, 1).len(), 2);
    assert_eq!(land_parents(&mut f, second, 0, 1, json!([{"id": 1}, {"id": 2}])).children, []);
    assert_eq!(f.rows("SELECT count(*) FROM _sync_tasks WHERE owed IS NOT NULL"), ["0"]);
}

pub fn a_run_without_the_children_owes_them_also_where_their_parent_appends_what_comes_once(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let specs = vec![
        spec("grandparents", Mode::Merge, &["id"]),
        child_of(spec("parents", Mode::Append, &[]), 0),
        child_of(spec("c", Mode::Append, &[]), 1),
    ];
    let plan = plan("p", specs);
    let first = f.begin_some(&plan, &[0, 1], false);
    land_parents(&mut f, first, 0, 1, json!([{"id": 1}]));
    let mut landing =
        landing_of(first, f.open_tasks(first, 1).remove(0), Ok(batch(&json!([{"x": 1}, {"x": 2}]))));
    for row in 0..2 {
        let bindings =
            Bindings(std::sync::Arc::new(json!({"parent": {"x": row}}).as_object().unwrap().clone()));
        landing.children.push(Child { spec: SpecIndex(2), row, bindings });
    }
    landing.first_child = TaskId(f.next);
    f.next += 2;
    assert_eq!(f.commit(vec![Entry::Land(Box::new(landing))])[0].children, []);
    f.end(first, &[(0, 0), (1, 0)], RunEnd::Complete);

    // The grandparent is unchanged now: the parent's records do not come again.
    let second = f.begin(&plan);
    assert_eq!(f.open_tasks(second, 2).len(), 2);
}

pub fn what_an_undone_run_owes_to_a_task_left_out_is_owed_once(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan =
        plan("p", vec![spec("parents", Mode::Merge, &["id"]), child_of(spec("c", Mode::Append, &[]), 0)]);
    let first = f.begin_some(&plan, &[0], false);
    land_parents(&mut f, first, 0, 1, json!([{"id": 1}, {"id": 2}]));
    // Killed, and undone: the rows stay, and what they drove is owed.
    let second = f.begin_some_afresh(&plan, &[0]);
    land_parents(&mut f, second, 0, 1, json!([{"id": 1}, {"id": 2}, {"id": 3}]));
    f.end(second, &[(0, 0)], RunEnd::Complete);
    let third = f.begin(&plan);
    assert_eq!(f.open_tasks(third, 1).len(), 3);
}

pub fn a_full_refresh_drives_every_child_again(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan =
        plan("p", vec![spec("parents", Mode::Merge, &["id"]), child_of(spec("c", Mode::Append, &[]), 0)]);
    let first = f.begin(&plan);
    land_parents(&mut f, first, 0, 1, json!([{"id": 1}]));
    f.settle(first, &[1]);
    f.end(first, &[(0, 0), (1, 0)], RunEnd::Complete);
    let second = f.begin_some(&plan, &[0, 1], true);
    assert_eq!(land_parents(&mut f, second, 0, 1, json!([{"id": 1}])).children, [(SpecIndex(1), 1)]);
}

pub fn the_pages_behind_a_refused_record_are_opened(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Merge, &["id"])]);
    let run = f.begin(&plan);
    let mut landing = f.landing(run, 0, 0, Ok(batch(&json!([{"id": null}]))));
    let next = TaskId(f.next);
    f.next += 1;
    let page = entities::Page { number: 2, ..entities::Page::first() };
    landing.next = vec![entities::Task { id: next, combination: None, page, ..landing.task.clone() }];
    let committed = f.commit(vec![Entry::Land(Box::new(landing))]).remove(0);
    assert!(committed.failed.is_some());
    assert_eq!(f.open_tasks(run, 0).iter().map(|task| task.id).collect::<Vec<_>>(), [next]);
}

/// Parents that only drive `c` when they are new or differ, `c`, and a task of its own.
fn family() -> SyncPlan {
    plan(
        "p",
        vec![
            spec("parents", Mode::Merge, &["id"]),
            child_of(spec("c", Mode::Append, &[]), 0),
            spec("other", Mode::Append, &[]),
        ],
    )
}

fn parents_of(f: &mut Fixture, run: RunId) -> Vec<Value> {
    let open = f.open_tasks(run, 1);
    open.iter().map(|task| task.bindings.0["parent"]["id"].clone()).collect()
}

pub fn a_run_resumed_without_the_children_owes_them_to_the_next(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = family();
    let run = f.begin(&plan);
    land_parents(&mut f, run, 0, 1, json!([{"id": 1}, {"id": 2}]));
    let task = f.open_tasks(run, 1).remove(0);
    f.commit(vec![Entry::Land(Box::new(landing_of(run, task, Ok(batch(&json!([{"a": 1}]))))))]);
    assert_eq!(f.resume_some(&plan, &[0]), run);
    land_parents(&mut f, run, 0, 1, json!([{"id": 3}]));
    f.end(run, &[(0, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT count(*) FROM c"), ["0"], "what it had landed is taken back");

    let second = f.begin(&plan);
    assert_eq!(parents_of(&mut f, second), [json!(1), json!(2), json!(3)]);
}

pub fn a_run_resumed_with_the_children_it_had_left_out_asks_for_them(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = family();
    let run = f.begin_some(&plan, &[0], false);
    land_parents(&mut f, run, 0, 1, json!([{"id": 1}, {"id": 2}]));
    assert_eq!(f.resume_some(&plan, &[0, 2]), run);
    assert_eq!(f.resume_some(&plan, &[0, 1, 2]), run);
    assert_eq!(parents_of(&mut f, run), [json!(1), json!(2)]);
    assert_eq!(f.rows("SELECT count(*) FROM _sync_tasks WHERE owed IS NOT NULL"), ["0"]);
    assert_eq!(land_parents(&mut f, run, 0, 1, json!([{"id": 2}, {"id": 3}])).children, [(SpecIndex(1), 1)]);
}

pub fn a_run_resumed_with_parents_owes_the_children_it_still_leaves_out(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = family();
    let run = f.begin_some(&plan, &[2], false);
    assert_eq!(f.resume_some(&plan, &[0, 2]), run);
    land_parents(&mut f, run, 0, 1, json!([{"id": 1}, {"id": 2}]));
    f.end(run, &[(0, 0), (2, 0)], RunEnd::Complete);
    let second = f.begin(&plan);
    assert_eq!(parents_of(&mut f, second), [json!(1), json!(2)]);
}

pub fn a_changed_parent_starts_over_also_in_a_run_without_its_children(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let specs = vec![spec("parents", Mode::Append, &[]), child_of(spec("c", Mode::Append, &[]), 0)];
    let mut plan = plan("p", specs);
    let run = f.begin_some(&plan, &[0], false);
    f.land(run, 0, 0, json!([{"id": 1}]));
    plan.tasks[0].fingerprint = "2".to_owned();
    assert_eq!(f.resume_some(&plan, &[0]), run);
    assert_eq!(f.rows("SELECT count(*) FROM parents"), ["0"]);
}

pub fn children_that_are_new_in_a_plan_are_driven_by_every_record_once(kind: &dyn Kind) {
    let records = json!([{"id": 1}, {"id": 2}]);
    let all = family();
    let mut before = all.clone();
    before.tasks.truncate(1);

    // New between two runs; also when the first of them with it is undone.
    let mut f = Fixture::new(kind);
    let run = f.begin(&before);
    land_parents(&mut f, run, 0, 1, records.clone());
    f.end(run, &[(0, 0)], RunEnd::Complete);
    let run = f.begin(&all);
    assert_eq!(land_parents(&mut f, run, 0, 1, json!([{"id": 1}])).children, [(SpecIndex(1), 1)]);
    let run = f.try_begin(&all, ResumeMode::Fresh).unwrap().run;
    assert_eq!(parents_of(&mut f, run), [json!(1)], "carried over, lest its parent fails in this run");
    assert_eq!(land_parents(&mut f, run, 0, 1, records.clone()).children, [(SpecIndex(1), 1)]);
    f.settle(run, &[1]);
    f.end(run, &[(0, 0), (1, 0), (2, 0)], RunEnd::Complete);
    let run = f.begin(&all);
    assert_eq!(land_parents(&mut f, run, 0, 1, records.clone()).children, []);

    // New within a run: the records that landed without it come again.
    let mut f = Fixture::new(kind);
    let run = f.begin(&before);
    land_parents(&mut f, run, 0, 1, records.clone());
    let begun = f.try_begin(&all, ResumeMode::Resume).unwrap();
    assert_eq!((begun.run, begun.specs[0].done, begun.specs[0].beyond.len()), (run, 0, 0));
    assert_eq!(land_parents(&mut f, run, 0, 1, records.clone()).children, [(SpecIndex(1), 2)]);
    // Undone at once: what was driven is owed, and driven once.
    let run = f.try_begin(&all, ResumeMode::Fresh).unwrap().run;
    assert_eq!(parents_of(&mut f, run), [json!(1), json!(2)]);
    assert_eq!(land_parents(&mut f, run, 0, 1, records).children, []);
}

pub fn a_child_that_is_owed_and_driven_again_is_asked_for_once(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = family();
    let run = f.begin(&plan);
    land_parents(&mut f, run, 0, 1, json!([{"id": 1}, {"id": 2}]));
    for task in f.open_tasks(run, 1) {
        f.commit(vec![Entry::Land(Box::new(landing_of(run, task, Err(failure()))))]);
    }
    f.end(run, &[(0, 0), (1, 2), (2, 0)], RunEnd::Failed);
    let run = f.begin_some(&plan, &[0, 1, 2], true);
    assert_eq!(parents_of(&mut f, run), [json!(1), json!(2)]);
    let committed = land_parents(&mut f, run, 0, 1, json!([{"id": 1}, {"id": 2}, {"id": 3}]));
    assert_eq!(committed.children, [(SpecIndex(1), 1)]);
    assert_eq!(parents_of(&mut f, run), [json!(1), json!(2), json!(3)]);
}
