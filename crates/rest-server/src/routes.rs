//! The one table of routes: from it come the router, what the guard asks of a request, the problems that OpenAPI
//! names, and the tests' "every route".

pub(crate) mod ledger;
pub(crate) mod operations;
pub(crate) mod plans;
pub(crate) mod server;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, post, put};
use http::StatusCode;

use crate::app::App;
use crate::guard;
use crate::problem::Problem;

/// One operation on one path.
pub(crate) struct Route {
    /// Upper case. GET answers HEAD as well.
    pub(crate) method: &'static str,
    /// As axum and OpenAPI write it.
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) takes: Takes,
    /// The statuses of problems it may answer with, beside what the guard answers.
    pub(crate) problems: &'static [u16],
    handler: fn() -> MethodRouter<Arc<App>>,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody.
    Open,
    /// Who brings the token.
    Token,
}

/// What body a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// None.
    Nothing,
    /// A plan.
    Toml,
    /// JSON, or none.
    Json,
}

/// One row of the table.
macro_rules! route {
    ($verb:ident $path:literal $access:ident $takes:ident $problems:expr => $handler:expr) => {
        Route {
            method: method_of(stringify!($verb)),
            path: $path,
            access: Access::$access,
            takes: Takes::$takes,
            problems: &$problems,
            handler: || $verb($handler),
        }
    };
}

/// Every route there is.
#[rustfmt::skip]
pub(crate) const ROUTES: &[Route] = &[
    route!(get    "/"                                       Open  Nothing []                   => server::page),
    route!(get    "/assets/{name}"                          Open  Nothing [404]                => server::asset),
    route!(get    "/api"                                    Open  Nothing []                   => server::api_page),
    route!(get    "/api/openapi.json"                       Token Nothing []                   => server::openapi_json),
    route!(get    "/healthz"                                Open  Nothing []                   => server::healthz),
    route!(get    "/readyz"                                 Token Nothing [503]                => server::readyz),
    route!(get    "/metrics"                                Token Nothing [503]                => server::metrics),
    route!(get    "/api/v1"                                 Token Nothing []                   => server::server),
    route!(get    "/api/v1/plans"                           Token Nothing [503]                => plans::list_plans),
    route!(post   "/api/v1/plans"                           Token Toml    [400, 409, 422, 503] => plans::add_plan),
    route!(get    "/api/v1/plans/{name}"                    Token Nothing [404, 503]           => plans::show_plan),
    route!(put    "/api/v1/plans/{name}"                    Token Toml    [400, 404, 409, 422, 503] => plans::replace_plan),
    route!(delete "/api/v1/plans/{name}"                    Token Nothing [404, 409, 503]      => plans::remove_plan),
    route!(post   "/api/v1/plans/{name}/start"              Token Json    [400, 404, 409, 422, 503] => operations::start_plan),
    route!(post   "/api/v1/plans/{name}/pause"              Token Nothing [404, 409, 503]      => operations::pause_plan),
    route!(post   "/api/v1/plans/{name}/resume"             Token Nothing [404, 409, 422, 503] => operations::resume_plan),
    route!(post   "/api/v1/plans/{name}/cancel"             Token Nothing [404, 409, 503]      => operations::cancel_plan),
    route!(post   "/api/v1/plans/{name}/retry"              Token Nothing [404, 409, 422, 503] => operations::retry_plan),
    route!(get    "/api/v1/plans/{name}/runs"               Token Nothing [400, 404, 409, 503] => ledger::list_runs),
    route!(get    "/api/v1/plans/{name}/runs/{run}"         Token Nothing [404, 409, 503]      => ledger::show_run),
    route!(get    "/api/v1/plans/{name}/runs/{run}/tasks"   Token Nothing [400, 404, 409, 503] => ledger::list_requests),
    route!(get    "/api/v1/plans/{name}/tables"             Token Nothing [404, 409, 503]      => ledger::list_tables),
    route!(get    "/api/v1/plans/{name}/rows"               Token Nothing [400, 404, 409, 503] => ledger::list_rows),
    route!(post   "/api/v1/start"                           Token Nothing [503]                => operations::start_all),
    route!(post   "/api/v1/cancel"                          Token Nothing [503]                => operations::cancel_all),
    route!(get    "/api/v1/workers"                         Token Nothing [503]                => server::list_workers),
    route!(get    "/api/v1/budgets"                         Token Nothing [503]                => server::list_budgets),
    route!(get    "/api/v1/events"                          Token Nothing [400, 404, 503]      => server::events),
];

/// The router with its guard around it.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, (route.handler)());
    }
    router
        .fallback(nothing_here)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), guard::stand))
        .with_state(app)
}

/// The row of a request whose path matched `path`.
pub(crate) fn route_of(method: &str, path: &str) -> Option<&'static Route> {
    let method = if method == "HEAD" { "GET" } else { method };
    ROUTES.iter().find(|route| route.path == path && route.method == method)
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here: /api lists what there is")
}

const fn method_of(verb: &'static str) -> &'static str {
    match verb.as_bytes() {
        b"get" => "GET",
        b"post" => "POST",
        b"put" => "PUT",
        _ => "DELETE",
    }
}

/// Every route: method, path, and whether it asks for the token. For whoever must look at all of them.
pub fn listing() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    ROUTES.iter().map(|route| (route.method, route.path, route.access == Access::Token))
}
