//! A client process as the engine is one: a budget, leases from what all processes of the machine
//! share, and what it does when it is refused. The rules are those of `engine/src/core/budgets.rs` and
//! `engine/src/budget_file.rs`, without a file.

use std::time::Duration;

use entities::{BackOff, Limit, Moment, ServerQuota};
use rate_limit::{Budget, Learned, Pool, Verdict, Why};

use super::network::{MILLI, SECOND};

/// Every process looks so often at what the others wrote.
pub(crate) const LOOK: i64 = 250 * MILLI;
/// The engine's default.
const BACKOFF: BackOff = BackOff { first: Duration::from_secs(1), most: Duration::from_secs(60) };

/// What the budgets' file holds.
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    closed_until: Moment,
    learned: Option<Learned>,
    /// Counts changes.
    pub(crate) version: u64,
}

/// What came with an answer.
pub(crate) struct News {
    pub(crate) good: bool,
    /// With a refusal, in ns.
    pub(crate) retry_after: Option<i64>,
    pub(crate) quota: Option<ServerQuota>,
    pub(crate) sent: Moment,
}

/// One process.
pub(crate) struct Client {
    /// Its name in the file.
    name: String,
    budget: Budget,
    /// Episodes of refusals since the last good answer.
    in_a_row: u32,
    /// Requests sent before this moment belong to the last episode.
    episode: Moment,
    /// Until when the file knows of a closure.
    kept_closed: Moment,
    pub(crate) in_flight: u32,
}

impl Shared {
    pub(crate) fn new(limit: &Limit) -> Shared {
        let pool = Pool::new(limit.clone());
        Shared { pool, closed_until: Moment(i64::MIN), learned: None, version: 0 }
    }
}

impl Client {
    pub(crate) fn new(name: String, limit: &Limit, shared: &Shared, now: Moment) -> Client {
        let mut budget = Budget::new([limit.clone()]);
        if let Some(learned) = shared.learned {
            budget.windows_mut()[0].learn(learned);
        }
        if shared.closed_until > now {
            budget.close_until(shared.closed_until);
        }
        let (in_a_row, episode, kept_closed) = (0, Moment(i64::MIN), shared.closed_until);
        Client { name, budget, in_a_row, episode, kept_closed, in_flight: 0 }
    }

    /// Takes a grant, or says when to ask again: after an answer, if that is `None`.
    pub(crate) fn ask(&mut self, shared: &mut Shared, cost: u32, now: Moment) -> Result<(), Option<Moment>> {
        loop {
            self.lease(shared, now);
            return match self.budget.check(&[cost], now) {
                (Verdict::Now, _) => {
                    self.budget.take(&[cost], now);
                    self.in_flight += 1;
                    Ok(())
                }
                (Verdict::At(at), _) => Err(Some(at)),
                (Verdict::WhenAnswered, _) => Err(None),
                (Verdict::NeedsLease, Why::Lease(_)) => continue,
                (Verdict::NeedsLease, _) => Err(None),
            };
        }
    }

    /// An answer came. Gives for how many ns more than before all is closed.
    pub(crate) fn answered(&mut self, shared: &mut Shared, cost: u32, news: &News, now: Moment) -> i64 {
        self.in_flight -= 1;
        self.budget.answered(&[cost], &[], news.sent, now);
        if let Some(quota) = &news.quota {
            self.budget.heard(std::slice::from_ref(quota), news.sent, now);
        }
        if news.good {
            self.in_a_row = 0;
            return 0;
        }
        self.refused(shared, news, now)
    }

    fn refused(&mut self, shared: &mut Shared, news: &News, now: Moment) -> i64 {
        let before = self.budget.closed_until(now).unwrap_or(now);
        if news.sent >= self.episode {
            self.in_a_row += 1;
            if !self.budget.refused(news.sent, now).is_empty() {
                shared.learned = self.budget.windows()[0].learned();
                shared.version += 1;
            }
        }
        let step = BACKOFF.step(self.in_a_row.max(1), 0.0);
        let how_long = news.retry_after.map_or(step, |ns| Duration::from_nanos(ns.unsigned_abs()));
        let until = now + how_long;
        self.budget.close_until(until);
        self.episode = self.episode.max(until);
        if until.0 - self.kept_closed.max(now).0 > SECOND {
            self.kept_closed = until;
            shared.closed_until = shared.closed_until.max(until);
            shared.version += 1;
        }
        (until.0 - before.max(now).0).max(0)
    }

    /// The look at what the others wrote. Whether it has to look again although nobody writes.
    pub(crate) fn look(&mut self, shared: &mut Shared, now: Moment) -> bool {
        let (rank, of) = shared.pool.place(&self.name);
        let window = &mut self.budget.windows_mut()[0];
        window.placed(rank, of);
        if let Some(learned) = shared.learned {
            window.learn(learned);
        }
        let wanting = window.is_wanting();
        if !wanting && self.wants(shared) > 0 {
            shared.pool.lease(&self.name, 0, now);
            shared.version += 1;
        }
        let window = &mut self.budget.windows_mut()[0];
        let keep = shared.pool.keep(&self.name, window.in_use(now), now);
        if let Some(keep) = keep {
            let given = window.give_up(keep, now);
            if given.tokens > 0 {
                shared.pool.give_back(&self.name, &given, now);
                shared.version += 1;
            }
        }
        if shared.closed_until > now {
            self.budget.close_until(shared.closed_until);
            self.kept_closed = self.kept_closed.max(shared.closed_until);
        }
        keep.is_some() || self.wants(shared) > 0
    }

    /// It ends in good order: nothing is in flight.
    pub(crate) fn leave(&self, shared: &mut Shared, now: Moment) {
        shared.pool.leave(&self.name, &self.budget.windows()[0].held(now), now);
        shared.version += 1;
    }

    /// Its death is noticed.
    pub(crate) fn bury(&self, shared: &mut Shared, now: Moment) {
        shared.pool.bury(&self.name, now);
        shared.version += 1;
    }

    fn wants(&self, shared: &Shared) -> u32 {
        shared.pool.leases.iter().find(|lease| lease.process == self.name).map_or(0, |lease| lease.wants)
    }

    fn lease(&mut self, shared: &mut Shared, now: Moment) {
        while let Some((index, want)) = self.budget.next_lease(now) {
            let leased = shared.pool.lease(&self.name, want, now);
            shared.version += 1;
            let (rank, of) = shared.pool.place(&self.name);
            let window = &mut self.budget.windows_mut()[index];
            window.placed(rank, of);
            if leased.tokens > 0 {
                window.lease(leased.tokens);
                window.restore(&leased.held);
            } else {
                window.lease_denied(now + Duration::from_nanos(LOOK.unsigned_abs()));
            }
        }
    }
}
