//! Limits that ask for a long wait, stores that do not work, plans that cannot run: what goes on by itself, and what
//! says why not.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use engine::EngineError;
use entities::{PlanState, Secrets, Store, StoreError, StoreOpener, StoreTarget, Work};
use service::{Busy, ServiceError, StartOptions};
use store::Stores;

use crate::world::{World, all, complete, plan_name, until, view};

#[tokio::test]
async fn a_run_whose_limit_asks_for_a_long_wait_goes_on_at_its_time() {
    let mut world = World::new().await;
    world.wait = Duration::from_millis(200);
    let service = world.open().await;
    let text = world.numbered("a", 12, "", "").replace("limits = []", "limits = [\"5 / 2s\"]");
    service.add(text).await.unwrap();
    service.start(&plan_name("a"), all()).await.unwrap();
    let waiting = until(&service, "a", |view| view.state == PlanState::OutOfQuota).await;
    assert!(waiting.resumes_at.is_some() && waiting.problem.as_deref().unwrap().contains("5 / 2s"));
    // Also over a restart.
    service.shutdown().await;
    let service = world.open().await;
    let held = view(&service, "a").await;
    assert!(held.state != PlanState::OutOfQuota || held.resumes_at == waiting.resumes_at, "{held:?}");
    let done = complete(&service, "a").await;
    assert_eq!((done.counts.records, done.problem, done.resumes_at), (12, None, None));
    assert_eq!((world.rows("a"), world.sandbox.log().len()), (12, 12));
    service.shutdown().await;
}

#[tokio::test]
async fn a_store_that_another_process_has_is_tried_again() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 20, "", "")).await.unwrap();
    std::fs::create_dir_all(world.stores()).unwrap();
    let path = StoreTarget::Sqlite(world.stores().join("a.db"));
    let other = Stores::new("syncctl run a.toml".to_owned()).open(&path, &Secrets::default()).unwrap();
    let told = service.start(&name, all()).await.unwrap();
    assert_eq!(told.state, PlanState::Broken);
    assert!(told.problem.as_deref().unwrap().contains("syncctl run a.toml"), "{told:?}");
    let first = told.resumes_at.unwrap();
    world.later(61);
    let again = until(&service, "a", |view| view.resumes_at.is_some_and(|at| at > first)).await;
    let waits = again.resumes_at.unwrap().since(first);
    assert!(waits > Duration::from_secs(110), "the wait doubles: {waits:?}");
    drop(other);
    world.later(121);
    assert_eq!(complete(&service, "a").await.problem, None);
    assert_eq!(world.rows("a"), 20);
    service.shutdown().await;
}

#[tokio::test]
async fn a_wait_is_called_off_or_cut_short() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 20, "", "")).await.unwrap();
    std::fs::create_dir_all(world.stores()).unwrap();
    let path = StoreTarget::Sqlite(world.stores().join("a.db"));
    let other = Stores::new("syncctl run a.toml".to_owned()).open(&path, &Secrets::default()).unwrap();
    service.start(&name, all()).await.unwrap();
    let cancelled = service.cancel(&name).await.unwrap();
    assert_eq!((cancelled.resumes_at, cancelled.problem), (None, None));
    world.later(3_600);
    assert_eq!(view(&service, "a").await.busy, None);
    service.start(&name, all()).await.unwrap();
    let paused = service.pause(&name).await.unwrap();
    assert_eq!((paused.state, paused.resumes_at), (PlanState::Paused, None));
    drop(other);
    world.later(3_600);
    assert_eq!(view(&service, "a").await.state, PlanState::Paused);
    service.resume(&name).await.unwrap();
    complete(&service, "a").await;
    service.shutdown().await;
}

#[tokio::test]
async fn a_run_that_cannot_begin_says_why_and_is_not_tried_again() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 3, "", "")).await.unwrap();
    let retry = StartOptions { work: Work::Failed, ..all() };
    let why = service.start(&name, retry).await.unwrap_err();
    assert!(why.to_string().contains("nothing to retry"), "{why}");
    assert_eq!(view(&service, "a").await.problem, None, "whoever asked was told");
    let none = StartOptions { tasks: vec!["b".to_owned()], ..all() };
    assert!(matches!(service.start(&name, none).await, Err(ServiceError::UnknownTask { .. })));
    world.later(7_200);
    assert_eq!(view(&service, "a").await.run, None);
    service.start(&name, all()).await.unwrap();
    assert_eq!(complete(&service, "a").await.problem, None);
    service.shutdown().await;
}

#[tokio::test]
async fn what_failed_is_retried() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 30, ";gone=0.2", "")).await.unwrap();
    service.start(&name, all()).await.unwrap();
    let ended = until(&service, "a", |view| view.last.is_some()).await;
    let failed = ended.counts.failed;
    assert_eq!((ended.state, ended.counts.records + failed), (PlanState::Failed, 30));
    assert!(failed > 0);
    let retry = StartOptions { work: Work::Failed, ..all() };
    let begun = service.start(&name, retry).await.unwrap();
    assert_ne!(begun.run, ended.run);
    let again =
        until(&service, "a", |view| view.last.as_ref().is_some_and(|last| Some(last.run) == begun.run)).await;
    assert_eq!(again.counts.done, failed);
    service.shutdown().await;
}

#[tokio::test]
async fn a_retry_of_nothing_leaves_a_plan_as_it_was() {
    let world = World::new().await;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 3, "", "")).await.unwrap();
    service.start(&name, all()).await.unwrap();
    until(&service, "a", |view| view.last.is_some()).await;
    service.pause(&name).await.unwrap();
    let refused = service.start(&name, StartOptions { work: Work::Failed, ..all() }).await;
    assert!(
        matches!(&refused, Err(ServiceError::Engine(EngineError::Store(StoreError::NothingToRetry { .. })))),
        "{refused:?}"
    );
    let view = service.detail(&name).await.unwrap().view;
    assert_eq!((view.state, view.problem), (PlanState::Paused, None));
    service.shutdown().await;
}

/// What was asked for waited for the store; when that opens, there is nothing to do.
#[tokio::test]
async fn a_retry_that_waited_and_finds_nothing_is_over() {
    let mut world = World::new().await;
    let counted = Arc::new(Counted::default());
    world.stores_opened_by = Arc::clone(&counted) as Arc<dyn StoreOpener>;
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 3, "", "")).await.unwrap();
    std::fs::create_dir_all(world.stores()).unwrap();
    let path = StoreTarget::Sqlite(world.stores().join("a.db"));
    let other = Stores::new("syncctl run a.toml".to_owned()).open(&path, &Secrets::default()).unwrap();
    let told = service.start(&name, StartOptions { work: Work::Failed, ..all() }).await.unwrap();
    assert_eq!((told.state, told.resumes_at.is_some()), (PlanState::Broken, true), "{told:?}");
    drop(other);
    world.later(61);
    let over = until(&service, "a", |view| view.resumes_at.is_none() && view.busy.is_none()).await;
    assert_eq!((over.state, over.run, over.next_run), (PlanState::Idle, None, None), "{over:?}");
    // It is not tried again, neither at once nor in time.
    let asked = counted.asked.load(Ordering::SeqCst);
    world.later(7_200);
    service.add(world.numbered("b", 20, "", "")).await.unwrap();
    service.start(&plan_name("b"), all()).await.unwrap();
    complete(&service, "b").await;
    assert_eq!((counted.asked.load(Ordering::SeqCst), asked), (asked + 1, 2));
    // Nor by another server.
    service.shutdown().await;
    let service = world.open().await;
    assert_eq!(view(&service, "a").await.resumes_at, None);
    service.start(&name, all()).await.unwrap();
    complete(&service, "a").await;
    service.shutdown().await;
}

/// Opens stores, and counts how often it was asked to.
struct Counted {
    asked: AtomicU32,
    stores: Stores,
}

impl Default for Counted {
    fn default() -> Counted {
        Counted { asked: AtomicU32::new(0), stores: Stores::new("service tests".to_owned()) }
    }
}

impl StoreOpener for Counted {
    fn open(&self, target: &StoreTarget, secrets: &Secrets) -> Result<Box<dyn Store>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.stores.open(target, secrets)
    }
}

/// Opens stores, but not before it is let.
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
    asked: AtomicBool,
    stores: Stores,
}

impl StoreOpener for Gate {
    fn open(&self, target: &StoreTarget, secrets: &Secrets) -> Result<Box<dyn Store>, StoreError> {
        self.asked.store(true, Ordering::SeqCst);
        let open = self.open.lock().unwrap();
        let _open = self.changed.wait_while(open, |open| !*open).unwrap();
        self.stores.open(target, secrets)
    }
}

impl Gate {
    /// One that is shut, before the stores of a world.
    fn before(world: &mut World) -> Arc<Gate> {
        let gate = Arc::new(Gate {
            open: Mutex::new(false),
            changed: Condvar::new(),
            asked: AtomicBool::new(false),
            stores: Stores::new("service tests".to_owned()),
        });
        world.stores_opened_by = Arc::clone(&gate) as Arc<dyn StoreOpener>;
        gate
    }

    fn set(&self, open: bool) {
        *self.open.lock().unwrap() = open;
        self.changed.notify_all();
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_gets_through_to_a_start_that_hangs() {
    let mut world = World::new().await;
    let gate = Gate::before(&mut world);
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 20, "", "")).await.unwrap();
    let start = service.start(&name, all());
    let mut start = Box::pin(start);
    tokio::select! {
        _ = &mut start => panic!("its store does not open"),
        hangs = until(&service, "a", |view| view.busy == Some(Busy::Starting)) => {
            assert_eq!(hangs.state, PlanState::Idle);
        }
    }
    let cancelled = service.cancel(&name).await.unwrap();
    assert_eq!(cancelled.busy, Some(Busy::Stopping));
    tokio::time::resume();
    // That it is not wanted is durable, whatever becomes of the store.
    drop(start);
    gate.set(true);
    let stopped = until(&service, "a", |view| view.busy.is_none()).await;
    assert!(gate.asked.load(Ordering::SeqCst));
    assert!(matches!(stopped.state, PlanState::Interrupted | PlanState::Idle), "{stopped:?}");
    assert_eq!((stopped.resumes_at, world.rows("a")), (None, 0));
    service.shutdown().await;
    let service = world.open().await;
    assert_eq!(view(&service, "a").await.busy, None);
    assert_eq!(world.rows("a"), 0);
    service.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_hangs_can_be_removed() {
    let mut world = World::new().await;
    let gate = Gate::before(&mut world);
    let service = world.open().await;
    let name = plan_name("a");
    service.add(world.numbered("a", 20, "", "")).await.unwrap();
    let (started, removed, ()) = tokio::join!(service.start(&name, all()), service.remove(&name), async {
        while !gate.asked.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gate.set(true);
    });
    assert!(matches!(started, Err(ServiceError::WrongState { .. })), "{started:?}");
    removed.unwrap();
    assert_eq!(service.snapshot().await.unwrap().plans.len(), 0);
    assert_eq!(world.rows("a"), 0);
    service.shutdown().await;
}
