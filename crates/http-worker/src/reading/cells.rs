//! Cells back to values, with every digit: for templates, predicates and bindings over records.

use entities::{Cell, RecordBatch};
use serde_json::{Map, Value};

use super::decode::tree;

/// A cell of `batch` as a value.
pub(super) fn value_of(batch: &RecordBatch, cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => Value::Bool(value),
        Cell::Int(value) => Value::from(value),
        // The standard library's digits, by which the reader has decided that a float keeps the number.
        Cell::Float(value) => format!("{value:?}").parse().map_or(Value::Null, Value::Number),
        Cell::Text(span) => Value::String(batch.text_of(span).to_owned()),
        // Both were read from JSON: they parse.
        Cell::Number(span) | Cell::Json(span) => tree::parse(batch.text_of(span)).unwrap_or(Value::Null),
    }
}

/// A record as an object. What it lacks is null, as in its row.
pub(super) fn record_of(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let cells = batch.row(row).iter();
    batch.columns.iter().zip(cells).map(|(name, cell)| (name.to_string(), value_of(batch, *cell))).collect()
}
