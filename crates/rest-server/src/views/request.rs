//! What callers send, and what they are told about what they asked for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DiagnosticView, PlanSummary};
use crate::problem::Problem;

/// How a run is to begin.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StartBody {
    /// Only these tasks and their ancestors; empty: all.
    pub(crate) tasks: Vec<String>,
    /// What to do about an unfinished run.
    pub(crate) unfinished: Unfinished,
    /// Ignore cursors: ask for everything again.
    pub(crate) full_refresh: bool,
}

/// What to do about an unfinished run.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unfinished {
    /// Go on with it; tasks that changed start over.
    #[default]
    Resume,
    /// Undo it and begin anew.
    Fresh,
}

/// A plan that was added.
#[derive(Serialize, ToSchema)]
pub(crate) struct Added {
    /// The plan.
    pub(crate) plan: PlanSummary,
    /// What its author should know.
    pub(crate) warnings: Vec<DiagnosticView>,
}

/// A text that was read as a plan and not added.
#[derive(Serialize, ToSchema)]
pub(crate) struct CheckedPlan {
    /// Its name.
    pub(crate) name: String,
    /// `[plan].description`
    #[schema(required)]
    pub(crate) description: Option<String>,
    /// `[schedule]`, as the plan says it.
    #[schema(required)]
    pub(crate) schedule: Option<String>,
    /// Its tasks, in its order.
    pub(crate) tasks: Vec<PlannedTask>,
    /// What its author should know.
    pub(crate) warnings: Vec<DiagnosticView>,
}

/// One `[tasks.…]` of a text.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlannedTask {
    /// Its name.
    pub(crate) name: String,
    /// The table its records would land in.
    pub(crate) table: String,
    /// The endpoint its requests would go to.
    pub(crate) endpoint: String,
}

/// What replacing a plan's text changed, or would.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplacedPlan {
    /// The plan now.
    pub(crate) plan: PlanSummary,
    /// What changed, without values: `added [tasks.fills]`.
    pub(crate) changes: Vec<String>,
    /// Tasks that start over, since what they ask for changed.
    pub(crate) starts_over: Vec<String>,
    /// What its author should know.
    pub(crate) warnings: Vec<DiagnosticView>,
}

/// A plan that was removed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Removed {
    /// Its name.
    pub(crate) plan: String,
    /// Its store, which stays.
    pub(crate) store: String,
}

/// What came of an operation on all plans.
#[derive(Serialize, ToSchema)]
pub(crate) struct OutcomeList {
    /// By name: those it concerned.
    pub(crate) outcomes: Vec<Outcome>,
}

/// What came of it for one plan: the plan, or why not.
#[derive(Serialize, ToSchema)]
pub(crate) struct Outcome {
    /// The plan's name.
    pub(crate) name: String,
    /// The plan now, if it was done.
    #[schema(required)]
    pub(crate) plan: Option<PlanSummary>,
    /// Why it was not done.
    #[schema(required)]
    pub(crate) problem: Option<Problem>,
}
