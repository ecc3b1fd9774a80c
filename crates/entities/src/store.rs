//! The trait Store: ledger and tables, and the one operation that changes both: commit.

use serde_json::{Map, Value};

use crate::{
    Failure, Landing, Moment, PlanName, RunId, Secrets, SpecIndex, StoreTarget, SyncPlan, Task, TaskId, Vars,
};

/// What `run` was told to do about an unfinished run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeMode {
    /// Resume it if the plan is unchanged, else refuse with [`StoreError::PlanChanged`].
    Auto,
    /// Resume it; specs that changed start over.
    Resume,
    /// As [`Resume`](Self::Resume), but begin nothing: [`StoreError::NothingUnfinished`] if there is none. For whoever
    /// began a run and does not know whether it came to its end.
    Only,
    /// Undo it and begin anew.
    Fresh,
}

/// What of a plan a new run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Work {
    /// What earlier runs owe, then everything.
    #[default]
    All,
    /// `syncctl retry`: only the requests that failed in the last finished run.
    Failed,
}

/// What is frozen when a run begins and reused when it is resumed.
#[derive(Clone, Debug, PartialEq)]
pub struct Frozen {
    /// `{{ now }}`
    pub now: Moment,
    /// `{{ vars }}`
    pub vars: Vars,
}

/// Asks for a run of a plan.
#[derive(Clone, Debug)]
pub struct BeginRequest<'a> {
    /// The plan.
    pub plan: &'a SyncPlan,
    /// The specs to run (a run of some tasks takes their ancestors along); all others keep still.
    pub specs: Vec<SpecIndex>,
    /// What to do about an unfinished run.
    pub resume: ResumeMode,
    /// `--full-refresh`: cursors are ignored (not lost).
    pub full_refresh: bool,
    /// What of the plan to do.
    pub work: Work,
    /// What to freeze if the run is new.
    pub frozen: Frozen,
    /// Now.
    pub now: Moment,
}

/// A run that may go on.
#[derive(Debug)]
pub struct Begun {
    /// The run.
    pub run: RunId,
    /// It was begun earlier and not finished.
    pub resumed: bool,
    /// What was frozen when it began.
    pub frozen: Frozen,
    /// How far each spec is, for the specs of this run, in the plan's order.
    pub specs: Vec<SpecProgress>,
    /// The first task id of the run: a slice whose head is older is what an earlier run owes, and has
    /// opened the slices behind it then.
    pub first_task: TaskId,
    /// The first task id that is free; ids from here on are the engine's to give out.
    pub next_task: TaskId,
    /// What changed in the plan since the run began, for people; empty if nothing did.
    pub changed: Vec<String>,
}

/// How far a spec of a run is.
#[derive(Debug)]
pub struct SpecProgress {
    /// The spec.
    pub spec: SpecIndex,
    /// It ended in this run.
    pub ended: bool,
    /// Every combination below this one is done.
    pub watermark: u64,
    /// Combinations at or above the watermark that are done or open in the ledger, ascending:
    /// not to be expanded again.
    pub beyond: Vec<u64>,
    /// Tasks open in the ledger (follow-ups and children).
    pub open: u64,
    /// Requests done, of them failed and skipped, and records landed, in this run so far.
    pub done: u64,
    /// Of them failed.
    pub failed: u64,
    /// Of them skipped.
    pub skipped: u64,
    /// Records landed.
    pub records: u64,
    /// Combinations whose failed pages of an earlier run are open again in this one: their own first
    /// page must wait until the store says that they are settled ([`Committed::settled`]), since the
    /// cursor it begins at is theirs to move. Not for specs whose windows go on from the cursor.
    pub held_back: Vec<String>,
    /// Of the open tasks, those that must wait in the same way: children of such a combination that have
    /// not been sent.
    pub waiting: Vec<TaskId>,
    /// Cursor values at the start, by combination ([`Landing::combination_of`](crate::Landing::combination_of)).
    /// Empty for specs without cursor, and under `--full-refresh`.
    pub cursors: Vec<(String, Value)>,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Finished, every task done.
    Complete,
    /// Finished, some tasks failed: they are debts.
    Failed,
    /// Stopped, resumable: interrupted or cancelled.
    Interrupted,
    /// Stopped, resumable: a limit asks for a longer wait than allowed.
    Paused,
}

impl RunEnd {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            RunEnd::Complete => "complete",
            RunEnd::Failed => "failed",
            RunEnd::Interrupted => "interrupted",
            RunEnd::Paused => "paused",
        }
    }
}

/// A run that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedRun {
    /// The run.
    pub run: RunId,
    /// [`RunEnd::Complete`] or [`RunEnd::Failed`].
    pub end: RunEnd,
    /// What its specs have done, by name.
    pub specs: Vec<(String, FinishedSpec)>,
}

/// What a spec of a finished run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinishedSpec {
    /// Requests done.
    pub done: u64,
    /// Of them failed.
    pub failed: u64,
    /// Of them skipped.
    pub skipped: u64,
    /// Records landed.
    pub records: u64,
}

/// What a store is asked to write, in the order in which it must become true.
#[derive(Debug)]
pub enum Entry {
    /// An executed task.
    Land(Box<Landing>),
    /// A spec has no task left. `failed`: how many of its tasks, or of its ancestors', failed.
    /// A replace table is swapped in if none did; else its old content stays.
    EndSpec {
        /// The run.
        run: RunId,
        /// The spec.
        spec: SpecIndex,
        /// Failed tasks of the spec and its ancestors.
        failed: u64,
        /// The ids set aside for what is left of its children's batches: one for each spec that this
        /// one drives, in the plan's order.
        first_child: TaskId,
    },
    /// The run has ended.
    EndRun {
        /// The run.
        run: RunId,
        /// How.
        end: RunEnd,
        /// When.
        at: Moment,
    },
}

/// What became of one entry, in the order of the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Children that were opened, by spec.
    pub children: Vec<(SpecIndex, u64)>,
    /// Rows written (new or changed or added).
    pub rows: u64,
    /// Records that were not landed, because the run before landed them: an incremental append got
    /// the records at its cursor again.
    pub dropped: u64,
    /// The combination of the landing was held back ([`SpecProgress::held_back`]) and is not any more:
    /// nothing that an earlier run owed it is open.
    pub settled: Option<Settled>,
    /// Set when the store could not hold a record: the landing was written as this failure; no row
    /// and no child of it is there. Its follow-ups are opened all the same: they may be in flight
    /// already, and the pages behind are not the culprits.
    pub failed: Option<Failure>,
}

/// What became of what was owed for a combination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The combination ([`Landing::combination_of`](crate::Landing::combination_of)).
    pub combination: String,
    /// Its cursor now, if it has one.
    pub cursor: Option<Value>,
    /// Something of it failed again, and asking for everything since the cursor once more would append
    /// rows that are there: the combination sits this run out.
    pub sits_out: bool,
}

/// Why a store cannot go on. All of these end the run; nothing that was reported committed is lost.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("{store} is in use by {holder}")]
    Locked {
        /// The store.
        store: String,
        /// The process that has it: "syncctl run plan.toml (pid 123, since …)".
        holder: String,
    },
    /// An unfinished run was made by another version of the plan.
    #[error("run {run} of plan {plan} is unfinished, and the plan has changed since: {}", changed.join("; "))]
    PlanChanged {
        /// The plan.
        plan: PlanName,
        /// The unfinished run.
        run: RunId,
        /// What changed.
        changed: Vec<String>,
    },
    /// A table belongs to another plan, or was not made by us.
    #[error("table `{table}` belongs to {owner}")]
    Foreign {
        /// The table.
        table: String,
        /// Who has it.
        owner: String,
    },
    /// Another process has taken it from this one, which was silent for too long (a machine that slept, a
    /// connection that broke): nothing of what this one had not committed by then lands.
    #[error("{store} was taken over by {holder}")]
    TakenOver {
        /// The store.
        store: String,
        /// Who has it now.
        holder: String,
    },
    /// A newer syncctl wrote it.
    #[error("{store} was written by a newer syncctl (ledger version {found}, this one knows {known})")]
    TooNew {
        /// The store.
        store: String,
        /// Its ledger's version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// [`Work::Failed`] with nothing that failed.
    #[error("plan {plan} has nothing to retry: no request of its last finished run has failed")]
    NothingToRetry {
        /// The plan.
        plan: PlanName,
    },
    /// [`ResumeMode::Only`] with nothing that is unfinished.
    #[error("plan {plan} has no unfinished run")]
    NothingUnfinished {
        /// The plan.
        plan: PlanName,
        /// Its last run.
        last: Option<Box<FinishedRun>>,
    },
    /// [`Work::Failed`] while a run of another kind is unfinished: what failed in it is its own to say.
    #[error("run {run} of plan {plan} is unfinished: nothing can be retried before it has ended")]
    Unfinished {
        /// The plan.
        plan: PlanName,
        /// The unfinished run.
        run: RunId,
    },
    /// The disk, the file, the database.
    #[error("cannot {doing} {store}: {why}")]
    Broken {
        /// The store.
        store: String,
        /// "open", "write to", "read"
        doing: &'static str,
        /// The system's words.
        why: String,
    },
}

/// A row of a table and its number, which grows in the order in which rows came.
pub type NumberedRow = (u64, Map<String, Value>);

/// Ledger and tables. One thread owns it; every method is one transaction and durable on return.
pub trait Store: Send {
    /// Begins a run, or resumes the unfinished one.
    fn begin(&mut self, request: &BeginRequest<'_>) -> Result<Begun, StoreError>;

    /// Writes entries in one transaction: rows, task → done, follow-ups and children opened,
    /// watermarks, cursors, swaps. On error nothing of it is there.
    ///
    /// A child is opened if its record's row is new or differs from the row held, or if the child's
    /// own mode or its parent's is `replace` or `mirror` (a full copy needs every record), or the parent has no
    /// key, or the child's spec is new in the plan; not if the run makes the same request anyway,
    /// because it was owed. A record that the store cannot hold fails its task ([`FailureKind::Record`](crate::FailureKind::Record)),
    /// and only that: of the landing the failure and the follow-up tasks are written.
    fn commit(&mut self, entries: Vec<Entry>) -> Result<Vec<Committed>, StoreError>;

    /// Rows of a spec's table in ascending order of their row's number, from the first above `after` on,
    /// at most `limit`: what drives children that want `all` rows. Fields have the names they had in the
    /// records; JSON columns are values again.
    fn rows(
        &mut self,
        run: RunId,
        spec: SpecIndex,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedRow>, StoreError>;

    /// Open tasks of a spec in a run with ids above `after`, ascending, at most `limit`.
    fn open_tasks(
        &mut self,
        run: RunId,
        spec: SpecIndex,
        after: TaskId,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError>;

    /// The positions a chain has asked for so far, for the guard against loops.
    fn chain_positions(&mut self, run: RunId, chain: TaskId) -> Result<Vec<crate::Position>, StoreError>;
}

/// Opens stores; the one place that knows which kinds there are.
pub trait StoreOpener: Send + Sync {
    /// Opens or creates a store and takes its lock. `secrets`: those of the plan, for a store that asks who we are.
    fn open(&self, target: &StoreTarget, secrets: &Secrets) -> Result<Box<dyn Store>, StoreError>;
}
