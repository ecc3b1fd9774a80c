//! Events, snapshots and counters.

use std::collections::BTreeMap;

use entities::{EngineEvent, PlanState};
use service::{Busy, PlanEvent, ServiceEvent};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::Instant;

use crate::world::{World, all, complete, plan_name, until, view};

#[tokio::test]
async fn what_happens_is_told_in_order() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    let mut events = service.subscribe();
    service.add(world.numbered("a", 20, "", "")).await.unwrap();
    service.start(&name, all()).await.unwrap();
    complete(&service, "a").await;
    service.remove(&name).await.unwrap();
    let mut told = Vec::new();
    loop {
        match events.try_recv() {
            Ok(event) => told.push(match &*event {
                ServiceEvent::Engine(EngineEvent::RunStarted { resumed, .. }) => format!("started {resumed}"),
                ServiceEvent::Engine(EngineEvent::RunEnded { report }) => format!("ended {}", report.records),
                ServiceEvent::Engine(EngineEvent::TaskEnded { .. }) => "task ended".to_owned(),
                ServiceEvent::Plan(PlanEvent::PlanState { state, busy, .. }) => {
                    format!(
                        "{} {}",
                        state.as_str(),
                        busy.map_or("", |busy| match busy {
                            Busy::Starting => "starting",
                            Busy::Stopping => "stopping",
                            Busy::Replacing => "replacing",
                            Busy::Removing => "removing",
                        })
                    )
                }
                ServiceEvent::Plan(PlanEvent::PlanAdded { .. }) => "added".to_owned(),
                ServiceEvent::Plan(PlanEvent::PlanRemoved { .. }) => "removed".to_owned(),
                other => format!("{other:?}"),
            }),
            Err(TryRecvError::Empty) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(
        told,
        [
            "added",
            "idle starting",
            "started false",
            "running ",
            "task ended",
            "ended 20",
            "complete ",
            "complete removing",
            "removed"
        ]
    );
    service.shutdown().await;
}

#[tokio::test]
async fn counters_grow_by_what_was_done_since_the_server_started() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 200, ";slow=3ms", "")).await.unwrap();
    service.start(&name, all()).await.unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let landed = world.rows("a");
        world.until_rows("a", landed + 10).await;
        service.cancel(&name).await.unwrap();
        let totals = service.snapshot().await.unwrap().totals[&name].clone();
        assert_eq!(totals.records, world.rows("a").cast_unsigned());
        assert!(totals.records > last);
        last = totals.records;
        service.start(&name, all()).await.unwrap();
    }
    complete(&service, "a").await;
    let totals = service.snapshot().await.unwrap().totals[&name].clone();
    assert_eq!((totals.records, totals.failed), (200, 0));
    // Besides, what was cut off when it was cancelled: at most four each time.
    assert!((200..=212).contains(&totals.requests), "{}", totals.requests);
    assert_eq!(totals.runs, BTreeMap::from([("interrupted", 3), ("complete", 1)]));
    service.shutdown().await;
    let service = world.open().await;
    assert_eq!(service.snapshot().await.unwrap().totals[&name].records, 0);
    service.shutdown().await;
}

#[tokio::test]
async fn a_snapshot_shows_what_was_answered_and_is_shared_otherwise() {
    let world = World::new().await;
    let service = world.open().await;
    for number in 0..50 {
        service.add(world.numbered(&format!("p{number:02}"), 5, "", "")).await.unwrap();
        assert_eq!(service.snapshot().await.unwrap().plans.len(), number + 1, "what was added is there");
    }
    let (first, second) = (service.snapshot().await.unwrap(), service.snapshot().await.unwrap());
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    service.pause(&plan_name("p07")).await.unwrap();
    assert_eq!(view(&service, "p07").await.state, PlanState::Paused);
    let began = Instant::now();
    for _ in 0..20 {
        // Each is anew, since something was answered in between.
        service.pause(&plan_name("p08")).await.unwrap();
        service.resume(&plan_name("p08")).await.unwrap();
        service.snapshot().await.unwrap();
    }
    println!("50 plans: pause, resume and a snapshot take {:?}", began.elapsed() / 20);
    service.shutdown().await;
}

#[tokio::test]
async fn all_start_and_all_are_cancelled() {
    let world = World::new().await;
    let service = world.open().await;
    for name in ["a", "b", "c"] {
        service.add(world.numbered(name, 500, ";slow=5ms", "")).await.unwrap();
    }
    service.pause(&plan_name("b")).await.unwrap();
    let started = service.start_all().await.unwrap();
    let names: Vec<&str> = started.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    assert!(started.iter().all(|(_, view)| view.as_ref().is_ok_and(|view| view.state == PlanState::Running)));
    let cancelled = service.cancel_all().await.unwrap();
    assert!(cancelled.iter().all(|(_, view)| view.is_ok()));
    for name in ["a", "c"] {
        until(&service, name, |view| view.state == PlanState::Interrupted).await;
    }
    assert_eq!(service.cancel_all().await.unwrap().len(), 0);
    service.shutdown().await;
}
