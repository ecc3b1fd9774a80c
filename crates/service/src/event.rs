//! What a service tells whoever subscribes: the engine's events, and what became of plans.

use entities::{EngineEvent, PlanName, PlanState};
use serde::Serialize;

use crate::Busy;

/// Something worth telling. As JSON each is an object whose `event` says what it is.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ServiceEvent {
    /// What the engine says.
    Engine(EngineEvent),
    /// What became of a plan.
    Plan(PlanEvent),
}

/// What became of a plan.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PlanEvent {
    /// It was added.
    PlanAdded {
        /// The plan.
        plan: PlanName,
    },
    /// Its text was replaced.
    PlanReplaced {
        /// The plan.
        plan: PlanName,
        /// What changed, for people.
        changes: Vec<String>,
    },
    /// It was removed.
    PlanRemoved {
        /// The plan.
        plan: PlanName,
    },
    /// It does something else than before.
    PlanState {
        /// The plan.
        plan: PlanName,
        /// What it is doing.
        state: PlanState,
        /// What is being done to it.
        busy: Option<Busy>,
    },
    /// A run could not begin.
    StartFailed {
        /// The plan.
        plan: PlanName,
        /// Why, for people; one line.
        why: String,
    },
}

impl ServiceEvent {
    /// The plan it is about; none: about the pool.
    pub fn plan(&self) -> Option<&PlanName> {
        match self {
            ServiceEvent::Engine(event) => match event {
                EngineEvent::RunStarted { plan, .. }
                | EngineEvent::Retrying { plan, .. }
                | EngineEvent::Waiting { plan, .. }
                | EngineEvent::Learned { plan, .. }
                | EngineEvent::Failed { plan, .. }
                | EngineEvent::TaskEnded { plan, .. } => Some(plan),
                EngineEvent::RunEnded { report } => Some(&report.plan),
                EngineEvent::WorkerRestarted { .. } => None,
            },
            ServiceEvent::Plan(event) => match event {
                PlanEvent::PlanAdded { plan }
                | PlanEvent::PlanReplaced { plan, .. }
                | PlanEvent::PlanRemoved { plan }
                | PlanEvent::PlanState { plan, .. }
                | PlanEvent::StartFailed { plan, .. } => Some(plan),
            },
        }
    }
}
