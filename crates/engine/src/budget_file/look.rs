//! The look at what other processes have done. Alone, it is one read of SQLite's `data_version`, a
//! counter in shared memory that moves when another connection has written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use entities::{Limit, Moment};
use rusqlite::TransactionBehavior;

use super::files::lives;
use super::{BudgetError, BudgetFile, rows};
use crate::core::{BudgetNews, Watched, WatchedWindow, WindowNews};

/// Tokens that were asked for and not asked for again in this time are not wanted any more. More than
/// the time after which who still wants them asks again.
const WANTED_FOR: Duration = Duration::from_secs(3);

/// What a process remembers between its looks.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// `data_version` at the last look; none: look whatever it is.
    seen: Option<i64>,
    /// Who else had a part in our budgets then.
    others: BTreeSet<String>,
    /// There was not enough for all then: who has a right to how many goes with what each uses, and
    /// with the time.
    pressed: bool,
    /// The limits that we have asked tokens of, by name.
    pub(super) limits: BTreeMap<String, Limit>,
    /// What we were denied, and when.
    wants: BTreeMap<String, Moment>,
}

impl Watch {
    /// The next look reads, whatever others did.
    pub(super) fn read_again(&mut self) {
        self.seen = None;
    }

    /// Nothing of that limit is ours any more.
    pub(super) fn forget(&mut self, key: &str) {
        self.limits.remove(key);
        self.wants.remove(key);
        self.read_again();
    }

    /// Tokens were asked for, and there were fewer.
    pub(super) fn asked(&mut self, key: &str, limit: &Limit, denied: bool, now: Moment) {
        if denied {
            self.wants.insert(key.to_owned(), now);
        } else {
            self.wants.remove(key);
        }
        if !self.limits.contains_key(key) {
            self.limits.insert(key.to_owned(), limit.clone());
            self.read_again();
        }
    }
}

impl BudgetFile {
    /// Whether [`look`](Self::look) would find anything. Buries the dead among those we share with,
    /// and takes back wishes that were not renewed.
    pub(crate) fn has_news(&mut self, now: Moment) -> Result<bool, BudgetError> {
        self.doing("read", |file| file.has_news_inner(now))
    }

    /// What others did to these budgets.
    pub(crate) fn look(
        &mut self,
        watched: &[Watched],
        now: Moment,
    ) -> Result<Vec<(usize, BudgetNews)>, BudgetError> {
        self.doing("read", |file| file.look_inner(watched, now))
    }

    fn has_news_inner(&mut self, now: Moment) -> rusqlite::Result<bool> {
        let given_up: Vec<String> = self
            .watch
            .wants
            .iter()
            .filter(|(_, asked)| now.since(**asked) > WANTED_FOR)
            .map(|(key, _)| key.clone())
            .collect();
        for key in given_up {
            if let Some(limit) = self.watch.limits.get(&key).cloned() {
                self.change(&key, &limit, now, |pool, us| pool.lease(us, 0, now))?;
            }
            self.watch.wants.remove(&key);
        }
        let died = |other: &String| !lives(&self.path, other);
        let dead: Vec<String> = self.watch.others.iter().filter(|other| died(other)).cloned().collect();
        if !dead.is_empty() {
            self.bury(&dead, now)?;
        }
        let version: i64 = self.database.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        Ok(self.watch.pressed || self.watch.seen != Some(version))
    }

    /// What the dead had counts as answered now; their limits are gone with them.
    fn bury(&mut self, dead: &[String], now: Moment) -> rusqlite::Result<()> {
        for (key, limit) in self.watch.limits.clone() {
            let has_part = rows::processes(&self.database, &key)?.iter().any(|other| dead.contains(other));
            if has_part {
                self.change(&key, &limit, now, |_, _| ())?;
            }
        }
        for other in dead {
            self.database.execute("DELETE FROM users WHERE process = ?1", [other])?;
            self.watch.others.remove(other);
        }
        self.watch.read_again();
        Ok(())
    }

    fn look_inner(&mut self, watched: &[Watched], now: Moment) -> rusqlite::Result<Vec<(usize, BudgetNews)>> {
        let BudgetFile { database, process, watch, .. } = self;
        // One snapshot, and the version that goes with it.
        let read = database.transaction_with_behavior(TransactionBehavior::Deferred)?;
        let (mut others, mut pressed) = (BTreeSet::new(), false);
        let mut all = Vec::with_capacity(watched.len());
        for account in watched {
            // A closure that begins in the future comes from a clock that was set back: see `join`.
            let closed =
                rows::closed(&read, &account.key)?.filter(|&(since, until)| since <= now && until > now);
            let mut windows = Vec::with_capacity(account.windows.len());
            for WatchedWindow { window, key, limit, in_use, at_rest } in &account.windows {
                let mut pool = rows::read(&read, key, limit)?;
                pool.limit.reserve = rows::reserve(&read, key, limit)?;
                others.extend(pool.leases.iter().map(|lease| lease.process.clone()));
                // Whose turn it is to have what cannot be shared goes with the time.
                pressed |= pool.leases.iter().any(|lease| lease.wants > 0);
                let wants = pool.leases.iter().find(|lease| lease.process == *process);
                let wants = wants.map_or(0, |lease| lease.wants);
                let (rank, of) = pool.place(process);
                let elsewhere = pool.elsewhere(process);
                let (ours, usable) = (pool.tokens(process), pool.limit.usable());
                let leased = elsewhere.saturating_add(ours);
                // Somebody came who leaves a larger reserve: all give up in proportion.
                let excess = (leased > usable).then(|| scaled(ours, usable, leased));
                pressed |= excess.is_some();
                let at_rest = at_rest.then(|| pool.keep_at_rest(process, *in_use)).flatten();
                let keep = [pool.keep(process, *in_use, now), excess, at_rest];
                windows.push(WindowNews {
                    window: *window,
                    keep: keep.into_iter().flatten().min(),
                    rank,
                    of,
                    elsewhere,
                    free: pool.room(process, wants.max(1), now),
                    learned: rows::learned(&read, key, now)?,
                });
            }
            others.extend(rows::users(&read, &account.key)?);
            let limits = rows::kept_by_others(&read, &account.key, process)?;
            let closed_until = closed.map(|(_, until)| until);
            let news = BudgetNews { closed_until, windows, limits };
            all.push((account.budget, news));
        }
        let version: i64 = read.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        read.commit()?;
        others.remove(process);
        watch.others = others;
        watch.pressed = pressed;
        watch.seen = Some(version);
        Ok(all)
    }
}

fn scaled(tokens: u32, by: u32, of: u32) -> u32 {
    u32::try_from(u64::from(tokens) * u64::from(by) / u64::from(of.max(1))).unwrap_or(tokens)
}
