//! Cursor values and their order.

use std::cmp::Ordering;

use serde_json::Value;

/// A value of a cursor field, compared by what it is: numbers as numbers, timestamps as instants,
/// other text as text.
#[derive(Clone, Debug, PartialEq)]
pub struct CursorValue(pub Value);

impl CursorValue {
    /// Which of two values is later. Values of different kinds compare by kind (number < text),
    /// so that the order is total.
    pub fn order(&self, other: &CursorValue) -> Ordering {
        match (&self.0, &other.0) {
            (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
            },
            (Value::String(a), Value::String(b)) => {
                match (a.parse::<jiff::Timestamp>(), b.parse::<jiff::Timestamp>()) {
                    (Ok(at), Ok(bt)) => at.cmp(&bt),
                    _ => a.cmp(b),
                }
            }
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }

    /// The later of two.
    pub fn max(self, other: CursorValue) -> CursorValue {
        if self.order(&other) == Ordering::Less { other } else { self }
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}
