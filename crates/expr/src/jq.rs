//! jq programs: plain paths by walking, everything else by jaq within bounds.
//!
//! Integers of any size and decimals pass through jaq with their digits; arithmetic on decimals
//! goes through 64-bit floats, as in jq. What `jaq_bounds` refuses or counts is bounded; `sort` runs
//! uncounted over values that are themselves bounded.

use std::fmt::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use entities::JqText;
use jaq_core::load::lex::{Lexer, Token};
use jaq_core::load::parse::{Def, Parser, Term};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars};
use jaq_json::Val;
use serde_json::{Map, Value};

use crate::jaq_bounds::{self, Bounded, Metered, Rewriter};
use crate::jaq_value::{self, Budget};
use crate::{ExprError, PlainPath};

/// Outputs that one evaluation may give.
const MAX_OUTPUTS: usize = 1_000_000;
/// Bytes that a program's source may have: 16 KiB.
const MAX_SOURCE: usize = 16 << 10;
/// Names of a program's parts, which recursive parsing and evaluation could otherwise nest too deep.
const MAX_TOKENS: usize = 1_000;
const MAX_NESTING: usize = 48;
/// The definition that a program is compiled as.
const MAIN: &str = "plan__main";

/// A compiled jq program. Cloning it shares the compiled form.
#[derive(Clone)]
pub struct Jq(Arc<Compiled>);

struct Compiled {
    source: Arc<str>,
    program: Program,
}

enum Program {
    Path(PlainPath),
    Filter {
        filter: jaq_core::Filter<Bounded>,
        /// The global names it reads, without `$`, in the order they are bound in.
        names: Vec<String>,
    },
}

impl fmt::Debug for Jq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Jq").field(&self.0.source).finish()
    }
}

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
    /// Compiles it; `names` are the `foreach` names it may use as `$name`. What cannot be bounded
    /// is refused here, with the bytes of the source it is about.
    pub fn compile(text: &JqText, names: &[&str]) -> Result<Jq, ExprError> {
        let source = &text.source;
        let program = match PlainPath::parse(source) {
            Some(path) => Program::Path(path),
            None => compile(source, names)?,
        };
        Ok(Jq(Arc::new(Compiled { source: source.clone(), program })))
    }

    /// The path it is, if it is a plain one.
    pub fn path(&self) -> Option<&PlainPath> {
        match &self.0.program {
            Program::Path(path) => Some(path),
            Program::Filter { .. } => None,
        }
    }

    /// All its outputs, within bounds. A plain path is strict, see [`PlainPath::select`].
    pub fn run(&self, input: &Value, scope: &JqScope<'_>) -> Result<Vec<Value>, ExprError> {
        match &self.0.program {
            Program::Path(path) => Ok(path.select(input)?.into_iter().cloned().collect()),
            Program::Filter { filter, names } => run(filter, names, input, scope, None),
        }
    }

    /// Its first output; `None` if there is none or it is null. Here a plain path follows jq:
    /// what is missing is null, and so nothing. A step into another shape stays an error.
    pub fn first(&self, input: &Value, scope: &JqScope<'_>) -> Result<Option<Value>, ExprError> {
        match &self.0.program {
            Program::Path(path) => Ok(path.first(input)?.cloned()),
            Program::Filter { filter, names } => {
                Ok(run(filter, names, input, scope, Some(1))?.pop().filter(|value| !value.is_null()))
            }
        }
    }

    /// Whether its first output is true as jq sees it (anything but `false` and `null`).
    pub fn holds(&self, input: &Value, scope: &JqScope<'_>) -> Result<bool, ExprError> {
        Ok(self.first(input, scope)?.is_some_and(|value| value != Value::Bool(false)))
    }
}

fn run(
    filter: &jaq_core::Filter<Bounded>,
    names: &[String],
    input: &Value,
    scope: &JqScope<'_>,
    wanted: Option<usize>,
) -> Result<Vec<Value>, ExprError> {
    let vars = names.iter().map(|name| global(name, scope)).collect::<Result<Vec<_>, _>>()?;
    let data = Metered::new(&filter.lut);
    let context = Ctx::<Bounded>::new(&data, Vars::new(vars));
    let mut budget = Budget::new();
    let mut outputs = Vec::new();
    for output in filter.id.run((context, jaq_value::to_jaq(input)?)) {
        if let Some(exceeded) = data.exceeded() {
            return Err(ExprError::new(exceeded));
        }
        let value = match output {
            Ok(value) => value,
            Err(exception) => {
                return Err(match exception.get_err() {
                    Ok(error) => ExprError::new(format!("jq: {}", shortened(&error))),
                    Err(_) => ExprError::new("jq: the program ended without an output"),
                });
            }
        };
        if outputs.len() >= MAX_OUTPUTS {
            return Err(ExprError::new(format!("jq: more than {MAX_OUTPUTS} outputs")));
        }
        outputs.push(jaq_value::from_jaq(&value, &mut budget)?);
        if wanted == Some(outputs.len()) {
            break;
        }
    }
    match data.exceeded() {
        Some(exceeded) => Err(ExprError::new(exceeded)),
        None => Ok(outputs),
    }
}

fn global(name: &str, scope: &JqScope<'_>) -> Result<Val, ExprError> {
    match name {
        "status" => Ok(scope.status.map_or(Val::Null, |status| Val::from(usize::from(status)))),
        "headers" => jaq_value::map_to_jaq(scope.headers),
        "vars" => jaq_value::map_to_jaq(scope.vars),
        _ => match scope.bindings.get(name) {
            Some(value) => jaq_value::to_jaq(value),
            None => Err(ExprError::new(format!("jq: `${name}` is not bound here"))),
        },
    }
}

/// An error with the values it quotes cut short: they may be whole answers.
fn shortened(error: &impl fmt::Display) -> String {
    struct Short(String);
    impl Write for Short {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let left = 300_usize.saturating_sub(self.0.len());
            if text.len() <= left {
                self.0.push_str(text);
                return Ok(());
            }
            self.0.extend(text.chars().take(left));
            self.0.push('…');
            Err(fmt::Error)
        }
    }
    let mut short = Short(String::new());
    // An error only says that it was cut.
    let _ = write!(short, "{error}");
    short.0
}

fn compile(source: &str, names: &[&str]) -> Result<Program, ExprError> {
    if source.trim().is_empty() {
        return Err(ExprError::new("an empty jq program; `.` is the whole input"));
    }
    let term = parse(source)?;
    let mut rewriter = Rewriter::new(source, MAIN);
    let body = rewriter.term(term)?;
    let names: Vec<String> = ["status", "headers", "vars"]
        .iter()
        .chain(names)
        .filter(|name| rewriter.reads(name))
        .map(|name| (*name).to_owned())
        .collect();
    let globals: Vec<String> = names.iter().map(|name| format!("${name}")).collect();

    let main = Def { name: MAIN, args: Vec::new(), body };
    let defs = jaq_bounds::prelude().iter().cloned().chain([main]);
    let arena = Arena::default();
    let modules = Loader::new(defs)
        .load(&arena, File { code: MAIN, path: () })
        .map_err(|_| ExprError::new("jq: the program does not load"))?;
    let filter = Compiler::default()
        .with_funs(jaq_bounds::functions())
        .with_global_vars(globals.iter().map(String::as_str))
        .compile(modules)
        .map_err(|errors| undefined(source, errors))?;
    Ok(Program::Filter { filter, names })
}

fn parse(source: &str) -> Result<Term<&str>, ExprError> {
    if source.len() > MAX_SOURCE {
        return Err(ExprError::new(format!("a jq program longer than {MAX_SOURCE} bytes")));
    }
    check_nesting(source)?;
    let tokens = Lexer::new(source).lex().map_err(|errors| match errors.into_iter().next() {
        Some((expected, found)) => ExprError {
            message: format!("expected {}", expected.as_str()),
            at: span_of_start(source, found),
            help: None,
        },
        None => ExprError::new("not a jq program"),
    })?;
    Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| match errors.into_iter().next() {
        Some((expected, Some(Token(found, _)))) => ExprError {
            message: format!("expected {}, found `{}`", expected.as_str(), first_line(found)),
            at: span(source, found),
            help: None,
        },
        Some((expected, None)) => ExprError::at(
            format!("expected {}, but the program ends", expected.as_str()),
            source.len()..source.len(),
        ),
        None => ExprError::new("not a jq program"),
    })
}

/// Refuses what would recurse too deep in the parser, before it sees it. Counts brackets and words
/// that nest without them, wherever they stand (in strings too: interpolation nests there).
fn check_nesting(source: &str) -> Result<(), ExprError> {
    let (mut depth, mut deepest, mut tokens, mut prefixes) = (0_usize, 0, 0, 0);
    let mut word_at = None;
    for (at, c) in source.char_indices().chain([(source.len(), ' ')]) {
        if c.is_alphanumeric() || c == '_' {
            word_at.get_or_insert(at);
            continue;
        }
        if let Some(start) = word_at.take() {
            tokens += 1;
            let word = &source[start..at];
            prefixes += usize::from(matches!(
                word,
                "try" | "if" | "elif" | "reduce" | "foreach" | "def" | "label" | "as"
            ));
        }
        match c {
            '(' | '[' | '{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '-' => prefixes += 1,
            _ => {}
        }
        tokens += usize::from(!c.is_whitespace());
    }
    if deepest > MAX_NESTING || prefixes > 2 * MAX_NESTING {
        return Err(ExprError::new("the jq program is nested too deep"));
    }
    // Long texts are cheap; long programs are not.
    if tokens > 4 * MAX_TOKENS {
        return Err(ExprError::new("the jq program is too long"));
    }
    Ok(())
}

fn undefined(source: &str, errors: jaq_core::compile::Errors<&str, ()>) -> ExprError {
    let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
    if let Some((name, kind)) = first {
        let hint = match kind.as_str() {
            "variable" => "; bound are $status, $headers, $vars and the foreach names",
            _ => "",
        };
        return ExprError {
            message: format!("`{}` is not a known {}{hint}", first_line(name), kind.as_str()),
            at: span(source, name),
            help: None,
        };
    }
    ExprError::new("the jq program does not compile")
}

fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.char_indices().nth(40).map_or(line, |(at, _)| &line[..at])
}

/// Where a part of the source stands in it.
pub(crate) fn span(source: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(source.as_ptr() as usize)?;
    let end = start + part.len();
    (end <= source.len()).then_some(start..end)
}

fn span_of_start(source: &str, rest: &str) -> Option<Range<usize>> {
    let start = span(source, rest)?.start;
    let width = rest.chars().next().map_or(0, char::len_utf8);
    Some(start..start + width)
}
