//! The ledger: its tables, their meaning, and how a store's file is opened.
//!
//! All of it is open to SQL. Times are milliseconds since the Unix epoch; the view
//! `_sync_requests` shows them as text. JSON columns are text.
//!
//! | table | one row per | columns |
//! |---|---|---|
//! | `_sync_meta` | fact about the store | `key`, `value`; `version` is the ledger's |
//! | `_sync_runs` | run of a plan | `id`, `plan`, `state` (`running`, `complete`, `failed`, `interrupted`, `paused`, `undone`), `started_at`, `ended_at`, `frozen_now` (ns), `vars` (JSON), `full_refresh`, `first_task` (no task of the run has a lower id), `work` (`all`, or `failed`: a retry) |
//! | `_sync_specs` | task spec of a run | `run`, `spec` (a number of its own, not the plan's order), `name`, `fingerprint`, `target` (the table), `watermark` (all combinations below are done; the greatest number there is: a retry expands none), `ended`, counters `done` (`failed` and `skipped` among them), `records`; `absent`: the run was not asked for it, and only notes what it is owed; `every`: it is new in the plan, so that every record of its parent drives it, also one that did not change; `frozen`: its table takes no new column; `since`: rows of a mirror with a lower `_task` were not returned (null: lower than the run's `first_task`) |
//! | `_sync_tasks` | finished or open request | see below |
//! | `_sync_waiting` | parent record that waits for a batch to be full | `id` (set aside for the request), `run`, `spec`, `bindings` |
//! | `_sync_cursors` | cursor of a combination | `plan`, `task`, `combination` (JSON), `value` (published), `seen` (the greatest of what has landed while something of it is unsettled), `reached` (windows: the end of all that were asked for), `run` (that touched it last), `previous` (JSON: `value`, `seen`, `reached` before that run) |
//! | `_sync_boundary` | record at the cursor of an append table, landed by a run | `plan`, `task`, `combination`, `hash` (of its fields), `run` (negative: landed by that run for what an earlier one owed), `value` (the cursor's) |
//! | `_sync_tables` | table of a plan | `name`, `plan`, `mode`, `key` (JSON) |
//! | `_sync_columns` | column of such a table | `target` (the table), `source` (the record's field), `name` (the column's), `type` (`null` so far, `bool`, `int`, `float`, `decimal`, `text`, `json`; `more`: fields beyond what a row can hold), `place` |
//!
//! `_sync_tasks.id` is the value of `_task` in landed rows. A first page of a spec's own expansion
//! has no row before it is finished; follow-up pages, slices, halves, and children of records, have one
//! from the transaction on that landed their origin (`state` `open`). `state`: `open`, `done`, `skipped`,
//! `failed`, `undone` (by `--fresh`, or because its spec started over). `position` is the page as
//! JSON, null for page 1. `bindings` and `slice` (JSON) of a child are its record's alone and null until it
//! is finished. `opened_by`: the request whose landing opened this first page (a slice behind it, a half);
//! null for what the expansion, a record or a debt opened. `owed` marks requests that the plan's next run
//! must make again because nothing else would bring them back; `origin` is the request of an earlier run
//! that this one, or the one that led to it, makes again. `cursor_of` is the combination of a request that
//! is not settled, or was made again; `start_at` (ns) where its window starts.
//!
//! Staging tables `_sync_stage_<table>` belong to the unfinished run of a `replace` spec.
//!
//! # What always holds
//!
//! 1. A row of a table and the request that returned it become true in one transaction; `_task` names the
//!    last request that returned the row.
//! 2. What a run will still ask for is: the combinations from `watermark` on without a row, the rows
//!    `open`, the slices behind an open first page of their strand, and what waits for a batch.
//!    Nothing else.
//! 3. A request is *unsettled* in a run while it is open or failed. A cursor is never beyond what an
//!    unsettled request of its combination may return: without windows it is published when none is left;
//!    with windows it is the smallest start of those, else the end of all. It moves backwards only within
//!    the run that moved it, and when that run is undone.
//! 4. A request of a spec that owes ([`drives::owes`](crate::drives::owes): it has a cursor, or only
//!    changed records drive it) and that failed is *owed*, from the transaction on that noted the failure
//!    until the one that opens it again in a later run. An undone run owes again what it had opened again.
//!    So a debt is in one place at any time: owed in an ended run, or a row of the run under way.
//! 5. While debts of a combination without windows are open, its own first page waits (`held_back`), and so
//!    do children that have not been sent (`waiting`), since they move the cursor that it begins at. Windows
//!    need not wait: they begin at `reached`, and the debts are the windows before it. If the debts of a
//!    table that appends fail again, what waits sits the run out (`skipped`, never sent); a child that did
//!    is owed, since nothing would drive it again.
//! 6. What an undone run did to cursors, append rows, staging and batches is taken back. Rows that merged
//!    stay, and so what only it would have asked for is owed.
//! 7. A chain of pages that begins anew, since its request has changed, appends nothing twice: what it had
//!    appended is taken back before.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use entities::StoreError;
use rusqlite::{Connection, OptionalExtension};

use crate::lock::private;
use crate::migrate;
use crate::sqlite;
use crate::trouble::Trouble;

/// The version this code writes.
pub const VERSION: i64 = 2;

/// Every name that begins so is the ledger's.
pub const PREFIX: &str = "_sync_";

/// What version 1 had not, or had otherwise.
pub(crate) const SINCE_2: &str = "
CREATE INDEX _sync_tasks_unsettled ON _sync_tasks (run, spec, cursor_of, start_at)
    WHERE cursor_of IS NOT NULL AND state IN ('open', 'failed');
CREATE INDEX _sync_tasks_again ON _sync_tasks (origin) WHERE origin IS NOT NULL;
CREATE TABLE _sync_waiting (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, spec INTEGER NOT NULL, bindings TEXT NOT NULL
);
CREATE INDEX _sync_waiting_spec ON _sync_waiting (run, spec);
CREATE TABLE _sync_cursors (
    plan TEXT NOT NULL, task TEXT NOT NULL, combination TEXT NOT NULL,
    value TEXT, seen TEXT, reached TEXT, run INTEGER, previous TEXT,
    PRIMARY KEY (plan, task, combination)
) WITHOUT ROWID;
";

const SCHEMA: &str = "
CREATE TABLE _sync_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE _sync_runs (
    id INTEGER PRIMARY KEY, plan TEXT NOT NULL, state TEXT NOT NULL,
    started_at INTEGER NOT NULL, ended_at INTEGER,
    frozen_now INTEGER NOT NULL, vars TEXT NOT NULL, full_refresh INTEGER NOT NULL, first_task INTEGER NOT NULL,
    work TEXT NOT NULL DEFAULT 'all'
);
CREATE TABLE _sync_specs (
    run INTEGER NOT NULL, spec INTEGER NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL, target TEXT NOT NULL,
    watermark INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0, records INTEGER NOT NULL DEFAULT 0, absent INTEGER NOT NULL DEFAULT 0,
    every INTEGER NOT NULL DEFAULT 0, frozen INTEGER NOT NULL DEFAULT 0, since INTEGER,
    PRIMARY KEY (run, spec)
) WITHOUT ROWID;
CREATE TABLE _sync_tasks (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, spec INTEGER NOT NULL, chain INTEGER NOT NULL,
    combination INTEGER, page INTEGER NOT NULL, position TEXT, bindings TEXT, cursor TEXT,
    state TEXT NOT NULL, attempt INTEGER, status INTEGER, bytes INTEGER, rows INTEGER,
    sent_at INTEGER, ms INTEGER, waited_ms INTEGER, error TEXT,
    owed INTEGER, origin INTEGER, slice TEXT, start_at INTEGER, cursor_of TEXT, opened_by INTEGER
);
CREATE INDEX _sync_tasks_open ON _sync_tasks (run, spec) WHERE state = 'open';
CREATE INDEX _sync_tasks_failed ON _sync_tasks (run, spec) WHERE state = 'failed';
CREATE INDEX _sync_tasks_owed ON _sync_tasks (run) WHERE owed IS NOT NULL;
CREATE INDEX _sync_tasks_pages ON _sync_tasks (chain) WHERE chain <> id;
CREATE TABLE _sync_boundary (
    plan TEXT NOT NULL, task TEXT NOT NULL, combination TEXT NOT NULL, hash BLOB NOT NULL, run INTEGER NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (plan, task, combination, hash, run)
) WITHOUT ROWID;
CREATE TABLE _sync_tables (
    name TEXT PRIMARY KEY COLLATE NOCASE, plan TEXT NOT NULL, mode TEXT NOT NULL, key TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE _sync_columns (
    target TEXT NOT NULL COLLATE NOCASE, name TEXT NOT NULL COLLATE NOCASE, source TEXT NOT NULL,
    type TEXT NOT NULL, place INTEGER NOT NULL,
    PRIMARY KEY (target, name)
) WITHOUT ROWID;
CREATE VIEW _sync_requests AS
SELECT t.id AS id, r.plan AS plan, t.run AS run, s.name AS task, t.page AS page, t.attempt AS attempt,
       t.state AS state, t.status AS status, t.bytes AS bytes, t.rows AS rows, t.waited_ms AS waited_ms,
       strftime('%Y-%m-%dT%H:%M:%fZ', t.sent_at / 1000.0, 'unixepoch') AS sent, t.ms AS ms,
       json_extract(t.error, '$.kind') AS error, json_extract(t.error, '$.message') AS message,
       t.bindings AS bindings
FROM _sync_tasks t
JOIN _sync_runs r ON r.id = t.run
LEFT JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
WHERE t.sent_at IS NOT NULL;
";

/// Opens or creates the file, sets it up for one writer, and brings the ledger into being.
pub(crate) fn open(path: &Path) -> Result<Connection, Trouble> {
    create_private(path)?;
    let conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(30))?;
    conn.set_prepared_statement_cache_capacity(256);
    // page_size: each page of the WAL is two writes and later a third, so that small pages cost more than the
    // landings on them; with larger ones than this, keys in no order would write many times what they change.
    // A file keeps the size it was made with. The WAL is folded back at 16 MB.
    // legacy_alter_table: the rename that ends a rebuild leaves users' views and triggers as they are.
    conn.execute_batch("PRAGMA page_size = 8192;")?;
    to_the_end(&conn, "PRAGMA journal_mode = WAL")?;
    conn.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = OFF;
         PRAGMA legacy_alter_table = ON;
         PRAGMA cache_size = -16000;
         PRAGMA wal_autocheckpoint = 2000;
         PRAGMA temp_store = MEMORY;",
    )?;
    sqlite::register(&conn)?;
    let transaction = conn.unchecked_transaction()?;
    match version(&conn)? {
        None => create(&conn)?,
        Some(found) => {
            check_version(&path.display().to_string(), found)?;
            migrate::from(&conn, found)?;
        }
    }
    transaction.commit()?;
    Ok(conn)
}

/// Runs a statement that commits after its row: an error of that comes with the step behind it, which whoever wants
/// just the row does not take.
fn to_the_end(conn: &Connection, sql: &str) -> Result<(), Trouble> {
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Makes the ledger's tables in an empty database: a new ledger, or the mirror of one that is kept elsewhere.
pub fn create(conn: &Connection) -> Result<(), Trouble> {
    conn.execute_batch(SCHEMA)?;
    conn.execute_batch(SINCE_2)?;
    conn.execute("INSERT INTO _sync_meta (key, value) VALUES ('version', ?1)", [VERSION])?;
    Ok(())
}

/// The ledger's version; none if there is no ledger.
pub(crate) fn version(conn: &Connection) -> Result<Option<i64>, Trouble> {
    let there: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sync_meta')",
        [],
        |row| row.get(0),
    )?;
    if !there {
        return Ok(None);
    }
    Ok(conn
        .query_row("SELECT value FROM _sync_meta WHERE key = 'version'", [], |row| row.get(0))
        .optional()?)
}

/// Refuses a ledger that a newer syncctl wrote.
pub fn check_version(store: &str, found: i64) -> Result<(), StoreError> {
    if found > VERSION {
        return Err(StoreError::TooNew { store: store.to_owned(), found, known: VERSION });
    }
    Ok(())
}

fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    private(&mut options);
    // SQLite gives the WAL the mode of the file.
    options.open(path).map(drop).map_err(|error| StoreError::Broken {
        store: path.display().to_string(),
        doing: "open",
        why: error.to_string(),
    })
}
