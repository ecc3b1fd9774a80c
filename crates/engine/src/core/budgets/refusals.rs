//! Refusals: a server said that we are over a limit, or wants us to wait for another reason.

use std::time::Duration;

use entities::{BackOff, Moment};
use rate_limit::Learned;

use super::Budgets;
use crate::core::Action;
use crate::core::gate::Toll;

/// After this many refusals in a row the request that was refused fails.
pub(crate) const MOST_REFUSALS: u32 = 10;

/// What a budget remembers of refusals.
pub(super) struct Refusals {
    /// Since the last good answer, counted once per episode.
    in_a_row: u32,
    /// Requests sent before this moment belong to the last refusal's episode.
    episode: Moment,
    /// Answers that said we were over a limit.
    answers: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals { in_a_row: 0, episode: Moment(i64::MIN), answers: 0 }
    }
}

/// A request was refused.
pub(crate) struct Refused {
    /// How long to wait, if the answer says so.
    pub(crate) how_long: Option<Duration>,
    /// How long if it does not.
    pub(crate) backoff: BackOff,
    /// It said that we are over a limit.
    pub(crate) over_limit: bool,
    /// When the request was sent.
    pub(crate) sent: Moment,
}

/// What a refusal means.
pub(crate) struct Refusal {
    /// How long the budgets stay closed from now.
    pub(crate) how_long: Duration,
    /// It is not the echo of an earlier one.
    pub(crate) new: bool,
    /// How many there were since the last good answer.
    pub(crate) in_a_row: u32,
    /// What it taught: the budget, the window, and the gap it keeps from now on.
    pub(crate) learned: Vec<(usize, usize, Learned)>,
}

impl Budgets {
    /// A good answer: the server is content with us.
    pub(crate) fn contented(&mut self, tolls: &[Toll]) {
        for toll in tolls {
            self.all[toll.budget].refusals.in_a_row = 0;
        }
    }

    /// The server refused a request. Closes its budgets for as long as it asked, or for the next step of
    /// the back-off. Many requests in flight are refused at once: they are one episode.
    pub(crate) fn refuse(
        &mut self,
        tolls: &[Toll],
        refused: Refused,
        actions: &mut Vec<Action>,
        now: Moment,
    ) -> Refusal {
        let Refused { how_long, backoff, over_limit, sent } = refused;
        let mut new = false;
        for toll in tolls {
            let refusals = &mut self.all[toll.budget].refusals;
            refusals.answers += u64::from(over_limit);
            if sent >= refusals.episode {
                refusals.in_a_row += 1;
                new = true;
            }
        }
        let learned = if new && over_limit { self.learn(tolls, sent, actions, now) } else { Vec::new() };
        let in_a_row = tolls.iter().map(|toll| self.all[toll.budget].refusals.in_a_row).max().unwrap_or(1);
        let how_long = how_long.unwrap_or_else(|| backoff.step(in_a_row.max(1), 0.0));
        let until = now + how_long;
        for toll in tolls {
            let account = &mut self.all[toll.budget];
            account.budget.close_until(until);
            account.refusals.episode = account.refusals.episode.max(until);
        }
        Refusal { how_long, new, in_a_row, learned }
    }

    /// A limit was kept and the server refused all the same: one budget learns. That is the one whose count
    /// has run out on the server; else, as among the limits of one budget, the one with the shortest window
    /// that has learned nothing yet, then the one with the widest gap.
    fn learn(
        &mut self,
        tolls: &[Toll],
        sent: Moment,
        actions: &mut Vec<Action>,
        now: Moment,
    ) -> Vec<(usize, usize, Learned)> {
        let rank = |toll: &Toll| {
            let budget = &self.all[toll.budget].budget;
            let windows = budget.windows().iter();
            let unspaced = windows.clone().filter(|window| window.learned().is_none());
            let shortest = unspaced.map(|window| window.limit().window).min();
            let widest = windows.filter_map(|window| window.learned()).map(|learned| learned.gap).max();
            let exhausted = budget.closed_until(now).is_some();
            let key = (!exhausted, shortest.is_none(), shortest, std::cmp::Reverse(widest));
            (!budget.windows().is_empty()).then_some((key, toll.budget))
        };
        let Some((_, index)) = tolls.iter().filter_map(rank).min() else { return Vec::new() };
        let account = &mut self.all[index];
        let mut learned = Vec::new();
        for window in account.budget.refused(sent, now) {
            let Some(news) = account.budget.windows()[window].learned() else { continue };
            let key = account.windows[window].key.clone();
            actions.push(Action::Learn { key, learned: news });
            learned.push((index, window, news));
        }
        learned
    }

    /// Answers of a budget that said we were over a limit.
    pub(crate) fn refused(&self, budget: usize) -> u64 {
        self.all[budget].refusals.answers
    }
}
