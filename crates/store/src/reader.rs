//! Read-only questions about a store, for the command line and the REST server. Needs no lock and sees what
//! has committed, also while a run writes. Every answer is read into memory in one short transaction, so that
//! nobody who is slow to take it keeps the WAL from being folded back.

mod content; //  the rows of a table
mod failed;
mod requests;
mod runs;

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use entities::{Moment, StoreError};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params, params_from_iter};
use serde_json::Value;

use crate::answers::{CursorRow, FailureRow, HistoryRow, RequestRow, TracedRow};
use crate::ledger;
use crate::sql::{quoted, quoted_list};
use crate::trouble::Trouble;

/// A store opened for reading.
#[derive(Debug)]
pub struct SqliteReader {
    name: String,
    conn: Connection,
    version: i64,
}

const REQUEST: &str =
    "t.id, t.chain, t.run, r.plan, ifnull(s.name, ''), t.page, t.position, t.bindings, t.state,
    t.attempt, t.status, t.bytes, t.rows, t.sent_at, t.ms, t.waited_ms";
const FROM: &str = "FROM _sync_tasks t JOIN _sync_runs r ON r.id = t.run
    LEFT JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec";

impl SqliteReader {
    /// Opens the store at `path`, which must exist and have a ledger.
    pub fn open(path: &Path) -> Result<SqliteReader, StoreError> {
        let missing = |why: String| Trouble::Ledger(why).named(&path.display().to_string(), "read");
        if let Err(error) = std::fs::metadata(path) {
            return Err(missing(error.to_string()));
        }
        SqliteReader::open_if_there(path)?
            .ok_or_else(|| missing("it has no ledger: no plan has run into it".to_owned()))
    }

    /// Opens the store at `path`; none if there is no file, or no plan has run into it yet. Never makes a file.
    pub fn open_if_there(path: &Path) -> Result<Option<SqliteReader>, StoreError> {
        let name = path.display().to_string();
        let open = || -> Result<Option<(Connection, i64)>, Trouble> {
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
        };
        let opened = open().map_err(|trouble| trouble.named(&name, "read"))?;
        Ok(opened.map(|(conn, version)| SqliteReader { name, conn, version }))
    }

    /// The failed requests of a run, at most `limit`.
    pub fn failures(&self, run: i64, limit: usize) -> Result<Vec<FailureRow>, StoreError> {
        self.read(|conn| {
            failure_rows(
                conn,
                "t.run = ?1 AND t.state = 'failed'",
                params![run, i64::try_from(limit).unwrap_or(i64::MAX)],
            )
        })
    }

    /// What the tasks of a plan were like in its last finished runs, at most `runs` of them. Retries of
    /// what failed are no example of what a run takes, and left out.
    pub fn history(&self, plan: &str, runs: usize) -> Result<Vec<HistoryRow>, StoreError> {
        // Version 1 had no retries.
        let whole = if self.version == 1 { "" } else { "AND work = 'all'" };
        self.read(|conn| {
            let mut statement = conn.prepare(&format!(
                "WITH lately AS (SELECT id, first_task FROM _sync_runs
                     WHERE plan = ?1 AND state IN ('complete', 'failed') {whole} ORDER BY id DESC LIMIT ?2)
                 SELECT s.name, count(DISTINCT s.run), count(*) FILTER (WHERE t.chain = t.id), count(*),
                     count(*) FILTER (WHERE t.state = 'failed'), ifnull(sum(t.rows), 0), ifnull(sum(t.bytes), 0),
                     ifnull(sum(t.ms), 0)
                 FROM lately JOIN _sync_tasks t ON t.run = lately.id AND t.id >= lately.first_task
                 JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
                 WHERE t.state IN ('done', 'skipped', 'failed') GROUP BY s.name ORDER BY min(s.spec)",
            ))?;
            let rows = statement.query_map(params![plan, i64::try_from(runs).unwrap_or(i64::MAX)], |row| {
                Ok(HistoryRow {
                    task: row.get(0)?,
                    runs: row.get(1)?,
                    chains: row.get(2)?,
                    requests: row.get(3)?,
                    failed: row.get(4)?,
                    records: row.get(5)?,
                    bytes: row.get(6)?,
                    ms: row.get(7)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The cursors of a plan, by task and combination, at most `limit`.
    pub fn cursors(&self, plan: &str, limit: usize) -> Result<Vec<CursorRow>, StoreError> {
        // Version 1 had no windows from the cursor, and owed nothing of roots.
        let (reached, debts) = match self.version {
            1 => ("NULL", "0"),
            _ => (
                "c.reached",
                "(SELECT count(*) FROM _sync_tasks t JOIN _sync_runs r ON r.id = t.run
                  JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
                  WHERE t.owed IS NOT NULL AND t.cursor_of = c.combination AND s.name = c.task AND r.plan = c.plan)",
            ),
        };
        self.read(|conn| {
            let mut statement = conn.prepare(&format!(
                "SELECT c.task, c.combination, c.value, {reached}, {debts} FROM _sync_cursors c
                 WHERE c.plan = ?1 ORDER BY c.task, c.combination LIMIT ?2"
            ))?;
            let mut rows = statement.query(params![plan, i64::try_from(limit).unwrap_or(i64::MAX)])?;
            let mut cursors = Vec::new();
            while let Some(row) = rows.next()? {
                let mark = |at: usize| -> Result<Option<Value>, Trouble> {
                    let text: Option<String> = row.get(at)?;
                    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
                };
                cursors.push(CursorRow {
                    task: row.get(0)?,
                    combination: mark(1)?.unwrap_or(Value::Null),
                    value: mark(2)?,
                    reached: mark(3)?,
                    debts: row.get(4)?,
                });
            }
            Ok(cursors)
        })
    }

    /// The rows of `table` with these key values, and the request that returned each. As many values
    /// as the key has columns, in the key's order; or `column=value`, for any columns.
    pub fn trace(&self, table: &str, key: &[String]) -> Result<Vec<TracedRow>, StoreError> {
        self.read(|conn| {
            let conditions = conditions(conn, table, key)?;
            let filter: Vec<String> = conditions
                .iter()
                .map(|(column, _)| format!("CAST({} AS TEXT) = ?", quoted(column)))
                .collect();
            let mut statement = conn.prepare(&format!(
                "SELECT * FROM {} WHERE {} LIMIT 1000",
                quoted(table),
                filter.join(" AND ")
            ))?;
            let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let mut rows = statement.query(params_from_iter(conditions.iter().map(|(_, value)| value)))?;
            let mut traced = Vec::new();
            while let Some(row) = rows.next()? {
                let mut object = serde_json::Map::new();
                for (at, name) in names.iter().enumerate() {
                    object.insert(name.clone(), json(row.get(at)?));
                }
                let task = object.get("_task").and_then(Value::as_i64);
                let request = task.map(|task| request_of(conn, task)).transpose()?.flatten();
                traced.push(TracedRow { row: object, request });
            }
            Ok(traced)
        })
    }

    /// The columns of a table as the ledger knows them: the field and the column it lands in. None if
    /// no plan made the table.
    pub fn columns(&self, table: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|conn| columns(conn, table))
    }

    /// Asks within one transaction: all statements of a question see the same moment.
    fn read<T>(&self, question: impl FnOnce(&Connection) -> Result<T, Trouble>) -> Result<T, StoreError> {
        self.conn
            .unchecked_transaction()
            .map_err(Trouble::from)
            .and_then(|transaction| question(&transaction))
            .map_err(|trouble| trouble.named(&self.name, "read"))
    }
}

/// Failed requests for which `condition` holds; ?2 is the limit.
fn failure_rows(
    conn: &Connection,
    condition: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<FailureRow>, Trouble> {
    let mut statement =
        conn.prepare(&format!("SELECT {REQUEST}, t.error {FROM} WHERE {condition} ORDER BY t.id LIMIT ?2"))?;
    let mut rows = statement.query(parameters)?;
    let mut failures = Vec::new();
    while let Some(row) = rows.next()? {
        failures.push(failure(row)?);
    }
    Ok(failures)
}

fn request_of(conn: &Connection, task: i64) -> Result<Option<RequestRow>, Trouble> {
    let mut statement = conn.prepare_cached(&format!("SELECT {REQUEST} {FROM} WHERE t.id = ?1"))?;
    let mut rows = statement.query([task])?;
    rows.next()?.map(request).transpose()
}

/// From [`REQUEST`] and the error.
fn failure(row: &Row<'_>) -> Result<FailureRow, Trouble> {
    let failure: Option<String> = row.get(16)?;
    let failure = failure.map_or(Ok(Value::Null), |text| serde_json::from_str(&text))?;
    Ok(FailureRow { request: request(row)?, failure })
}

fn request(row: &Row<'_>) -> Result<RequestRow, Trouble> {
    let position: Option<String> = row.get(6)?;
    let bindings: Option<String> = row.get(7)?;
    Ok(RequestRow {
        id: row.get(0)?,
        chain: row.get(1)?,
        run: row.get(2)?,
        plan: row.get(3)?,
        task: row.get(4)?,
        page: row.get(5)?,
        position: position.map(|text| serde_json::from_str(&text)).transpose()?,
        bindings: bindings
            .map_or(Ok(Value::Object(serde_json::Map::new())), |text| serde_json::from_str(&text))?,
        state: row.get(8)?,
        attempt: row.get(9)?,
        status: row.get(10)?,
        bytes: row.get(11)?,
        rows: row.get(12)?,
        sent: row.get::<_, Option<i64>>(13)?.map(time),
        ms: row.get(14)?,
        waited_ms: row.get(15)?,
    })
}

/// Columns and the values asked for.
fn conditions(conn: &Connection, table: &str, key: &[String]) -> Result<Vec<(String, String)>, Trouble> {
    let Some(fields): Option<String> = conn
        .query_row("SELECT key FROM _sync_tables WHERE name = ?1", [table], |row| row.get(0))
        .optional()?
    else {
        return Err(Trouble::Ledger(format!("it has no table `{table}` that a plan made")));
    };
    let fields: Vec<String> = serde_json::from_str(&fields)?;
    let columns = columns(conn, table)?;
    if !fields.is_empty()
        && key.len() == fields.len()
        && !key.iter().all(|value| named(&columns, value).is_some())
    {
        return fields
            .iter()
            .zip(key)
            .map(|(field, value)| match columns.iter().find(|(source, _)| source == field) {
                Some((_, column)) => Ok((column.clone(), value.clone())),
                None => Err(Trouble::Ledger(format!("table `{table}` has no rows yet"))),
            })
            .collect();
    }
    let named: Option<Vec<(String, String)>> = key.iter().map(|value| named(&columns, value)).collect();
    match named {
        Some(named) if !named.is_empty() => Ok(named),
        _ => Err(Trouble::Ledger(format!(
            "table `{table}` is asked for by {}; its columns are {}",
            if fields.is_empty() {
                "`column=value`, since it has no key".to_owned()
            } else {
                format!("its key ({}) or by `column=value`", fields.join(", "))
            },
            quoted_list(columns.iter().map(|(_, name)| name.as_str())),
        ))),
    }
}

fn columns(conn: &Connection, table: &str) -> Result<Vec<(String, String)>, Trouble> {
    let mut statement =
        conn.prepare("SELECT source, name FROM _sync_columns WHERE target = ?1 ORDER BY place")?;
    let columns = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(columns.collect::<Result<_, _>>()?)
}

/// `column=value` of a column that exists.
fn named(columns: &[(String, String)], text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    if name == "_task" {
        return Some((name.to_owned(), value.to_owned()));
    }
    let (_, column) = columns.iter().find(|(source, column)| source == name || column == name)?;
    Some((column.clone(), value.to_owned()))
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

/// The greatest number below `before`; a bound that an index serves, also where there is none.
fn upto(before: Option<i64>) -> i64 {
    before.map_or(i64::MAX, |before| before.saturating_sub(1))
}

fn time(millis: i64) -> String {
    Moment::from_millis(millis).to_rfc3339()
}
