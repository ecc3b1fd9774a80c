//! Rows of a table with a key: what makes a record impossible to hold, which of two equal keys
//! counts, and which records are new or differ.

use std::collections::HashMap;

use entities::{Cell, Failure, FailureClass, FailureKind, RecordBatch, TaskId};
use rusqlite::Connection;

use crate::column::text_of;
use crate::sqlite::layout::Layout;
use crate::trouble::Trouble;

/// The failure of a batch with a record that has no key, if there is one: it cannot be held.
pub(crate) fn lacks_key(batch: &RecordBatch, key: &[String]) -> Option<Failure> {
    for field in key {
        let lacking = match batch.column(field) {
            None => (batch.rows > 0).then_some(0),
            Some(at) => (0..batch.rows).find(|row| batch.row(*row)[at] == Cell::Null),
        };
        if let Some(row) = lacking {
            let message =
                format!("record {} of {} has no `{field}`, which is in the key", row + 1, batch.rows);
            return Some(
                Failure::new(FailureClass::Permanent, FailureKind::Record, message)
                    .help("choose a `key` that every record has, or leave such records out with `where`"),
            );
        }
    }
    None
}

/// Writes the records and says of each whether its row is new or differs from the row held. Of
/// several records with the same key only the last counts.
pub(crate) fn write_where_it_differs(
    conn: &Connection,
    layout: &Layout,
    batch: &RecordBatch,
    task: TaskId,
) -> Result<Vec<bool>, Trouble> {
    let mut insert = conn.prepare_cached(&layout.insert_if_differs)?;
    let mut touch = conn.prepare_cached(&layout.touch)?;
    let winners = winners(layout, batch);
    let mut differs = vec![false; batch.rows];
    for (row, differs) in differs.iter_mut().enumerate() {
        if !winners[row] {
            continue;
        }
        let cells = batch.row(row);
        layout.bind(&mut insert, task, cells, batch)?;
        if insert.raw_execute()? > 0 {
            *differs = true;
        } else {
            layout.bind_touch(&mut touch, task, cells, batch)?;
            touch.raw_execute()?;
        }
    }
    Ok(differs)
}

/// Which records are the last of their key.
fn winners(layout: &Layout, batch: &RecordBatch) -> Vec<bool> {
    let mut last: HashMap<Vec<String>, usize> = HashMap::with_capacity(batch.rows);
    let mut winners = vec![true; batch.rows];
    for row in 0..batch.rows {
        let cells = batch.row(row);
        let key = layout.key.iter().map(|at| text_of(&cells[*at], batch)).collect();
        if let Some(earlier) = last.insert(key, row) {
            winners[earlier] = false;
        }
    }
    winners
}
