//! A jq program of a plan with what its failures say.

use std::sync::Arc;

use entities::{Failure, FailureClass, FailureKind, JqText, Place};
use expr::{ExprError, Jq, JqScope, PlainPath};
use serde_json::Value;

use super::view::View;

/// A compiled program, its name in the plan and its place.
pub(super) struct Program {
    jq: Jq,
    /// The key that holds it: `records`, `next`.
    key: &'static str,
    pub(super) source: Arc<str>,
    pub(super) at: Place,
}

impl Program {
    pub(super) fn compile(key: &'static str, text: &JqText, names: &[&str]) -> Result<Program, Failure> {
        let jq = Jq::compile(text, names).map_err(|e| failure(key, &e).at(text.at))?;
        Ok(Program { jq, key, source: Arc::clone(&text.source), at: text.at })
    }

    pub(super) fn compile_some(
        key: &'static str,
        text: Option<&JqText>,
        names: &[&str],
    ) -> Result<Option<Program>, Failure> {
        text.map(|text| Program::compile(key, text, names)).transpose()
    }

    /// The path it is, if it is plain.
    pub(super) fn path(&self) -> Option<&PlainPath> {
        self.jq.path()
    }

    /// All its outputs.
    pub(super) fn run(&self, input: &Value, view: &View<'_>) -> Result<Vec<Value>, Failure> {
        view.wanted()?;
        self.jq.run(input, &view.scope()).map_err(|e| failure(self.key, &e).at(self.at))
    }

    /// Whether it holds.
    pub(super) fn holds(&self, input: &Value, view: &View<'_>) -> Result<bool, Failure> {
        view.wanted()?;
        self.holds_in(input, &view.scope())
    }

    /// Whether it holds where there is no answer.
    pub(super) fn holds_in(&self, input: &Value, scope: &JqScope<'_>) -> Result<bool, Failure> {
        self.jq.holds(input, scope).map_err(|e| failure(self.key, &e).at(self.at))
    }
}

fn failure(key: &str, error: &ExprError) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Expression, format!("`{key}`: {error}"))
}
