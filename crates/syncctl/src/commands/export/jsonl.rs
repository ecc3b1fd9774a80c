//! Records as lines of JSON: what has no value is left out, numbers keep their digits, `_task` comes last.

use entities::{Cell, RecordBatch};
use serde::de::IgnoredAny;
use serde_json::Value;
use store::json_of;

/// Adds the rows of a batch.
pub(super) fn rows(batch: &RecordBatch, no_task: bool, out: &mut Vec<u8>) {
    let own = batch.column("_task");
    let mut order: Vec<usize> = (0..batch.columns.len()).filter(|at| Some(*at) != own).collect();
    order.extend(own.filter(|_| !no_task));
    let heads: Vec<String> = batch.columns.iter().map(|name| format!("{}:", Value::from(&**name))).collect();
    let mut text = String::new();
    for row in 0..batch.rows {
        let cells = batch.row(row);
        text.push('{');
        let mut is_first = true;
        for at in &order {
            if cells[*at] == Cell::Null {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                text.push(',');
            }
            text.push_str(&heads[*at]);
            value(&cells[*at], batch, &mut text);
        }
        text.push_str("}\n");
    }
    out.extend_from_slice(text.as_bytes());
}

/// A cell as JSON. What says that it is JSON and is not (somebody wrote into the table) is text.
fn value(cell: &Cell, batch: &RecordBatch, out: &mut String) {
    match cell {
        Cell::Number(span) | Cell::Json(span) => {
            let text = batch.text_of(*span);
            match serde_json::from_str::<IgnoredAny>(text) {
                // On one line, whatever it was.
                Ok(_) if text.contains(['\n', '\r']) => match serde_json::from_str::<Value>(text) {
                    Ok(value) => out.push_str(&value.to_string()),
                    Err(_) => out.push_str(&Value::from(text).to_string()),
                },
                Ok(_) => out.push_str(text),
                Err(_) => out.push_str(&Value::from(text).to_string()),
            }
        }
        other => json_of(other, batch, out),
    }
}
