//! Snapshots of what the engine is doing, and the report of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::{Moment, PlanName, RunId, WorkerId};

/// What a plan is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// Added, never started.
    Idle,
    /// Requests go out.
    Running,
    /// Nothing new goes out; what is in flight lands. By the user's wish.
    Paused,
    /// Finishing what is in flight before stopping.
    Draining,
    /// Finished, all done.
    Complete,
    /// Finished, some requests failed.
    Failed,
    /// Stopped by cancel, shutdown or Ctrl-C; resumable.
    Interrupted,
    /// Stopped because a limit asks for a longer wait than allowed; resumable. Told from the user's
    /// pause by the moment it can go on: shown as "paused" alike.
    #[serde(rename = "paused")]
    OutOfQuota,
    /// The store or the system failed; resumable.
    Broken,
}

impl PlanState {
    /// As shown.
    pub fn as_str(self) -> &'static str {
        match self {
            PlanState::Idle => "idle",
            PlanState::Running => "running",
            PlanState::Paused | PlanState::OutOfQuota => "paused",
            PlanState::Draining => "draining",
            PlanState::Complete => "complete",
            PlanState::Failed => "failed",
            PlanState::Interrupted => "interrupted",
            PlanState::Broken => "broken",
        }
    }
}

/// Why a task's requests do not go out right now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum WaitReason {
    /// A limit's window is full, or its requests are spaced.
    Limit {
        /// The endpoint.
        endpoint: String,
        /// The limit, as the plan says it.
        limit: String,
        /// For how long yet; zero: until an answer comes or another process gives tokens back.
        #[serde(serialize_with = "seconds")]
        how_long: Duration,
        /// Tokens that are left of it: more than none if requests are only spaced.
        left: u32,
    },
    /// The server asked for it (429, Retry-After, a rule of `on`).
    Server {
        /// The endpoint.
        endpoint: String,
        /// For how long yet.
        #[serde(serialize_with = "seconds")]
        how_long: Duration,
    },
    /// As many requests as `concurrency` allows are in flight.
    Concurrency {
        /// The endpoint.
        endpoint: String,
    },
    /// Failed requests wait for their next try.
    BackOff {
        /// For how long yet.
        #[serde(serialize_with = "seconds")]
        how_long: Duration,
    },
    /// Its parent has not landed anything for it yet.
    Parent {
        /// The parent task.
        task: String,
    },
    /// What has been fetched is being written.
    Store,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// One task spec of a plan, now.
#[derive(Clone, Debug, Serialize)]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// It has no request left.
    pub ended: bool,
    /// Requests known so far: done, in flight, open, and those of the expansion still to come.
    /// A lower bound while pages or children may follow.
    pub known: u64,
    /// Requests done, in this run (also before it was resumed).
    pub done: u64,
    /// Of them failed.
    pub failed: u64,
    /// Of them skipped by a rule of `on`.
    pub skipped: u64,
    /// In flight.
    pub in_flight: u64,
    /// Records landed (committed).
    pub records: u64,
    /// What it waits for, if nothing of it is in flight.
    pub waits_for: Option<WaitReason>,
}

/// One plan, now.
#[derive(Clone, Debug, Serialize)]
pub struct PlanStatus {
    /// Its name.
    pub plan: PlanName,
    /// Its run, if it was ever started.
    pub run: Option<RunId>,
    /// What it is doing.
    pub state: PlanState,
    /// When it was started; RFC 3339 where it is serialized.
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Moment>,
    /// Requests sent since it was started, retries and redirects included.
    pub requests: u64,
    /// Bytes received since it was started.
    pub bytes: u64,
    /// Its task specs, in the plan's order.
    pub tasks: Vec<TaskStatus>,
    /// The limits its tasks draw on.
    pub limits: Vec<LimitStatus>,
}

/// One limit, now: the window filling and emptying.
#[derive(Clone, Debug, Serialize)]
pub struct LimitStatus {
    /// Which budget it belongs to: the same for all plans that share it. Opaque; holds no credential.
    pub budget: String,
    /// The endpoint.
    pub endpoint: String,
    /// The limit, as the plan says it.
    pub limit: String,
    /// How long its window is; of a calendar quota the length of its period.
    #[serde(rename = "window_seconds", serialize_with = "seconds")]
    pub window: Duration,
    /// Tokens per window that this user may use: the count without the reserve.
    pub allowed: u32,
    /// Of them in use by this process: in flight, or held for a window after their answer.
    pub used: u32,
    /// Of them leased by other processes of this user.
    pub elsewhere: u32,
    /// Until when the server wants nothing, from now.
    #[serde(serialize_with = "maybe_seconds")]
    pub closed: Option<Duration>,
    /// The next token to come back, from now.
    #[serde(serialize_with = "maybe_seconds")]
    pub next: Option<Duration>,
    /// Requests a second that refusals have taught us to keep to; none: nothing has been learned.
    pub learned_rate: Option<f64>,
}

/// One worker, now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkerStatus {
    /// Its slot.
    pub id: WorkerId,
    /// "idle", "busy", "restarting"
    pub state: &'static str,
    /// What it is busy with: "plan/task", and its phase.
    pub doing: Option<String>,
    /// For how long.
    pub since: Option<Duration>,
    /// How often it was replaced.
    pub restarts: u32,
}

/// What came of a run: the object that `--output json` ends with.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// The plan.
    pub plan: PlanName,
    /// How it ended.
    pub state: PlanState,
    /// Requests sent.
    pub requests: u64,
    /// Records landed, over the whole run (also before it was resumed).
    pub records: u64,
    /// Bytes received.
    pub bytes: u64,
    /// How long it took, since it was last started.
    pub seconds: f64,
    /// By task.
    pub tasks: BTreeMap<String, TaskReport>,
    /// By limit.
    pub limits: Vec<LimitReport>,
    /// Why it could not go on, if it is broken; when it can, if it waits for a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When a paused run can go on, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumes_at: Option<String>,
}

/// What came of one task spec.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TaskReport {
    /// Requests done well, skipped ones included.
    pub done: u64,
    /// Requests that failed for good.
    pub failed: u64,
    /// Of those done, skipped by a rule of `on`.
    pub skipped: u64,
    /// Records landed.
    pub records: u64,
    /// Characters that the store cannot hold and that became U+FFFD, since the run was last started.
    #[serde(skip_serializing_if = "is_none")]
    pub replaced: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// How a limit was used.
#[derive(Clone, Debug, Serialize)]
pub struct LimitReport {
    /// The endpoint.
    pub endpoint: String,
    /// The limit, as the plan says it.
    pub limit: String,
    /// Tokens per window that were ours to use: the count without the reserve.
    pub allowed: u64,
    /// Tokens that this run took.
    pub used: u64,
    /// The most tokens in use in any window of its length, by all runs of this process.
    pub peak: u64,
    /// How often requests began to wait for it.
    pub waits: u64,
    /// How long requests waited for it, in seconds, summed over time (not over tasks).
    pub waited_seconds: f64,
    /// Answers that said we were over a limit (429 and its kin), while this run drew on it.
    pub refused: u64,
    /// Requests a second that refusals have taught us to keep to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned_rate: Option<f64>,
    /// What a request costs was to be read from the answers, and those to a task did not tell it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
}

fn maybe_seconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

fn rfc3339<S: serde::Serializer>(moment: &Option<Moment>, serializer: S) -> Result<S::Ok, S::Error> {
    moment.map(Moment::to_rfc3339).serialize(serializer)
}
