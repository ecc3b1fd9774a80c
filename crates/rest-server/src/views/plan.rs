//! Plans: as a list shows them, and one with all that is known.

use std::sync::Arc;

use entities::{Moment, PlanState, PlanStatus, RunReport, SyncPlan, TaskStatus, WaitReason};
use serde::Serialize;
use service::{Busy, Counts, PlanDetail, PlanView, RunEndView, Snapshot};
use utoipa::ToSchema;

use super::{DiagnosticView, LimitView, ReportView};

/// All plans, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlanList {
    /// When this was so.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// The plans.
    pub(crate) plans: Vec<PlanSummary>,
}

/// What a plan is doing; of one that does not run, what came of its last run.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateWord {
    /// Never started.
    Idle,
    /// Requests go out.
    Running,
    /// By somebody's wish, or until a limit allows more (`resumes_at` says when).
    Paused,
    /// What is in flight lands; nothing new goes out.
    Draining,
    /// The last run did all.
    Complete,
    /// The last run ended; some of its requests failed.
    Failed,
    /// The last run was cancelled, or the server stopped; it can go on.
    Interrupted,
    /// Its store or the system failed; it can go on.
    Broken,
}

/// What is being done to a plan right now.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BusyWord {
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
#[derive(Serialize, ToSchema)]
pub(crate) struct CountsView {
    /// Requests sent since it was last started, retries and redirects included.
    pub(crate) requests: u64,
    /// Bytes received since it was last started.
    pub(crate) bytes: u64,
    /// Requests known so far, over the whole run; a lower bound while pages and children may follow.
    pub(crate) known: u64,
    /// Of them done, failed ones included.
    pub(crate) done: u64,
    /// Of those done, failed.
    pub(crate) failed: u64,
    /// In flight.
    pub(crate) in_flight: u64,
    /// Records landed, over the whole run.
    pub(crate) records: u64,
}

/// How a plan's last run ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct LastRun {
    /// The run.
    pub(crate) run: i64,
    /// How.
    pub(crate) state: StateWord,
    /// When.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// Why it could not go on, if it could not.
    #[schema(required)]
    pub(crate) reason: Option<String>,
}

/// One plan, as a list shows it.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlanSummary {
    /// Its name.
    #[schema(pattern = "^[a-z0-9_-]+$")]
    pub(crate) name: String,
    /// `[plan].description`
    #[schema(required)]
    pub(crate) description: Option<String>,
    /// What it is doing.
    pub(crate) state: StateWord,
    /// What is being done to it; null: nothing.
    #[schema(required)]
    pub(crate) busy: Option<BusyWord>,
    /// `[schedule]`, as the plan says it.
    #[schema(required)]
    pub(crate) schedule: Option<String>,
    /// When its schedule starts it next.
    #[schema(required, format = DateTime)]
    pub(crate) next_run: Option<String>,
    /// When it goes on by itself: a limit asked for a wait, or the store was broken.
    #[schema(required, format = DateTime)]
    pub(crate) resumes_at: Option<String>,
    /// Why it does not do what is wanted of it: one line.
    #[schema(required)]
    pub(crate) problem: Option<String>,
    /// Its run: the one that is going on, or the last one. Runs are numbered by the plan's store.
    #[schema(required)]
    pub(crate) run: Option<i64>,
    /// When that run was last started.
    #[schema(required, format = DateTime)]
    pub(crate) started: Option<String>,
    /// What that run has done.
    pub(crate) counts: CountsView,
    /// How its last run ended.
    #[schema(required)]
    pub(crate) last: Option<LastRun>,
    /// When it was added.
    #[schema(format = DateTime)]
    pub(crate) added: String,
    /// When its text was last replaced.
    #[schema(required, format = DateTime)]
    pub(crate) replaced: Option<String>,
}

/// One plan, with all that is known.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlanDetailView {
    /// As in the list.
    pub(crate) plan: PlanSummary,
    /// Its text; secrets written into it read `***`.
    pub(crate) text: String,
    /// Errors and warnings about the text.
    pub(crate) diagnostics: Vec<DiagnosticView>,
    /// The file its records land in; null if the text is no plan any more.
    #[schema(required)]
    pub(crate) store: Option<String>,
    /// Its tasks, in the plan's order.
    pub(crate) tasks: Vec<TaskView>,
    /// The limits its tasks draw on, while it runs.
    pub(crate) limits: Vec<LimitView>,
    /// What came of its last run.
    #[schema(required)]
    pub(crate) report: Option<ReportView>,
}

/// One `[tasks.…]` of a plan. Its numbers are those of the run that is going on, else of the last one.
#[derive(Serialize, ToSchema)]
pub(crate) struct TaskView {
    /// Its name.
    pub(crate) name: String,
    /// The table its records land in.
    pub(crate) table: String,
    /// The endpoint its requests go to.
    pub(crate) endpoint: String,
    /// `append`, `merge`, `replace` or `mirror`.
    pub(crate) mode: &'static str,
    /// The task whose records it is repeated over.
    #[schema(required)]
    pub(crate) parent: Option<String>,
    /// The line of its header in the plan, from 1.
    pub(crate) line: u32,
    /// It is part of the run: a run may be of some tasks only.
    pub(crate) in_run: bool,
    /// It has no request left.
    pub(crate) ended: bool,
    /// Requests known so far; a lower bound while pages and children may follow.
    pub(crate) known: u64,
    /// Of them done, failed and skipped ones included.
    pub(crate) done: u64,
    /// Of those done, failed.
    pub(crate) failed: u64,
    /// Of those done, skipped by a rule of `on`.
    pub(crate) skipped: u64,
    /// In flight.
    pub(crate) in_flight: u64,
    /// Records landed.
    pub(crate) records: u64,
    /// What it waits for, if nothing of it is in flight.
    #[schema(required)]
    pub(crate) waits_for: Option<WaitsFor>,
}

/// Why a task's requests do not go out.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WaitWord {
    /// A limit's window is full, or its requests are spaced.
    Limit,
    /// The server asked for it.
    Server,
    /// As many requests as `concurrency` allows are in flight.
    Concurrency,
    /// Failed requests wait for their next try.
    BackOff,
    /// Its parent has not landed anything for it yet.
    Parent,
    /// What has been fetched is being written.
    Store,
}

/// What a task waits for.
#[derive(Serialize, ToSchema)]
pub(crate) struct WaitsFor {
    /// Why.
    pub(crate) reason: WaitWord,
    /// The endpoint, of a limit, a server and a concurrency.
    #[schema(required)]
    pub(crate) endpoint: Option<String>,
    /// The limit, as the plan says it.
    #[schema(required)]
    pub(crate) limit: Option<String>,
    /// The parent task.
    #[schema(required)]
    pub(crate) task: Option<String>,
    /// For how long yet; null: until something happens.
    #[schema(required)]
    pub(crate) seconds: Option<f64>,
}

impl From<&Snapshot> for PlanList {
    fn from(snapshot: &Snapshot) -> Self {
        PlanList {
            at: snapshot.at.to_rfc3339(),
            plans: snapshot.plans.iter().map(PlanSummary::from).collect(),
        }
    }
}

impl From<PlanState> for StateWord {
    fn from(state: PlanState) -> Self {
        match state {
            PlanState::Idle => StateWord::Idle,
            PlanState::Running => StateWord::Running,
            PlanState::Paused | PlanState::OutOfQuota => StateWord::Paused,
            PlanState::Draining => StateWord::Draining,
            PlanState::Complete => StateWord::Complete,
            PlanState::Failed => StateWord::Failed,
            PlanState::Interrupted => StateWord::Interrupted,
            PlanState::Broken => StateWord::Broken,
        }
    }
}

impl From<Busy> for BusyWord {
    fn from(busy: Busy) -> Self {
        match busy {
            Busy::Starting => BusyWord::Starting,
            Busy::Stopping => BusyWord::Stopping,
            Busy::Replacing => BusyWord::Replacing,
            Busy::Removing => BusyWord::Removing,
        }
    }
}

impl From<Counts> for CountsView {
    fn from(counts: Counts) -> Self {
        let Counts { requests, bytes, known, done, failed, in_flight, records } = counts;
        CountsView { requests, bytes, known, done, failed, in_flight, records }
    }
}

impl From<&RunEndView> for LastRun {
    fn from(end: &RunEndView) -> Self {
        LastRun {
            run: end.run.0,
            state: end.state.into(),
            at: end.at.to_rfc3339(),
            reason: end.reason.clone(),
        }
    }
}

impl From<&PlanView> for PlanSummary {
    fn from(view: &PlanView) -> Self {
        PlanSummary {
            name: view.name.to_string(),
            description: view.description.clone(),
            state: view.state.into(),
            busy: view.busy.map(BusyWord::from),
            schedule: view.schedule.clone(),
            next_run: view.next_run.map(Moment::to_rfc3339),
            resumes_at: view.resumes_at.map(Moment::to_rfc3339),
            problem: view.problem.clone(),
            run: view.run.map(|run| run.0),
            started: view.started.map(Moment::to_rfc3339),
            counts: view.counts.into(),
            last: view.last.as_ref().map(LastRun::from),
            added: view.added.to_rfc3339(),
            replaced: view.replaced.map(Moment::to_rfc3339),
        }
    }
}

impl From<&PlanDetail> for PlanDetailView {
    fn from(detail: &PlanDetail) -> Self {
        PlanDetailView {
            plan: (&detail.view).into(),
            text: detail.text.clone(),
            diagnostics: detail
                .diagnostics
                .iter()
                .map(|diagnostic| DiagnosticView::new(diagnostic, &detail.text))
                .collect(),
            store: detail.plan.as_ref().map(|plan| plan.store.to_string()),
            tasks: detail.plan.as_ref().map(|plan| tasks(plan, detail)).unwrap_or_default(),
            limits: detail.live.iter().flat_map(|live| &live.limits).map(LimitView::from).collect(),
            report: detail.report.as_ref().map(ReportView::from),
        }
    }
}

fn tasks(plan: &Arc<SyncPlan>, detail: &PlanDetail) -> Vec<TaskView> {
    plan.spec_indices()
        .map(|index| {
            let spec = plan.spec(index);
            let view = TaskView {
                name: spec.name.clone(),
                table: spec.table.clone(),
                endpoint: plan.endpoint_of(index).name.clone(),
                mode: spec.mode.as_str(),
                parent: spec.parent().map(|parent| plan.spec(parent).name.clone()),
                line: spec.at.line,
                in_run: false,
                ended: false,
                known: 0,
                done: 0,
                failed: 0,
                skipped: 0,
                in_flight: 0,
                records: 0,
                waits_for: None,
            };
            with_numbers(view, detail.live.as_ref(), detail.report.as_ref())
        })
        .collect()
}

fn with_numbers(view: TaskView, live: Option<&PlanStatus>, report: Option<&RunReport>) -> TaskView {
    if let Some(live) = live {
        return match live.tasks.iter().find(|task| task.name == view.name) {
            Some(TaskStatus {
                ended, known, done, failed, skipped, in_flight, records, waits_for, ..
            }) => TaskView {
                in_run: true,
                ended: *ended,
                known: *known,
                done: *done,
                failed: *failed,
                skipped: *skipped,
                in_flight: *in_flight,
                records: *records,
                waits_for: waits_for.as_ref().map(WaitsFor::from),
                ..view
            },
            None => view,
        };
    }
    match report.and_then(|report| report.tasks.get(&view.name)) {
        // A report counts what was done well.
        Some(task) => TaskView {
            in_run: true,
            known: task.done + task.failed,
            done: task.done + task.failed,
            failed: task.failed,
            skipped: task.skipped,
            records: task.records,
            ..view
        },
        None => view,
    }
}

impl From<&WaitReason> for WaitsFor {
    fn from(reason: &WaitReason) -> Self {
        let plain = |reason| WaitsFor { reason, endpoint: None, limit: None, task: None, seconds: None };
        match reason {
            WaitReason::Limit { endpoint, limit, how_long, .. } => WaitsFor {
                endpoint: Some(endpoint.clone()),
                limit: Some(limit.clone()),
                seconds: (!how_long.is_zero()).then_some(how_long.as_secs_f64()),
                ..plain(WaitWord::Limit)
            },
            WaitReason::Server { endpoint, how_long } => WaitsFor {
                endpoint: Some(endpoint.clone()),
                seconds: Some(how_long.as_secs_f64()),
                ..plain(WaitWord::Server)
            },
            WaitReason::Concurrency { endpoint } => {
                WaitsFor { endpoint: Some(endpoint.clone()), ..plain(WaitWord::Concurrency) }
            }
            WaitReason::BackOff { how_long } => {
                WaitsFor { seconds: Some(how_long.as_secs_f64()), ..plain(WaitWord::BackOff) }
            }
            WaitReason::Parent { task } => WaitsFor { task: Some(task.clone()), ..plain(WaitWord::Parent) },
            WaitReason::Store => plain(WaitWord::Store),
        }
    }
}
