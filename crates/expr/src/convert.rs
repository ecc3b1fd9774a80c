//! JSON values as minijinja's, and back. Numbers that minijinja cannot hold keep their digits.

use std::borrow::Cow;

use minijinja::value::{Value as Jinja, ValueKind};
use serde_json::{Map, Number, Value};

use crate::exact::{Digits, loses_digits};
use crate::{ExprError, filters, raw};

/// How deep a value that goes into or comes out of an expression may be nested.
pub(crate) const MAX_DEPTH: usize = 200;
/// Bytes (estimated) that what comes out of a template may have: 16 MiB. A value that holds another
/// one twice, and so on, is small until it is written out.
const MAX_VALUE: usize = 16 << 20;
/// A JSON value for minijinja. What is nested deeper than the cap becomes null.
pub(crate) fn to_jinja(value: &Value) -> Jinja {
    convert(value, 0)
}

fn convert(value: &Value, depth: usize) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(b) => Jinja::from(*b),
        Value::Number(number) => number_to_jinja(number.as_str()),
        Value::String(text) => Jinja::from(&*raw::escaped(text)),
        _ if depth >= MAX_DEPTH => Jinja::from(()),
        Value::Array(items) => items.iter().map(|item| convert(item, depth + 1)).collect(),
        Value::Object(map) => Jinja::from_pairs(
            map.iter().map(|(key, value)| (Jinja::from(&*raw::escaped(key)), convert(value, depth + 1))),
        ),
    }
}

/// A number written as JSON does, or as minijinja does.
pub(crate) fn number_to_jinja(digits: &str) -> Jinja {
    // An integer has no negative zero.
    if let Some(integer) = digits.parse::<i64>().ok().filter(|integer| *integer != 0 || digits == "0") {
        return Jinja::from(integer);
    }
    if let Ok(integer) = digits.parse::<i128>()
        && integer != 0
    {
        return Jinja::from(integer);
    }
    match digits.parse::<f64>() {
        Ok(float) if float.is_finite() && !loses_digits(digits) => Jinja::from(float),
        _ => Jinja::from_object(Digits::new(digits)),
    }
}

/// What an expression gave, as JSON. Raw bytes in it are an error.
pub(crate) fn from_jinja(value: &Jinja) -> Result<Value, ExprError> {
    from_jinja_at(value, 0, &mut { MAX_VALUE })
}

fn from_jinja_at(value: &Jinja, depth: usize, room: &mut usize) -> Result<Value, ExprError> {
    let size = 16 + value.as_str().map_or(0, str::len);
    *room = room.checked_sub(size).ok_or_else(|| {
        ExprError::new(format!("the template makes a value of more than {} MiB", MAX_VALUE >> 20))
    })?;
    if depth >= MAX_DEPTH {
        return Err(ExprError::new(format!("the value is nested deeper than {MAX_DEPTH} levels")));
    }
    let failed = |error: minijinja::Error| ExprError::new(error.to_string());
    Ok(match value.kind() {
        ValueKind::Undefined => return Err(ExprError::new("the value is undefined")),
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => number_from_jinja(value)?,
        ValueKind::String => Value::from(plain(value.as_str().unwrap_or_default())?),
        ValueKind::Bytes => Value::from(String::from_utf8_lossy(value.as_bytes().unwrap_or_default())),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter().map_err(failed)? {
                items.push(from_jinja_at(&item, depth + 1, room)?);
            }
            Value::Array(items)
        }
        ValueKind::Map => {
            let mut map = Map::new();
            for key in value.try_iter().map_err(failed)? {
                let item = value.get_item(&key).map_err(failed)?;
                map.insert(plain(&key.to_string())?.into_owned(), from_jinja_at(&item, depth + 1, room)?);
            }
            Value::Object(map)
        }
        _ => match value.downcast_object_ref::<Digits>() {
            Some(digits) => {
                Value::Number(digits.text().parse().map_err(|_| ExprError::new("a number of unknown form"))?)
            }
            None => return Err(ExprError::new(format!("a {} is not a value", value.kind()))),
        },
    })
}

fn plain(text: &str) -> Result<Cow<'_, str>, ExprError> {
    raw::plain(text).ok_or_else(|| ExprError::new(filters::RAW_REFUSED))
}

fn number_from_jinja(value: &Jinja) -> Result<Value, ExprError> {
    // minijinja prints integers with all their digits and floats with the shortest that round-trip.
    let text = value.to_string();
    text.parse::<Number>()
        .map(Value::Number)
        .map_err(|_| ExprError::new(format!("{text} is not a number that JSON can hold")))
}
