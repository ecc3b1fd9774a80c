//! One slot of the pool: a worker that is idle, busy with a job, or being replaced.
//!
//! Not here: which slot gets a job, and the tasks that run (`pool.rs`).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use entities::{
    Execution, Failure, FailureClass, FailureKind, Job, Moment, Outcome, Worker, WorkerFactory, WorkerId,
    WorkerStatus,
};
use tokio::task::AbortHandle;

/// A slot. Its worker may be replaced; its number stays.
pub(crate) struct Slot {
    pub(crate) id: WorkerId,
    pub(crate) state: State,
    /// Grows when a job is taken away from its task, so that what the task still returns is known
    /// to be stale.
    pub(crate) generation: u64,
    pub(crate) restarts: u32,
}

/// What a slot is doing.
pub(crate) enum State {
    Idle(Box<dyn Worker>),
    Busy(Busy),
    /// No worker: the factory could not make one.
    Restarting,
}

/// A job that a task of the pool executes; the worker is in the task.
pub(crate) struct Busy {
    /// Shared with the task, so that the job survives a panic without having been copied.
    pub(crate) job: Arc<Job>,
    pub(crate) since: Moment,
    /// `since` + the hard limit.
    pub(crate) deadline: Moment,
    pub(crate) abort: AbortHandle,
}

impl Slot {
    pub(crate) fn new(id: WorkerId) -> Self {
        Slot { id, state: State::Restarting, generation: 0, restarts: 0 }
    }

    /// Gives the slot a fresh worker. False if the factory panicked.
    pub(crate) fn renew(&mut self, factory: &dyn WorkerFactory) -> bool {
        let id = self.id;
        match catch_unwind(AssertUnwindSafe(|| factory.worker(id))) {
            Ok(worker) => {
                self.state = State::Idle(worker);
                true
            }
            Err(panic) => {
                tracing::error!(worker = id.0, "cannot make a worker: {}", panic_text(&*panic));
                self.state = State::Restarting;
                false
            }
        }
    }

    /// Takes the job away from a busy slot's task and stops the task.
    pub(crate) fn take_job(&mut self) -> Option<Busy> {
        match std::mem::replace(&mut self.state, State::Restarting) {
            State::Busy(busy) => {
                busy.abort.abort();
                self.generation += 1;
                Some(busy)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    pub(crate) fn status(&self, now: Moment) -> WorkerStatus {
        let (state, doing, since) = match &self.state {
            State::Idle(_) => ("idle", None, None),
            State::Restarting => ("restarting", None, None),
            State::Busy(busy) => ("busy", Some(describe(&busy.job)), Some(now.since(busy.since))),
        };
        WorkerStatus { id: self.id, state, doing, since, restarts: self.restarts }
    }
}

/// "plan/task", and the phase.
fn describe(job: &Job) -> String {
    let plan = &job.context.plan;
    let spec = plan.tasks.get(job.task.spec.0 as usize).map_or("?", |spec| &spec.name);
    format!("{}/{spec}, {}", plan.name, job.phase.get().as_str())
}

/// What a worker's panic amounts to.
pub(crate) fn panicked(text: &str, sent: Moment, now: Moment) -> Execution {
    let failure = Failure::new(FailureClass::Bug, FailureKind::Panic, format!("the worker panicked: {text}"))
        .help("this is a bug of syncctl; please report it with the plan");
    execution(failure, sent, now)
}

/// What a worker that hung amounts to.
pub(crate) fn hung(since: Moment, now: Moment, total: Duration) -> Execution {
    let failure = Failure::new(
        FailureClass::Bug,
        FailureKind::Hung,
        format!(
            "the worker made no end of it for {:.0} s, past its total time-out of {:.0} s",
            now.since(since).as_secs_f64(),
            total.as_secs_f64()
        ),
    )
    .help("this is a bug of syncctl; please report it with the plan");
    execution(failure, since, now)
}

fn execution(failure: Failure, sent: Moment, now: Moment) -> Execution {
    Execution {
        outcome: Outcome::Failed(failure),
        sent,
        answered: now,
        finished: now,
        status: None,
        bytes: 0,
        news: None,
    }
}

/// The text of a panic, as far as it has one.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "(no text)"
    }
}
