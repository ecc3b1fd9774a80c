//! A Parquet file, written from its beginning to its end: row groups by rows and by size, zstd, statistics.

use std::path::Path;
use std::sync::Arc;

use entities::{Cell, RecordBatch};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::Int64Type;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use store::{Trouble, json_of};

use crate::columnar::column_buffer::ColumnBuffer;
use crate::columnar::schema::{self, Field, KEY};
use crate::columnar::{Batches, trouble};
use crate::disk::{self, Disk};
use crate::manifest::Part;
use crate::rewrite::{Whole, WholeFile};

/// A row group has no more rows, and no more bytes before they are encoded.
const GROUP_ROWS: usize = 128 << 10;
const GROUP_BYTES: usize = 48 << 20;

/// Writes all rows to a file with these columns, and counts them into the part.
pub(crate) fn write_fields(
    disk: &Disk,
    new: &Path,
    fields: &[Field],
    batches: &dyn Batches,
    part: &mut Part,
) -> Result<Whole, Trouble> {
    let path = disk.at(new);
    let mut writer =
        Writer::create(WholeFile::create(path.clone())?, fields).map_err(|error| trouble(&path, error))?;
    (part.rows, part.tasks) = (0, None);
    batches.each(&mut |batch, tasks| {
        tasks.iter().for_each(|task| part.count(*task));
        writer.add(batch, tasks, batches)?;
        if writer.is_full() { writer.end_group().map_err(|error| trouble(&path, error)) } else { Ok(()) }
    })?;
    part.types = Some(schema::to_json(fields));
    writer.finish().map_err(|error| trouble(&path, error))?.finish(disk)
}

/// A file that is being written.
pub(crate) struct Writer {
    file: SerializedFileWriter<WholeFile>,
    names: Vec<String>,
    buffers: Vec<ColumnBuffer>,
    tasks: Vec<i64>,
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
    pub(crate) fn create(file: WholeFile, fields: &[Field]) -> Result<Writer, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by("syncctl".to_owned())
            .set_max_row_group_row_count(None)
            .set_key_value_metadata(Some(vec![KeyValue::new(KEY.to_owned(), schema::to_json(fields))]))
            .build();
        let file = SerializedFileWriter::new(file, schema::schema(fields)?, Arc::new(properties))?;
        Ok(Writer {
            file,
            names: fields.iter().map(|field| field.name.clone()).collect(),
            buffers: fields.iter().map(|field| ColumnBuffer::new(field.kind)).collect(),
            tasks: Vec::new(),
            sources: Sources::default(),
            more: fields.iter().position(|field| field.name == "_more"),
        })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.tasks.len() >= GROUP_ROWS
            || self.buffers.iter().map(ColumnBuffer::bytes).sum::<usize>() >= GROUP_BYTES
    }

    pub(crate) fn add(
        &mut self,
        batch: &RecordBatch,
        tasks: &[i64],
        batches: &dyn Batches,
    ) -> Result<(), Trouble> {
        if !Arc::ptr_eq(&self.sources.of, &batch.columns) {
            self.sources = self.sources_of(batch, batches);
        }
        let width = batch.columns.len();
        if batch.rows == 0 {
            return Ok(());
        }
        for (at, buffer) in self.buffers.iter_mut().enumerate() {
            match self.sources.by_column[at] {
                None if Some(at) == self.more && !self.sources.beyond.is_empty() => {
                    for row in 0..batch.rows {
                        match more(&self.sources.beyond, batch, row) {
                            Some(text) => buffer.push_text(&text),
                            None => buffer.push_nulls(1),
                        }
                    }
                }
                None => buffer.push_nulls(batch.rows),
                Some(place) => {
                    for cell in batch.cells[place..].iter().step_by(width) {
                        if !buffer.push(cell, batch) {
                            return Err(misfit(&self.names[at], cell, batch));
                        }
                    }
                }
            }
        }
        self.tasks.extend_from_slice(tasks);
        Ok(())
    }

    fn sources_of(&self, batch: &RecordBatch, batches: &dyn Batches) -> Sources {
        let mut by_column = vec![None; self.buffers.len()];
        let mut beyond = Vec::new();
        for (place, field) in batch.columns.iter().enumerate() {
            match batches.column_of(field).filter(|at| *at < by_column.len()) {
                Some(at) => by_column[at] = Some(place),
                None => beyond.push(place),
            }
        }
        Sources { of: Arc::clone(&batch.columns), by_column, beyond }
    }

    pub(crate) fn end_group(&mut self) -> Result<(), ParquetError> {
        if self.tasks.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for buffer in &mut self.buffers {
            let Some(column) = group.next_column()? else { break };
            buffer.write(column)?;
        }
        if let Some(mut column) = group.next_column()? {
            column.typed::<Int64Type>().write_batch(&self.tasks, None, None)?;
            column.close()?;
        }
        self.tasks.clear();
        group.close()?;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<WholeFile, ParquetError> {
        self.end_group()?;
        self.file.into_inner()
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

fn misfit(name: &str, cell: &Cell, batch: &RecordBatch) -> Trouble {
    let shown: String = store::text_of(cell, batch).chars().take(60).collect();
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
