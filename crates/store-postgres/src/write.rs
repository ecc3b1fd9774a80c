//! Records into their table, by mode.

use entities::{Failure, Mode, RecordBatch};
use rusqlite::Connection as Ledger;
use store::{Trouble, Write, Written, refusal};

use crate::cells::Texts;
use crate::copy::Rows;
use crate::layout::{self, plain_names};
use crate::session::Session;
use crate::tables::{Held, Table, stage_of};

/// Writes a batch.
pub(crate) fn write(
    session: &mut Session,
    held: &mut Held,
    ledger: &Ledger,
    write: &Write<'_>,
) -> Result<Written, Trouble> {
    if let Some(batch) = plain_names(write.batch) {
        return write_plain(session, held, ledger, &Write { batch: &batch, ..*write });
    }
    write_plain(session, held, ledger, write)
}

fn write_plain(
    session: &mut Session,
    held: &mut Held,
    ledger: &Ledger,
    write: &Write<'_>,
) -> Result<Written, Trouble> {
    let Write { table: of, batch, known, .. } = *write;
    if let Some(failure) = of.shape.lacks_key(batch) {
        return Ok(Written::Refused(failure));
    }
    if batch.rows == 0 {
        return Ok(Written::Rows { rows: 0, differs: None });
    }
    if of.frozen {
        let table = held.load(session, ledger, &of.name, &of.shape)?;
        if let Some(failure) = refusal(&of.name, &table.columns, batch).filter(|_| table.exists) {
            return Ok(Written::Refused(failure));
        }
    }
    let table = match of.mode {
        Mode::Append | Mode::Merge | Mode::Mirror(_) => held.load(session, ledger, &of.name, &of.shape)?,
        Mode::Replace => held.load(session, ledger, &stage_of(&of.name), &of.shape)?,
    };
    if let Some(failure) = table.fit(session, ledger, batch, of.frozen)? {
        return Ok(Written::Refused(failure));
    }
    let drives = write.drives && of.mode.merges() && !of.key.is_empty() && table.is_staged();
    if drives {
        table.flush(session)?;
    }
    let rows = match add(table, write)? {
        Ok(rows) => rows,
        Err(failure) => return Ok(Written::Refused(failure)),
    };
    if drives {
        return write_where_it_differs(session, table, batch);
    }
    table.flush_if_many(session)?;
    held.flush_if_full(session)?;
    let differs = known.map(|known| known.iter().map(|known| !known).collect());
    Ok(Written::Rows { rows, differs })
}

/// Adds the records to those that wait; or says why one of them cannot be held, and adds none.
fn add(table: &mut Table, write: &Write<'_>) -> Result<Result<u64, Failure>, Trouble> {
    let (batch, is_staged) = (write.batch, table.is_staged());
    let texts = Texts::of(batch, write.table.refuses_text);
    let Some(layout) = &table.layout else {
        return Err(Trouble::Ledger(format!("table `{}` has no layout", table.name)));
    };
    let (start, values) = (table.pending.rows.len(), layout.width() + 1 + usize::from(is_staged));
    let mut begins = Vec::with_capacity(if is_staged { batch.rows } else { 0 });
    let (mut rows, mut number) = (0, table.pending.count);
    for row in 0..batch.rows {
        if write.known.is_some_and(|known| known[row]) {
            continue;
        }
        let out = &mut table.pending.rows;
        out.row(values);
        number += 1;
        if is_staged {
            // Behind its length.
            begins.push(out.len() + 4);
            out.long(number);
        }
        layout::task(out, write.task);
        if let Err((at, why)) = layout.put(out, batch.row(row), batch, texts) {
            out.truncate(start);
            return Ok(Err(layout.refusal(row, batch.rows, at, why)));
        }
        rows += 1;
    }
    table.pending.count = number;
    let mut key = Rows::new();
    for (row, begin) in begins.into_iter().enumerate() {
        key.truncate(0);
        layout.put_key(&mut key, batch.row(row), batch, texts);
        table.pending.note_key(&key, begin);
    }
    Ok(Ok(rows))
}

/// Writes the records that wait, and says of each whether its row is new or differs from the row held. Of
/// several records with the same key only the last counts.
fn write_where_it_differs(
    session: &mut Session,
    table: &mut Table,
    batch: &RecordBatch,
) -> Result<Written, Trouble> {
    table.stage(session)?;
    let mut differs = vec![false; batch.rows];
    let numbers = table.differing(session)?;
    for number in &numbers {
        if let Some(differs) = number.checked_sub(1).and_then(|at| differs.get_mut(at)) {
            *differs = true;
        }
    }
    table.merge(session)?;
    Ok(Written::Rows { rows: numbers.len() as u64, differs: Some(differs) })
}
