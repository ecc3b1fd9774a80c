//! Compiled templates of a request, evaluated once per run where nothing in them belongs to a task.

use std::borrow::Cow;

use entities::{Failure, FailureClass, FailureKind, Place, TemplateText, ValueTemplate};
use expr::{CompiledValue, ExprError, Scope, Template};
use serde_json::Value;

/// A string of a request.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    template: Template,
    at: Place,
    /// Of what it was compiled from.
    hash: u64,
    /// Its text, if it is the same for every task of the run.
    fixed: Option<String>,
}

impl Text {
    /// Compiles `text`; `run` is a scope of what the run's tasks share, without bindings.
    pub(crate) fn compile(text: &TemplateText, run: &Scope<'_>) -> Result<Text, Failure> {
        let template = Template::compile(text).map_err(|error| expression(&error, text.at))?;
        let fixed = match template.literal() {
            Some(literal) => Some(literal.to_owned()),
            None if template.names().iter().all(|name| is_shared(name)) => {
                Some(template.render(run).map_err(|error| expression(&error, text.at))?)
            }
            None => None,
        };
        Ok(Text { template, at: text.at, hash: xxhash_rust::xxh3::xxh3_64(text.source.as_bytes()), fixed })
    }

    pub(crate) fn render(&self, scope: &Scope<'_>) -> Result<Cow<'_, str>, Failure> {
        match &self.fixed {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.template.render(scope).map(Cow::Owned).map_err(|error| expression(&error, self.at)),
        }
    }

    /// Its text, if it is the same for every task of the run.
    pub(crate) fn fixed(&self) -> Option<&str> {
        self.fixed.as_deref()
    }

    pub(crate) fn uses_secrets(&self) -> bool {
        self.template.uses_secrets()
    }

    /// A number for it that is the same in every run.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn at(&self) -> Place {
        self.at
    }
}

/// A key or a message to be signed: what a template yields as bytes, raw ones included.
#[derive(Clone)]
pub(crate) struct RawText {
    template: Template,
    at: Place,
    /// Its bytes, if they are the same for every task of the run.
    fixed: Option<Vec<u8>>,
}

impl RawText {
    /// Compiles `text`, as [`Text::compile`] does.
    pub(crate) fn compile(text: &TemplateText, run: &Scope<'_>) -> Result<RawText, Failure> {
        let template = Template::compile(text).map_err(|error| expression(&error, text.at))?;
        let fixed = match template.names().iter().all(|name| is_shared(name)) {
            true => Some(template.render_raw(run).map_err(|error| expression(&error, text.at))?),
            false => None,
        };
        Ok(RawText { template, at: text.at, fixed })
    }

    pub(crate) fn render(&self, scope: &Scope<'_>) -> Result<Cow<'_, [u8]>, Failure> {
        match &self.fixed {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => {
                self.template.render_raw(scope).map(Cow::Owned).map_err(|error| expression(&error, self.at))
            }
        }
    }

    /// Its bytes, if they are the same for every task of the run.
    pub(crate) fn fixed(&self) -> Option<&[u8]> {
        self.fixed.as_deref()
    }

    pub(crate) fn at(&self) -> Place {
        self.at
    }
}

/// A value of a request: of its query, its form, its JSON body.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    value: CompiledValue,
    at: Place,
    /// Its value, if it is the same for every task of the run.
    fixed: Option<Value>,
}

impl Data {
    /// Compiles `template`, which stands in the part of the plan at `at`.
    pub(crate) fn compile(template: &ValueTemplate, at: Place, run: &Scope<'_>) -> Result<Data, Failure> {
        let at = first_place(template).unwrap_or(at);
        let value = CompiledValue::compile(template).map_err(|(error, at)| expression(&error, at))?;
        let fixed = match value.literal() {
            Some(literal) => Some(literal.clone()),
            None if value.names().iter().all(|name| is_shared(name)) => {
                Some(value.value(run).map_err(|error| expression(&error, at))?)
            }
            None => None,
        };
        Ok(Data { value, at, fixed })
    }

    pub(crate) fn value(&self, scope: &Scope<'_>) -> Result<Cow<'_, Value>, Failure> {
        match &self.fixed {
            Some(value) => Ok(Cow::Borrowed(value)),
            None => self.value.value(scope).map(Cow::Owned).map_err(|error| expression(&error, self.at)),
        }
    }

    /// Its value, if it is the same for every task of the run.
    pub(crate) fn fixed(&self) -> Option<&Value> {
        self.fixed.as_ref()
    }

    pub(crate) fn uses_secrets(&self) -> bool {
        self.value.uses_secrets()
    }
}

/// The strings of a value that read secrets, for redaction.
pub(crate) fn secret_texts(
    template: &ValueTemplate,
    run: &Scope<'_>,
    found: &mut Vec<Text>,
) -> Result<(), Failure> {
    match template {
        ValueTemplate::Plain(_) => {}
        ValueTemplate::Text(text) => {
            // Asked before `Text` renders it: other values may be null, which is no text.
            if Template::compile(text).is_ok_and(|template| template.uses_secrets()) {
                found.push(Text::compile(text, run)?);
            }
        }
        ValueTemplate::List(items) => {
            for item in items {
                secret_texts(item, run, found)?;
            }
        }
        ValueTemplate::Map(entries) => {
            for (_, entry) in entries {
                secret_texts(entry, run, found)?;
            }
        }
    }
    Ok(())
}

/// A failure of the plan's own text.
pub(crate) fn wrong(message: impl Into<String>, at: Place) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Expression, message).at(at)
}

fn expression(error: &ExprError, at: Place) -> Failure {
    Failure { help: error.help.clone(), ..wrong(error.to_string(), at) }
}

/// Whether a name stands for the same value in every task of a run.
fn is_shared(name: &str) -> bool {
    let root = name.split('.').next().unwrap_or(name);
    matches!(root, "vars" | "secrets" | "now" | "today")
}

/// Where the first text of a value stands in the plan.
pub(crate) fn first_place(template: &ValueTemplate) -> Option<Place> {
    match template {
        ValueTemplate::Plain(_) => None,
        ValueTemplate::Text(text) => Some(text.at),
        ValueTemplate::List(items) => items.iter().find_map(first_place),
        ValueTemplate::Map(entries) => entries.iter().find_map(|(_, entry)| first_place(entry)),
    }
}
