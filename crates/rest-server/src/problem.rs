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

/// The kinds of problems, in one table: what the type of each ends in, and its title.
macro_rules! kinds {
    ($($kind:ident: $name:literal, $title:literal;)*) => {
        /// What kind of problem it is, where the status does not say all. The API page explains each.
        #[derive(Clone, Copy)]
        enum Kind { $($kind),* }

        impl Kind {
            #[cfg(test)]
            const ALL: &[Kind] = &[$(Kind::$kind),*];

            fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name),* }
            }

            fn title(self) -> &'static str {
                match self { $(Kind::$kind => $title),* }
            }
        }
    };
}

kinds! {
    InvalidPlan: "invalid-plan", "The text is no plan that can run here";
    OtherName: "other-name", "The text is of another plan";
    UnknownTask: "unknown-task", "The plan has no such task";
    CannotRun: "cannot-run", "The plan cannot run";
    UnknownPlan: "unknown-plan", "There is no such plan";
    Exists: "exists", "The plan is here already";
    WrongState: "wrong-state", "That does not fit what the plan is doing";
    Store: "store", "The plan's store cannot be used";
    Storage: "storage", "What lasts cannot be read or written";
    Closed: "closed", "The server is shutting down";
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

    fn of(kind: Kind, status: StatusCode, detail: impl Into<String>) -> Self {
        Problem {
            kind: format!("/api#problem-{}", kind.name()),
            title: kind.title().to_owned(),
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
        Problem::of(
            Kind::UnknownPlan,
            StatusCode::NOT_FOUND,
            format!("there is no plan `{}` here", name.escape_debug()),
        )
    }

    fn from_failure(failure: &Failure) -> Self {
        let mut problem =
            Problem::of(Kind::CannotRun, StatusCode::UNPROCESSABLE_ENTITY, failure.message.clone());
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
            ServiceError::Exists(_) => Problem::of(Kind::Exists, StatusCode::CONFLICT, detail),
            ServiceError::Invalid(diagnostics) => {
                let text = &diagnostics.source.text;
                let list = diagnostics.list.iter().map(|one| DiagnosticView::new(one, text)).collect();
                let problem = Problem::of(Kind::InvalidPlan, StatusCode::UNPROCESSABLE_ENTITY, detail);
                Problem { diagnostics: list, ..problem }
            }
            ServiceError::OtherName { .. } => {
                Problem::of(Kind::OtherName, StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            ServiceError::UnknownTask { .. } => {
                Problem::of(Kind::UnknownTask, StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            ServiceError::WrongState { .. } => wrong_state(detail),
            ServiceError::Engine(error) => Problem::from(error),
            ServiceError::Storage { .. } => {
                Problem::of(Kind::Storage, StatusCode::SERVICE_UNAVAILABLE, detail)
            }
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
            EngineError::Budgets { .. } => {
                Problem::of(Kind::Storage, StatusCode::SERVICE_UNAVAILABLE, detail)
            }
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
            | StoreError::TooNew { .. } => Problem::of(Kind::Store, StatusCode::CONFLICT, detail),
            StoreError::Broken { .. } => Problem::of(Kind::Store, StatusCode::SERVICE_UNAVAILABLE, detail),
        }
    }
}

fn wrong_state(detail: String) -> Problem {
    Problem::of(Kind::WrongState, StatusCode::CONFLICT, detail)
}

fn closed() -> Problem {
    Problem::of(
        Kind::Closed,
        StatusCode::SERVICE_UNAVAILABLE,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Kind;

    /// The type of a problem leads to a row of the page, and no row is of a kind that is none.
    #[test]
    fn the_api_page_explains_every_kind_of_problem() {
        let page = include_str!("../page/api.html");
        let rows = page.split("id=\"problem-").skip(1).filter_map(|rest| rest.split('"').next());
        let kinds: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(rows.collect::<BTreeSet<_>>(), kinds);
    }
}
