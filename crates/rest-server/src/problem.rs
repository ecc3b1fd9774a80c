//! Failures as problems (RFC 9457): every answer that is no success is one of these.

use axum::response::{IntoResponse, Response};
use engine::EngineError;
use entities::{Failure, StoreError};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;
use service::ServiceError;
use utoipa::ToSchema;

use crate::views::{DiagnosticView, SeverityWord};

/// The media type of problems.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not done (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind it is: `about:blank` where the status says all, else `/api#problem-…`.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    kind: String,
    /// The kind, in words.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What it was this time.
    detail: String,
    /// What is wrong in a plan's text, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    diagnostics: Vec<DiagnosticView>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of which the status says all.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            diagnostics: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// A problem of a kind of its own, which the API page explains.
    fn named(status: StatusCode, name: &str, title: &str, detail: impl Into<String>) -> Self {
        Problem {
            kind: format!("/api#problem-{name}"),
            title: title.to_owned(),
            ..Problem::new(status, detail)
        }
    }

    /// With a header on the answer.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// There is no plan of that name.
    pub(crate) fn unknown_plan(name: &str) -> Self {
        Problem::named(
            StatusCode::NOT_FOUND,
            "unknown-plan",
            "There is no such plan",
            format!("there is no plan `{}` here", name.escape_debug()),
        )
    }

    fn from_failure(failure: &Failure) -> Self {
        let mut problem = Problem::named(
            StatusCode::UNPROCESSABLE_ENTITY,
            "cannot-run",
            "The plan cannot run",
            failure.message.clone(),
        );
        let place = failure.place.filter(|place| place.line > 0);
        problem.diagnostics.push(DiagnosticView {
            severity: SeverityWord::Error,
            code: failure.kind.as_str().to_owned(),
            message: failure.message.clone(),
            label: None,
            help: failure.help.clone(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            end_line: None,
            end_column: None,
            also: None,
        });
        problem
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let detail = error.to_string();
        match error {
            ServiceError::Unknown(name) => Problem::unknown_plan(name.as_str()),
            ServiceError::Exists(_) => {
                Problem::named(StatusCode::CONFLICT, "exists", "The plan is here already", detail)
            }
            ServiceError::Invalid(diagnostics) => {
                let text = &diagnostics.source.text;
                let list = diagnostics.list.iter().map(|one| DiagnosticView::new(one, text)).collect();
                let problem = Problem::named(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "invalid-plan",
                    "The text is no plan that can run here",
                    detail,
                );
                Problem { diagnostics: list, ..problem }
            }
            ServiceError::OtherName { .. } => Problem::named(
                StatusCode::UNPROCESSABLE_ENTITY,
                "other-name",
                "The text is of another plan",
                detail,
            ),
            ServiceError::UnknownTask { .. } => Problem::named(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unknown-task",
                "The plan has no such task",
                detail,
            ),
            ServiceError::WrongState { .. } => wrong_state(detail),
            ServiceError::Engine(error) => Problem::from(error),
            ServiceError::Storage { .. } => Problem::named(
                StatusCode::SERVICE_UNAVAILABLE,
                "storage",
                "What lasts cannot be read or written",
                detail,
            ),
            ServiceError::Closed => closed(),
            ServiceError::Bug(_) => {
                tracing::error!(detail, "the service cannot answer");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "this is a bug of the server")
            }
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error {
            EngineError::UnknownPlan(name) => Problem::unknown_plan(name.as_str()),
            EngineError::DuplicatePlan(_) | EngineError::WrongState { .. } => wrong_state(detail),
            EngineError::Plan(failure) => Problem::from_failure(&failure),
            EngineError::Store(error) => Problem::from(error),
            EngineError::Budgets { .. } => Problem::named(
                StatusCode::SERVICE_UNAVAILABLE,
                "storage",
                "What lasts cannot be read or written",
                detail,
            ),
            EngineError::Closed => closed(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::NothingToRetry { .. }
            | StoreError::NothingUnfinished { .. }
            | StoreError::Unfinished { .. } => wrong_state(detail),
            StoreError::Locked { .. }
            | StoreError::PlanChanged { .. }
            | StoreError::Foreign { .. }
            | StoreError::TakenOver { .. }
            | StoreError::TooNew { .. } => {
                Problem::named(StatusCode::CONFLICT, "store", "The plan's store cannot be used", detail)
            }
            StoreError::Broken { .. } => Problem::named(
                StatusCode::SERVICE_UNAVAILABLE,
                "store",
                "The plan's store cannot be used",
                detail,
            ),
        }
    }
}

fn wrong_state(detail: String) -> Problem {
    Problem::named(StatusCode::CONFLICT, "wrong-state", "That does not fit what the plan is doing", detail)
}

fn closed() -> Problem {
    Problem::named(
        StatusCode::SERVICE_UNAVAILABLE,
        "closed",
        "The server is shutting down",
        "the server is shutting down: what ran goes on when it starts again",
    )
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}
