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
fn a_wait_beyond_what_is_allowed_pauses_the_run() {
    let mut world = World::new(ONE, 4);
    world.answer(Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(86_400)) });
    world.commit();
    let report = world.report.unwrap();
    assert_eq!(report.state, PlanState::Waiting);
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
    assert_eq!(world.report.unwrap().state, PlanState::Waiting);
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
