//! How the records of a batch go into a table: which cell into which column. Kept from landing to landing, since the
//! records of a spec mostly look alike.

use std::sync::Arc;

use entities::{Cell, Failure, FailureClass, FailureKind, RecordBatch, TaskId};
use store::{ColumnType, Columns, Kinds, Shape};

use crate::cells::{MOST_BYTES, Texts, Unholdable, put, put_more};
use crate::copy::Rows;

/// The layout of one list of columns in one table. Void when the table's columns change.
#[derive(Debug)]
pub(crate) struct Layout {
    columns: Arc<Vec<Arc<str>>>,
    /// For each column of the table, in order: its type, and the cell for it.
    places: Vec<(ColumnType, Option<usize>)>,
    /// What each cell may be.
    holds: Vec<Option<Kinds>>,
    /// The cells for `_more`.
    beyond: Vec<usize>,
    /// The cells of the key, and the types of their columns.
    key: Vec<(ColumnType, usize)>,
}

impl Layout {
    /// The layout of `batch` in a table that fits it.
    pub(crate) fn of(columns: &Columns, shape: &Shape, batch: &RecordBatch) -> Layout {
        let mut places: Vec<(ColumnType, Option<usize>)> =
            columns.list().iter().map(|column| (column.kind, None)).collect();
        let (mut holds, mut beyond) = (Vec::new(), Vec::new());
        for (cell, source) in batch.columns.iter().enumerate() {
            let at = columns.column_of(source);
            holds.push(at.map(|at| {
                let kind = places[at].0;
                // Of instants and days the worker has made texts.
                let is_said = kind.is_time() && columns.said(shape, source) == Some(kind);
                if is_said { ColumnType::Text.holds() } else { kind.holds() }
            }));
            match at {
                Some(at) => places[at].1 = Some(cell),
                // Without `_more` the table is frozen, and the field always null.
                None => beyond.push(cell),
            }
        }
        let key = shape.unique.iter().filter_map(|field| {
            let kind = columns.list()[columns.column_of(field)?].kind;
            Some((kind, batch.column(field)?))
        });
        Layout { columns: Arc::clone(&batch.columns), places, holds, beyond, key: key.collect() }
    }

    /// Whether it is the layout of this batch's columns, and they hold these kinds, cell by cell.
    pub(crate) fn holds(&self, batch: &RecordBatch, kinds: &[Kinds]) -> bool {
        self.columns == batch.columns
            && self.holds.iter().zip(kinds).all(|(held, kinds)| held.is_none_or(|held| kinds.within(held)))
    }

    /// Whether the key has a column whose equal values may look different, however they are written.
    pub(crate) fn has_json_key(&self) -> bool {
        self.key.iter().any(|(kind, _)| *kind == ColumnType::Json)
    }

    /// How many values a row has besides `_task`.
    pub(crate) fn width(&self) -> usize {
        self.places.len()
    }

    /// Adds a record's values, in the order of the table's columns.
    pub(crate) fn put(
        &self,
        rows: &mut Rows,
        row: &[Cell],
        batch: &RecordBatch,
        texts: Texts,
    ) -> Result<(), (Option<usize>, Unholdable)> {
        let start = rows.len();
        for (kind, cell) in &self.places {
            match cell {
                Some(at) => {
                    put(rows, *kind, &row[*at], batch, texts, false).map_err(|why| (Some(*at), why))?;
                }
                None if *kind == ColumnType::More && !self.beyond.is_empty() => {
                    let fields = self.beyond.iter().map(|at| (&*self.columns[*at], &row[*at]));
                    put_more(rows, fields, batch, texts).map_err(|why| (None, why))?;
                }
                None => rows.null(),
            }
        }
        if rows.len() - start > MOST_BYTES {
            return Err((None, Unholdable::TooLong));
        }
        Ok(())
    }

    /// Writes a record's key so that equal ones are alike.
    pub(crate) fn put_key(&self, out: &mut Rows, row: &[Cell], batch: &RecordBatch, texts: Texts) {
        for (kind, at) in &self.key {
            // What cannot be held has been refused by now.
            if put(out, *kind, &row[*at], batch, texts, true).is_err() {
                out.null();
            }
        }
    }

    /// The failure of a record that cannot be held.
    pub(crate) fn refusal(&self, row: usize, rows: usize, at: Option<usize>, why: Unholdable) -> Failure {
        let (words, help) = why.words();
        let field = at.map(|at| &*self.columns[at]);
        let subject = match field {
            Some(field) => format!("field `{field}` of record {} of {rows}", row + 1),
            None => format!("record {} of {rows}", row + 1),
        };
        Failure::new(FailureClass::Permanent, FailureKind::Record, format!("{subject} {words}"))
            .help(help.replace("FIELD", field.unwrap_or("FIELD")))
    }
}

/// Records whose fields have names that PostgreSQL can hold: U+0000 in one becomes U+FFFD.
pub(crate) fn plain_names(batch: &RecordBatch) -> Option<RecordBatch> {
    if !batch.columns.iter().any(|name| name.contains('\0')) {
        return None;
    }
    let names = batch.columns.iter().map(|name| Arc::from(name.replace('\0', "\u{FFFD}"))).collect();
    Some(RecordBatch { columns: Arc::new(names), ..batch.clone() })
}

/// The request that brought a row, as its column has it.
pub(crate) fn task(rows: &mut Rows, task: TaskId) {
    rows.long(task.0);
}
