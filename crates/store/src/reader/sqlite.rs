//! Stores whose tables are in the ledger's own SQLite file.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use entities::{Cell, RecordBatch, Secrets, Span, StoreError, StoreTarget};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde_json::{Map, Value};

use super::shown::{Shown, shown};
use super::source::{Repeated, Scan, Source, TableRows, View, Wanted};
use super::{Reader, ReaderOpener, upto};
use crate::answers::{ColumnRow, Finding, RowValues};
use crate::column::digits;
use crate::ledger;
use crate::sql::{quoted, quoted_list};
use crate::sqlite::row_number;
use crate::trouble::Trouble;

/// Tables whose row numbers span at most this are counted: a millisecond or so, unless the rows are huge.
const COUNTED: i64 = 10_000;

/// Cells and bytes of text after which a part of a scan ends.
const PART: (usize, usize) = (64 << 10, 1 << 20);

/// A SQLite store, read without its lock.
#[derive(Debug)]
pub(super) struct SqliteSource {
    conn: Connection,
    version: i64,
}

impl SqliteSource {
    pub(super) fn open_if_there(path: &Path) -> Result<Option<SqliteSource>, Trouble> {
        Ok(open_to_read(path)?.map(|(conn, version)| SqliteSource { conn, version }))
    }
}

/// Opens SQLite stores for reading.
#[derive(Clone, Copy, Debug)]
pub struct Readers;

impl ReaderOpener for Readers {
    fn open(&self, target: &StoreTarget, _: &Secrets) -> Result<Option<Reader>, StoreError> {
        match target {
            StoreTarget::Sqlite(path) => Reader::open_if_there(path),
            other => Err(StoreError::Broken {
                store: other.to_string(),
                doing: "read",
                why: "this build of syncctl has no such store".to_owned(),
            }),
        }
    }
}

/// Opens the ledger in the file at `path` for reading, and gives its version; none if there is no file, or no plan has
/// run into it yet. Never makes a file.
pub fn open_to_read(path: &Path) -> Result<Option<(Connection, i64)>, Trouble> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Trouble::Ledger(error.to_string())),
        Ok(_) => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_secs(10))?;
    let Some(found) = ledger::version(&conn)? else { return Ok(None) };
    ledger::check_version(&path.display().to_string(), found)?;
    Ok(Some((conn, found)))
}

impl Source for SqliteSource {
    fn look(
        &self,
        _: Wanted<'_>,
        question: &mut dyn FnMut(&View<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let transaction = self.conn.unchecked_transaction()?;
        question(&View {
            ledger: &transaction,
            version: self.version,
            rows: &SqliteRows { conn: &transaction },
        })
    }
}

/// The rows of tables in a SQLite file.
#[derive(Clone, Copy, Debug)]
pub struct SqliteRows<'c> {
    /// In a transaction.
    pub conn: &'c Connection,
}

impl TableRows for SqliteRows<'_> {
    fn columns(&self, table: &str) -> Result<Vec<ColumnRow>, Trouble> {
        let known: HashMap<String, (String, String)> = self
            .conn
            .prepare_cached("SELECT name, source, type FROM _sync_columns WHERE target = ?1")?
            .query_map([table], |row| {
                Ok((row.get::<_, String>(0)?.to_ascii_lowercase(), (row.get(1)?, row.get(2)?)))
            })?
            .collect::<Result<_, _>>()?;
        let mut statement = self.conn.prepare_cached(
            "SELECT c.name, lower(c.type) FROM sqlite_schema s JOIN pragma_table_info(s.name) c
             WHERE s.type = 'table' AND s.name = ?1 COLLATE NOCASE ORDER BY c.cid",
        )?;
        let columns = statement.query_map([table], |row| {
            let name: String = row.get(0)?;
            Ok(match known.get(&name.to_ascii_lowercase()) {
                Some((_, kind)) if kind == "more" => ColumnRow { name, source: None, kind: kind.clone() },
                Some((source, kind)) => ColumnRow { name, source: Some(source.clone()), kind: kind.clone() },
                None if name == "_task" => ColumnRow { name, source: None, kind: "int".to_owned() },
                None => ColumnRow { name, source: None, kind: row.get(1)? },
            })
        })?;
        Ok(columns.collect::<Result<_, _>>()?)
    }

    fn size(&self, table: &str) -> Result<(Option<u64>, bool), Trouble> {
        let Some(number) = number_of(&self.columns(table)?) else { return Ok((None, false)) };
        let table = quoted(table);
        // Two statements in one: SQLite finds the least or the greatest without a scan, but not both.
        let sql = format!("SELECT (SELECT min({number}) FROM {table}), (SELECT max({number}) FROM {table})");
        let (least, greatest): (Option<i64>, Option<i64>) =
            self.conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(least), Some(greatest)) = (least, greatest) else { return Ok((Some(0), true)) };
        let span = greatest.saturating_sub(least).saturating_add(1);
        if span > COUNTED {
            return Ok((Some(span.unsigned_abs()), false));
        }
        let count: i64 =
            self.conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        Ok((Some(count.unsigned_abs()), true))
    }

    fn scan(
        &self,
        table: &str,
        scan: Scan,
        each: &mut dyn FnMut(&RecordBatch) -> Result<bool, Trouble>,
    ) -> Result<(), Trouble> {
        let columns = self.columns(table)?;
        if columns.is_empty() {
            return Ok(());
        }
        let wanted: Vec<&ColumnRow> =
            columns.iter().filter(|column| !scan.only_task || column.name == "_task").collect();
        let order = number_of(&columns).map(|number| format!(" ORDER BY {number}")).unwrap_or_default();
        let mut statement = self.conn.prepare(&format!(
            "SELECT {} FROM {}{order} LIMIT ?1 OFFSET ?2",
            quoted_list(wanted.iter().map(|column| column.name.as_str())),
            quoted(table)
        ))?;
        let natural = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut rows = statement.query([natural(scan.limit), natural(scan.skip)])?;
        let names: Arc<Vec<Arc<str>>> =
            Arc::new(wanted.iter().map(|column| Arc::from(column.name.as_str())).collect());
        let empty = || RecordBatch { columns: Arc::clone(&names), ..RecordBatch::default() };
        let mut batch = empty();
        while let Some(row) = rows.next()? {
            for (at, column) in wanted.iter().enumerate() {
                let cell = cell_of(row.get_ref(at)?, &column.kind, &mut batch.text)?;
                batch.cells.push(cell);
            }
            batch.rows += 1;
            if batch.cells.len() > PART.0 || batch.text.len() > PART.1 {
                if !each(&batch)? {
                    return Ok(());
                }
                batch = empty();
            }
        }
        if batch.rows > 0 {
            each(&batch)?;
        }
        Ok(())
    }

    fn tallies(
        &self,
        table: &str,
        each: &mut dyn FnMut(Option<i64>, u64) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        if self.columns(table)?.is_empty() {
            return Ok(());
        }
        let sql = format!("SELECT _task, count(*) FROM {} GROUP BY _task ORDER BY _task", quoted(table));
        let mut statement = self.conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let count: i64 = row.get(1)?;
            each(row.get(0)?, count.unsigned_abs())?;
        }
        Ok(())
    }

    fn find(
        &self,
        table: &str,
        wanted: &[(String, String)],
        limit: usize,
    ) -> Result<Vec<Map<String, Value>>, Trouble> {
        let filter: Vec<String> =
            wanted.iter().map(|(column, _)| format!("CAST({} AS TEXT) = ?", quoted(column))).collect();
        let mut statement = self.conn.prepare(&format!(
            "SELECT * FROM {} WHERE {} LIMIT {limit}",
            quoted(table),
            filter.join(" AND ")
        ))?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query(params_from_iter(wanted.iter().map(|(_, value)| value)))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let mut object = Map::new();
            for (at, name) in names.iter().enumerate() {
                object.insert(name.clone(), json(row.get(at)?));
            }
            found.push(object);
        }
        Ok(found)
    }

    fn page(
        &self,
        table: &str,
        before: Option<i64>,
        limits: Shown,
    ) -> Result<(Vec<RowValues>, Option<i64>), Trouble> {
        let columns = self.columns(table)?;
        let Some(number) = number_of(&columns) else {
            return Err(Trouble::Ledger(format!(
                "the rows of table `{table}` have no number: it has the columns rowid, _rowid_ and oid"
            )));
        };
        let mut names = vec![number.to_owned()];
        names.extend(columns.iter().map(|column| quoted(&column.name)));
        let mut statement = self.conn.prepare(&format!(
            "SELECT {} FROM {} WHERE {number} <= ?1 ORDER BY {number} DESC",
            names.join(", "),
            quoted(table)
        ))?;
        let mut found = statement.query([upto(before)])?;
        let mut rows: Vec<RowValues> = Vec::new();
        let (mut bytes, mut read) = (0, 0);
        while let Some(row) = found.next()? {
            let mut values = Vec::with_capacity(columns.len());
            let mut truncated = false;
            for (at, column) in columns.iter().enumerate() {
                let held = row.get_ref(at + 1)?;
                read += held.as_bytes_or_null().ok().flatten().map_or(8, <[u8]>::len);
                let (value, cost, is_cut) = shown(held, &column.kind, limits.cell);
                values.push(value);
                bytes += cost;
                truncated |= is_cut;
            }
            if limits.is_full(rows.len(), bytes, read) {
                let next = rows.last().map(|last| last.rowid);
                return Ok((rows, next));
            }
            rows.push(RowValues { rowid: row.get(0)?, values, truncated });
        }
        Ok((rows, None))
    }

    fn repeated(
        &self,
        table: &str,
        key: &[String],
        each: &mut dyn FnMut(Repeated) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let columns = self.columns(table)?;
        if key.is_empty() || columns.is_empty() {
            return Ok(());
        }
        let key = quoted_list(key.iter().map(String::as_str));
        let mut statement = self.conn.prepare(&format!(
            "SELECT {key}, count(*) FROM {} GROUP BY {key} HAVING count(*) > 1",
            quoted(table)
        ))?;
        let width = statement.column_count() - 1;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut values = Vec::with_capacity(width);
            for at in 0..width {
                values.push(json(row.get(at)?).to_string());
            }
            let count: i64 = row.get(width)?;
            each(Repeated { key: values.join(", "), rows: count.unsigned_abs() })?;
        }
        Ok(())
    }

    fn audit(
        &self,
        _: &[String],
        note: &mut dyn FnMut(Finding) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut statement = self.conn.prepare("PRAGMA quick_check(100)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let said: String = row.get(0)?;
            if said != "ok" {
                note(Finding::of_store("database", format!("SQLite finds the file damaged: {said}")))?;
            }
        }
        Ok(())
    }
}

fn number_of(columns: &[ColumnRow]) -> Option<&'static str> {
    let taken: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    row_number(&taken)
}

/// A value as the record had it; its text is added to that of a batch.
fn cell_of(held: ValueRef<'_>, kind: &str, text: &mut String) -> Result<Cell, Trouble> {
    let mut span = |value: &str| -> Result<Span, Trouble> {
        let too_large = |_| Trouble::Ledger("a row is larger than 4 GiB".to_owned());
        let start = u32::try_from(text.len()).map_err(too_large)?;
        text.push_str(value);
        u32::try_from(text.len()).map_err(too_large)?;
        Ok(Span { start, len: u32::try_from(value.len()).map_err(too_large)? })
    };
    Ok(match (held, kind) {
        (ValueRef::Null, _) => Cell::Null,
        (ValueRef::Integer(i @ 0..=1), "bool") => Cell::Bool(i == 1),
        (ValueRef::Integer(i), _) => Cell::Int(i),
        (ValueRef::Real(f), _) if f.is_finite() => Cell::Float(f),
        (ValueRef::Real(f), _) => Cell::Text(span(&digits(f))?),
        (ValueRef::Text(bytes), "decimal") => Cell::Number(span(&String::from_utf8_lossy(bytes))?),
        (ValueRef::Text(bytes), "json" | "more") => Cell::Json(span(&String::from_utf8_lossy(bytes))?),
        (ValueRef::Text(bytes), _) => Cell::Text(span(&String::from_utf8_lossy(bytes))?),
        (ValueRef::Blob(bytes), _) => Cell::Text(span(&format!("{} bytes", bytes.len()))?),
    })
}

fn json(value: SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(i) => Value::from(i),
        SqlValue::Real(f) => Value::from(f),
        SqlValue::Text(text) => Value::from(text),
        SqlValue::Blob(bytes) => Value::from(format!("{} bytes", bytes.len())),
    }
}
