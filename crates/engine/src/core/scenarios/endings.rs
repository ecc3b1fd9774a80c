//! Pauses and endings: by the user, and by a store that is slow or breaks.

use super::*;

#[test]
fn pause_sends_nothing_new_and_resume_goes_on() {
    let mut world = World::new(TEN, 64);
    world.tell(Event::Pause { slot: SLOT });
    for _ in 0..4 {
        world.answer(page(1, Next::End));
    }
    assert!(world.jobs.is_empty());
    world.commit();
    assert!(world.report.is_none());
    world.tell(Event::Resume { slot: SLOT });
    assert_eq!(world.jobs.len(), 4);
}

#[test]
fn drain_lands_what_is_in_flight_and_leaves_the_rest() {
    let mut world = World::new(TEN, 64);
    world.tell(Event::Drain { slot: SLOT });
    assert!(world.entries.is_empty());
    for _ in 0..4 {
        world.answer(page(1, Next::End));
    }
    world.commit();
    assert_eq!(world.landings.len(), 4);
    assert_eq!(world.report.unwrap().state, PlanState::Interrupted);
}

#[test]
fn after_cancel_nothing_lands_behind_the_barrier() {
    let mut world = World::new(TEN, 64);
    world.answer(page(1, Next::End));
    world.tell(Event::Cancel { slot: SLOT });
    assert!(world.jobs.is_empty(), "what was in flight is aborted");
    assert!(matches!(world.entries.back(), Some(Entry::EndRun { .. })));
    world.commit();
    assert_eq!(world.landings.len(), 1, "it was handed over before");
    assert_eq!(world.ends, [RunEnd::Interrupted]);
    assert_eq!(world.report.as_ref().unwrap().state, PlanState::Interrupted);
    world.pass(Duration::from_secs(60));
    assert!(world.entries.is_empty());
}

#[test]
fn a_slow_store_holds_up_new_requests() {
    let many = TEN.replace("to = 10", "to = 9999").replace("concurrency = 4", "concurrency = 9999");
    let mut world = World::new(&many, MOST_LANDINGS);
    for _ in 0..MOST_LANDINGS {
        world.answer(page(1, Next::End));
    }
    let handed = world.entries.len();
    assert!(world.jobs.len() < MOST_LANDINGS, "{handed} entries wait, and still requests went out");
    world.commit();
    assert!(!world.jobs.is_empty());
}

#[test]
fn a_broken_store_ends_its_runs_with_the_reason() {
    let mut world = World::new(TEN, 64);
    world.tell(Event::Broken { store: STORE, why: "cannot write to x.db: disk full".to_owned() });
    let report = world.report.unwrap();
    assert_eq!(report.state, PlanState::Broken);
    assert!(report.reason.unwrap().contains("disk full"));
    assert!(world.jobs.is_empty());
}

#[test]
fn what_becomes_of_a_store_does_not_concern_runs_that_have_ended() {
    let mut world = World::new(ONE, 64);
    world.answer(page(1, Next::End));
    for _ in 0..3 {
        world.commit();
    }
    assert_eq!(world.report.take().unwrap().state, PlanState::Complete);
    // Another plan's run, in another store, gets the lane that is free now.
    let (slot, store) = (PlanSlot(3), StoreSlot(4));
    world.begin(slot, store, TEN);
    assert_eq!(world.core.status(SLOT, world.now).unwrap().tasks[0].known, 1);
    world.tell(Event::Broken { store: STORE, why: "disk full".to_owned() });
    assert!(world.report.is_none(), "the first run has had its report");
    assert_eq!(world.core.run(SLOT).unwrap().state, PlanState::Complete);
    for _ in 0..10 {
        world.answer(page(1, Next::End));
    }
    for _ in 0..3 {
        world.commit_to(store);
    }
    let report = world.report.unwrap();
    assert_eq!((report.state, report.records), (PlanState::Complete, 10));
}

#[test]
fn a_store_that_breaks_before_the_barrier_of_a_cancel_ends_the_run_all_the_same() {
    let mut world = World::new(TEN, 64);
    world.core.on_event(Event::Cancel { slot: SLOT }, world.now);
    world.tell(Event::Broken { store: STORE, why: "disk full".to_owned() });
    assert_eq!(world.report.unwrap().state, PlanState::Broken);
}
