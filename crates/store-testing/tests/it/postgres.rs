//! PostgreSQL: tables and ledger in one schema of a database.

use std::fmt;

use entities::{PostgresTarget, Secrets, Store, StoreError, StoreOpener, StoreTarget, TemplateText};
use serde_json::Value;
use store_testing::{Cluster, Contents, Kind, Place};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

pub(crate) struct Postgres;

/// Its tables.
const SCHEMA: &str = "landed";

impl Kind for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn is_there(&self) -> bool {
        Cluster::shared().is_some()
    }

    fn place(&self) -> Box<dyn Place> {
        let url = {
            let cluster = Cluster::shared().unwrap();
            cluster.url(&cluster.database())
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (client, connection) = runtime.block_on(tokio_postgres::connect(&url, NoTls)).unwrap();
        let connection = runtime.handle().spawn(async { drop(connection.await) });
        Box::new(Database { url, runtime, client, connection })
    }

    fn holds_nul(&self) -> bool {
        false
    }

    fn has_times(&self) -> bool {
        true
    }
}

struct Database {
    url: String,
    runtime: Runtime,
    client: Client,
    connection: JoinHandle<()>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Database {
    /// The first column of what a query finds.
    fn ask(&self, sql: &str) -> Vec<String> {
        let found = self.runtime.block_on(self.client.simple_query(sql));
        let found = found.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let texts = found.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        texts.collect()
    }

    fn names(&self, what: &str) -> Vec<String> {
        self.ask(&format!("SELECT {what} WHERE table_schema = '{SCHEMA}'"))
    }

    fn contents(&self, table: &str) -> Option<Contents> {
        let of_table = format!("table_name = '{}'", table.replace('\'', "''"));
        let columns = self.ask(&format!(
            "SELECT column_name FROM information_schema.columns
             WHERE table_schema = '{SCHEMA}' AND {of_table} ORDER BY ordinal_position"
        ));
        if columns.is_empty() {
            return None;
        }
        let quoted = format!("\"{}\"", table.replace('"', "\"\""));
        let rows = self.ask(&format!("SELECT row_to_json(_a_row)::text FROM {SCHEMA}.{quoted} AS _a_row"));
        let rows = rows.iter().map(|row| match serde_json::from_str(row) {
            Ok(Value::Object(row)) => columns.iter().map(|name| row[name.as_str()].clone()).collect(),
            other => panic!("{other:?}: {row}"),
        });
        let rows = rows.collect();
        Some(Contents { columns, rows })
    }
}

impl Place for Database {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let target = StoreTarget::Postgres(PostgresTarget {
            url: TemplateText::new(self.url.clone()),
            schema: SCHEMA.to_owned(),
        });
        let stores = store_postgres::PostgresStores::new("syncctl run test.toml".to_owned());
        stores.open(&target, &Secrets::default())
    }

    fn landed(&self, table: &str) -> Option<Contents> {
        self.contents(table)
    }

    fn ledger(&self, table: &str) -> Option<Contents> {
        self.contents(table)
    }

    fn change_ledger(&self, sql: &str) {
        self.ask(&format!("SET search_path = {SCHEMA}; {sql}"));
    }

    fn make_foreign(&self, table: &str) {
        self.ask(&format!("CREATE TABLE {SCHEMA}.\"{table}\" (x bigint)"));
    }

    fn leftovers(&self) -> Vec<String> {
        let tables = self.names("table_name FROM information_schema.tables");
        tables.into_iter().filter(|name| name.contains("stage") || name.contains("staging")).collect()
    }
}

store_testing::conformance!(&crate::postgres::Postgres);
