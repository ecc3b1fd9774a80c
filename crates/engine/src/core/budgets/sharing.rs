//! What the budgets' file and other processes do to our budgets: leases, tokens given up, closures. Not here: what
//! happens to those that nobody draws on (`leaving.rs`).

use std::time::Duration;

use entities::{Limit, Moment};

use super::{Account, Budgets};
use crate::core::{Action, BudgetNews, LeaseGranted};

/// A closure that is over sooner is not worth a write; nor is one that reaches no further than this
/// beyond what is kept already (many requests in flight are refused at once).
const WORTH_KEEPING: Duration = Duration::from_secs(1);

/// A budget, to look for in the budgets' file.
pub(crate) struct Watched {
    pub(crate) budget: usize,
    /// Its name there.
    pub(crate) key: String,
    pub(crate) windows: Vec<WatchedWindow>,
}

/// One of its windows.
pub(crate) struct WatchedWindow {
    pub(crate) window: usize,
    /// Its name in the budgets' file.
    pub(crate) key: String,
    pub(crate) limit: Limit,
    /// Tokens of ours that are in flight or held.
    pub(crate) in_use: u32,
    /// All runs that draw on it are paused.
    pub(crate) at_rest: bool,
}

impl Budgets {
    /// Has closures remembered that outlast a restart: once for each, not for its echoes.
    pub(crate) fn keep_closures(&mut self, actions: &mut Vec<Action>, now: Moment) {
        for account in &mut self.all {
            let Some(until) = account.budget.closed_until(now) else { continue };
            let kept = account.kept_closed.unwrap_or(now).max(now);
            if until.since(kept) > WORTH_KEEPING {
                account.kept_closed = Some(until);
                actions.push(Action::Close { key: account.key.0.clone(), until });
            }
        }
    }

    /// Asks for leases wherever tokens run low.
    pub(crate) fn lease(&mut self, actions: &mut Vec<Action>, now: Moment) {
        for (budget, account) in self.all.iter_mut().enumerate() {
            if let Some((window, want)) = account.budget.next_lease(now) {
                let limit = account.budget.windows()[window].limit().clone();
                let key = account.windows[window].key.clone();
                actions.push(Action::Lease { budget, window, key, limit, want });
            }
        }
    }

    /// The budgets' file has answered.
    pub(crate) fn leased(&mut self, budget: usize, window: usize, granted: LeaseGranted) {
        let account = &mut self.all[budget];
        let tokens = &mut account.budget.windows_mut()[window];
        if granted.tokens > 0 {
            tokens.lease(granted.tokens);
            tokens.restore(&granted.held);
            account.windows[window].denied = false;
        } else if let Some(at) = granted.retry_at {
            if granted.all_lack {
                tokens.lease_denied_to_all(at);
            } else {
                tokens.lease_denied(at);
            }
            account.windows[window].denied = true;
        }
    }

    /// What to look for in the budgets' file: all budgets, also those without a window, since others can
    /// be told to keep away from them. `at_rest`: nothing draws on a budget just now.
    pub(crate) fn watched(&mut self, at_rest: impl Fn(usize) -> bool, now: Moment) -> Vec<Watched> {
        let watched = |(budget, account): (usize, &mut Account)| {
            let windows = account.budget.windows_mut().iter_mut().zip(&account.windows).enumerate();
            let windows = windows.filter(|(_, (window, _))| !window.is_retired());
            let windows = windows.map(|(index, (window, known))| WatchedWindow {
                window: index,
                key: known.key.clone(),
                limit: window.limit().clone(),
                in_use: window.in_use(now),
                at_rest: at_rest(budget),
            });
            Watched { budget, key: account.key.0.clone(), windows: windows.collect() }
        };
        let drawn_on = |(_, account): &(usize, &mut Account)| account.drawers > 0;
        self.all.iter_mut().enumerate().filter(drawn_on).map(watched).collect()
    }

    /// A look into the budgets' file found what others did.
    pub(crate) fn shared(&mut self, budget: usize, news: BudgetNews, actions: &mut Vec<Action>, now: Moment) {
        let Some(account) = self.all.get_mut(budget).filter(|account| account.drawers > 0) else { return };
        if let Some(until) = news.closed_until {
            account.budget.close_until(until);
            account.kept_closed = account.kept_closed.max(Some(until));
        }
        for window in news.windows {
            let Some(known) = account.windows.get_mut(window.window) else { continue };
            let tokens = &mut account.budget.windows_mut()[window.window];
            known.elsewhere = window.elsewhere;
            tokens.placed(window.rank, window.of);
            if let Some(learned) = window.learned {
                tokens.learn(learned);
            }
            if window.free > 0 && std::mem::take(&mut known.denied) {
                tokens.lease_denied(now);
            }
            if let Some(keep) = window.keep {
                account.give_up(window.window, keep, actions, now);
            }
        }
        for limit in &news.limits {
            account.add(limit, true);
        }
        for window in 0..account.windows.len() {
            let tokens = &mut account.budget.windows_mut()[window];
            if tokens.is_retired() {
                continue;
            }
            let limit = tokens.limit();
            let same = |other: &Limit| {
                (other.count, other.window, &other.resets) == (limit.count, limit.window, &limit.resets)
            };
            let in_force = !account.windows[window].foreign || news.limits.iter().any(same);
            tokens.set_in_force(in_force);
            if in_force {
                account.windows[window].out_of_force = None;
            } else {
                account.windows[window].out_of_force.get_or_insert(now);
                account.give_up(window, 0, actions, now);
            }
        }
    }
}

impl Account {
    /// Gives up the tokens of a window that are beyond `keep`.
    fn give_up(&mut self, window: usize, keep: u32, actions: &mut Vec<Action>, now: Moment) {
        let tokens = &mut self.budget.windows_mut()[window];
        let given = tokens.give_up(keep, now);
        if given.tokens > 0 {
            let (key, limit) = (self.windows[window].key.clone(), tokens.limit().clone());
            actions.push(Action::GiveUp { key, limit, given });
        }
    }
}
