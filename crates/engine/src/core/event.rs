//! What the core is told and what it asks for: the closed list.

use std::sync::Arc;
use std::time::Duration;

use entities::{
    Bindings, Committed, EngineEvent, Entry, Failure, Job, Limit, Moment, Position, RunId, RunReport,
    SpecIndex, Task, TaskId,
};
use rate_limit::{GivenUp, Learned};
use supervisor::Done;

use super::{GiveBack, StartedRun};

/// An added plan, by the engine's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PlanSlot(pub(crate) u32);

/// An open store, by the engine's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StoreSlot(pub(crate) u32);

/// Something happened.
pub(crate) enum Event {
    /// The store has begun a plan's run, and all it needs has been compiled.
    Begun { slot: PlanSlot, run: Box<StartedRun> },
    /// A worker has finished.
    Finished(Done),
    /// All jobs of a run were aborted.
    Aborted { slot: PlanSlot },
    /// The oldest entries handed to a store have committed.
    Committed { store: StoreSlot, results: Vec<Committed> },
    /// Open tasks came from the ledger, and the positions their chains have asked for.
    Loaded { slot: PlanSlot, spec: SpecIndex, tasks: Vec<Task>, chains: Vec<(TaskId, Vec<Position>)> },
    /// Rows of a parent's table were read, and what each binds the child's name at that place to.
    Rows { slot: PlanSlot, child: SpecIndex, foreach: usize, rows: DrivenRows },
    /// A store cannot go on; nothing more of it will commit.
    Broken { store: StoreSlot, why: String },
    /// A store is closed; nobody hands it anything any more.
    Closed { store: StoreSlot },
    /// The budgets' file has answered.
    Leased { budget: usize, window: usize, granted: LeaseGranted },
    /// A look into the budgets' file found what other processes did to a budget.
    Shared { budget: usize, news: BudgetNews },
    /// The user wants a pause.
    Pause { slot: PlanSlot },
    /// The user wants it to go on.
    Resume { slot: PlanSlot },
    /// The user wants it to stop after what is in flight.
    Drain { slot: PlanSlot },
    /// The user wants it to stop at once.
    Cancel { slot: PlanSlot },
    /// The run's report has been taken; its state may go.
    Forget { slot: PlanSlot },
}

/// Numbers of rows, and what each binds: nothing if the child's `where` leaves it out.
pub(crate) type DrivenRows = Vec<(u64, Result<Option<Bindings>, Failure>)>;

/// Tokens from the budgets' file.
pub(crate) struct LeaseGranted {
    /// Ours from now on.
    pub(crate) tokens: u32,
    /// Of those, not usable before.
    pub(crate) held: Vec<(Moment, u32)>,
    /// When to ask again, if there were none.
    pub(crate) retry_at: Option<Moment>,
    /// There will be none then, either: those who have them lack some themselves.
    pub(crate) all_lack: bool,
}

/// What other processes of this user did to a budget that we share with them.
#[derive(Default)]
pub(crate) struct BudgetNews {
    /// Until when a server closed it to one of them.
    pub(crate) closed_until: Option<Moment>,
    /// By window, as in [`Watched`](super::Watched).
    pub(crate) windows: Vec<WindowNews>,
    /// All limits that other living processes keep under this budget's key and we do not: one that is
    /// missing is not in force any more.
    pub(crate) limits: Vec<Limit>,
}

/// What they did to one window.
pub(crate) struct WindowNews {
    /// Which.
    pub(crate) window: usize,
    /// How many tokens we keep, since others want some ([`Pool::keep`](rate_limit::Pool::keep)); none: all.
    pub(crate) keep: Option<u32>,
    /// Which of the processes that use it we are, from 0 …
    pub(crate) rank: u32,
    /// … of how many.
    pub(crate) of: u32,
    /// Tokens that the others have leased.
    pub(crate) elsewhere: u32,
    /// Tokens that we could lease of those we want: who was denied some asks again at once.
    pub(crate) free: u32,
    /// What refusals have taught others.
    pub(crate) learned: Option<Learned>,
}

/// Something to do.
pub(crate) enum Action {
    /// Give a job to an idle worker.
    Assign { job: Arc<Job>, total: Duration },
    /// Abort the jobs of a run.
    Abort { slot: PlanSlot },
    /// Hand an entry to a store.
    Write { store: StoreSlot, entry: Entry },
    /// Read open tasks from a store.
    Load {
        store: StoreSlot,
        slot: PlanSlot,
        run: RunId,
        spec: SpecIndex,
        after: TaskId,
        limit: usize,
        chains: bool,
    },
    /// Read rows of a parent's table for a name of a child that wants them all: the one at a place in its
    /// `foreach`.
    ReadRows {
        store: StoreSlot,
        slot: PlanSlot,
        run: RunId,
        parent: SpecIndex,
        child: SpecIndex,
        foreach: usize,
        after: u64,
        limit: usize,
    },
    /// Lease tokens.
    Lease { budget: usize, window: usize, key: String, limit: Limit, want: u32 },
    /// Give tokens back that others want.
    GiveUp { key: String, limit: Limit, given: GivenUp },
    /// No run of ours draws on these windows any more: what of their tokens is not held is others'.
    GiveBack { all: Vec<GiveBack> },
    /// A limit leaves less to others from now on; none: no run of ours has it any more.
    Restate { key: String, limit: Option<Limit> },
    /// Remember beyond this process what refusals have taught.
    Learn { key: String, learned: Learned },
    /// Remember beyond this process that a server closed a budget.
    Close { key: String, until: Moment },
    /// Tell the subscribers.
    Emit(EngineEvent),
    /// A run has ended.
    Ended { slot: PlanSlot, report: Box<RunReport> },
}
