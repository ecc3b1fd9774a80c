//! JSON values as jaq's, and back; both ways within bounds of depth and size.

use jaq_core::ValT;
use jaq_json::{Map as JaqMap, Num, Val};
use serde_json::{Map, Number, Value};

use crate::ExprError;
use crate::convert::MAX_DEPTH;

/// Bytes (estimated) that the outputs of one evaluation may have: 64 MiB.
pub(crate) const MAX_BYTES: usize = 64 << 20;
/// Digits up to which an integer becomes one; longer ones stay text until they are calculated with.
const MAX_INTEGER_DIGITS: usize = 400;

/// What is left of [`MAX_BYTES`].
pub(crate) struct Budget(usize);

impl Budget {
    pub(crate) fn new() -> Self {
        Budget(MAX_BYTES)
    }

    fn take(&mut self, bytes: usize) -> Result<(), ExprError> {
        match self.0.checked_sub(bytes) {
            Some(left) => self.0 = left,
            None => {
                return Err(ExprError::new(format!(
                    "jq: the outputs take more than {} MiB",
                    MAX_BYTES >> 20
                )));
            }
        }
        Ok(())
    }
}

fn too_deep() -> ExprError {
    ExprError::new(format!("jq: a value is nested deeper than {MAX_DEPTH} levels"))
}

/// A JSON value for jaq.
pub(crate) fn to_jaq(value: &Value) -> Result<Val, ExprError> {
    to_jaq_at(value, 0)
}

/// A JSON object for jaq.
pub(crate) fn map_to_jaq(map: &Map<String, Value>) -> Result<Val, ExprError> {
    object(map, 0)
}

fn to_jaq_at(value: &Value, depth: usize) -> Result<Val, ExprError> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    Ok(match value {
        Value::Null => Val::Null,
        Value::Bool(b) => Val::Bool(*b),
        Value::Number(number) => number_to_jaq(number.as_str()),
        Value::String(text) => Val::from(text.clone()),
        Value::Array(items) => items
            .iter()
            .map(|item| to_jaq_at(item, depth + 1))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .collect(),
        Value::Object(map) => object(map, depth)?,
    })
}

fn object(map: &Map<String, Value>, depth: usize) -> Result<Val, ExprError> {
    let entries = map.iter().map(|(key, value)| Ok((Val::from(key.clone()), to_jaq_at(value, depth + 1)?)));
    Ok(Val::obj(entries.collect::<Result<JaqMap, ExprError>>()?))
}

fn number_to_jaq(digits: &str) -> Val {
    if digits.len() > MAX_INTEGER_DIGITS {
        return Val::Num(Num::Dec(digits.to_owned().into()));
    }
    // It cannot fail: any number is an integer or a decimal.
    Val::from_num(digits).unwrap_or_default()
}

/// A value of jaq as JSON. NaN becomes null and the infinities the greatest floats, as in jq.
pub(crate) fn from_jaq(value: &Val, budget: &mut Budget) -> Result<Value, ExprError> {
    from_jaq_at(value, budget, 0)
}

fn from_jaq_at(value: &Val, budget: &mut Budget, depth: usize) -> Result<Value, ExprError> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    budget.take(16)?;
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(b) => Value::Bool(*b),
        Val::Num(number) => from_number(number, budget)?,
        Val::TStr(bytes) | Val::BStr(bytes) => {
            budget.take(bytes.len())?;
            Value::String(String::from_utf8_lossy(bytes).into_owned())
        }
        Val::Arr(items) => Value::Array(
            items.iter().map(|item| from_jaq_at(item, budget, depth + 1)).collect::<Result<_, _>>()?,
        ),
        Val::Obj(map) => {
            let mut out = Map::with_capacity(map.len());
            for (key, value) in map.iter() {
                let key = match key {
                    Val::TStr(bytes) | Val::BStr(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    _ => return Err(ExprError::new("jq: the keys of an object must be texts")),
                };
                budget.take(key.len() + 16)?;
                out.insert(key, from_jaq_at(value, budget, depth + 1)?);
            }
            Value::Object(out)
        }
    })
}

fn from_number(number: &Num, budget: &mut Budget) -> Result<Value, ExprError> {
    let digits = match number {
        Num::Int(integer) => return Ok(Value::from(*integer)),
        Num::Float(float) if float.is_nan() => return Ok(Value::Null),
        Num::Float(float) => return Ok(Value::from(float.clamp(f64::MIN, f64::MAX))),
        Num::BigInt(integer) => integer.to_string(),
        Num::Dec(digits) => digits.as_str().to_owned(),
    };
    budget.take(digits.len())?;
    // A program may write a number as JSON does not (`.5`); its value counts then.
    match digits.parse::<Number>() {
        Ok(number) => Ok(Value::Number(number)),
        Err(_) => Ok(digits.parse::<f64>().map_or(Value::Null, Value::from)),
    }
}
