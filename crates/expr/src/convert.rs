//! JSON values as minijinja's, and back. Numbers that minijinja cannot hold keep their digits.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Value as Jinja, ValueKind};
use serde_json::{Map, Number, Value};

use crate::ExprError;

/// How deep a value that goes into or comes out of an expression may be nested.
pub(crate) const MAX_DEPTH: usize = 200;

/// A number whose digits neither an integer nor a float holds: it renders as it is, and arithmetic
/// on it is an error rather than a silent loss.
#[derive(Debug)]
struct Digits(String);

impl Object for Digits {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A JSON value for minijinja. What is nested deeper than the cap becomes null.
pub(crate) fn to_jinja(value: &Value) -> Jinja {
    convert(value, 0)
}

fn convert(value: &Value, depth: usize) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(b) => Jinja::from(*b),
        Value::Number(number) => number_to_jinja(number),
        Value::String(text) => Jinja::from(text.as_str()),
        _ if depth >= MAX_DEPTH => Jinja::from(()),
        Value::Array(items) => items.iter().map(|item| convert(item, depth + 1)).collect(),
        Value::Object(map) => Jinja::from_pairs(
            map.iter().map(|(key, value)| (Jinja::from(key.as_str()), convert(value, depth + 1))),
        ),
    }
}

fn number_to_jinja(number: &Number) -> Jinja {
    let digits = number.as_str();
    if let Some(integer) = number.as_i64() {
        return Jinja::from(integer);
    }
    if let Ok(integer) = digits.parse::<i128>() {
        return Jinja::from(integer);
    }
    // Up to 15 significant digits any float gives back what it was read from.
    let significant = digits.split(['e', 'E']).next().unwrap_or_default();
    let significant = significant.chars().filter(char::is_ascii_digit).count();
    match digits.parse::<f64>() {
        Ok(float) if float.is_finite() && significant <= 17 => Jinja::from(float),
        _ => Jinja::from_object(Digits(digits.to_owned())),
    }
}

/// What an expression gave, as JSON.
pub(crate) fn from_jinja(value: &Jinja) -> Result<Value, ExprError> {
    from_jinja_at(value, 0)
}

fn from_jinja_at(value: &Jinja, depth: usize) -> Result<Value, ExprError> {
    if depth >= MAX_DEPTH {
        return Err(ExprError::new(format!("the value is nested deeper than {MAX_DEPTH} levels")));
    }
    let failed = |error: minijinja::Error| ExprError::new(error.to_string());
    Ok(match value.kind() {
        ValueKind::Undefined => return Err(ExprError::new("the value is undefined")),
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => number_from_jinja(value)?,
        ValueKind::String => Value::from(value.as_str().unwrap_or_default()),
        ValueKind::Bytes => Value::from(String::from_utf8_lossy(value.as_bytes().unwrap_or_default())),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter().map_err(failed)? {
                items.push(from_jinja_at(&item, depth + 1)?);
            }
            Value::Array(items)
        }
        ValueKind::Map => {
            let mut map = Map::new();
            for key in value.try_iter().map_err(failed)? {
                let item = value.get_item(&key).map_err(failed)?;
                map.insert(key.to_string(), from_jinja_at(&item, depth + 1)?);
            }
            Value::Object(map)
        }
        _ => match value.downcast_object_ref::<Digits>() {
            Some(digits) => {
                Value::Number(digits.0.parse().map_err(|_| ExprError::new("a number of unknown form"))?)
            }
            None => return Err(ExprError::new(format!("a {} is not a value", value.kind()))),
        },
    })
}

fn number_from_jinja(value: &Jinja) -> Result<Value, ExprError> {
    // minijinja prints integers with all their digits and floats with the shortest that round-trip.
    let text = value.to_string();
    text.parse::<Number>()
        .map(Value::Number)
        .map_err(|_| ExprError::new(format!("{text} is not a number that JSON can hold")))
}
