//! A copy of a store's files as a dead process left them, open to questions. A copy, so that
//! recovery is left to the next process.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::{Connection, Params, Row};
use tempfile::TempDir;

use super::workload::STORE;

/// The ledger as the checker reads it: runs that were not undone, numbered from 1, and their requests
/// that were not, with the name of their task spec.
const VIEWS: &str = "
CREATE TEMP VIEW live AS
SELECT id, state, (SELECT count(*) FROM _sync_runs o WHERE o.state <> 'undone' AND o.id <= r.id) AS nth
FROM _sync_runs r WHERE state <> 'undone';
CREATE TEMP VIEW requests AS
SELECT t.id, live.nth, s.name AS task, s.ended, t.state, t.page, t.rows FROM _sync_tasks t
JOIN live ON live.id = t.run JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
WHERE t.state <> 'undone';
";

/// The copy; gone when dropped.
pub(crate) struct Snapshot {
    conn: Connection,
    _directory: TempDir,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Its state; empty: it has not begun.
    pub(crate) state: String,
    /// Requests in the ledger that are done.
    pub(crate) done: i64,
}

impl Snapshot {
    /// Copies the store in a directory; none if there is no ledger in it yet.
    pub(crate) fn of(place: &Path) -> Option<Snapshot> {
        Snapshot::of_store(&place.join(STORE))
    }

    /// As [`of`](Self::of), of a store of any name.
    pub(crate) fn of_store(store: &Path) -> Option<Snapshot> {
        let directory = TempDir::new().unwrap();
        let mut wal = store.as_os_str().to_owned();
        wal.push("-wal");
        // The index of the WAL (`-shm`) is not copied: it is rebuilt, as after a power cut.
        for (from, to) in [(store, STORE.to_owned()), (Path::new(&wal), format!("{STORE}-wal"))] {
            if from.exists() {
                fs::copy(from, directory.path().join(to)).unwrap();
            }
        }
        if !directory.path().join(STORE).exists() {
            return None;
        }
        let conn = Connection::open(directory.path().join(STORE)).unwrap();
        let snapshot = Snapshot { conn, _directory: directory };
        if !snapshot.has("_sync_tasks") {
            return None;
        }
        snapshot.execute(VIEWS);
        Some(snapshot)
    }

    /// How far the n-th run is.
    pub(crate) fn progress(&self, nth: i64) -> Progress {
        let states = self.all("SELECT state FROM live WHERE nth = ?1", [nth], |row| row.get(0).unwrap());
        let Some(state) = states.into_iter().next() else { return Progress::default() };
        let done = self.number("SELECT count(*) FROM requests WHERE nth = ?1 AND state = 'done'", [nth]);
        Progress { state, done }
    }

    /// Finished requests of the n-th run, by task spec.
    pub(crate) fn requests(&self, nth: i64) -> BTreeMap<String, i64> {
        let sql = "SELECT task, count(*) FROM requests WHERE nth = ?1 AND state = 'done' GROUP BY task";
        self.all(sql, [nth], |row| (row.get(0).unwrap(), row.get(1).unwrap())).into_iter().collect()
    }

    pub(crate) fn has(&self, table: &str) -> bool {
        self.number("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1", [table]) > 0
    }

    /// The only value of the only row.
    pub(crate) fn number(&self, sql: &str, params: impl Params) -> i64 {
        self.all(sql, params, |row| row.get(0).unwrap())[0]
    }

    pub(crate) fn all<T>(&self, sql: &str, params: impl Params, read: impl Fn(&Row<'_>) -> T) -> Vec<T> {
        let mut statement = self.conn.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let rows = statement.query_map(params, |row| Ok(read(row))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// For those who tamper.
    pub(crate) fn execute(&self, sql: &str) {
        self.conn.execute_batch(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    }
}
