//! Names and numbers that identify things. Each is its own type, so that they cannot be mixed up.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a plan: `[a-z0-9_-]+`, checked by the plan crate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlanName(pub Arc<str>);

impl PlanName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// One run of one plan, numbered by the ledger from 1.
    RunId(i64)
);
number_id!(
    /// One task. Grows within a store and is never reused for a task that committed; `_task` on
    /// every landed row. A task opened later has a greater id than every task committed before.
    TaskId(i64)
);
number_id!(
    /// A task spec's place in [`SyncPlan::tasks`](crate::SyncPlan::tasks).
    SpecIndex(u32)
);
number_id!(
    /// An endpoint's place in [`SyncPlan::endpoints`](crate::SyncPlan::endpoints).
    EndpointIndex(u32)
);
number_id!(
    /// A slot of the worker pool, from 0. A worker that is replaced keeps its slot's number.
    WorkerId(u32)
);
