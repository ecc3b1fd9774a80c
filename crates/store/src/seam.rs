//! The seam between the ledger, which is one piece of code for every kind of store, and the tables, which are not.
//!
//! [`LedgerStore`](crate::LedgerStore) opens a transaction of the ledger, calls what is here in between, and ends it:
//!
//! ```text
//! tables.begin() → … write, swap, sweep, take_back, rows … → tables.prepare() → the ledger commits → tables.committed()
//!                                                        ↘ an error: the ledger rolls back → tables.rolled_back()
//! ```
//!
//! **Invariant**: what [`write`](Tables::write) wrote is there, for ever, if and only if the ledger's transaction commits.

use std::fmt;

use entities::{
    BeginRequest, Bindings, Deleted, Failure, Mode, Moment, NumberedRow, RecordBatch, RunId, TaskId,
};
use rusqlite::Connection;

use crate::columns::Shape;
use crate::statements::Statements;
use crate::trouble::Trouble;

/// A table, as a task spec of a run has it.
#[derive(Clone, Debug)]
pub struct TableOf {
    /// Its name.
    pub name: String,
    /// What happens to what it holds.
    pub mode: Mode,
    /// The record's fields that identify it; also in tables that append.
    pub key: Vec<String>,
    /// What it must be like.
    pub shape: Shape,
    /// It takes no new columns.
    pub frozen: bool,
    /// Text that the store cannot hold fails the request, instead of being replaced.
    pub refuses_text: bool,
    /// The `foreach` name by whose values its files are kept apart.
    pub partition: Option<String>,
}

/// Records to be written.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The run.
    pub run: RunId,
    /// The table.
    pub table: &'a TableOf,
    /// The request that brought them: `_task` of their rows.
    pub task: TaskId,
    /// What the request was for.
    pub bindings: &'a Bindings,
    /// The records; what is spooled comes in writes of its own.
    pub batch: &'a RecordBatch,
    /// It has children, so which records differ matters.
    pub drives: bool,
    /// Which records a table that appends holds already: these are left out.
    pub known: Option<&'a [bool]>,
}

/// What became of a write.
#[derive(Debug)]
pub enum Written {
    /// It is in the table.
    Rows {
        /// Rows new, changed or added.
        rows: u64,
        /// Whether each record is new or differs from the row held; none: all count as such.
        differs: Option<Vec<bool>>,
    },
    /// The table cannot hold a record of it; nothing was written.
    Refused(Failure),
}

/// Requests by their ids, as a query of the ledger.
#[derive(Clone, Copy, Debug)]
pub struct Requests<'a> {
    /// A `SELECT` of ids.
    pub select: &'a str,
    /// Its parameters.
    pub parameters: &'a [i64],
}

/// What a kind of store does with records.
pub trait Tables: fmt::Debug + Send {
    /// A transaction begins.
    fn begin(&mut self, ledger: &Connection) -> Result<(), Trouble>;

    /// A run is to begin or to go on: whoever keeps the ledger elsewhere brings what it needs of earlier runs.
    fn before_run(&mut self, _: &Connection, _: &BeginRequest<'_>) -> Result<(), Trouble> {
        Ok(())
    }

    /// The ledger is about to commit: what was written is made durable, or readied so that the commit makes it so. A
    /// store whose ledger is elsewhere commits there.
    fn prepare(&mut self, ledger: &Connection) -> Result<(), Trouble>;

    /// The ledger has committed. An error ends the store; it changes nothing of what has committed.
    fn committed(&mut self, ledger: &Connection) -> Result<(), Trouble>;

    /// The ledger has rolled back, and so do the tables; what is remembered of them is dropped.
    fn rolled_back(&mut self);

    /// After [`Trouble::Lost`], when the transaction has been rolled back: connects again, or says why it gave up.
    /// Then the transaction is done again from its beginning.
    fn reconnect(&mut self) -> Result<(), Trouble> {
        Ok(())
    }

    /// Begins a part of the transaction that may be taken back by itself; the ledger does the same. Not nested.
    fn savepoint(&mut self) -> Result<(), Trouble>;

    /// Ends that part. `keep`: what was written in it stays; if that turns out to be impossible because of a record
    /// ([`Trouble::is_about_a_record`]), the part is still open, and is ended without keeping it.
    fn end_savepoint(&mut self, keep: bool) -> Result<(), Trouble>;

    /// Forgets what is remembered of tables: a run begins, maybe with another shape of the plan.
    fn forget(&mut self);

    /// Before [`claim`](Self::claim): the table has this mode from now on, maybe another than it had.
    fn becomes(
        &mut self,
        _ledger: &Connection,
        _table: &str,
        _mode: Mode,
        _held_key: Option<&str>,
    ) -> Result<(), Trouble> {
        Ok(())
    }

    /// Readies a table for a plan that claims it, or says who has it: what was made by others, a key that changed.
    /// `held_key`: the key it had, as [`key_text`](crate::key_text); none: the ledger does not know the table.
    fn claim(
        &mut self,
        ledger: &Connection,
        table: &str,
        shape: &Shape,
        held_key: Option<&str>,
    ) -> Result<(), Trouble>;

    /// Writes records.
    fn write(&mut self, statements: &mut Statements<'_>, write: &Write<'_>) -> Result<Written, Trouble>;

    /// Makes the table, if it is not there.
    fn ensure(&mut self, ledger: &Connection, table: &TableOf) -> Result<(), Trouble>;

    /// `replace`: puts the staged rows in the place of the table's.
    fn swap(&mut self, ledger: &Connection, table: &TableOf) -> Result<(), Trouble>;

    /// Drops the staged rows of a table, if there are any.
    fn drop_stage(&mut self, ledger: &Connection, table: &str) -> Result<(), Trouble>;

    /// `mirror`: removes or marks the rows that no request from `since` on returned.
    fn sweep(
        &mut self,
        ledger: &Connection,
        table: &TableOf,
        deleted: Deleted,
        since: i64,
        now: Moment,
    ) -> Result<(), Trouble>;

    /// Removes the rows that these requests brought, from a table that appends; it need not be there.
    fn take_back(&mut self, ledger: &Connection, table: &str, requests: Requests<'_>) -> Result<(), Trouble>;

    /// Rows in ascending order of their number, from the first above `after` on, at most `limit`, with the fields' names
    /// and values as they came.
    fn rows(
        &mut self,
        ledger: &Connection,
        table: &TableOf,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedRow>, Trouble>;

    /// A run has come to its end. `finished`: complete or failed, not merely stopped. `tables`: those of its specs.
    fn end_run(
        &mut self,
        ledger: &Connection,
        run: RunId,
        tables: &[&TableOf],
        finished: bool,
    ) -> Result<(), Trouble>;
}
