//! Add, start, pause, resume, cancel, remove: what is answered, and what is true then.

use entities::{PlanState, StoreTarget};
use service::ServiceError;

use crate::world::{World, all, complete, plan_name, until, view};

#[tokio::test]
async fn a_plan_is_added_runs_and_goes() {
    let world = World::new().await;
    let service = world.open().await;
    let (added, warnings) = service.add(world.numbered("a", 200, "", "")).await.unwrap();
    assert_eq!((added.state, added.run, warnings.len()), (PlanState::Idle, None, 0));
    let name = plan_name("a");
    let started = service.start(&name, all()).await.unwrap();
    assert_eq!(started.state, PlanState::Running);
    let done = complete(&service, "a").await;
    assert_eq!((done.counts.records, done.counts.done, done.counts.failed), (200, 200, 0));
    assert_eq!(world.rows("a"), 200);
    let detail = service.detail(&name).await.unwrap();
    assert_eq!(detail.report.map(|report| report.records), Some(200));
    let store = service.remove(&name).await.unwrap();
    assert_eq!(store, StoreTarget::Sqlite(std::fs::canonicalize(world.stores()).unwrap().join("a.db")));
    assert!(matches!(service.detail(&name).await, Err(ServiceError::Unknown(_))));
    assert_eq!(service.snapshot().await.unwrap().plans.len(), 0);
    service.shutdown().await;
    assert!(matches!(service.snapshot().await, Err(ServiceError::Closed)));
}

#[tokio::test]
async fn pause_resume_and_cancel() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 300, ";slow=5ms", "")).await.unwrap();
    service.start(&name, all()).await.unwrap();
    world.until_rows("a", 20).await;
    assert_eq!(service.pause(&name).await.unwrap().state, PlanState::Paused);
    assert_eq!(service.pause(&name).await.unwrap().state, PlanState::Paused, "twice is as good as once");
    assert_eq!(view(&service, "a").await.state, PlanState::Paused);
    assert_eq!(service.resume(&name).await.unwrap().state, PlanState::Running);
    let landed = world.rows("a");
    world.until_rows("a", landed + 20).await;
    assert_eq!(service.cancel(&name).await.unwrap().state, PlanState::Interrupted);
    let landed = world.rows("a");
    assert!(matches!(service.cancel(&name).await, Err(ServiceError::WrongState { .. })));
    assert_eq!(world.rows("a"), landed);
    service.start(&name, all()).await.unwrap();
    assert!(matches!(service.start(&name, all()).await, Err(ServiceError::WrongState { .. })));
    let done = until(&service, "a", |view| view.state == PlanState::Complete).await;
    assert_eq!((done.counts.records, world.rows("a")), (300, 300));
    service.shutdown().await;
}
