//! The names an expression may use.

use entities::{Moment, Secrets, Vars};
use serde_json::{Map, Value};

/// `vars`, `secrets`, `now` and `today`: the same for all tasks of a run, converted once.
#[derive(Debug)]
pub struct Globals {}

impl Globals {
    /// Converts what a run's expressions share.
    pub fn new(vars: &Vars, secrets: &Secrets, now: Moment) -> Globals {
        let _ = (vars, secrets, now);
        todo!()
    }
}

/// The names of one evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// What the run's expressions share.
    pub globals: &'a Globals,
    /// The task's `foreach` names.
    pub bindings: &'a Map<String, Value>,
    /// `cursor`
    pub cursor: Option<&'a Value>,
    /// `record`
    pub record: Option<&'a Value>,
    /// `page`
    pub page: Option<i64>,
}
