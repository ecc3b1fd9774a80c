//! The statements that write rows, held for the length of a transaction: to find one among the cached
//! by its text, once per small landing, costs as much as to bind it. Not for what runs once a transaction.

use rusqlite::{CachedStatement, Connection};

/// What one transaction has prepared.
pub struct Statements<'c> {
    /// The ledger.
    pub conn: &'c Connection,
    finished: Option<CachedStatement<'c>>,
    /// The row's statement, and its text.
    row: Option<(String, CachedStatement<'c>)>,
}

impl<'c> Statements<'c> {
    /// None yet.
    pub fn new(conn: &'c Connection) -> Self {
        Statements { conn, finished: None, row: None }
    }

    /// The statement that adds a finished request: always the same `sql`.
    pub(crate) fn finished(&mut self, sql: &str) -> rusqlite::Result<&mut CachedStatement<'c>> {
        let statement = match self.finished.take() {
            Some(statement) => statement,
            None => self.conn.prepare_cached(sql)?,
        };
        Ok(self.finished.insert(statement))
    }

    /// The statement that adds a row: mostly that of the row before.
    pub(crate) fn row(&mut self, sql: &str) -> rusqlite::Result<&mut CachedStatement<'c>> {
        let held = match self.row.take().filter(|(text, _)| text == sql) {
            Some(held) => held,
            None => (sql.to_owned(), self.conn.prepare_cached(sql)?),
        };
        Ok(&mut self.row.insert(held).1)
    }
}
