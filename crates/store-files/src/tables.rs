//! The tables of a file store, as a transaction goes: what is added goes to the open parts, what changes to SQLite;
//! when the ledger is about to commit, files are synced, finished and published.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use entities::{ColumnType, Deleted, Mode, Moment, NumberedRow, RunId};
use rusqlite::Connection;
use store::{Requests, Shape, SqliteTables, Statements, TableOf, Tables, Trouble, Write, Written};

use crate::columnar::Aheads;
use crate::direct::DirectTables;
use crate::disk::Disk;
use crate::finish::Finisher;
use crate::folder;
use crate::format::Format;
use crate::manifest;
use crate::moves::Moves;
use crate::numbered::NumberedRows;
use crate::open_parts::OpenParts;
use crate::{convert, kept, rewrite};

/// A long Parquet file is not so many times as long as its spool: before that nobody need ask how long it will be.
const LONGER: u64 = 4;

/// The tables of a file store.
#[derive(Debug)]
pub(crate) struct FileTables {
    disk: Disk,
    format: Format,
    roll: u64,
    direct: DirectTables,
    parts: OpenParts,
    kept: SqliteTables,
    numbered: NumberedRows,
    moves: Moves,
    ahead: Aheads,
    /// Tables whose file is known to be older than their rows.
    stale: HashSet<String>,
    /// Requests whose rows this transaction removes, by table.
    taken: BTreeMap<String, BTreeSet<i64>>,
    /// Tables of plans whose runs this transaction finishes: the name, whether it appends, and the types that are said.
    finished: BTreeMap<String, Finished>,
    broken: Option<String>,
}

/// A table of a plan whose run has ended.
#[derive(Debug)]
struct Finished {
    appends: bool,
    types: HashMap<String, ColumnType>,
}

impl FileTables {
    pub(crate) fn new(disk: Disk, format: Format, roll: u64) -> FileTables {
        FileTables {
            format,
            roll,
            direct: DirectTables::new(format),
            parts: OpenParts::new(disk.clone()),
            kept: SqliteTables::default(),
            numbered: NumberedRows::new(disk.clone(), format),
            moves: Moves::default(),
            ahead: Aheads::new(disk.clone()),
            stale: HashSet::new(),
            taken: BTreeMap::new(),
            finished: BTreeMap::new(),
            broken: None,
            disk,
        }
    }

    fn finisher<'a>(&'a mut self, ledger: &'a Connection) -> Finisher<'a> {
        Finisher {
            ledger,
            disk: &self.disk,
            format: self.format,
            moves: &mut self.moves,
            ahead: &mut self.ahead,
        }
    }

    /// The one file of a table is older than its rows from now on.
    fn mark_stale(&mut self, ledger: &Connection, table: &str) -> Result<(), Trouble> {
        if self.stale.insert(table.to_owned()) {
            manifest::mark_stale(ledger, table, &folder::of_table(&manifest::claimed_name(ledger, table)?))?;
        }
        Ok(())
    }

    /// Writes the parts anew that hold rows of these requests.
    fn remove_rows(
        &mut self,
        ledger: &Connection,
        table: &str,
        requests: &BTreeSet<i64>,
    ) -> Result<(), Trouble> {
        for part in manifest::parts(ledger, Some(table))? {
            let has =
                part.tasks.is_some_and(|(least, greatest)| requests.range(least..=greatest).next().is_some());
            if has && part.number > 0 {
                self.parts.drop(&part.folder);
                self.ahead.forget(&part);
                rewrite::without(&mut self.finisher(ledger), part, &|task| requests.contains(&task))?;
            }
        }
        Ok(())
    }

    /// Finishes the parts that have become long enough.
    fn roll_parts(&mut self, ledger: &Connection) -> Result<(), Trouble> {
        let mut tables = BTreeSet::new();
        for folder in self.parts.touched() {
            let Some(part) = self.parts.get(&folder).map(|open| open.part.clone()) else { continue };
            let expected = match self.format {
                Format::Jsonl => part.bytes,
                Format::Parquet if part.bytes < self.roll / LONGER => 0,
                Format::Parquet => manifest::expected_bytes(ledger, &part)?,
            };
            if expected > self.roll {
                self.parts.drop(&folder);
                tables.insert(part.table.clone());
                self.finisher(ledger).finish(part)?;
            }
        }
        tables.iter().try_for_each(|table| self.finisher(ledger).remove_empty(table))
    }

    /// A run has ended: its tables are there as a whole.
    fn finish_table(&mut self, ledger: &Connection, table: &str, finished: &Finished) -> Result<(), Trouble> {
        if !finished.appends {
            return kept::publish(&mut self.finisher(ledger), table, &finished.types);
        }
        for part in manifest::open_parts(ledger, table)? {
            self.parts.drop(&part.folder);
            self.finisher(ledger).finish(part)?;
        }
        let mut finisher = self.finisher(ledger);
        finisher.remove_empty(table)?;
        rewrite::alike(&mut finisher, table)
    }
}

impl Tables for FileTables {
    fn begin(&mut self, _: &Connection) -> Result<(), Trouble> {
        match &self.broken {
            Some(why) => Err(Trouble::Fatal(why.clone())),
            None => Ok(()),
        }
    }

    fn prepare(&mut self, ledger: &Connection) -> Result<(), Trouble> {
        self.parts.flush_all()?;
        self.parts.sync(ledger)?;
        for (table, requests) in std::mem::take(&mut self.taken) {
            self.numbered.forget();
            self.remove_rows(ledger, &table, &requests)?;
        }
        self.roll_parts(ledger)?;
        for (table, finished) in std::mem::take(&mut self.finished) {
            self.numbered.forget();
            self.finish_table(ledger, &table, &finished)?;
        }
        Ok(())
    }

    fn committed(&mut self, ledger: &Connection) -> Result<(), Trouble> {
        if self.format == Format::Parquet {
            for part in self.parts.touched().iter().filter_map(|folder| self.parts.get(folder)) {
                if let Some(columns) = self.direct.columns(&part.part.table) {
                    self.ahead.go_on(&part.part, columns);
                }
            }
        }
        self.parts.committed();
        self.stale.clear();
        self.moves.committed(ledger, &self.disk)
    }

    fn rolled_back(&mut self) {
        self.kept.rolled_back();
        self.direct.forget();
        self.numbered.forget();
        self.stale.clear();
        self.taken.clear();
        self.finished.clear();
        self.moves.rolled_back(&self.disk);
        if let Err(trouble) = self.parts.roll_back() {
            // What is behind the committed length must be cut off before anything else is added.
            self.broken.get_or_insert(trouble.words());
        }
    }

    fn savepoint(&mut self) -> Result<(), Trouble> {
        self.parts.save();
        self.kept.savepoint()
    }

    fn end_savepoint(&mut self, keep: bool) -> Result<(), Trouble> {
        if !keep {
            self.direct.forget();
            self.stale.clear();
        }
        self.parts.end_saved(keep)?;
        self.kept.end_savepoint(keep)
    }

    fn forget(&mut self) {
        self.kept.forget();
        self.direct.forget();
        self.numbered.forget();
    }

    fn becomes(
        &mut self,
        ledger: &Connection,
        table: &str,
        mode: Mode,
        held_key: Option<&str>,
    ) -> Result<(), Trouble> {
        let no_requests = BTreeSet::new();
        let taken = self.taken.get(table).unwrap_or(&no_requests).clone();
        if held_key.is_none() {
            return convert::claim_folder(&self.disk, table);
        }
        if mode == Mode::Append {
            return convert::to_parts(&mut self.finisher(ledger), table);
        }
        if convert::has_parts(ledger, table)? {
            self.mark_stale(ledger, table)?;
            let mut finisher = Finisher {
                ledger,
                disk: &self.disk,
                format: self.format,
                moves: &mut self.moves,
                ahead: &mut self.ahead,
            };
            for folder in convert::to_kept(&mut finisher, &mut self.kept, table, &taken)? {
                self.parts.drop(&folder);
            }
        }
        Ok(())
    }

    fn claim(
        &mut self,
        ledger: &Connection,
        table: &str,
        shape: &Shape,
        held_key: Option<&str>,
    ) -> Result<(), Trouble> {
        self.kept.claim(ledger, table, shape, held_key)
    }

    fn write(&mut self, statements: &mut Statements<'_>, write: &Write<'_>) -> Result<Written, Trouble> {
        match write.table.mode {
            Mode::Append => self.direct.write(statements.conn, &mut self.parts, write),
            // Rows that are staged are not in the table yet.
            Mode::Replace => self.kept.write(statements, write),
            Mode::Merge | Mode::Mirror(_) => {
                self.mark_stale(statements.conn, &write.table.name)?;
                self.kept.write(statements, write)
            }
        }
    }

    fn ensure(&mut self, ledger: &Connection, table: &TableOf) -> Result<(), Trouble> {
        if table.mode != Mode::Append {
            return self.kept.ensure(ledger, table);
        }
        if manifest::parts_from(ledger, &table.name, 1, 1)?.is_empty() {
            let folder = folder::of_table(&manifest::claimed_name(ledger, &table.name)?);
            self.finisher(ledger).make_empty(&table.name, &folder)?;
        }
        Ok(())
    }

    fn swap(&mut self, ledger: &Connection, table: &TableOf) -> Result<(), Trouble> {
        self.mark_stale(ledger, &table.name)?;
        self.kept.swap(ledger, table)
    }

    fn drop_stage(&mut self, ledger: &Connection, table: &str) -> Result<(), Trouble> {
        self.kept.drop_stage(ledger, table)
    }

    fn sweep(
        &mut self,
        ledger: &Connection,
        table: &TableOf,
        deleted: Deleted,
        since: i64,
        now: Moment,
    ) -> Result<(), Trouble> {
        self.mark_stale(ledger, &table.name)?;
        self.kept.sweep(ledger, table, deleted, since, now)
    }

    fn take_back(&mut self, ledger: &Connection, table: &str, requests: Requests<'_>) -> Result<(), Trouble> {
        if convert::has_parts(ledger, table)? {
            let mut statement = ledger.prepare_cached(requests.select)?;
            let ids =
                statement.query_map(rusqlite::params_from_iter(requests.parameters), |row| row.get(0))?;
            let taken = self.taken.entry(table.to_owned()).or_default();
            for id in ids {
                taken.insert(id?);
            }
        }
        // It may have been one that changes.
        self.kept.take_back(ledger, table, requests)
    }

    fn rows(
        &mut self,
        ledger: &Connection,
        table: &TableOf,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedRow>, Trouble> {
        match table.mode {
            Mode::Append => self.numbered.rows(ledger, &table.name, after, limit),
            _ => self.kept.rows(ledger, table, after, limit),
        }
    }

    fn end_run(
        &mut self,
        ledger: &Connection,
        run: RunId,
        tables: &[&TableOf],
        finished: bool,
    ) -> Result<(), Trouble> {
        // All of the plan, since an earlier run may have left off in the middle of one that this run did not have.
        for (table, appends) in manifest::tables_of_plan(ledger, run.0)?.into_iter().filter(|_| finished) {
            let of_run = tables.iter().find(|of_run| of_run.name.eq_ignore_ascii_case(&table));
            let types = of_run.map(|of_run| of_run.shape.types.clone()).unwrap_or_default();
            self.finished.insert(table, Finished { appends, types });
        }
        self.kept.end_run(ledger, run, tables, finished)
    }
}
