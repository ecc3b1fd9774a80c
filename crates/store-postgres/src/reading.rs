//! A store as its readers see it: one moment of the database, without the lock and without an epoch.

use entities::{PostgresTarget, Secrets, StoreError};
use futures_util::StreamExt;
use rusqlite::Connection as Ledger;
use store::{Trouble, quoted};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::columns::literal;
use crate::connection::Connection;
use crate::ledger::{self, LedgerTable};
use crate::mirror::{self, Requests};
use crate::stores::address;
use crate::trouble::trouble;

/// A connection that only reads.
#[derive(Debug)]
pub(crate) struct Reading {
    connection: Connection,
}

impl Reading {
    /// Connects; none if no plan has run into the schema. Makes nothing.
    pub(crate) fn open(target: &PostgresTarget, secrets: &Secrets) -> Result<Option<Reading>, StoreError> {
        let address = address(target, secrets)?;
        let name = address.to_string();
        let open = || {
            let connection = Connection::open(address)?;
            let is_there = ledger::is_there(&connection)?;
            Ok(is_there.then_some(Reading { connection }))
        };
        open().map_err(|trouble: Trouble| trouble.named(&name, "read"))
    }

    /// What errors call it.
    pub(crate) fn name(&self) -> String {
        self.connection.address.to_string()
    }

    /// Asks within one moment of the database.
    pub(crate) fn at_one_moment<T>(
        &self,
        ask: impl FnOnce(&Reading) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        self.connection.batch("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
        let asked = ask(self);
        if self.connection.is_open() {
            self.connection.batch("ROLLBACK")?;
        }
        asked
    }

    /// A copy of the ledger in SQLite. `requests`: which of `_sync_tasks`, a condition with plain column names.
    /// `others`: of the other tables, those whose names it says yes to.
    pub(crate) fn ledger_copy(
        &self,
        requests: &str,
        others: impl Fn(&str) -> bool,
    ) -> Result<Ledger, Trouble> {
        let ledger = mirror::create()?;
        let tables = LedgerTable::all(&ledger)?;
        let wanted: Vec<LedgerTable> =
            tables.into_iter().filter(|table| table.name == "_sync_tasks" || others(&table.name)).collect();
        mirror::fill(&self.connection, &ledger, &wanted, &Requests::Where(requests.to_owned()))?;
        Ok(ledger)
    }

    /// What the schema calls a table, quoted and with the schema; names are told apart without regard to case. None if
    /// it is not there.
    pub(crate) fn relation(&self, table: &str) -> Result<Option<String>, Trouble> {
        let found = crate::tables::relation_of(&self.connection, table)?;
        let schema = quoted(&self.connection.address.schema);
        Ok(found.map(|(name, _)| format!("{schema}.{}", quoted(&name))))
    }

    /// The columns of a table in their order, by name and PostgreSQL's type (`bigint`, `timestamp with time zone`, …).
    /// `relation`: as [`relation`](Self::relation) gives it. `_row` is none of the user's (see `rows.rs`).
    pub(crate) fn columns(&self, relation: &str) -> Result<Vec<(String, String)>, Trouble> {
        crate::tables::columns_of(&self.connection, relation)
    }

    /// Calls `each` with the rows of a query, values as text, as they come, until it says `false`.
    pub(crate) fn each_row(
        &self,
        sql: &str,
        mut each: impl FnMut(&SimpleQueryRow) -> Result<bool, Trouble>,
    ) -> Result<(), Trouble> {
        let client = self.connection.client()?;
        let rows = self.connection.wait(client.simple_query_raw(sql))?;
        let mut rows = std::pin::pin!(rows);
        // The rest is read and dropped, so that the next question has its own answers.
        let mut wants_more = true;
        while let Some(message) = self.connection.drive(rows.next()) {
            if let SimpleQueryMessage::Row(row) = message.map_err(|error| trouble(&error))?
                && wants_more
            {
                wants_more = each(&row)?;
            }
        }
        Ok(())
    }

    /// A query's only value, as text.
    pub(crate) fn value(&self, sql: &str) -> Result<Option<String>, Trouble> {
        self.connection.value(sql)
    }

    /// Who has the store, if anybody has it now: as they call themselves.
    pub(crate) fn holder(&self) -> Result<Option<String>, Trouble> {
        let schema = &self.connection.address.schema;
        let lock = crate::lease::lock_of(schema).cast_unsigned();
        // Two halves of the number (<https://www.postgresql.org/docs/current/view-pg-locks.html>).
        let sql = format!(
            "SELECT l.holder FROM {}._sync_lease l WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_locks
             WHERE locktype = 'advisory' AND classid = {} AND objid = {} AND objsubid = 1 AND granted
             AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))",
            quoted(schema),
            lock >> 32,
            lock & 0xFFFF_FFFF
        );
        self.connection.value(&sql)
    }

    /// Runs statements, whose answers nobody reads.
    pub(crate) fn run(&self, sql: &str) -> Result<(), Trouble> {
        self.connection.batch(sql)
    }

    /// The schema.
    pub(crate) fn schema(&self) -> &str {
        &self.connection.address.schema
    }

    /// A text in SQL.
    pub(crate) fn literal(text: &str) -> String {
        literal(text)
    }
}
