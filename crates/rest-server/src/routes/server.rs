//! The server itself: page, health, metrics, workers, budgets, events.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use entities::PlanName;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::sync::Arc;

use crate::app::Shared;
use crate::events::EVENT_STREAM;
use crate::extract::{File, Params};
use crate::metrics::METRICS_TEXT;
use crate::openapi;
use crate::problem::Problem;
use crate::views::{BudgetList, Health, ServerView, WorkerList};

/// Which events.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsOf {
    /// Only those of this plan, and those of no plan.
    plan: Option<String>,
}

/// The page
#[utoipa::path(get, path = "/", tag = "page", responses((status = 200, body = String, content_type = "text/html", description = "The dashboard.")))]
pub(crate) async fn page(State(app): Shared, headers: HeaderMap) -> Response {
    app.page.answer("/", &headers)
}

/// A file of the page
#[utoipa::path(
    get, path = "/assets/{name}", tag = "page", params(("name" = String, Path, description = "The file.")),
    responses((status = 200, body = String, content_type = "*/*", description = "The file."))
)]
pub(crate) async fn asset(State(app): Shared, File(name): File, headers: HeaderMap) -> Response {
    app.page.answer(&format!("/assets/{name}"), &headers)
}

/// The API page
#[utoipa::path(get, path = "/api", tag = "page", responses((status = 200, body = String, content_type = "text/html", description = "This API, for people.")))]
pub(crate) async fn api_page(State(app): Shared, headers: HeaderMap) -> Response {
    app.page.answer("/api", &headers)
}

/// This document
#[utoipa::path(get, path = "/api/openapi.json", tag = "server", responses((status = 200, body = serde_json::Value, content_type = "application/json", description = "OpenAPI 3.1.")))]
pub(crate) async fn openapi_json() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], openapi::document()).into_response()
}

/// Is it alive?
///
/// As long as the process serves at all.
#[utoipa::path(get, path = "/healthz", tag = "server", responses((status = 200, body = Health, description = "It is.")))]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Is it ready?
///
/// It answers for its plans within a second.
#[utoipa::path(get, path = "/readyz", tag = "server", responses((status = 200, body = Health, description = "It is.")))]
pub(crate) async fn readyz(State(app): Shared) -> Result<Json<Health>, Problem> {
    match tokio::time::timeout(Duration::from_secs(1), app.snapshot()).await {
        Ok(snapshot) => snapshot.map(|_| Json(Health { status: "ok" })),
        Err(_) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "what looks after the plans did not answer within a second",
        )),
    }
}

/// Metrics
///
/// For Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "server", responses((status = 200, body = String, content_type = "application/openmetrics-text", description = "OpenMetrics 1.0.")))]
pub(crate) async fn metrics(State(app): Shared) -> Result<Response, Problem> {
    let snapshot = app.snapshot().await?;
    let text = app.metrics.text(&snapshot, app.version, app.hub.listeners(), app.started)?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(METRICS_TEXT))], text).into_response())
}

/// The server
#[utoipa::path(get, path = "/api/v1", tag = "server", responses((status = 200, body = ServerView, description = "Its version, and since when it runs.")))]
pub(crate) async fn server(State(app): Shared) -> Json<ServerView> {
    Json(ServerView {
        version: app.version,
        boot: app.hub.boot().to_owned(),
        started: app.started.to_rfc3339(),
    })
}

/// List workers
#[utoipa::path(get, path = "/api/v1/workers", tag = "server", responses((status = 200, body = WorkerList, description = "The pool.")))]
pub(crate) async fn list_workers(State(app): Shared) -> Result<Json<WorkerList>, Problem> {
    Ok(Json(WorkerList::from(&*app.snapshot().await?)))
}

/// List budgets
///
/// The limits that plans which run draw on, each once.
#[utoipa::path(get, path = "/api/v1/budgets", tag = "server", responses((status = 200, body = BudgetList, description = "The limits.")))]
pub(crate) async fn list_budgets(State(app): Shared) -> Result<Json<BudgetList>, Problem> {
    Ok(Json(BudgetList::from(&*app.snapshot().await?)))
}

/// Follow events
///
/// Server-sent events; the answer does not end. The first is `hello` (`{boot, version}`). With `Last-Event-ID` what was
/// missed follows, or `gap` if that is not kept any more: then everything should be read anew. `progress` comes each
/// second while anything runs, and has no id. The others have the name of their field `event`: `run_started`,
/// `run_ended`, `retrying`, `waiting`, `learned`, `failed`, `task_ended`, `worker_restarted`, `plan_added`,
/// `plan_replaced`, `plan_removed`, `plan_state`, `start_failed`. `more` (`{plan, event, count}`) stands for those
/// beyond 10 of a kind and plan in a tenth of a second, or 50 in all.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "server",
    params(EventsOf, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen.")),
    responses((status = 200, body = String, content_type = "text/event-stream", description = "The events."))
)]
pub(crate) async fn events(
    State(app): Shared,
    Params(EventsOf { plan }): Params<EventsOf>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let plan = match plan {
        None => None,
        Some(name) => {
            let known = app.snapshot().await?.plans.iter().any(|plan| plan.name.as_str() == name);
            if !known {
                return Err(Problem::unknown_plan(&name));
            }
            Some(PlanName(Arc::from(name)))
        }
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let body = app.hub.follow(plan, last, app.version);
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM))], body).into_response())
}
