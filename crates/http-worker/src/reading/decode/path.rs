//! Plain paths over values that were parsed already, in jq's meaning.
//!
//! Two readings: [`records`] is strict (what the answer lacks is a failure), [`outputs`] is jq's (a
//! field of null, and a field that is not there, are null).

use expr::{PlainPath, Segment};
use serde_json::Value;

use super::Trouble;

/// The values a `records` path points at. `single`: where a list is expected, a value that is none
/// stands for a list of it alone, as in XML.
pub(in crate::reading) fn records<'v>(
    path: &PlainPath,
    root: &'v Value,
    single: bool,
) -> Result<Vec<&'v Value>, Trouble> {
    let mut found = vec![root];
    for (depth, segment) in path.segments.iter().enumerate() {
        let mut next = Vec::new();
        for value in found {
            match step(segment, value) {
                _ if single && *segment == Segment::Each && !value.is_array() && !value.is_null() => {
                    next.push(value);
                }
                Step::One(value) => next.push(value),
                Step::Many(values) => next.extend(values),
                Step::Nothing | Step::Misfit if path.optional => {}
                Step::Nothing | Step::Misfit => return Err(missing(path, depth, value)),
            }
        }
        found = next;
    }
    let ends_in_each = matches!(path.segments.last(), Some(Segment::Each));
    if ends_in_each {
        return Ok(found);
    }
    found.retain(|value| !value.is_null());
    if found.is_empty() && !path.optional && !path.segments.is_empty() {
        return Err(Trouble::missing(format!("`{}` is null in the answer", written(&path.segments))));
    }
    Ok(found)
}

/// The outputs of a plain path as jq has them.
pub(in crate::reading) fn outputs(
    segments: &[Segment],
    optional: bool,
    root: &Value,
) -> Result<Vec<Value>, Trouble> {
    let Some((segment, rest)) = segments.split_first() else { return Ok(vec![root.clone()]) };
    match step(segment, root) {
        Step::One(value) => outputs(rest, optional, value),
        Step::Many(values) => {
            let mut found = Vec::new();
            for value in values {
                found.extend(outputs(rest, optional, value)?);
            }
            Ok(found)
        }
        Step::Nothing if matches!(segment, Segment::Each) => Ok(Vec::new()),
        Step::Nothing => outputs(rest, optional, &Value::Null),
        Step::Misfit if optional => Ok(Vec::new()),
        Step::Misfit => {
            Err(Trouble::missing(format!("`{}` does not fit {}", written(segments), kind_of(root))))
        }
    }
}

enum Step<'v> {
    One(&'v Value),
    Many(Vec<&'v Value>),
    /// The value is null, or lacks the field or element.
    Nothing,
    /// The value is of another kind.
    Misfit,
}

fn step<'v>(segment: &Segment, value: &'v Value) -> Step<'v> {
    match (segment, value) {
        (_, Value::Null) => Step::Nothing,
        (Segment::Field(name), Value::Object(fields)) => fields.get(name).map_or(Step::Nothing, Step::One),
        (Segment::Index(index), Value::Array(elements)) => {
            let at = if *index < 0 {
                elements.len().checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
            } else {
                usize::try_from(*index).ok()
            };
            at.and_then(|at| elements.get(at)).map_or(Step::Nothing, Step::One)
        }
        (Segment::Each, Value::Array(elements)) => Step::Many(elements.iter().collect()),
        (Segment::Each, Value::Object(fields)) => Step::Many(fields.values().collect()),
        _ => Step::Misfit,
    }
}

/// The failure of a `records` path whose step `depth` does not fit `value`.
fn missing(path: &PlainPath, depth: usize, value: &Value) -> Trouble {
    let keys = match value {
        Value::Object(fields) => Some(fields.keys().map(String::as_str).collect::<Vec<_>>()),
        _ => None,
    };
    lacking(path, depth, kind_of(value), keys.as_deref())
}

/// The failure of a path whose step `depth` finds a value of another `kind`, or an object with
/// other `keys`.
pub(super) fn lacking(path: &PlainPath, depth: usize, kind: &str, keys: Option<&[&str]>) -> Trouble {
    let whole = written(&path.segments);
    let before = match written(&path.segments[..depth]) {
        root if root == "." => "the answer".to_owned(),
        path => format!("`{path}`"),
    };
    match (&path.segments[depth], keys) {
        (Segment::Field(name), Some(keys)) => {
            let mut shown = keys.iter().take(12).map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            if keys.len() > 12 {
                shown.push_str(", …");
            }
            let there = if keys.is_empty() { "is empty".to_owned() } else { format!("has {shown}") };
            Trouble::missing(format!("nothing at `{whole}`: {before} has no `{name}`, it {there}"))
        }
        _ => Trouble::missing(format!("nothing at `{whole}`: {before} is {kind}")),
    }
}

/// As jq writes it.
pub(super) fn written(segments: &[Segment]) -> String {
    let mut out = String::new();
    for segment in segments {
        match segment {
            Segment::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            Segment::Index(index) => out.push_str(&format!("[{index}]")),
            Segment::Each => out.push_str("[]"),
        }
    }
    if out.starts_with('.') { out } else { format!(".{out}") }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
