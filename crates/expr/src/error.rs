//! What can go wrong in an expression, and where in it.

use std::fmt;
use std::ops::Range;

/// A template or jq program that does not compile or cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprError {
    /// A lowercase fragment for people.
    pub message: String,
    /// The bytes of the source it is about, if known.
    pub at: Option<Range<usize>>,
    /// The way out, if one is known: "did you mean `date`?".
    pub help: Option<String>,
}

impl ExprError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        ExprError { message: message.into(), at: None, help: None }
    }

    pub(crate) fn at(message: impl Into<String>, at: Range<usize>) -> Self {
        ExprError { message: message.into(), at: Some(at), help: None }
    }

    pub(crate) fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExprError {}
