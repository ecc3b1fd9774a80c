//! Values whose strings are templates.

use entities::{Place, ValueTemplate};
use serde_json::{Map, Value};

use crate::{ExprError, Scope, Template};

/// A compiled [`ValueTemplate`].
#[derive(Clone, Debug)]
pub struct CompiledValue(Node);

#[derive(Clone, Debug)]
enum Node {
    /// No expression anywhere below.
    Literal(Value),
    Text(Template),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl CompiledValue {
    /// Compiles every string in it; an error says where in the plan it stands.
    pub fn compile(template: &ValueTemplate) -> Result<Self, (ExprError, Place)> {
        compile(template).map(CompiledValue)
    }

    /// Its value.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, ExprError> {
        self.0.value(scope)
    }

    /// The dotted names it reads, sorted, each once.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.0.visit(&mut |template| names.extend_from_slice(template.names()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether it reads `secrets`.
    pub fn uses_secrets(&self) -> bool {
        let mut uses = false;
        self.0.visit(&mut |template| uses |= template.uses_secrets());
        uses
    }

    /// Its value if it holds no expression.
    pub fn literal(&self) -> Option<&Value> {
        match &self.0 {
            Node::Literal(value) => Some(value),
            _ => None,
        }
    }
}

fn compile(template: &ValueTemplate) -> Result<Node, (ExprError, Place)> {
    Ok(match template {
        ValueTemplate::Plain(value) => Node::Literal(value.clone()),
        ValueTemplate::Text(text) => {
            let template = Template::compile(text).map_err(|error| (error, text.at))?;
            match template.literal() {
                Some(literal) => Node::Literal(Value::from(literal)),
                None => Node::Text(template),
            }
        }
        ValueTemplate::List(items) => {
            let nodes = items.iter().map(compile).collect::<Result<Vec<_>, _>>()?;
            match nodes.iter().map(Node::literal).collect::<Option<Vec<_>>>() {
                Some(literals) => Node::Literal(literals.into_iter().cloned().collect()),
                None => Node::List(nodes),
            }
        }
        ValueTemplate::Map(entries) => {
            let nodes = entries
                .iter()
                .map(|(key, value)| Ok((key.clone(), compile(value)?)))
                .collect::<Result<Vec<_>, _>>()?;
            let literal = |(key, node): &(String, Node)| Some((key.clone(), node.literal()?.clone()));
            match nodes.iter().map(literal).collect::<Option<Map<_, _>>>() {
                Some(literals) => Node::Literal(Value::Object(literals)),
                None => Node::Map(nodes),
            }
        }
    })
}

impl Node {
    fn literal(&self) -> Option<&Value> {
        match self {
            Node::Literal(value) => Some(value),
            _ => None,
        }
    }

    fn value(&self, scope: &Scope<'_>) -> Result<Value, ExprError> {
        Ok(match self {
            Node::Literal(value) => value.clone(),
            Node::Text(template) => template.value(scope)?,
            Node::List(items) => {
                Value::Array(items.iter().map(|item| item.value(scope)).collect::<Result<_, _>>()?)
            }
            Node::Map(entries) => Value::Object(
                entries.iter().map(|(key, node)| Ok((key.clone(), node.value(scope)?))).collect::<Result<
                    _,
                    ExprError,
                >>(
                )?,
            ),
        })
    }

    fn visit(&self, found: &mut dyn FnMut(&Template)) {
        match self {
            Node::Literal(_) => {}
            Node::Text(template) => found(template),
            Node::List(items) => items.iter().for_each(|item| item.visit(found)),
            Node::Map(entries) => entries.iter().for_each(|(_, node)| node.visit(found)),
        }
    }
}
