//! Tables that change: their rows live in the ledger's file, and are published as one file at the end of a run.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use entities::{Cell, RecordBatch, Span};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use store::{ColumnType, DELETED_AT, Trouble, quoted, quoted_list};

use crate::columnar::{self, Batches, Take};
use crate::direct::columns_of;
use crate::disk::Disk;
use crate::finish::Finisher;
use crate::folder;
use crate::format::Format;
use crate::lines::LineLayout;
use crate::manifest::{self, Part, PartState, new_beside};
use crate::rewrite::{Whole, WholeFile};

/// How much is read at a time.
const ROWS: usize = 4096;
const BYTES: usize = 4 << 20;

/// A column of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
}

/// Writes the file of a table anew, if it is not what the ledger's file holds.
/// `types`: what the plan says of its fields.
pub(crate) fn publish(
    finisher: &mut Finisher<'_>,
    table: &str,
    types: &HashMap<String, entities::ColumnType>,
) -> Result<(), Trouble> {
    let ledger = finisher.ledger;
    let Some(mut columns) = columns(ledger, table)? else { return Ok(()) };
    let folder = folder::of_table(&manifest::claimed_name(ledger, table)?);
    let held = manifest::one(ledger, table, 0)?;
    let is_there = |part: &Part| finisher.disk.at(part.path(finisher.format)).exists();
    if held.as_ref().is_some_and(|part| part.state == PartState::Done && is_there(part)) {
        return Ok(());
    }
    for column in &mut columns {
        let is_said = |(field, kind): (&String, &entities::ColumnType)| {
            let kind = ColumnType::said(*kind, true);
            (*field == column.name && kind.is_time()).then_some(kind)
        };
        if let Some(kind) = types.iter().find_map(is_said).filter(|_| column.kind == ColumnType::Text) {
            column.kind = kind;
        }
    }
    let part = Part { table: table.to_owned(), folder, ..Part::new(0, PartState::Done) };
    whole(finisher, part, &columns, table)
}

/// Writes the rows that the ledger's file has of a table as one part.
pub(crate) fn whole(
    finisher: &mut Finisher<'_>,
    mut part: Part,
    columns: &[FileColumn],
    table: &str,
) -> Result<(), Trouble> {
    let path = part.path(finisher.format);
    let new = new_beside(&path);
    let rows = KeptRows { ledger: finisher.ledger, table, columns };
    let whole = match finisher.format {
        Format::Jsonl => lines(finisher.disk, &new, &rows, &mut part)?,
        Format::Parquet => columnar::write(finisher.disk, &new, columns, &rows, &mut part)?,
    };
    (part.bytes, part.checksum) = (whole.bytes, Some(whole.checksum));
    finisher.disk.sync_folders([Path::new(&part.folder)])?;
    finisher.moves.plan(finisher.ledger, new, Some(path))?;
    manifest::put(finisher.ledger, &part)
}

fn lines(disk: &Disk, new: &Path, rows: &KeptRows<'_>, part: &mut Part) -> Result<Whole, Trouble> {
    let mut out = WholeFile::create(disk.at(new))?;
    let mut text = Vec::new();
    rows.each(&mut |batch, tasks| {
        let layout = LineLayout::as_named(batch);
        text.clear();
        for (row, task) in tasks.iter().enumerate() {
            layout.write(batch, row, *task, &mut text)?;
            part.count(*task, 1);
        }
        out.write(&text)
    })?;
    out.finish(disk)
}

/// The columns that a table has in the ledger's file, as the account has them, with the mark of deleted rows; none if
/// the table is not there.
pub(crate) fn columns(ledger: &Connection, table: &str) -> Result<Option<Vec<FileColumn>>, Trouble> {
    let present: Vec<String> = ledger
        .prepare_cached("SELECT lower(name) FROM pragma_table_info(?1)")?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if present.is_empty() {
        return Ok(None);
    }
    let is_present = |name: &str| present.contains(&name.to_ascii_lowercase());
    let account = columns_of(ledger, Format::Jsonl, table)?;
    let mut columns: Vec<FileColumn> = account
        .list()
        .iter()
        .filter(|column| is_present(&column.name))
        .map(|column| FileColumn { name: column.name.clone(), kind: column.kind })
        .collect();
    if is_present(DELETED_AT) && !columns.iter().any(|column| column.name == DELETED_AT) {
        columns.push(FileColumn { name: DELETED_AT.to_owned(), kind: ColumnType::Timestamp });
    }
    Ok(Some(columns))
}

/// The rows that the ledger's file has of a table.
pub(crate) struct KeptRows<'a> {
    pub ledger: &'a Connection,
    pub table: &'a str,
    pub columns: &'a [FileColumn],
}

impl Batches for KeptRows<'_> {
    fn each(&self, take: &mut Take<'_>) -> Result<(), Trouble> {
        let names = std::iter::once("_task").chain(self.columns.iter().map(|column| column.name.as_str()));
        // A scan gives rows in the order of their numbers, whatever those are called.
        let sql = format!("SELECT {} FROM {}", quoted_list(names), quoted(self.table));
        let mut statement = self.ledger.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let fields =
            Arc::new(self.columns.iter().map(|column| column.name.as_str().into()).collect::<Vec<_>>());
        let mut batch = RecordBatch { columns: fields, ..RecordBatch::default() };
        let mut tasks = Vec::new();
        while let Some(row) = rows.next()? {
            tasks.push(row.get::<_, Option<i64>>(0)?.unwrap_or(0));
            for (at, column) in self.columns.iter().enumerate() {
                let cell = cell(row.get_ref(at + 1)?, column.kind, &mut batch.text);
                batch.cells.push(cell);
            }
            batch.rows += 1;
            if batch.rows >= ROWS || batch.text.len() >= BYTES {
                take(&batch, &tasks)?;
                (batch.rows, batch.cells, batch.text) = (0, Vec::new(), String::new());
                tasks.clear();
            }
        }
        if batch.rows > 0 { take(&batch, &tasks) } else { Ok(()) }
    }

    fn column_of(&self, field: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == field)
    }
}

/// A value as the ledger's file has it.
pub(crate) fn cell(held: ValueRef<'_>, kind: ColumnType, text: &mut String) -> Cell {
    match held {
        ValueRef::Null | ValueRef::Blob(_) => Cell::Null,
        ValueRef::Integer(i) if kind == ColumnType::Bool => Cell::Bool(i != 0),
        ValueRef::Integer(i) => Cell::Int(i),
        ValueRef::Real(float) => Cell::Float(float),
        ValueRef::Text(bytes) => {
            let value = String::from_utf8_lossy(bytes);
            let start = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push_str(&value);
            let span = Span { start, len: u32::try_from(value.len()).unwrap_or(u32::MAX) };
            match kind {
                ColumnType::Decimal => Cell::Number(span),
                ColumnType::Json | ColumnType::More => Cell::Json(span),
                _ => Cell::Text(span),
            }
        }
    }
}
