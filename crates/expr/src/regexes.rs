//! `regex_match`, `regex_search`, `regex_replace`: linear in the text, and bounded in pattern × text.

use std::cell::RefCell;

use minijinja::value::{Value as Jinja, ValueKind};
use minijinja::{Environment, Error, State};
use regex::{Captures, Regex, RegexBuilder};

use crate::filters::{invalid, text};
use crate::template::{FUEL, MAX_OUTPUT};

/// Bytes that a pattern may have as it is written.
const MAX_PATTERN: usize = 4 << 10;
/// Bytes that a pattern may have when compiled. The first that fits is also what a byte of text
/// costs: that much is the most that the engine may have to look at for it.
const SIZES: [usize; 5] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10];
/// Pattern bytes times text bytes that all the fuel pays for.
const MAX_WORK: usize = 1 << 31;
/// Compiled patterns that a thread remembers: a plan's requests use the same few.
const REMEMBERED: usize = 16;

/// A compiled pattern.
#[derive(Clone)]
struct Pattern {
    regex: Regex,
    size: usize,
}

pub(crate) fn install(env: &mut Environment<'static>) {
    env.add_filter("regex_match", regex_match);
    env.add_filter("regex_search", regex_search);
    env.add_filter("regex_replace", regex_replace);
}

/// Whether the pattern is found anywhere.
fn regex_match(state: &State, value: &Jinja, pattern: &str) -> Result<bool, Error> {
    let (pattern, text) = prepare(state, value, pattern)?;
    Ok(pattern.regex.is_match(&text))
}

/// What is found first: all of it, or a group of it by number or name; null if nothing is.
fn regex_search(
    state: &State,
    value: &Jinja,
    pattern: &str,
    group: Option<&Jinja>,
) -> Result<Option<String>, Error> {
    let (pattern, text) = prepare(state, value, pattern)?;
    let group = match group {
        None => 0,
        Some(group) => number_of(&pattern.regex, group)?,
    };
    let found = pattern.regex.captures(&text);
    Ok(found.and_then(|found| found.get(group)).map(|found| found.as_str().to_owned()))
}

/// Each match replaced; `$1` and `${name}` stand for groups.
fn regex_replace(state: &State, value: &Jinja, pattern: &str, with: &str) -> Result<String, Error> {
    let (pattern, text) = prepare(state, value, pattern)?;
    let mut out = String::new();
    let mut copied = 0;
    for found in pattern.regex.captures_iter(&text) {
        let whole = whole(&found);
        out.push_str(text.get(copied..whole.start).unwrap_or_default());
        found.expand(with, &mut out);
        if out.len() > MAX_OUTPUT {
            return Err(invalid(format!("regex_replace writes more than {MAX_OUTPUT} bytes")));
        }
        copied = whole.end;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Ok(out)
}

fn whole(found: &Captures<'_>) -> std::ops::Range<usize> {
    found.get(0).map_or(0..0, |found| found.range())
}

fn number_of(regex: &Regex, group: &Jinja) -> Result<usize, Error> {
    let found = match group.kind() {
        ValueKind::String => regex.capture_names().position(|name| name.is_some() && name == group.as_str()),
        _ => group.as_usize().filter(|number| *number < regex.captures_len()),
    };
    found.ok_or_else(|| invalid(format!("the pattern has no group `{group}`")))
}

/// The compiled pattern and the text, once the work they make is paid for.
fn prepare(state: &State, value: &Jinja, pattern: &str) -> Result<(Pattern, String), Error> {
    let text = text(value)?;
    let pattern = compiled(pattern)?;
    let work = pattern.size.saturating_mul(text.len());
    if work > MAX_WORK {
        return Err(invalid(format!(
            "the pattern is too large for a text of {} bytes; simplify it, or cut the text",
            text.len()
        )));
    }
    state.consume_fuel(work as u64 / (MAX_WORK as u64 / FUEL))?;
    Ok((pattern, text))
}

fn compiled(pattern: &str) -> Result<Pattern, Error> {
    thread_local! {
        static PATTERNS: RefCell<Vec<(String, Pattern)>> = const { RefCell::new(Vec::new()) };
    }
    let known = PATTERNS.with_borrow(|patterns| {
        patterns.iter().find(|(source, _)| source == pattern).map(|(_, compiled)| compiled.clone())
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let compiled = compile(pattern)?;
    PATTERNS.with_borrow_mut(|patterns| {
        if patterns.len() == REMEMBERED {
            patterns.remove(0);
        }
        patterns.push((pattern.to_owned(), compiled.clone()));
    });
    Ok(compiled)
}

fn compile(pattern: &str) -> Result<Pattern, Error> {
    if pattern.len() > MAX_PATTERN {
        return Err(invalid(format!("a regular expression longer than {MAX_PATTERN} bytes")));
    }
    for size in SIZES {
        match RegexBuilder::new(pattern).size_limit(size).nest_limit(50).build() {
            Ok(regex) => return Ok(Pattern { regex, size }),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(error) => {
                // The last line says what is wrong, those before draw it.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                let why = last.strip_prefix("error: ").unwrap_or(last);
                return Err(invalid(format!("`{pattern}` is not a regular expression: {why}")));
            }
        }
    }
    Err(invalid(format!("the regular expression `{pattern}` repeats too much: it takes more than 256 KiB")))
}
