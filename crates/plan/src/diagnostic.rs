//! Diagnostics as data: what is wrong, where in the plan, and the way out. How they look on a
//! terminal is `render.rs`.

use std::sync::Arc;

use entities::{Place, SourceText};

/// Whether a plan with it can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but the author should know.
    Warning,
}

impl Severity {
    /// As shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One thing to say about a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A stable name for its kind: `unknown-key`, `wrong-type`.
    pub code: &'static str,
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// Where; line 0 when it is not about the plan's text (a `--set` on the command line).
    pub place: Place,
    /// Said beside the caret.
    pub label: Option<String>,
    /// Another place that has to do with it, and what is said there.
    pub also: Option<(Place, String)>,
    /// How to fix it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error about a place of the plan; [`Place::default`] for what is not about its text.
    pub fn error(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            place,
            label: None,
            also: None,
            help: None,
        }
    }

    /// With what is said beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With another place that has to do with it.
    #[must_use]
    pub fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.also = Some((place, label.into()));
        self
    }

    /// With the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

/// All that is to say about one plan, in the order of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The text they are about.
    pub source: Arc<SourceText>,
    /// Sorted by place; at least one error where it is the `Err` of a result.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.list.len() - self.errors()
    }
}
