//! The loops one would write by hand for one API, as the yardstick of `cargo xtask bench`: no plan, no ledger, no
//! inference, no retry. Not an example of how to use syncctl, and not to be made clever: it is what "by hand" means.
//!
//! ```text
//! bare_loop requests ORIGIN COUNT hyper|pooled       64 connections, GET /bench/small/{n}, the body is thrown away
//! bare_loop records  ORIGIN PAGES DB typed|value     one page after the other into SQLite, 10,000-row transactions
//! bare_loop query    DB SQL                          the first row, for the bench's own checks
//! ```

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{CachedStatement, Connection, params, params_from_iter};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// syncctl's allocator, so that the comparison is of the code and not of malloc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: u64 = 64;
const ROWS_PER_TRANSACTION: u64 = 10_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = match words.as_slice() {
        ["requests", origin, count, how] => requests(origin, count.parse()?, how)?,
        ["records", origin, pages, database, how] => records(origin, pages.parse()?, database, how)?,
        ["query", database, sql] => query(database, sql)?,
        _ => bail!("usage: see the head of bare_loop.rs"),
    };
    writeln!(std::io::stdout(), "{said}")?;
    Ok(())
}

fn requests(origin: &str, count: u64, how: &str) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bytes = runtime.block_on(async {
        let next = Arc::new(AtomicU64::new(1));
        let mut loops = JoinSet::new();
        let mut connections = JoinSet::new();
        let client = Client::builder(TokioExecutor::new()).build(connector());
        for _ in 0..CONNECTIONS {
            match how {
                "hyper" => {
                    let sender = connect(origin, &mut connections).await?;
                    loops.spawn(on_one_connection(
                        sender,
                        host(origin)?.to_owned(),
                        Arc::clone(&next),
                        count,
                    ));
                }
                "pooled" => {
                    loops.spawn(on_the_pool(client.clone(), origin.to_owned(), Arc::clone(&next), count));
                }
                other => bail!("hyper or pooled, not {other}"),
            }
        }
        let mut bytes = 0;
        while let Some(done) = loops.join_next().await {
            bytes += done??;
        }
        Ok(bytes)
    })?;
    Ok(bytes.to_string())
}

async fn on_one_connection(
    mut sender: SendRequest<Empty<Bytes>>,
    host: String,
    next: Arc<AtomicU64>,
    count: u64,
) -> Result<u64> {
    let mut bytes = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number > count {
            return Ok(bytes);
        }
        bytes += get(&mut sender, &host, &format!("/bench/small/{number}")).await?.len() as u64;
    }
}

async fn on_the_pool(
    client: Client<HttpConnector, Empty<Bytes>>,
    origin: String,
    next: Arc<AtomicU64>,
    count: u64,
) -> Result<u64> {
    let mut bytes = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number > count {
            return Ok(bytes);
        }
        let response = client.get(format!("{origin}/bench/small/{number}").parse()?).await?;
        ensure!(response.status() == 200, "the answer is {}", response.status());
        bytes += response.into_body().collect().await?.to_bytes().len() as u64;
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

async fn connect(
    origin: &str,
    connections: &mut JoinSet<hyper::Result<()>>,
) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(host(origin)?).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    connections.spawn(connection);
    Ok(sender)
}

async fn get(sender: &mut SendRequest<Empty<Bytes>>, host: &str, path: &str) -> Result<Bytes> {
    sender.ready().await?;
    let request = Request::get(path).header("host", host).body(Empty::new())?;
    let response = sender.send_request(request).await?;
    ensure!(response.status() == 200, "the answer to {path} is {}", response.status());
    Ok(response.into_body().collect().await?.to_bytes())
}

fn host(origin: &str) -> Result<&str> {
    origin.strip_prefix("http://").context("the origin is http://HOST:PORT")
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    id: i64,
    r#ref: String,
    symbol: String,
    side: String,
    venue: String,
    price: f64,
    quantity: i64,
    fee: f64,
    filled: i64,
    active: bool,
    maker: bool,
    note: Option<String>,
    at: String,
    score: f64,
    account: i64,
}

const FIELDS: [&str; 15] = [
    "id", "ref", "symbol", "side", "venue", "price", "quantity", "fee", "filled", "active", "maker", "note",
    "at", "score", "account",
];

const TABLE: &str =
    "create table records (id integer, ref text, symbol text, side text, venue text, price real,
    quantity integer, fee real, filled integer, active integer, maker integer, note text, at text, score real,
    account integer)";

const INSERT: &str =
    "insert into records values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

/// Fetch, parse, insert, next page. Gives the number of rows.
fn records(origin: &str, pages: u64, database: &str, how: &str) -> Result<String> {
    let insert_page: fn(&mut CachedStatement<'_>, &[u8]) -> Result<u64> = match how {
        "typed" => insert_typed,
        "value" => insert_value,
        other => bail!("typed or value, not {other}"),
    };
    let database = Connection::open(database)?;
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "full")?;
    database.execute_batch(TABLE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connections = JoinSet::new();
        let mut sender = connect(origin, &mut connections).await?;
        let (mut rows, mut in_transaction) = (0, 0);
        database.execute_batch("begin")?;
        for page in 1..=pages {
            let path = format!("/bench;pages={pages};size=100/pages?page={page}");
            let body = get(&mut sender, host(origin)?, &path).await?;
            in_transaction += insert_page(&mut database.prepare_cached(INSERT)?, &body)?;
            if in_transaction >= ROWS_PER_TRANSACTION {
                database.execute_batch("commit; begin")?;
                rows += in_transaction;
                in_transaction = 0;
            }
        }
        database.execute_batch("commit")?;
        Ok((rows + in_transaction).to_string())
    })
}

fn insert_typed(insert: &mut CachedStatement<'_>, body: &[u8]) -> Result<u64> {
    let page: Page = serde_json::from_slice(body)?;
    for r in &page.data {
        insert.execute(params![
            r.id, r.r#ref, r.symbol, r.side, r.venue, r.price, r.quantity, r.fee, r.filled, r.active,
            r.maker, r.note, r.at, r.score, r.account,
        ])?;
    }
    Ok(page.data.len() as u64)
}

fn insert_value(insert: &mut CachedStatement<'_>, body: &[u8]) -> Result<u64> {
    let page: Value = serde_json::from_slice(body)?;
    let data = page.get("data").and_then(Value::as_array).context("the page has no `data`")?;
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
fn query(database: &str, sql: &str) -> Result<String> {
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
