//! A table whose mode has changed from one run to the next: its rows move between files of their own and the ledger's.

use std::collections::BTreeSet;
use std::sync::Arc;

use entities::{Bindings, Cell, Mode, RecordBatch, RunId, Span, TaskId};
use rusqlite::Connection;
use serde_json::{Map, Value};
use store::{Shape, SqliteTables, Statements, TableOf, Tables, Trouble, Write, Written, foreign, quoted};

use crate::direct::columns_of;
use crate::disk::Disk;
use crate::finish::Finisher;
use crate::folder;
use crate::kept;
use crate::manifest::{self, Part, PartState};
use crate::part_rows::{Names, PartRows};
use crate::recovery::is_ours;

/// Rows that go to SQLite at a time.
const ROWS: usize = 1000;

/// Refuses a folder that others have made.
pub(crate) fn claim_folder(disk: &Disk, table: &str) -> Result<(), Trouble> {
    let folder = disk.at(folder::of_table(table));
    let mut entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    if entries.any(|entry| !is_ours(&entry.file_name().to_string_lossy())) {
        let owner = format!("somebody else: {} is there and syncctl did not make it", folder.display());
        return Err(foreign(table, &owner));
    }
    Ok(())
}

/// Whether rows of a table are in parts.
pub(crate) fn has_parts(ledger: &Connection, table: &str) -> Result<bool, Trouble> {
    Ok(!manifest::parts_from(ledger, table, 1, 1)?.is_empty())
}

/// The rows that a table has in the ledger's file become a part, to which others are added.
pub(crate) fn to_parts(finisher: &mut Finisher<'_>, table: &str) -> Result<(), Trouble> {
    let ledger = finisher.ledger;
    let Some(columns) = kept::columns(ledger, table)? else { return Ok(()) };
    let folder = folder::of_table(&manifest::claimed_name(ledger, table)?);
    if let Some(old) = manifest::one(ledger, table, 0)? {
        finisher.moves.plan(ledger, old.path(finisher.format), None)?;
        manifest::forget(ledger, &old)?;
    }
    let number = manifest::next_number(ledger, table)?;
    let part = Part { table: table.to_owned(), folder, ..Part::new(number, PartState::Done) };
    kept::whole(finisher, part, &columns, table)?;
    ledger.execute_batch(&format!("DROP TABLE {}", quoted(table)))?;
    Ok(())
}

/// The rows of a table's parts go to the ledger's file, but those that are taken back; gives the parts' folders.
pub(crate) fn to_kept(
    finisher: &mut Finisher<'_>,
    tables: &mut SqliteTables,
    table: &str,
    taken: &BTreeSet<i64>,
) -> Result<Vec<String>, Trouble> {
    let ledger = finisher.ledger;
    let columns = Arc::new(columns_of(ledger, finisher.format, table)?);
    ledger.execute("DELETE FROM _sync_columns WHERE target = ?1", [table])?;
    ledger.execute("DELETE FROM _sync_wide WHERE target = ?1", [table])?;
    let mut into = Importer { ledger, tables, table: as_appended(table), rows: Vec::new(), task: 0 };
    let mut folders = Vec::new();
    for part in manifest::parts_from(ledger, table, 1, i64::MAX)? {
        let path = finisher.disk.at(part.present_path(finisher.format));
        let mut rows = PartRows::open(&path, finisher.format, &part, Arc::clone(&columns), Names::Fields)?;
        while let Some((task, record)) = rows.next()? {
            if !taken.contains(&task) {
                into.add(task, record)?;
            }
        }
        finisher.moves.plan(ledger, part.present_path(finisher.format), None)?;
        manifest::forget(ledger, &part)?;
        folders.push(part.folder);
    }
    into.flush()?;
    into.tables.ensure(ledger, &as_appended(table))?;
    Ok(folders)
}

/// The key comes later: the claim makes its index, or says that it cannot be.
fn as_appended(table: &str) -> TableOf {
    TableOf {
        name: table.to_owned(),
        mode: Mode::Append,
        key: Vec::new(),
        shape: Shape::default(),
        frozen: false,
        refuses_text: false,
        partition: None,
    }
}

struct Importer<'a> {
    ledger: &'a Connection,
    tables: &'a mut SqliteTables,
    table: TableOf,
    rows: Vec<Map<String, Value>>,
    task: i64,
}

impl Importer<'_> {
    fn add(&mut self, task: i64, record: Map<String, Value>) -> Result<(), Trouble> {
        if task != self.task || self.rows.len() >= ROWS {
            self.flush()?;
            self.task = task;
        }
        self.rows.push(record);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        let batch = batch_of(&std::mem::take(&mut self.rows));
        let write = Write {
            run: RunId(0),
            table: &self.table,
            task: TaskId(self.task),
            bindings: &Bindings::default(),
            batch: &batch,
            drives: false,
            known: None,
        };
        match self.tables.write(&mut Statements::new(self.ledger), &write)? {
            Written::Rows { .. } => Ok(()),
            Written::Refused(failure) => Err(Trouble::Ledger(failure.message)),
        }
    }
}

/// Records as workers give them.
pub(crate) fn batch_of(records: &[Map<String, Value>]) -> RecordBatch {
    let mut columns: Vec<Arc<str>> = Vec::new();
    let mut known = BTreeSet::new();
    for name in records.iter().flat_map(Map::keys) {
        if known.insert(name.as_str()) {
            columns.push(name.as_str().into());
        }
    }
    let mut batch = RecordBatch { rows: records.len(), columns: Arc::new(columns), ..RecordBatch::default() };
    let columns = Arc::clone(&batch.columns);
    for record in records {
        for name in columns.iter() {
            let cell = record.get(&**name).map_or(Cell::Null, |value| cell_of(value, &mut batch.text));
            batch.cells.push(cell);
        }
    }
    batch
}

fn cell_of(value: &Value, text: &mut String) -> Cell {
    let mut span = |part: &str| {
        let start = u32::try_from(text.len()).unwrap_or(u32::MAX);
        text.push_str(part);
        Span { start, len: u32::try_from(part.len()).unwrap_or(u32::MAX) }
    };
    match value {
        Value::Null => Cell::Null,
        Value::Bool(truth) => Cell::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(i), _) => Cell::Int(i),
            (None, Some(float)) if store::digits(float) == number.as_str() => Cell::Float(float),
            _ => Cell::Number(span(number.as_str())),
        },
        Value::String(string) => Cell::Text(span(string)),
        other => Cell::Json(span(&other.to_string())),
    }
}
