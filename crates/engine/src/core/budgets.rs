//! The accounts: every budget that runs of this process draw on, and what the reports say about each. A budget
//! that no run draws on any more is given back and forgotten.
//!
//! Not here: which budgets a spec needs (`gate.rs`), and what other processes do to them (`sharing.rs`).

mod leaving;
mod refusals;
mod sharing;

use std::collections::HashMap;
use std::time::Duration;

use entities::{Limit, Moment, ServerQuota};
use rate_limit::{Budget, TokenWindow, Verdict, Why};

use super::gate::Toll;
use super::run::Draw;

pub(crate) use leaving::{Dues, GiveBack};
pub(crate) use refusals::{MOST_REFUSALS, Refused};
pub(crate) use sharing::{Watched, WatchedWindow};

/// Which budget: what its limits count together, as text. Secrets are in it as keyed hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BudgetKey(pub(crate) String);

impl BudgetKey {
    /// Which window of the budget: what its tokens are kept under in the budgets' file.
    pub(crate) fn window(&self, limit: &Limit) -> String {
        let mut key = format!("{} {}/{}ms", self.0, limit.count, limit.window.as_millis());
        if let Some(resets) = &limit.resets {
            key.push_str(" resets=");
            key.push_str(&resets.text);
        }
        key
    }
}

/// A dear request that is next in turn keeps others from its tokens if it can have them within this …
const PATIENCE: Duration = Duration::from_secs(60);

/// All budgets.
#[derive(Default)]
pub(crate) struct Budgets {
    by_key: HashMap<BudgetKey, usize>,
    /// Places of accounts that are gone are used again.
    all: Vec<Account>,
    free: Vec<usize>,
    /// The round of assignments.
    round: u64,
}

/// One budget and what the report says about it.
#[derive(Default)]
struct Account {
    key: BudgetKey,
    /// How many specs of runs draw on it.
    drawers: u32,
    budget: Budget,
    windows: Vec<WindowAccount>,
    refusals: refusals::Refusals,
    /// Until when the budgets' file knows it to be closed.
    kept_closed: Option<Moment>,
    /// A dear request that is next in turn wants its tokens: in which round, and what it waits for.
    reserved: Option<(u64, Verdict)>,
}

/// What is known about one window beside its tokens.
#[derive(Default)]
struct WindowAccount {
    /// Its name in the budgets' file.
    key: String,
    /// Requests waited for it in this round.
    blocked: bool,
    /// Since when they do.
    waiting: Option<Moment>,
    waits: u64,
    waited: Duration,
    /// Tokens leased by other processes.
    elsewhere: u32,
    /// The last lease that was asked for was denied.
    denied: bool,
    /// Another process has the limit, no run of ours.
    foreign: bool,
    /// Since when that is gone, too.
    out_of_force: Option<Moment>,
    /// What each of our runs' limits that are this window leaves to others.
    reserves: Vec<u32>,
}

/// What stands in a request's way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Obstacle {
    pub(crate) verdict: Verdict,
    /// In which budget.
    pub(crate) budget: usize,
    pub(crate) why: Why,
}

/// How often and for how long requests have waited for a window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    pub(crate) waits: u64,
    pub(crate) waited: Duration,
}

impl Budgets {
    /// What a budget is called.
    pub(super) fn key_of(&self, budget: usize) -> &str {
        &self.all[budget].key.0
    }

    /// Finds or makes the budget of a draw and adds its limits to it; where plans disagree the tightest
    /// holds, because all do. Gives the budget, and the window of each limit. It is drawn on until the
    /// [dues](Dues) are [settled](Self::leave).
    pub(crate) fn enlist(&mut self, draw: &Draw) -> (usize, Vec<usize>) {
        let Budgets { by_key, all, free, .. } = self;
        let index = *by_key.entry(draw.budget.clone()).or_insert_with(|| {
            let place = free.pop().unwrap_or_else(|| {
                all.push(Account::default());
                all.len() - 1
            });
            all[place].key = draw.budget.clone();
            place
        });
        let account = &mut self.all[index];
        account.drawers += 1;
        let mut windows = Vec::with_capacity(draw.limits.len());
        for drawn in &draw.limits {
            let window = account.add(&drawn.limit, false);
            account.windows[window].reserves.push(drawn.limit.reserve);
            if let Some(learned) = drawn.learned {
                account.budget.windows_mut()[window].learn(learned);
            }
            windows.push(window);
        }
        if let Some(until) = draw.closed_until {
            account.budget.close_until(until);
            account.kept_closed = account.kept_closed.max(Some(until));
        }
        (index, windows)
    }

    /// What stands in the way of a request: a lease that is needed first (it can be had at once), then
    /// unanswered requests, then the latest moment that any budget names. Charges nothing.
    pub(crate) fn obstacle(&mut self, tolls: &[Toll], now: Moment) -> Obstacle {
        let mut worst = Obstacle { verdict: Verdict::Now, budget: 0, why: Why::Open };
        for toll in tolls {
            let (verdict, why) = self.all[toll.budget].budget.check(&toll.tokens, now);
            let obstacle = Obstacle { verdict, budget: toll.budget, why };
            match (verdict, worst.verdict) {
                (Verdict::Now, _) | (Verdict::At(_), Verdict::WhenAnswered) => {}
                (Verdict::NeedsLease, _) => return obstacle,
                (Verdict::At(at), Verdict::At(later)) if at <= later => {}
                _ => worst = obstacle,
            }
        }
        worst
    }

    /// A round of assignments begins.
    pub(crate) fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Whether a request may go now, for assignment. Ask in the order of turns: a request that needs several
    /// tokens and has to wait for them keeps those behind it from taking them one by one. What stands in
    /// the way is remembered as a reason to wait until [`settle`](Self::settle).
    pub(crate) fn check(&mut self, tolls: &[Toll], now: Moment) -> Verdict {
        let reserved = |toll: &Toll| self.all[toll.budget].reserved.filter(|(round, _)| *round == self.round);
        if let Some((_, verdict)) = tolls.iter().find_map(reserved) {
            return verdict;
        }
        let Obstacle { verdict, budget, why } = self.obstacle(tolls, now);
        // What the server closed is closed under each of its limits.
        if matches!((why, verdict), (Why::Closed | Why::Quota, Verdict::At(_))) {
            self.all[budget].windows.iter_mut().for_each(|window| window.blocked = true);
        }
        if let Why::Limit(window) | Why::Lease(window) = why {
            let account = &mut self.all[budget];
            // A lease that is being fetched is no wait that people want to hear of.
            account.windows[window].blocked |= matches!(why, Why::Limit(_));
            let cost = tolls.iter().find(|toll| toll.budget == budget).map_or(1, |toll| toll.of(window));
            let window = &mut account.budget.windows_mut()[window];
            let cost = cost.min(window.limit().usable());
            let soon = match verdict {
                Verdict::At(at) => {
                    at.since(now) <= patience(window.limit(), cost) && cost <= window.capacity()
                }
                Verdict::WhenAnswered => cost <= window.capacity(),
                Verdict::NeedsLease => true,
                Verdict::Now => false,
            };
            if cost > 1 && soon && window.left(now) < cost {
                account.reserved = Some((self.round, verdict));
            }
        }
        verdict
    }

    /// A request goes.
    pub(crate) fn take(&mut self, tolls: &[Toll], now: Moment) {
        for toll in tolls {
            self.all[toll.budget].budget.take(&toll.tokens, now);
        }
    }

    /// A request that was sent at `sent` was answered or given up at `at`, and did cost `actual`.
    pub(crate) fn answered(&mut self, taken: &[Toll], actual: &[Toll], sent: Moment, at: Moment) {
        for (taken, actual) in taken.iter().zip(actual) {
            self.all[taken.budget].budget.answered(&taken.tokens, &actual.tokens, sent, at);
        }
    }

    /// An answer told what is left of the server's quotas. Each goes to the budgets that have a limit like
    /// it; one that no limit is like goes to the first.
    pub(crate) fn heard(&mut self, tolls: &[Toll], quotas: &[ServerQuota], sent: Moment, now: Moment) {
        if let [toll] = tolls {
            return self.all[toll.budget].budget.heard(quotas, sent, now);
        }
        for quota in quotas {
            let mut named = false;
            for toll in tolls {
                let budget = &mut self.all[toll.budget].budget;
                if budget.windows().iter().any(|window| is_like(quota, window.limit())) {
                    named = true;
                    budget.heard(std::slice::from_ref(quota), sent, now);
                }
            }
            if let Some(toll) = tolls.first().filter(|_| !named) {
                self.all[toll.budget].budget.heard(std::slice::from_ref(quota), sent, now);
            }
        }
    }

    /// Nobody who draws on these budgets sends before `until`.
    pub(crate) fn close(&mut self, tolls: &[Toll], until: Moment) {
        for toll in tolls {
            self.all[toll.budget].budget.close_until(until);
        }
    }

    /// Accounts for the time requests wait, after a round of decisions.
    pub(crate) fn settle(&mut self, now: Moment) {
        for window in self.all.iter_mut().flat_map(|account| &mut account.windows) {
            match (window.waiting, std::mem::take(&mut window.blocked)) {
                (Some(since), false) => {
                    window.waited += now.since(since);
                    window.waiting = None;
                }
                (None, true) => {
                    window.waiting = Some(now);
                    window.waits += 1;
                }
                _ => {}
            }
        }
    }

    /// One window, for people.
    pub(crate) fn window(&mut self, budget: usize, window: usize) -> &mut TokenWindow {
        &mut self.all[budget].budget.windows_mut()[window]
    }

    /// Tokens of a window that other processes have leased.
    pub(crate) fn elsewhere(&self, budget: usize, window: usize) -> u32 {
        self.all[budget].windows[window].elsewhere
    }

    /// Until when a budget is closed, if it is now.
    pub(crate) fn closed_until(&self, budget: usize, now: Moment) -> Option<Moment> {
        self.all[budget].budget.closed_until(now)
    }

    /// The waits for a window so far, whoever waited.
    pub(crate) fn waits(&self, budget: usize, window: usize, now: Moment) -> Waits {
        let window = &self.all[budget].windows[window];
        let going_on = window.waiting.map_or(Duration::ZERO, |since| now.since(since));
        Waits { waits: window.waits, waited: window.waited + going_on }
    }
}

impl Account {
    /// Adds a limit, or finds its window.
    fn add(&mut self, limit: &Limit, foreign: bool) -> usize {
        let window = self.budget.add(limit.clone());
        let key = self.key.window(limit);
        if window == self.windows.len() {
            self.windows.push(WindowAccount::default());
        }
        let known = &mut self.windows[window];
        // Else it is a new one, be it in the place of one that is gone.
        if known.key != key {
            *known = WindowAccount { key, foreign, ..WindowAccount::default() };
        }
        if !foreign {
            known.foreign = false;
            known.out_of_force = None;
            self.budget.windows_mut()[window].set_in_force(true);
        }
        window
    }
}

/// … or within twice the time in which a steady stream brings as many back: else cheap requests would take
/// them one by one for ever. A calendar brings all back at once, and whoever is next in turn goes first.
fn patience(limit: &Limit, cost: u32) -> Duration {
    if limit.resets.is_some() {
        return PATIENCE;
    }
    let share = f64::from(cost) / f64::from(limit.usable());
    PATIENCE.max(limit.window.mul_f64((2.0 * share).min(1.0)))
}

/// Whether a server's quota is the one that a limit of the plan describes.
fn is_like(quota: &ServerQuota, limit: &Limit) -> bool {
    quota.limit == Some(u64::from(limit.count)) || quota.window == Some(limit.window)
}
