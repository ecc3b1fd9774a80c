//! Debts that do not go on where they stood: their plan has changed, or they fail in every run.

use entities::{Bindings, Entry, Mode, Over, ResumeMode, RunEnd, RunId, Slice, SpecIndex, Task, TaskId};
use serde_json::{Value, json};

use super::{land, slice_of};
use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{batch, child_of, failure, follow_up, landing_of, plan, spec, windowed, with_cursor};

pub fn a_chain_that_begins_anew_since_its_plan_has_changed_appends_nothing_twice(kind: &dyn Kind) {
    for (resumed, ended) in [(false, false), (true, false), (true, true)] {
        let mut plan = plan("p", vec![with_cursor(spec("t", Mode::Append, &[]))]);
        let list = Over::Range { from: 0, to: 0, step: 1 };
        plan.tasks[0].foreach.push(entities::Foreach {
            name: "n".into(),
            over: list,
            at: entities::Place::default(),
        });
        let mut f = Fixture::new(kind);
        let run = f.begin(&plan);
        let first = f.landing(run, 0, 0, Ok(batch(&json!([])))).task;
        let second = follow_up(&first, f.id());
        let pages = vec![second.clone(), follow_up(&second, f.id())];
        land(&mut f, run, first, Ok(1), pages.clone());
        for page in pages {
            land(&mut f, run, page, Err(()), vec![]);
        }
        f.end(run, &[(0, 2)], RunEnd::Failed);
        if resumed {
            // One of the two fails once more, and the plan changes before the run goes on.
            let run = f.begin(&plan);
            let debts = f.open_tasks(run, 0);
            assert_eq!(debts.len(), 2);
            land(&mut f, run, debts[0].clone(), Ok(2), vec![]);
            land(&mut f, run, debts[1].clone(), Err(()), vec![]);
            if ended {
                f.end(run, &[(0, 1)], RunEnd::Failed);
            }
        }
        plan.tasks[0].fingerprint = "2".to_owned();
        let run = f.try_begin(&plan, ResumeMode::Resume).unwrap().run;
        let debts = f.open_tasks(run, 0);
        assert_eq!((debts.len(), debts[0].page.number), (1, 1), "one chain");
        assert_eq!(f.rows("SELECT at FROM t"), [""; 0], "all of it comes again");
        land(&mut f, run, debts[0].clone(), Ok(1), vec![]);
        f.end(run, &[(0, 0)], RunEnd::Complete);
        assert_eq!(f.rows("SELECT at FROM t"), ["1"]);
        f.begin(&plan);
        assert_eq!(f.rows("SELECT count(*) FROM _sync_tasks WHERE owed IS NOT NULL"), ["0"]);
    }
}

pub fn halves_of_one_window_are_chains_of_their_own_when_they_begin_anew(kind: &dyn Kind) {
    let mut plan = plan("p", vec![windowed(spec("t", Mode::Append, &[]))]);
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    let mut head = slice_of(&mut f, run, None, 0, 0);
    let window =
        |day: &Value| Bindings(std::sync::Arc::new(json!({"n": 0, "day": day}).as_object().unwrap().clone()));
    head.task.bindings = window(&json!(0));
    head.result = Err(failure());
    f.commit(vec![Entry::Land(Box::new(head))]);
    f.end(run, &[(0, 1)], RunEnd::Failed);
    // In the next run it is split, and both halves fail.
    let run = f.begin(&plan);
    let debt = f.open_tasks(run, 0).remove(0);
    let half = |f: &mut Fixture, day: i64| {
        let id = f.id();
        let slice = Slice { half: true, ..debt.slice.clone().unwrap() };
        Task { id, chain: id, bindings: window(&json!(day)), slice: Some(slice), ..debt.clone() }
    };
    let halves = vec![half(&mut f, 1), half(&mut f, 2)];
    let end = |f: &mut Fixture, task: &Task, next: Vec<Task>| {
        let result = if next.is_empty() { Err(failure()) } else { Ok(batch(&json!([]))) };
        let mut landing = landing_of(run, task.clone(), result);
        (landing.next, landing.cursor_of) = (next, Some("{\"n\":0}".to_owned()));
        f.commit(vec![Entry::Land(Box::new(landing))]);
    };
    end(&mut f, &debt, halves.clone());
    for half in &halves {
        end(&mut f, half, vec![]);
    }
    f.end(run, &[(0, 2)], RunEnd::Failed);
    plan.tasks[0].fingerprint = "2".to_owned();
    let run = f.begin(&plan);
    assert_eq!(f.open_tasks(run, 0).len(), 2);
}

pub fn what_fails_in_every_run_is_owed_once(kind: &dyn Kind) {
    let plan = plan("p", vec![with_cursor(spec("t", Mode::Merge, &["at"]))]);
    let mut f = Fixture::new(kind);
    for _ in 0..4 {
        let run = f.begin(&plan);
        let debts = f.open_tasks(run, 0);
        assert!(debts.len() < 2, "{debts:?}");
        for debt in debts {
            land(&mut f, run, debt, Err(()), vec![]);
        }
        let root = f.landing(run, 0, 0, Err(failure())).task;
        land(&mut f, run, root, Err(()), vec![]);
        f.end(run, &[(0, 2)], RunEnd::Failed);
    }
}

pub fn a_retried_mirror_whose_plan_changes_removes_nothing_that_it_returned(kind: &dyn Kind) {
    let mirror = Mode::Mirror(entities::Deleted::Remove);
    let mut plan = plan("p", vec![spec("m", Mode::Merge, &["id"]), child_of(spec("r", mirror, &["id"]), 0)]);
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
    let answer = |f: &mut Fixture, run: RunId| {
        for task in f.open_tasks(run, 1) {
            let id = task.bindings.0["parent"]["id"].clone();
            f.commit(vec![Entry::Land(Box::new(landing_of(run, task, Ok(batch(&json!([{"id": id}]))))))]);
        }
    };
    let failed = f.open_tasks(run, 1).remove(1);
    f.commit(vec![Entry::Land(Box::new(landing_of(run, failed, Err(failure()))))]);
    answer(&mut f, run);
    f.end(run, &[(0, 0), (1, 1)], RunEnd::Failed);
    let run = f.retry(&plan).unwrap().run;
    plan.tasks[1].fingerprint = "2".to_owned();
    assert_eq!(f.try_begin(&plan, ResumeMode::Resume).unwrap().run, run);
    answer(&mut f, run);
    f.end(run, &[(1, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT id FROM r ORDER BY id"), ["1", "2"]);
}
