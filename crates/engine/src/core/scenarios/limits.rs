//! Limits and failures that pass: who waits, for how long, and what it costs.

use super::*;

#[test]
fn transient_failures_are_tried_again_and_then_fail() {
    let mut world = World::new(ONE, 4);
    for attempt in 1..=5 {
        assert_eq!(world.jobs.len(), 1, "attempt {attempt}");
        assert_eq!(world.jobs[0].attempt, attempt);
        world.answer(Outcome::Retry { failure: transient(), after: None });
        assert!(world.jobs.is_empty(), "it waits before it tries again");
        world.pass(Duration::from_secs(70));
    }
    for _ in 0..3 {
        world.commit();
    }
    let report = world.report.unwrap();
    assert_eq!((report.state, report.tasks["t"].failed), (PlanState::Failed, 1));
}

#[test]
fn a_limit_stops_everyone_on_the_budget_and_costs_no_attempt() {
    let mut world = World::new(TEN, 64);
    assert_eq!(world.jobs.len(), 4);
    let how_long = Some(Duration::from_secs(2));
    world.answer(Outcome::Wait { failure: limited(), how_long });
    world.answer(Outcome::Wait { failure: limited(), how_long });
    assert_eq!(world.jobs.len(), 2, "two are still in flight, none is sent");
    world.pass(Duration::from_millis(1_999));
    assert_eq!(world.jobs.len(), 2);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.jobs.len(), 3, "one tries the door");
    for _ in 0..3 {
        world.answer(page(1, Next::End));
    }
    assert_eq!(world.jobs.len(), 4);
    assert!(world.jobs.iter().all(|job| job.attempt == 1));
    let waiting = world.events.iter().filter(|event| matches!(event, EngineEvent::Waiting { .. })).count();
    assert_eq!(waiting, 1, "one refusal, echoed by those in flight");
}

#[test]
fn ten_refusals_in_a_row_fail_the_request() {
    let mut world = World::new(ONE, 4);
    for _ in 0..11 {
        assert_eq!(world.jobs.len(), 1);
        world.answer(Outcome::Wait { failure: limited(), how_long: None });
        world.pass(Duration::from_secs(61));
    }
    assert!(world.jobs.is_empty());
    for _ in 0..3 {
        world.commit();
    }
    assert_eq!(world.report.unwrap().state, PlanState::Failed);
}

#[test]
fn however_many_are_refused_at_once_it_is_one_refusal() {
    let plan = TEN.replace("concurrency = 4", "concurrency = 20").replace("to = 10", "to = 20");
    let mut world = World::new(&plan, 64);
    assert_eq!(world.jobs.len(), 20);
    // Nine times in a row: all of them, then the one that tries the door; as long as the server says.
    for time in 1..10 {
        while !world.jobs.is_empty() {
            world.answer(Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(time)) });
        }
        world.pass(Duration::from_millis(time * 1_000 - 1));
        assert!(world.jobs.is_empty());
        world.pass(Duration::from_millis(1));
        assert_eq!(world.jobs.len(), 1);
    }
    assert_eq!(world.jobs[0].attempt, 1);
    world.answer(page(1, Next::End));
    assert_eq!(world.jobs.len(), 19, "a good answer opens the door");
    for _ in 0..19 {
        world.answer(Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(1)) });
    }
    world.pass(Duration::from_secs(1));
    assert_eq!(world.jobs.len(), 1, "and ends the row");
}

#[test]
fn a_wait_beyond_what_is_allowed_pauses_the_run() {
    let mut world = World::new(ONE, 4);
    world.answer(Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(86_400)) });
    world.commit();
    let report = world.report.unwrap();
    assert_eq!(report.state, PlanState::OutOfQuota);
    assert!(report.resumes_at.is_some());
    assert_eq!(world.ends, [RunEnd::Paused]);
}

#[test]
fn a_long_wait_of_one_endpoint_does_not_pause_a_run_whose_children_are_being_loaded() {
    let mut world = World::new(TWO_HOSTS, 4);
    world.answer(parent_page(Next::Pages(vec![token(2, "b")])));
    let child = world.last_landing().first_child;
    world.answer(Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(86_400)) });
    world.commit();
    assert_eq!(world.loads, [SpecIndex(1)]);
    assert!(world.entries.is_empty(), "the other endpoint has work");
    let tasks = vec![child_task(child)];
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains: Vec::new() });
    world.answer(page(1, Next::End));
    world.commit();
    world.commit();
    assert_eq!(world.report.unwrap().state, PlanState::OutOfQuota);
}

#[test]
fn two_specs_of_one_origin_share_one_budget() {
    let plan = r#"
[endpoints.e]
base_url = "http://h"
limits = ["5/s"]
concurrency = 100
[tasks.a]
get = "/a/{{ n }}"
foreach = { n = { from = 1, to = 10 } }
[tasks.b]
get = "/b/{{ n }}"
foreach = { n = { from = 1, to = 10 } }
"#;
    let mut world = World::new(plan, 64);
    let mut sent = world.jobs.len();
    for _ in 0..900 {
        world.pass(Duration::from_millis(1));
        sent = sent.max(world.jobs.len());
    }
    assert_eq!(sent, 5, "five in the first second, of both together");
    let names: std::collections::BTreeSet<_> = world.jobs.iter().map(|job| job.task.spec.0).collect();
    assert_eq!(names.len(), 2, "in turns");
    assert_eq!(world.plan.tasks.len(), 2);
}

#[test]
fn an_origin_is_the_same_with_and_without_its_usual_port() {
    let plan = r#"
[endpoints.e]
base_url = "http://h"
limits = ["5/s"]
concurrency = 100
[endpoints.f]
base_url = "http://H:80/v2"
limits = ["5/s"]
concurrency = 100
[tasks.a]
endpoint = "e"
get = "/a/{{ n }}"
foreach = { n = { from = 1, to = 10 } }
[tasks.b]
endpoint = "f"
get = "/b/{{ n }}"
foreach = { n = { from = 1, to = 10 } }
"#;
    let mut world = World::new(plan, 64);
    world.pass(Duration::from_millis(900));
    assert!(world.jobs.len() <= 5, "{} requests of one limit of 5", world.jobs.len());
}

#[test]
fn a_failure_that_says_when_to_come_back_stops_everyone_and_costs_an_attempt() {
    let mut world = World::new(TEN, 64);
    let after = Some(Duration::from_secs(5));
    let failed = world.answer(Outcome::Retry { failure: transient(), after });
    assert_eq!(world.jobs.len(), 3, "nothing new is sent");
    while !world.jobs.is_empty() {
        world.answer(page(1, Next::End));
    }
    world.pass(Duration::from_millis(4_999));
    assert!(world.jobs.is_empty());
    world.pass(Duration::from_secs(10));
    assert_eq!((world.jobs.len(), world.jobs[0].task.id, world.jobs[0].attempt), (1, failed.id, 2));
    world.answer(page(1, Next::End));
    assert_eq!(world.jobs.len(), 4);

    // Without a time it is nobody else's business.
    let mut world = World::new(TEN, 64);
    world.answer(Outcome::Retry { failure: transient(), after: None });
    assert_eq!(world.jobs.len(), 4);
}

#[test]
fn the_last_attempt_stops_the_others_too() {
    let once = TEN.replace("concurrency = 4", "concurrency = 1\nretry = { attempts = 1 }");
    let mut world = World::new(&once, 64);
    world.answer(Outcome::Retry { failure: transient(), after: Some(Duration::from_secs(5)) });
    assert!(world.last_landing().result.is_err());
    assert!(world.jobs.is_empty());
    world.pass(Duration::from_secs(5));
    assert_eq!(world.jobs.len(), 1);
}

#[test]
fn a_closure_is_remembered_once_and_not_for_its_echoes() {
    let mut world = World::new(TEN, 64);
    let wait = |seconds| Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(seconds)) };
    let begin = world.now;
    world.answer(wait(1));
    assert!(world.closures.is_empty(), "too short to be worth a write");
    world.answer(wait(30));
    world.pass(Duration::from_millis(200));
    world.answer(wait(30));
    assert_eq!(world.closures, [begin + Duration::from_secs(30)]);
    // One that asks for much more is no echo.
    world.answer(wait(300));
    assert_eq!(world.closures[1..], [world.now + Duration::from_secs(300)]);
    // The next episode.
    world.pass(Duration::from_secs(301));
    world.answer(Outcome::Retry { failure: transient(), after: Some(Duration::from_secs(60)) });
    assert_eq!(world.closures[2..], [world.now + Duration::from_secs(60)]);
}

#[test]
fn what_was_closed_before_the_run_is_closed_to_it() {
    let mut world = World::new(ONE, 4);
    world.answer(page(1, Next::End));
    for _ in 0..3 {
        world.commit();
    }
    assert_eq!(world.report.take().unwrap().state, PlanState::Complete);
    let until = world.now + Duration::from_secs(60);
    let plan = Arc::clone(&world.plan);
    let begin = |world: &mut World, slot, wait| {
        let mut run = started(&plan, STORE, world.now, |_| {});
        run.specs[0].draws[0].closed_until = Some(until);
        run.wait = wait;
        world.tell(Event::Begun { slot, run: Box::new(run) });
    };
    // Longer than allowed: paused at once, with nothing sent.
    begin(&mut world, PlanSlot(2), Duration::from_secs(59));
    assert!(world.jobs.is_empty());
    world.commit();
    let report = world.report.take().unwrap();
    assert_eq!((report.state, report.requests), (PlanState::OutOfQuota, 0));
    assert_eq!(report.resumes_at, Some(until.to_rfc3339()));
    // Else it waits until then.
    begin(&mut world, PlanSlot(3), Duration::from_secs(60));
    world.pass(Duration::from_millis(59_999));
    assert!(world.jobs.is_empty() && world.report.is_none());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.jobs.len(), 1);
    assert!(world.closures.is_empty(), "it is known already");
}
