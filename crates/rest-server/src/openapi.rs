//! The OpenAPI document: from the handlers' own descriptions, and from the table of routes what the guard may answer.
//! `openapi.json` beside this crate's manifest is the same, kept in the repository.

use std::sync::LazyLock;

use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder, SecurityRequirement};

use crate::problem::{PROBLEM_JSON, Problem};
use crate::routes::{Access, ROUTES, Route, Takes, ledger, operations, plans, server};

/// The name of the one way to sign in.
const TOKEN: &str = "token";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "syncctl serve",
        version = "1",
        description = "The sync engine over HTTP. Every request but those of the page and `/healthz` brings \
            `Authorization: Bearer …` with the server's token. Every answer that is no success is a problem (RFC 9457). \
            GET routes answer HEAD as well; a method that a path does not have is answered with 405 and `Allow`. \
            Times are RFC 3339 in UTC; durations are numbers of seconds.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/")),
    tags(
        (name = "plans", description = "Plans that last."),
        (name = "operations", description = "What one does with them."),
        (name = "ledger", description = "What their stores hold."),
        (name = "server", description = "The server itself."),
        (name = "page", description = "The dashboard and the page of this API.")
    ),
    paths(
        server::page, server::asset, server::api_page, server::openapi_json, server::healthz, server::readyz,
        server::metrics, server::server, plans::list_plans, plans::add_plan, plans::show_plan, plans::replace_plan,
        plans::remove_plan, operations::start_plan, operations::pause_plan, operations::resume_plan,
        operations::cancel_plan, operations::retry_plan, ledger::list_runs, ledger::show_run, ledger::list_requests,
        ledger::list_tables, ledger::list_rows, operations::start_all, operations::cancel_all, server::list_workers,
        server::list_budgets, server::events
    ),
    components(schemas(Problem))
)]
struct Document;

/// The document as JSON, with a line end.
pub fn document() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut text = serde_json::to_string_pretty(&build()).unwrap_or_default();
        text.push('\n');
        text
    });
    &TEXT
}

fn build() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    if let Some(components) = &mut document.components {
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.security_schemes.insert(TOKEN.to_owned(), RefOr::T(token));
    }
    for route in ROUTES {
        let Some(item) = document.paths.paths.get_mut(route.path) else { continue };
        let operation = match route.method {
            "GET" => &mut item.get,
            "POST" => &mut item.post,
            "PUT" => &mut item.put,
            _ => &mut item.delete,
        };
        if let Some(operation) = operation {
            add_guard(operation, route);
        }
    }
    document
}

/// What the guard asks of a request, and answers.
fn add_guard(operation: &mut Operation, route: &Route) {
    let mut statuses: Vec<u16> = route.problems.to_vec();
    statuses.extend([400, 403, 415, 421, 500]);
    if route.access == Access::Token {
        statuses.push(401);
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], _>(TOKEN, [])]);
    }
    if route.takes != Takes::Nothing {
        statuses.extend([408, 413]);
    }
    for status in statuses {
        let problem =
            Content::new(Some(RefOr::<utoipa::openapi::Schema>::Ref(Ref::from_schema_name("Problem"))));
        let response = ResponseBuilder::new().description(meaning(status)).content(PROBLEM_JSON, problem);
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| RefOr::T(response.build()));
    }
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request is malformed.",
        401 => "The token is missing or wrong.",
        403 => "The request comes from a page of another origin.",
        404 => "There is no such thing.",
        408 => "The body did not come in time.",
        409 => "It does not fit what is there, or what the plan is doing.",
        413 => "The body is larger than 1 MiB.",
        415 => "The body's content type is another, or there should be no body.",
        421 => "`Host` names another server.",
        422 => "The body can be read and cannot be done.",
        503 => "The server is shutting down, or cannot reach what it keeps.",
        _ => "This is a bug of the server.",
    }
}
