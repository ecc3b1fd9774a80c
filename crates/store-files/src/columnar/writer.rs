//! A Parquet file, written from its beginning to its end: row groups by rows and by size, zstd, statistics.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::ArrayRef;
use entities::{Cell, RecordBatch};
use parquet::errors::ParquetError;
use store::{Trouble, json_of};

use crate::columnar::column_buffer::ColumnBuffer;
use crate::columnar::group::Groups;
use crate::columnar::schema::{self, Field, Kind};
use crate::columnar::{Batches, trouble};
use crate::disk::{self, Disk};
use crate::manifest::Part;
use crate::rewrite::{Whole, WholeFile};
use crate::spool::{Page, Value};

/// Rows are encoded when so many of them wait, or so many bytes.
const ROWS_AT_A_TIME: usize = 4 << 10;
const BYTES_AT_A_TIME: usize = 2 << 20;

/// Writes all rows to a file with these columns, and counts them into the part.
pub(crate) fn write_fields(
    disk: &Disk,
    new: &Path,
    fields: &[Field],
    batches: &dyn Batches,
    part: &mut Part,
) -> Result<Whole, Trouble> {
    let mut writer = Writer::new(disk.at(new), fields);
    (part.rows, part.tasks) = (0, None);
    batches.each(&mut |batch, tasks| {
        tasks.iter().for_each(|task| part.count(*task, 1));
        writer.add(batch, tasks, batches)
    })?;
    part.types = Some(schema::to_json(fields));
    writer.finish(disk)
}

/// A file that is being written.
pub(crate) struct Writer {
    path: PathBuf,
    fields: Vec<Field>,
    /// None before its first rows: they say how its columns are encoded.
    groups: Option<Groups>,
    /// The columns, and `_task` behind them: what is not encoded yet.
    buffers: Vec<ColumnBuffer>,
    /// Rows that are not encoded yet.
    waiting: usize,
    /// Where the cells of the batch before went: by column of the file, the place in the batch.
    sources: Sources,
    more: Option<usize>,
}

#[derive(Default)]
struct Sources {
    of: Arc<Vec<Arc<str>>>,
    by_column: Vec<Option<usize>>,
    /// Cells that have no column.
    beyond: Vec<usize>,
}

impl Writer {
    pub(crate) fn new(path: PathBuf, fields: &[Field]) -> Writer {
        let mut buffers: Vec<ColumnBuffer> =
            fields.iter().map(|field| ColumnBuffer::new(field.kind)).collect();
        buffers.push(ColumnBuffer::new(Kind::Int));
        Writer {
            path,
            fields: fields.to_vec(),
            groups: None,
            buffers,
            waiting: 0,
            sources: Sources::default(),
            more: fields.iter().position(|field| field.name == "_more"),
        }
    }

    /// Adds a batch, and the requests that its rows came from.
    pub(crate) fn add(
        &mut self,
        batch: &RecordBatch,
        tasks: &[i64],
        batches: &dyn Batches,
    ) -> Result<(), Trouble> {
        if batch.rows == 0 {
            return Ok(());
        }
        self.find_sources(&batch.columns, batches);
        let width = batch.columns.len();
        let Some((requests, columns)) = self.buffers.split_last_mut() else { return Ok(()) };
        tasks.iter().for_each(|task| requests.push_task(*task, 1));
        for (at, buffer) in columns.iter_mut().enumerate() {
            match self.sources.by_column[at] {
                None if Some(at) == self.more && !self.sources.beyond.is_empty() => {
                    for row in 0..batch.rows {
                        match more(&self.sources.beyond, batch, row) {
                            Some(text) => buffer.push(Value::Json(&text)),
                            None => buffer.push(Value::Null),
                        };
                    }
                }
                None => buffer.push_nulls(batch.rows),
                Some(place) => {
                    for cell in batch.cells[place..].iter().step_by(width) {
                        let value = Value::of(cell, batch);
                        if !buffer.push(value) {
                            return Err(misfit(&self.fields[at].name, value));
                        }
                    }
                }
            }
        }
        self.added(batch.rows)
    }

    /// Adds the rows of a page.
    pub(crate) fn add_page(&mut self, page: &Page<'_>, batches: &dyn Batches) -> Result<(), Trouble> {
        self.find_sources(&page.columns, batches);
        if !self.sources.beyond.is_empty() {
            let batch = page.to_batch()?;
            return self.add(&batch, &vec![page.task; page.rows], batches);
        }
        let Some((requests, columns)) = self.buffers.split_last_mut() else { return Ok(()) };
        requests.push_task(page.task, page.rows);
        for (at, buffer) in columns.iter_mut().enumerate() {
            let Some(place) = self.sources.by_column[at] else {
                buffer.push_nulls(page.rows);
                continue;
            };
            let mut refused = None;
            let is_whole = page.each(place, |value| {
                let is_held = buffer.push(value);
                if !is_held {
                    refused = Some(value);
                }
                is_held
            });
            if !is_whole {
                let misfit = |value| misfit(&self.fields[at].name, value);
                return Err(refused.map_or_else(|| page.damaged(), misfit));
            }
        }
        self.added(page.rows)
    }

    /// So many rows more wait.
    fn added(&mut self, rows: usize) -> Result<(), Trouble> {
        self.waiting += rows;
        let is_enough = self.waiting >= ROWS_AT_A_TIME
            || self.buffers.iter().map(ColumnBuffer::bytes).sum::<usize>() >= BYTES_AT_A_TIME;
        if is_enough { self.encode() } else { Ok(()) }
    }

    /// Where the cells of rows with these columns go.
    fn find_sources(&mut self, columns: &Arc<Vec<Arc<str>>>, batches: &dyn Batches) {
        if Arc::ptr_eq(&self.sources.of, columns) {
            return;
        }
        let mut by_column = vec![None; self.fields.len()];
        let mut beyond = Vec::new();
        for (place, field) in columns.iter().enumerate() {
            match batches.column_of(field).filter(|at| *at < by_column.len()) {
                Some(at) => by_column[at] = Some(place),
                None => beyond.push(place),
            }
        }
        self.sources = Sources { of: Arc::clone(columns), by_column, beyond };
    }

    /// Encodes the rows that wait.
    fn encode(&mut self) -> Result<(), Trouble> {
        if self.waiting == 0 {
            return Ok(());
        }
        self.waiting = 0;
        let bytes = self.buffers.iter().map(ColumnBuffer::bytes).sum();
        let values: Vec<ArrayRef> = self.buffers.iter_mut().map(ColumnBuffer::take).collect();
        let mut groups = self.groups_with(&values)?;
        groups.take(&values, bytes).map_err(|error| trouble(&self.path, error))?;
        self.groups = Some(groups);
        Ok(())
    }

    /// Takes out what the file has so far; begins it with these values if it has nothing yet.
    fn groups_with(&mut self, first: &[ArrayRef]) -> Result<Groups, Trouble> {
        match self.groups.take() {
            Some(groups) => Ok(groups),
            None => {
                let out = WholeFile::create(self.path.clone())?;
                Groups::begin(out, &self.fields, first).map_err(|error| trouble(&self.path, error))
            }
        }
    }

    /// Its end is reached; it is on the disk when this returns.
    pub(crate) fn finish(mut self, disk: &Disk) -> Result<Whole, Trouble> {
        self.encode()?;
        let file = self.groups_with(&[])?.finish().map_err(|error| trouble(&self.path, error))?;
        file.finish(disk)
    }
}

/// The fields without a column as one JSON object; nothing if all are null.
fn more(beyond: &[usize], batch: &RecordBatch, row: usize) -> Option<String> {
    let cells = batch.row(row);
    let mut out = String::new();
    for place in beyond.iter().filter(|place| cells[**place] != Cell::Null) {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&serde_json::Value::from(&*batch.columns[*place]).to_string());
        out.push(':');
        json_of(&cells[*place], batch, &mut out);
    }
    if out.is_empty() {
        return None;
    }
    out.push('}');
    Some(out)
}

fn misfit(name: &str, value: Value<'_>) -> Trouble {
    let shown: String = value.text().chars().take(60).collect();
    Trouble::Ledger(format!("column `{name}` cannot hold `{shown}`: the account of its type is wrong"))
}

/// Where a file is damaged or cannot be written, as an error that names it.
pub(crate) fn of_library(path: &Path, error: ParquetError) -> Trouble {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(error) => disk::trouble(path, &error),
            Err(other) => Trouble::Ledger(format!("{}: {other}", path.display())),
        },
        other => Trouble::Ledger(format!("{}: {other}", path.display())),
    }
}
