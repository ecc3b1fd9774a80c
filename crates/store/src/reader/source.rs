//! What a kind of store does to be read: a view of one moment, of its ledger and of the rows of its tables.
//!
//! The ledger's questions are SQL on a SQLite connection whatever the kind; only the rows are each kind's own.

use std::fmt;

use entities::{Cell, RecordBatch};
use rusqlite::Connection;
use serde_json::{Map, Value};

use crate::answers::{ColumnRow, Finding, RowValues};
use crate::column::text_of;
use crate::reader::shown::{PageFromBehind, Shown};
use crate::trouble::Trouble;

/// What of the ledger a question needs. Runs, their specs, tables and columns are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Which rows of `_sync_tasks`: a condition in SQL that SQLite and PostgreSQL read alike, with plain column names.
    pub requests: &'a str,
    /// The cursors.
    pub cursors: bool,
}

impl Wanted<'_> {
    /// Neither requests nor cursors.
    pub const NOTHING: Wanted<'static> = Wanted { requests: "1 = 0", cursors: false };
    /// All there is.
    pub const ALL: Wanted<'static> = Wanted { requests: "1 = 1", cursors: true };

    /// Some requests.
    pub fn requests(requests: &str) -> Wanted<'_> {
        Wanted { requests, cursors: false }
    }
}

/// A store opened for reading. It takes no lock and sees what has committed.
pub trait Source: fmt::Debug + Send {
    /// Asks within one moment. `wanted`: what the question needs at least; a store whose ledger is in SQLite has it all.
    fn look(
        &self,
        wanted: Wanted<'_>,
        question: &mut dyn FnMut(&View<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble>;
}

/// A store at one moment.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Its ledger.
    pub ledger: &'a Connection,
    /// The ledger's version.
    pub version: i64,
    /// The rows of its tables.
    pub rows: &'a dyn TableRows,
}

/// Which rows of a table, and what of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Only `_task`.
    pub only_task: bool,
    /// How many to leave out at the beginning.
    pub skip: u64,
    /// How many at most.
    pub limit: u64,
}

impl Scan {
    /// Every row, as a whole.
    pub const ALL: Scan = Scan { only_task: false, skip: 0, limit: u64::MAX };
    /// The request of every row.
    pub const TASKS: Scan = Scan { only_task: true, ..Scan::ALL };
}

/// A key that several rows have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// Its values, for people.
    pub key: String,
    /// How many rows.
    pub rows: u64,
}

/// The rows of tables at one moment. Tables are called as the ledger calls them.
pub trait TableRows {
    /// The columns as they are, `_task` among them; none if the table is not there.
    fn columns(&self, table: &str) -> Result<Vec<ColumnRow>, Trouble>;

    /// As [`columns`](Self::columns), but certain: where it takes a look at every row, that is taken.
    fn all_columns(&self, table: &str) -> Result<Vec<ColumnRow>, Trouble> {
        self.columns(table)
    }

    /// How many rows, if that can be told fast, and whether they were counted.
    fn size(&self, table: &str) -> Result<(Option<u64>, bool), Trouble>;

    /// Calls `each` with rows in the order in which they came, a part at a time that memory holds, until it says
    /// `false`. The columns of a part are those of [`columns`](Self::columns), `_task` an integer and before those that
    /// hold fields; where records are kept as they came, those of its own rows.
    fn scan(
        &self,
        table: &str,
        scan: Scan,
        each: &mut dyn FnMut(&RecordBatch) -> Result<bool, Trouble>,
    ) -> Result<(), Trouble>;

    /// Calls `each` with requests and how many rows name them; in any order, a request maybe several times.
    fn tallies(
        &self,
        table: &str,
        each: &mut dyn FnMut(Option<i64>, u64) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let (mut held, mut rows) = (None, 0);
        self.scan(table, Scan::TASKS, &mut |batch| {
            for row in 0..batch.rows {
                let task = match batch.row(row).first() {
                    Some(Cell::Int(task)) => Some(*task),
                    _ => None,
                };
                if task != held && rows > 0 {
                    each(held, rows)?;
                    rows = 0;
                }
                held = task;
                rows += 1;
            }
            Ok(true)
        })?;
        if rows > 0 { each(held, rows) } else { Ok(()) }
    }

    /// Rows whose columns have these values as text, at most `limit`.
    fn find(
        &self,
        table: &str,
        wanted: &[(String, String)],
        limit: usize,
    ) -> Result<Vec<Map<String, Value>>, Trouble> {
        let mut found = Vec::new();
        self.scan(table, Scan::ALL, &mut |batch| {
            let places: Vec<(Option<usize>, &str)> =
                wanted.iter().map(|(column, value)| (batch.column(column), value.as_str())).collect();
            for row in 0..batch.rows {
                let cells = batch.row(row);
                let is_it = places.iter().all(|(at, value)| {
                    at.is_some_and(|at| cells[at] != Cell::Null && text_of(&cells[at], batch) == *value)
                });
                if is_it && found.len() < limit {
                    let names = batch.columns.iter().map(|name| name.to_string());
                    found.push(names.zip(cells.iter().map(|cell| value_of(cell, batch))).collect());
                }
            }
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    /// Rows with numbers below `before`, greatest first, and what `before` is for the next ones.
    fn page(
        &self,
        table: &str,
        before: Option<i64>,
        shown: Shown,
    ) -> Result<(Vec<RowValues>, Option<i64>), Trouble> {
        let kinds: Vec<String> = self.columns(table)?.into_iter().map(|column| column.kind).collect();
        let all = self.size(table)?.0.unwrap_or(0);
        let end = before.map_or(all, |before| all.min(before.saturating_sub(1).max(0).unsigned_abs()));
        let skip = end.saturating_sub(shown.rows as u64);
        let mut page = PageFromBehind::new(shown, skip > 0);
        let mut number = skip;
        self.scan(table, Scan { only_task: false, skip, limit: end - skip }, &mut |batch| {
            for row in 0..batch.rows {
                number += 1;
                page.add(i64::try_from(number).unwrap_or(i64::MAX), batch, row, &kinds);
            }
            Ok(true)
        })?;
        Ok(page.page())
    }

    /// Calls `each` with keys that more than one row has. `key`: columns, of a table whose mode keeps them unique.
    fn repeated(
        &self,
        table: &str,
        key: &[String],
        each: &mut dyn FnMut(Repeated) -> Result<(), Trouble>,
    ) -> Result<(), Trouble>;

    /// Looks for what only this kind of store can have wrong: files, checksums, the database itself. `tables`: of the
    /// plan.
    fn audit(
        &self,
        tables: &[String],
        note: &mut dyn FnMut(Finding) -> Result<(), Trouble>,
    ) -> Result<(), Trouble>;
}

/// A cell as JSON: numbers with all their digits, lists and objects as they are.
pub fn value_of(cell: &Cell, batch: &RecordBatch) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(b) => Value::from(*b),
        Cell::Int(i) => Value::from(*i),
        Cell::Float(f) => Value::from(*f),
        Cell::Text(span) => Value::from(batch.text_of(*span)),
        Cell::Number(span) | Cell::Json(span) => {
            let text = batch.text_of(*span);
            serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
        }
    }
}
