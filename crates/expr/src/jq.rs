//! jq programs.

use entities::JqText;
use serde_json::{Map, Value};

use crate::{ExprError, PlainPath};

/// A compiled jq program.
#[derive(Clone, Debug)]
pub struct Jq {}

/// The names a program may use.
#[derive(Clone, Copy, Debug)]
pub struct JqScope<'a> {
    /// `$status`
    pub status: Option<u16>,
    /// `$headers`, lower-case names
    pub headers: &'a Map<String, Value>,
    /// `$vars`
    pub vars: &'a Map<String, Value>,
    /// `$name` of each `foreach` name
    pub bindings: &'a Map<String, Value>,
}

impl Jq {
    /// Compiles it; `names` are the `foreach` names it may use as `$name`.
    pub fn compile(text: &JqText, names: &[&str]) -> Result<Jq, ExprError> {
        let _ = (text, names);
        todo!()
    }

    /// The path it is, if it is a plain one.
    pub fn path(&self) -> Option<&PlainPath> {
        todo!()
    }

    /// All its outputs, within bounds.
    pub fn run(&self, input: &Value, scope: &JqScope<'_>) -> Result<Vec<Value>, ExprError> {
        let _ = (input, scope);
        todo!()
    }

    /// Its first output.
    pub fn first(&self, input: &Value, scope: &JqScope<'_>) -> Result<Option<Value>, ExprError> {
        let _ = (input, scope);
        todo!()
    }

    /// Whether its first output is true as jq sees it (anything but `false` and `null`).
    pub fn holds(&self, input: &Value, scope: &JqScope<'_>) -> Result<bool, ExprError> {
        let _ = (input, scope);
        todo!()
    }
}
