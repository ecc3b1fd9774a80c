//! What an append table already holds of the records at its cursor. APIs answer `since` inclusively, so
//! the records at the cursor's value come again with the next run: those that are the same are dropped.
//!
//! Remembered by hash, and only those with the greatest value of a combination: a later run asks for
//! nothing before that. Not for tables with a key, which know their records by it.

use entities::{Cell, CursorValue, Landing, RecordBatch, RunId};
use rusqlite::{Connection, params};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::column::text_of;
use crate::cursor::CursorKey;
use crate::trouble::Trouble;

/// Which records of the batch an earlier run has landed; none: no record has come before.
pub(crate) fn known(
    conn: &Connection,
    key: &CursorKey<'_>,
    field: &str,
    landing: &Landing,
    batch: &RecordBatch,
) -> Result<Option<Vec<bool>>, Trouble> {
    let (Some(start), Some(column)) = (&landing.task.cursor, batch.column(field)) else { return Ok(None) };
    let start = CursorValue(start.clone());
    let mut lookup = conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM _sync_boundary
         WHERE plan = ?1 AND task = ?2 AND combination = ?3 AND hash = ?4 AND run <> ?5)",
    )?;
    let mut known: Option<Vec<bool>> = None;
    for row in 0..batch.rows {
        let cells = batch.row(row);
        if !value_of(&cells[column], batch).is_some_and(|value| value.order(&start).is_eq()) {
            continue;
        }
        let held: bool = lookup.query_row(
            params![key.plan, key.task, key.combination, hash(cells, batch), landing.run.0],
            |row| row.get(0),
        )?;
        if held {
            known.get_or_insert_with(|| vec![false; batch.rows])[row] = true;
        }
    }
    Ok(known)
}

/// Remembers the batch's records that hold the greatest value the run has seen so far, `pending`.
/// `raised`: it is greater than before this batch, so what the run remembered until now is void.
/// `repeats`: the batch is what an earlier run was owed, and the run's own requests come behind it.
#[expect(clippy::too_many_arguments, reason = "one caller; a struct would only name them twice")]
pub(crate) fn remember(
    conn: &Connection,
    key: &CursorKey<'_>,
    field: &str,
    landing: &Landing,
    batch: &RecordBatch,
    pending: &CursorValue,
    raised: bool,
    repeats: bool,
) -> Result<(), Trouble> {
    let run = if repeats { -landing.run.0 } else { landing.run.0 };
    if raised {
        // What earlier runs remembered stays until the next run: an undone one goes back to it.
        let before = landing.task.cursor.as_ref().map(Value::to_string);
        conn.prepare_cached(
            "DELETE FROM _sync_boundary WHERE plan = ?1 AND task = ?2 AND combination = ?3
             AND abs(run) = ?4 AND value IS NOT ?5",
        )?
        .execute(params![key.plan, key.task, key.combination, landing.run.0, before])?;
    }
    let Some(column) = batch.column(field) else { return Ok(()) };
    let mut insert = conn.prepare_cached(
        "INSERT OR IGNORE INTO _sync_boundary (plan, task, combination, hash, run, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let text = pending.0.to_string();
    for row in 0..batch.rows {
        let cells = batch.row(row);
        if value_of(&cells[column], batch).is_some_and(|value| value.order(pending).is_eq()) {
            insert.execute(params![key.plan, key.task, key.combination, hash(cells, batch), run, text])?;
        }
    }
    Ok(())
}

/// Forgets, when a new run begins, what no cursor stands at any more.
pub(crate) fn purge(conn: &Connection, plan: &str) -> Result<(), Trouble> {
    conn.execute(
        "DELETE FROM _sync_boundary AS b WHERE plan = ?1 AND NOT EXISTS (SELECT 1 FROM _sync_cursors c
         WHERE c.plan = b.plan AND c.task = b.task AND c.combination = b.combination
         AND (c.value = b.value OR c.seen = b.value))",
        [plan],
    )?;
    Ok(())
}

/// Forgets what a run remembered.
pub(crate) fn undo(conn: &Connection, plan: &str, task: &str, run: RunId) -> Result<(), Trouble> {
    conn.execute(
        "DELETE FROM _sync_boundary WHERE plan = ?1 AND task = ?2 AND abs(run) = ?3",
        params![plan, task, run.0],
    )?;
    Ok(())
}

fn value_of(cell: &Cell, batch: &RecordBatch) -> Option<CursorValue> {
    let value = match cell {
        Cell::Null | Cell::Json(_) => return None,
        Cell::Bool(truth) => Value::from(*truth),
        Cell::Text(span) => Value::from(batch.text_of(*span)),
        Cell::Int(_) | Cell::Float(_) | Cell::Number(_) => {
            serde_json::from_str(&text_of(cell, batch)).ok()?
        }
    };
    Some(CursorValue(value))
}

/// Of the fields that are there, in whatever order they came.
fn hash(cells: &[Cell], batch: &RecordBatch) -> Vec<u8> {
    let mut fields: Vec<(&str, &Cell)> = batch
        .columns
        .iter()
        .map(|name| &**name)
        .zip(cells)
        .filter(|(_, cell)| **cell != Cell::Null)
        .collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    let mut bytes = Vec::new();
    for (name, cell) in fields {
        let kind = match cell {
            Cell::Text(_) => b't',
            Cell::Json(_) => b'j',
            _ => b'v',
        };
        let text = text_of(cell, batch);
        for part in [name.as_bytes(), &[kind], text.as_bytes()] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        }
    }
    xxh3_128(&bytes).to_le_bytes().to_vec()
}
