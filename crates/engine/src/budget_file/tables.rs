//! The tables of the budgets' file, and opening it.
//!
//! All versions of syncctl share one file at the same time, so it only ever grows: what was added
//! after the first version is a table of its own, which an older syncctl neither knows nor needs.
//! It then gives nothing up to others, and others' limits are not its own, as it always was; the
//! sums that keep a limit hold for it as well. `user_version` moves on when that is no longer so.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::{BudgetError, failed};

/// The version of the tables, in `user_version`.
pub(super) const VERSION: i64 = 1;

/// How long a write waits for another process's. Theirs take a few milliseconds; what takes longer
/// is tried again later, so that a process that was stopped in mid-write does not stop the others.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// The same, where there is no later.
pub(super) const LONG_PATIENCE: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE windows (key TEXT PRIMARY KEY, count INTEGER NOT NULL, window_ms INTEGER NOT NULL,
        said TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE leases (key TEXT NOT NULL, process TEXT NOT NULL, tokens INTEGER NOT NULL,
        PRIMARY KEY (key, process)) STRICT, WITHOUT ROWID;
    CREATE TABLE held (key TEXT NOT NULL, return_at_ms INTEGER NOT NULL, tokens INTEGER NOT NULL,
        PRIMARY KEY (key, return_at_ms)) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;";

/// Not in the oldest files.
///
/// `closed` is by budget, not by limit; `since_ms` is when the server asked, so that its wait can be
/// told from a clock that was set back.
///
/// `users`: which living process keeps which limit of which budget, and how many tokens it lacks.
///
/// `learned`: the least time between two tokens of a limit, as refusals have taught it.
const LATER: &str = "
    CREATE TABLE IF NOT EXISTS closed (key TEXT PRIMARY KEY, since_ms INTEGER NOT NULL,
        until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS users (budget TEXT NOT NULL, key TEXT NOT NULL, process TEXT NOT NULL,
        rule TEXT NOT NULL, wants INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (key, process)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS learned (key TEXT PRIMARY KEY, gap_ns INTEGER NOT NULL,
        refusals INTEGER NOT NULL, at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

/// Opens the database to write, and makes what tables it lacks. Call it while the key is locked. It
/// has [`LONG_PATIENCE`].
pub(super) fn open(path: &Path) -> Result<Connection, BudgetError> {
    let prepare = || -> rusqlite::Result<(Connection, i64)> {
        let database = Connection::open(path)?;
        database.busy_timeout(LONG_PATIENCE)?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        let version = version_of(&database)?;
        if version == 0 {
            database.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;"))?;
        }
        if version <= VERSION && !has_all(&database)? {
            database.execute_batch(&format!("BEGIN IMMEDIATE; {LATER} COMMIT;"))?;
        }
        Ok((database, version))
    };
    let (database, found) = prepare().map_err(|error| failed(path, "open", &error))?;
    check_version(path, found)?;
    Ok(database)
}

/// Opens the database to look, changing nothing; none if there is none, or none that holds anything.
pub(super) fn open_to_look(path: &Path) -> Result<Option<Connection>, BudgetError> {
    if !path.exists() {
        return Ok(None);
    }
    let prepare = || -> rusqlite::Result<(Connection, i64, bool)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(path, flags)?;
        database.busy_timeout(LONG_PATIENCE)?;
        let version = version_of(&database)?;
        let has_all = has_all(&database)?;
        Ok((database, version, has_all))
    };
    let (database, found, has_all) = prepare().map_err(|error| failed(path, "read", &error))?;
    check_version(path, found)?;
    // An older file is brought up to date by the next run; what it holds until then is not worth two readers.
    Ok(has_all.then_some(database))
}

fn version_of(database: &Connection) -> rusqlite::Result<i64> {
    database.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn has_all(database: &Connection) -> rusqlite::Result<bool> {
    let query = "SELECT count(*) = 3 FROM sqlite_schema
                 WHERE type = 'table' AND name IN ('closed', 'users', 'learned')";
    database.query_row(query, [], |row| row.get(0))
}

fn check_version(path: &Path, found: i64) -> Result<(), BudgetError> {
    if found > VERSION { Err(BudgetError::TooNew { path: path.to_owned(), found }) } else { Ok(()) }
}
