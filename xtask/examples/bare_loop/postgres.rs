//! PostgreSQL: binary COPY, a transaction per 10,000 rows, the pages noted in the same one.

use std::pin::pin;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};

use crate::record::{Page, Record};
use crate::store::{ROWS_PER_TRANSACTION, Store, held_sql};

const TABLES: &str = "
    drop table if exists records, pages;
    create table records (id bigint, ref text, symbol text, side text, venue text, price double precision,
    quantity bigint, fee double precision, filled bigint, active boolean, maker boolean, note text, at text,
    score double precision, account bigint);
    create table pages (page bigint primary key)";

const TYPES: [Type; 15] = [
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::FLOAT8,
    Type::INT8,
    Type::FLOAT8,
    Type::INT8,
    Type::BOOL,
    Type::BOOL,
    Type::TEXT,
    Type::TEXT,
    Type::FLOAT8,
    Type::INT8,
];

pub(crate) struct Postgres {
    client: Client,
    _connection: JoinSet<()>,
    waiting: Vec<Record>,
    pages: Vec<i64>,
}

impl Postgres {
    /// Its tables are in a schema of their own, which the connection string names.
    pub(crate) async fn create(url: &str) -> Result<Postgres> {
        let (client, connection) = connect(url).await?;
        client.batch_execute(TABLES).await?;
        Ok(Postgres { client, _connection: connection, waiting: Vec::new(), pages: Vec::new() })
    }

    async fn copy(&mut self) -> Result<()> {
        let transaction = self.client.transaction().await?;
        let sink = transaction.copy_in("copy records from stdin binary").await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &TYPES));
        for r in &self.waiting {
            writer
                .as_mut()
                .write(&[
                    &r.id,
                    &r.r#ref,
                    &r.symbol,
                    &r.side,
                    &r.venue,
                    &r.price,
                    &r.quantity,
                    &r.fee,
                    &r.filled,
                    &r.active,
                    &r.maker,
                    &r.note,
                    &r.at,
                    &r.score,
                    &r.account,
                ])
                .await?;
        }
        writer.finish().await?;
        transaction.execute("insert into pages select unnest($1::bigint[])", &[&self.pages]).await?;
        transaction.commit().await?;
        self.waiting.clear();
        self.pages.clear();
        Ok(())
    }
}

impl Store for Postgres {
    async fn land(&mut self, page: u64, body: &[u8]) -> Result<u64> {
        let parsed: Page = serde_json::from_slice(body)?;
        let rows = parsed.data.len() as u64;
        self.waiting.extend(parsed.data);
        self.pages.push(page.cast_signed());
        if self.waiting.len() as u64 >= ROWS_PER_TRANSACTION {
            self.copy().await?;
        }
        Ok(rows)
    }

    async fn write(&mut self, records: Vec<Record>) -> Result<()> {
        self.waiting.extend(records);
        if self.waiting.len() as u64 >= ROWS_PER_TRANSACTION { self.copy().await } else { Ok(()) }
    }

    async fn end(mut self) -> Result<()> {
        self.copy().await
    }
}

async fn connect(url: &str) -> Result<(Client, JoinSet<()>)> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("no connection")?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        // The client's next call says what went wrong.
        let _ = connection.await;
    });
    Ok((client, task))
}

/// What a table holds.
pub(crate) async fn held(url: &str, table: &str) -> Result<String> {
    let (client, _connection) = connect(url).await?;
    let row = client.query_one(&held_sql(table), &[]).await?;
    let number = |at| row.get::<_, i64>(at);
    Ok(format!("{} {} {}", number(0), number(1), number(2)))
}
