//! The trait Worker: who executes one task; what it is given and what it gives back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::{
    Bindings, Failure, Landed, LimitNews, Moment, RunId, Secrets, SpecIndex, SyncPlan, Task, Vars, WorkerId,
};

/// What all tasks of one run share. `now` and `vars` are frozen when the run starts.
#[derive(Debug)]
pub struct RunContext {
    /// The run.
    pub run: RunId,
    /// The plan.
    pub plan: Arc<SyncPlan>,
    /// Its secrets.
    pub secrets: Secrets,
    /// What `{{ now }}` stands for.
    pub now: Moment,
    /// What `{{ vars.… }}` stands for.
    pub vars: Vars,
}

/// One granted request.
#[derive(Clone, Debug)]
pub struct Job {
    /// What the run's tasks share.
    pub context: Arc<RunContext>,
    /// What to ask for.
    pub task: Task,
    /// From 1.
    pub attempt: u32,
    /// Set when the last answer was a redirect or the like: what to send instead.
    pub hop: Option<Hop>,
    /// Where the worker says what it is doing.
    pub phase: PhaseCell,
}

/// A request that another answer asked for; it took a grant of its own.
#[derive(Clone, PartialEq, Eq)]
pub enum Hop {
    /// A redirect's target, and how many there were so far. `get` when the method becomes GET.
    Redirect {
        /// The absolute URL; may hold secrets, so it is never shown.
        url: String,
        /// Redirects followed for this task so far, this one included.
        count: u32,
        /// 303 (and 301, 302 of a POST): the hop is a GET without a body.
        get: bool,
        /// It has left the endpoint's origin: nothing of the plan goes along any more, not even when
        /// it leads back.
        bare: bool,
        /// As in [`Hop::Renewed`].
        renewed: u32,
    },
    /// The task's own request takes another grant: this one went into a new token, or into learning
    /// (by a 401) that a new one is needed.
    Renewed {
        /// How often the API has refused this task's token; 0: there was no good one yet.
        count: u32,
    },
}

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hop::Redirect { url: _, count, get, bare, renewed } => f
                .debug_struct("Redirect")
                .field("url", &"***")
                .field("count", count)
                .field("get", get)
                .field("bare", bare)
                .field("renewed", renewed)
                .finish(),
            Hop::Renewed { count } => f.debug_struct("Renewed").field("count", count).finish(),
        }
    }
}

/// What came of one request.
#[derive(Debug)]
pub struct Execution {
    /// What it means.
    pub outcome: Outcome,
    /// When the request was sent.
    pub sent: Moment,
    /// When the answer's head came, or the loss was noticed: a token is given back a window later.
    pub answered: Moment,
    /// When all was read.
    pub finished: Moment,
    /// The answer's status.
    pub status: Option<u16>,
    /// Body bytes received, as they came over the wire.
    pub bytes: u64,
    /// What the answer said about limits, if it said anything.
    pub news: Option<Box<LimitNews>>,
}

/// What an answer means for its task.
#[derive(Debug)]
pub enum Outcome {
    /// A good answer, read.
    Landed(Box<Landed>),
    /// Try again: uses up an attempt.
    Retry {
        /// Why.
        failure: Failure,
        /// Not before this long from now, if the answer says so; until then nobody on the budget sends.
        after: Option<Duration>,
    },
    /// A limit: nobody on the budget sends until then. Uses up no attempt.
    Wait {
        /// Why.
        failure: Failure,
        /// How long, if the answer says so; never to be shortened.
        how_long: Option<Duration>,
    },
    /// Another request must be made for this task: needs a grant of its own.
    Hop(Hop),
    /// The task has failed for good.
    Failed(Failure),
}

/// What a worker is doing right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nothing.
    Idle = 0,
    /// Building the request, connecting, sending.
    Sending = 1,
    /// Waiting for the answer's head.
    Waiting = 2,
    /// Receiving the body.
    Receiving = 3,
    /// Reading the records.
    Decoding = 4,
    /// Waiting for what this process is short of: memory for the answer, or a processor to read it. No time-out
    /// counts that.
    Queued = 5,
}

impl Phase {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Sending => "sending",
            Phase::Waiting => "waiting for the answer",
            Phase::Receiving => "receiving",
            Phase::Decoding => "decoding",
            Phase::Queued => "waiting for its turn",
        }
    }
}

/// A worker's phase, written by the worker and read by the supervisor.
#[derive(Clone, Debug, Default)]
pub struct PhaseCell(Arc<AtomicU8>);

impl PhaseCell {
    /// Says what the worker is doing.
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    /// What the worker said last.
    pub fn get(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            1 => Phase::Sending,
            2 => Phase::Waiting,
            3 => Phase::Receiving,
            4 => Phase::Decoding,
            5 => Phase::Queued,
            _ => Phase::Idle,
        }
    }
}

/// Executes tasks of any plan, one at a time.
///
/// It sends exactly the one request it was granted: no retry, no redirect, no token renewal of its
/// own. It may be dropped at any await point.
pub trait Worker: Send {
    /// Executes one job.
    fn execute<'a>(&'a mut self, job: &'a Job) -> Pin<Box<dyn Future<Output = Execution> + Send + 'a>>;
}

/// Makes workers; what they share (connections, compiled plans) is the factory's.
pub trait WorkerFactory: Send + Sync {
    /// A fresh worker for a slot of the pool.
    fn worker(&self, id: WorkerId) -> Box<dyn Worker>;

    /// Compiles what a run's tasks need, so that a plan that cannot run fails before its first request.
    fn prepare(&self, context: &Arc<RunContext>) -> Result<(), Failure>;

    /// What a name of a child that wants `all` rows is bound to, given a row of that table; none if its
    /// `where` leaves the row out. `foreach`: the name's place among the child's. For runs that have been
    /// prepared.
    fn drive(
        &self,
        context: &Arc<RunContext>,
        child: SpecIndex,
        foreach: usize,
        row: Map<String, Value>,
    ) -> Result<Option<Bindings>, Failure>;

    /// Forgets what [`prepare`](Self::prepare) made for a run.
    fn forget(&self, run: &Arc<RunContext>);
}
