//! What handlers take out of a request, each refusal a problem: names, query, bodies.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use entities::PlanName;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::sync::Arc;

use crate::problem::Problem;

/// The plan that the path names.
pub(crate) struct Named(pub(crate) PlanName);

/// The plan and the run that the path names.
pub(crate) struct NamedRun(pub(crate) PlanName, pub(crate) i64);

/// How the OpenAPI document describes [`Named`].
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct PlanPath {
    /// The plan.
    #[param(pattern = "^[a-z0-9_-]+$")]
    name: String,
}

/// How the OpenAPI document describes [`NamedRun`].
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct RunPath {
    /// The plan.
    #[param(pattern = "^[a-z0-9_-]+$")]
    name: String,
    /// The run.
    run: i64,
}

/// The file that the path names.
pub(crate) struct File(pub(crate) String);

/// The query; what it does not know is refused, not ignored.
pub(crate) struct Params<T>(pub(crate) T);

/// The body as text.
pub(crate) struct Text(pub(crate) String);

/// The body as JSON; an empty one is the default.
pub(crate) struct JsonOr<T>(pub(crate) T);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| no_text())?;
        plan_name(name).map(Named)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NamedRun {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((name, run)) = path.map_err(|_| no_text())?;
        let name = plan_name(name)?;
        // Only as the API writes it itself: `+1` and `01` are no ids.
        match run.parse::<i64>() {
            Ok(id) if id.to_string() == run => Ok(NamedRun(name, id)),
            _ => Err(unknown_run(&name, &run)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for File {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| File(name)).map_err(|_| no_text())
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Params(params)),
            Err(rejection) => {
                let text = rejection.body_text();
                let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Problem::new(StatusCode::BAD_REQUEST, format!("the query is wrong: {why}")))
            }
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = body(request, state).await?;
        match String::from_utf8(bytes.into()) {
            Ok(text) => Ok(Text(text)),
            Err(error) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "the body is not UTF-8: byte {} begins no character",
                    error.utf8_error().valid_up_to()
                ),
            )),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for JsonOr<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = body(request, state).await?;
        if bytes.is_empty() {
            return Ok(JsonOr(T::default()));
        }
        // serde would take a list for an object, its fields in their order.
        if bytes.trim_ascii_start().starts_with(b"[") {
            let detail = "the body is not the JSON that is expected: a list, not an object";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
        serde_json::from_slice(&bytes).map(JsonOr).map_err(|error| {
            let status = match error.classify() {
                Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
                Category::Io | Category::Syntax | Category::Eof => StatusCode::BAD_REQUEST,
            };
            Problem::new(status, format!("the body is not the JSON that is expected: {error}"))
        })
    }
}

/// There is no such run of the plan.
pub(crate) fn unknown_run(plan: &PlanName, run: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("plan `{plan}` has no run {}", run.escape_debug()))
}

/// The guard has read the body already, within its bounds.
async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let read = Bytes::from_request(request, state).await;
    read.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))
}

fn plan_name(name: String) -> Result<PlanName, Problem> {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(Problem::unknown_plan(&name));
    }
    Ok(PlanName(Arc::from(name)))
}

fn no_text() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "the path is not UTF-8: there is nothing here")
}
