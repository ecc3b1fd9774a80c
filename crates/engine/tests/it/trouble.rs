//! A store or a budgets' file that fails in mid-run, and calls that cross each other: everybody gets
//! an answer, and the engine goes on.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use engine::EngineError;
use entities::{
    BeginRequest, Begun, Committed, Entry, PlanState, Position, RunId, SpecIndex, Store, StoreError,
    StoreOpener, StoreTarget, Task, TaskId, Vars,
};
use store::Stores;
use tokio::time::{sleep, timeout};

use crate::world::{World, engine, engine_with};

/// What the first commit of a store does once it may go on.
#[derive(Clone, Copy)]
enum Then {
    Panic,
    Fail,
    Commit,
}

/// Opens stores whose first commit waits until it is let go.
struct Held {
    stores: Stores,
    then: Then,
    /// For the first store opened.
    gate: Mutex<Option<Receiver<()>>>,
}

struct HeldStore {
    store: Box<dyn Store>,
    then: Then,
    gate: Option<Receiver<()>>,
}

impl StoreOpener for Held {
    fn open(&self, target: &StoreTarget) -> Result<Box<dyn Store>, StoreError> {
        let gate = self.gate.lock().unwrap().take();
        Ok(Box::new(HeldStore { store: self.stores.open(target)?, then: self.then, gate }))
    }
}

impl Store for HeldStore {
    fn begin(&mut self, request: &BeginRequest<'_>) -> Result<Begun, StoreError> {
        self.store.begin(request)
    }

    fn commit(&mut self, entries: Vec<Entry>) -> Result<Vec<Committed>, StoreError> {
        if let Some(gate) = self.gate.take() {
            let _ = gate.recv();
            match self.then {
                Then::Panic => panic!("on purpose"),
                Then::Fail => {
                    let (store, why) = ("x.db".to_owned(), "on purpose".to_owned());
                    return Err(StoreError::Broken { store, doing: "write to", why });
                }
                Then::Commit => {}
            }
        }
        self.store.commit(entries)
    }

    fn rows(
        &mut self,
        run: RunId,
        spec: SpecIndex,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vars)>, StoreError> {
        self.store.rows(run, spec, after, limit)
    }

    fn open_tasks(
        &mut self,
        run: RunId,
        spec: SpecIndex,
        after: TaskId,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.store.open_tasks(run, spec, after, limit)
    }

    fn chain_positions(&mut self, run: RunId, chain: TaskId) -> Result<Vec<Position>, StoreError> {
        self.store.chain_positions(run, chain)
    }
}

/// A world whose first store is held at its first commit; what lets it go.
async fn held(then: Then) -> (World, Sender<()>) {
    let World { sandbox, directory, .. } = World::new(1).await;
    let (let_go, gate) = channel();
    let held = Held { stores: Stores::new("engine tests".to_owned()), then, gate: Mutex::new(Some(gate)) };
    let engine = engine_with(4, &sandbox, directory.path(), Arc::new(held));
    (World { engine, sandbox, directory }, let_go)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), future).await.unwrap()
}

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
    sleep(Duration::from_millis(200)).await;
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
    let mut plan = world.numbered("a", "one", 300, limited);
    let hour = Duration::from_secs(3600);
    plan.endpoints[0].limits = entities::Limits::Declared(vec![entities::Limit::plain(8000, hour, "8000/h")]);
    let plan = world.add(plan).await;
    world.engine.start(&plan).await.unwrap();
    world.until_rows("one", "a", 1).await;
    let budgets = rusqlite::Connection::open(world.directory.path().join("state/budgets.db")).unwrap();
    budgets.execute_batch("DROP TABLE leases").unwrap();
    // The next plan of another origin needs a lease at once.
    let mut other = world.numbered("b", "two", 300, limited);
    other.endpoints[0].limits =
        entities::Limits::Declared(vec![entities::Limit::plain(9000, hour, "9000/h")]);
    let other = world.add(other).await;
    soon(world.engine.start(&other)).await.unwrap();
    let report = soon(world.engine.wait(&other)).await.unwrap();
    assert_eq!(report.state, PlanState::Broken);
    assert!(report.reason.unwrap().contains("budgets"));
    assert_eq!(soon(world.engine.wait(&plan)).await.unwrap().state, PlanState::Broken);
    soon(world.engine.status()).await.unwrap();
    soon(world.engine.shutdown()).await;
}
