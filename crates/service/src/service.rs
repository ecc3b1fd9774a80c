//! The handle: methods that ask the keeper and wait for its answer.

use std::sync::Arc;

use engine::SyncEngine;
use entities::{PlanName, ResumeMode, StoreTarget, SyncPlan, Work};
use plan::Diagnostic;
use tokio::sync::broadcast;

use crate::{PlanDetail, PlanView, ServiceConfig, ServiceError, ServiceEvent, Snapshot};

/// How a run is to begin.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// Only these tasks and their ancestors; empty: all.
    pub tasks: Vec<String>,
    /// What to do about an unfinished run; `Auto` resumes it, what changed in the plan starts over.
    pub unfinished: ResumeMode,
    /// Ignore cursors.
    pub full_refresh: bool,
    /// Everything, or what failed in the last finished run.
    pub work: Work,
}

/// A text that was read as a plan.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The plan, its store where this server puts it.
    pub plan: SyncPlan,
    /// What its author should know.
    pub warnings: Vec<Diagnostic>,
}

/// What replacing a plan's text changed.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// The plan now.
    pub view: PlanView,
    /// By path, without values: "added [tasks.fills]", "changed endpoints.api.limits", …
    pub changes: Vec<String>,
    /// Tasks that start over, since what they ask for changed.
    pub starts_over: Vec<String>,
    /// What its author should know.
    pub warnings: Vec<Diagnostic>,
}

/// The service. Clones share it.
#[derive(Clone)]
pub struct Service {
    events: broadcast::Sender<Arc<ServiceEvent>>,
}

impl Service {
    /// Opens what lasts, reads its plans, and starts those that are to run. Call it on the engine's runtime.
    pub async fn open(config: ServiceConfig, engine: SyncEngine) -> Result<Service, ServiceError> {
        let _ = (config, engine);
        Err(ServiceError::Closed)
    }

    /// Reads a text as [`add`](Self::add) would; changes nothing.
    pub async fn check(&self, text: String) -> Result<Checked, ServiceError> {
        let _ = text;
        Err(ServiceError::Closed)
    }

    /// Adds a plan. It is durable on return, and idle unless its schedule says otherwise.
    pub async fn add(&self, text: String) -> Result<(PlanView, Vec<Diagnostic>), ServiceError> {
        let _ = text;
        Err(ServiceError::Closed)
    }

    /// Replaces a plan's text. If it runs, what is in flight lands, and it goes on with the new text. `dry_run`: only
    /// says what would change.
    pub async fn replace(
        &self,
        name: &PlanName,
        text: String,
        dry_run: bool,
    ) -> Result<Replaced, ServiceError> {
        let _ = (name, text, dry_run);
        Err(ServiceError::Closed)
    }

    /// Removes a plan; its run is stopped first. Its store stays: the path is given back.
    pub async fn remove(&self, name: &PlanName) -> Result<StoreTarget, ServiceError> {
        let _ = name;
        Err(ServiceError::Closed)
    }

    /// Begins a run, or resumes the unfinished one. Returns when it has begun.
    pub async fn start(&self, name: &PlanName, options: StartOptions) -> Result<PlanView, ServiceError> {
        let _ = (name, options);
        Err(ServiceError::Closed)
    }

    /// Nothing new is sent, what is in flight lands; the schedule rests. Also of a plan that does not run. Lasts.
    pub async fn pause(&self, name: &PlanName) -> Result<PlanView, ServiceError> {
        let _ = name;
        Err(ServiceError::Closed)
    }

    /// Undoes [`pause`](Self::pause).
    pub async fn resume(&self, name: &PlanName) -> Result<PlanView, ServiceError> {
        let _ = name;
        Err(ServiceError::Closed)
    }

    /// Stops its run, resumable; it does not go on by itself. When this returns nothing more of it lands.
    pub async fn cancel(&self, name: &PlanName) -> Result<PlanView, ServiceError> {
        let _ = name;
        Err(ServiceError::Closed)
    }

    /// [`start`](Self::start) of every plan that does not run and is not paused; by name, what came of each.
    pub async fn start_all(&self) -> Result<Vec<(PlanName, Result<PlanView, ServiceError>)>, ServiceError> {
        Err(ServiceError::Closed)
    }

    /// [`cancel`](Self::cancel) of every plan that runs.
    pub async fn cancel_all(&self) -> Result<Vec<(PlanName, Result<PlanView, ServiceError>)>, ServiceError> {
        Err(ServiceError::Closed)
    }

    /// One plan, with all that is known.
    pub async fn detail(&self, name: &PlanName) -> Result<PlanDetail, ServiceError> {
        Err(ServiceError::Unknown(name.clone()))
    }

    /// Everything; at most a quarter of a second old, but never older than the last answer of another method.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, ServiceError> {
        Err(ServiceError::Closed)
    }

    /// Events from now on. A receiver that is too slow misses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<ServiceEvent>> {
        self.events.subscribe()
    }

    /// Lets what is in flight land and stops; what ran goes on at the next start.
    pub async fn shutdown(&self) {}
}
