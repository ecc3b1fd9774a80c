//! Tables that records are only ever added to: they go straight to the files. The columns are those of every store.

use std::collections::HashMap;
use std::sync::Arc;

use entities::RecordBatch;
use rusqlite::Connection;
use store::{Columns, Kinds, Room, TableOf, Trouble, Write, Written};

use crate::folder;
use crate::format::Format;
use crate::lines::{LineLayout, write_lines};
use crate::manifest;
use crate::open_parts::OpenParts;
use crate::spool;

/// As many columns as a SQLite table takes, where the same records may have to go when the plan changes.
pub(crate) fn room(format: Format) -> Room {
    Room {
        columns: 1900,
        bytes: usize::MAX,
        width: |_| 0,
        name: usize::MAX,
        has_times: format == Format::Parquet,
    }
}

/// The columns that the account has of a table.
pub(crate) fn columns_of(ledger: &Connection, format: Format, table: &str) -> Result<Columns, Trouble> {
    let mut columns = Columns::new(room(format));
    columns.read(ledger, table, |_| Some(true))?;
    Ok(columns)
}

/// The tables met so far.
#[derive(Debug)]
pub(crate) struct DirectTables {
    format: Format,
    held: HashMap<String, Direct>,
}

#[derive(Debug)]
struct Direct {
    folder: String,
    columns: Columns,
    layout: Option<Layout>,
}

/// Kept from landing to landing, since the records of a spec mostly look alike.
#[derive(Debug)]
struct Layout {
    fields: Arc<Vec<Arc<str>>>,
    /// What the columns hold, field by field; none: it has no column.
    holds: Vec<Option<Kinds>>,
    lines: LineLayout,
}

impl DirectTables {
    pub(crate) fn new(format: Format) -> DirectTables {
        DirectTables { format, held: HashMap::new() }
    }

    /// What is remembered of tables may be wrong now.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    /// The columns of a table that was written to.
    pub(crate) fn columns(&self, table: &str) -> Option<&Columns> {
        self.held.get(table).map(|direct| &direct.columns)
    }

    /// Adds the records.
    pub(crate) fn write(
        &mut self,
        ledger: &Connection,
        parts: &mut OpenParts,
        write: &Write<'_>,
    ) -> Result<Written, Trouble> {
        let Write { table: of, batch, known, .. } = *write;
        if batch.rows == 0 {
            return Ok(Written::Rows { rows: 0, differs: None });
        }
        let format = self.format;
        let direct = self.load(ledger, &of.name)?;
        if !batch.lines {
            // What a table without columns has, nobody has said yet.
            let is_there = !direct.columns.list().is_empty();
            if let Some(failure) =
                (of.frozen && is_there).then(|| store::refusal(&of.name, &direct.columns, batch))
                && let Some(failure) = failure
            {
                return Ok(Written::Refused(failure));
            }
            if let Some(failure) = direct.fit(ledger, of, batch)? {
                return Ok(Written::Refused(failure));
            }
        }
        let rows =
            batch.rows as u64 - known.map_or(0, |known| known.iter().filter(|known| **known).count()) as u64;
        let folder = folder::of_request(&direct.folder, of.partition.as_deref(), write.bindings);
        if rows > 0 {
            parts.add(ledger, &of.name, &folder, (rows, write.task.0), |out| {
                match (format, &direct.layout) {
                    (Format::Jsonl, Some(layout)) if !batch.lines => write_cells(layout, write, out),
                    (Format::Jsonl, _) => write_lines(batch, known, write.task, out),
                    (Format::Parquet, _) => spool::write(batch, known, write.task.0, out),
                }
            })?;
        }
        Ok(Written::Rows { rows, differs: known.map(|known| known.iter().map(|known| !known).collect()) })
    }

    fn load(&mut self, ledger: &Connection, table: &str) -> Result<&mut Direct, Trouble> {
        if !self.held.contains_key(table) {
            let columns = columns_of(ledger, self.format, table)?;
            let folder = folder::of_table(&manifest::claimed_name(ledger, table)?);
            self.held.insert(table.to_owned(), Direct { folder, columns, layout: None });
        }
        self.held.get_mut(table).ok_or_else(|| Trouble::Ledger(format!("table `{table}` is gone")))
    }
}

impl Direct {
    /// Makes sure that every field has a column that holds it; or says why one cannot.
    fn fit(
        &mut self,
        ledger: &Connection,
        of: &TableOf,
        batch: &RecordBatch,
    ) -> Result<Option<entities::Failure>, Trouble> {
        let kinds = Kinds::of(batch);
        if self.layout.as_ref().is_some_and(|layout| layout.takes(batch, &kinds)) {
            return Ok(None);
        }
        let is_frozen = of.frozen && !self.columns.list().is_empty();
        let wanted = self.columns.wanted(batch, &kinds, &of.shape, is_frozen);
        let holds_wide = |name: &str| manifest::holds_wide(ledger, &of.name, name);
        for (source, kinds) in &wanted {
            if self.columns.said(&of.shape, source).is_none() {
                continue;
            }
            let Some(at) = self.columns.column_of(source) else { continue };
            let name = &self.columns.list()[at].name;
            let becomes = self.columns.widened(at, *kinds, || holds_wide(name))?;
            if let Some(failure) = self.columns.clash(&of.name, &of.shape, source, becomes) {
                return Ok(Some(failure));
            }
        }
        let change = self.columns.widen(&wanted, |column| holds_wide(&column.name))?;
        self.columns.record(ledger, &of.name, &change)?;
        for (field, kinds) in batch.columns.iter().zip(&kinds) {
            if let Some(at) = self.columns.column_of(field).filter(|_| kinds.has_wide()) {
                manifest::note_wide(ledger, &of.name, &self.columns.list()[at].name)?;
            }
        }
        self.layout = Some(Layout {
            fields: Arc::clone(&batch.columns),
            holds: self.holds(batch, &kinds),
            lines: LineLayout::of(&self.columns, batch),
        });
        Ok(None)
    }

    /// What the columns hold without a change, and without a note that an integer is wide unless there is one.
    fn holds(&self, batch: &RecordBatch, kinds: &[Kinds]) -> Vec<Option<Kinds>> {
        let holds = |field: &Arc<str>, kinds: &Kinds| {
            let holds = self.columns.list()[self.columns.column_of(field)?].kind.holds();
            Some(if kinds.has_wide() { holds } else { holds.without_wide() })
        };
        batch.columns.iter().zip(kinds).map(|(field, kinds)| holds(field, kinds)).collect()
    }
}

impl Layout {
    fn takes(&self, batch: &RecordBatch, kinds: &[Kinds]) -> bool {
        let holds = |(holds, kinds): (&Option<Kinds>, &Kinds)| holds.is_none_or(|holds| kinds.within(holds));
        (Arc::ptr_eq(&self.fields, &batch.columns) || self.fields == batch.columns)
            && self.holds.iter().zip(kinds).all(holds)
    }
}

fn write_cells(layout: &Layout, write: &Write<'_>, out: &mut Vec<u8>) -> Result<(), Trouble> {
    for row in 0..write.batch.rows {
        if !write.known.is_some_and(|known| known[row]) {
            layout.lines.write(write.batch, row, write.task.0, out)?;
        }
    }
    Ok(())
}
