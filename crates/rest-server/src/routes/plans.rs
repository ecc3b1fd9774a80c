//! Plans: list, add, show, replace, remove.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use entities::SyncPlan;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use plan::Diagnostic;
use serde::Deserialize;

use crate::app::Shared;
use crate::extract::{Named, Params, PlanPath, Text};
use crate::problem::Problem;
use crate::views::{
    Added, CheckedPlan, DiagnosticView, PlanDetailView, PlanList, PlanSummary, PlannedTask, Removed,
    ReplacedPlan,
};

/// Whether to do it.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DryRun {
    /// Only say what would be; change nothing.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// List plans
///
/// By name, with what each is doing. At most a quarter of a second old, but never older than the caller's own last change.
#[utoipa::path(get, path = "/api/v1/plans", tag = "plans", responses((status = 200, body = PlanList, description = "The plans.")))]
pub(crate) async fn list_plans(State(app): Shared) -> Result<Json<PlanList>, Problem> {
    Ok(Json(PlanList::from(&*app.snapshot().await?)))
}

/// Add a plan
///
/// The body is the plan's text. What is wrong with it comes back as `diagnostics` with line and column. What it may
/// look up and reach is what the server's owner allowed.
#[utoipa::path(
    post, path = "/api/v1/plans", tag = "plans", params(DryRun),
    request_body(content = String, content_type = "application/toml", description = "The plan's text, at most 1 MiB."),
    responses(
        (status = 200, body = CheckedPlan, description = "Dry run: it could be added."),
        (status = 201, body = Added, description = "It was added, and is durable.",
         headers(("Location" = String, description = "Where the plan is."))),
    )
)]
pub(crate) async fn add_plan(
    State(app): Shared,
    Params(DryRun { dry_run }): Params<DryRun>,
    Text(text): Text,
) -> Result<Response, Problem> {
    if dry_run {
        let checked = app.service.check(text.clone()).await?;
        return Ok(Json(checked_plan(&checked.plan, &checked.warnings, &text)).into_response());
    }
    let (view, warnings) = app.service.add(text.clone()).await?;
    let added = Added { plan: PlanSummary::from(&view), warnings: shown(&warnings, &text) };
    let mut response = (StatusCode::CREATED, Json(added)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/plans/{}", view.name)) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// Show a plan
///
/// Its text, tasks, limits and the report of its last run.
#[utoipa::path(
    get, path = "/api/v1/plans/{name}", tag = "plans", params(PlanPath),
    responses((status = 200, body = PlanDetailView, description = "The plan."))
)]
pub(crate) async fn show_plan(
    State(app): Shared,
    Named(name): Named,
) -> Result<Json<PlanDetailView>, Problem> {
    Ok(Json(PlanDetailView::from(&app.service.detail(&name).await?)))
}

/// Replace a plan's text
///
/// Says what changed. If the plan runs, what is in flight lands, and it goes on with the new text; tasks that ask for
/// something else start over. A secret in the text that reads `***` stays as it was.
#[utoipa::path(
    put, path = "/api/v1/plans/{name}", tag = "plans", params(PlanPath, DryRun),
    request_body(content = String, content_type = "application/toml", description = "The plan's text, at most 1 MiB."),
    responses((status = 200, body = ReplacedPlan, description = "What changed, or would."))
)]
pub(crate) async fn replace_plan(
    State(app): Shared,
    Named(name): Named,
    Params(DryRun { dry_run }): Params<DryRun>,
    Text(text): Text,
) -> Result<Json<ReplacedPlan>, Problem> {
    let replaced = app.service.replace(&name, text.clone(), dry_run).await?;
    Ok(Json(ReplacedPlan {
        plan: PlanSummary::from(&replaced.view),
        changes: replaced.changes,
        starts_over: replaced.starts_over,
        warnings: shown(&replaced.warnings, &text),
    }))
}

/// Remove a plan
///
/// Its run is stopped first. Its store stays.
#[utoipa::path(
    delete, path = "/api/v1/plans/{name}", tag = "plans", params(PlanPath),
    responses((status = 200, body = Removed, description = "It is gone."))
)]
pub(crate) async fn remove_plan(State(app): Shared, Named(name): Named) -> Result<Json<Removed>, Problem> {
    let store = app.service.remove(&name).await?;
    Ok(Json(Removed { plan: name.to_string(), store: store.to_string() }))
}

fn checked_plan(plan: &SyncPlan, warnings: &[Diagnostic], text: &str) -> CheckedPlan {
    CheckedPlan {
        name: plan.name.to_string(),
        description: plan.description.clone(),
        schedule: plan.schedule.as_ref().map(|schedule| schedule.text.clone()),
        tasks: plan
            .spec_indices()
            .map(|index| PlannedTask {
                name: plan.spec(index).name.clone(),
                table: plan.spec(index).table.clone(),
                endpoint: plan.endpoint_of(index).name.clone(),
            })
            .collect(),
        warnings: shown(warnings, text),
    }
}

fn shown(diagnostics: &[Diagnostic], text: &str) -> Vec<DiagnosticView> {
    diagnostics.iter().map(|diagnostic| DiagnosticView::new(diagnostic, text)).collect()
}
