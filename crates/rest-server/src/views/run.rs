//! Runs, their reports, and the requests of a run with what failed.

use entities::{Failure, RunReport};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use store::{RequestRow, RunRow};
use utoipa::ToSchema;

use super::StateWord;

/// One run, as the ledger keeps it.
#[derive(Serialize, ToSchema)]
pub(crate) struct RunView {
    /// Its number in the plan's store.
    pub(crate) run: i64,
    /// The plan.
    pub(crate) plan: String,
    /// `running`, `complete`, `failed`, `interrupted`, `paused` or `undone`. A run whose process died says
    /// `running` until it goes on.
    pub(crate) state: String,
    /// When it began.
    #[schema(format = DateTime)]
    pub(crate) started: String,
    /// When it ended.
    #[schema(required, format = DateTime)]
    pub(crate) ended: Option<String>,
    /// Its tasks.
    pub(crate) tasks: Vec<RunTask>,
}

/// One `[tasks.…]` of a run.
#[derive(Serialize, ToSchema)]
pub(crate) struct RunTask {
    /// Its name.
    pub(crate) task: String,
    /// Its table.
    pub(crate) table: String,
    /// It has no request left.
    pub(crate) ended: bool,
    /// Requests open in the ledger: follow-ups and children.
    pub(crate) open: i64,
    /// Requests done; failed and skipped ones among them.
    pub(crate) done: i64,
    /// Of them failed.
    pub(crate) failed: i64,
    /// Of them skipped.
    pub(crate) skipped: i64,
    /// Records landed.
    pub(crate) records: i64,
}

/// One request, as the ledger keeps it.
#[derive(Serialize, ToSchema)]
pub(crate) struct RequestView {
    /// Its id: `_task` of the rows it brought.
    pub(crate) id: i64,
    /// The first request of its chain of pages.
    pub(crate) chain: i64,
    /// The run.
    pub(crate) run: i64,
    /// The task.
    pub(crate) task: String,
    /// Its page, from 1.
    pub(crate) page: i64,
    /// What it asked for; null for the first page.
    pub(crate) position: Value,
    /// The values of its `foreach` names.
    pub(crate) bindings: Value,
    /// `done`, `skipped`, `failed`, `open` or `undone`.
    pub(crate) state: String,
    /// Which attempt it was.
    #[schema(required)]
    pub(crate) attempt: Option<i64>,
    /// The answer's status.
    #[schema(required)]
    pub(crate) status: Option<i64>,
    /// Bytes received.
    #[schema(required)]
    pub(crate) bytes: Option<i64>,
    /// Records landed.
    #[schema(required)]
    pub(crate) rows: Option<i64>,
    /// When it was sent.
    #[schema(required, format = DateTime)]
    pub(crate) sent: Option<String>,
    /// How long it took.
    #[schema(required)]
    pub(crate) took_seconds: Option<f64>,
    /// How long it had waited for limits and back-off.
    #[schema(required)]
    pub(crate) waited_seconds: Option<f64>,
    /// Why it failed, if it did.
    #[schema(required)]
    pub(crate) failure: Option<FailureView>,
}

/// Why a request failed. No text of it holds a secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct FailureView {
    /// Its name: `status`, `timed_out`, `decode`, …
    pub(crate) kind: String,
    /// What went wrong.
    pub(crate) message: String,
    /// The way out, where there is one.
    #[schema(required)]
    pub(crate) help: Option<String>,
    /// Method and URL.
    #[schema(required)]
    pub(crate) request: Option<String>,
    /// The answer's status.
    #[schema(required)]
    pub(crate) status: Option<u16>,
    /// The beginning of the answer's body.
    #[schema(required)]
    pub(crate) body: Option<String>,
    /// The line of the plan that asked for it, from 1.
    #[schema(required)]
    pub(crate) line: Option<u32>,
    /// The column, from 1.
    #[schema(required)]
    pub(crate) column: Option<u32>,
    /// That line, as the plan reads now.
    #[schema(required)]
    pub(crate) plan_line: Option<String>,
}

/// What came of a run, since it was last started.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReportView {
    /// The run.
    pub(crate) run: i64,
    /// How it ended.
    pub(crate) state: StateWord,
    /// Requests sent.
    pub(crate) requests: u64,
    /// Records landed, over the whole run.
    pub(crate) records: u64,
    /// Bytes received.
    pub(crate) bytes: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// By task.
    pub(crate) tasks: BTreeMap<String, TaskUse>,
    /// By limit.
    pub(crate) limits: Vec<LimitUse>,
    /// Why it could not go on.
    #[schema(required)]
    pub(crate) reason: Option<String>,
    /// When a paused run can go on.
    #[schema(required, format = DateTime)]
    pub(crate) resumes_at: Option<String>,
}

/// What came of one task.
#[derive(Serialize, ToSchema)]
pub(crate) struct TaskUse {
    /// Requests done well, skipped ones included.
    pub(crate) done: u64,
    /// Requests that failed for good.
    pub(crate) failed: u64,
    /// Of those done, skipped by a rule of `on`.
    pub(crate) skipped: u64,
    /// Records landed.
    pub(crate) records: u64,
    /// Characters that the store cannot hold and that became U+FFFD.
    pub(crate) replaced: u64,
}

/// How a limit was used.
#[derive(Serialize, ToSchema)]
pub(crate) struct LimitUse {
    /// The endpoint.
    pub(crate) endpoint: String,
    /// The limit, as the plan says it.
    pub(crate) limit: String,
    /// Tokens per window that were ours to use.
    pub(crate) allowed: u64,
    /// Tokens that this run took.
    pub(crate) used: u64,
    /// The most in use in any window.
    pub(crate) peak: u64,
    /// How often requests began to wait for it.
    pub(crate) waits: u64,
    /// How long requests waited for it.
    pub(crate) waited_seconds: f64,
    /// Answers that said we were over a limit.
    pub(crate) refused: u64,
    /// Requests a second that refusals have taught us to keep to.
    #[schema(required)]
    pub(crate) learned_rate: Option<f64>,
}

impl From<RunRow> for RunView {
    fn from(row: RunRow) -> Self {
        let RunRow { run, plan, state, started, ended, tasks } = row;
        let tasks = tasks
            .into_iter()
            .map(|row| RunTask {
                task: row.task,
                table: row.table,
                ended: row.ended,
                open: row.open,
                done: row.done,
                failed: row.failed,
                skipped: row.skipped,
                records: row.records,
            })
            .collect();
        RunView { run, plan, state, started, ended, tasks }
    }
}

impl RequestView {
    /// `text` is the plan's, to quote the line a failure points at.
    pub(crate) fn new(row: RequestRow, failure: Option<Value>, text: &str) -> Self {
        let seconds = |ms: Option<i64>| ms.map(in_seconds);
        RequestView {
            id: row.id,
            chain: row.chain,
            run: row.run,
            task: row.task,
            page: row.page,
            position: row.position.unwrap_or(Value::Null),
            bindings: row.bindings,
            state: row.state,
            attempt: row.attempt,
            status: row.status,
            bytes: row.bytes,
            rows: row.rows,
            sent: row.sent,
            took_seconds: seconds(row.ms),
            waited_seconds: seconds(row.waited_ms),
            failure: failure.and_then(|failure| FailureView::new(failure, text)),
        }
    }
}

impl FailureView {
    /// From what the ledger keeps; none if that is no failure.
    fn new(kept: Value, text: &str) -> Option<Self> {
        let failure: Failure = serde_json::from_value(kept).ok()?;
        let place = failure.place.filter(|place| place.line > 0);
        Some(FailureView {
            kind: failure.kind.as_str().to_owned(),
            message: failure.message,
            help: failure.help,
            request: failure.request,
            status: failure.status,
            body: failure.body,
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            plan_line: place.and_then(|place| {
                let before = usize::try_from(place.line - 1).unwrap_or(usize::MAX);
                text.lines().nth(before).map(str::to_owned)
            }),
        })
    }
}

impl From<&RunReport> for ReportView {
    fn from(report: &RunReport) -> Self {
        let tasks = report.tasks.iter().map(|(name, task)| {
            let task = TaskUse {
                done: task.done,
                failed: task.failed,
                skipped: task.skipped,
                records: task.records,
                replaced: task.replaced,
            };
            (name.clone(), task)
        });
        let limits = report.limits.iter().map(|limit| LimitUse {
            endpoint: limit.endpoint.clone(),
            limit: limit.limit.clone(),
            allowed: limit.allowed,
            used: limit.used,
            peak: limit.peak,
            waits: limit.waits,
            waited_seconds: limit.waited_seconds,
            refused: limit.refused,
            learned_rate: limit.learned_rate,
        });
        ReportView {
            run: report.run.0,
            state: report.state.into(),
            requests: report.requests,
            records: report.records,
            bytes: report.bytes,
            seconds: report.seconds,
            tasks: tasks.collect(),
            limits: limits.collect(),
            reason: report.reason.clone(),
            resumes_at: report.resumes_at.clone(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds, for people")]
fn in_seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
