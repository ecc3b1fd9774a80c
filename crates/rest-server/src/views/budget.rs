//! Limits as gauges, and the pool of workers.

use entities::{LimitStatus, WorkerStatus};
use serde::Serialize;
use service::Snapshot;
use utoipa::ToSchema;

/// One limit of a plan, now: the window filling and emptying.
#[derive(Serialize, ToSchema)]
pub(crate) struct LimitView {
    /// The endpoint, by this plan's name.
    pub(crate) endpoint: String,
    #[serde(flatten)]
    pub(crate) gauge: Gauge,
}

/// How full a limit is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Gauge {
    /// Which budget it belongs to: the same for all plans that share it. Opaque.
    pub(crate) budget: String,
    /// The limit, as a plan says it.
    pub(crate) limit: String,
    /// How long its window is.
    pub(crate) window_seconds: f64,
    /// Tokens per window that may be used: the count without the reserve.
    pub(crate) allowed: u32,
    /// Of them in use by this server: in flight, or held for a window after their answer.
    pub(crate) used: u32,
    /// Of them held by other processes of this user.
    pub(crate) elsewhere: u32,
    /// For how long the server wants nothing; null: it is open.
    #[schema(required)]
    pub(crate) closed_seconds: Option<f64>,
    /// When the next token comes back, from now.
    #[schema(required)]
    pub(crate) next_seconds: Option<f64>,
    /// Requests a second that refusals have taught us to keep to.
    #[schema(required)]
    pub(crate) learned_rate: Option<f64>,
}

/// All limits that plans which run draw on, each once.
#[derive(Serialize, ToSchema)]
pub(crate) struct BudgetList {
    /// When this was so.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// The limits.
    pub(crate) limits: Vec<BudgetLimit>,
}

/// One limit of one budget, and who draws on it.
#[derive(Serialize, ToSchema)]
pub(crate) struct BudgetLimit {
    #[serde(flatten)]
    pub(crate) gauge: Gauge,
    /// The plans that draw on it.
    pub(crate) plans: Vec<BudgetUser>,
}

/// A plan that draws on a limit.
#[derive(Serialize, ToSchema)]
pub(crate) struct BudgetUser {
    /// The plan.
    pub(crate) plan: String,
    /// The endpoint, by that plan's name.
    pub(crate) endpoint: String,
}

/// The pool of workers.
#[derive(Serialize, ToSchema)]
pub(crate) struct WorkerList {
    /// When this was so.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// By slot.
    pub(crate) workers: Vec<WorkerView>,
}

/// One worker.
#[derive(Serialize, ToSchema)]
pub(crate) struct WorkerView {
    /// Its slot, from 0.
    pub(crate) id: u32,
    /// `idle`, `busy` or `restarting`.
    #[schema(value_type = String)]
    pub(crate) state: &'static str,
    /// What it is busy with: `plan/task`, and how far.
    #[schema(required)]
    pub(crate) doing: Option<String>,
    /// For how long.
    #[schema(required)]
    pub(crate) since_seconds: Option<f64>,
    /// How often it was replaced.
    pub(crate) restarts: u32,
}

impl From<&LimitStatus> for Gauge {
    fn from(limit: &LimitStatus) -> Self {
        Gauge {
            budget: limit.budget.clone(),
            limit: limit.limit.clone(),
            window_seconds: limit.window.as_secs_f64(),
            allowed: limit.allowed,
            used: limit.used,
            elsewhere: limit.elsewhere,
            closed_seconds: limit.closed.map(|left| left.as_secs_f64()),
            next_seconds: limit.next.map(|left| left.as_secs_f64()),
            learned_rate: limit.learned_rate,
        }
    }
}

impl From<&LimitStatus> for LimitView {
    fn from(limit: &LimitStatus) -> Self {
        LimitView { endpoint: limit.endpoint.clone(), gauge: Gauge::from(limit) }
    }
}

impl From<&Snapshot> for BudgetList {
    fn from(snapshot: &Snapshot) -> Self {
        let mut limits: Vec<BudgetLimit> = Vec::new();
        let all = snapshot.live.iter().flat_map(|plan| plan.limits.iter().map(move |limit| (plan, limit)));
        for (plan, limit) in all {
            let user = BudgetUser { plan: plan.plan.to_string(), endpoint: limit.endpoint.clone() };
            let is_known = |known: &&mut BudgetLimit| {
                known.gauge.budget == limit.budget && known.gauge.limit == limit.limit
            };
            // A plan that runs twenty plans at once shares few budgets: a list is enough.
            match limits.iter_mut().find(is_known) {
                Some(known) => known.plans.push(user),
                None => limits.push(BudgetLimit { gauge: Gauge::from(limit), plans: vec![user] }),
            }
        }
        BudgetList { at: snapshot.at.to_rfc3339(), limits }
    }
}

impl From<&Snapshot> for WorkerList {
    fn from(snapshot: &Snapshot) -> Self {
        WorkerList {
            at: snapshot.at.to_rfc3339(),
            workers: snapshot.workers.iter().map(WorkerView::from).collect(),
        }
    }
}

impl From<&WorkerStatus> for WorkerView {
    fn from(worker: &WorkerStatus) -> Self {
        WorkerView {
            id: worker.id.0,
            state: worker.state,
            doing: worker.doing.clone(),
            since_seconds: worker.since.map(|since| since.as_secs_f64()),
            restarts: worker.restarts,
        }
    }
}
