//! What runs leave to later ones and take from earlier ones: debts, rows of the parent's table; and runs
//! that send only so many requests.

use entities::{Settled, Slice};

use super::life::Life;
use super::*;

const APPENDS: &str = r#"
[endpoints.e]
base_url = "http://h"
limits = []
[tasks.t]
get = "/t/{{ n }}"
query = { since = "{{ cursor }}" }
foreach = { n = { from = 1, to = 3 } }
mode = "append"
cursor = { field = "at", start = "2024-01-01" }
"#;

const ALL: &str = r#"
[endpoints.e]
base_url = "http://h"
limits = []
[tasks.parents]
get = "/p"
key = ["id"]
paginate = { by = "token", param = "c", next = ".next" }
[tasks.children]
get = "/p/{{ p.id }}"
foreach = { p = { task = "parents", all = true }, side = ["a", "b"] }
key = ["id"]
"#;

fn owed(id: i64, n: i64) -> Task {
    let names = json!({"n": n}).as_object().unwrap().clone();
    let page = token(3, "x");
    Task {
        id: TaskId(id),
        spec: SpecIndex(0),
        chain: TaskId(id),
        combination: None,
        bindings: entities::Bindings(Arc::new(names)),
        page,
        slice: None,
        cursor: Some(json!("2024-01-05")),
    }
}

/// A run of [`APPENDS`] to which page 3 of n = 2 is owed; what it sent as (n, page, cursor).
fn with_a_debt(settles: Option<Settled>) -> (Life, RunReport, Vec<(i64, u32, String)>) {
    let mut life = Life::new(APPENDS, |_| page(1, Next::End), "2024-02-01T00:00:00Z", 1);
    let cursor = |n: i64| (0, format!(r#"{{"n":{n}}}"#), json!("2024-01-05"));
    life.ledger.cursors = vec![cursor(1), cursor(2), cursor(3)];
    life.ledger.held_back = vec![r#"{"n":2}"#.to_owned()];
    life.ledger.owe(owed(9, 2));
    life.ledger.settles = settles;
    let report = life.finish();
    let shown = |task: &Task| {
        let cursor = task.cursor.as_ref().unwrap().as_str().unwrap().to_owned();
        (task.bindings.0["n"].as_i64().unwrap(), task.page.number, cursor)
    };
    let sent = life.sent.iter().map(shown).collect();
    (life, report, sent)
}

#[test]
fn a_combination_waits_for_its_debts_and_goes_on_from_where_they_moved_the_cursor() {
    let settled = |sits_out| Settled {
        combination: r#"{"n":2}"#.to_owned(),
        cursor: Some(json!("2024-01-08")),
        sits_out,
    };
    let five = || "2024-01-05".to_owned();
    let others = [(2, 3, five()), (1, 1, five()), (3, 1, five())];
    let (_, report, sent) = with_a_debt(Some(settled(false)));
    assert_eq!((&sent[..3], &sent[3]), (&others[..], &(2, 1, "2024-01-08".to_owned())), "debts go first");
    assert_eq!((report.tasks["t"].done, report.tasks["t"].skipped), (4, 0));

    // It failed again: what it would ask for may have landed.
    for settles in [Some(settled(true)), None] {
        let (life, report, sent) = with_a_debt(settles);
        assert_eq!(sent, others);
        assert_eq!((report.state, report.tasks["t"].skipped), (PlanState::Complete, 1));
        assert_eq!(life.ledger.requests.len(), 3);
    }
}

#[test]
fn all_rows_of_the_parent_drive_children_once_it_has_ended() {
    fn api(task: &Task) -> Outcome {
        match (task.spec.0, task.page.number) {
            (0, number @ 1..=3) => page(1, Next::Pages(vec![token(number + 1, &number.to_string())])),
            _ => page(1, Next::End),
        }
    }
    let rows = |count: u64| {
        let row = |number: u64| {
            let skip = number.is_multiple_of(5).then(|| ("skip".to_owned(), json!(true)));
            // Rows were deleted.
            (number * 3, [("id".to_owned(), json!(number))].into_iter().chain(skip).collect())
        };
        (1..=count).map(row).collect::<Vec<_>>()
    };
    let run = |step: usize, count: u64| {
        let mut life = Life::new(ALL, api, "2024-02-01T00:00:00Z", 7 + step as u64 * 2);
        life.ledger.rows = rows(count);
        let ended = life.run(step).is_some();
        if !ended {
            life.finish();
        }
        let parents = life.sent.iter().rposition(|task| task.spec.0 == 0).unwrap();
        let children = life.sent.iter().position(|task| task.spec.0 == 1).unwrap();
        assert!(parents < children, "read after the parent has ended");
        let of = |task: &str| life.ledger.requests.iter().filter(|r| r.starts_with(task)).count();
        let expected = 2 * (count - count / 5) as usize;
        assert_eq!((of("parents"), of("children")), (4, expected), "killed after {step} steps");
        let distinct: std::collections::BTreeSet<_> = life.ledger.requests.iter().collect();
        assert_eq!(distinct.len(), 4 + expected);
        ended
    };
    for step in 0.. {
        if run(step, 11) {
            break;
        }
    }
    // More than are read at once; children are far fewer in memory than rows.
    run(700, 2_000);
}

#[test]
fn a_run_of_so_many_requests_sends_them_and_ends() {
    let plan = APPENDS.replace("to = 3", "to = 9999");
    let mut life = Life::new(&plan, |_| page(1, Next::Pages(vec![token(2, "b")])), "2024-02-01T00:00:00Z", 1);
    life.requests_per_task = Some(2);
    // Its follow-ups stay open.
    life.ledger.is_thrown_away = true;
    let report = life.finish();
    assert_eq!((report.state, report.requests, life.sent.len()), (PlanState::Complete, 2, 2));
    let mut world = World::new(ONE, 4);
    world.core.on_event(Event::Forget { slot: SLOT }, world.now);
    let run =
        StartedRun { requests_per_task: Some(1), ..started(&world.plan.clone(), STORE, world.now, |_| {}) };
    world.jobs.clear();
    world.tell(Event::Begun { slot: PlanSlot(5), run: Box::new(run) });
    // A retry, a wait and a redirect are of the same request.
    world.answer(Outcome::Retry { failure: transient(), after: None });
    world.pass(Duration::from_secs(5));
    world.answer(Outcome::Hop(Hop::Renewed { count: 1 }));
    assert_eq!(world.jobs.len(), 1);
    world.answer(page(1, Next::End));
    for _ in 0..3 {
        world.commit();
    }
    assert_eq!(world.report.unwrap().state, PlanState::Complete);
}

#[test]
fn how_often_a_token_was_refused_is_not_forgotten_with_an_attempt() {
    let redirect = |renewed| {
        let url = "http://h/there".to_owned();
        Hop::Redirect { url, count: 1, get: true, bare: false, renewed }
    };
    let check = |hop: Hop, expected: Option<Hop>| {
        let mut world = World::new(ONE, 4);
        world.answer(Outcome::Hop(hop));
        world.answer(Outcome::Retry { failure: transient(), after: None });
        world.pass(Duration::from_secs(5));
        assert_eq!((world.jobs[0].hop.clone(), world.jobs[0].attempt), (expected, 2));
    };
    check(Hop::Renewed { count: 1 }, Some(Hop::Renewed { count: 1 }));
    check(redirect(1), Some(Hop::Renewed { count: 1 }));
    check(redirect(0), None);
}

#[test]
fn a_renewal_takes_a_grant_goes_first_and_uses_no_attempt() {
    let mut world = World::new(TEN, 1);
    let first = world.answer(Outcome::Hop(Hop::Renewed { count: 1 }));
    assert_eq!(world.jobs[0].task.id, first.id);
    assert_eq!((world.jobs[0].hop.clone(), world.jobs[0].attempt), (Some(Hop::Renewed { count: 1 }), 1));
    assert_eq!(world.core.run(SLOT).unwrap().requests, 2);
}

#[test]
fn children_of_a_batch_that_was_not_full_come_with_the_end_of_the_parent() {
    let mut world = World::new(FAMILY, 4);
    world.answer(page(1, Next::End));
    world.tell(Event::Committed { store: STORE, results: vec![Committed::default()] });
    world.entries.pop_front();
    let Some(Entry::EndSpec { spec, first_child, .. }) = world.entries.pop_front() else { panic!() };
    assert_eq!(spec, SpecIndex(0));
    let results = vec![Committed { children: vec![(SpecIndex(1), 1)], ..Committed::default() }];
    world.tell(Event::Committed { store: STORE, results });
    assert_eq!(world.loads, [SpecIndex(1)]);
    assert!(world.entries.is_empty(), "the children's spec goes on");
    let tasks = vec![child_task(first_child)];
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains: Vec::new() });
    assert_eq!(world.jobs.len(), 1);
    let next = world.core.manager.set_aside(0);
    assert!(next > first_child, "the id was set aside");
}

#[test]
fn a_slice_of_a_spec_that_is_not_sliced_any_more_opens_nothing() {
    // It cannot be, since a changed plan starts the spec over; but nothing would break.
    let mut world = World::resumed(ONE, 4, |progress| {
        progress.open = 1;
        progress.watermark = 1;
    });
    let slice = Slice { head: TaskId(1), index: 0, stride: 1, start: None, end: None, half: false };
    let task = Task { spec: SpecIndex(0), slice: Some(slice), ..child_task(TaskId(1)) };
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(0), tasks: vec![task], chains: Vec::new() });
    world.answer(page(1, Next::End));
    assert!(world.last_landing().next.is_empty());
}

#[test]
fn a_retry_expands_nothing_but_full_copies_and_reads_rows_without_their_parent() {
    let plan = format!("{}mode = \"replace\"\n", ALL.trim_end().trim_end_matches("key = [\"id\"]"));
    let mut life = Life::new(&plan, |_| page(1, Next::End), "2024-02-01T00:00:00Z", 1);
    life.ledger.rows = (1..=3).map(|n| (n, [("id".to_owned(), json!(n))].into_iter().collect())).collect();
    life.left_out = Some(SpecIndex(0));
    let report = life.finish();
    assert_eq!((report.state, report.tasks["children"].done, report.requests), (PlanState::Complete, 6, 6));
    // Above every combination, as the store says it of the others.
    let world = World::resumed(TEN, 4, |progress| progress.watermark = i64::MAX as u64);
    assert!(world.jobs.is_empty());
    assert!(matches!(world.entries.front(), Some(Entry::EndSpec { .. })));
}
