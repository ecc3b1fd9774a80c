//! What can be known of a template before it runs: filters, tests and functions that do not exist, too
//! few or too many arguments, and arguments written out that no value could make work.

use std::ops::Range;

use minijinja::value::Value as Jinja;
use minijinja::{Environment, Error, ErrorKind};

use crate::functions::{FUNCTIONS, Function, FunctionKind};
use crate::scan::{Code, Use};
use crate::scope::nearest;
use crate::{ExprError, hashes};

/// Blocks (`{% … %}`) that a template may have.
const MAX_BLOCKS: usize = 200;

/// Operators, dots, pipes and brackets that one expression may have.
const MAX_SIGNS: usize = 500;
/// How many times a template's statements may multiply what is in a list. minijinja counts neither
/// the bytes of a list that becomes text nor what it takes to compare two, when they hold the same
/// list again and again.
const MAX_GROWTH: u64 = 10_000;

/// Refuses what would take too much stack to parse, before it is parsed.
pub(crate) fn check_size(code: &Code<'_>) -> Result<(), ExprError> {
    if code.statements() > MAX_BLOCKS {
        return Err(ExprError::new(format!("a template with more than {MAX_BLOCKS} blocks")));
    }
    if code.deepest() > MAX_SIGNS {
        return Err(ExprError::new(format!("an expression with more than {MAX_SIGNS} signs")));
    }
    Ok(())
}

/// Checks a template whose durations are desugared, and so reads as minijinja will read it.
pub(crate) fn check(env: &Environment<'static>, source: &str) -> Result<(), ExprError> {
    let code = Code::new(source);
    if code.growth() > MAX_GROWTH {
        return Err(ExprError::new("the template's statements multiply lists without end"));
    }
    if let Some(at) = code.repeated_list() {
        return Err(ExprError::at("a list cannot be repeated", at)
            .help(Some("write its elements out, or use range(n)".to_owned())));
    }
    for used in code.uses() {
        let name = &source[used.name.clone()];
        exists(env, used.kind, name).map_err(|mut error| {
            error.at = Some(used.name.clone());
            error
        })?;
        if let Some(function) = row(used.kind, name) {
            count(function, &used, source)?;
        }
        try_constants(env, &used, source)?;
    }
    Ok(())
}

fn row(kind: FunctionKind, name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.kind == kind && function.name == name)
}

fn exists(env: &Environment<'static>, kind: FunctionKind, name: &str) -> Result<(), ExprError> {
    let mut state = env.empty_state();
    let (error, missing, word) = match kind {
        FunctionKind::Filter => (state.apply_filter(name, &[]).err(), ErrorKind::UnknownFilter, "filter"),
        FunctionKind::Test => (state.perform_test(name, &[]).err(), ErrorKind::UnknownTest, "test"),
        _ => return Ok(()),
    };
    // Those that begin with a line are for `rewrite` only.
    if !name.starts_with('_') && error.is_none_or(|error| error.kind() != missing) {
        return Ok(());
    }
    let known = FUNCTIONS.iter().filter(|function| function.kind == kind).map(|function| function.name);
    let close = nearest(name, known).or_else(|| elsewhere(name));
    let help = match (close, row(FunctionKind::Filter, name), row(FunctionKind::Test, name)) {
        (_, Some(_), _) => Some(format!("`{name}` is a filter: write x | {name}")),
        (_, _, Some(_)) => Some(format!("`{name}` is a test: write x is {name}")),
        (Some(close), ..) => Some(format!("did you mean `{close}`?")),
        (None, ..) => None,
    };
    Err(ExprError::new(format!("there is no {word} `{name}`")).help(help))
}

/// What other template languages and libraries call it.
fn elsewhere(name: &str) -> Option<&'static str> {
    Some(match name {
        "strftime" | "format_datetime" | "date_format" | "datetime" => "date",
        "strptime" | "to_datetime" | "str_to_datetime" => "parse_date",
        "timestamp" | "unix" | "to_epoch" => "epoch",
        "from_timestamp" => "from_epoch",
        "b64encode" | "base64encode" | "base64_encode" => "base64",
        "b64decode" | "base64decode" => "base64_decode",
        "hash" => "sha256",
        "strip" => "trim",
        "uppercase" | "upcase" => "upper",
        "lowercase" | "downcase" => "lower",
        "size" | "len" => "length",
        "url_encode" | "quote" | "encode_uri" => "urlencode",
        "parse_json" | "fromjson" | "to_dict" => "from_json",
        "to_json" | "dump" | "dumps" => "json",
        "null" | "nil" => "none",
        "matching" | "match" => "regex_match",
        "search" => "regex_search",
        "startingwith" | "starts_with" => "startswith",
        "endingwith" | "ends_with" => "endswith",
        _ => return None,
    })
}

fn count(function: &Function, used: &Use, source: &str) -> Result<(), ExprError> {
    let Some((least, most)) = function.arity() else { return Ok(()) };
    if used.args.iter().any(|arg| is_named(&source[arg.clone()])) {
        return Ok(());
    }
    let message = match used.args.len() {
        given if given < least => "missing argument",
        given if given > most => "too many arguments",
        _ => return Ok(()),
    };
    let call = if function.args.is_empty() {
        function.name.to_owned()
    } else {
        format!("{}({})", function.name, function.args)
    };
    Err(ExprError::at(message, used.name.clone()).help(Some(format!("it is written {call}"))))
}

/// `name=value`, or `*rest`.
fn is_named(arg: &str) -> bool {
    let arg = arg.trim_start();
    let name = arg.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(arg.len());
    let behind = arg[name..].trim_start();
    arg.starts_with('*') || (name > 0 && behind.starts_with('=') && !behind.starts_with("=="))
}

/// Calls a filter with those of its arguments that are written out, on a value that fits.
fn try_constants(env: &Environment<'static>, used: &Use, source: &str) -> Result<(), ExprError> {
    let (Some(first), Some(last)) = (used.args.first(), used.args.last()) else { return Ok(()) };
    let name = &source[used.name.clone()];
    let sample = match (used.kind, name) {
        (FunctionKind::Filter, "date" | "add" | "sub") => "2024-01-01T00:00:00Z",
        (FunctionKind::Filter, "regex_match" | "regex_search" | "regex_replace" | "hmac") => "",
        (FunctionKind::Filter, _) if hashes::takes_encoding(name) => "",
        (FunctionKind::Function, "duration") => return try_duration(env, source, first),
        _ => return Ok(()),
    };
    let mut args = vec![Jinja::from(sample)];
    for (at, arg) in used.args.iter().enumerate() {
        args.push(match (constant(env, &source[arg.clone()]), name, at) {
            (Some(value), ..) => value,
            // A key is never written out, and its value does not matter here.
            (None, "hmac", 0) | (None, "regex_replace", 1) => Jinja::from(""),
            _ => return Ok(()),
        });
    }
    match env.empty_state().apply_filter(name, &args) {
        Ok(_) => Ok(()),
        Err(error) => Err(wrong(&error, trimmed(source, first.start..last.end))),
    }
}

fn try_duration(env: &Environment<'static>, source: &str, arg: &Range<usize>) -> Result<(), ExprError> {
    let Some(length) = constant(env, &source[arg.clone()]) else { return Ok(()) };
    match env.empty_state().apply_filter("add", &[Jinja::from("2024-01-01T00:00:00Z"), length]) {
        Ok(_) => Ok(()),
        Err(error) => Err(wrong(&error, trimmed(source, arg.clone()))),
    }
}

/// The value of an expression that reads nothing.
fn constant(env: &Environment<'static>, source: &str) -> Option<Jinja> {
    let expression = env.compile_expression(source.trim()).ok()?;
    if !expression.undeclared_variables(false).is_empty() {
        return None;
    }
    expression.eval(()).ok()
}

fn wrong(error: &Error, at: Range<usize>) -> ExprError {
    ExprError::at(error.detail().map_or_else(|| error.kind().to_string(), str::to_owned), at)
}

fn trimmed(source: &str, at: Range<usize>) -> Range<usize> {
    let text = &source[at.clone()];
    let start = at.start + (text.len() - text.trim_start().len());
    start..start + text.trim().len()
}
