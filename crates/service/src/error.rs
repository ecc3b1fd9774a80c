//! What a service cannot do, in the caller's words.

use engine::EngineError;
use entities::PlanName;
use plan::Diagnostics;

/// Why a call of [`Service`](crate::Service) failed. No text of it holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No plan of that name was added.
    #[error("there is no plan `{0}` here")]
    Unknown(PlanName),
    /// A plan of that name is here already.
    #[error("a plan `{0}` is here already: replace it, or remove it first")]
    Exists(PlanName),
    /// The text is no plan, or asks for what it may not have.
    #[error("the plan has {} error{}", .0.errors(), if .0.errors() == 1 { "" } else { "s" })]
    Invalid(Diagnostics),
    /// The text that is to replace a plan names another.
    #[error("the text is of plan `{found}`, not of `{asked}`")]
    OtherName {
        /// The plan to replace.
        asked: PlanName,
        /// The name in the text.
        found: PlanName,
    },
    /// The plan has no such task.
    #[error("plan `{plan}` has no task `{task}`")]
    UnknownTask {
        /// The plan.
        plan: PlanName,
        /// What was asked for.
        task: String,
    },
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
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What lasts cannot be read or written.
    #[error("cannot {doing} {path}: {why}")]
    Storage {
        /// "open", "write to", "read"
        doing: &'static str,
        /// The file.
        path: String,
        /// The system's words.
        why: String,
    },
    /// A part of us panicked.
    #[error("{0} panicked; this is a bug of syncctl, please report it")]
    Bug(&'static str),
    /// The service has been shut down.
    #[error("the server is shutting down")]
    Closed,
}
