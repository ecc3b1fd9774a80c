//! The account of files: two tables in the ledger.
//!
//! `_sync_parts` has a row for each file of a table. `state` is `open` (a hidden file or spool that grows), `done`
//! (visible under its name) or `stale` (the one file of a table that changes, number 0, and the table has changed
//! since). What is in the file behind `bytes` is not ours. `staged` is how long the spool of a Parquet file was.
//! `removed` are the numbers, within the part, of rows that were taken back.
//!
//! `_sync_moves` are renames, and removals, that the transaction which noted them has made true: they are done right
//! after it has committed, again when the store is opened, and forgotten once they are done.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};
use store::Trouble;

use crate::format::Format;
use crate::removed::Removed;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS _sync_parts (
    target TEXT NOT NULL COLLATE NOCASE, number INTEGER NOT NULL, folder TEXT NOT NULL, state TEXT NOT NULL,
    rows INTEGER NOT NULL, bytes INTEGER NOT NULL, staged INTEGER NOT NULL DEFAULT 0, checksum TEXT,
    least_task INTEGER, greatest_task INTEGER, removed TEXT, types TEXT,
    PRIMARY KEY (target, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS _sync_parts_open ON _sync_parts (target, folder) WHERE state = 'open';
CREATE TABLE IF NOT EXISTS _sync_moves (id INTEGER PRIMARY KEY, source TEXT NOT NULL, target TEXT);
CREATE TABLE IF NOT EXISTS _sync_wide (
    target TEXT NOT NULL COLLATE NOCASE, name TEXT NOT NULL COLLATE NOCASE, PRIMARY KEY (target, name)
) WITHOUT ROWID;
";

/// What a file is, as the ledger has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// It grows, hidden.
    Open,
    /// It is there under its name.
    Done,
    /// The one file of a table that changes: it is there, or not yet, and is older than what the ledger holds.
    Stale,
}

/// A file of a table.
#[derive(Clone, Debug)]
pub struct Part {
    /// The table.
    pub table: String,
    /// Its number within the table, from 1; 0 is the one file of a table that changes.
    pub number: i64,
    /// The folder that it is in, relative to the store's directory.
    pub folder: String,
    /// What it is.
    pub state: PartState,
    /// Its rows.
    pub rows: u64,
    /// Its length: of an open part, as far as it has committed.
    pub bytes: u64,
    /// Parquet: the length that its spool had.
    pub staged: u64,
    /// XXH3-128 of its bytes, 32 hexadecimal digits; none for open parts.
    pub checksum: Option<String>,
    /// The least and the greatest `_task` of its rows.
    pub tasks: Option<(i64, i64)>,
    /// Which rows it once had are gone.
    pub(crate) removed: Removed,
    /// Parquet: its columns and their types, as JSON.
    pub(crate) types: Option<String>,
}

impl PartState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            PartState::Open => "open",
            PartState::Done => "done",
            PartState::Stale => "stale",
        }
    }
}

impl Part {
    /// A part that has nothing yet.
    pub(crate) fn new(number: i64, state: PartState) -> Part {
        Part {
            table: String::new(),
            number,
            folder: String::new(),
            state,
            rows: 0,
            bytes: 0,
            staged: 0,
            checksum: None,
            tasks: None,
            removed: Removed::default(),
            types: None,
        }
    }

    /// Counts rows of a request.
    pub(crate) fn count(&mut self, task: i64, rows: usize) {
        if rows == 0 {
            return;
        }
        self.rows += rows as u64;
        let (least, greatest) = self.tasks.unwrap_or((task, task));
        self.tasks = Some((least.min(task), greatest.max(task)));
    }

    /// The name under which readers see it.
    pub fn name(&self, format: Format) -> String {
        match self.number {
            0 => format!("{}.{}", self.folder, format.extension()),
            number => format!("part-{number:05}.{}", format.extension()),
        }
    }

    /// Where readers see it, relative to the store's directory.
    pub fn path(&self, format: Format) -> PathBuf {
        Path::new(&self.folder).join(self.name(format))
    }

    /// The hidden file of an open part.
    pub fn open_path(&self) -> PathBuf {
        Path::new(&self.folder).join(open_name(self.number))
    }

    /// Where its file is now.
    pub fn present_path(&self, format: Format) -> PathBuf {
        match self.state {
            PartState::Open => self.open_path(),
            PartState::Done | PartState::Stale => self.path(format),
        }
    }
}

/// The name of a part that grows.
pub(crate) fn open_name(number: i64) -> String {
    format!(".part-{number:05}.open")
}

/// The name of a file that is to take the place of the one at `path`.
pub(crate) fn new_beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let dot = if name.starts_with('.') { "" } else { "." };
    path.with_file_name(format!("{dot}{name}.new"))
}

pub(crate) fn create(ledger: &Connection) -> Result<(), Trouble> {
    Ok(ledger.execute_batch(SCHEMA)?)
}

const COLUMNS: &str =
    "target, number, folder, state, rows, bytes, staged, checksum, least_task, greatest_task, removed, types";

fn part(row: &Row<'_>) -> rusqlite::Result<Part> {
    let state: String = row.get(3)?;
    let removed: Option<String> = row.get(10)?;
    let tasks: (Option<i64>, Option<i64>) = (row.get(8)?, row.get(9)?);
    Ok(Part {
        table: row.get(0)?,
        number: row.get(1)?,
        folder: row.get(2)?,
        state: match state.as_str() {
            "open" => PartState::Open,
            "stale" => PartState::Stale,
            _ => PartState::Done,
        },
        rows: row.get::<_, i64>(4)?.cast_unsigned(),
        bytes: row.get::<_, i64>(5)?.cast_unsigned(),
        staged: row.get::<_, i64>(6)?.cast_unsigned(),
        checksum: row.get(7)?,
        tasks: tasks.0.zip(tasks.1),
        removed: removed.map_or_else(Removed::default, |text| Removed::parse(&text)),
        types: row.get(11)?,
    })
}

/// The parts of a table, or of all; in the order of their numbers.
pub(crate) fn parts(ledger: &Connection, table: Option<&str>) -> Result<Vec<Part>, Trouble> {
    let sql =
        format!("SELECT {COLUMNS} FROM _sync_parts WHERE ?1 IS NULL OR target = ?1 ORDER BY target, number");
    Ok(ledger.prepare_cached(&sql)?.query_map([table], part)?.collect::<Result<_, _>>()?)
}

/// The parts of a table from a number on, at most `limit`.
pub(crate) fn parts_from(
    ledger: &Connection,
    table: &str,
    number: i64,
    limit: i64,
) -> Result<Vec<Part>, Trouble> {
    let sql = format!(
        "SELECT {COLUMNS} FROM _sync_parts WHERE target = ?1 AND number >= ?2 ORDER BY number LIMIT ?3"
    );
    let mut statement = ledger.prepare_cached(&sql)?;
    Ok(statement.query_map(params![table, number, limit], part)?.collect::<Result<_, _>>()?)
}

/// The visible parts of a table without rows, and whether it has some with rows.
pub(crate) fn empty_parts(ledger: &Connection, table: &str) -> Result<(Vec<Part>, bool), Trouble> {
    let visible = "target = ?1 AND number > 0 AND state = 'done'";
    let sql = format!("SELECT {COLUMNS} FROM _sync_parts WHERE {visible} AND rows = 0");
    let empty = ledger.prepare_cached(&sql)?.query_map([table], part)?.collect::<Result<_, _>>()?;
    let sql = format!("SELECT EXISTS (SELECT 1 FROM _sync_parts WHERE {visible} AND rows > 0)");
    let others = ledger.prepare_cached(&sql)?.query_row([table], |row| row.get(0))?;
    Ok((empty, others))
}

/// The open part of a folder.
pub(crate) fn open_part(ledger: &Connection, table: &str, folder: &str) -> Result<Option<Part>, Trouble> {
    let sql = format!(
        "SELECT {COLUMNS} FROM _sync_parts WHERE target = ?1 AND folder = ?2 AND state = 'open' LIMIT 1"
    );
    Ok(ledger.prepare_cached(&sql)?.query_row([table, folder], part).optional()?)
}

/// The open parts of a table.
pub(crate) fn open_parts(ledger: &Connection, table: &str) -> Result<Vec<Part>, Trouble> {
    let sql =
        format!("SELECT {COLUMNS} FROM _sync_parts WHERE target = ?1 AND state = 'open' ORDER BY number");
    Ok(ledger.prepare_cached(&sql)?.query_map([table], part)?.collect::<Result<_, _>>()?)
}

/// How long the file of a spooled part will be, as it was with the parts before; else a quarter.
pub(crate) fn expected_bytes(ledger: &Connection, part: &Part) -> Result<u64, Trouble> {
    let (bytes, staged): (i64, i64) = ledger
        .prepare_cached(
            "SELECT ifnull(sum(bytes), 0), ifnull(sum(staged), 0) FROM (SELECT bytes, staged FROM _sync_parts
             WHERE target = ?1 AND staged > 0 ORDER BY number DESC LIMIT 4)",
        )?
        .query_row([&part.table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (bytes, staged) = if staged > 0 { (bytes, staged) } else { (1, 4) };
    let expected = i128::from(part.bytes) * i128::from(bytes) / i128::from(staged);
    Ok(u64::try_from(expected).unwrap_or(u64::MAX))
}

/// Forgets the parts of a folder that is gone.
pub(crate) fn forget_folder(ledger: &Connection, folder: &str) -> Result<(), Trouble> {
    ledger.execute("DELETE FROM _sync_parts WHERE folder = ?1", [folder])?;
    Ok(())
}

/// One part.
pub(crate) fn one(ledger: &Connection, table: &str, number: i64) -> Result<Option<Part>, Trouble> {
    let sql = format!("SELECT {COLUMNS} FROM _sync_parts WHERE target = ?1 AND number = ?2");
    Ok(ledger.prepare_cached(&sql)?.query_row(params![table, number], part).optional()?)
}

/// The number of the next part. (Numbers of removed parts may come again; their files are gone.)
pub(crate) fn next_number(ledger: &Connection, table: &str) -> Result<i64, Trouble> {
    let greatest: Option<i64> = ledger
        .prepare_cached("SELECT max(number) FROM _sync_parts WHERE target = ?1")?
        .query_row([table], |row| row.get(0))?;
    Ok(greatest.unwrap_or(0) + 1)
}

/// Notes a part as it is now.
pub(crate) fn put(ledger: &Connection, part: &Part) -> Result<(), Trouble> {
    ledger
        .prepare_cached(
            "INSERT OR REPLACE INTO _sync_parts
             (target, number, folder, state, rows, bytes, staged, checksum, least_task, greatest_task, removed, types)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            part.table,
            part.number,
            part.folder,
            part.state.as_str(),
            part.rows.cast_signed(),
            part.bytes.cast_signed(),
            part.staged.cast_signed(),
            part.checksum,
            part.tasks.map(|tasks| tasks.0),
            part.tasks.map(|tasks| tasks.1),
            part.removed.text(),
            part.types,
        ])?;
    Ok(())
}

/// Forgets a part.
pub(crate) fn forget(ledger: &Connection, part: &Part) -> Result<(), Trouble> {
    ledger
        .prepare_cached("DELETE FROM _sync_parts WHERE target = ?1 AND number = ?2")?
        .execute(params![part.table, part.number])?;
    Ok(())
}

/// Notes that the one file of a table is not what the ledger holds any more.
pub(crate) fn mark_stale(ledger: &Connection, table: &str, folder: &str) -> Result<(), Trouble> {
    ledger
        .prepare_cached(
            "INSERT INTO _sync_parts (target, number, folder, state, rows, bytes) VALUES (?1, 0, ?2, 'stale', 0, 0)
             ON CONFLICT (target, number) DO UPDATE SET state = 'stale'",
        )?
        .execute([table, folder])?;
    Ok(())
}

/// The name of a table as it was claimed first: it names the folder, since names differ in case only.
pub(crate) fn claimed_name(ledger: &Connection, table: &str) -> Result<String, Trouble> {
    let name: Option<String> = ledger
        .prepare_cached("SELECT name FROM _sync_tables WHERE name = ?1")?
        .query_row([table], |row| row.get(0))
        .optional()?;
    Ok(name.unwrap_or_else(|| table.to_owned()))
}

/// The tables of the plan of a run, and whether rows are only added to them.
pub(crate) fn tables_of_plan(ledger: &Connection, run: i64) -> Result<Vec<(String, bool)>, Trouble> {
    Ok(ledger
        .prepare_cached(
            "SELECT name, mode = 'append' FROM _sync_tables
             WHERE plan = (SELECT plan FROM _sync_runs WHERE id = ?1) ORDER BY name",
        )?
        .query_map([run], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?)
}

/// Whether an integer column of a table holds one that a double would bend.
pub(crate) fn holds_wide(ledger: &Connection, table: &str, column: &str) -> Result<bool, Trouble> {
    Ok(ledger
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM _sync_wide WHERE target = ?1 AND name = ?2)")?
        .query_row([table, column], |row| row.get(0))?)
}

/// Notes that it does.
pub(crate) fn note_wide(ledger: &Connection, table: &str, column: &str) -> Result<(), Trouble> {
    ledger
        .prepare_cached("INSERT OR IGNORE INTO _sync_wide (target, name) VALUES (?1, ?2)")?
        .execute([table, column])?;
    Ok(())
}
