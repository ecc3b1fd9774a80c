//! Tables in the ledger's own SQLite file: rows and ledger commit together by themselves.

mod claim; //    what was made by others, a key that changed
mod layout; //   which cell into which column
mod modes;
mod rows; //     read back as records
mod tables;
mod widen;
mod write;

use entities::{Deleted, Moment, NumberedRow, RunId};
use rusqlite::Connection;

use crate::columns::Shape;
use crate::seam::{Requests, TableOf, Tables, Write, Written};
use crate::sql::quoted;
use crate::statements::Statements;
use crate::trouble::Trouble;
use modes::{mirror, replace};
use tables::Held;

pub(crate) use widen::{register, row_number};

/// The tables of a SQLite store; and those of a file store that change, until they are published.
#[derive(Debug, Default)]
pub struct SqliteTables {
    held: Held,
}

impl Tables for SqliteTables {
    fn begin(&mut self, _: &Connection) -> Result<(), Trouble> {
        Ok(())
    }

    fn prepare(&mut self, _: &Connection) -> Result<(), Trouble> {
        Ok(())
    }

    fn committed(&mut self, _: &Connection) -> Result<(), Trouble> {
        Ok(())
    }

    fn rolled_back(&mut self) {
        self.held.forget_all();
    }

    fn savepoint(&mut self) -> Result<(), Trouble> {
        Ok(())
    }

    fn end_savepoint(&mut self, keep: bool) -> Result<(), Trouble> {
        if !keep {
            self.held.forget_all();
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.held.forget_all();
    }

    fn claim(
        &mut self,
        ledger: &Connection,
        table: &str,
        shape: &Shape,
        held_key: Option<&str>,
    ) -> Result<(), Trouble> {
        claim::claim(ledger, table, shape, held_key)
    }

    fn write(&mut self, statements: &mut Statements<'_>, write: &Write<'_>) -> Result<Written, Trouble> {
        write::write(statements, &mut self.held, write)
    }

    fn ensure(&mut self, ledger: &Connection, table: &TableOf) -> Result<(), Trouble> {
        self.held.load(ledger, &table.name, &table.shape)?.ensure(ledger)
    }

    fn swap(&mut self, ledger: &Connection, table: &TableOf) -> Result<(), Trouble> {
        replace::swap(ledger, &mut self.held, &table.name, &table.shape)
    }

    fn drop_stage(&mut self, ledger: &Connection, table: &str) -> Result<(), Trouble> {
        replace::drop_stage(ledger, &mut self.held, table)
    }

    fn sweep(
        &mut self,
        ledger: &Connection,
        table: &TableOf,
        deleted: Deleted,
        since: i64,
        now: Moment,
    ) -> Result<(), Trouble> {
        mirror::sweep(ledger, &table.name, deleted, since, now)
    }

    fn take_back(&mut self, ledger: &Connection, table: &str, requests: Requests<'_>) -> Result<(), Trouble> {
        let there: bool = ledger.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE)",
            [table],
            |row| row.get(0),
        )?;
        if there {
            let sql = format!("DELETE FROM {} WHERE _task IN ({})", quoted(table), requests.select);
            ledger.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(requests.parameters))?;
        }
        Ok(())
    }

    fn rows(
        &mut self,
        ledger: &Connection,
        table: &TableOf,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedRow>, Trouble> {
        rows::rows(ledger, &mut self.held, table, after, limit)
    }

    fn end_run(&mut self, _: &Connection, _: RunId, _: &[&TableOf], _: bool) -> Result<(), Trouble> {
        Ok(())
    }
}
