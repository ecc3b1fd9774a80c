//! Requests: which go out when, what their answers lead to.

use entities::{Spooled, SpooledPart};

use super::*;

#[test]
fn one_request_one_landing_one_end() {
    let mut world = World::new(ONE, 4);
    assert_eq!(world.jobs.len(), 1);
    world.answer(page(3, Next::End));
    assert_eq!(world.last_landing().watermark, Some(1));
    assert!(world.ends.is_empty(), "nothing has committed yet");
    world.commit();
    world.commit();
    world.commit();
    let report = world.report.unwrap();
    assert_eq!((report.state, report.records, report.requests), (PlanState::Complete, 3, 1));
    assert_eq!(world.ends, [RunEnd::Complete]);
}

#[test]
fn concurrency_is_never_exceeded_and_always_used() {
    let mut world = World::new(TEN, 64);
    for _ in 0..10 {
        assert!(world.jobs.len() <= 4);
        world.answer(page(1, Next::End));
    }
    assert!(world.jobs.is_empty());
    assert_eq!(world.last_landing().watermark, Some(10));
}

#[test]
fn a_follow_up_goes_out_before_its_origin_has_committed() {
    let mut world = World::new(CHAIN, 4);
    let first = world.answer(page(5, Next::Pages(vec![token(2, "b")])));
    assert_eq!(world.jobs.len(), 1, "no commit was needed");
    assert_eq!(world.jobs[0].task.chain, first.id);
    assert_eq!(world.last_landing().next[0].id, world.jobs[0].task.id);
    world.answer(page(5, Next::End));
    for _ in 0..3 {
        world.commit();
    }
    assert_eq!(world.report.unwrap().records, 10);
}

#[derive(Debug)]
struct InFile;

impl Spooled for InFile {
    fn rows(&self) -> u64 {
        5
    }

    fn children(&self) -> u64 {
        3
    }

    fn parts(&self) -> Box<dyn Iterator<Item = Result<SpooledPart, Failure>> + '_> {
        Box::new(std::iter::empty())
    }
}

#[test]
fn records_in_a_file_count_and_their_children_have_ids() {
    let mut world = World::new(CHAIN, 4);
    let mut spooled = page(2, Next::Pages(vec![token(2, "b")]));
    if let Outcome::Landed(landed) = &mut spooled {
        landed.records.spooled = Some(Arc::new(InFile));
    }
    world.answer(spooled);
    let first = world.last_landing().first_child;
    world.answer(page(1, Next::End));
    // The one behind has its own: three were set aside for the first, whatever the store opens of them.
    assert!(world.last_landing().first_child.0 >= first.0 + 3);
    for _ in 0..3 {
        world.commit();
    }
    assert_eq!(world.report.unwrap().records, 8);
}

#[test]
fn going_round_in_circles_is_an_error() {
    let mut world = World::new(CHAIN, 4);
    world.answer(page(5, Next::Pages(vec![token(2, "b")])));
    world.answer(page(5, Next::Pages(vec![token(3, "c")])));
    world.answer(page(5, Next::Pages(vec![token(4, "b")])));
    assert!(world.jobs.is_empty());
    for _ in 0..3 {
        world.commit();
    }
    let report = world.report.unwrap();
    assert_eq!((report.state, report.records), (PlanState::Failed, 15));
    let kinds: Vec<_> = world.landings.iter().filter_map(|(_, came)| came.err()).collect();
    assert_eq!(kinds, [FailureKind::PageLoop]);
}

#[test]
fn a_redirect_takes_another_grant_and_no_attempt() {
    let mut world = World::new(ONE, 4);
    let hop =
        Hop::Redirect { url: "http://h/there".to_owned(), count: 1, get: true, bare: false, renewed: 0 };
    world.answer(Outcome::Hop(hop.clone()));
    assert_eq!((world.jobs[0].hop.as_ref(), world.jobs[0].attempt), (Some(&hop), 1));
    assert_eq!(world.core.run(SLOT).unwrap().requests, 2);
}

#[test]
fn a_resumed_run_asks_only_for_what_is_missing() {
    let world = World::resumed(TEN, 64, |progress| {
        progress.watermark = 6;
        progress.beyond = vec![7, 8];
        progress.done = 8;
    });
    let asked: Vec<_> = world.jobs.iter().map(|job| job.task.combination.unwrap()).collect();
    assert_eq!(asked, [6, 9]);
}

#[test]
fn a_task_that_is_due_while_all_workers_are_busy_does_not_keep_the_driver_awake() {
    let mut world = World::new(TEN, 1);
    world.answer(Outcome::Retry { failure: transient(), after: None });
    world.pass(Duration::from_secs(70));
    assert_eq!(world.core.wake(), None, "nothing can go before the worker is free");
    world.answer(page(1, Next::End));
    assert_eq!((world.jobs.len(), world.jobs[0].attempt), (1, 2));
}

#[test]
fn children_start_while_their_parent_still_has_requests_and_end_after_it() {
    let mut world = World::new(FAMILY, 4);
    assert_eq!(world.jobs.len(), 1);
    let child = |row| Child { spec: SpecIndex(1), row, bindings: entities::Bindings::default() };
    let records = RecordBatch { rows: 2, ..RecordBatch::default() };
    world.answer(Outcome::Landed(Box::new(Landed {
        records,
        received: 2,
        next: Next::End,
        children: vec![child(0), child(1)],
        cursor: None,
        skipped: false,
    })));
    let first = world.last_landing().first_child;
    world.commit();
    assert_eq!(world.loads, [SpecIndex(1)]);
    let task = |id| Task {
        id,
        spec: SpecIndex(1),
        chain: id,
        combination: None,
        bindings: entities::Bindings::default(),
        page: Page::first(),
        slice: None,
        cursor: None,
    };
    let tasks = vec![task(first), task(TaskId(first.0 + 1))];
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains: Vec::new() });
    assert_eq!(world.jobs.len(), 2);
    world.answer(page(1, Next::End));
    world.answer(page(1, Next::End));
    for _ in 0..4 {
        world.commit();
    }
    let report = world.report.unwrap();
    assert_eq!((report.state, report.tasks["children"].done), (PlanState::Complete, 2));
}

#[test]
fn the_guard_against_loops_forgets_a_chain_that_ended_while_it_was_loaded() {
    let mut world = World::new(TWO_HOSTS, 4);
    world.answer(parent_page(Next::Pages(vec![token(2, "b")])));
    let child = world.last_landing().first_child;
    world.commit();
    let tasks = vec![child_task(child)];
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains: Vec::new() });
    // The child's second page is ours and open in the ledger when more children are loaded …
    world.jobs.swap(0, 1);
    world.answer(page(1, Next::Pages(vec![token(2, "x")])));
    let ours = world.last_landing().next[0].clone();
    world.commit();
    world.answer(parent_page(Next::End));
    let other = world.last_landing().first_child;
    world.commit();
    assert_eq!(world.loads.len(), 2);
    // … and has landed by the time they come.
    world.answer(page(1, Next::End));
    let positions = vec![Position::First, Position::Token(json!("x"))];
    let (chains, tasks) = (vec![(child, positions)], vec![ours, child_task(other)]);
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains });
    let asked = &world.core.run(SLOT).unwrap().spec_state(SpecIndex(1)).unwrap().asked;
    assert!(asked.is_empty(), "{asked:?}");
}
