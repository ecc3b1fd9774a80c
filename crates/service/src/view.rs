//! What plans are doing, as a service shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use entities::{Moment, PlanName, PlanState, PlanStatus, RunId, RunReport, SyncPlan, WorkerStatus};
use plan::Diagnostic;
use serde::Serialize;

/// What is being done to a plan right now, on somebody's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Busy {
    /// Its store opens and its run begins.
    Starting,
    /// Its run stops.
    Stopping,
    /// Its text is replaced.
    Replacing,
    /// It goes.
    Removing,
}

/// What a run has done so far, over all its tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent since it was last started.
    pub requests: u64,
    /// Bytes received since it was last started.
    pub bytes: u64,
    /// Requests known so far (a lower bound while pages and children may follow).
    pub known: u64,
    /// Requests done, over the whole run.
    pub done: u64,
    /// Of them failed.
    pub failed: u64,
    /// In flight.
    pub in_flight: u64,
    /// Records landed, over the whole run.
    pub records: u64,
}

/// How a plan's last run ended.
#[derive(Clone, Debug)]
pub struct RunEndView {
    /// The run.
    pub run: RunId,
    /// How.
    pub state: PlanState,
    /// When.
    pub at: Moment,
    /// Why it could not go on, if it could not.
    pub reason: Option<String>,
}

/// One plan, as a list shows it.
#[derive(Clone, Debug)]
pub struct PlanView {
    /// Its name.
    pub name: PlanName,
    /// `[plan].description`
    pub description: Option<String>,
    /// What it is doing; of a plan that does not run what came of its last run. `Paused` also if somebody
    /// paused it while it did not run: its schedule rests then.
    pub state: PlanState,
    /// What is being done to it.
    pub busy: Option<Busy>,
    /// `[schedule]`, as the plan says it.
    pub schedule: Option<String>,
    /// When its schedule starts it next; none if it has none or is paused. A moment that has passed is made up for as
    /// soon as it can be: when its run has ended.
    pub next_run: Option<Moment>,
    /// When it goes on by itself: a limit asked for a wait, or the store was broken.
    pub resumes_at: Option<Moment>,
    /// Why it does not do what is wanted of it: one line.
    pub problem: Option<String>,
    /// Its run: the one that is going on, or the last one.
    pub run: Option<RunId>,
    /// When that run was last started.
    pub started: Option<Moment>,
    /// What that run has done.
    pub counts: Counts,
    /// How its last run ended; none while none has, or after a restart of the server it is read from `serve.db`.
    pub last: Option<RunEndView>,
    /// When it was added.
    pub added: Moment,
    /// When its text was last replaced.
    pub replaced: Option<Moment>,
}

/// One plan, with all that is known.
#[derive(Clone, Debug)]
pub struct PlanDetail {
    /// As in the list.
    pub view: PlanView,
    /// The plan; none if its text is none any more (it was added by another version of the server).
    pub plan: Option<Arc<SyncPlan>>,
    /// Its text; secrets written into it read `***`.
    pub text: String,
    /// Errors and warnings about the text.
    pub diagnostics: Vec<Diagnostic>,
    /// Its run, live; none if it does not run.
    pub live: Option<PlanStatus>,
    /// The report of its last run.
    pub report: Option<RunReport>,
}

/// What a plan's runs have done since the server started; these only grow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Requests sent.
    pub requests: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Records landed.
    pub records: u64,
    /// Requests that failed for good.
    pub failed: u64,
    /// Answers that said we were over a limit.
    pub refused: u64,
    /// Runs ended, by how (`complete`, `failed`, …).
    pub runs: BTreeMap<&'static str, u64>,
}

/// Everything at one moment; shared by all who ask within a quarter of a second.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When.
    pub at: Moment,
    /// By name.
    pub plans: Vec<PlanView>,
    /// The runs that are going on, by plan.
    pub live: Vec<PlanStatus>,
    /// The pool.
    pub workers: Vec<WorkerStatus>,
    /// By plan.
    pub totals: BTreeMap<PlanName, Totals>,
}
