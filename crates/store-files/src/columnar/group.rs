//! The row groups of a file, whose columns are filled side by side. In the file they stand one after the other, so
//! each is encoded and compressed as its values come, and waits in memory until its group is whole.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{self as arrow, Schema};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use crate::columnar::column_buffer::data_type;
use crate::columnar::schema::{self, Field, KEY, Kind};
use crate::columnar::style::Style;
use crate::rewrite::WholeFile;

/// A group has no more rows, and no more bytes before they are encoded.
const MOST_ROWS: usize = 128 << 10;
const MOST_BYTES: usize = 48 << 20;

/// A file that is being written, group by group.
pub(crate) struct Groups {
    file: SerializedFileWriter<WholeFile>,
    /// The columns, and `_task` behind them.
    columns: Arc<Schema>,
    writers: ArrowRowGroupWriterFactory,
    /// Those of the group that is being filled.
    open: Vec<ArrowColumnWriter>,
    rows: usize,
    bytes: usize,
}

impl Groups {
    /// Begins a file. `first`: what its columns begin with, `_task` last; nothing: it will have no rows.
    pub(crate) fn begin(
        out: WholeFile,
        fields: &[Field],
        first: &[ArrayRef],
    ) -> Result<Groups, ParquetError> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by("syncctl".to_owned())
            .set_max_row_group_row_count(None)
            .set_key_value_metadata(Some(vec![KeyValue::new(KEY.to_owned(), schema::to_json(fields))]));
        for (field, first) in fields.iter().zip(first) {
            properties = Style::of(first).say(&field.name, properties);
        }
        // Requests come in runs.
        properties = Style::Deltas.say("_task", properties);
        let file = SerializedFileWriter::new(out, schema::schema(fields)?, Arc::new(properties.build()))?;
        let mut columns: Vec<arrow::Field> =
            fields.iter().map(|field| arrow::Field::new(&field.name, data_type(field.kind), true)).collect();
        columns.push(arrow::Field::new("_task", data_type(Kind::Int), false));
        let columns = Arc::new(Schema::new(columns));
        let writers = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&columns));
        Ok(Groups { file, columns, writers, open: Vec::new(), rows: 0, bytes: 0 })
    }

    /// Takes the values of the next rows, column by column; `bytes`: roughly how many they are.
    pub(crate) fn take(&mut self, values: &[ArrayRef], bytes: usize) -> Result<(), ParquetError> {
        if self.open.is_empty() {
            self.open = self.writers.create_column_writers(self.file.flushed_row_groups().len())?;
        }
        for ((column, values), writer) in self.columns.fields().iter().zip(values).zip(&mut self.open) {
            for leaf in compute_leaves(column, values)? {
                writer.write(&leaf)?;
            }
        }
        self.rows += values.first().map_or(0, |values| values.len());
        self.bytes += bytes;
        if self.rows >= MOST_ROWS || self.bytes >= MOST_BYTES { self.end() } else { Ok(()) }
    }

    /// Puts the group into the file.
    fn end(&mut self) -> Result<(), ParquetError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for writer in self.open.drain(..) {
            writer.close()?.append_to_row_group(&mut group)?;
        }
        (self.rows, self.bytes) = (0, 0);
        group.close().map(drop)
    }

    /// Its end is reached.
    pub(crate) fn finish(mut self) -> Result<WholeFile, ParquetError> {
        self.end()?;
        self.file.into_inner()
    }
}
