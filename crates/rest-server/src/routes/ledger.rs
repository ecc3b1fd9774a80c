//! What a plan's store holds: runs, requests, tables, rows. Read beside the run that may be writing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use entities::PlanName;
use http::StatusCode;
use serde::Deserialize;
use store::{Reader, RequestFilter, RequestState};
use utoipa::ToSchema;

use crate::app::{App, Shared};
use crate::extract::{Named, NamedRun, Params, PlanPath, RunPath, unknown_run};
use crate::problem::Problem;
use crate::views::{RequestList, RequestView, RowList, RunList, RunView, TableList, TableView};

/// The most rows or requests of a page.
const MOST: u32 = 1000;
/// Text of a cell beyond this is cut.
const CELL: usize = 4096;

/// Which runs.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunPage {
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 20)]
    limit: Option<u32>,
    /// Only runs below this one: `next` of the page before.
    before: Option<i64>,
}

/// Which requests.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestPage {
    /// Only those in this state.
    #[param(inline)]
    state: Option<RequestStateWord>,
    /// Only those of this task.
    task: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Only requests above this id: `next` of the page before.
    after: Option<i64>,
}

/// What became of a request.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RequestStateWord {
    /// To be made, or under way.
    Open,
    /// Its records landed.
    Done,
    /// Its answer was one that the plan calls empty.
    Skipped,
    /// It failed for good.
    Failed,
    /// Its run, or its task, began anew.
    Undone,
}

/// Which rows.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RowPage {
    /// The table.
    table: String,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Only rows below this number: `next` of the page before.
    before: Option<i64>,
}

/// List a plan's runs
///
/// Newest first. None while nothing has run.
#[utoipa::path(
    get, path = "/api/v1/plans/{name}/runs", tag = "ledger", params(PlanPath, RunPage),
    responses((status = 200, body = RunList, description = "The runs."))
)]
pub(crate) async fn list_runs(
    State(app): Shared,
    Named(name): Named,
    Params(page): Params<RunPage>,
) -> Result<Json<RunList>, Problem> {
    let limit = limit(page.limit, 20)?;
    let found = read(&app, &name, move |reader, ledger| {
        let mut rows = reader.runs_before(Some(ledger.plan.as_str()), page.before, limit + 1)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().map(|row| row.run).filter(|_| more);
        Ok(RunList { runs: rows.into_iter().map(RunView::from).collect(), next })
    });
    Ok(Json(found.await?.unwrap_or_default()))
}

/// Show a run
///
/// With its tasks.
#[utoipa::path(
    get, path = "/api/v1/plans/{name}/runs/{run}", tag = "ledger",
    params(RunPath),
    responses((status = 200, body = RunView, description = "The run."))
)]
pub(crate) async fn show_run(
    State(app): Shared,
    NamedRun(name, run): NamedRun,
) -> Result<Json<RunView>, Problem> {
    let found = read(&app, &name, move |reader, ledger| {
        Ok(reader.run(run)?.filter(|row| row.plan == ledger.plan.as_str()))
    });
    match found.await?.flatten() {
        Some(row) => Ok(Json(RunView::from(row))),
        None => Err(unknown_run(&name, &run.to_string())),
    }
}

/// List a run's requests
///
/// By id, with why they failed, if they did. Pages may be short, or empty: go on until `next` is null.
#[utoipa::path(
    get, path = "/api/v1/plans/{name}/runs/{run}/tasks", tag = "ledger",
    params(RunPath, RequestPage),
    responses((status = 200, body = RequestList, description = "The requests."))
)]
pub(crate) async fn list_requests(
    State(app): Shared,
    NamedRun(name, run): NamedRun,
    Params(page): Params<RequestPage>,
) -> Result<Json<RequestList>, Problem> {
    let limit = limit(page.limit, 100)?;
    let filter = RequestFilter { state: page.state.map(RequestState::from), task: page.task };
    let found = read(&app, &name, move |reader, ledger| {
        if reader.run(run)?.is_none_or(|row| row.plan != ledger.plan.as_str()) {
            return Ok(None);
        }
        let found = reader.requests(run, &filter, page.after, limit)?;
        let requests = found.requests.into_iter().map(|row| {
            let failure = Some(row.failure).filter(|failure| !failure.is_null());
            RequestView::new(row.request, failure, &ledger.text)
        });
        Ok(Some(RequestList { requests: requests.collect(), next: found.next }))
    });
    found.await?.flatten().map(Json).ok_or_else(|| unknown_run(&name, &run.to_string()))
}

/// List a plan's tables
///
/// Also those that nothing has landed in yet; none while nothing has run.
#[utoipa::path(
    get, path = "/api/v1/plans/{name}/tables", tag = "ledger", params(PlanPath),
    responses((status = 200, body = TableList, description = "The tables."))
)]
pub(crate) async fn list_tables(State(app): Shared, Named(name): Named) -> Result<Json<TableList>, Problem> {
    let found = read(&app, &name, |reader, ledger| {
        let tables = reader.tables(Some(ledger.plan.as_str()))?;
        Ok(TableList { tables: tables.into_iter().map(TableView::from).collect() })
    });
    Ok(Json(found.await?.unwrap_or_default()))
}

/// Look at rows
///
/// Of one table of the plan, newest first.
#[utoipa::path(
    get, path = "/api/v1/plans/{name}/rows", tag = "ledger", params(PlanPath, RowPage),
    responses((status = 200, body = RowList, description = "The rows."))
)]
pub(crate) async fn list_rows(
    State(app): Shared,
    Named(name): Named,
    Params(page): Params<RowPage>,
) -> Result<Json<RowList>, Problem> {
    let limit = limit(page.limit, 100)?;
    let table = page.table;
    let found = read(&app, &name, {
        let table = table.clone();
        move |reader, ledger| {
            let rows = reader.rows(ledger.plan.as_str(), &table, page.before, limit, CELL)?;
            // A plan that has not run yet owns its tables all the same.
            let known = rows.is_some() || ledger.tables.contains(&table);
            Ok(match rows {
                Some(rows) => Some(RowList::new(table, rows)),
                None => known.then(|| RowList::empty(table)),
            })
        }
    });
    let found = match found.await? {
        Some(found) => found,
        // No store yet: whether the table is one of the plan's is for the plan to say.
        None => app.service.detail(&name).await?.plan.and_then(|plan| {
            plan.tasks.iter().any(|task| task.table == table).then(|| RowList::empty(table.clone()))
        }),
    };
    found.map(Json).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, format!("plan `{name}` has no table `{}`", table.escape_debug()))
    })
}

impl From<RequestStateWord> for RequestState {
    fn from(word: RequestStateWord) -> Self {
        match word {
            RequestStateWord::Open => RequestState::Open,
            RequestStateWord::Done => RequestState::Done,
            RequestStateWord::Skipped => RequestState::Skipped,
            RequestStateWord::Failed => RequestState::Failed,
            RequestStateWord::Undone => RequestState::Undone,
        }
    }
}

/// Whose store is read.
struct Ledger {
    plan: PlanName,
    /// The plan's text, to quote from.
    text: String,
    tables: Vec<String>,
}

/// Asks the store of a plan; none: the plan has no store yet, or no text that names one.
async fn read<T: Send + 'static>(
    app: &App,
    name: &PlanName,
    question: impl FnOnce(&Reader, &Ledger) -> Result<T, Problem> + Send + 'static,
) -> Result<Option<T>, Problem> {
    let detail = app.service.detail(name).await?;
    let Some(plan) = detail.plan else { return Ok(None) };
    let ledger = Ledger {
        plan: name.clone(),
        text: detail.text,
        tables: plan.tasks.iter().map(|task| task.table.clone()).collect(),
    };
    let (service, stores) = (app.service.clone(), Arc::clone(&app.stores));
    app.blocking(move || {
        let secrets = service.secrets_of_store(&plan)?;
        match stores.open(&plan.store, &secrets)? {
            Some(reader) => question(&reader, &ledger).map(Some),
            None => Ok(None),
        }
    })
    .await
}

fn limit(asked: Option<u32>, otherwise: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(otherwise),
        Some(limit @ 1..=MOST) => Ok(limit as usize),
        Some(limit) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("`limit` is {limit}: it must be from 1 to {MOST}"),
        )),
    }
}
