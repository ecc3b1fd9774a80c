//! Engines that share the budgets' file, as processes do.

use std::time::Duration;

use entities::{PlanName, PlanState};
use sandbox::LoggedRequest;

use crate::world::{World, engine, options, soon};

/// A plan with a limit; its requests bear its name.
async fn add(world: &World, engine: &engine::SyncEngine, name: &str, limit: &str, count: u32) -> PlanName {
    let (origin, directory) = (world.sandbox.origin(), world.directory.path().display());
    let plan = world.load(&format!(
        r#"
[plan]
name = "{name}"
[store]
sqlite = "{directory}/{name}.db"
[endpoints.e]
base_url = "{origin}/bench"
limits = ["{limit}"]
[tasks.{name}]
get = "/small/{{{{ n }}}}"
query = {{ who = "{name}" }}
foreach = {{ n = {{ from = 1, to = {count} }} }}
mode = "append"
"#
    ));
    engine.add_plan(plan, entities::Secrets::default(), options()).await.unwrap()
}

fn seconds(log: &[LoggedRequest], name: &str) -> Vec<f64> {
    let mark = format!("who={name}");
    let own = log.iter().filter(|request| request.path_and_query.ends_with(&mark));
    own.map(|request| request.at.as_secs_f64()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_somebody_keeps_locked_for_a_while_breaks_no_run() {
    let world = World::new(4).await;
    let plan = add(&world, &world.engine, "a", "4000/min", 1_500).await;
    world.engine.start(&plan).await.unwrap();
    world.until_rows("a", "a", 1).await;
    let other = rusqlite::Connection::open(world.directory.path().join("state/budgets.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM closed").unwrap();
    // It spends what it has leased; then it waits, and still listens.
    let mut sent = 0;
    while world.sandbox.log().len() > sent {
        sent = world.sandbox.log().len();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(sent < 1_500, "it had leased all it needed");
    let status = world.engine.status().await.unwrap();
    assert_eq!(status.plans[0].state, PlanState::Running);
    other.execute_batch("COMMIT").unwrap();
    let report = world.finish(&plan).await;
    assert_eq!((report.state, report.records), (PlanState::Complete, 1_500));
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tighter_limit_of_another_process_holds_while_that_lives() {
    let world = World::new(4).await;
    let wide = add(&world, &world.engine, "wide", "40/s", 10_000).await;
    world.engine.start(&wide).await.unwrap();
    world.until_rows("wide", "wide", 40).await;
    let second = engine(4, &world.sandbox, world.directory.path());
    let tight = add(&world, &second, "tight", "10/s", 20).await;
    second.start(&tight).await.unwrap();
    assert_eq!(second.wait(&tight).await.unwrap().state, PlanState::Complete);
    second.shutdown().await;
    let log = world.sandbox.log();
    let (both, tight) = (log.len(), seconds(&log, "tight"));
    // What the first had sent before it knew is over by then.
    let (from, to) = (tight[0] + 1.5, tight[tight.len() - 1]);
    assert!(to - from > 0.5, "too short to tell: {tight:?}");
    let all: Vec<f64> = log.iter().map(|request| request.at.as_secs_f64()).collect();
    for start in all.iter().filter(|at| (from..to).contains(at)) {
        let most = all.iter().filter(|at| (*start..start + 0.999).contains(at) && **at <= to).count();
        assert!(most <= 10, "{most} from {start} on");
    }
    // It is gone, and so is its limit.
    while seconds(&world.sandbox.log()[both..], "wide").len() < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let alone = seconds(&world.sandbox.log()[both..], "wide");
    assert!(alone[99] - alone[60] < 2.0, "{alone:?}");
    world.engine.cancel(&wide).await.unwrap();
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_several_have_used_up_pauses_all_of_them() {
    let world = World::new(4).await;
    let second = engine(4, &world.sandbox, world.directory.path());
    let one = add(&world, &world.engine, "one", "10/h", 20).await;
    let two = add(&world, &second, "two", "10/h", 20).await;
    world.engine.start(&one).await.unwrap();
    second.start(&two).await.unwrap();
    // Each has some of the ten, and none of them comes back within --wait.
    let both = async { (world.engine.wait(&one).await.unwrap(), second.wait(&two).await.unwrap()) };
    let (one, two) =
        tokio::time::timeout(Duration::from_secs(30), both).await.expect("both would wait for ever");
    for report in [&one, &two] {
        assert_eq!(report.state, PlanState::OutOfQuota, "{report:?}");
    }
    assert_eq!(one.requests + two.requests, 10);
    world.engine.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_runs_are_over_keeps_no_tokens() {
    let world = World::new(4).await;
    let first = add(&world, &world.engine, "first", "80/h", 3).await;
    world.engine.start(&first).await.unwrap();
    assert_eq!(world.finish(&first).await.state, PlanState::Complete);
    // It is still there, and its plan, too: all but the three are another's.
    let second = engine(4, &world.sandbox, world.directory.path());
    let plan = add(&world, &second, "second", "80/h", 77).await;
    second.start(&plan).await.unwrap();
    let report = soon(second.wait(&plan)).await.unwrap();
    assert_eq!((report.state, report.requests), (PlanState::Complete, 77), "{:?}", report.reason);
    // And none is left for the first.
    world.engine.start(&first).await.unwrap();
    assert_eq!(soon(world.engine.wait(&first)).await.unwrap().state, PlanState::OutOfQuota);
    world.engine.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_limit_is_kept_from_its_first_request_on() {
    for (old, new, most) in [("20/2s", "60/2s", 60), ("60/2s", "20/2s", 20)] {
        let world = World::new(8).await;
        let requests = if old == "60/2s" { 60 } else { 20 };
        let before = add(&world, &world.engine, "before", old, requests).await;
        world.engine.start(&before).await.unwrap();
        world.finish(&before).await;
        world.engine.remove_plan(&before).await.unwrap();
        let after = add(&world, &world.engine, "after", new, 100).await;
        world.engine.start(&after).await.unwrap();
        world.finish(&after).await;
        let log = world.sandbox.log();
        let all: Vec<f64> = log.iter().map(|request| request.at.as_secs_f64()).collect();
        let changed = seconds(&log, "after")[0];
        // Windows that end behind the change count what went before it, too.
        for end in all.iter().filter(|end| **end >= changed) {
            let seen = all.iter().filter(|at| (end - 1.999..=*end).contains(*at)).count();
            assert!(seen <= most, "{old} became {new}: {seen} within 2 s");
        }
        world.engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_a_plan_that_was_removed_holds_nobody_up() {
    let world = World::new(4).await;
    let tight = add(&world, &world.engine, "tight", "2/h", 10).await;
    let wide = add(&world, &world.engine, "wide", "4000/h", 40).await;
    world.engine.start(&tight).await.unwrap();
    world.until_rows("tight", "tight", 2).await;
    world.engine.start(&wide).await.unwrap();
    world.engine.remove_plan(&tight).await.unwrap();
    // Not only once it ends, as it would with --wait: it goes at once.
    assert_eq!(soon(world.finish(&wide)).await.state, PlanState::Complete);
    // The other way round: what stays in force is what a living plan says.
    let tight = add(&world, &world.engine, "tight", "49/h", 10).await;
    world.engine.start(&tight).await.unwrap();
    let report = soon(world.engine.wait(&tight)).await.unwrap();
    assert_eq!((report.state, report.requests), (PlanState::OutOfQuota, 7), "42 have gone before");
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_says_that_budgets_cannot_be_kept_and_the_next_tries_again() {
    let world = World::new(4).await;
    let state = world.directory.path().join("state");
    std::fs::write(&state, "in the way").unwrap();
    let plan = add(&world, &world.engine, "a", "4000/min", 3).await;
    for _ in 0..2 {
        let refused = soon(world.engine.start(&plan)).await.unwrap_err();
        assert!(refused.to_string().starts_with("cannot keep budgets in"), "{refused}");
    }
    std::fs::remove_file(state).unwrap();
    soon(world.engine.start(&plan)).await.unwrap();
    let report = world.finish(&plan).await;
    assert_eq!((report.state, report.records), (PlanState::Complete, 3));
    world.engine.shutdown().await;
}
