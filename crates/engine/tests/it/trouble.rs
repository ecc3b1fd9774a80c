//! A store or a budgets' file that fails in mid-run, and calls that cross each other: everybody gets
//! an answer, and the engine goes on.

use std::sync::Arc;
use std::time::Duration;

use engine::EngineError;
use entities::{PlanState, StoreError};
use tokio::time::{sleep, timeout};

use crate::held::{Then, held};
use crate::world::{World, engine, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_panics_breaks_its_runs() {
    let (world, let_go) = held(Then::Panic).await;
    let plan = world.add(world.numbered("a", "one", 300, "")).await;
    world.engine.start(&plan).await.unwrap();
    let_go.send(()).unwrap();
    let report = soon(world.engine.wait(&plan)).await.unwrap();
    assert_eq!(report.state, PlanState::Broken);
    assert!(report.reason.unwrap().contains("on purpose"));
    // Opened again, it goes on.
    soon(world.engine.start(&plan)).await.unwrap();
    assert_eq!(world.finish(&plan).await.records, 300);
    assert_eq!(world.rows("one", "a"), 300);
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_starts_on_a_store_as_it_breaks_is_told() {
    let (world, let_go) = held(Then::Fail).await;
    let plan = world.add(world.numbered("a", "one", 300, "")).await;
    let other = world.add(world.numbered("b", "one", 300, "")).await;
    world.engine.start(&plan).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let (started, ()) = tokio::join!(soon(world.engine.start(&other)), async {
        sleep(Duration::from_millis(100)).await;
        let_go.send(()).unwrap();
    });
    assert!(matches!(started, Err(EngineError::Store(StoreError::Broken { .. }))), "{started:?}");
    assert_eq!(soon(world.engine.wait(&plan)).await.unwrap().state, PlanState::Broken);
    soon(world.engine.start_all()).await.unwrap();
    assert_eq!((world.finish(&plan).await.records, world.finish(&other).await.records), (300, 300));
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_being_cancelled_is_neither_started_nor_forgotten() {
    let (world, let_go) = held(Then::Commit).await;
    let plan = world.add(world.numbered("a", "one", 300, ";slow=5ms")).await;
    world.engine.start(&plan).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let engine = &world.engine;
    let (cancelled, again, started, removed, ()) = tokio::join!(
        soon(engine.cancel(&plan)),
        soon(engine.cancel(&plan)),
        soon(engine.start(&plan)),
        soon(engine.remove_plan(&plan)),
        async {
            sleep(Duration::from_millis(100)).await;
            let_go.send(()).unwrap();
        }
    );
    cancelled.unwrap();
    again.unwrap();
    assert!(matches!(started, Err(EngineError::WrongState { .. })), "{started:?}");
    removed.unwrap();
    assert!(world.engine.status().await.unwrap().plans.is_empty());
    let plan = world.add(world.numbered("a", "one", 300, ";slow=5ms")).await;
    world.engine.start(&plan).await.unwrap();
    assert_eq!(world.finish(&plan).await.records, 300);
    assert_eq!(world.rows("one", "a"), 300);
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_begins_during_a_shutdown_sends_nothing() {
    let (world, let_go) = held(Then::Commit).await;
    let plan = world.add(world.numbered("a", "one", 300, "")).await;
    let other = world.add(world.numbered("b", "one", 2000, ";slow=20ms")).await;
    world.engine.start(&plan).await.unwrap();
    while world.sandbox.log().len() < 300 {
        sleep(Duration::from_millis(10)).await;
    }
    let World { engine: first, sandbox, directory } = world;
    let first = Arc::new(first);
    let starting = Arc::clone(&first);
    let before = sandbox.log().len();
    tokio::select! {
        biased;
        _ = starting.start(&other) => panic!("the store is held"),
        () = sleep(Duration::from_millis(100)) => {}
    }
    drop(starting);
    let first = Arc::into_inner(first).unwrap();
    let (stopped, ()) = tokio::join!(timeout(Duration::from_secs(5), first.shutdown()), async {
        sleep(Duration::from_millis(100)).await;
        let_go.send(()).unwrap();
    });
    stopped.unwrap();
    assert_eq!(sandbox.log().len(), before);
    // Both go on elsewhere.
    let world = World { engine: engine(4, &sandbox, directory.path()), sandbox, directory };
    let plan = world.add(world.numbered("a", "one", 300, "")).await;
    world.engine.start(&plan).await.unwrap();
    assert_eq!(world.finish(&plan).await.records, 300);
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_that_cannot_be_kept_break_the_run_and_not_the_engine() {
    let world = World::new(4).await;
    let limited = ";slow=1ms";
    let mut plan = world.numbered("a", "one", 5_000, limited);
    let hour = Duration::from_secs(3600);
    let limit = entities::Limit::plain(24_000, hour, "24000/h");
    plan.endpoints[0].limits = entities::Limits::Declared(vec![limit]);
    let plan = world.add(plan).await;
    world.engine.start(&plan).await.unwrap();
    world.until_rows("one", "a", 1).await;
    let budgets = rusqlite::Connection::open(world.directory.path().join("state/budgets.db")).unwrap();
    budgets.execute_batch("DROP TABLE leases").unwrap();
    // A plan that begins is refused, and one that runs stops when it needs tokens.
    let mut other = world.numbered("b", "two", 300, limited);
    other.endpoints[0].limits =
        entities::Limits::Declared(vec![entities::Limit::plain(9000, hour, "9000/h")]);
    let other = world.add(other).await;
    let refused = soon(world.engine.start(&other)).await;
    assert!(matches!(refused, Err(EngineError::Budgets { .. })), "{refused:?}");
    let report = timeout(Duration::from_secs(60), world.engine.wait(&plan)).await.unwrap().unwrap();
    assert_eq!(report.state, PlanState::Broken);
    assert!(report.reason.unwrap().contains("budgets"));
    soon(world.engine.status()).await.unwrap();
    soon(world.engine.shutdown()).await;
}
