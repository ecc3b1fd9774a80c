//! The thread that owns a store. It takes whatever has queued while the last transaction was
//! syncing, and commits it as one (group commit).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use entities::{
    BeginRequest, Begun, Committed, Entry, Frozen, Moment, Position, RecordBatch, ResumeMode, RunId, Secrets,
    SpecIndex, Store, StoreError, StoreOpener, StoreTarget, SyncPlan, Task, TaskId, Work,
};
use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedSender;

use crate::core::{PlanSlot, StoreSlot};

/// How long the writer waits for more when many small Landings come; nothing but their commit waits.
const LINGER: Duration = Duration::from_millis(3);
/// So many Landings at once are many …
const DRIZZLE: usize = 16;
/// … and with fewer rows than this they are small.
const DRIZZLE_ROWS: u64 = 1_000;

/// What a store is asked.
pub(crate) enum ToStore {
    /// Begin or resume a plan's run.
    Begin(Box<Begin>),
    /// Write entries, in this order, after all that was asked before.
    Write(Vec<Entry>),
    /// Read open tasks.
    Load { slot: PlanSlot, run: RunId, spec: SpecIndex, after: TaskId, limit: usize, chains: bool },
    /// Read rows of a parent's table for a name of a child.
    Rows {
        slot: PlanSlot,
        run: RunId,
        parent: SpecIndex,
        child: SpecIndex,
        foreach: usize,
        after: u64,
        limit: usize,
    },
}

/// [`BeginRequest`], owned.
pub(crate) struct Begin {
    pub(crate) slot: PlanSlot,
    pub(crate) plan: Arc<SyncPlan>,
    pub(crate) specs: Vec<SpecIndex>,
    pub(crate) resume: ResumeMode,
    pub(crate) full_refresh: bool,
    pub(crate) work: Work,
    pub(crate) frozen: Frozen,
    pub(crate) now: Moment,
}

/// What a store answers.
pub(crate) enum FromStore {
    /// It is open, or cannot be opened.
    Opened(Result<(), StoreError>),
    /// A run has begun, or cannot.
    Begun { slot: PlanSlot, begun: Result<Begun, StoreError> },
    /// The oldest entries have committed.
    Committed(Vec<Committed>),
    /// Open tasks, and what their chains have asked for.
    Loaded { slot: PlanSlot, spec: SpecIndex, tasks: Vec<Task>, chains: Vec<(TaskId, Vec<Position>)> },
    /// Rows of a parent's table, by their numbers.
    Rows { slot: PlanSlot, child: SpecIndex, foreach: usize, rows: Vec<(u64, Map<String, Value>)> },
    /// It cannot go on; nothing more will commit.
    Broken(StoreError),
    /// It is closed, and free for others: its last word.
    Closed,
}

/// The other end of a store's thread. Dropping it lets the thread finish what it was asked, and close the store.
pub(crate) struct StoreThread {
    requests: Option<Sender<ToStore>>,
    thread: Option<JoinHandle<()>>,
}

impl StoreThread {
    /// Starts a thread that opens the store and serves it until this handle is closed.
    pub(crate) fn spawn(
        slot: StoreSlot,
        (target, secrets): (StoreTarget, Secrets),
        opener: Arc<dyn StoreOpener>,
        answers: UnboundedSender<(StoreSlot, FromStore)>,
    ) -> std::io::Result<StoreThread> {
        let (requests, inbox) = channel();
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            // An answer that nobody takes means that the engine is gone: the thread ends with it.
            let answer = |message| answers.send((slot, message)).is_ok();
            let work = || match opener.open(&target, &secrets) {
                Ok(store) => {
                    if answer(FromStore::Opened(Ok(()))) {
                        serve(store, &inbox, answer);
                    }
                }
                Err(error) => {
                    answer(FromStore::Opened(Err(error)));
                }
            };
            // A store that fell silent would leave its runs waiting for ever. Its transaction was
            // rolled back and its lock given up as the panic went through it.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                answer(FromStore::Broken(panicked(&target, &*panic)));
            }
            answer(FromStore::Closed);
        })?;
        Ok(StoreThread { requests: Some(requests), thread: Some(thread) })
    }

    /// Asks something. A store that has ended says so by itself, so nothing is reported here.
    pub(crate) fn ask(&self, request: ToStore) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(request);
        }
    }

    /// Asks nothing more: the store finishes what it was asked, is closed, and says so.
    pub(crate) fn close(&mut self) {
        self.requests = None;
    }

    /// Waits for the thread's end: at once, when it has said that it is closed.
    pub(crate) fn join(mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn panicked(target: &StoreTarget, panic: &(dyn Any + Send)) -> StoreError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)");
    let why = format!("it panicked: {text}; this is a bug of syncctl, please report it");
    StoreError::Broken { store: target.to_string(), doing: "write to", why }
}

fn serve(mut store: Box<dyn Store>, inbox: &Receiver<ToStore>, answer: impl Fn(FromStore) -> bool) {
    let mut put_off: Option<ToStore> = None;
    while let Some(request) = put_off.take().or_else(|| inbox.recv().ok()) {
        let message = match request {
            ToStore::Begin(begin) => {
                FromStore::Begun { slot: begin.slot, begun: run_begin(store.as_mut(), &begin) }
            }
            ToStore::Write(mut entries) => {
                put_off = take_queued(inbox, &mut entries);
                if put_off.is_none() && is_drizzle(&entries) {
                    std::thread::sleep(LINGER);
                    put_off = take_queued(inbox, &mut entries);
                }
                match store.commit(entries) {
                    Ok(results) => FromStore::Committed(results),
                    Err(error) => {
                        answer(FromStore::Broken(error));
                        return;
                    }
                }
            }
            ToStore::Load { slot, run, spec, after, limit, chains } => {
                match load(store.as_mut(), run, spec, after, limit, chains) {
                    Ok((tasks, chains)) => FromStore::Loaded { slot, spec, tasks, chains },
                    Err(error) => {
                        answer(FromStore::Broken(error));
                        return;
                    }
                }
            }
            ToStore::Rows { slot, run, parent, child, foreach, after, limit } => {
                match store.rows(run, parent, after, limit) {
                    Ok(rows) => FromStore::Rows { slot, child, foreach, rows },
                    Err(error) => {
                        answer(FromStore::Broken(error));
                        return;
                    }
                }
            }
        };
        if !answer(message) {
            return;
        }
    }
}

/// Adds what has queued meanwhile; gives back the first request that is not a write.
fn take_queued(inbox: &Receiver<ToStore>, entries: &mut Vec<Entry>) -> Option<ToStore> {
    loop {
        match inbox.try_recv() {
            Ok(ToStore::Write(more)) => entries.extend(more),
            Ok(other) => return Some(other),
            Err(_) => return None,
        }
    }
}

/// Many small Landings in short order: a sync each few of them would cost more than landing them.
fn is_drizzle(entries: &[Entry]) -> bool {
    let rows = |entry: &Entry| match entry {
        Entry::Land(landing) => landing.result.as_ref().map_or(0, RecordBatch::all_rows),
        _ => 0,
    };
    entries.len() >= DRIZZLE && entries.iter().map(rows).sum::<u64>() < DRIZZLE_ROWS
}

fn run_begin(store: &mut dyn Store, begin: &Begin) -> Result<Begun, StoreError> {
    store.begin(&BeginRequest {
        plan: &begin.plan,
        specs: begin.specs.clone(),
        resume: begin.resume,
        full_refresh: begin.full_refresh,
        work: begin.work,
        frozen: begin.frozen.clone(),
        now: begin.now,
    })
}

type Loaded = (Vec<Task>, Vec<(TaskId, Vec<Position>)>);

fn load(
    store: &mut dyn Store,
    run: RunId,
    spec: SpecIndex,
    after: TaskId,
    limit: usize,
    with_chains: bool,
) -> Result<Loaded, StoreError> {
    let tasks = store.open_tasks(run, spec, after, limit)?;
    let mut chains = Vec::new();
    if with_chains {
        for task in tasks.iter().filter(|task| task.page.number > 1) {
            chains.push((task.chain, store.chain_positions(run, task.chain)?));
        }
    }
    Ok((tasks, chains))
}
