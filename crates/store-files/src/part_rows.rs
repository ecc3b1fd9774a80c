//! The rows of one part, one after the other, whatever it is: lines, the pages of a spool, columns.

use std::fs::File;
use std::io::{BufRead, BufReader, Take};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use entities::{Cell, RecordBatch};
use serde_json::{Map, Value};
use store::{ColumnType, Columns, Trouble, digits};

use crate::columnar::ColumnarRows;
use crate::disk;
use crate::format::Format;
use crate::lines;
use crate::manifest::{Part, PartState};
use crate::rewrite::read_to;
use crate::spool::Pages;

/// How the values of a row are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// As the fields of the records; all columns are there, and `_more` is not.
    Fields,
    /// As the columns; what has no value may be missing.
    Columns,
}

/// A row: the request that brought it, and its values.
pub(crate) type Row = (i64, Map<String, Value>);

/// The rows of a part that are left.
#[derive(Debug)]
pub(crate) struct PartRows {
    path: PathBuf,
    columns: Arc<Columns>,
    names: Names,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Lines { file: BufReader<Take<File>>, line: String },
    Pages { pages: Pages, batch: RecordBatch, task: i64, row: usize },
    Columnar { rows: Box<ColumnarRows>, batch: RecordBatch, tasks: Vec<i64>, row: usize },
}

impl PartRows {
    /// Opens what has committed of a part. `path`: where its file is.
    pub(crate) fn open(
        path: &Path,
        format: Format,
        part: &Part,
        columns: Arc<Columns>,
        names: Names,
    ) -> Result<PartRows, Trouble> {
        let source = match (format, part.state) {
            (Format::Jsonl, _) => Source::Lines { file: read_to(path, part.bytes)?, line: String::new() },
            (Format::Parquet, PartState::Open) => Source::Pages {
                pages: Pages::of(path.to_owned(), read_to(path, part.bytes)?),
                batch: RecordBatch::default(),
                task: 0,
                row: 0,
            },
            (Format::Parquet, _) => Source::Columnar {
                rows: Box::new(ColumnarRows::open(path)?),
                batch: RecordBatch::default(),
                tasks: Vec::new(),
                row: 0,
            },
        };
        Ok(PartRows { path: path.to_owned(), columns, names, source })
    }

    /// Leaves out rows.
    pub(crate) fn skip(&mut self, mut count: u64) -> Result<(), Trouble> {
        match &mut self.source {
            Source::Columnar { rows, .. } => return rows.skip(count),
            Source::Lines { file, line } => {
                for _ in 0..count {
                    line.clear();
                    file.read_line(line).map_err(|error| disk::trouble(&self.path, &error))?;
                }
            }
            Source::Pages { pages, batch, task, row } => {
                while count > 0 {
                    let left = (batch.rows - *row) as u64;
                    if left > count {
                        *row += usize::try_from(count).unwrap_or(0);
                        break;
                    }
                    count -= left;
                    let Some(next) = pages.next_batch()? else { break };
                    (*batch, *task) = next;
                    *row = 0;
                }
            }
        }
        Ok(())
    }

    /// The next row: the request that brought it, and its values.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, Trouble> {
        let (columns, names) = (&self.columns, self.names);
        match &mut self.source {
            Source::Lines { file, line } => {
                line.clear();
                if file.read_line(line).map_err(|error| disk::trouble(&self.path, &error))? == 0 {
                    return Ok(None);
                }
                let broken =
                    || Trouble::Ledger(format!("{} has a line that no store wrote", self.path.display()));
                let task = lines::task_of(line.as_bytes()).ok_or_else(broken)?;
                let record = match names {
                    Names::Fields => lines::record_of(line, columns),
                    Names::Columns => serde_json::from_str(line).map(|mut held: Map<String, Value>| {
                        held.shift_remove("_task");
                        held
                    }),
                };
                Ok(Some((task, record.map_err(|_| broken())?)))
            }
            Source::Pages { pages, batch, task, row } => {
                while *row >= batch.rows {
                    let Some(next) = pages.next_batch()? else { return Ok(None) };
                    (*batch, *task) = next;
                    *row = 0;
                }
                *row += 1;
                let cells = batch.row(*row - 1);
                Ok(Some((*task, of_fields(batch, cells, columns, names))))
            }
            Source::Columnar { rows, batch, tasks, row } => {
                while *row >= batch.rows {
                    let Some(next) = rows.next_batch()? else { return Ok(None) };
                    (*batch, *tasks) = next;
                    *row = 0;
                }
                *row += 1;
                let cells = batch.row(*row - 1);
                Ok(Some((tasks[*row - 1], of_columns(batch, cells, columns, names))))
            }
        }
    }
}

/// A row of a batch whose fields are called as in the records.
fn of_fields(batch: &RecordBatch, cells: &[Cell], columns: &Columns, names: Names) -> Map<String, Value> {
    let mut record = Map::new();
    let mut more = Map::new();
    if names == Names::Fields {
        let fields = columns.list().iter().filter(|column| column.kind != ColumnType::More);
        record.extend(fields.map(|column| (column.source.clone(), Value::Null)));
    }
    for (field, cell) in batch.columns.iter().zip(cells) {
        let value = value(cell, batch);
        match (columns.column_of(field), names) {
            (_, Names::Fields) => drop(record.insert(field.to_string(), value)),
            (Some(at), Names::Columns) => drop(record.insert(columns.list()[at].name.clone(), value)),
            (None, Names::Columns) if value.is_null() => {}
            (None, Names::Columns) => drop(more.insert(field.to_string(), value)),
        }
    }
    if !more.is_empty() {
        record.insert("_more".to_owned(), Value::Object(more));
    }
    record
}

/// A row of a batch whose fields are called as the columns are.
fn of_columns(batch: &RecordBatch, cells: &[Cell], columns: &Columns, names: Names) -> Map<String, Value> {
    let held = batch.columns.iter().zip(cells).map(|(name, cell)| (name.to_string(), value(cell, batch)));
    if names == Names::Columns {
        return held.collect();
    }
    let mut held: Map<String, Value> = held.collect();
    let mut record = Map::new();
    for column in columns.list() {
        let value = held.remove(&column.name).unwrap_or(Value::Null);
        match (column.kind, value) {
            (ColumnType::More, Value::Object(more)) => record.extend(more),
            (ColumnType::More, _) => {}
            (_, value) => drop(record.insert(column.source.clone(), value)),
        }
    }
    record
}

/// A cell as JSON, with all its digits.
pub(crate) fn value(cell: &Cell, batch: &RecordBatch) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(truth) => Value::from(*truth),
        Cell::Int(i) => Value::from(*i),
        Cell::Float(float) => serde_json::from_str(&digits(*float)).unwrap_or_default(),
        Cell::Text(span) => Value::from(batch.text_of(*span)),
        Cell::Number(span) | Cell::Json(span) => {
            let text = batch.text_of(*span);
            serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
        }
    }
}
