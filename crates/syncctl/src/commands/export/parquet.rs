//! Parquet files, by the writer of the Parquet store.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use entities::{Cell, RecordBatch, Span};
use store::{ColumnRow, ColumnType, Scan, Trouble, View, text_of};
use store_files::{FileColumn, write_parquet};

use super::{Counting, Stopped, columns, places};
use crate::exit::Problem;

/// Writes a table to a file that is made, and gives the number of its rows.
pub(super) fn write(
    path: &Path,
    view: &View<'_>,
    table: &str,
    counting: &mut Counting<'_>,
) -> Result<u64, Stopped> {
    let columns = columns(view, table, true)?;
    let of_file: Vec<FileColumn> = columns
        .iter()
        .map(|column| FileColumn { name: column.name.clone(), kind: kind_of(column) })
        .collect();
    let counting = RefCell::new((counting, 0u64));
    // What goes wrong in reading is told apart from what goes wrong in writing.
    let unread: RefCell<Option<Trouble>> = RefCell::new(None);
    let written = write_parquet(path, &of_file, &|take| {
        counting.borrow_mut().1 = 0;
        let mut refused = None;
        let read = view.rows.scan(table, Scan::ALL, &mut |batch| {
            let (batch, tasks) = fitted(batch, &columns, &of_file)?;
            let (counting, rows) = &mut *counting.borrow_mut();
            *rows += batch.rows as u64;
            counting.rows(table, *rows);
            refused = take(&batch, &tasks).err();
            Ok(refused.is_none())
        });
        if let Err(trouble) = read {
            let why = trouble.words();
            unread.replace(Some(trouble));
            return Err(Trouble::Ledger(why));
        }
        refused.map_or(Ok(()), Err)
    });
    match (unread.into_inner(), written) {
        (Some(trouble), _) => Err(Stopped::Read(trouble)),
        (None, Err(error)) => Err(Stopped::Write(Problem::from(error))),
        (None, Ok(rows)) => Ok(rows),
    }
}

/// A column that a user made has a type of its own: its values are written as text.
fn kind_of(column: &ColumnRow) -> ColumnType {
    match ColumnType::parse(&column.kind) {
        ColumnType::Null => ColumnType::Text,
        kind => kind,
    }
}

/// A batch with just these columns, each cell as its column's type has it, and the requests.
fn fitted(
    batch: &RecordBatch,
    columns: &[ColumnRow],
    of_file: &[FileColumn],
) -> Result<(RecordBatch, Vec<i64>), Trouble> {
    let names: Vec<Arc<str>> = columns.iter().map(|column| Arc::from(column.name.as_str())).collect();
    let mut fitted = RecordBatch {
        columns: Arc::new(names),
        rows: batch.rows,
        text: batch.text.clone(),
        ..RecordBatch::default()
    };
    let places = places(batch, columns);
    let own = batch.column("_task");
    let mut tasks = Vec::with_capacity(batch.rows);
    for row in 0..batch.rows {
        let cells = batch.row(row);
        tasks.push(match own.map(|own| &cells[own]) {
            Some(Cell::Int(task)) => *task,
            _ => 0,
        });
        for (place, column) in places.iter().zip(of_file) {
            let cell = place.map_or(Cell::Null, |place| cells[place]);
            let cell = match (cell, column.kind) {
                (Cell::Bool(_) | Cell::Int(_) | Cell::Float(_), ColumnType::Text) => {
                    let text = text_of(&cell, batch);
                    let too_large = |_| Trouble::Ledger("rows of more than 4 GiB".to_owned());
                    let start = u32::try_from(fitted.text.len()).map_err(too_large)?;
                    fitted.text.push_str(&text);
                    Cell::Text(Span { start, len: u32::try_from(text.len()).map_err(too_large)? })
                }
                (Cell::Number(span) | Cell::Json(span), ColumnType::Text) => Cell::Text(span),
                (cell, _) => cell,
            };
            fitted.cells.push(cell);
        }
    }
    Ok((fitted, tasks))
}
