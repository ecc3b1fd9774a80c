//! What failed is made good by a later run: roots with cursors, windows, and `syncctl retry`.

pub mod anew;

use entities::{
    BeginRequest, Bindings, Entry, Landing, Mode, Over, ResumeMode, RunEnd, RunId, Settled, Slice, SpecIndex,
    StoreError, SyncPlan, Task, TaskId, Which,
};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{
    batch, begin_request, child_of, cursor, failure, follow_up, landing_of, plan, spec, windowed, with_cursor,
};

fn land(f: &mut Fixture, run: RunId, task: Task, at: Result<i64, ()>, next: Vec<Task>) -> Option<Settled> {
    let result = at.map(|at| batch(&json!([{"at": at}]))).map_err(|()| failure());
    let mut landing = landing_of(run, task, result);
    landing.cursor = at.ok().and_then(|at| cursor(json!(at)));
    landing.cursor_of = Some("c".to_owned());
    landing.next = next;
    f.commit(vec![Entry::Land(Box::new(landing))]).remove(0).settled
}

/// A run whose second page fails: of three records one has landed.
fn broken_chain(f: &mut Fixture, plan: &SyncPlan) -> RunId {
    let run = f.begin(plan);
    let first = f.landing(run, 0, 0, Ok(batch(&json!([])))).task;
    let second = follow_up(&first, f.id());
    land(f, run, first, Ok(9), vec![second.clone()]);
    land(f, run, second, Err(()), vec![]);
    f.end(run, &[(0, 1)], RunEnd::Failed);
    run
}

fn value(f: &Fixture) -> Vec<String> {
    f.rows("SELECT value FROM _sync_cursors")
}

pub fn a_failed_page_of_an_incremental_append_is_asked_for_alone_and_moves_the_cursor(kind: &dyn Kind) {
    let plan = plan("p", vec![with_cursor(spec("t", Mode::Append, &[]))]);
    let mut f = Fixture::new(kind);
    broken_chain(&mut f, &plan);
    assert_eq!(value(&f), ["null"]);
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert_eq!((begun.specs[0].held_back.clone(), begun.specs[0].cursors.len()), (vec!["c".to_owned()], 0));
    let debt = f.open_tasks(begun.run, 0).remove(0);
    assert_eq!((debt.page.number, debt.chain, debt.combination), (2, debt.id, None));
    assert!(begun.specs[0].beyond.is_empty(), "the combination itself is still to be asked for");
    let third = follow_up(&debt, f.id());
    assert_eq!(land(&mut f, begun.run, debt, Ok(12), vec![third.clone()]), None, "page 3 is open");
    // A crash in between: it is held back still.
    f.open();
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert_eq!(begun.specs[0].held_back, ["c"]);
    let settled = Settled { combination: "c".to_owned(), cursor: Some(json!(12)), sits_out: false };
    assert_eq!(land(&mut f, begun.run, third, Ok(11), vec![]), Some(settled));
    assert_eq!(f.rows("SELECT at FROM t ORDER BY at"), ["9", "11", "12"]);
    // A crash after it: the cursor it goes on from is the moved one.
    f.open();
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert_eq!(
        (begun.specs[0].held_back.len(), begun.specs[0].cursors.clone()),
        (0, vec![("c".to_owned(), json!(12))])
    );
    // Undone: all of it is as the first run left it.
    let begun = f.try_begin(&plan, ResumeMode::Fresh).unwrap();
    assert_eq!((begun.specs[0].held_back.clone(), begun.specs[0].cursors.len()), (vec!["c".to_owned()], 0));
    assert_eq!(f.rows("SELECT at FROM t"), ["9"]);
    assert_eq!(f.open_tasks(begun.run, 0).remove(0).page.number, 2);
}

pub fn what_fails_again_sits_out_if_it_appends_and_stays_owed(kind: &dyn Kind) {
    for (mode, sits_out) in [(Mode::Append, true), (Mode::Merge, false)] {
        let plan = plan("p", vec![with_cursor(spec("t", mode, &["at"]))]);
        let mut f = Fixture::new(kind);
        broken_chain(&mut f, &plan);
        for _ in 0..2 {
            let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
            let debt = f.open_tasks(begun.run, 0).remove(0);
            let settled = Settled { combination: "c".to_owned(), cursor: None, sits_out };
            assert_eq!(land(&mut f, begun.run, debt, Err(()), vec![]), Some(settled), "{mode:?}");
            f.end(begun.run, &[(0, 1)], RunEnd::Failed);
            assert_eq!(f.rows("SELECT count(*) FROM _sync_tasks WHERE owed IS NOT NULL"), ["1"]);
        }
        // Resumed instead of ended, an append tries once more: nobody would tell it to sit out.
        let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
        let debt = f.open_tasks(begun.run, 0).remove(0);
        land(&mut f, begun.run, debt, Err(()), vec![]);
        f.open();
        let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
        assert_eq!((begun.specs[0].open, begun.specs[0].failed), if sits_out { (1, 0) } else { (0, 1) });
    }
}

pub fn debts_of_left_out_and_of_changed_specs_are_not_forgotten(kind: &dyn Kind) {
    let mut plan = plan("p", vec![with_cursor(spec("t", Mode::Append, &[])), spec("u", Mode::Append, &[])]);
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    let mut first = f.landing(run, 0, 0, Ok(batch(&json!([])))).task;
    first.bindings = Bindings::default();
    let second = follow_up(&first, f.id());
    land(&mut f, run, first, Ok(9), vec![second.clone()]);
    land(&mut f, run, second, Err(()), vec![]);
    f.end(run, &[(0, 1), (1, 0)], RunEnd::Failed);
    // A run of the other task only.
    let run = f.begin_some(&plan, &[1], false);
    f.end(run, &[(1, 0)], RunEnd::Complete);
    // A full refresh makes it first, and waits for nothing.
    let full = BeginRequest { full_refresh: true, ..begin_request(&plan) };
    let begun = f.ask(&full).unwrap();
    assert_eq!((begun.specs[0].open, begun.specs[0].held_back.len()), (1, 0));
    let begun = f.try_begin(&plan, ResumeMode::Fresh).unwrap();
    assert_eq!(begun.specs[0].open, 1);
    // Resumed without the task, and with it again.
    let run = f.resume_some(&plan, &[1]);
    let begun = f.try_begin(&plan, ResumeMode::Resume).unwrap();
    assert_eq!((begun.run, begun.specs[0].open, begun.specs[0].held_back.len()), (run, 1, 1));
    // The request changed: from its first page on.
    plan.tasks[0].fingerprint = "2".to_owned();
    let begun = f.try_begin(&plan, ResumeMode::Resume).unwrap();
    assert_eq!(begun.run, run);
    assert_eq!(f.open_tasks(run, 0).remove(0).page.number, 1);
    let begun = f.try_begin(&plan, ResumeMode::Fresh).unwrap();
    assert_eq!(f.open_tasks(begun.run, 0).remove(0).page.number, 1);
    // Other names: the combination is another one, which has no cursor and asks for everything.
    let list = Over::Range { from: 0, to: 1, step: 1 };
    plan.tasks[0].foreach.push(entities::Foreach {
        name: "m".into(),
        over: list,
        at: entities::Place::default(),
    });
    plan.tasks[0].fingerprint = "3".to_owned();
    let begun = f.try_begin(&plan, ResumeMode::Fresh).unwrap();
    assert!(f.open_tasks(begun.run, 0).is_empty());
}

fn day(n: i64) -> Value {
    json!(format!("2024-01-{:02}T00:00:00Z", n + 1))
}

fn slice_of(f: &mut Fixture, run: RunId, head: Option<TaskId>, index: u64, from: i64) -> Landing {
    let mut landing = f.landing(run, 0, 0, Ok(batch(&json!([]))));
    let task = &mut landing.task;
    if index > 0 {
        task.combination = None;
    }
    let (start, end) = (day(from + index as i64), day(from + index as i64 + 1));
    task.slice = Some(Slice {
        head: head.unwrap_or(task.id),
        index,
        stride: 1,
        start: Some(start),
        end: Some(end),
        half: false,
    });
    landing.cursor_of = Some("{\"n\":0}".to_owned());
    landing
}

pub fn windows_publish_the_contiguous_prefix_and_go_on_from_what_was_reached(kind: &dyn Kind) {
    let plan = plan("p", vec![windowed(spec("t", Mode::Append, &[]))]);
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    let mut head = slice_of(&mut f, run, None, 0, 0);
    let opened: Vec<Task> =
        [1, 2].map(|index| slice_of(&mut f, run, Some(head.task.id), index, 0).task).into();
    head.next = opened.clone();
    let marks =
        |f: &Fixture| f.rows("SELECT substr(value, 10, 2), substr(reached, 10, 2) FROM _sync_cursors");
    f.commit(vec![Entry::Land(Box::new(head))]);
    assert_eq!(marks(&f), ["02,02"]);
    let mut last = landing_of(run, opened[1].clone(), Ok(batch(&json!([]))));
    last.cursor_of = Some("{\"n\":0}".to_owned());
    f.commit(vec![Entry::Land(Box::new(last))]);
    assert_eq!(marks(&f), ["02,04"], "slice 1 is open");
    let mut middle = landing_of(run, opened[0].clone(), Err(failure()));
    middle.cursor_of = Some("{\"n\":0}".to_owned());
    f.commit(vec![Entry::Land(Box::new(middle))]);
    assert_eq!(marks(&f), ["02,04"], "and is owed");
    f.end(run, &[(0, 1)], RunEnd::Failed);

    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert_eq!((begun.specs[0].held_back.len(), begun.specs[0].open), (0, 1));
    assert_eq!(begun.specs[0].cursors, [("{\"n\":0}".to_owned(), day(3))]);
    let debt = f.open_tasks(begun.run, 0).remove(0);
    let slice = debt.slice.clone().unwrap();
    assert!(slice.head < begun.first_task && slice.index == 1);
    let next = slice_of(&mut f, begun.run, None, 0, 3);
    f.commit(vec![Entry::Land(Box::new(next))]);
    assert_eq!(marks(&f), ["02,05"], "never beyond the debt");
    let mut made_good = landing_of(begun.run, debt, Ok(batch(&json!([]))));
    made_good.cursor_of = Some("{\"n\":0}".to_owned());
    f.commit(vec![Entry::Land(Box::new(made_good))]);
    assert_eq!(marks(&f), ["05,05"]);
    f.try_begin(&plan, ResumeMode::Fresh).unwrap();
    assert_eq!(marks(&f), ["02,04"], "undone");
}

pub fn retry_makes_what_failed_and_nothing_else(kind: &dyn Kind) {
    let specs = vec![
        spec("a", Mode::Append, &[]),
        spec("r", Mode::Replace, &[]),
        spec("fine", Mode::Append, &[]),
        child_of(spec("k", Mode::Append, &[]), 2),
        with_cursor(spec("c", Mode::Append, &[])),
    ];
    let plan = plan("p", specs);
    let mut f = Fixture::new(kind);
    assert!(matches!(f.retry(&plan), Err(StoreError::NothingToRetry { .. })));
    let run = f.begin(&plan);
    assert!(matches!(f.retry(&plan), Err(StoreError::Unfinished { .. })));
    for spec in [0, 1, 4] {
        f.land(run, spec, 0, json!([{"at": spec}]));
        let mut failed = f.landing(run, spec, 1, Err(failure()));
        failed.cursor_of = (spec == 4).then(|| "{\"n\":1}".to_owned());
        f.commit(vec![Entry::Land(Box::new(failed))]);
    }
    f.land(run, 2, 0, json!([{"at": 2}]));
    f.end(run, &[(0, 1), (1, 1), (2, 0), (3, 0), (4, 1)], RunEnd::Failed);

    let begun = f.retry(&plan).unwrap();
    let what: Vec<_> = begun.specs.iter().map(|s| (s.spec.0, s.open, s.watermark > 1 << 60)).collect();
    assert_eq!(what, [(0, 1, true), (1, 0, false), (4, 1, true)], "a replace table is done as a whole");
    let task = f.open_tasks(begun.run, 0).remove(0);
    assert_eq!(task.bindings.0["n"], json!(1));
    f.commit(vec![Entry::Land(Box::new(landing_of(begun.run, task, Ok(batch(&json!([{"at": 10}]))))))]);
    // Whoever resumes it, it stays a retry.
    f.open();
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert!(begun.resumed && begun.changed.is_empty());
    assert_eq!(begun.specs.iter().map(|s| s.spec.0).collect::<Vec<_>>(), [0, 1, 4]);
    for n in 0..2 {
        f.land(begun.run, 1, n, json!([{"at": n}]));
    }
    let task = f.open_tasks(begun.run, 4).remove(0);
    let mut landing = landing_of(begun.run, task, Ok(batch(&json!([{"at": 14}]))));
    landing.cursor_of = Some("{\"n\":1}".to_owned());
    f.commit(vec![Entry::Land(Box::new(landing))]);
    f.end(begun.run, &[(0, 0), (1, 0), (4, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT at FROM a ORDER BY at"), ["0", "10"]);
    assert_eq!(f.rows("SELECT at FROM r ORDER BY at"), ["0", "1"]);
    assert!(matches!(f.retry(&plan), Err(StoreError::NothingToRetry { .. })));
}

/// A retry that is resumed with a changed plan asks for what had failed as the plan has it now: nothing else would,
/// since a retry expands nothing.
pub fn a_retry_whose_plan_changes_still_makes_what_failed(kind: &dyn Kind) {
    for (names, expected) in [("n", 1), ("other", 0)] {
        let list = |name: &str| {
            let mut spec = spec("a", Mode::Append, &[]);
            let over = Over::Range { from: 0, to: 1, step: 1 };
            spec.foreach.push(entities::Foreach {
                name: name.to_owned(),
                over,
                at: entities::Place::default(),
            });
            spec
        };
        let mut f = Fixture::new(kind);
        let before = plan("p", vec![list("n")]);
        let run = f.begin(&before);
        f.land(run, 0, 0, json!([{"v": 0}]));
        f.fail(run, 0, 1);
        f.end(run, &[(0, 1)], RunEnd::Failed);
        assert_eq!(f.retry(&before).unwrap().specs[0].open, 1);
        f.open();

        let mut changed = plan("p", vec![list(names)]);
        changed.tasks[0].fingerprint = "2".to_owned();
        let begun = f.try_begin(&changed, ResumeMode::Resume).unwrap();
        assert_eq!((begun.resumed, begun.specs[0].open), (true, expected), "{names}");
        if expected == 0 {
            // What it asked for is no request of the plan any more.
            continue;
        }
        let task = f.open_tasks(begun.run, 0).remove(0);
        assert_eq!((task.page.number, task.bindings.0["n"].clone()), (1, json!(1)));
        f.commit(vec![Entry::Land(Box::new(landing_of(begun.run, task, Ok(batch(&json!([{"v": 1}]))))))]);
        f.end(begun.run, &[(0, 0)], RunEnd::Complete);
        assert_eq!(f.rows("SELECT v FROM a ORDER BY v"), ["0", "1"]);
    }
}

pub fn a_full_copy_of_children_is_retried_with_the_records_that_drove_it(kind: &dyn Kind) {
    let plan = plan("p", vec![spec("m", Mode::Merge, &["id"]), child_of(spec("r", Mode::Replace, &[]), 0)]);
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    let mut landing = f.landing(run, 0, 0, Ok(batch(&json!([{"id": 1}, {"id": 2}]))));
    for id in [1, 2] {
        let bindings =
            Bindings(std::sync::Arc::new(json!({"parent": {"id": id}}).as_object().unwrap().clone()));
        landing.children.push(entities::Child { spec: SpecIndex(1), row: id - 1, bindings });
    }
    landing.first_child = TaskId(f.next);
    f.next += 2;
    f.commit(vec![Entry::Land(Box::new(landing))]);
    let tasks = f.open_tasks(run, 1);
    f.commit(vec![Entry::Land(Box::new(landing_of(run, tasks[0].clone(), Ok(batch(&json!([{"v": 1}]))))))]);
    f.commit(vec![Entry::Land(Box::new(landing_of(run, tasks[1].clone(), Err(failure()))))]);
    f.end(run, &[(0, 0), (1, 1)], RunEnd::Failed);
    let begun = f.retry(&plan).unwrap();
    assert_eq!(begun.specs.iter().map(|s| (s.spec.0, s.open)).collect::<Vec<_>>(), [(1, 2)]);
    for (n, task) in f.open_tasks(begun.run, 1).into_iter().enumerate() {
        f.commit(vec![Entry::Land(Box::new(landing_of(begun.run, task, Ok(batch(&json!([{"v": n}]))))))]);
    }
    f.end(begun.run, &[(1, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT v FROM r ORDER BY v"), ["0", "1"]);
}

pub fn children_that_want_all_rows_read_them_from_the_table(kind: &dyn Kind) {
    let mut child = child_of(spec("c", Mode::Append, &[]), 0);
    if let Over::Records { which, .. } = &mut child.foreach[0].over {
        *which = Which::All;
    }
    let plan = plan("p", vec![spec("t", Mode::Merge, &["id"]), child]);
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    f.land(
        run,
        0,
        0,
        json!([
            {"id": 1, "Id": "x", "on": true, "tags": ["a"], "n": 1.5, "": "e"},
            {"id": 2, "Id": null, "on": null, "tags": {"b": 1}, "n": 0.25, "": "f"},
            {"id": 3},
        ]),
    );
    f.end_spec(run, 0, 0);
    let store = f.store();
    let all = store.rows(run, SpecIndex(0), 0, 2).unwrap();
    assert_eq!(
        all[0],
        (
            1,
            json!({"id": 1, "Id": "x", "on": true, "tags": ["a"], "n": 1.5, "": "e"})
                .as_object()
                .unwrap()
                .clone()
        )
    );
    assert_eq!(all[1].1["tags"], json!({"b": 1}));
    assert_eq!(all[1].1["n"], json!(0.25));
    assert_eq!(store.rows(run, SpecIndex(0), 2, 9).unwrap().iter().map(|(n, _)| *n).collect::<Vec<_>>(), [3]);
    // Nothing is driven: it expands by itself, by row.
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert_eq!((begun.specs[1].open, begun.specs[1].watermark), (0, 0));
    f.land(run, 1, 2, json!([{"a": 1}]));
    assert_eq!(f.try_begin(&plan, ResumeMode::Auto).unwrap().specs[1].beyond, [2]);
}

pub fn a_head_with_several_combinations_publishes_when_its_spec_ends(kind: &dyn Kind) {
    let mut windows = windowed(child_of(spec("c", Mode::Merge, &["id"]), 0));
    let list = Over::Range { from: 0, to: 1, step: 1 };
    windows
        .foreach
        .insert(0, entities::Foreach { name: "s".into(), over: list, at: entities::Place::default() });
    let plan = plan("p", vec![spec("m", Mode::Merge, &["id"]), windows]);
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    let slice = |f: &mut Fixture, index: u64, s: i64, result| {
        let mut landing = slice_of(f, run, None, 0, index as i64 % 2);
        landing.task.spec = SpecIndex(1);
        landing.cursor_of = Some(format!("s{s}"));
        landing.result = result;
        f.commit(vec![Entry::Land(Box::new(landing))]);
    };
    let ok = || Ok(batch(&json!([])));
    slice(&mut f, 0, 0, ok());
    slice(&mut f, 1, 0, ok());
    slice(&mut f, 3, 1, ok());
    slice(&mut f, 2, 1, Err(failure()));
    let marks = |f: &Fixture| {
        f.rows("SELECT combination, substr(value, 10, 2), substr(reached, 10, 2) FROM _sync_cursors")
    };
    assert_eq!(marks(&f), ["s0,null,03", "s1,null,03"]);
    f.end_spec(run, 1, 1);
    assert_eq!(marks(&f), ["s0,03,03", "s1,01,03"]);
}

pub fn a_head_that_could_not_be_evaluated_is_expanded_anew_and_only_a_retry_brings_it_back(kind: &dyn Kind) {
    let plan = plan("p", vec![windowed(spec("t", Mode::Append, &[]))]);
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    let mut head = f.landing(run, 0, 0, Err(failure()));
    (head.attempt, head.status, head.cursor_of) = (0, None, Some("{\"n\":0}".to_owned()));
    f.commit(vec![Entry::Land(Box::new(head))]);
    f.end(run, &[(0, 1)], RunEnd::Failed);
    let begun = f.retry(&plan).unwrap();
    assert_eq!(f.open_tasks(begun.run, 0).len(), 1, "a retry expands nothing");
    let begun = f.try_begin(&plan, ResumeMode::Fresh).unwrap();
    assert_eq!((begun.specs[0].open, begun.specs[0].beyond.len()), (0, 0), "it would be asked for twice");
    f.end(begun.run, &[(0, 0)], RunEnd::Complete);
    assert!(matches!(f.retry(&plan), Err(StoreError::NothingToRetry { .. })));
}

pub fn a_child_that_sat_out_waits_for_what_its_combination_is_owed(kind: &dyn Kind) {
    let child = with_cursor(child_of(spec("c", Mode::Append, &[]), 0));
    let plan = plan("p", vec![spec("m", Mode::Merge, &["id"]), child]);
    let combination = "{\"parent\":{\"id\":1}}";
    let drive = |f: &mut Fixture, run: RunId, v: i64| {
        let mut landing = f.landing(run, 0, 0, Ok(batch(&json!([{"id": 1, "v": v}]))));
        let record = json!({"parent": {"id": 1, "v": v}});
        let bindings = Bindings(std::sync::Arc::new(record.as_object().unwrap().clone()));
        landing.children.push(entities::Child { spec: SpecIndex(1), row: 0, bindings });
        landing.first_child = f.id();
        f.commit(vec![Entry::Land(Box::new(landing))]);
    };
    let land = |f: &mut Fixture, run: RunId, task: &Task, result, skipped: bool| {
        let mut landing = landing_of(run, task.clone(), result);
        landing.cursor_of = Some(combination.to_owned());
        landing.skipped = skipped;
        landing.attempt = u32::from(!skipped);
        f.commit(vec![Entry::Land(Box::new(landing))]).remove(0).settled
    };
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    drive(&mut f, run, 1);
    let task = f.open_tasks(run, 1).remove(0);
    land(&mut f, run, &task, Err(failure()), false);
    f.end(run, &[(0, 0), (1, 1)], RunEnd::Failed);
    // The record changes while its child owes: the new child is held back, over a crash as well, and sits out.
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert_eq!((begun.specs[1].held_back.len(), begun.specs[1].waiting.len()), (1, 0));
    drive(&mut f, begun.run, 2);
    f.open();
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    let tasks = f.open_tasks(begun.run, 1);
    assert_eq!((tasks.len(), &begun.specs[1].waiting), (2, &vec![tasks[1].id]));
    assert!(land(&mut f, begun.run, &tasks[0], Err(failure()), false).unwrap().sits_out);
    land(&mut f, begun.run, &tasks[1], Ok(batch(&json!([]))), true);
    f.end(begun.run, &[(0, 0), (1, 1)], RunEnd::Failed);
    // Both are owed, one behind the other.
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    let tasks = f.open_tasks(begun.run, 1);
    assert_eq!((tasks.len(), &begun.specs[1].waiting), (2, &vec![tasks[1].id]));
    assert_eq!(tasks[1].bindings.0["parent"]["v"], json!(2));
    let settled = land(&mut f, begun.run, &tasks[0], Ok(batch(&json!([{"at": 7}]))), false).unwrap();
    assert!(!settled.sits_out);
    land(&mut f, begun.run, &tasks[1], Ok(batch(&json!([{"at": 8}]))), false);
    f.end(begun.run, &[(0, 0), (1, 0)], RunEnd::Complete);
    assert!(f.try_begin(&plan, ResumeMode::Auto).unwrap().specs[1].held_back.is_empty());
    assert_eq!(f.rows("SELECT at FROM c ORDER BY at"), ["7", "8"]);
}
