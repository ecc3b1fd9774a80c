//! Records into their table, by mode.

use entities::{Failure, FailureClass, FailureKind, Mode, RecordBatch};

use crate::frozen;
use crate::seam::{TableOf, Write, Written};
use crate::sqlite::modes::merge;
use crate::sqlite::tables::{Held, stage_of};
use crate::statements::Statements;
use crate::trouble::Trouble;

/// SQLite holds rows of up to 10^9 bytes.
const MOST_BYTES: usize = 900_000_000;

/// Writes a batch.
pub(crate) fn write(
    statements: &mut Statements<'_>,
    tables: &mut Held,
    write: &Write<'_>,
) -> Result<Written, Trouble> {
    let Write { table: of, batch, task, known, .. } = *write;
    if let Some(failure) = unholdable(of, batch) {
        return Ok(Written::Refused(failure));
    }
    if batch.rows == 0 {
        return Ok(Written::Rows { rows: 0, differs: None });
    }
    let stage;
    let name = match of.mode {
        Mode::Append | Mode::Merge | Mode::Mirror(_) => of.name.as_str(),
        Mode::Replace => {
            stage = stage_of(&of.name);
            stage.as_str()
        }
    };
    let conn = statements.conn;
    if of.frozen {
        let table = tables.load(conn, &of.name, &of.shape)?;
        if let Some(failure) = frozen::refusal(&of.name, &table.columns, batch).filter(|_| table.exists) {
            return Ok(Written::Refused(failure));
        }
    }
    let table = tables.load(conn, name, &of.shape)?;
    if let Some(failure) = table.fit(conn, batch, of.frozen)? {
        return Ok(Written::Refused(failure));
    }
    let Some(layout) = &table.layout else {
        return Err(Trouble::Ledger(format!("table `{name}` has no layout")));
    };
    if write.drives && of.mode.merges() && !of.key.is_empty() {
        let differs = merge::write_where_it_differs(conn, layout, batch, task)?;
        let rows = differs.iter().filter(|differs| **differs).count();
        return Ok(Written::Rows { rows: rows as u64, differs: Some(differs) });
    }
    let insert = statements.row(&layout.insert)?;
    let mut rows = 0;
    for row in 0..batch.rows {
        if known.is_some_and(|known| known[row]) {
            continue;
        }
        layout.bind(insert, task, batch.row(row), batch)?;
        insert.raw_execute()?;
        rows += 1;
    }
    Ok(Written::Rows { rows, differs: known.map(|known| known.iter().map(|known| !known).collect()) })
}

/// Why a batch cannot be held, seen without writing anything.
fn unholdable(table: &TableOf, batch: &RecordBatch) -> Option<Failure> {
    if batch.text.len() > MOST_BYTES {
        let message =
            format!("records of {} bytes: SQLite holds rows of up to {MOST_BYTES}", batch.text.len());
        return Some(Failure::new(FailureClass::Permanent, FailureKind::Record, message));
    }
    table.shape.lacks_key(batch)
}
