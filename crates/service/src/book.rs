//! `serve.db`: what lasts of each plan, one row a plan, written whole.
//!
//! Writes happen on tokio's blocking threads: a commit waits for the disk, and whoever asks shares a thread with
//! the engine, whose requests must not wait. Each plan has one writer (the operation that is under way with it), so its
//! rows are written in order; an operation that is dropped meanwhile leaves its row as it was or as it meant it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use entities::{Moment, PlanName, PlanState, RunId, RunReport};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use crate::ServiceError;
use crate::private_files::{make_directory, private};
use crate::stored_report::StoredReport;

/// The version of the table's layout.
const VERSION: i64 = 1;

/// What is wanted of a plan, whoever is there to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing: it runs when its schedule or somebody says so.
    Nothing,
    /// That its run goes on to its end, over restarts.
    Run,
    /// That it rests, its schedule too.
    Pause,
    /// That it rests; when it is resumed its run goes on.
    PausedRun,
}

impl Wanted {
    /// Somebody paused it.
    pub(crate) fn is_paused(self) -> bool {
        matches!(self, Wanted::Pause | Wanted::PausedRun)
    }

    fn as_str(self) -> &'static str {
        match self {
            Wanted::Nothing => "none",
            Wanted::Run => "run",
            Wanted::Pause => "pause",
            Wanted::PausedRun => "paused_run",
        }
    }

    fn parse(text: &str) -> Wanted {
        match text {
            "run" => Wanted::Run,
            "pause" => Wanted::Pause,
            "paused_run" => Wanted::PausedRun,
            _ => Wanted::Nothing,
        }
    }
}

/// How the run that is wanted is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// Only these tasks and their ancestors; empty: all.
    pub(crate) tasks: Vec<String>,
    /// Only what failed in the last finished run.
    pub(crate) failed_only: bool,
    /// Ignore cursors.
    pub(crate) full_refresh: bool,
    /// Undo an unfinished run first.
    pub(crate) fresh: bool,
}

/// Why a run that is wanted waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// For a limit.
    Quota,
    /// For a store or a system that did not work.
    Broken,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct LastRun {
    pub(crate) run: RunId,
    pub(crate) state: PlanState,
    pub(crate) at: Moment,
    pub(crate) report: RunReport,
}

/// What lasts of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: PlanName,
    /// Its text, with the secrets that are written into it.
    pub(crate) text: Arc<str>,
    pub(crate) added: Moment,
    pub(crate) replaced: Option<Moment>,
    pub(crate) wanted: Wanted,
    pub(crate) wish: Wish,
    /// The run that is wanted, once it has begun: from then on it is resumed, and never begun anew.
    pub(crate) run: Option<RunId>,
    /// When its schedule began.
    pub(crate) scheduled: Moment,
    /// The last due moment of its schedule that was honoured.
    pub(crate) due_from: Option<Moment>,
    /// When the run that is wanted goes on, and why not before.
    pub(crate) resumes: Option<(Moment, Waits)>,
    /// How often it has waited in a row without getting on.
    pub(crate) tries: u32,
    /// Why it does not do what is wanted of it.
    pub(crate) problem: Option<String>,
    pub(crate) last: Option<LastRun>,
}

/// The file. Clones share it, and its lock.
#[derive(Clone)]
pub(crate) struct Book {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// Taken on blocking threads only, for one statement each.
    connection: Mutex<Connection>,
    /// Behind the connection, so that it is given up last.
    _lock: File,
}

impl Book {
    /// Opens it, or makes it, and reads all rows. Blocks.
    pub(crate) fn open(directory: &Path) -> Result<(Book, Vec<Row>), ServiceError> {
        make_directory(directory).map_err(|error| storage("make", directory, error))?;
        let lock = lock(&directory.join("serve.lock"))?;
        let path = directory.join("serve.db");
        // SQLite gives its other files the rights of this one.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        options.open(&path).map_err(|error| storage("open", &path, error))?;
        let connection = Connection::open(&path).map_err(|error| storage("open", &path, error))?;
        prepare(&connection).map_err(|error| storage("open", &path, error))?;
        let version: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|error| storage("read", &path, error))?;
        if version > VERSION {
            let why = format!("a newer syncctl wrote it (version {version}, this one knows {VERSION})");
            return Err(storage("read", &path, why));
        }
        let rows = rows(&connection).map_err(|error| storage("read", &path, error))?;
        let shared = Shared { path, connection: Mutex::new(connection), _lock: lock };
        Ok((Book { shared: Arc::new(shared) }, rows))
    }

    /// Writes a row; durable on return.
    pub(crate) async fn put(&self, row: &Row) -> Result<(), ServiceError> {
        let row = row.clone();
        self.write(move |connection| put(connection, &row)).await
    }

    /// Deletes a row; durable on return.
    pub(crate) async fn delete(&self, name: &PlanName) -> Result<(), ServiceError> {
        let name = name.clone();
        self.write(move |connection| {
            connection.prepare_cached("DELETE FROM plans WHERE name = ?1")?.execute([name.as_str()]).map(drop)
        })
        .await
    }

    async fn write<F>(&self, work: F) -> Result<(), ServiceError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let written = tokio::task::spawn_blocking(move || {
            let connection = shared.connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&connection).map_err(|error| storage("write to", &shared.path, error))
        });
        written.await.unwrap_or(Err(ServiceError::Bug("writing serve.db")))
    }
}

fn storage(doing: &'static str, path: &Path, why: impl ToString) -> ServiceError {
    ServiceError::Storage { doing, path: path.display().to_string(), why: why.to_string() }
}

/// The system's lock on a file that stays; its content says who has, or last had, the lock.
fn lock(path: &Path) -> Result<File, ServiceError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    private(&mut options);
    let mut file = options.open(path).map_err(|error| storage("open", path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = Some(holder.trim()).filter(|holder| !holder.is_empty());
            let why = format!("another server has it: {}", holder.unwrap_or("no pid is noted"));
            return Err(storage("lock", path, why));
        }
        Err(TryLockError::Error(error)) => return Err(storage("lock", path, error)),
    }
    let line = format!("pid {}\n", std::process::id());
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(line.as_bytes()));
    written.map_err(|error| storage("write to", path, error))?;
    Ok(file)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted may have held secrets.
    connection.pragma_update(None, "secure_delete", "ON")?;
    let made: Option<i64> = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'plans'", [], |row| row.get(0))
        .optional()?;
    if made.is_none() {
        connection.execute_batch(&format!(
            "BEGIN;
             CREATE TABLE plans (
               name TEXT PRIMARY KEY, text TEXT NOT NULL, added INTEGER NOT NULL, replaced INTEGER,
               wanted TEXT NOT NULL, wish TEXT NOT NULL, run INTEGER, scheduled INTEGER NOT NULL, due_from INTEGER,
               resumes_at INTEGER, waits TEXT, tries INTEGER NOT NULL, problem TEXT,
               last_state TEXT, last_at INTEGER, report TEXT
             ) STRICT;
             PRAGMA user_version = {VERSION};
             COMMIT;"
        ))?;
    }
    Ok(())
}

fn put(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    let json = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    let wish = serde_json::to_string(&row.wish).map_err(json)?;
    let report = row.last.as_ref().map(|last| serde_json::to_string(&last.report)).transpose();
    let waits = row.resumes.map(|(_, waits)| match waits {
        Waits::Quota => "quota",
        Waits::Broken => "broken",
    });
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO plans (name, text, added, replaced, wanted, wish, run, scheduled,
             due_from, resumes_at, waits, tries, problem, last_state, last_at, report)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute(params![
            row.name.as_str(),
            &*row.text,
            row.added.0,
            row.replaced.map(|at| at.0),
            row.wanted.as_str(),
            wish,
            row.run.map(|run| run.0),
            row.scheduled.0,
            row.due_from.map(|at| at.0),
            row.resumes.map(|(at, _)| at.0),
            waits,
            row.tries,
            row.problem,
            row.last.as_ref().map(|last| state_text(last.state)),
            row.last.as_ref().map(|last| last.at.0),
            report.map_err(json)?,
        ])
        .map(drop)
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(
        "SELECT name, text, added, replaced, wanted, wish, scheduled, due_from, resumes_at, waits, tries, problem,
         last_state, last_at, report, run FROM plans ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| {
        let moment = |at: usize| row.get::<_, Option<i64>>(at).map(|at| at.map(Moment));
        let text = |at: usize| row.get::<_, Option<String>>(at);
        let waits = match text(9)?.as_deref() {
            Some("quota") => Some(Waits::Quota),
            Some(_) => Some(Waits::Broken),
            None => None,
        };
        let name = PlanName(row.get::<_, String>(0)?.into());
        let last = match (text(12)?, moment(13)?, text(14)?) {
            (Some(state), Some(at), Some(report)) => last_run(&name, &state, at, &report),
            _ => None,
        };
        Ok(Row {
            name,
            text: row.get::<_, String>(1)?.into(),
            added: Moment(row.get(2)?),
            replaced: moment(3)?,
            wanted: Wanted::parse(&row.get::<_, String>(4)?),
            wish: serde_json::from_str(&row.get::<_, String>(5)?).unwrap_or_default(),
            run: row.get::<_, Option<i64>>(15)?.map(RunId),
            scheduled: Moment(row.get(6)?),
            due_from: moment(7)?,
            resumes: moment(8)?.zip(waits),
            tries: row.get(10)?,
            problem: text(11)?,
            last,
        })
    })?;
    rows.collect()
}

/// A report that another version wrote and that cannot be read is left out: the ledger has the run all the same.
fn last_run(plan: &PlanName, state: &str, at: Moment, report: &str) -> Option<LastRun> {
    let state = state_of(state)?;
    let report = serde_json::from_str::<StoredReport>(report).ok()?.report(plan.clone(), state);
    Some(LastRun { run: report.run, state, at, report })
}

/// How a run can end; what is shown as `paused` is told apart here.
const ENDS: [(PlanState, &str); 5] = [
    (PlanState::Complete, "complete"),
    (PlanState::Failed, "failed"),
    (PlanState::Interrupted, "interrupted"),
    (PlanState::OutOfQuota, "out_of_quota"),
    (PlanState::Broken, "broken"),
];

fn state_text(state: PlanState) -> &'static str {
    ENDS.iter().find(|(of, _)| *of == state).map_or("interrupted", |(_, text)| text)
}

fn state_of(text: &str) -> Option<PlanState> {
    ENDS.iter().find(|(_, of)| *of == text).map(|(state, _)| *state)
}
