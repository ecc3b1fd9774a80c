//! Templates: compiled once, and followed without minijinja where they only name values.
//!
//! `failures` makes minijinja's errors ours; what the source is turned into before, `rewrite` says.

mod failures;

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use entities::TemplateText;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, Expression, UndefinedBehavior};
use serde_json::Value;

use self::failures::compile_error;
use crate::convert::from_jinja;
use crate::rewrite::Rewritten;
use crate::scan::Code;
use crate::{ExprError, Scope, check, filters, raw, scan};

/// Steps that one evaluation may take. minijinja counts 64 bytes of text as one, and two elements
/// that a filter looks at.
pub(crate) const FUEL: u64 = 50_000;
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
    /// Exactly one `{{ … }}`, which keeps its type; `at` is where what it holds begins in the source
    /// that minijinja got.
    Expression { inner: Expression<'static, 'static>, at: usize, places: Places },
    /// Anything else.
    Text { env: Environment<'static>, places: Places },
}

/// Where things stand in the source.
struct Places {
    /// Its names in their order, and whether each of them need not be defined.
    reads: Vec<(String, Range<usize>, bool)>,
    rewritten: Rewritten,
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

    /// Its text. Numbers keep their digits, lists and objects become JSON, null is an error, and so
    /// are raw bytes.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, ExprError> {
        match self.text(scope)? {
            Text::Plain(text) => Ok(text),
            Text::Escaped(text) => match raw::plain(&text) {
                Some(plain) => Ok(plain.into_owned()),
                None => Err(self.raw_refused()),
            },
        }
    }

    /// Its text as bytes, raw ones included: for keys and messages that are signed here.
    pub fn render_raw(&self, scope: &Scope<'_>) -> Result<Vec<u8>, ExprError> {
        Ok(match self.text(scope)? {
            Text::Plain(text) => text.into_bytes(),
            Text::Escaped(text) => raw::raw_bytes(&text),
        })
    }

    fn text(&self, scope: &Scope<'_>) -> Result<Text, ExprError> {
        match &self.0.program {
            Program::Literal => Ok(Text::Plain(self.0.source.to_string())),
            Program::Names(parts) => render_names(parts, scope).map(Text::Plain),
            Program::Expression { inner, at, places } => {
                let value = self.eval(inner, *at, places, scope)?;
                if value.is_none() {
                    return Err(self.null());
                }
                let text =
                    filters::any_text(&value).map_err(|error| self.failed(&error, 0, places, scope))?;
                within_cap(text).map(Text::Escaped)
            }
            Program::Text { env, places } => {
                let failed = |error: Error| self.failed(&error, 0, places, scope);
                let template = env.get_template(NAME).map_err(failed)?;
                within_cap(template.render(self.context(scope)).map_err(failed)?).map(Text::Escaped)
            }
        }
    }

    /// Its value: exactly one `{{ … }}` keeps its type (null included), anything else is text. Raw
    /// bytes in it are an error.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, ExprError> {
        match &self.0.program {
            Program::Names(parts) => match parts.as_slice() {
                [Part::Name(name)] => scope.resolve(name).map(std::borrow::Cow::into_owned),
                parts => render_names(parts, scope).map(Value::String),
            },
            Program::Expression { inner, at, places } => {
                let value = self.eval(inner, *at, places, scope)?;
                from_jinja(&value).map_err(|error| {
                    if error.message == filters::RAW_REFUSED { self.raw_refused() } else { self.named(error) }
                })
            }
            Program::Literal | Program::Text { .. } => self.render(scope).map(Value::String),
        }
    }

    fn eval(
        &self,
        expression: &Expression<'static, 'static>,
        offset: usize,
        places: &Places,
        scope: &Scope<'_>,
    ) -> Result<minijinja::Value, ExprError> {
        let value = expression
            .eval(self.context(scope))
            .map_err(|error| self.failed(&error, offset, places, scope))?;
        if value.is_undefined() {
            let missing = self.undefined(None, places, scope);
            return Err(missing.unwrap_or_else(|| self.nothing()));
        }
        Ok(value)
    }

    /// The names the template reads, as far as they are bound.
    fn context(&self, scope: &Scope<'_>) -> minijinja::Value {
        let mut roots: Vec<&str> =
            self.0.names.iter().map(|name| name.split('.').next().unwrap_or_default()).collect();
        roots.dedup();
        minijinja::Value::from_pairs(roots.iter().filter_map(|root| Some((*root, scope.root_jinja(root)?))))
    }
}

/// The one template of a template's environment.
const NAME: &str = "template";

/// What a template writes.
enum Text {
    Plain(String),
    /// As [`raw::escaped`] has it.
    Escaped(String),
}

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
    if let Some((at, c)) = source.char_indices().find(|(_, c)| raw::has_raw(c.encode_utf8(&mut [0; 4]))) {
        let message = format!("the character U+{:X} stands for a raw byte in an expression", u32::from(c));
        return Err(ExprError::at(message, at..at + c.len_utf8())
            .help(Some("put the text that holds it into a variable of [vars]".to_owned())));
    }
    let code = Code::new(source);
    check::check_size(&code)?;
    let desugared = code.desugar_durations()?;
    let mut env = BASE.clone();
    // It is compiled twice, so that errors and names are those of what the author wrote.
    env.add_template_owned(NAME, desugared.clone())
        .map_err(|error| compile_error(&error, source, |at| at))?;
    check::check(&BASE, &desugared)?;
    let code = Code::new(&desugared);
    let template = env.get_template(NAME).map_err(|error| compile_error(&error, source, |at| at))?;
    let names = names(template.undeclared_variables(true), &code);
    let reads = code.names().into_iter().map(|read| (read.name.to_owned(), read.at, read.covered)).collect();
    let places = Places { reads, rewritten: Rewritten::new(&desugared)? };
    let rewritten = &places.rewritten.source;
    if let Some(within) = single(rewritten)
        && let Ok(inner) = BASE.compile_expression_owned(rewritten[within.clone()].to_owned())
    {
        return Ok((Program::Expression { inner, at: within.start, places }, names));
    }
    let failed = |error: &Error| compile_error(error, source, |at| places.rewritten.before(at));
    env.add_template_owned(NAME, rewritten.clone()).map_err(|error| failed(&error))?;
    Ok((Program::Text { env, places }, names))
}

/// Where what stands within the one pair of braces is, if the source is nothing else.
fn single(source: &str) -> Option<Range<usize>> {
    let inner = source.strip_prefix("{{")?.strip_suffix("}}")?;
    let start = if inner.starts_with(['-', '+']) { 3 } else { 2 };
    let end = source.len() - if inner.ends_with('-') { 3 } else { 2 };
    (start <= end).then_some(start..end)
}

fn names(undeclared: std::collections::HashSet<String>, code: &Code<'_>) -> Vec<String> {
    let is_global = |name: &str| BASE.globals().any(|(global, _)| global == name);
    let all = undeclared.into_iter().chain(code.names().into_iter().map(|read| read.name.to_owned()));
    all.filter(|name| !is_global(name.split('.').next().unwrap_or_default())).collect()
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
