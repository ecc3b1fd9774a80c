//! Stores that several plans use, one after the other and at once: closed aside when nobody uses them, and never
//! in each other's way.

use std::time::Duration;

use engine::EngineError;
use entities::{PlanState, StoreTarget};
use tokio::time::timeout;

use crate::held::{Then, held};
use crate::world::{World, soon};

/// Long enough to see that something does not happen.
const A_WHILE: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_long_to_close_holds_up_nobody_else() {
    let (world, let_go) = held(Then::Close).await;
    let engine = &world.engine;
    let first = world.add(world.numbered("a", "one", 30, "")).await;
    let other = world.add(world.numbered("b", "two", 30, "")).await;
    engine.start(&first).await.unwrap();
    assert_eq!(world.finish(&first).await.records, 30);
    soon(engine.remove_plan(&first)).await.unwrap();
    soon(engine.start(&other)).await.unwrap();
    assert_eq!(soon(world.finish(&other)).await.records, 30);
    // The same store again: it waits until the old one is closed, and is never told that it is locked.
    let again = world.add(world.numbered("a", "one", 30, "")).await;
    let mut starting = Box::pin(engine.start(&again));
    assert!(timeout(A_WHILE, &mut starting).await.is_err(), "the old one is not closed");
    assert_eq!(soon(engine.status()).await.unwrap().plans.len(), 2);
    let_go.send(()).unwrap();
    soon(starting).await.unwrap();
    assert_eq!(world.finish(&again).await.records, 30);
    assert_eq!(world.rows("one", "a"), 60, "an append of two runs");
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_waits_until_stores_are_closed() {
    let (world, let_go) = held(Then::Close).await;
    let plan = world.add(world.numbered("a", "one", 30, "")).await;
    world.engine.start(&plan).await.unwrap();
    world.finish(&plan).await;
    world.engine.remove_plan(&plan).await.unwrap();
    let mut shutdown = Box::pin(world.engine.shutdown());
    assert!(timeout(A_WHILE, &mut shutdown).await.is_err());
    let_go.send(()).unwrap();
    soon(shutdown).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_come_and_go_on_one_store_while_another_runs_there() {
    let world = World::new(4).await;
    let long = world.add(world.numbered("long", "shared", 1_500, ";slow=1ms")).await;
    world.engine.start(&long).await.unwrap();
    for _ in 0..3 {
        let short = world.add(world.numbered("short", "shared", 20, "")).await;
        world.engine.start(&short).await.unwrap();
        assert_eq!(world.finish(&short).await.records, 20);
        // Started again at once after its end, and removed in the middle.
        world.engine.start(&short).await.unwrap();
        world.engine.remove_plan(&short).await.unwrap();
    }
    let last = world.add(world.numbered("short", "shared", 20, "")).await;
    world.engine.start(&last).await.unwrap();
    world.finish(&last).await;
    assert_eq!(world.finish(&long).await.records, 1_500);
    assert_eq!(world.rows("shared", "long"), 1_500);
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_is_one_store_however_its_path_is_spelled() {
    let world = World::new(4).await;
    let directory = world.directory.path();
    std::fs::create_dir(directory.join("sub")).unwrap();
    let mut plans = Vec::new();
    for (name, path) in [("a", "one.db"), ("b", "./sub/../one.db"), ("c", "sub/.././one.db")] {
        let mut plan = world.numbered(name, "one", 100, ";slow=1ms");
        plan.store = StoreTarget::Sqlite(directory.join(path));
        plans.push(world.add(plan).await);
    }
    world.engine.start_all().await.unwrap();
    for plan in &plans {
        assert_eq!(world.finish(plan).await.records, 100);
    }
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_behind_or_fails_leaves_the_others_running() {
    for then in [Then::Commit, Then::Fail, Then::Panic] {
        let (world, let_go) = held(then).await;
        let stuck = world.add(world.numbered("a", "one", 2_000, "")).await;
        world.engine.start(&stuck).await.unwrap();
        let other = world.add(world.numbered("b", "two", 500, "")).await;
        world.engine.start(&other).await.unwrap();
        // The first has what may wait uncommitted, and no worker keeps the second from its work.
        assert_eq!(soon(world.finish(&other)).await.records, 500);
        let status = world.engine.status().await.unwrap();
        assert_eq!((status.plans[0].state, status.plans[0].tasks[0].done), (PlanState::Running, 0));
        let_go.send(()).unwrap();
        let expected = if then == Then::Commit { PlanState::Complete } else { PlanState::Broken };
        assert_eq!(soon(world.engine.wait(&stuck)).await.unwrap().state, expected);
        world.engine.start(&other).await.unwrap();
        assert_eq!(world.finish(&other).await.records, 500);
        world.engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_while_a_plan_starts_is_done_once_it_has_started() {
    // (what is asked, what becomes of the run; none: there is no plan any more)
    let check = async |verbs: &'static [&'static str], expected: Option<PlanState>| {
        let (world, let_go) = held(Then::Open).await;
        let engine = &world.engine;
        let plan = world.add(world.numbered("a", "one", 300, ";slow=2ms")).await;
        let beside = world.add(world.numbered("b", "one", 10, "")).await;
        let asked = async {
            for verb in verbs {
                let done = match *verb {
                    "pause" => engine.pause(&plan).await,
                    "drain" => engine.drain(&plan).await,
                    "cancel" => engine.cancel(&plan).await,
                    "remove" => engine.remove_plan(&plan).await,
                    "start" => {
                        let started = engine.start(&plan).await;
                        assert!(matches!(started, Err(EngineError::WrongState { state: "starting", .. })));
                        Ok(())
                    }
                    other => panic!("{other}"),
                };
                done.unwrap_or_else(|error| panic!("{verb}: {error}"));
            }
        };
        let let_go = async {
            tokio::time::sleep(A_WHILE).await;
            let_go.send(()).unwrap();
        };
        let all = async { tokio::join!(engine.start(&plan), engine.start(&beside), asked, let_go) };
        let (started, beside_started, (), ()) = soon(all).await;
        started.unwrap();
        beside_started.unwrap();
        assert_eq!(world.finish(&beside).await.records, 10, "{verbs:?}");
        let status = soon(engine.status()).await.unwrap();
        let found = status.plans.iter().find(|status| status.plan == plan).map(|status| status.state);
        match expected {
            Some(PlanState::Interrupted) => {
                assert_eq!(
                    soon(engine.wait(&plan)).await.unwrap().state,
                    PlanState::Interrupted,
                    "{verbs:?}"
                );
            }
            expected => assert_eq!(found, expected, "{verbs:?}"),
        }
        soon(world.engine.shutdown()).await;
    };
    check(&["pause"], Some(PlanState::Paused)).await;
    check(&["start", "cancel"], Some(PlanState::Interrupted)).await;
    check(&["drain"], Some(PlanState::Interrupted)).await;
    check(&["pause", "cancel"], Some(PlanState::Interrupted)).await;
    check(&["remove"], None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_start_on_a_store_that_cannot_be_opened_hear_why_and_nobody_waits() {
    let world = World::new(4).await;
    std::fs::create_dir(world.directory.path().join("one.db")).unwrap();
    let engine = &world.engine;
    let (a, b) = (
        world.add(world.numbered("a", "one", 5, "")).await,
        world.add(world.numbered("b", "one", 5, "")).await,
    );
    let all =
        async { tokio::join!(engine.start(&a), engine.start(&b), engine.cancel(&a), engine.remove_plan(&b)) };
    let (first, second, cancelled, removed) = soon(all).await;
    for started in [first, second] {
        assert!(matches!(started, Err(EngineError::Store(_))), "{started:?}");
    }
    assert!(matches!(cancelled, Err(EngineError::WrongState { .. })), "{cancelled:?}");
    removed.unwrap();
    // Put right, it goes on.
    std::fs::remove_dir(world.directory.path().join("one.db")).unwrap();
    soon(engine.start(&a)).await.unwrap();
    assert_eq!(world.finish(&a).await.records, 5);
    world.engine.shutdown().await;
}
