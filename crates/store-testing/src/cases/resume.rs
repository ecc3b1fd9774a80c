//! Resuming, refusing a changed plan, undoing.

use entities::{Entry, Mode, Moment, Position, ResumeMode, RunEnd, SpecIndex, StoreError};
use serde_json::json;

use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{batch, follow_up, plan, spec};

pub fn a_resumed_run_knows_how_far_it_is(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert!(!begun.resumed && begun.specs[0].watermark == 0);
    let run = begun.run;
    let mut entries = Vec::new();
    let mut last = 0;
    for (combination, watermark) in [(0, Some(1)), (1, Some(2)), (4, None), (3, None), (7, None)] {
        let mut landing = f.landing(run, 0, combination, Ok(batch(&json!([{"a": combination}]))));
        landing.watermark = watermark;
        if combination == 4 {
            last = landing.task.id.0;
            let id = f.id();
            landing.next.push(follow_up(&landing.task, id));
        }
        entries.push(Entry::Land(Box::new(landing)));
    }
    f.commit(entries);
    f.open();
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    assert!(begun.resumed && begun.run == run && begun.changed.is_empty());
    assert_eq!(begun.frozen.now, Moment(1_234_567_891));
    let progress = &begun.specs[0];
    assert_eq!((progress.watermark, progress.beyond.clone()), (2, vec![3, 4, 7]));
    assert_eq!((progress.open, progress.done, progress.records, progress.ended), (1, 5, 5, false));
    let open = f.open_tasks(run, 0);
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].chain.0, open[0].combination, open[0].page.number), (last, Some(4), 2));
    assert_eq!(f.rows("SELECT max(id) + 1 FROM _sync_tasks"), [begun.next_task.0.to_string()]);
    let positions = f.store().chain_positions(run, open[0].chain).unwrap();
    assert_eq!(positions, [Position::First, Position::Token(json!(2))]);
    for (end, resumed) in [(RunEnd::Interrupted, true), (RunEnd::Paused, true), (RunEnd::Complete, false)] {
        f.end(run, &[], end);
        assert_eq!(f.try_begin(&plan, ResumeMode::Auto).unwrap().resumed, resumed, "{end:?}");
    }
}

pub fn whoever_only_resumes_is_told_how_the_last_run_ended(kind: &dyn Kind) {
    let mut f = Fixture::new(kind);
    let plan = plan("p", vec![spec("t", Mode::Append, &[])]);
    let last_of = |refused: Result<_, StoreError>| match refused {
        Err(StoreError::NothingUnfinished { last, .. }) => last,
        Err(other) => panic!("{other}"),
        Ok(begun) => panic!("{begun:?}"),
    };
    assert_eq!(last_of(f.try_begin(&plan, ResumeMode::Only)), None);
    for end in [RunEnd::Complete, RunEnd::Failed] {
        let run = f.begin(&plan);
        f.land(run, 0, 0, json!([{"a": 1}, {"a": 2}]));
        f.open();
        assert_eq!(f.try_begin(&plan, ResumeMode::Only).unwrap().run, run);
        f.end(run, &[], RunEnd::Interrupted);
        assert!(f.try_begin(&plan, ResumeMode::Only).unwrap().resumed);
        f.end(run, &[], end);
        let last = last_of(f.try_begin(&plan, ResumeMode::Only)).unwrap();
        assert_eq!((last.run, last.end, last.specs[0].0.as_str()), (run, end, "t"));
        assert_eq!((last.specs[0].1.done, last.specs[0].1.records), (1, 2));
    }
}

pub fn a_changed_plan_is_refused_resumed_or_undone(kind: &dyn Kind) {
    let before = plan(
        "p",
        vec![spec("a", Mode::Append, &[]), spec("b", Mode::Append, &[]), spec("c", Mode::Append, &[])],
    );
    let mut changed = before.clone();
    changed.tasks[1].fingerprint = "2".to_owned();
    changed.tasks[2] = spec("d", Mode::Append, &[]);
    changed.tasks.reverse();

    let mut f = Fixture::new(kind);
    let run = f.begin(&before);
    for n in 0..3 {
        f.land(run, n, 0, json!([{"v": n}]));
    }
    match f.try_begin(&changed, ResumeMode::Auto) {
        Err(StoreError::PlanChanged { run: refused, changed, .. }) => {
            assert_eq!(refused, run);
            assert_eq!(changed, ["task `d` is new", "task `b` changed", "task `c` is gone"]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(f.rows("SELECT v FROM b"), ["1"], "a refusal changes nothing");

    let begun = f.try_begin(&changed, ResumeMode::Resume).unwrap();
    assert!(begun.resumed && begun.run == run && begun.changed.len() == 3);
    assert_eq!(f.rows("SELECT v FROM a"), ["0"]);
    assert_eq!(f.rows("SELECT count(*) FROM b"), ["0"]);
    assert_eq!(f.rows("SELECT count(*) FROM c"), ["0"]);
    let done: Vec<u64> = begun.specs.iter().map(|spec| spec.done).collect();
    assert_eq!(done, [0, 0, 1], "d, b, a");
    assert_eq!(begun.specs[2].beyond, [0]);
    assert!(begun.specs[1].beyond.is_empty());
    // What lands for the index of `a` in the new plan lands in `a`.
    f.land(run, 2, 1, json!([{"v": 7}]));
    assert_eq!(f.rows("SELECT v FROM a"), ["0", "7"]);
    assert!(f.try_begin(&changed, ResumeMode::Auto).unwrap().changed.is_empty());

    let begun = f.try_begin(&changed, ResumeMode::Fresh).unwrap();
    assert!(!begun.resumed && begun.run > run);
    assert_eq!(f.rows("SELECT count(*) FROM a"), ["0"]);
    assert_eq!(f.rows("SELECT state FROM _sync_runs ORDER BY id"), ["undone", "running"]);
    assert!(begun.specs.iter().all(|spec| spec.done == 0 && spec.beyond.is_empty()));
}

pub fn fresh_keeps_what_other_runs_landed_and_drops_staging(kind: &dyn Kind) {
    let plan = plan("p", vec![spec("a", Mode::Append, &[]), spec("r", Mode::Replace, &[])]);
    let mut f = Fixture::new(kind);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"v": 1}]));
    f.land(run, 1, 0, json!([{"v": 1}]));
    f.end(run, &[(0, 0), (1, 0)], RunEnd::Complete);
    let run = f.begin(&plan);
    f.land(run, 0, 0, json!([{"v": 2}]));
    f.land(run, 1, 0, json!([{"v": 2}]));
    f.try_begin(&plan, ResumeMode::Fresh).unwrap();
    assert_eq!(f.rows("SELECT v FROM a"), ["1"]);
    assert_eq!(f.rows("SELECT v FROM r"), ["1"]);
    assert_eq!(f.leftovers(), [""; 0]);
    let begun = f.try_begin(&plan, ResumeMode::Auto).unwrap();
    f.land(begun.run, 1, 0, json!([{"v": 3}]));
    f.end(begun.run, &[(0, 0), (1, 0)], RunEnd::Complete);
    assert_eq!(f.rows("SELECT v FROM r"), ["3"]);
}

pub fn runs_of_two_plans_share_a_store(kind: &dyn Kind) {
    let (one, two) =
        (plan("one", vec![spec("a", Mode::Append, &[])]), plan("two", vec![spec("b", Mode::Append, &[])]));
    let mut f = Fixture::new(kind);
    let first = f.begin(&one);
    let in_flight = f.id();
    let second = f.begin(&two);
    assert!(f.next > in_flight.0 + 1_000_000, "no clash with ids that are given out but not committed");
    f.land(second, 0, 0, json!([{"v": 2}]));
    f.land(first, 0, 0, json!([{"v": 1}]));
    assert_eq!(f.rows("SELECT v FROM a"), ["1"]);
    assert_eq!(f.rows("SELECT v FROM b"), ["2"]);
    assert!(f.store().open_tasks(first, SpecIndex(9), entities::TaskId(0), 1).unwrap().is_empty());
}
