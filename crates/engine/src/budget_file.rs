//! Budgets in the state directory: durable leases of tokens, seen by every process of this user.
//!
//! A process leases tokens here *before* it sends, so that a crash can never forget a request that
//! a limit counts. The lease of a process that died counts as answered at the moment its death is
//! noticed: its tokens are *held* for a window more. Of one limit, leases and held tokens together
//! never exceed L.
//!
//! Until when a server closed a budget is kept as well: a restart does not forget what it asked for.
//!
//! A process lives as long as it holds the lock on its own file beside the database. Moments are
//! wall-clock times, so that they mean the same to every process.
//!
//! Not here: when a token is free ([`rate_limit::TokenWindow`]), and what keys mean (the driver
//! makes them of an origin, a [`fingerprint`](BudgetFile::fingerprint) and a limit).

mod files;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use entities::{Limit, Moment};
use hmac::{Hmac, KeyInit, Mac};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::Sha256;

use files::{beside, create_directory, lives, lock_path, private_file, sweep};

/// The version of the tables, in `user_version`.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE windows (key TEXT PRIMARY KEY, count INTEGER NOT NULL, window_ms INTEGER NOT NULL,
        said TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE leases (key TEXT NOT NULL, process TEXT NOT NULL, tokens INTEGER NOT NULL,
        PRIMARY KEY (key, process)) STRICT, WITHOUT ROWID;
    CREATE TABLE held (key TEXT NOT NULL, return_at_ms INTEGER NOT NULL, tokens INTEGER NOT NULL,
        PRIMARY KEY (key, return_at_ms)) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;";

/// By budget, not by limit. Older files of the same version lack it: whoever does not know it loses
/// nothing but this. `since_ms` is when the server asked, so that its wait can be told from a clock
/// that was set back.
const CLOSED: &str = "
    CREATE TABLE IF NOT EXISTS closed (key TEXT PRIMARY KEY, since_ms INTEGER NOT NULL,
        until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

/// Why budgets cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BudgetError {
    /// The directory, the disk, a lock.
    #[error("cannot {doing} `{}`: {why}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// "open", "read", "write to", "lock"
        doing: &'static str,
        /// The system's words.
        why: String,
    },
    /// The file is no database, or a damaged one.
    #[error(
        "the budgets in `{}` are damaged ({why}); remove the file to start over: what was sent in the last \
         window of each limit is then forgotten",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        why: String,
    },
    /// A newer syncctl wrote it.
    #[error("`{}` was written by a newer syncctl (version {found}, this one knows {VERSION})", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
}

/// Tokens of one limit that a process may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    /// How many are ours from now on, those held included; none if others have them all.
    pub(crate) tokens: u32,
    /// Of those, how many may not be used before when. Ascending.
    pub(crate) held: Vec<(Moment, u32)>,
    /// When asking again makes sense, if `tokens` is 0.
    pub(crate) retry_at: Option<Moment>,
}

/// The budgets of this user, opened by this process. Dropping it without
/// [`give_back`](Self::give_back) is a crash to the others: what was leased is held for a window.
#[derive(Debug)]
pub(crate) struct BudgetFile {
    path: PathBuf,
    database: Connection,
    secret: [u8; 32],
    /// Our name in `leases`, and in the name of our lock file.
    process: String,
    /// Locked as long as we live.
    _alive: File,
}

impl BudgetFile {
    /// Opens or creates the budgets at `path`, in a directory that only this user may enter.
    pub(crate) fn open(path: &Path) -> Result<BudgetFile, BudgetError> {
        if let Some(directory) = path.parent() {
            create_directory(directory).map_err(|error| broken(directory, "create", &error))?;
        }
        // Two processes must not make the key or the tables at once: the key's lock is for both.
        let key_path = beside(path, "key");
        let mut key_file = private_file(&key_path).map_err(|error| broken(&key_path, "open", &error))?;
        key_file.lock().map_err(|error| broken(&key_path, "lock", &error))?;

        private_file(path).map_err(|error| broken(path, "open", &error))?;
        let database = open_database(path)?;
        let secret = read_or_make_key(&mut key_file, &database, path, &key_path)?;
        let random: String = database
            .query_row("SELECT lower(hex(randomblob(8)))", [], |row| row.get(0))
            .map_err(|error| failed(path, "read", &error))?;
        let process = format!("{}-{random}", std::process::id());

        sweep(path);
        let lock_path = lock_path(path, &process);
        let alive = private_file(&lock_path).map_err(|error| broken(&lock_path, "open", &error))?;
        alive.try_lock().map_err(|error| broken(&lock_path, "lock", &error))?;
        Ok(BudgetFile { path: path.to_owned(), database, secret, process, _alive: alive })
    }

    /// The database.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leases at most `want` tokens of a limit, durably. Free tokens come first, then held ones,
    /// the earliest first.
    pub(crate) fn lease(
        &mut self,
        key: &str,
        limit: &Limit,
        want: u32,
        now: Moment,
    ) -> Result<Lease, BudgetError> {
        let path = self.path.clone();
        let leased = self.lease_inner(key, limit, want, now);
        leased.map_err(|error| failed(&path, "write to", &error))
    }

    /// Our lease of a limit ends in good order; of its tokens, `held` stay held. Nothing happens
    /// if we have no lease.
    pub(crate) fn give_back(
        &mut self,
        key: &str,
        held: &[(Moment, u32)],
        now: Moment,
    ) -> Result<(), BudgetError> {
        let path = self.path.clone();
        let given = self.give_back_inner(key, held, now);
        given.map_err(|error| failed(&path, "write to", &error))
    }

    /// A server closed a budget until then: kept durably, and never shortened.
    pub(crate) fn close(&mut self, key: &str, until: Moment, now: Moment) -> Result<(), BudgetError> {
        let path = self.path.clone();
        let closed = self.close_inner(key, until, now);
        closed.map_err(|error| failed(&path, "write to", &error))
    }

    /// Until when a budget is closed, if it is now.
    pub(crate) fn closed_until(&mut self, key: &str, now: Moment) -> Result<Option<Moment>, BudgetError> {
        let path = self.path.clone();
        let closed = self.closed_until_inner(key, now);
        closed.map_err(|error| failed(&path, "read", &error))
    }

    /// Names a credential without telling it: HMAC-SHA-256 (RFC 2104) under this installation's
    /// random key, the first 128 bits in hex.
    pub(crate) fn fingerprint(&self, credential: &str) -> String {
        // A key shorter than the hash's block is padded with zeros by the standard itself.
        let mut block = [0_u8; 64];
        block[..32].copy_from_slice(&self.secret);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(credential.as_bytes());
        mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn lease_inner(&mut self, key: &str, limit: &Limit, want: u32, now: Moment) -> rusqlite::Result<Lease> {
        let BudgetFile { path, database, process, .. } = self;
        let (path, process) = (path.as_path(), process.as_str());
        // Immediate: the sums below must not change before they are written.
        let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute(
            "INSERT INTO windows (key, count, window_ms, said) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO UPDATE SET count = ?2, window_ms = ?3, said = ?4",
            params![key, limit.count, millis_up(Moment(0) + limit.window), limit.text],
        )?;
        let latest = millis_up(now + limit.window);
        bury_the_dead(&change, path, process, key, latest)?;
        let mut held = tidy_held(&change, key, now, latest)?;

        let in_leases: i64 =
            change.query_row("SELECT coalesce(sum(tokens), 0) FROM leases WHERE key = ?1", [key], |row| {
                row.get(0)
            })?;
        let in_held: i64 = held.iter().map(|&(_, tokens)| tokens).sum();
        let free = (i64::from(limit.count) - in_leases - in_held).max(0);
        // A limit that shrank under its key may have given out more than it has: then nothing moves.
        let room = (i64::from(limit.count) - in_leases).clamp(0, i64::from(want));
        let mut tokens = free.min(room);
        let mut ours = Vec::new();
        for (return_at, held_tokens) in &mut held {
            let taken = (room - tokens).min(*held_tokens);
            if taken > 0 {
                take_held(&change, key, *return_at, taken)?;
                ours.push((Moment::from_millis(*return_at), u32::try_from(taken).unwrap_or(u32::MAX)));
                tokens += taken;
            }
        }
        if tokens > 0 {
            change.execute(
                "INSERT INTO leases (key, process, tokens) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key, process) DO UPDATE SET tokens = tokens + excluded.tokens",
                params![key, process, tokens],
            )?;
        }
        change.commit()?;
        // Living processes have them all. Nobody knows when one of them ends.
        let patience = limit.window.clamp(Duration::from_secs(1), Duration::from_secs(30));
        Ok(Lease {
            tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
            held: ours,
            retry_at: (tokens == 0).then(|| now + patience),
        })
    }

    fn give_back_inner(&mut self, key: &str, held: &[(Moment, u32)], now: Moment) -> rusqlite::Result<()> {
        let change = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let ours: Option<i64> = change
            .query_row(
                "DELETE FROM leases WHERE key = ?1 AND process = ?2 RETURNING tokens",
                params![key, self.process],
                |row| row.get(0),
            )
            .optional()?;
        // No more stays held than was leased; if the caller says more, the latest count.
        let mut left = ours.unwrap_or(0);
        let mut latest_first: Vec<_> = held.iter().filter(|&&(until, _)| until > now).copied().collect();
        latest_first.sort_unstable_by(|a, b| b.cmp(a));
        for (until, tokens) in latest_first {
            let tokens = i64::from(tokens).min(left);
            hold(&change, key, millis_up(until), tokens)?;
            left -= tokens;
        }
        change.commit()
    }
}

impl BudgetFile {
    fn close_inner(&mut self, key: &str, until: Moment, now: Moment) -> rusqlite::Result<()> {
        let change = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = tidy_closed(&change, key, now)?;
        // What is past and nobody asks for any more goes along.
        change.execute("DELETE FROM closed WHERE until_ms <= ?1", [now.as_millis()])?;
        if before.is_none_or(|before| before < millis_up(until)) {
            change.execute(
                "INSERT INTO closed (key, since_ms, until_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET since_ms = ?2, until_ms = ?3",
                params![key, now.as_millis(), millis_up(until)],
            )?;
        }
        change.commit()
    }

    fn closed_until_inner(&mut self, key: &str, now: Moment) -> rusqlite::Result<Option<Moment>> {
        // Most budgets are open: nothing is locked to learn that.
        let is_there: Option<i64> = self
            .database
            .query_row("SELECT 1 FROM closed WHERE key = ?1", [key], |row| row.get(0))
            .optional()?;
        if is_there.is_none() {
            return Ok(None);
        }
        let change = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let until = tidy_closed(&change, key, now)?;
        change.commit()?;
        Ok(until.map(Moment::from_millis))
    }
}

impl Drop for BudgetFile {
    fn drop(&mut self) {
        // Its absence says that we are gone as well as its being unlocked does.
        let _ = std::fs::remove_file(lock_path(&self.path, &self.process));
    }
}

/// Turns leases of dead processes into held tokens.
fn bury_the_dead(
    change: &Transaction<'_>,
    path: &Path,
    us: &str,
    key: &str,
    return_at: i64,
) -> rusqlite::Result<()> {
    let mut find =
        change.prepare_cached("SELECT process, tokens FROM leases WHERE key = ?1 AND process <> ?2")?;
    let others: Vec<(String, i64)> =
        find.query_map([key, us], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (process, tokens) in others {
        if !lives(path, &process) {
            change.execute("DELETE FROM leases WHERE key = ?1 AND process = ?2", [key, &process])?;
            hold(change, key, return_at, tokens)?;
        }
    }
    Ok(())
}

/// Drops held tokens that are free by now, and gives the others, earliest first. Return times
/// beyond a window from now come from a clock that was set back; a window from now suffices.
fn tidy_held(
    change: &Transaction<'_>,
    key: &str,
    now: Moment,
    latest: i64,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    change
        .execute("DELETE FROM held WHERE key = ?1 AND return_at_ms <= ?2", params![key, now.as_millis()])?;
    let beyond: i64 = change.query_row(
        "SELECT coalesce(sum(tokens), 0) FROM held WHERE key = ?1 AND return_at_ms > ?2",
        params![key, latest],
        |row| row.get(0),
    )?;
    if beyond > 0 {
        change.execute("DELETE FROM held WHERE key = ?1 AND return_at_ms > ?2", params![key, latest])?;
        hold(change, key, latest, beyond)?;
    }
    let mut find = change
        .prepare_cached("SELECT return_at_ms, tokens FROM held WHERE key = ?1 ORDER BY return_at_ms")?;
    find.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Until when a budget is closed; drops what is past. A wait that begins in the future comes from a
/// clock that was set back: it begins now instead, as long as it was.
fn tidy_closed(change: &Transaction<'_>, key: &str, now: Moment) -> rusqlite::Result<Option<i64>> {
    let closed: Option<(i64, i64)> = change
        .query_row("SELECT since_ms, until_ms FROM closed WHERE key = ?1", [key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((since, until)) = closed else { return Ok(None) };
    let now = now.as_millis();
    if until <= now {
        change.execute("DELETE FROM closed WHERE key = ?1", [key])?;
        return Ok(None);
    }
    if since <= now {
        return Ok(Some(until));
    }
    let until = now.saturating_add(until.saturating_sub(since));
    change
        .execute("UPDATE closed SET since_ms = ?2, until_ms = ?3 WHERE key = ?1", params![key, now, until])?;
    Ok(Some(until))
}

fn hold(change: &Transaction<'_>, key: &str, return_at: i64, tokens: i64) -> rusqlite::Result<()> {
    if tokens > 0 {
        change.execute(
            "INSERT INTO held (key, return_at_ms, tokens) VALUES (?1, ?2, ?3)
             ON CONFLICT (key, return_at_ms) DO UPDATE SET tokens = tokens + excluded.tokens",
            params![key, return_at, tokens],
        )?;
    }
    Ok(())
}

fn take_held(change: &Transaction<'_>, key: &str, return_at: i64, tokens: i64) -> rusqlite::Result<()> {
    change.execute(
        "UPDATE held SET tokens = tokens - ?3 WHERE key = ?1 AND return_at_ms = ?2",
        params![key, return_at, tokens],
    )?;
    change.execute(
        "DELETE FROM held WHERE key = ?1 AND return_at_ms = ?2 AND tokens <= 0",
        params![key, return_at],
    )?;
    Ok(())
}

fn open_database(path: &Path) -> Result<Connection, BudgetError> {
    let prepare = || -> rusqlite::Result<(Connection, i64)> {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_secs(5))?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        let version = database.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version == 0 {
            database.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;"))?;
        }
        if version <= VERSION {
            database.execute_batch(CLOSED)?;
        }
        Ok((database, version))
    };
    let (database, found) = prepare().map_err(|error| failed(path, "open", &error))?;
    if found > VERSION {
        return Err(BudgetError::TooNew { path: path.to_owned(), found });
    }
    Ok(database)
}

/// The key is made once; one that was cut short by a crash is made anew.
fn read_or_make_key(
    file: &mut File,
    database: &Connection,
    path: &Path,
    key_path: &Path,
) -> Result<[u8; 32], BudgetError> {
    let mut bytes = Vec::new();
    file.take(33).read_to_end(&mut bytes).map_err(|error| broken(key_path, "read", &error))?;
    if let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice()) {
        return Ok(key);
    }
    // SQLite seeds its generator from the system's.
    let key: [u8; 32] = database
        .query_row("SELECT randomblob(32)", [], |row| row.get(0))
        .map_err(|error| failed(path, "read", &error))?;
    let mut write = || {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&key)?;
        file.sync_all()
    };
    write().map_err(|error| broken(key_path, "write to", &error))?;
    Ok(key)
}

/// In whole milliseconds, rounded up: never earlier than it is.
fn millis_up(moment: Moment) -> i64 {
    Moment(moment.0.saturating_add(999_999)).as_millis()
}

fn broken(path: &Path, doing: &'static str, why: &dyn std::fmt::Display) -> BudgetError {
    BudgetError::Broken { path: path.to_owned(), doing, why: why.to_string() }
}

fn failed(path: &Path, doing: &'static str, error: &rusqlite::Error) -> BudgetError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            BudgetError::Damaged { path: path.to_owned(), why: error.to_string() }
        }
        _ => broken(path, doing, error),
    }
}

#[cfg(test)]
mod tests;
