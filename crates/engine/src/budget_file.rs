//! Budgets in the state directory: durable leases of tokens, seen by every process of this user.
//!
//! A process leases tokens here *before* it sends, so that a crash can never forget a request that
//! a limit counts. The lease of a process that died counts as answered at the last moment it can have
//! lived, or when its death is noticed: its tokens are *held* for a window more. Of one limit, leases and held tokens together
//! never exceed what it allows.
//!
//! A process that gets no tokens leaves word of what it wants. The others see it when they next
//! [`look`](BudgetFile::look), and give up what is more than their share. Looking costs one read of
//! a counter as long as nobody else has written.
//!
//! Until when a server closed a budget is kept as well, and what its refusals have taught: a restart
//! does not forget what it asked for. Which limits a process keeps is there for the others to keep,
//! too, as long as it lives.
//!
//! A process lives as long as it holds the lock on its own file beside the database; the file's time
//! says when it last showed that it lived. Moments are
//! wall-clock times, so that they mean the same to every process.
//!
//! Not here: when a token is free ([`rate_limit::TokenWindow`]), who has a right to how many
//! ([`rate_limit::Pool`]), and what keys mean (the driver makes them of an origin, a
//! [`fingerprint`](BudgetFile::fingerprint) and a limit).

mod error;
mod files;
mod glance;
mod key;
mod look;
mod past;
mod rows;
mod rule;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use entities::{Limit, Moment};
use rate_limit::{GivenUp, Learned, Past, Pool, returns_at};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use error::{broken, failed};
use files::{HEARTBEAT, beat, beside, create_directory, died, lives, lock_path, private_file, sweep};
use rows::millis_up;

pub(crate) use error::BudgetError;
pub(crate) use glance::Glance;

/// How long to wait for tokens that others have, at most. They hear of it at their next look, and we
/// of what they gave up at ours; this is for those that do not look.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Tokens of one limit that a process may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    /// How many are ours from now on, those held included; none if others have them all.
    pub(crate) tokens: u32,
    /// Of those, how many may not be used before when. Ascending.
    pub(crate) held: Vec<(Moment, u32)>,
    /// When asking again makes sense, if `tokens` is 0.
    pub(crate) retry_at: Option<Moment>,
    /// It will bring nothing: see [`Pool::all_lack`].
    pub(crate) all_lack: bool,
}

/// A budget that a run begins to draw on.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    pub(crate) budget: String,
    /// The run's limits in it, by their names.
    pub(crate) windows: Vec<(String, Limit)>,
    /// What limits of it remember that are in use in this process, by their names: of tokens that are leased, the
    /// file does not know when they were used.
    pub(crate) past: Vec<(String, Past)>,
}

/// What the file knows of a budget that a run begins to draw on.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Until when a server closed it.
    pub(crate) closed_until: Option<Moment>,
    /// What refusals have taught, by window.
    pub(crate) learned: BTreeMap<String, Learned>,
}

/// The budgets of this user, opened by this process. Dropping it without
/// [`give_back`](Self::give_back) is a crash to the others: what was leased is held for a window.
#[derive(Debug)]
pub(crate) struct BudgetFile {
    path: PathBuf,
    database: Connection,
    secret: [u8; 32],
    /// Our name in the tables, and in the name of our lock file.
    process: String,
    /// Locked as long as we live. None: nobody else knows of us.
    alive: Option<File>,
    /// When we last showed that we live.
    beat: Moment,
    watch: look::Watch,
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
        let database = tables::open(path)?;
        let secret = key::read_or_make(&mut key_file, &database, path, &key_path)?;
        let random: String = database
            .query_row("SELECT lower(hex(randomblob(8)))", [], |row| row.get(0))
            .map_err(|error| failed(path, "read", &error))?;
        let process = format!("{}-{random}", std::process::id());

        let swept = sweep_dead(path, &database).and_then(|()| database.busy_timeout(tables::PATIENCE));
        swept.map_err(|error| failed(path, "write to", &error))?;
        let lock_path = lock_path(path, &process);
        let alive = private_file(&lock_path).map_err(|error| broken(&lock_path, "open", &error))?;
        alive.try_lock().map_err(|error| broken(&lock_path, "lock", &error))?;
        let (watch, beat) = (look::Watch::default(), Moment(i64::MIN));
        let (path, alive) = (path.to_owned(), Some(alive));
        Ok(BudgetFile { path, database, secret, process, alive, beat, watch })
    }

    /// Budgets that nobody shares and that end with this process: there is no place for a file.
    pub(crate) fn in_memory() -> Result<BudgetFile, BudgetError> {
        let path = PathBuf::from(":memory:");
        let database = tables::open(&path)?;
        let secret = database.query_row("SELECT randomblob(32)", [], |row| row.get(0));
        let secret = secret.map_err(|error| failed(&path, "read", &error))?;
        let (watch, beat) = (look::Watch::default(), Moment(i64::MIN));
        Ok(BudgetFile { path, database, secret, process: "us".to_owned(), alive: None, beat, watch })
    }

    /// A run begins to draw on budgets. From now on other processes keep its limits as well. A limit that
    /// nobody kept until now takes over what went under others of its budget. Gives what is known of each.
    pub(crate) fn join(&mut self, budgets: &[Joining], now: Moment) -> Result<Vec<Known>, BudgetError> {
        self.doing("write to", |file| file.join_inner(budgets, now))
    }

    /// Leases at most `want` tokens of a limit, durably. Free tokens come first, then held ones,
    /// the earliest first. What was wanted and not had is left for others to see.
    pub(crate) fn lease(
        &mut self,
        key: &str,
        limit: &Limit,
        want: u32,
        now: Moment,
    ) -> Result<Lease, BudgetError> {
        self.doing("write to", |file| file.lease_inner(key, limit, want, now))
    }

    /// Some of our tokens are for others from now on; of them, `held` stay held.
    pub(crate) fn give_up(
        &mut self,
        key: &str,
        limit: &Limit,
        given: &GivenUp,
        now: Moment,
    ) -> Result<(), BudgetError> {
        self.doing("write to", |file| file.change(key, limit, now, |pool, us| pool.give_back(us, given, now)))
    }

    /// Our part in limits ends in good order; of the tokens of each, those given with it stay held, if we have a
    /// lease of it. What nobody needs any more of any limit goes along.
    pub(crate) fn give_back(
        &mut self,
        all: &[(String, Vec<(Moment, u32)>)],
        now: Moment,
    ) -> Result<(), BudgetError> {
        self.doing("write to", |file| file.give_back_inner(all, now))
    }

    /// What our limit of that name is from now on; none: we have none any more, though we may keep another
    /// process's.
    pub(crate) fn restate(&mut self, key: &str, limit: Option<&Limit>) -> Result<(), BudgetError> {
        self.doing("write to", |file| {
            file.watch.read_again();
            let (us, rule) = (&file.process, limit.map(|limit| rule::write(limit).unwrap_or_default()));
            match rule {
                Some(rule) => file.database.execute(
                    "UPDATE users SET rule = ?3 WHERE key = ?1 AND process = ?2",
                    params![key, us, rule],
                ),
                None => file.database.execute("DELETE FROM users WHERE key = ?1 AND process = ?2", [key, us]),
            }
            .map(drop)
        })
    }

    /// Nothing is ours any more: our limits are no longer others' business.
    pub(crate) fn leave(&mut self, now: Moment) -> Result<(), BudgetError> {
        self.doing("write to", |file| {
            let change = file.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            change.execute("DELETE FROM users WHERE process = ?1", [&file.process])?;
            rows::forget_what_is_over(&change, now)?;
            change.commit()
        })
    }

    /// Shows that we live, now and then: who finds us dead knows then until when we lived. Call it
    /// before requests go, at least every few seconds.
    pub(crate) fn beat(&mut self, now: Moment) -> Result<(), BudgetError> {
        if now.since(self.beat) < HEARTBEAT && self.beat <= now {
            return Ok(());
        }
        self.beat = now;
        let Some(alive) = &self.alive else { return Ok(()) };
        let own = lock_path(&self.path, &self.process);
        beat(alive, now).map_err(|error| broken(&own, "write to", &error))
    }

    /// A server closed a budget until then: kept durably, and never shortened.
    pub(crate) fn close(&mut self, key: &str, until: Moment, now: Moment) -> Result<(), BudgetError> {
        self.doing("write to", |file| file.close_inner(key, until, now))
    }

    /// Refusals have taught something about a limit: kept durably. Who knows of fewer refusals than
    /// the file changes nothing.
    pub(crate) fn learn(&mut self, key: &str, learned: Learned, now: Moment) -> Result<(), BudgetError> {
        self.doing("write to", |file| file.learn_inner(key, learned, now))
    }

    /// Whether writes wait longer for others' to end from now on: nobody waits for us.
    pub(crate) fn be_patient(&mut self, patient: bool) -> Result<(), BudgetError> {
        let patience = if patient { tables::LONG_PATIENCE } else { tables::PATIENCE };
        self.doing("open", |file| file.database.busy_timeout(patience))
    }

    /// Names a credential without telling it: HMAC-SHA-256 (RFC 2104) under this installation's
    /// random key, the first 128 bits in hex.
    pub(crate) fn fingerprint(&self, credential: &str) -> String {
        key::fingerprint(&self.secret, credential)
    }

    /// Does something with the database, and puts its errors into words.
    fn doing<T>(
        &mut self,
        doing: &'static str,
        act: impl FnOnce(&mut BudgetFile) -> rusqlite::Result<T>,
    ) -> Result<T, BudgetError> {
        let done = act(self);
        done.map_err(|error| failed(&self.path, doing, &error))
    }

    fn join_inner(&mut self, budgets: &[Joining], now: Moment) -> rusqlite::Result<Vec<Known>> {
        // Whom we have not met yet may be in there.
        self.watch.read_again();
        // A run begins only once, and fails if this does.
        self.database.busy_timeout(tables::LONG_PATIENCE)?;
        let joined = self.join_now(budgets, now);
        self.database.busy_timeout(tables::PATIENCE)?;
        joined
    }

    fn join_now(&mut self, budgets: &[Joining], now: Moment) -> rusqlite::Result<Vec<Known>> {
        // Immediate: a row that is read must not have changed before it is written.
        let change = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut all = Vec::with_capacity(budgets.len());
        for joining in budgets {
            let budget = &joining.budget;
            let mut known = Known { closed_until: closed_until(&change, budget, now)?, ..Known::default() };
            for (key, limit) in &joining.windows {
                if !past::is_kept(&change, &self.path, &self.process, key)? {
                    past::take_over(&change, &self.path, &self.process, joining, key, limit, now)?;
                }
            }
            for (key, limit) in &joining.windows {
                // Another plan of this process may leave more of it.
                let reserve = rows::reserve_of(&change, key, &self.process)?.max(limit.reserve);
                let rule = rule::write(&Limit { reserve, ..limit.clone() }).unwrap_or_default();
                change.execute(
                    "INSERT INTO users (budget, key, process, rule) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (key, process) DO UPDATE SET budget = ?1, rule = ?4
                     WHERE budget <> ?1 OR rule <> ?4",
                    params![budget, key, self.process, rule],
                )?;
                if let Some(learned) = rows::learned(&change, key, now)? {
                    known.learned.insert(key.clone(), learned);
                }
            }
            all.push(known);
        }
        change.commit()?;
        Ok(all)
    }

    fn give_back_inner(&mut self, all: &[(String, Vec<(Moment, u32)>)], now: Moment) -> rusqlite::Result<()> {
        let BudgetFile { path, database, process, watch, .. } = self;
        let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (key, held) in all {
            if let Some(limit) = watch.limits.get(key) {
                change_in(&change, path, process, key, limit, now, |pool, us| {
                    if pool.tokens(us) > 0 {
                        pool.leave(us, held, now);
                    }
                })?;
            }
            change.execute("DELETE FROM users WHERE key = ?1 AND process = ?2", [key, process])?;
        }
        rows::forget_what_is_over(&change, now)?;
        change.commit()?;
        all.iter().for_each(|(key, _)| watch.forget(key));
        Ok(())
    }

    fn lease_inner(&mut self, key: &str, limit: &Limit, want: u32, now: Moment) -> rusqlite::Result<Lease> {
        let (leased, all_lack) = self.change(key, limit, now, |pool, us| {
            let leased = pool.lease(us, want, now);
            let all_lack = leased.tokens == 0 && pool.all_lack(us, now);
            (leased, all_lack)
        })?;
        self.watch.asked(key, limit, leased.tokens < want, now);
        let retry_at = (leased.tokens == 0).then(|| now + ASK_AGAIN);
        Ok(Lease { tokens: leased.tokens, held: leased.held, retry_at, all_lack })
    }

    /// One limit's pool, changed durably. The dead are buried first.
    fn change<T>(
        &mut self,
        key: &str,
        limit: &Limit,
        now: Moment,
        act: impl FnOnce(&mut Pool, &str) -> T,
    ) -> rusqlite::Result<T> {
        let BudgetFile { path, database, process, .. } = self;
        // Immediate: the sums must not change before they are written.
        let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = change_in(&change, path, process, key, limit, now, act)?;
        change.commit()?;
        Ok(done)
    }

    fn close_inner(&mut self, key: &str, until: Moment, now: Moment) -> rusqlite::Result<()> {
        let change = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = closed_until(&change, key, now)?;
        // What is past and nobody asks for any more goes along.
        change.execute("DELETE FROM closed WHERE until_ms <= ?1", [now.as_millis()])?;
        if before.is_none_or(|before| before < until) {
            change.execute(
                "INSERT INTO closed (key, since_ms, until_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET since_ms = ?2, until_ms = ?3",
                params![key, now.as_millis(), millis_up(until)],
            )?;
        }
        change.commit()
    }

    fn learn_inner(&mut self, key: &str, learned: Learned, now: Moment) -> rusqlite::Result<()> {
        let change = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = rows::learned(&change, key, now)?;
        let is_news = |before: Learned| {
            before.refusals < learned.refusals
                || before.refusals == learned.refusals && before.gap != learned.gap
        };
        if before.is_none_or(is_news) {
            rows::forget_what_is_stale(&change, now)?;
            change.execute(
                "INSERT INTO learned (key, gap_ns, refusals, at_ms) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO UPDATE SET gap_ns = ?2, refusals = ?3, at_ms = ?4",
                params![
                    key,
                    i64::try_from(learned.gap.as_nanos()).unwrap_or(i64::MAX),
                    learned.refusals,
                    learned.at.as_millis()
                ],
            )?;
        }
        change.commit()
    }
}

impl Drop for BudgetFile {
    fn drop(&mut self) {
        // Its absence says that we are gone as well as its being unlocked does.
        if self.alive.is_some() {
            let _ = std::fs::remove_file(lock_path(&self.path, &self.process));
        }
    }
}

fn change_in<T>(
    change: &Transaction<'_>,
    path: &Path,
    process: &str,
    key: &str,
    limit: &Limit,
    now: Moment,
    act: impl FnOnce(&mut Pool, &str) -> T,
) -> rusqlite::Result<T> {
    change.execute(
        "INSERT INTO windows (key, count, window_ms, said) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (key) DO NOTHING",
        params![key, limit.count, millis_up(Moment(0) + limit.window), limit.text],
    )?;
    let mut before = rows::read(change, key, limit)?;
    let mut dead = rows::processes(change, key)?;
    dead.retain(|other| other != process && !lives(path, other));
    for other in &dead {
        change.execute("DELETE FROM users WHERE process = ?1", [other])?;
    }
    // The largest of the living's reserves holds.
    before.limit.reserve = rows::reserve(change, key, limit)?;
    let mut pool = before.clone();
    for other in &dead {
        let held = [(returns_at(limit, died(path, other, now)), pool.tokens(other))];
        pool.leave(other, &held, now);
    }
    let done = act(&mut pool, process);
    rows::write(change, key, process, &before, &pool)?;
    Ok(done)
}

/// Removes what dead processes left: their lock files, unless they have leases still, and their limits.
fn sweep_dead(path: &Path, database: &Connection) -> rusqlite::Result<()> {
    let processes = |query: &str| -> rusqlite::Result<BTreeSet<String>> {
        database.prepare(query)?.query_map([], |row| row.get(0))?.collect()
    };
    sweep(path, &processes("SELECT DISTINCT process FROM leases")?);
    for process in processes("SELECT DISTINCT process FROM users")? {
        if !lives(path, &process) {
            database.execute("DELETE FROM users WHERE process = ?1", [&process])?;
        }
    }
    Ok(())
}

/// Until when a budget is closed. A wait that begins in the future comes from a clock that was set
/// back: it begins now instead, as long as it was.
fn closed_until(change: &Transaction<'_>, budget: &str, now: Moment) -> rusqlite::Result<Option<Moment>> {
    let Some((since, until)) = rows::closed(change, budget)?.filter(|&(_, until)| until > now) else {
        return Ok(None);
    };
    if since <= now {
        return Ok(Some(until));
    }
    let until = now + until.since(since);
    change.execute(
        "UPDATE closed SET since_ms = ?2, until_ms = ?3 WHERE key = ?1",
        params![budget, now.as_millis(), millis_up(until)],
    )?;
    Ok(Some(until))
}

#[cfg(test)]
mod tests;
