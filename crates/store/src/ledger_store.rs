//! A store: the ledger's connection, a kind of tables, and what is remembered of runs.
//!
//! What is remembered only mirrors what is durable: it is dropped whenever a transaction is rolled back.

use std::collections::HashMap;

use entities::{
    BeginRequest, Begun, Committed, Entry, NumberedRow, Position, RunId, SpecIndex, Store, StoreError, Task,
    TaskId,
};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::active::ActiveRun;
use crate::commit::Care;
use crate::lock::StoreLock;
use crate::seam::Tables;
use crate::trouble::Trouble;
use crate::{begin, commit, tasks};

/// How often a transaction is done that breaks its connection each time: it may be its own doing.
const MOST_TRIES: u32 = 10;

/// A ledger and the tables that go with it.
#[derive(Debug)]
pub struct LedgerStore<T> {
    name: String,
    // Declared before the lock: the connection closes (and folds the WAL back) under the lock.
    conn: Connection,
    tables: T,
    runs: HashMap<RunId, ActiveRun>,
    dead: Option<String>,
    _lock: Option<StoreLock>,
}

impl<T: Tables> LedgerStore<T> {
    /// `name`: what errors call the store. `ledger`: as [`open_ledger`](crate::open_ledger) gives it. `lock`: for
    /// stores in the file system.
    pub fn new(name: String, ledger: Connection, tables: T, lock: Option<StoreLock>) -> LedgerStore<T> {
        LedgerStore { name, conn: ledger, tables, runs: HashMap::new(), dead: None, _lock: lock }
    }

    /// Runs `work` in one transaction that is durable when this returns.
    fn transact<R>(
        &mut self,
        mut work: impl FnMut(&Connection, &mut T, &HashMap<RunId, ActiveRun>) -> Result<R, Trouble>,
    ) -> Result<R, Trouble> {
        let mut tries = 0;
        loop {
            if let Some(why) = &self.dead {
                return Err(Trouble::Ledger(format!(
                    "{why} (an earlier write failed; open the store again)"
                )));
            }
            let outcome = self.attempt(&mut work);
            let Err(trouble) = &outcome else { return outcome };
            self.tables.rolled_back();
            if trouble.is_fatal() {
                self.dead = Some(trouble.words());
            }
            let Trouble::Lost(why) = trouble else { return outcome };
            tries += 1;
            if tries == MOST_TRIES {
                let why = format!("the connection broke {MOST_TRIES} times in the same transaction: {why}");
                return Err(Trouble::Ledger(why));
            }
            self.tables.reconnect()?;
        }
    }

    fn attempt<R>(
        &mut self,
        work: &mut impl FnMut(&Connection, &mut T, &HashMap<RunId, ActiveRun>) -> Result<R, Trouble>,
    ) -> Result<R, Trouble> {
        let transaction = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)?;
        self.tables.begin(&self.conn)?;
        let done = work(&self.conn, &mut self.tables, &self.runs)?;
        self.tables.prepare(&self.conn)?;
        transaction.commit()?;
        if let Err(trouble) = self.tables.committed(&self.conn) {
            // What was done is done: whoever asks next is told.
            self.dead = Some(trouble.words());
        }
        Ok(done)
    }
}

impl<T: Tables> Store for LedgerStore<T> {
    fn begin(&mut self, request: &BeginRequest<'_>) -> Result<Begun, StoreError> {
        self.transact(|conn, tables, runs| begin::begin(conn, tables, request, !runs.is_empty()))
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
        self.transact(|conn, tables, runs| {
            let Some(table) = runs.get(&run).and_then(|run| run.table(spec)) else {
                // No rows would look like an empty table.
                let why = format!("run {run} was not begun here, or has no task spec {spec}");
                return Err(Trouble::Ledger(why));
            };
            tables.rows(conn, table, after, limit)
        })
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
