//! Stores that wait where a test wants them to.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use entities::{
    BeginRequest, Begun, Committed, Entry, Position, RunId, Secrets, SpecIndex, Store, StoreError,
    StoreOpener, StoreTarget, Task, TaskId, Vars,
};
use store::Stores;

use crate::world::{World, engine_with};

/// Where the first store is held, and what it does once it may go on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// At its first commit.
    Panic,
    /// At its first commit.
    Fail,
    /// At its first commit.
    Commit,
    /// Before it is open.
    Open,
    /// When it is closed.
    Close,
}

/// Opens stores of which the first waits until it is let go.
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
    fn open(&self, target: &StoreTarget, secrets: &Secrets) -> Result<Box<dyn Store>, StoreError> {
        let mut gate = self.gate.lock().unwrap().take();
        if self.then == Then::Open
            && let Some(gate) = gate.take()
        {
            let _ = gate.recv();
        }
        Ok(Box::new(HeldStore { store: self.stores.open(target, secrets)?, then: self.then, gate }))
    }
}

impl Store for HeldStore {
    fn begin(&mut self, request: &BeginRequest<'_>) -> Result<Begun, StoreError> {
        self.store.begin(request)
    }

    fn commit(&mut self, entries: Vec<Entry>) -> Result<Vec<Committed>, StoreError> {
        if self.then != Then::Close
            && let Some(gate) = self.gate.take()
        {
            let _ = gate.recv();
            match self.then {
                Then::Panic => panic!("on purpose"),
                Then::Fail => {
                    let (store, why) = ("x.db".to_owned(), "on purpose".to_owned());
                    return Err(StoreError::Broken { store, doing: "write to", why });
                }
                Then::Commit | Then::Open | Then::Close => {}
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

impl Drop for HeldStore {
    fn drop(&mut self) {
        // Only the close waits: what breaks goes on at once.
        if self.then == Then::Close
            && let Some(gate) = self.gate.take()
        {
            let _ = gate.recv();
        }
    }
}

/// A world whose first store is held; what lets it go.
pub(crate) async fn held(then: Then) -> (World, Sender<()>) {
    let World { sandbox, directory, .. } = World::new(1).await;
    let (let_go, gate) = channel();
    let held = Held { stores: Stores::new("engine tests".to_owned()), then, gate: Mutex::new(Some(gate)) };
    let engine = engine_with(4, &sandbox, directory.path(), Arc::new(held));
    (World { engine, sandbox, directory }, let_go)
}
