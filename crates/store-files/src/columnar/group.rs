//! A row group whose columns are filled side by side. In the file they stand one after the other, so each is encoded
//! and compressed as its values come, and waits in memory until the group is whole.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::page::{CompressedPage, PageWriteSpec, PageWriter};
use parquet::column::writer::{ColumnWriter, get_column_writer};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::SchemaDescriptor;

use crate::columnar::column_buffer::{ColumnBuffer, Style};

/// A group has no more rows, and no more bytes before they are encoded.
const MOST_ROWS: usize = 128 << 10;
const MOST_BYTES: usize = 48 << 20;

/// The library's words for how columns are encoded.
pub(crate) struct Styles {
    dictionary: WriterPropertiesPtr,
    plain: WriterPropertiesPtr,
    deltas: WriterPropertiesPtr,
}

/// A row group that is being filled.
pub(crate) struct Group {
    columns: Vec<Chunk>,
    rows: usize,
    bytes: usize,
}

struct Chunk {
    writer: ColumnWriter<'static>,
    written: Written,
}

/// The pages of a column, in memory.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

struct Pages(TrackedWrite<Written>);

/// What goes for every column, and for the file.
pub(crate) fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by("syncctl".to_owned())
        .set_max_row_group_row_count(None)
}

impl Default for Styles {
    fn default() -> Self {
        let without = || properties().set_dictionary_enabled(false);
        Styles {
            dictionary: Arc::new(properties().build()),
            plain: Arc::new(without().build()),
            deltas: Arc::new(without().set_encoding(Encoding::DELTA_BINARY_PACKED).build()),
        }
    }
}

impl Group {
    /// An empty one. How a column is encoded is chosen by the values that come first.
    pub(crate) fn begin(schema: &SchemaDescriptor, first: &[ColumnBuffer], styles: &Styles) -> Group {
        let last = first.len() - 1;
        let chunk = |(at, (buffer, column)): (usize, (&ColumnBuffer, _))| {
            // The last has the requests, in runs.
            let style = match if at == last { Style::Deltas } else { buffer.style() } {
                Style::Dictionary => &styles.dictionary,
                Style::Plain => &styles.plain,
                Style::Deltas => &styles.deltas,
            };
            let written = Written::default();
            let pages = Box::new(Pages(TrackedWrite::new(written.clone())));
            Chunk { writer: get_column_writer(column, Arc::clone(style), pages), written }
        };
        let columns = first.iter().zip(schema.columns().iter().cloned()).enumerate().map(chunk).collect();
        Group { columns, rows: 0, bytes: 0 }
    }

    /// Takes the values of the next rows; the buffers are empty then.
    pub(crate) fn take(&mut self, rows: usize, buffers: &mut [ColumnBuffer]) -> Result<(), ParquetError> {
        self.rows += rows;
        for (chunk, buffer) in self.columns.iter_mut().zip(buffers) {
            self.bytes += buffer.bytes();
            buffer.write(&mut chunk.writer)?;
        }
        Ok(())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows >= MOST_ROWS || self.bytes >= MOST_BYTES
    }

    /// Puts it into the file.
    pub(crate) fn end<W: Write + Send>(self, file: &mut SerializedFileWriter<W>) -> Result<(), ParquetError> {
        let mut group = file.next_row_group()?;
        for Chunk { writer, written } in self.columns {
            let closed = writer.close()?;
            let pages = std::mem::take(&mut *written.0.lock().unwrap_or_else(PoisonError::into_inner));
            group.append_column(&Bytes::from(pages), closed)?;
        }
        group.close().map(drop)
    }
}

impl PageWriter for Pages {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec, ParquetError> {
        SerializedPageWriter::new(&mut self.0).write_page(page)
    }

    fn close(&mut self) -> Result<(), ParquetError> {
        Ok(self.0.flush()?)
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
