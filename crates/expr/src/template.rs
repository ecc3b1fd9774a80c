//! Templates: compiled once, and followed without minijinja where they only name values.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use entities::TemplateText;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior};
use serde_json::Value;

use crate::convert::from_jinja;
use crate::{ExprError, Scope, filters, scan};

/// Instructions that one evaluation may take.
const FUEL: u64 = 50_000;
/// Bytes that one evaluation may write: 1 MiB.
pub(crate) const MAX_OUTPUT: usize = 1 << 20;
/// Bytes that a template's source may have: 256 KiB.
const MAX_SOURCE: usize = 256 << 10;

/// A compiled template. Cloning it shares the compiled form.
#[derive(Clone, Debug)]
pub struct Template(Arc<Compiled>);

struct Compiled {
    source: Arc<str>,
    names: Vec<String>,
    uses_secrets: bool,
    program: Program,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

enum Program {
    /// No expression: the source itself.
    Literal,
    /// Text and dotted names only.
    Names(Vec<Part>),
    /// Exactly one `{{ … }}`, which keeps its type; `at` is where what it holds begins in the source.
    Expression { inner: Expression<'static, 'static>, at: usize },
    /// Anything else.
    Text(Environment<'static>),
}

/// A part of a template that minijinja is not needed for.
pub(crate) enum Part {
    Text(Box<str>),
    Name(Box<[Box<str>]>),
}

static BASE: LazyLock<Environment<'static>> = LazyLock::new(environment);

fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().unwrap_or_default());
    env.set_fuel(Some(FUEL));
    // Ranges and sources of errors come with it; it is off in release builds otherwise.
    env.set_debug(true);
    filters::install(&mut env);
    env
}

impl Template {
    /// Compiles it; an error carries the bytes of the source it is about.
    pub fn compile(text: &TemplateText) -> Result<Template, ExprError> {
        let source = &text.source;
        if source.len() > MAX_SOURCE {
            return Err(ExprError::new(format!("a template longer than {MAX_SOURCE} bytes")));
        }
        let (program, mut names) = program(source)?;
        names.sort_unstable();
        names.dedup();
        let uses_secrets = names.iter().any(|name| name == "secrets" || name.starts_with("secrets."));
        Ok(Template(Arc::new(Compiled { source: source.clone(), names, uses_secrets, program })))
    }

    /// The text of a template without expressions.
    pub fn literal(&self) -> Option<&str> {
        matches!(self.0.program, Program::Literal).then_some(&*self.0.source)
    }

    /// The dotted names it reads, sorted, each once: `vars.since`, `issue.number`, `repo`.
    pub fn names(&self) -> &[String] {
        &self.0.names
    }

    /// Whether it reads `secrets`.
    pub fn uses_secrets(&self) -> bool {
        self.0.uses_secrets
    }

    /// Its text. Numbers keep their digits, lists and objects become JSON, null is an error.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, ExprError> {
        match &self.0.program {
            Program::Literal => Ok(self.0.source.to_string()),
            Program::Names(parts) => render_names(parts, scope),
            Program::Expression { inner, at } => {
                let value = self.eval(inner, *at, scope)?;
                let mut out = String::new();
                push_value(&mut out, &value).map_err(|()| self.null())?;
                within_cap(out)
            }
            Program::Text(env) => {
                let template = env.get_template(NAME).map_err(|error| self.failed(&error, scope))?;
                within_cap(template.render(self.context(scope)).map_err(|error| self.failed(&error, scope))?)
            }
        }
    }

    /// Its value: exactly one `{{ … }}` keeps its type (null included), anything else is text.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, ExprError> {
        match &self.0.program {
            Program::Names(parts) => match parts.as_slice() {
                [Part::Name(name)] => scope.resolve(name).map(std::borrow::Cow::into_owned),
                parts => render_names(parts, scope).map(Value::String),
            },
            Program::Expression { inner, at } => self.eval(inner, *at, scope),
            Program::Literal | Program::Text(_) => self.render(scope).map(Value::String),
        }
    }

    fn eval(
        &self,
        expression: &Expression<'static, 'static>,
        offset: usize,
        scope: &Scope<'_>,
    ) -> Result<Value, ExprError> {
        let value = expression.eval(self.context(scope)).map_err(|error| {
            let mut failed = self.failed(&error, scope);
            failed.at = failed.at.map(|at| clamp(&self.0.source, at.start + offset..at.end + offset));
            failed
        })?;
        if value.is_undefined() {
            return Err(self
                .undefined(scope)
                .unwrap_or_else(|| ExprError::new("the expression is undefined")));
        }
        from_jinja(&value)
    }

    /// The names the template reads, as far as they are bound.
    fn context(&self, scope: &Scope<'_>) -> minijinja::Value {
        let mut roots: Vec<&str> =
            self.0.names.iter().map(|name| name.split('.').next().unwrap_or_default()).collect();
        roots.dedup();
        minijinja::Value::from_pairs(roots.iter().filter_map(|root| Some((*root, scope.root_jinja(root)?))))
    }

    fn failed(&self, error: &Error, scope: &Scope<'_>) -> ExprError {
        match error.kind() {
            ErrorKind::OutOfFuel => {
                ExprError::new(format!("the template takes more than {FUEL} steps; shorten its loops"))
            }
            ErrorKind::UndefinedError => self.undefined(scope).unwrap_or_else(|| describe(error)),
            _ => describe(error),
        }
    }

    /// The first of its names that is not defined, if that is what went wrong.
    fn undefined(&self, scope: &Scope<'_>) -> Option<ExprError> {
        self.0.names.iter().find_map(|name| {
            let path: Vec<Box<str>> = name.split('.').map(Box::from).collect();
            scope.resolve(&path).err()
        })
    }

    fn null(&self) -> ExprError {
        ExprError::new(format!(
            "`{}` is null; give it a value with `| default(…, true)`",
            self.0.source.trim()
        ))
    }
}

/// The one template of a template's environment.
const NAME: &str = "template";

fn program(source: &str) -> Result<(Program, Vec<String>), ExprError> {
    if !["{{", "{%", "{#"].iter().any(|open| source.contains(open)) {
        return Ok((Program::Literal, Vec::new()));
    }
    if let Some(parts) = scan::names_only(source) {
        let names = parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.join(".")),
            Part::Text(_) => None,
        });
        let names = names.collect();
        return Ok((Program::Names(parts), names));
    }
    let rewritten = scan::desugar_durations(source);
    let mut env = BASE.clone();
    env.add_template_owned(NAME, rewritten.clone()).map_err(|error| compile_error(&error, source, 0))?;
    for at in scan::filters(&rewritten) {
        let name = &rewritten[at.clone()];
        let known = |error: Error| error.kind() != ErrorKind::UnknownFilter;
        if !BASE.empty_state().apply_filter(name, &[]).err().is_none_or(known) {
            return Err(ExprError::at(format!("there is no filter `{name}`"), at));
        }
    }
    if let Some(within) = single(&rewritten)
        && let Ok(inner) = BASE.compile_expression_owned(rewritten[within.clone()].to_owned())
    {
        let names = names(inner.undeclared_variables(true));
        return Ok((Program::Expression { inner, at: within.start }, names));
    }
    let template = env.get_template(NAME).map_err(|error| compile_error(&error, source, 0))?;
    let names = names(template.undeclared_variables(true));
    Ok((Program::Text(env), names))
}

/// Where what stands within the one pair of braces is, if the source is nothing else.
fn single(source: &str) -> Option<Range<usize>> {
    let inner = source.strip_prefix("{{")?.strip_suffix("}}")?;
    let start = if inner.starts_with(['-', '+']) { 3 } else { 2 };
    let end = source.len() - if inner.ends_with('-') { 3 } else { 2 };
    (start <= end).then_some(start..end)
}

fn names(undeclared: std::collections::HashSet<String>) -> Vec<String> {
    let is_global = |name: &str| BASE.globals().any(|(global, _)| global == name);
    undeclared.into_iter().filter(|name| !is_global(name.split('.').next().unwrap_or_default())).collect()
}

fn render_names(parts: &[Part], scope: &Scope<'_>) -> Result<String, ExprError> {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Name(name) => {
                let value = scope.resolve(name)?;
                push_value(&mut out, &value).map_err(|()| {
                    ExprError::new(format!("`{}` is null; text needs a value", name.join(".")))
                })?;
            }
        }
    }
    within_cap(out)
}

/// Appends a value as text; null is an error.
pub(crate) fn push_value(out: &mut String, value: &Value) -> Result<(), ()> {
    match value {
        Value::Null => return Err(()),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(number.as_str()),
        Value::String(text) => out.push_str(text),
        Value::Array(_) | Value::Object(_) => out.push_str(&value.to_string()),
    }
    Ok(())
}

fn within_cap(out: String) -> Result<String, ExprError> {
    if out.len() > MAX_OUTPUT {
        return Err(ExprError::new(format!("the template writes more than {MAX_OUTPUT} bytes")));
    }
    Ok(out)
}

fn compile_error(error: &Error, source: &str, offset: usize) -> ExprError {
    let mut described = describe(error);
    described.at = error.range().map(|range| clamp(source, range.start + offset..range.end + offset));
    described
}

/// A range that lies on characters of `source`.
fn clamp(source: &str, range: Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(range.start);
    start..floor(range.end).max(start)
}

fn describe(error: &Error) -> ExprError {
    let mut message = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    if error.kind() == ErrorKind::SyntaxError {
        message = format!("the template does not parse: {message}");
    }
    ExprError { message, at: error.range() }
}
