//! The two embedded languages as text: `{{ templates }}` and jq. Compiled by the expr crate.

use std::sync::Arc;

use serde_json::Value;

use crate::Place;

/// A string of a plan that may hold `{{ … }}`. Its syntax has been checked by the plan crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateText {
    /// The string as written (TOML escapes resolved).
    pub source: Arc<str>,
    /// Where it stands.
    pub at: Place,
}

impl TemplateText {
    /// A template that did not come from a plan's text.
    pub fn new(source: impl Into<Arc<str>>) -> Self {
        TemplateText { source: source.into(), at: Place::default() }
    }
}

/// A jq program of a plan. Its syntax has been checked by the plan crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JqText {
    /// The program as written.
    pub source: Arc<str>,
    /// Where it stands.
    pub at: Place,
}

impl JqText {
    /// A program that did not come from a plan's text.
    pub fn new(source: impl Into<Arc<str>>) -> Self {
        JqText { source: source.into(), at: Place::default() }
    }
}

/// A value of a plan in which every string may be a template: a query value, a JSON body, a list.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueTemplate {
    /// Null, boolean or number: taken as it is.
    Plain(Value),
    /// A string, possibly with `{{ … }}`.
    Text(TemplateText),
    /// A list of such values.
    List(Vec<ValueTemplate>),
    /// A table of such values, in the plan's order.
    Map(Vec<(String, ValueTemplate)>),
}
