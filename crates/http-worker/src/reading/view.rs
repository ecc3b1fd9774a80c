//! An answer as programs see it; what is costly is made when it is first asked for.

use std::cell::OnceCell;

use entities::Failure;
use expr::JqScope;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::decode::{text_of, tree};
use crate::answer::Answer;

/// An answer to a task.
pub(super) struct View<'a> {
    answer: &'a Answer,
    vars: &'a Map<String, Value>,
    bindings: &'a Map<String, Value>,
    headers: OnceCell<Map<String, Value>>,
    tree: OnceCell<Result<Value, Failure>>,
}

impl<'a> View<'a> {
    pub(super) fn new(
        answer: &'a Answer,
        vars: &'a Map<String, Value>,
        bindings: &'a Map<String, Value>,
    ) -> Self {
        View { answer, vars, bindings, headers: OnceCell::new(), tree: OnceCell::new() }
    }

    /// The body's text.
    pub(super) fn text(&self) -> Result<&'a str, Failure> {
        let content_type =
            self.answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        text_of(&self.answer.body, content_type)
    }

    /// The body, parsed.
    pub(super) fn tree(&self) -> Result<&Value, Failure> {
        self.tree
            .get_or_init(|| tree::parse(self.text()?).map_err(|trouble| trouble.failure()))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// `$status`, `$headers`, `$vars` and the `foreach` names.
    pub(super) fn scope(&self) -> JqScope<'_> {
        JqScope {
            status: Some(self.answer.status),
            headers: self.headers.get_or_init(|| by_name(&self.answer.headers)),
            vars: self.vars,
            bindings: self.bindings,
        }
    }
}

/// Headers by their lower-case names; several of one name are joined as RFC 9110 has it.
fn by_name(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .keys()
        .map(|name| {
            let values: Vec<_> =
                headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            (name.as_str().to_owned(), Value::String(values.join(", ")))
        })
        .collect()
}
