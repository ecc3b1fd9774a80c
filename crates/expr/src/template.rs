//! Templates.

use entities::TemplateText;
use serde_json::Value;

use crate::{ExprError, Scope};

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template {}

impl Template {
    /// Compiles it.
    pub fn compile(text: &TemplateText) -> Result<Template, ExprError> {
        let _ = text;
        todo!()
    }

    /// The text of a template without expressions.
    pub fn literal(&self) -> Option<&str> {
        todo!()
    }

    /// The dotted names it reads.
    pub fn names(&self) -> &[String] {
        todo!()
    }

    /// Whether it reads `secrets`.
    pub fn uses_secrets(&self) -> bool {
        todo!()
    }

    /// Its text.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, ExprError> {
        let _ = scope;
        todo!()
    }

    /// Its value: exactly one `{{ … }}` keeps its type.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, ExprError> {
        let _ = scope;
        todo!()
    }
}
