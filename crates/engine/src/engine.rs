//! The handle: methods that send a command to the driver and wait for its answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use entities::{
    EngineEvent, PlanName, PlanState, PlanStatus, ResumeMode, RunReport, Secrets, StoreOpener, SyncPlan,
    Work, WorkerFactory, WorkerStatus,
};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::EngineError;
use crate::driver::{Command, Driver, NewPlan, Verb};

/// What an engine is made of.
pub struct EngineConfig {
    /// Workers in the pool.
    pub workers: u32,
    /// Of them a run has at most so many, whatever its plan says: where plans come and go, answers that
    /// never come must not leave the others without workers.
    pub workers_per_run: u32,
    /// Makes workers.
    pub factory: Arc<dyn WorkerFactory>,
    /// Opens stores.
    pub stores: Arc<dyn StoreOpener>,
    /// The directory budgets are kept in (`$XDG_STATE_HOME/syncctl`); none keeps them in memory only.
    pub state_dir: Option<PathBuf>,
    /// The clock: the wall clock at start plus the time since, sleep included where the system tells it; it never
    /// goes back.
    pub clock: Arc<dyn Fn() -> entities::Moment + Send + Sync>,
}

/// How a plan is to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Only these tasks and their ancestors; empty: all.
    pub tasks: Vec<String>,
    /// What to do about an unfinished run.
    pub resume: ResumeMode,
    /// Ignore cursors.
    pub full_refresh: bool,
    /// What of the plan a new run does.
    pub work: Work,
    /// Each task sends so many requests in this start and no more, and then ends: for a look at what
    /// an API answers, into a store that is thrown away.
    pub requests_per_task: Option<u64>,
    /// The longest wait a limit may ask for; a longer one ends the run as paused.
    pub wait: Duration,
}

/// What the engine is doing.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EngineStatus {
    /// By plan, in the order they were added.
    pub plans: Vec<PlanStatus>,
    /// The pool.
    pub workers: Vec<WorkerStatus>,
}

/// The engine. Dropping it without [`shutdown`](Self::shutdown) stops it at once; runs stay resumable.
pub struct SyncEngine {
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<EngineEvent>,
    /// Holds the driver; dropping it aborts the driver.
    driver: JoinSet<()>,
}

impl SyncEngine {
    /// Starts the engine's driver on the current tokio runtime.
    pub fn new(config: EngineConfig) -> SyncEngine {
        let (commands, inbox) = mpsc::channel(16);
        let (events, _) = broadcast::channel(4096);
        let driver = Driver::new(config, inbox, events.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        SyncEngine { commands, events, driver: tasks }
    }

    /// Adds a plan; it is idle until started.
    pub async fn add_plan(
        &self,
        plan: SyncPlan,
        secrets: Secrets,
        options: RunOptions,
    ) -> Result<PlanName, EngineError> {
        let plan = Box::new(NewPlan { plan, secrets, options });
        self.ask(|reply| Command::Add { plan, reply }).await?
    }

    /// Removes a plan: its queued tasks go, its workers are freed, its unfinished run stays resumable in the store.
    pub async fn remove_plan(&self, plan: &PlanName) -> Result<(), EngineError> {
        self.ask_of(plan, Verb::Remove).await
    }

    /// Opens the plan's store, and the file of budgets if it is the engine's first start, and begins a run, or
    /// resumes the unfinished one.
    pub async fn start(&self, plan: &PlanName) -> Result<(), EngineError> {
        self.ask_of(plan, Verb::Start).await
    }

    /// Nothing new is sent; what is in flight lands.
    pub async fn pause(&self, plan: &PlanName) -> Result<(), EngineError> {
        self.ask_of(plan, Verb::Pause).await
    }

    /// Goes on after a pause.
    pub async fn resume(&self, plan: &PlanName) -> Result<(), EngineError> {
        self.ask_of(plan, Verb::Resume).await
    }

    /// Stops the run, resumable. When this returns nothing more of it lands.
    pub async fn cancel(&self, plan: &PlanName) -> Result<(), EngineError> {
        self.ask_of(plan, Verb::Cancel).await
    }

    /// Lets what is in flight finish and land, then stops the run, resumable. Returns at once; see
    /// [`wait`](Self::wait).
    pub async fn drain(&self, plan: &PlanName) -> Result<(), EngineError> {
        self.ask_of(plan, Verb::Drain).await
    }

    /// Starts every plan that is not running.
    pub async fn start_all(&self) -> Result<(), EngineError> {
        for plan in self.status().await?.plans.into_iter().filter(|plan| !is_live(plan.state)) {
            match self.start(&plan.plan).await {
                // It was started, or is being cancelled, by somebody else.
                Ok(()) | Err(EngineError::WrongState { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Cancels every plan that is running.
    pub async fn cancel_all(&self) -> Result<(), EngineError> {
        for plan in self.status().await?.plans.into_iter().filter(|plan| is_live(plan.state)) {
            match self.cancel(&plan.plan).await {
                // It ended by itself in between.
                Ok(()) | Err(EngineError::WrongState { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What it is doing, now.
    pub async fn status(&self) -> Result<EngineStatus, EngineError> {
        self.ask(|reply| Command::Status { reply }).await
    }

    /// Events from now on. A receiver that is too slow misses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<EngineEvent> {
        self.events.subscribe()
    }

    /// Waits until the plan's run has ended (or returns the report of the run that did).
    pub async fn wait(&self, plan: &PlanName) -> Result<RunReport, EngineError> {
        let plan = plan.clone();
        self.ask(|reply| Command::Wait { plan, reply }).await?
    }

    /// Drains all plans, closes the stores, gives budgets back.
    pub async fn shutdown(mut self) {
        // If the driver is gone already, there is nothing left to shut down.
        let _ = self.ask(|reply| Command::Shutdown { reply }).await;
        while self.driver.join_next().await.is_some() {}
    }

    async fn ask_of(&self, plan: &PlanName, verb: Verb) -> Result<(), EngineError> {
        let plan = plan.clone();
        self.ask(|reply| Command::Do { plan, verb, reply }).await?
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| EngineError::Closed)?;
        answer.await.map_err(|_| EngineError::Closed)
    }
}

fn is_live(state: PlanState) -> bool {
    matches!(state, PlanState::Running | PlanState::Paused | PlanState::Draining)
}
