//! Plain paths: `.data.items[]`. Followed without the interpreter.

use std::fmt::Write;

use serde_json::Value;

use crate::ExprError;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// `.name` or `["name"]`
    Field(String),
    /// `[3]` or `[-1]`
    Index(i64),
    /// `[]`
    Each,
}

/// A jq program that is only a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainPath {
    /// Its steps; none for `.`.
    pub segments: Vec<Segment>,
    /// It holds a `?`: what is missing, null or of another shape yields nothing.
    pub optional: bool,
}

impl PlainPath {
    /// The path that `source` is, if it is nothing else.
    pub fn parse(source: &str) -> Option<PlainPath> {
        let mut rest = source.trim_matches(SPACE).strip_prefix('.')?;
        let mut path = PlainPath { segments: Vec::new(), optional: false };
        // Behind a dot a name may follow at once; otherwise only brackets, a further dot or `?`.
        let mut after_dot = true;
        loop {
            rest = rest.trim_start_matches(SPACE);
            if rest.is_empty() {
                return (!after_dot || path.segments.is_empty()).then_some(path);
            }
            if let Some(tail) = rest.strip_prefix('[') {
                let (segment, tail) = bracket(tail.trim_start_matches(SPACE))?;
                path.segments.push(segment);
                (rest, after_dot) = (tail, false);
            } else if let Some(tail) = rest.strip_prefix('?') {
                if path.segments.is_empty() {
                    return None;
                }
                path.optional = true;
                (rest, after_dot) = (tail, false);
            } else if after_dot {
                let (name, tail) = if rest.starts_with('"') { string(rest)? } else { name(rest)? };
                path.segments.push(Segment::Field(name));
                (rest, after_dot) = (tail, false);
            } else {
                rest = rest.strip_prefix('.')?;
                after_dot = true;
                if rest.is_empty() {
                    return None;
                }
            }
        }
    }

    /// What it points at. Strict unless [`PlainPath::optional`]: a missing field, an index out of
    /// range, a step into null or into another shape is an error that names the step.
    pub fn select<'v>(&self, value: &'v Value) -> Result<Vec<&'v Value>, ExprError> {
        let mut found = vec![value];
        for (depth, segment) in self.segments.iter().enumerate() {
            let mut next = Vec::with_capacity(found.len());
            for value in found {
                match step(value, segment, &mut next) {
                    Ok(()) => {}
                    Err(_) if self.optional => {}
                    Err(misfit) => return Err(self.error(depth, misfit)),
                }
            }
            found = next;
        }
        Ok(found)
    }

    /// As jq does: what is missing is null, what does not fit is an error (nothing, with `?`).
    pub(crate) fn first<'v>(&self, value: &'v Value) -> Result<Option<&'v Value>, ExprError> {
        first(value, &self.segments)
            .or_else(|(left, misfit)| {
                if self.optional { Ok(None) } else { Err(self.error(self.segments.len() - left, misfit)) }
            })
            .map(|found| found.filter(|value| !value.is_null()))
    }

    fn error(&self, depth: usize, misfit: Misfit) -> ExprError {
        let here = shown(&self.segments[..=depth]);
        let before = shown(&self.segments[..depth]);
        ExprError::new(match misfit {
            Misfit::Missing => format!("the answer has no `{here}`"),
            Misfit::Shape("null") => format!("`{before}` of the answer is null, so it has no `{here}`"),
            Misfit::Shape(kind) => format!("`{before}` of the answer is {kind}, so it has no `{here}`"),
        })
    }
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

enum Misfit {
    Missing,
    Shape(&'static str),
}

fn step<'v>(value: &'v Value, segment: &Segment, out: &mut Vec<&'v Value>) -> Result<(), Misfit> {
    match (segment, value) {
        (Segment::Field(name), Value::Object(map)) => out.push(map.get(name).ok_or(Misfit::Missing)?),
        (Segment::Index(index), Value::Array(list)) => {
            out.push(element(list, *index).ok_or(Misfit::Missing)?)
        }
        (Segment::Each, Value::Array(list)) => out.extend(list),
        (Segment::Each, Value::Object(map)) => out.extend(map.values()),
        _ => return Err(Misfit::Shape(kind(value))),
    }
    Ok(())
}

/// The first output under jq's rules; `Ok(None)` also for a null met on the way. An error carries
/// how many segments were left, so that the caller can name the step.
fn first<'v>(value: &'v Value, segments: &[Segment]) -> Result<Option<&'v Value>, (usize, Misfit)> {
    let Some((segment, rest)) = segments.split_first() else { return Ok(Some(value)) };
    match (segment, value) {
        (Segment::Field(name), Value::Object(map)) => match map.get(name) {
            Some(value) => first(value, rest),
            None => first(&Value::Null, rest),
        },
        (Segment::Index(index), Value::Array(list)) => match element(list, *index) {
            Some(value) => first(value, rest),
            None => first(&Value::Null, rest),
        },
        (Segment::Field(_) | Segment::Index(_), Value::Null) => first(&Value::Null, rest),
        (Segment::Each, Value::Array(list)) => first_of(list.iter(), rest),
        (Segment::Each, Value::Object(map)) => first_of(map.values(), rest),
        // jq refuses to iterate over null; for `next` and `total` null means that there is nothing.
        (Segment::Each, Value::Null) => Ok(None),
        _ => Err((segments.len(), Misfit::Shape(kind(value)))),
    }
}

fn first_of<'v>(
    values: impl Iterator<Item = &'v Value>,
    rest: &[Segment],
) -> Result<Option<&'v Value>, (usize, Misfit)> {
    // The first element that yields anything decides, as the first output of a jq stream does. A
    // null is an output too unless a later `[]` runs dry on it.
    for value in values {
        if let Some(found) = first(value, rest)? {
            return Ok(Some(found));
        }
        if !rest.contains(&Segment::Each) {
            return Ok(None);
        }
    }
    Ok(None)
}

fn element(list: &[Value], index: i64) -> Option<&Value> {
    let index = if index < 0 { index.checked_add(i64::try_from(list.len()).ok()?)? } else { index };
    list.get(usize::try_from(index).ok()?)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What stands in brackets, and what follows them.
fn bracket(rest: &str) -> Option<(Segment, &str)> {
    let (segment, tail) = if rest.starts_with(']') {
        (Segment::Each, rest)
    } else if rest.starts_with('"') {
        let (name, tail) = string(rest)?;
        (Segment::Field(name), tail)
    } else {
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (number, tail) = rest.split_at(rest.len() - digits.len() + end);
        (Segment::Index(number.parse().ok()?), tail)
    };
    Some((segment, tail.trim_start_matches(SPACE).strip_prefix(']')?))
}

/// A quoted name without jq's interpolation, and what follows it.
fn string(rest: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find_map(|(at, c)| {
        if escaped {
            escaped = false;
            return None;
        }
        escaped = c == '\\';
        (c == '"').then_some(at + 1)
    })?;
    let (quoted, tail) = rest.split_at(end);
    // JSON refuses `\(`, and so interpolation goes to the interpreter.
    Some((serde_json::from_str(quoted).ok()?, tail))
}

fn name(rest: &str) -> Option<(String, &str)> {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let (name, tail) = rest.split_at(end);
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then(|| (name.to_owned(), tail))
}

/// The path as jq writes it.
fn shown(segments: &[Segment]) -> String {
    let mut out = String::new();
    for segment in segments {
        // Writing to a String cannot fail.
        let _ = match segment {
            Segment::Field(field) if name(field).is_some_and(|(_, tail)| tail.is_empty()) => {
                write!(out, ".{field}")
            }
            Segment::Field(field) => write!(out, ".[{}]", Value::String(field.clone())),
            Segment::Index(index) => write!(out, "[{index}]"),
            Segment::Each => write!(out, "[]"),
        };
    }
    if !out.starts_with('.') {
        out.insert(0, '.');
    }
    out
}
