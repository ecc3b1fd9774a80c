//! The store: one connection, the lock, and what is remembered about tables and runs.
//!
//! What is remembered only mirrors the file: it is dropped whenever a transaction is rolled back.

use std::collections::HashMap;
use std::path::Path;

use entities::{
    BeginRequest, Begun, Committed, Entry, NumberedRow, Position, RunId, SpecIndex, Store, StoreError, Task,
    TaskId,
};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::active::ActiveRun;
use crate::commit::Care;
use crate::lock::StoreLock;
use crate::tables::Tables;
use crate::trouble::Trouble;
use crate::{begin, commit, ledger, rows, tasks};

/// A store in one SQLite file.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    name: String,
    // Declared before the lock: the connection closes (and folds the WAL back) under the lock.
    conn: Connection,
    tables: Tables,
    runs: HashMap<RunId, ActiveRun>,
    dead: Option<String>,
    _lock: StoreLock,
}

impl SqliteStore {
    /// Opens or creates the store at `path` and takes its lock.
    pub(crate) fn open(path: &Path, command_line: &str) -> Result<SqliteStore, StoreError> {
        let name = path.display().to_string();
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).map_err(|error| StoreError::Broken {
                store: name.clone(),
                doing: "open",
                why: format!("{}: {error}", directory.display()),
            })?;
        }
        let lock = StoreLock::take(path, command_line)?;
        let conn = ledger::open(path).map_err(|trouble| trouble.named(&name, "open"))?;
        Ok(SqliteStore {
            name,
            conn,
            tables: Tables::default(),
            runs: HashMap::new(),
            dead: None,
            _lock: lock,
        })
    }

    /// Runs `work` in one transaction that is durable when this returns.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Tables, &mut HashMap<RunId, ActiveRun>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        if let Some(why) = &self.dead {
            return Err(Trouble::Ledger(format!("{why} (an earlier write failed; open the store again)")));
        }
        let outcome = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)
            .map_err(Trouble::from)
            .and_then(|transaction| {
                let done = work(&self.conn, &mut self.tables, &mut self.runs)?;
                transaction.commit()?;
                Ok(done)
            });
        if let Err(trouble) = &outcome {
            self.tables.forget_all();
            if trouble.is_fatal()
                && let Trouble::Sql(error) = trouble
            {
                self.dead = Some(crate::trouble::words(error));
            }
        }
        outcome
    }
}

impl Store for SqliteStore {
    fn begin(&mut self, request: &BeginRequest<'_>) -> Result<Begun, StoreError> {
        self.transact(|conn, tables, runs| {
            let (run, begun) = begin::begin(conn, tables, request, !runs.is_empty())?;
            Ok((run, begun))
        })
        .map(|(run, begun)| {
            self.runs.insert(begun.run, run);
            begun
        })
        .map_err(|trouble| trouble.named(&self.name, "begin a run in"))
    }

    fn commit(&mut self, entries: Vec<Entry>) -> Result<Vec<Committed>, StoreError> {
        let quick =
            self.transact(|conn, tables, runs| commit::commit(conn, tables, runs, &entries, Care::Quick));
        let outcome = match quick {
            // Rare (a constraint or trigger of the user's own): again, with a savepoint around each landing.
            Err(trouble) if trouble.is_about_a_record() => self.transact(|conn, tables, runs| {
                commit::commit(conn, tables, runs, &entries, Care::LandingByLanding)
            }),
            other => other,
        };
        let committed = outcome.map_err(|trouble| trouble.named(&self.name, "write to"))?;
        for entry in &entries {
            if let Entry::EndRun { run, .. } = entry {
                self.runs.remove(run);
            }
        }
        Ok(committed)
    }

    fn rows(
        &mut self,
        run: RunId,
        spec: SpecIndex,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedRow>, StoreError> {
        let Some(table) = self.runs.get(&run).and_then(|run| run.table(spec)) else {
            // No rows would look like an empty table.
            let why = format!("run {run} was not begun here, or has no task spec {spec}");
            return Err(Trouble::Ledger(why).named(&self.name, "read"));
        };
        rows::rows(&self.conn, &mut self.tables, table, after, limit)
            .map_err(|trouble| trouble.named(&self.name, "read"))
    }

    fn open_tasks(
        &mut self,
        run: RunId,
        spec: SpecIndex,
        after: TaskId,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let Some(active) = self.runs.get(&run).and_then(|run| run.spec(spec)) else {
            return Ok(Vec::new());
        };
        tasks::open(&self.conn, run, active.number, spec, after, limit)
            .map_err(|trouble| trouble.named(&self.name, "read"))
    }

    fn chain_positions(&mut self, run: RunId, chain: TaskId) -> Result<Vec<Position>, StoreError> {
        tasks::positions(&self.conn, run, chain).map_err(|trouble| trouble.named(&self.name, "read"))
    }
}
