//! An engine that stays while plans come and go: nothing of them remains.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use entities::{EngineEvent, Limit, Limits, PlanState, Scope, SyncPlan};

use crate::world::{World, soon};

/// The files below a directory that this process has open.
fn open_files(directory: &Path) -> BTreeSet<String> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let files = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    files.filter(|file| file.starts_with(directory)).map(|file| file.display().to_string()).collect()
}

/// One run of a plan from its adding to its removal.
async fn come_and_go(world: &World, name: &str, store: &str, requests: u32) {
    run(world, world.numbered(name, store, requests, ""), requests).await;
}

async fn run(world: &World, plan: SyncPlan, requests: u32) {
    let plan = world.add(plan).await;
    world.engine.start(&plan).await.unwrap();
    let report = world.finish(&plan).await;
    assert_eq!((report.state, report.records), (PlanState::Complete, u64::from(requests)));
    world.engine.remove_plan(&plan).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_that_come_and_go_leave_no_file_open() {
    let world = World::new(4).await;
    // The first start opens the budgets, for good.
    come_and_go(&world, "first", "first", 1).await;
    let only_budgets_are_open = async || {
        let directory = world.directory.path();
        let state = directory.join("state").display().to_string();
        let others = || open_files(directory).into_iter().any(|file| !file.starts_with(&state));
        for _ in 0..1_000 {
            if !others() {
                return open_files(directory);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still open: {:?}", open_files(directory));
    };
    let before = only_budgets_are_open().await;
    for round in 0..10 {
        for (name, store) in [("a", "one"), ("b", "one"), ("c", "two")] {
            come_and_go(&world, name, store, 3).await;
        }
        // On another file each time.
        come_and_go(&world, "d", &format!("own{round}"), 3).await;
    }
    assert!(world.engine.status().await.unwrap().plans.is_empty());
    assert_eq!(only_budgets_are_open().await, before);
    assert_eq!((world.rows("one", "a"), world.rows("two", "c"), world.rows("own9", "d")), (30, 30, 3));
    soon(world.engine.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_plans_at_once_and_a_shutdown_in_the_middle() {
    let world = World::new(16).await;
    let mut plans = Vec::new();
    for number in 0..50 {
        let store = format!("store{}", number % 10);
        plans.push(world.add(world.numbered(&format!("p{number}"), &store, 400, ";slow=1ms..3ms")).await);
    }
    soon(world.engine.start_all()).await.unwrap();
    // All of them come forward.
    let come_forward = async {
        loop {
            let status = soon(world.engine.status()).await.unwrap();
            if status.plans.iter().all(|plan| plan.tasks[0].done > 0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let come_forward = tokio::time::timeout(Duration::from_secs(60), come_forward).await;
    come_forward.expect("somebody is starved");
    world.engine.pause(&plans[0]).await.unwrap();
    world.engine.remove_plan(&plans[1]).await.unwrap();
    let sandbox = &world.sandbox;
    tokio::time::timeout(Duration::from_secs(30), world.engine.shutdown()).await.unwrap();
    let sent = sandbox.log().len();
    let landed: i64 = (0..50)
        .map(|number| {
            let path = world.directory.path().join(format!("store{}.db", number % 10));
            let database = rusqlite::Connection::open(path).unwrap();
            let query = format!("SELECT count(*) FROM p{number}");
            database.query_row(&query, [], |row| row.get::<_, i64>(0)).unwrap()
        })
        .sum();
    // Of the plan that was removed some were under way.
    assert!((0..=16).contains(&(sent as i64 - landed)), "{sent} sent, {landed} landed");
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    format!("{} kB resident, {} threads, {files} files", value("VmRSS"), value("Threads"))
}

/// `cargo test -p engine --release --test it measure -- --ignored --nocapture --test-threads 1`
#[tokio::test(flavor = "current_thread")]
#[ignore = "it measures"]
async fn measure_a_thousand_plans_that_come_and_go() {
    let world = World::remembering(4, 0).await;
    for round in 0..=1_000 {
        // Two stores, and a budget of its own each time.
        let mut plan = world.numbered("a", ["one", "two"][round % 2], 3, "");
        let scope = Scope::Named(format!("n{round}"));
        let limit = Limit { scope, ..Limit::plain(1_000, Duration::from_secs(1), "1000/s") };
        plan.endpoints[0].limits = Limits::Declared(vec![limit]);
        run(&world, plan, 3).await;
        if round % 100 == 0 {
            println!("after {round}: {}", memory());
        }
    }
    world.engine.shutdown().await;
}

/// See above.
#[tokio::test(flavor = "current_thread")]
#[ignore = "it measures"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn measure_what_events_cost() {
    for receivers in [0, 1, 10] {
        let world = World::new(16).await;
        let all: Vec<_> = (0..receivers).map(|_| world.engine.subscribe()).collect();
        let mut readers = tokio::task::JoinSet::new();
        for mut events in all {
            readers.spawn(async move {
                let (mut failed, mut missed) = (0_u64, 0);
                loop {
                    match events.recv().await {
                        Ok(EngineEvent::Failed { .. }) => failed += 1,
                        Ok(EngineEvent::RunEnded { .. }) => return (failed, missed),
                        Ok(_) => {}
                        Err(tokio::sync::broadcast::error::RecvError::Lagged(some)) => missed += some,
                        Err(_) => return (failed, missed),
                    }
                }
            });
        }
        let plan = world.numbered("a", "one", 20_000, "");
        let plan = world.add(plan_that_fails(plan)).await;
        let began = Instant::now();
        world.engine.start(&plan).await.unwrap();
        let report = world.engine.wait(&plan).await.unwrap();
        let seconds = began.elapsed().as_secs_f64();
        let seen = readers.join_all().await;
        println!(
            "{receivers} receivers: {} requests failed, {:.0} a second; received and missed {seen:?}",
            report.tasks["a"].failed,
            20_000.0 / seconds
        );
        world.engine.shutdown().await;
    }
}

/// Its requests ask for what is not there.
fn plan_that_fails(mut plan: SyncPlan) -> SyncPlan {
    for spec in &mut plan.tasks {
        spec.path.source = spec.path.source.replace("/small/", "/nowhere/").into();
    }
    plan
}
