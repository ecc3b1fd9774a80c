//! Plain paths: `.data.items[]`. Followed without the interpreter.

use serde_json::Value;

use crate::ExprError;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// `.name` or `["name"]`
    Field(String),
    /// `[3]` or `[-1]`
    Index(i64),
    /// `[]`
    Each,
}

/// A jq program that is only a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainPath {
    /// Its steps; none for `.`.
    pub segments: Vec<Segment>,
    /// It ends in `?`: what is missing yields nothing.
    pub optional: bool,
}

impl PlainPath {
    /// The path that `source` is, if it is nothing else.
    pub fn parse(source: &str) -> Option<PlainPath> {
        let _ = source;
        todo!()
    }

    /// What it points at; an error if a step does not fit the value.
    pub fn select<'v>(&self, value: &'v Value) -> Result<Vec<&'v Value>, ExprError> {
        let _ = value;
        todo!()
    }
}
