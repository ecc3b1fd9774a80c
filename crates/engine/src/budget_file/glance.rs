//! A glance at the budgets without a part in them: reads, and neither makes nor changes anything.

use std::path::{Path, PathBuf};

use entities::{Limit, Moment};
use rate_limit::{Learned, returns_at};
use rusqlite::Connection;

use super::error::{BudgetError, failed};
use super::files::{beside, died, lives};
use super::{key, rows, tables};

/// The budgets of this user, for somebody who only looks.
pub(crate) struct Glance {
    path: PathBuf,
    /// None: nobody has ever kept a budget here.
    database: Option<Connection>,
    secret: [u8; 32],
}

/// One limit as the file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenWindow {
    /// Tokens that nobody may use now: what processes that are gone have used.
    pub(crate) held: u32,
    /// Tokens that living processes have leased.
    pub(crate) leased: u32,
    /// When the next of those held comes back.
    pub(crate) next: Option<Moment>,
    /// When each of those held comes back, ascending.
    pub(crate) returns: Vec<(Moment, u32)>,
    /// The largest reserve that any living process leaves.
    pub(crate) reserve: u32,
    /// What refusals have taught.
    pub(crate) learned: Option<Learned>,
}

impl Glance {
    /// Opens the budgets at `path` as they are.
    pub(crate) fn open(path: &Path) -> Result<Glance, BudgetError> {
        let database = tables::open_to_look(path)?;
        // Without a key nothing was ever kept under one.
        let key = std::fs::read(beside(path, "key")).ok();
        let secret = key.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).unwrap_or_default();
        Ok(Glance { path: path.to_owned(), database, secret })
    }

    /// See [`BudgetFile::fingerprint`](super::BudgetFile::fingerprint).
    pub(crate) fn fingerprint(&self, credential: &str) -> String {
        key::fingerprint(&self.secret, credential)
    }

    /// Until when a budget is closed, if it is now.
    pub(crate) fn closed_until(&self, budget: &str, now: Moment) -> Result<Option<Moment>, BudgetError> {
        let Some(database) = &self.database else { return Ok(None) };
        let closed = rows::closed(database, budget).map_err(|error| failed(&self.path, "read", &error))?;
        // As long as it was, if the clock has been set back since.
        let until = closed.map(|(since, until)| if since <= now { until } else { now + until.since(since) });
        Ok(until.filter(|until| *until > now))
    }

    /// How a limit stands.
    pub(crate) fn window(&self, key: &str, limit: &Limit, now: Moment) -> Result<SeenWindow, BudgetError> {
        let Some(database) = &self.database else { return Ok(SeenWindow::default()) };
        self.window_inner(database, key, limit, now).map_err(|error| failed(&self.path, "read", &error))
    }

    fn window_inner(
        &self,
        database: &Connection,
        key: &str,
        limit: &Limit,
        now: Moment,
    ) -> rusqlite::Result<SeenWindow> {
        let mut pool = rows::read(database, key, limit)?;
        let (living, dead): (Vec<_>, Vec<_>) =
            pool.leases.drain(..).partition(|lease| lives(&self.path, &lease.process));
        for lease in dead.iter().filter(|lease| lease.tokens > 0) {
            pool.held.push((returns_at(limit, died(&self.path, &lease.process, now)), lease.tokens));
        }
        pool.tidy(now);
        pool.held.sort_unstable();
        Ok(SeenWindow {
            returns: pool.held.clone(),
            held: pool.held.iter().fold(0, |sum: u32, (_, tokens)| sum.saturating_add(*tokens)),
            leased: living.iter().fold(0, |sum: u32, lease| sum.saturating_add(lease.tokens)),
            next: pool.held.iter().map(|(until, _)| *until).min(),
            reserve: rows::reserve(database, key, limit)?,
            learned: rows::learned(database, key, now)?,
        })
    }
}
