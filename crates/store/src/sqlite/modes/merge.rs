//! Rows of a table with a key: which of two equal keys counts, and which records are new or differ.

use std::collections::HashMap;

use entities::{RecordBatch, TaskId};
use rusqlite::Connection;

use crate::column::text_of;
use crate::sqlite::layout::Layout;
use crate::trouble::Trouble;

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
