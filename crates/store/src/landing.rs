//! Records into their table, by mode.

use entities::{Failure, FailureClass, FailureKind, Mode, RecordBatch, TaskId};

use crate::active::ActiveSpec;
use crate::frozen;
use crate::modes::merge;
use crate::statements::Statements;
use crate::tables::{Tables, stage_of};
use crate::trouble::Trouble;

/// SQLite holds rows of up to 10^9 bytes.
const MOST_BYTES: usize = 900_000_000;

/// What became of a batch.
pub(crate) enum Written {
    /// It is in the table.
    Rows {
        /// Rows new, changed or added.
        rows: u64,
        /// Whether each record is new or differs from the row held; none: all count as such.
        differs: Option<Vec<bool>>,
    },
    /// The table cannot hold a record of it; nothing was written.
    Refused(Failure),
}

/// Writes a batch. `drives`: it has children, so which records differ matters. `known`: which records
/// an append table holds already.
pub(crate) fn write(
    statements: &mut Statements<'_>,
    tables: &mut Tables,
    spec: &ActiveSpec,
    batch: &RecordBatch,
    task: TaskId,
    drives: bool,
    known: Option<&[bool]>,
) -> Result<Written, Trouble> {
    if let Some(failure) = unholdable(spec, batch) {
        return Ok(Written::Refused(failure));
    }
    if batch.rows == 0 {
        return Ok(Written::Rows { rows: 0, differs: None });
    }
    let stage;
    let name = match spec.mode {
        Mode::Append | Mode::Merge | Mode::Mirror(_) => spec.table.as_str(),
        Mode::Replace => {
            stage = stage_of(&spec.table);
            stage.as_str()
        }
    };
    let conn = statements.conn;
    if spec.frozen
        && let Some(failure) = frozen::refusal(tables.load(conn, &spec.table, &spec.shape)?, batch)
    {
        return Ok(Written::Refused(failure));
    }
    let table = tables.load(conn, name, &spec.shape)?;
    if let Some(failure) = table.fit(conn, batch, spec.frozen)? {
        return Ok(Written::Refused(failure));
    }
    let Some(layout) = &table.layout else {
        return Err(Trouble::Ledger(format!("table `{name}` has no layout")));
    };
    if drives && spec.mode.merges() && !spec.key.is_empty() {
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
fn unholdable(spec: &ActiveSpec, batch: &RecordBatch) -> Option<Failure> {
    if batch.text.len() > MOST_BYTES {
        let message =
            format!("records of {} bytes: SQLite holds rows of up to {MOST_BYTES}", batch.text.len());
        return Some(Failure::new(FailureClass::Permanent, FailureKind::Record, message));
    }
    merge::lacks_key(batch, &spec.shape.unique)
}
