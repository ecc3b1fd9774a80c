//! Start, pause, resume, cancel, remove: what each leaves in the store.

use engine::EngineError;
use entities::{PlanState, StoreError};

use crate::world::{World, engine, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_lands_every_record_once() {
    let world = World::new(8).await;
    let plan = world.add(world.numbered("a", "one", 300, "")).await;
    world.engine.start(&plan).await.unwrap();
    let report = world.finish(&plan).await;
    assert_eq!((report.state, report.records, report.requests), (PlanState::Complete, 300, 300));
    assert_eq!(world.rows("one", "a"), 300);
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_share_workers_and_a_store() {
    let world = World::new(4).await;
    let a = world.add(world.numbered("a", "shared", 200, "")).await;
    let b = world.add(world.numbered("b", "shared", 200, ";slow=1ms")).await;
    let c = world.add(world.numbered("c", "other", 200, "")).await;
    world.engine.start_all().await.unwrap();
    for plan in [&a, &b, &c] {
        assert_eq!(world.finish(plan).await.records, 200);
    }
    assert_eq!(
        (world.rows("shared", "a"), world.rows("shared", "b"), world.rows("other", "c")),
        (200, 200, 200)
    );
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_plan_sends_nothing_and_goes_on() {
    let world = World::new(4).await;
    let plan = world.add(world.numbered("a", "one", 400, ";slow=2ms")).await;
    world.engine.start(&plan).await.unwrap();
    world.until_rows("one", "a", 20).await;
    world.engine.pause(&plan).await.unwrap();
    // What was in flight lands; then nothing moves.
    let mut sent = world.sandbox.log().len();
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let now = world.sandbox.log().len();
        if now == sent {
            break;
        }
        sent = now;
    }
    let status = world.engine.status().await.unwrap();
    assert_eq!(status.plans[0].state, PlanState::Paused);
    assert!(sent < 400);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(world.sandbox.log().len(), sent);
    world.engine.resume(&plan).await.unwrap();
    assert_eq!(world.finish(&plan).await.records, 400);
    assert_eq!(world.sandbox.log().len(), 400, "no request was made twice");
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_cancel_returns_nothing_lands_and_the_next_start_resumes() {
    let world = World::new(8).await;
    let plan = world.add(world.numbered("a", "one", 500, ";slow=2ms..8ms")).await;
    for round in 1..=4 {
        world.engine.start(&plan).await.unwrap();
        world.until_rows("one", "a", round * 20).await;
        world.engine.cancel(&plan).await.unwrap();
        let landed = world.rows("one", "a");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(world.rows("one", "a"), landed, "round {round}");
        assert_eq!(world.finish(&plan).await.state, PlanState::Interrupted);
    }
    world.engine.start(&plan).await.unwrap();
    assert_eq!(world.finish(&plan).await.records, 500);
    assert_eq!(world.rows("one", "a"), 500);
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removing_a_plan_frees_its_workers_and_its_store() {
    let world = World::new(2).await;
    let slow = world.add(world.numbered("slow", "one", 500, ";slow=20ms")).await;
    let quick = world.add(world.numbered("quick", "two", 50, "")).await;
    world.engine.start_all().await.unwrap();
    world.until_rows("one", "slow", 2).await;
    world.engine.remove_plan(&slow).await.unwrap();
    assert_eq!(world.finish(&quick).await.records, 50);
    assert!(matches!(world.engine.start(&slow).await, Err(EngineError::UnknownPlan(_))));
    // The store is free for another process, here another engine; the run goes on there.
    let other = engine(8, &world.sandbox, &world.directory.path().join("other"));
    let again =
        other.add_plan(world.numbered("slow", "one", 100, ";slow=0ms"), Default::default(), options()).await;
    assert!(other.start(&again.unwrap()).await.is_err(), "the plan has changed: 100 instead of 500");
    other.shutdown().await;
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_use_is_refused_by_name() {
    let world = World::new(2).await;
    let plan = world.add(world.numbered("a", "one", 500, ";slow=10ms")).await;
    world.engine.start(&plan).await.unwrap();
    let other = engine(2, &world.sandbox, &world.directory.path().join("other"));
    let again =
        other.add_plan(world.numbered("a", "one", 500, ";slow=10ms"), Default::default(), options()).await;
    match other.start(&again.unwrap()).await {
        Err(EngineError::Store(StoreError::Locked { holder, .. })) => {
            assert!(holder.contains("engine tests"), "{holder}");
        }
        other => panic!("{other:?}"),
    }
    other.shutdown().await;
    world.engine.cancel_all().await.unwrap();
    world.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_drains_and_leaves_a_resumable_run() {
    let world = World::new(4).await;
    let plan = world.add(world.numbered("a", "one", 300, ";slow=5ms")).await;
    world.engine.start(&plan).await.unwrap();
    world.until_rows("one", "a", 10).await;
    let World { engine: first, sandbox, directory } = world;
    first.shutdown().await;
    let world = World { engine: engine(4, &sandbox, directory.path()), sandbox, directory };
    let landed = world.rows("one", "a");
    assert_eq!(world.sandbox.log().len() as i64, landed, "what was in flight has landed");
    let plan = world.add(world.numbered("a", "one", 300, ";slow=5ms")).await;
    world.engine.start(&plan).await.unwrap();
    assert_eq!(world.finish(&plan).await.records, 300);
    assert_eq!(world.rows("one", "a"), 300);
    world.engine.shutdown().await;
}
