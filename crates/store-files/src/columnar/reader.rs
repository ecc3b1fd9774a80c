//! The rows of a Parquet file that we wrote, as batches: a few thousand at a time, whatever its row groups are.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use entities::{Cell, RecordBatch, Span};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use store::Trouble;

use crate::columnar::schema::{Field, KEY, Kind, from_json};
use crate::columnar::{decimal, time, trouble};
use crate::disk;

/// Rows that are read at a time.
const ROWS: usize = 4096;

/// The rows of a file, one batch after the other.
pub(crate) struct ColumnarRows {
    path: PathBuf,
    file: SerializedFileReader<File>,
    fields: Vec<Field>,
    names: Arc<Vec<Arc<str>>>,
    group: usize,
    columns: Vec<ColumnReader>,
    /// Rows of the group that are left.
    left: usize,
}

impl std::fmt::Debug for ColumnarRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColumnarRows").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ColumnarRows {
    pub(crate) fn open(path: &Path) -> Result<ColumnarRows, Trouble> {
        let file = SerializedFileReader::new(disk::read(path)?).map_err(|error| trouble(path, error))?;
        let metadata = file.metadata().file_metadata();
        let described = metadata.key_value_metadata().into_iter().flatten().find(|pair| pair.key == KEY);
        let fields = described.and_then(|pair| from_json(pair.value.as_ref()?)).unwrap_or_default();
        if fields.len() + 1 != metadata.schema_descr().num_columns() {
            return Err(Trouble::Ledger(format!("{} is no file that syncctl wrote", path.display())));
        }
        let names = Arc::new(fields.iter().map(|field| field.name.as_str().into()).collect());
        Ok(ColumnarRows {
            path: path.to_owned(),
            file,
            fields,
            names,
            group: 0,
            columns: Vec::new(),
            left: 0,
        })
    }

    /// The columns of the file, without `_task`.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The next rows, and the requests that brought them.
    pub(crate) fn next_batch(&mut self) -> Result<Option<(RecordBatch, Vec<i64>)>, Trouble> {
        let path = self.path.clone();
        self.read().map_err(|error| trouble(&path, error))
    }

    /// Leaves out rows.
    pub(crate) fn skip(&mut self, count: u64) -> Result<(), Trouble> {
        let path = self.path.clone();
        self.leave_out(count).map_err(|error| trouble(&path, error))
    }

    fn leave_out(&mut self, mut count: u64) -> Result<(), ParquetError> {
        while count > 0 {
            if self.left == 0 {
                let Some(rows) = self.rows_of_next() else { return Ok(()) };
                if rows as u64 <= count {
                    self.group += 1;
                    count -= rows as u64;
                    continue;
                }
                self.open_group()?;
            }
            let now = usize::try_from(count).unwrap_or(usize::MAX).min(self.left);
            for column in &mut self.columns {
                skip(column, now)?;
            }
            self.left -= now;
            count -= now as u64;
        }
        Ok(())
    }

    fn rows_of_next(&self) -> Option<usize> {
        let group = self.file.metadata().row_groups().get(self.group)?;
        usize::try_from(group.num_rows()).ok()
    }

    fn open_group(&mut self) -> Result<bool, ParquetError> {
        let Some(rows) = self.rows_of_next() else { return Ok(false) };
        let group = self.file.get_row_group(self.group)?;
        self.columns =
            (0..group.num_columns()).map(|at| group.get_column_reader(at)).collect::<Result<_, _>>()?;
        self.left = rows;
        self.group += 1;
        Ok(true)
    }

    fn read(&mut self) -> Result<Option<(RecordBatch, Vec<i64>)>, ParquetError> {
        while self.left == 0 {
            if !self.open_group()? {
                return Ok(None);
            }
        }
        let rows = self.left.min(ROWS);
        let width = self.fields.len();
        let mut batch = RecordBatch {
            columns: Arc::clone(&self.names),
            rows,
            cells: vec![Cell::Null; rows * width],
            ..RecordBatch::default()
        };
        for (at, field) in self.fields.iter().enumerate() {
            let cells = Cells { at, width, batch: &mut batch };
            cells.read(&mut self.columns[at], field.kind, rows)?;
        }
        let mut tasks = Vec::with_capacity(rows);
        if let Some(ColumnReader::Int64ColumnReader(column)) = self.columns.last_mut() {
            while tasks.len() < rows && column.read_records(rows - tasks.len(), None, None, &mut tasks)?.0 > 0
            {
            }
        }
        if tasks.len() < rows {
            return Err(ParquetError::General("a column has fewer values than its file has rows".to_owned()));
        }
        self.left -= rows;
        Ok(Some((batch, tasks)))
    }
}

fn skip(column: &mut ColumnReader, rows: usize) -> Result<(), ParquetError> {
    let skipped = match column {
        ColumnReader::BoolColumnReader(column) => column.skip_records(rows)?,
        ColumnReader::Int32ColumnReader(column) => column.skip_records(rows)?,
        ColumnReader::Int64ColumnReader(column) => column.skip_records(rows)?,
        ColumnReader::Int96ColumnReader(column) => column.skip_records(rows)?,
        ColumnReader::FloatColumnReader(column) => column.skip_records(rows)?,
        ColumnReader::DoubleColumnReader(column) => column.skip_records(rows)?,
        ColumnReader::ByteArrayColumnReader(column) => column.skip_records(rows)?,
        ColumnReader::FixedLenByteArrayColumnReader(column) => column.skip_records(rows)?,
    };
    if skipped < rows {
        return Err(ParquetError::General("a column has fewer values than its file has rows".to_owned()));
    }
    Ok(())
}

/// The cells of one column of a batch.
struct Cells<'b> {
    at: usize,
    width: usize,
    batch: &'b mut RecordBatch,
}

/// Reads a column of a type to its end: values, and where they are.
macro_rules! read_all {
    ($column:expr, $rows:expr) => {{
        let (mut values, mut levels) = (Vec::new(), Vec::with_capacity($rows));
        while levels.len() < $rows {
            if $column.read_records($rows - levels.len(), Some(&mut levels), None, &mut values)?.0 == 0 {
                break;
            }
        }
        (values, levels)
    }};
}

impl Cells<'_> {
    fn read(mut self, column: &mut ColumnReader, kind: Kind, rows: usize) -> Result<(), ParquetError> {
        match column {
            ColumnReader::BoolColumnReader(column) => {
                let (values, levels): (Vec<bool>, Vec<i16>) = read_all!(column, rows);
                self.put(&values, &levels, rows, |truth, _| Some(Cell::Bool(*truth)))
            }
            ColumnReader::Int64ColumnReader(column) => {
                let (values, levels): (Vec<i64>, Vec<i16>) = read_all!(column, rows);
                self.put(&values, &levels, rows, |value, text| match kind {
                    Kind::Timestamp => Some(Cell::Text(span(text, &time::instant(*value)?))),
                    _ => Some(Cell::Int(*value)),
                })
            }
            ColumnReader::Int32ColumnReader(column) => {
                let (values, levels): (Vec<i32>, Vec<i16>) = read_all!(column, rows);
                self.put(&values, &levels, rows, |days, text| {
                    Some(Cell::Text(span(text, &time::day(*days)?)))
                })
            }
            ColumnReader::DoubleColumnReader(column) => {
                let (values, levels): (Vec<f64>, Vec<i16>) = read_all!(column, rows);
                self.put(&values, &levels, rows, |float, _| Some(Cell::Float(*float)))
            }
            ColumnReader::FixedLenByteArrayColumnReader(column) => {
                let (values, levels): (Vec<FixedLenByteArray>, Vec<i16>) = read_all!(column, rows);
                let Kind::Decimal { scale, .. } = kind else { return Err(unknown()) };
                self.put(&values, &levels, rows, |value, text| {
                    let bytes: [u8; 16] = value.data().try_into().ok()?;
                    Some(Cell::Number(span(text, &decimal::text(i128::from_be_bytes(bytes), scale))))
                })
            }
            ColumnReader::ByteArrayColumnReader(column) => {
                let (values, levels): (Vec<ByteArray>, Vec<i16>) = read_all!(column, rows);
                self.put(&values, &levels, rows, |value, text| {
                    let span = span(text, std::str::from_utf8(value.data()).ok()?);
                    Some(match kind {
                        Kind::Json => Cell::Json(span),
                        Kind::Digits => Cell::Number(span),
                        _ => Cell::Text(span),
                    })
                })
            }
            ColumnReader::Int96ColumnReader(_) | ColumnReader::FloatColumnReader(_) => Err(unknown()),
        }
    }

    fn put<T>(
        &mut self,
        values: &[T],
        levels: &[i16],
        rows: usize,
        cell: impl Fn(&T, &mut String) -> Option<Cell>,
    ) -> Result<(), ParquetError> {
        let mut values = values.iter();
        for (row, level) in levels.iter().enumerate() {
            if *level > 0 {
                let value = values.next().ok_or_else(unknown)?;
                self.batch.cells[row * self.width + self.at] =
                    cell(value, &mut self.batch.text).ok_or_else(unknown)?;
            }
        }
        if levels.len() < rows { Err(unknown()) } else { Ok(()) }
    }
}

fn unknown() -> ParquetError {
    ParquetError::General("a column is not what its file says".to_owned())
}

fn span(text: &mut String, value: &str) -> Span {
    let start = u32::try_from(text.len()).unwrap_or(u32::MAX);
    text.push_str(value);
    Span { start, len: u32::try_from(value.len()).unwrap_or(u32::MAX) }
}
