//! Values whose strings are templates.

use entities::{Place, ValueTemplate};
use serde_json::Value;

use crate::{ExprError, Scope};

/// A compiled [`ValueTemplate`].
#[derive(Clone, Debug)]
pub struct CompiledValue {}

impl CompiledValue {
    /// Compiles every string in it; an error says where in the plan it stands.
    pub fn compile(template: &ValueTemplate) -> Result<Self, (ExprError, Place)> {
        let _ = template;
        todo!()
    }

    /// Its value.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, ExprError> {
        let _ = scope;
        todo!()
    }

    /// The dotted names it reads.
    pub fn names(&self) -> Vec<String> {
        todo!()
    }

    /// Whether it reads `secrets`.
    pub fn uses_secrets(&self) -> bool {
        todo!()
    }

    /// Its value if it holds no expression.
    pub fn literal(&self) -> Option<&Value> {
        todo!()
    }
}
