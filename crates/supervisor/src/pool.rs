//! The pool: assigns jobs to idle workers, collects what came of them, replaces the dead.
//!
//! Not here: what to run and when (the engine), limits (rate-limit), HTTP (http-worker).

use std::collections::VecDeque;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use entities::{Execution, Job, Moment, Phase, Worker, WorkerFactory, WorkerId, WorkerStatus};
use futures_util::FutureExt;
use tokio::task::{JoinError, JoinSet};

use crate::slot::{Busy, Slot, State, hung, panic_text, panicked};

/// How long past its total time-out a worker may take before it counts as hung: its own time-out
/// comes first, if it works at all.
pub const GRACE: Duration = Duration::from_secs(5);

/// How long [`Supervisor::shutdown`] waits for workers that do not let themselves be stopped.
const FAREWELL: Duration = Duration::from_secs(2);

/// Tells the time. The engine's clock; read only when a worker panicked.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// One finished job.
#[derive(Debug)]
pub struct Done {
    /// Who executed it.
    pub worker: WorkerId,
    /// What was asked for.
    pub job: Arc<Job>,
    /// What came of it.
    pub execution: Box<Execution>,
    /// Why the worker was replaced, if it was.
    pub restarted: Option<String>,
}

/// The worker pool. Belongs to one driver; needs a tokio runtime around it.
///
/// Dropping it aborts everything.
pub struct Supervisor {
    factory: Arc<dyn WorkerFactory>,
    clock: Clock,
    slots: Vec<Slot>,
    /// Slots with an idle worker; the last used is used first, for its warm caches.
    idle: Vec<u32>,
    busy: usize,
    /// When the hard limits were last looked at.
    checked: Option<Moment>,
    running: JoinSet<Returned>,
    /// Finished without their task: hung.
    ready: VecDeque<Done>,
}

/// What a task of the pool returns.
struct Returned {
    slot: u32,
    generation: u64,
    ended: Result<(Box<dyn Worker>, Box<Execution>), String>,
}

impl Supervisor {
    /// A pool of `workers` (at least one) fresh workers.
    pub fn new(factory: Arc<dyn WorkerFactory>, workers: u32, clock: Clock) -> Self {
        let workers = workers.max(1);
        let mut pool = Supervisor {
            factory,
            clock,
            slots: (0..workers).map(|n| Slot::new(WorkerId(n))).collect(),
            idle: Vec::with_capacity(workers as usize),
            busy: 0,
            checked: None,
            running: JoinSet::new(),
            ready: VecDeque::new(),
        };
        pool.revive();
        // The lowest number is on top.
        pool.idle.reverse();
        pool
    }

    /// How many workers could take a job.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// How many jobs are assigned and have not come back yet; a worker that was replaced may be
    /// idle again while its old job still waits to be taken from [`next`](Self::next).
    pub fn busy(&self) -> usize {
        self.busy + self.ready.len()
    }

    /// Gives a job to an idle worker; gives it back if there is none. `total` is the hard limit
    /// from `now` for the whole job; [`check_liveness`](Self::check_liveness) enforces it.
    ///
    /// Must be called within a tokio runtime.
    pub fn assign(&mut self, job: Arc<Job>, now: Moment, total: Duration) -> Result<WorkerId, Arc<Job>> {
        let Some((number, worker)) = self.take_idle() else { return Err(job) };
        let slot = &mut self.slots[number as usize];
        let work = execute(number, slot.generation, worker, Arc::clone(&job));
        let abort = self.running.spawn(work);
        slot.state = State::Busy(Busy { job, since: now, deadline: now + total, abort });
        self.busy += 1;
        Ok(slot.id)
    }

    /// The next finished job; waits forever when nothing is assigned. Cancel-safe.
    pub async fn next(&mut self) -> Done {
        loop {
            if let Some(done) = self.ready.pop_front() {
                return done;
            }
            match self.running.join_next().await {
                Some(joined) => {
                    if let Some(done) = self.collect(joined) {
                        return done;
                    }
                }
                None => return pending().await,
            }
        }
    }

    /// A job that has finished already, if there is one.
    pub fn try_next(&mut self) -> Option<Done> {
        if let Some(done) = self.ready.pop_front() {
            return Some(done);
        }
        loop {
            let joined = self.running.try_join_next()?;
            if let Some(done) = self.collect(joined) {
                return Some(done);
            }
        }
    }

    /// Replaces workers that are busy past their hard limit and [`GRACE`]; their jobs come out of
    /// [`next`](Self::next) as failures of kind `hung`. To be called about once a second. A worker that waits for
    /// its turn has so much longer.
    pub fn check_liveness(&mut self, now: Moment) {
        let passed = self.checked.map_or(Duration::ZERO, |checked| now.since(checked));
        self.checked = Some(now);
        for number in 0..self.slots.len() {
            let slot = &mut self.slots[number];
            if let State::Busy(busy) = &mut slot.state
                && busy.job.phase.get() == Phase::Queued
            {
                busy.deadline = busy.deadline + passed.min(now.since(busy.since));
                continue;
            }
            let late = matches!(&slot.state, State::Busy(busy) if now > busy.deadline + GRACE);
            if !late {
                continue;
            }
            let Some(Busy { job, since, deadline, .. }) = slot.take_job() else { continue };
            self.busy -= 1;
            let (worker, total) = (slot.id, deadline.since(since));
            let phase = job.phase.get().as_str();
            self.replace(number);
            self.ready.push_back(Done {
                worker,
                job,
                execution: Box::new(hung(since, now, total)),
                restarted: Some(format!("hung while {phase}")),
            });
        }
        self.revive();
    }

    /// All jobs have so much longer: the machine slept, or this process was stopped, and no worker's own
    /// time-out ran meanwhile.
    pub fn postpone(&mut self, by: Duration) {
        for slot in &mut self.slots {
            if let State::Busy(busy) = &mut slot.state {
                busy.deadline = busy.deadline + by;
            }
        }
    }

    /// Stops the jobs that `which` names, at once, and gives them back: they never come out of
    /// [`next`](Self::next), even if they had finished already, and their slots get fresh
    /// workers. Their requests may have been sent: what they took of a limit stays taken.
    pub fn abort(&mut self, mut which: impl FnMut(&Job) -> bool) -> Vec<Arc<Job>> {
        let mut aborted = Vec::new();
        for number in 0..self.slots.len() {
            let slot = &mut self.slots[number];
            if matches!(&slot.state, State::Busy(busy) if which(&busy.job))
                && let Some(busy) = slot.take_job()
            {
                self.busy -= 1;
                aborted.push(busy.job);
                self.refill(number);
            }
        }
        for _ in 0..self.ready.len() {
            let Some(done) = self.ready.pop_front() else { break };
            if which(&done.job) {
                aborted.push(done.job);
            } else {
                self.ready.push_back(done);
            }
        }
        aborted
    }

    /// What every worker is doing.
    pub fn status(&self, now: Moment) -> Vec<WorkerStatus> {
        self.slots.iter().map(|slot| slot.status(now)).collect()
    }

    /// Stops everything and waits until it has stopped. Jobs that were assigned are lost.
    pub async fn shutdown(&mut self) {
        self.abort(|_| true);
        self.idle.clear();
        for slot in &mut self.slots {
            slot.state = State::Restarting;
        }
        self.running.abort_all();
        // A worker that blocks its thread never notices; nobody should wait for it forever.
        let all = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("{} workers did not stop in {FAREWELL:?}", self.running.len());
        }
    }

    fn take_idle(&mut self) -> Option<(u32, Box<dyn Worker>)> {
        while let Some(number) = self.idle.pop() {
            let slot = &mut self.slots[number as usize];
            match std::mem::replace(&mut slot.state, State::Restarting) {
                State::Idle(worker) => return Some((number, worker)),
                other => slot.state = other,
            }
        }
        None
    }

    /// Turns what a task returned into a finished job; nothing if the job was taken away from it.
    fn collect(&mut self, joined: Result<Returned, JoinError>) -> Option<Done> {
        // A task ends without a value only when it was aborted; panics are caught inside.
        let Returned { slot: number, generation, ended } = joined.ok()?;
        let slot = self.slots.get_mut(number as usize)?;
        if slot.generation != generation {
            return None;
        }
        let State::Busy(busy) = std::mem::replace(&mut slot.state, State::Restarting) else { return None };
        let worker = slot.id;
        self.busy -= 1;
        let (execution, restarted) = match ended {
            Ok((kept, execution)) => {
                busy.job.phase.set(Phase::Idle);
                slot.state = State::Idle(kept);
                self.idle.push(number);
                (execution, None)
            }
            Err(text) => {
                self.replace(number as usize);
                (Box::new(panicked(&text, busy.since, (self.clock)())), Some(format!("panicked: {text}")))
            }
        };
        Some(Done { worker, job: busy.job, execution, restarted })
    }

    /// A fresh worker for a slot whose worker died.
    fn replace(&mut self, number: usize) {
        self.slots[number].restarts = self.slots[number].restarts.saturating_add(1);
        self.refill(number);
    }

    fn refill(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        if slot.renew(&*self.factory) {
            self.idle.push(slot.id.0);
        }
    }

    /// Tries again to make the workers that could not be made.
    fn revive(&mut self) {
        for number in 0..self.slots.len() {
            if matches!(self.slots[number].state, State::Restarting) {
                self.refill(number);
            }
        }
    }
}

async fn execute(slot: u32, generation: u64, mut worker: Box<dyn Worker>, job: Arc<Job>) -> Returned {
    // The call itself may panic too, not only the future: hence the block.
    let work = AssertUnwindSafe(async { worker.execute(&job).await });
    let ended = match work.catch_unwind().await {
        // Boxed: it is handed on a dozen times before it is read.
        Ok(execution) => Ok((worker, Box::new(execution))),
        Err(panic) => {
            // What is left of the worker may panic once more when it goes.
            let farewell = catch_unwind(AssertUnwindSafe(|| drop(worker)));
            drop(farewell);
            Err(panic_text(&*panic).to_owned())
        }
    };
    Returned { slot, generation, ended }
}
