//! Read-only questions about a store, for the command line and the REST server. Needs no lock and sees what
//! has committed, also while a run writes. Every answer is read into memory in one short transaction, so that
//! nobody who is slow to take it keeps the WAL from being folded back; but for
//! [`Reader::at_one_moment`], which takes as long as its caller does.

mod content; //  the tables, and a page of their rows
mod failed;
mod requests;
mod runs;
mod verify; //  is it as the ledger says?

mod shown;
mod source; //   what each kind of store does
mod sqlite; //   … and SQLite

use std::path::Path;

use entities::{Moment, Secrets, StoreError, StoreTarget};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use crate::answers::{ColumnRow, CursorRow, FailureRow, HistoryRow, RequestRow, TracedRow};
use crate::sql::quoted_list;
use crate::trouble::Trouble;

pub use shown::{PageFromBehind, Shown};
pub use source::{Repeated, Scan, Source, TableRows, View, Wanted, value_of};
use sqlite::SqliteSource;
pub use sqlite::{Readers, SqliteRows, open_to_read};
pub use verify::Told;

/// Rows that [`Reader::trace`] finds at most.
const TRACED: usize = 1000;

/// A store opened for reading.
#[derive(Debug)]
pub struct Reader {
    name: String,
    source: Box<dyn Source>,
}

/// Opens stores for reading; none if there is no store, or one that no plan has run into.
pub trait ReaderOpener: std::fmt::Debug + Send + Sync {
    /// Never makes anything. `secrets`: those of the plan, for a store that asks who we are.
    fn open(&self, target: &StoreTarget, secrets: &Secrets) -> Result<Option<Reader>, StoreError>;
}

const REQUEST: &str =
    "t.id, t.chain, t.run, r.plan, ifnull(s.name, ''), t.page, t.position, t.bindings, t.state,
    t.attempt, t.status, t.bytes, t.rows, t.sent_at, t.ms, t.waited_ms";
const FROM: &str = "FROM _sync_tasks t JOIN _sync_runs r ON r.id = t.run
    LEFT JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec";

impl Reader {
    /// A store of any kind. `name`: what errors call it.
    pub fn of(name: String, source: Box<dyn Source>) -> Reader {
        Reader { name, source }
    }

    /// Opens the SQLite store at `path`, which must exist and have a ledger.
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        let missing = |why: String| Trouble::Ledger(why).named(&path.display().to_string(), "read");
        if let Err(error) = std::fs::metadata(path) {
            return Err(missing(error.to_string()));
        }
        Reader::open_if_there(path)?
            .ok_or_else(|| missing("it has no ledger: no plan has run into it".to_owned()))
    }

    /// Opens the SQLite store at `path`; none if there is no file, or no plan has run into it yet. Never makes a file.
    pub fn open_if_there(path: &Path) -> Result<Option<Reader>, StoreError> {
        let name = path.display().to_string();
        let source = SqliteSource::open_if_there(path).map_err(|trouble| trouble.named(&name, "read"))?;
        Ok(source.map(|source| Reader::of(name, Box::new(source))))
    }

    /// The failed requests of a run, at most `limit`.
    pub fn failures(&self, run: i64, limit: usize) -> Result<Vec<FailureRow>, StoreError> {
        self.read(Wanted::requests(&format!("run = {run} AND state = 'failed'")), |view| {
            failure_rows(
                view.ledger,
                "t.run = ?1 AND t.state = 'failed'",
                params![run, i64::try_from(limit).unwrap_or(i64::MAX)],
            )
        })
    }

    /// What the tasks of a plan were like in its last finished runs, at most `runs` of them. Retries of
    /// what failed are no example of what a run takes, and left out.
    pub fn history(&self, plan: &str, runs: usize) -> Result<Vec<HistoryRow>, StoreError> {
        self.read(Wanted::requests("state IN ('done', 'skipped', 'failed')"), |view| {
            // Version 1 had no retries.
            let whole = if view.version == 1 { "" } else { "AND work = 'all'" };
            let mut statement = view.ledger.prepare(&format!(
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
        self.read(Wanted { cursors: true, ..Wanted::requests("owed IS NOT NULL") }, |view| {
            // Version 1 had no windows from the cursor, and owed nothing of roots.
            let (reached, debts) = match view.version {
                1 => ("NULL", "0"),
                _ => (
                    "c.reached",
                    "(SELECT count(*) FROM _sync_tasks t JOIN _sync_runs r ON r.id = t.run
                      JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
                      WHERE t.owed IS NOT NULL AND t.cursor_of = c.combination AND s.name = c.task AND r.plan = c.plan)",
                ),
            };
            let mut statement = view.ledger.prepare(&format!(
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
        // Which requests are wanted is known only once the rows are.
        let found = self.read(Wanted::NOTHING, |view| {
            let wanted = conditions(view, table, key)?;
            view.rows.find(table, &wanted, TRACED)
        })?;
        let task = |row: &serde_json::Map<String, Value>| row.get("_task").and_then(Value::as_i64);
        let mut tasks: Vec<String> = found.iter().filter_map(task).map(|id| id.to_string()).collect();
        tasks.dedup();
        if tasks.is_empty() {
            tasks.push("0".to_owned());
        }
        self.read(Wanted::requests(&format!("id IN ({})", tasks.join(", "))), |view| {
            let traced = found.into_iter().map(|row| {
                let request = task(&row).map(|id| request_of(view.ledger, id)).transpose()?.flatten();
                Ok(TracedRow { row, request })
            });
            traced.collect()
        })
    }

    /// The columns of a table as the ledger knows them: the field and the column it lands in. None if
    /// no plan made the table.
    pub fn columns(&self, table: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.read(Wanted::NOTHING, |view| sources(view, table))
    }

    /// The columns of a table as they are, `_task` among them; none if nothing has landed in it.
    pub fn columns_of(&self, table: &str) -> Result<Vec<ColumnRow>, StoreError> {
        self.read(Wanted::NOTHING, |view| view.rows.columns(table))
    }

    /// Asks within one transaction: all statements of a question see the same moment. It lasts until this returns, and
    /// as long a store in SQLite cannot fold its journal back.
    pub fn at_one_moment<T>(
        &self,
        question: impl FnOnce(&View<'_>) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        self.read(Wanted::NOTHING, question)
    }

    fn read<T>(
        &self,
        wanted: Wanted<'_>,
        question: impl FnOnce(&View<'_>) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let (mut question, mut answer) = (Some(question), None);
        let looked = self.source.look(wanted, &mut |view| {
            if let Some(question) = question.take() {
                answer = Some(question(view)?);
            }
            Ok(())
        });
        let nothing = || Trouble::Ledger("it did not answer".to_owned());
        looked.and_then(|()| answer.ok_or_else(nothing)).map_err(|trouble| trouble.named(&self.name, "read"))
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
fn conditions(view: &View<'_>, table: &str, key: &[String]) -> Result<Vec<(String, String)>, Trouble> {
    let Some(fields): Option<String> = view
        .ledger
        .query_row("SELECT key FROM _sync_tables WHERE name = ?1", [table], |row| row.get(0))
        .optional()?
    else {
        return Err(Trouble::Ledger(format!("it has no table `{table}` that a plan made")));
    };
    let fields: Vec<String> = serde_json::from_str(&fields)?;
    let columns = sources(view, table)?;
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

/// The fields of a table and their columns: as the account has them, else as its rows do.
fn sources(view: &View<'_>, table: &str) -> Result<Vec<(String, String)>, Trouble> {
    let known = columns(view.ledger, table)?;
    if !known.is_empty() {
        return Ok(known);
    }
    let found = view.rows.columns(table)?.into_iter();
    Ok(found.filter_map(|column| Some((column.source?, column.name))).collect())
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

/// The greatest number below `before`; a bound that an index serves, also where there is none.
fn upto(before: Option<i64>) -> i64 {
    before.map_or(i64::MAX, |before| before.saturating_sub(1))
}

fn time(millis: i64) -> String {
    Moment::from_millis(millis).to_rfc3339()
}
