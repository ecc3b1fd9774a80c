//! The mirror: a private SQLite database with what the ledger's code needs of the ledger. It spills to a temporary
//! file when it is large, and goes with the process.
//!
//! All rows of all tables are in it, but of `_sync_tasks` only:
//! - those of unfinished runs;
//! - those open, failed or owed, and the pages of their chains, and what those make again or is made again by them
//!   (`debts::begin_anew` of `store` follows both ways), and so on;
//! - those that a retry may do again, when one begins;
//! - the one with the greatest id.

use rusqlite::Connection as Ledger;
use rusqlite::types::Value;
use store::{Trouble, quoted};

use crate::columns::literal;
use crate::connection::Connection;
use crate::copy::{self, Row};
use crate::ledger::{LedgerKind, LedgerTable};

/// An empty mirror.
pub(crate) fn create() -> Result<Ledger, Trouble> {
    let ledger = Ledger::open("")?;
    ledger.set_prepared_statement_cache_capacity(256);
    // REPLACE must not hide from triggers what it removes.
    ledger.execute_batch(
        "PRAGMA journal_mode = MEMORY;
         PRAGMA synchronous = OFF;
         PRAGMA foreign_keys = OFF;
         PRAGMA recursive_triggers = ON;
         PRAGMA cache_size = -16000;
         PRAGMA temp_store = MEMORY;",
    )?;
    store::create(&ledger)?;
    Ok(ledger)
}

/// Which rows of `_sync_tasks` a question or a run needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Requests {
    /// What runs go on from.
    Live,
    /// Of these runs.
    OfRuns(Vec<i64>),
    /// Those that a condition with plain column names says.
    Where(String),
}

/// Fills it.
pub(crate) fn fill(
    connection: &Connection,
    ledger: &Ledger,
    tables: &[LedgerTable],
    requests: &Requests,
) -> Result<(), Trouble> {
    let transaction = ledger.unchecked_transaction()?;
    for table in tables {
        let which = match table.name.as_str() {
            // `create` has written what is in it.
            "_sync_meta" => "WHERE t.key <> 'version'".to_owned(),
            "_sync_tasks" => condition(&connection.address.schema, requests),
            _ => String::new(),
        };
        load(connection, ledger, table, &which)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Adds the requests that a retry of a plan may do again: those of the last finished run of each of its specs.
pub(crate) fn add_for_retry(
    connection: &Connection,
    ledger: &Ledger,
    table: &LedgerTable,
    plan: &str,
) -> Result<(), Trouble> {
    let runs: Vec<i64> = ledger
        .prepare(
            "SELECT DISTINCT max(r.id) FROM _sync_runs r JOIN _sync_specs s ON s.run = r.id
             WHERE r.plan = ?1 AND NOT s.absent AND r.state IN ('complete', 'failed') GROUP BY s.name",
        )?
        .query_map([plan], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    load(connection, ledger, table, &condition(&connection.address.schema, &Requests::OfRuns(runs)))
}

fn condition(schema: &str, requests: &Requests) -> String {
    let schema = quoted(schema);
    let of_runs = |runs: &str| {
        format!(
            "t.run IN ({runs}) AND t.id >= (SELECT min(first_task) FROM {schema}._sync_runs WHERE id IN ({runs}))"
        )
    };
    match requests {
        Requests::Where(condition) => format!("WHERE {condition}"),
        Requests::OfRuns(runs) if runs.is_empty() => "WHERE false".to_owned(),
        Requests::OfRuns(runs) => {
            let runs: Vec<String> = runs.iter().map(i64::to_string).collect();
            format!("WHERE {}", of_runs(&runs.join(", ")))
        }
        Requests::Live => {
            let unfinished = of_runs(&format!(
                "SELECT id FROM {schema}._sync_runs WHERE state NOT IN ('complete', 'failed', 'undone')"
            ));
            let tasks = format!("{schema}._sync_tasks");
            // `chain` is the id of its first page.
            format!(
                "WHERE t.id IN (
                    WITH RECURSIVE live (chain) AS (
                        SELECT t.chain FROM {tasks} t WHERE t.state IN ('open', 'failed') OR t.owed IS NOT NULL
                        UNION SELECT t.chain FROM {tasks} t WHERE {unfinished}
                        UNION SELECT found.chain FROM live l CROSS JOIN LATERAL (
                            SELECT o.chain FROM {tasks} t JOIN {tasks} o ON o.id = t.origin WHERE t.id = l.chain
                            UNION ALL SELECT o.chain FROM {tasks} t JOIN {tasks} o ON o.id = t.origin
                            WHERE t.chain = l.chain AND t.chain <> t.id
                            UNION ALL SELECT a.chain FROM {tasks} a WHERE a.origin IS NOT NULL AND a.origin = l.chain
                            UNION ALL SELECT a.chain FROM {tasks} t JOIN {tasks} a ON a.origin = t.id
                            WHERE t.chain = l.chain AND t.chain <> t.id AND a.origin IS NOT NULL
                        ) found
                    )
                    SELECT chain FROM live
                    UNION SELECT t.id FROM {tasks} t JOIN live l ON t.chain = l.chain WHERE t.chain <> t.id
                    UNION SELECT t.id FROM {tasks} t WHERE {unfinished}
                    UNION SELECT max(id) FROM {tasks}
                )"
            )
        }
    }
}

/// Adds rows of a table, as far as they are not there.
fn load(connection: &Connection, ledger: &Ledger, table: &LedgerTable, which: &str) -> Result<(), Trouble> {
    let names: Vec<String> =
        table.columns.iter().map(|column| format!("t.{}", quoted(&column.name))).collect();
    let sql = format!(
        "COPY (SELECT {} FROM {}.{} t {which}) TO STDOUT (FORMAT binary)",
        names.join(", "),
        quoted(&connection.address.schema),
        quoted(&table.name)
    );
    let marks = vec!["?"; table.columns.len()].join(", ");
    let mut insert = ledger.prepare(&format!(
        "INSERT INTO {} ({}) VALUES ({marks}) ON CONFLICT DO NOTHING",
        quoted(&table.name),
        table.column_list()
    ))?;
    copy::receive(connection, &sql, |row| {
        for (at, column) in table.columns.iter().enumerate() {
            insert.raw_bind_parameter(at + 1, value(&row, at, column.kind)?)?;
        }
        insert.raw_execute()?;
        Ok(())
    })
}

fn value(row: &Row, at: usize, kind: LedgerKind) -> Result<Value, Trouble> {
    let Some(bytes) = row.get(at) else { return Ok(Value::Null) };
    let broken = || Trouble::Ledger("the ledger holds what syncctl did not write".to_owned());
    Ok(match kind {
        LedgerKind::Long => Value::Integer(i64::from_be_bytes(bytes.try_into().map_err(|_| broken())?)),
        LedgerKind::Text => Value::Text(String::from_utf8(bytes.to_vec()).map_err(|_| broken())?),
        LedgerKind::Bytes => Value::Blob(bytes.to_vec()),
    })
}

/// A value of the mirror in SQL of the database.
pub(crate) fn sql_of(value: rusqlite::types::ValueRef<'_>, kind: LedgerKind) -> String {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) if kind == LedgerKind::Text => format!("'{number}'"),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => literal(&String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("'\\x{digits}'::bytea")
        }
    }
}
