//! The session: connection, lease, and whether a transaction is under way.

use store::{Trouble, quoted};

use bytes::Bytes;
use tokio_postgres::Statement;

use crate::connection::Connection;
use crate::copy::Copying;
use crate::lease::Lease;

/// What every operation on the database needs.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    pub(crate) lease: Lease,
    is_in_transaction: bool,
    /// Rows that are on their way. Nothing else goes before they have arrived.
    copying: Option<Copying>,
}

impl Session {
    /// One without a transaction.
    pub(crate) fn new(connection: Connection, lease: Lease) -> Session {
        Session { connection, lease, is_in_transaction: false, copying: None }
    }

    /// Whether a transaction is under way.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.is_in_transaction
    }

    /// The connection; all rows sent so far are in their tables.
    pub(crate) fn connection(&mut self) -> Result<&Connection, Trouble> {
        if let Some(copying) = self.copying.take() {
            copying.end(&self.connection)?;
        }
        Ok(&self.connection)
    }

    /// Sends rows by a COPY into a table. They go there while more are made: whatever is done next waits for them.
    pub(crate) fn copy(&mut self, into: &str, statement: &Statement, rows: Bytes) -> Result<(), Trouble> {
        let mut copying = match self.copying.take_if(|copying| copying.into == into) {
            Some(copying) => copying,
            None => self.begin_copying(into, statement)?,
        };
        copying.send(&self.connection, rows);
        self.copying = Some(copying);
        Ok(())
    }

    fn begin_copying(&mut self, into: &str, statement: &Statement) -> Result<Copying, Trouble> {
        let begun = Copying::begin(self.transaction()?, into, statement);
        if begun.is_err() {
            // Of a COPY that is refused at once the client loses count of the answers: rust-postgres, issue 1337.
            self.connection.close();
        }
        begun
    }

    /// Gives up what is on its way.
    pub(crate) fn stop_copying(&mut self) {
        if let Some(copying) = self.copying.take() {
            copying.stop();
        }
    }

    /// The connection, in a transaction: with the first thing to be done in it, it begins.
    pub(crate) fn transaction(&mut self) -> Result<&Connection, Trouble> {
        self.connection()?;
        if !self.is_in_transaction {
            self.is_in_transaction = true;
            self.lease.begin_transaction(&self.connection)?;
        }
        Ok(&self.connection)
    }

    /// Runs statements in the transaction.
    pub(crate) fn run(&mut self, sql: &str) -> Result<(), Trouble> {
        tracing::trace!(sql, "statement");
        self.transaction()?.batch(sql)
    }

    /// Commits. Of a commit whose answer did not come, it reads what became of it.
    pub(crate) fn commit(&mut self) -> Result<(), Trouble> {
        if !self.is_in_transaction {
            return Ok(());
        }
        let committed = self.connection()?.batch("COMMIT");
        self.is_in_transaction = false;
        match committed {
            Ok(()) => {
                self.lease.committed();
                Ok(())
            }
            Err(Trouble::Lost(why)) if !self.connection.is_open() => {
                tracing::warn!(why, "the connection broke in a commit");
                self.connection.reconnect()?;
                match self.lease.regain(&self.connection)? {
                    true => Ok(()),
                    false => Err(Trouble::Lost(why)),
                }
            }
            Err(other) => Err(other),
        }
    }

    /// Takes back the transaction under way.
    pub(crate) fn roll_back(&mut self) {
        self.stop_copying();
        if std::mem::take(&mut self.is_in_transaction) && self.connection.is_open() {
            // If it does not work the connection is gone, and the transaction with it.
            if let Err(trouble) = self.connection.batch("ROLLBACK") {
                tracing::debug!(why = trouble.words(), "cannot roll back");
            }
        }
    }

    /// Makes sure that there is a connection, and that the store is ours still.
    pub(crate) fn reconnect(&mut self) -> Result<(), Trouble> {
        self.stop_copying();
        if self.connection.is_open() {
            return Ok(());
        }
        self.connection.reconnect()?;
        match self.lease.regain(&self.connection)? {
            false => Ok(()),
            // A commit whose outcome could not be read at the time.
            true => Err(Trouble::Fatal("what the database committed last is not known here".to_owned())),
        }
    }

    /// A name in the schema, for SQL.
    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.connection.address.schema), quoted(name))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.roll_back();
        if self.connection.is_open()
            && let Err(trouble) = self.lease.end(&self.connection)
        {
            tracing::debug!(why = trouble.words(), "cannot give the lease back");
        }
    }
}
