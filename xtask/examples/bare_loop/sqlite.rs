//! SQLite: a transaction per 10,000 rows, WAL, FULL.

use anyhow::{Context as _, Result};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, params, params_from_iter};
use serde_json::Value;

use crate::record::{FIELDS, Page, Record};
use crate::store::{ROWS_PER_TRANSACTION, Store};

const TABLES: &str =
    "create table records (id integer, ref text, symbol text, side text, venue text, price real,
    quantity integer, fee real, filled integer, active integer, maker integer, note text, at text, score real,
    account integer);
    create table pages (page integer primary key, rows integer)";

const INSERT: &str =
    "insert into records values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

/// How a page is inserted.
type Insert = fn(&Connection, &[u8]) -> Result<u64>;

pub(crate) struct Sqlite {
    database: Connection,
    insert: Insert,
    in_transaction: u64,
}

impl Sqlite {
    pub(crate) fn create(path: &str, insert: Insert) -> Result<Sqlite> {
        let database = Connection::open(path)?;
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "full")?;
        database.execute_batch(TABLES)?;
        database.execute_batch("begin")?;
        Ok(Sqlite { database, insert, in_transaction: 0 })
    }

    fn added(&mut self, rows: u64) -> Result<()> {
        self.in_transaction += rows;
        if self.in_transaction >= ROWS_PER_TRANSACTION {
            self.database.execute_batch("commit; begin")?;
            self.in_transaction = 0;
        }
        Ok(())
    }
}

impl Store for Sqlite {
    async fn land(&mut self, page: u64, body: &[u8]) -> Result<u64> {
        let rows = (self.insert)(&self.database, body)?;
        let note = "insert into pages values (?1, ?2)";
        self.database.prepare_cached(note)?.execute(params![page.cast_signed(), rows.cast_signed()])?;
        self.added(rows)?;
        Ok(rows)
    }

    async fn write(&mut self, records: Vec<Record>) -> Result<()> {
        insert(&self.database, &records)?;
        self.added(records.len() as u64)
    }

    async fn end(self) -> Result<()> {
        self.database.execute_batch("commit")?;
        self.database.close().map_err(|(_, error)| error.into())
    }
}

/// With the types of the API.
pub(crate) fn typed(database: &Connection, body: &[u8]) -> Result<u64> {
    let page: Page = serde_json::from_slice(body)?;
    insert(database, &page.data)?;
    Ok(page.data.len() as u64)
}

fn insert(database: &Connection, records: &[Record]) -> Result<()> {
    let mut insert = database.prepare_cached(INSERT)?;
    for r in records {
        insert.execute(params![
            r.id, r.r#ref, r.symbol, r.side, r.venue, r.price, r.quantity, r.fee, r.filled, r.active,
            r.maker, r.note, r.at, r.score, r.account,
        ])?;
    }
    Ok(())
}

/// Without types.
pub(crate) fn value(database: &Connection, body: &[u8]) -> Result<u64> {
    let page: Value = serde_json::from_slice(body)?;
    let data = page.get("data").and_then(Value::as_array).context("the page has no `data`")?;
    let mut insert = database.prepare_cached(INSERT)?;
    for record in data {
        insert.execute(params_from_iter(FIELDS.iter().map(|field| sql(record.get(*field)))))?;
    }
    Ok(data.len() as u64)
}

fn sql(value: Option<&Value>) -> SqlValue {
    match value {
        None | Some(Value::Null) => SqlValue::Null,
        Some(Value::Bool(truth)) => SqlValue::Integer(i64::from(*truth)),
        Some(Value::Number(number)) => match number.as_i64() {
            Some(whole) => SqlValue::Integer(whole),
            None => number.as_f64().map_or(SqlValue::Null, SqlValue::Real),
        },
        Some(Value::String(text)) => SqlValue::Text(text.clone()),
        Some(nested) => SqlValue::Text(nested.to_string()),
    }
}

/// The columns of the first row, with spaces between them.
pub(crate) fn query(database: &str, sql: &str) -> Result<String> {
    let database = Connection::open(database)?;
    let mut statement = database.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let row = rows.next()?.context("no row")?;
    let mut said = Vec::new();
    for column in 0..columns {
        said.push(match row.get_ref(column)? {
            ValueRef::Null => "null".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
        });
    }
    Ok(said.join(" "))
}
