//! The report of a run as `serve.db` keeps it: the JSON that is shown, read back.

use std::collections::BTreeMap;

use entities::{LimitReport, PlanName, PlanState, RunId, RunReport, TaskReport};
use serde::Deserialize;

/// [`RunReport`] without what stands beside it in the row.
#[derive(Debug, Deserialize)]
pub(crate) struct StoredReport {
    run: RunId,
    requests: u64,
    records: u64,
    bytes: u64,
    seconds: f64,
    tasks: BTreeMap<String, StoredTask>,
    #[serde(default)]
    limits: Vec<StoredLimit>,
    reason: Option<String>,
    resumes_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct StoredTask {
    done: u64,
    failed: u64,
    #[serde(default)]
    skipped: u64,
    records: u64,
    #[serde(default)]
    replaced: u64,
}

#[derive(Debug, Deserialize)]
struct StoredLimit {
    endpoint: String,
    limit: String,
    allowed: u64,
    used: u64,
    peak: u64,
    waits: u64,
    waited_seconds: f64,
    #[serde(default)]
    refused: u64,
    learned_rate: Option<f64>,
    #[serde(default)]
    unread: bool,
}

impl StoredReport {
    /// The report.
    pub(crate) fn report(self, plan: PlanName, state: PlanState) -> RunReport {
        let task = |of: StoredTask| TaskReport {
            done: of.done,
            failed: of.failed,
            skipped: of.skipped,
            records: of.records,
            replaced: of.replaced,
        };
        let limit = |of: StoredLimit| LimitReport {
            endpoint: of.endpoint,
            limit: of.limit,
            allowed: of.allowed,
            used: of.used,
            peak: of.peak,
            waits: of.waits,
            waited_seconds: of.waited_seconds,
            refused: of.refused,
            learned_rate: of.learned_rate,
            unread: of.unread,
        };
        RunReport {
            run: self.run,
            plan,
            state,
            requests: self.requests,
            records: self.records,
            bytes: self.bytes,
            seconds: self.seconds,
            tasks: self.tasks.into_iter().map(|(name, of)| (name, task(of))).collect(),
            limits: self.limits.into_iter().map(limit).collect(),
            reason: self.reason,
            resumes_at: self.resumes_at,
        }
    }
}
