//! What one does with plans: start, pause, resume, cancel, retry; one or all.

use axum::Json;
use axum::extract::State;
use entities::{PlanName, ResumeMode, Work};
use service::{PlanView, ServiceError, StartOptions};

use crate::app::Shared;
use crate::extract::{JsonOr, Named, PlanPath};
use crate::problem::Problem;
use crate::views::{Outcome, OutcomeList, PlanSummary, StartBody, Unfinished};

type Answer = Result<Json<PlanSummary>, Problem>;

/// Start a plan
///
/// Begins a run, or goes on with the unfinished one. Answers when it has begun.
#[utoipa::path(
    post, path = "/api/v1/plans/{name}/start", tag = "operations", params(PlanPath),
    request_body(content = Option<StartBody>, description = "How; without a body all tasks, going on with an unfinished run."),
    responses((status = 200, body = PlanSummary, description = "It runs."))
)]
pub(crate) async fn start_plan(
    State(app): Shared,
    Named(name): Named,
    JsonOr(body): JsonOr<Option<StartBody>>,
) -> Answer {
    let body = body.unwrap_or_default();
    let options = StartOptions {
        tasks: body.tasks,
        unfinished: match body.unfinished {
            Unfinished::Resume => ResumeMode::Auto,
            Unfinished::Fresh => ResumeMode::Fresh,
        },
        full_refresh: body.full_refresh,
        work: Work::All,
    };
    summary(app.service.start(&name, options).await)
}

/// Retry what failed
///
/// Begins a run of only the requests that failed in the last finished one.
#[utoipa::path(
    post, path = "/api/v1/plans/{name}/retry", tag = "operations", params(PlanPath),
    responses((status = 200, body = PlanSummary, description = "It runs."))
)]
pub(crate) async fn retry_plan(State(app): Shared, Named(name): Named) -> Answer {
    let options = StartOptions {
        tasks: Vec::new(),
        unfinished: ResumeMode::Auto,
        full_refresh: false,
        work: Work::Failed,
    };
    summary(app.service.start(&name, options).await)
}

/// Pause a plan
///
/// Nothing new is sent; what is in flight lands. Its schedule rests. Lasts, also over a restart of the server.
#[utoipa::path(
    post, path = "/api/v1/plans/{name}/pause", tag = "operations", params(PlanPath),
    responses((status = 200, body = PlanSummary, description = "It is paused."))
)]
pub(crate) async fn pause_plan(State(app): Shared, Named(name): Named) -> Answer {
    summary(app.service.pause(&name).await)
}

/// Resume a plan
///
/// Undoes a pause.
#[utoipa::path(
    post, path = "/api/v1/plans/{name}/resume", tag = "operations", params(PlanPath),
    responses((status = 200, body = PlanSummary, description = "It goes on."))
)]
pub(crate) async fn resume_plan(State(app): Shared, Named(name): Named) -> Answer {
    summary(app.service.resume(&name).await)
}

/// Cancel a plan's run
///
/// When this is answered nothing more of it lands. The run can be resumed by starting the plan; it does not go on by
/// itself.
#[utoipa::path(
    post, path = "/api/v1/plans/{name}/cancel", tag = "operations", params(PlanPath),
    responses((status = 200, body = PlanSummary, description = "It does not run."))
)]
pub(crate) async fn cancel_plan(State(app): Shared, Named(name): Named) -> Answer {
    summary(app.service.cancel(&name).await)
}

/// Start all plans
///
/// Those that do not run and are not paused.
#[utoipa::path(
    post, path = "/api/v1/start", tag = "operations",
    responses((status = 200, body = OutcomeList, description = "What came of each."))
)]
pub(crate) async fn start_all(State(app): Shared) -> Result<Json<OutcomeList>, Problem> {
    Ok(outcomes(app.service.start_all().await?))
}

/// Cancel all runs
///
/// Each can be resumed by starting its plan.
#[utoipa::path(
    post, path = "/api/v1/cancel", tag = "operations",
    responses((status = 200, body = OutcomeList, description = "What came of each."))
)]
pub(crate) async fn cancel_all(State(app): Shared) -> Result<Json<OutcomeList>, Problem> {
    Ok(outcomes(app.service.cancel_all().await?))
}

fn summary(done: Result<PlanView, ServiceError>) -> Answer {
    Ok(Json(PlanSummary::from(&done?)))
}

fn outcomes(done: Vec<(PlanName, Result<PlanView, ServiceError>)>) -> Json<OutcomeList> {
    let outcomes = done.into_iter().map(|(name, done)| {
        let (plan, problem) = match done {
            Ok(view) => (Some(PlanSummary::from(&view)), None),
            Err(error) => (None, Some(Problem::from(error))),
        };
        Outcome { name: name.to_string(), plan, problem }
    });
    Json(OutcomeList { outcomes: outcomes.collect() })
}
