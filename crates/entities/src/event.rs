//! What the engine tells whoever subscribes. Progress in numbers is in [`PlanStatus`](crate::PlanStatus).

use std::time::Duration;

use serde::Serialize;

use crate::{Failure, PlanName, RunId, RunReport};

/// Something worth telling. Not every request: that is what `status` counts and the ledger keeps.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EngineEvent {
    /// A run began.
    RunStarted {
        /// The plan.
        plan: PlanName,
        /// The run.
        run: RunId,
        /// It goes on where an earlier one stopped.
        resumed: bool,
        /// What changed in the plan since it began.
        changed: Vec<String>,
    },
    /// A request failed and will be tried again.
    Retrying {
        /// The plan.
        plan: PlanName,
        /// The task spec.
        task: String,
        /// Why.
        failure: Failure,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// When it is tried again, from now.
        #[serde(serialize_with = "seconds")]
        after: Duration,
    },
    /// A limit closed: nobody on the budget sends until then.
    Waiting {
        /// The plan.
        plan: PlanName,
        /// The endpoint.
        endpoint: String,
        /// Why.
        failure: Failure,
        /// How long.
        #[serde(serialize_with = "seconds")]
        how_long: Duration,
    },
    /// A server refused requests although the plan's limit was kept: from now on they are spaced.
    Learned {
        /// The plan.
        plan: PlanName,
        /// The endpoint.
        endpoint: String,
        /// The limit, as the plan says it.
        limit: String,
        /// Requests a second that can be reached now.
        rate: f64,
    },
    /// A request failed for good.
    Failed {
        /// The plan.
        plan: PlanName,
        /// The task spec.
        task: String,
        /// Why.
        failure: Failure,
    },
    /// A task spec has no request left.
    TaskEnded {
        /// The plan.
        plan: PlanName,
        /// The task spec.
        task: String,
        /// Requests done.
        done: u64,
        /// Of them failed.
        failed: u64,
        /// Records landed.
        records: u64,
    },
    /// A worker was replaced.
    WorkerRestarted {
        /// Its slot.
        worker: u32,
        /// Why.
        why: String,
    },
    /// A run ended.
    RunEnded {
        /// What came of it.
        report: RunReport,
    },
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
