//! The session: connection, lease, and whether a transaction is under way.

use store::{Trouble, quoted};

use crate::connection::Connection;
use crate::lease::Lease;

/// What every operation on the database needs.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) lease: Lease,
    is_in_transaction: bool,
}

impl Session {
    /// One without a transaction.
    pub(crate) fn new(connection: Connection, lease: Lease) -> Session {
        Session { connection, lease, is_in_transaction: false }
    }

    /// Whether a transaction is under way.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.is_in_transaction
    }

    /// The connection, in a transaction: with the first thing to be done in it, it begins.
    pub(crate) fn transaction(&mut self) -> Result<&Connection, Trouble> {
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
        let committed = self.connection.batch("COMMIT");
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
        if std::mem::take(&mut self.is_in_transaction) && self.connection.is_open() {
            // If it does not work the connection is gone, and the transaction with it.
            if let Err(trouble) = self.connection.batch("ROLLBACK") {
                tracing::debug!(why = trouble.words(), "cannot roll back");
            }
        }
    }

    /// Makes sure that there is a connection, and that the store is ours still.
    pub(crate) fn reconnect(&mut self) -> Result<(), Trouble> {
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
