//! What the engine cannot do, in the caller's words.

use entities::{Failure, PlanName, StoreError};

/// Why a call of [`SyncEngine`](crate::SyncEngine) failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No plan of that name was added.
    #[error("there is no plan `{0}` here")]
    UnknownPlan(PlanName),
    /// A plan of that name is here already.
    #[error("a plan `{0}` is here already: remove it first")]
    DuplicatePlan(PlanName),
    /// The call does not fit what the plan is doing.
    #[error("plan `{plan}` is {state}: it cannot {verb}")]
    WrongState {
        /// The plan.
        plan: PlanName,
        /// What it is doing.
        state: &'static str,
        /// What was asked.
        verb: &'static str,
    },
    /// The plan cannot run: an expression fails, a list is none, a task is unknown.
    #[error("{0}")]
    Plan(Failure),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The budgets' file cannot be used.
    #[error("cannot keep budgets in {path}: {why}")]
    Budgets {
        /// The file.
        path: String,
        /// The system's words.
        why: String,
    },
    /// The engine has been shut down.
    #[error("the engine has been shut down")]
    Closed,
}
