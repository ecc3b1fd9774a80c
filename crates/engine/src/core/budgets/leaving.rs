//! The end of a run's part in its budgets. A process lasts for months, its runs do not: a limit of a plan that is
//! gone holds nobody up, and tokens that nobody here spends are others'.

use std::collections::BTreeSet;

use entities::{Limit, Moment};
use rate_limit::{Learned, Past};

use super::{Account, Budgets};
use crate::core::{Action, BudgetKey};

/// What a spec has a part in, until its run has ended.
#[derive(Debug, Default)]
pub(crate) struct Dues {
    pub(crate) budgets: Vec<usize>,
    /// The window of each of its limits: in which budget, and what the limit leaves to others.
    pub(crate) windows: Vec<(usize, usize, u32)>,
}

/// What is left behind of a window in the budgets' file.
pub(crate) struct GiveBack {
    /// Its name there.
    pub(crate) key: String,
    /// Tokens that stay held.
    pub(crate) held: Vec<(Moment, u32)>,
    /// What refusals have taught, as it stands now.
    pub(crate) learned: Option<Learned>,
}

/// What a window of ours remembers of the requests that went.
pub(crate) struct Remembered {
    /// Its name in the budgets' file.
    pub(crate) key: String,
    pub(crate) past: Past,
}

impl Budgets {
    /// A spec draws on its budgets no more; nothing of it is in flight.
    pub(crate) fn leave(&mut self, dues: Dues, actions: &mut Vec<Action>, now: Moment) {
        for &(budget, window, reserve) in &dues.windows {
            let reserves = &mut self.all[budget].windows[window].reserves;
            if let Some(place) = reserves.iter().position(|left| *left == reserve) {
                reserves.swap_remove(place);
            }
        }
        for &budget in &dues.budgets {
            self.all[budget].drawers = self.all[budget].drawers.saturating_sub(1);
        }
        let mut given = Vec::new();
        for budget in dues.budgets.into_iter().collect::<BTreeSet<_>>() {
            let account = &mut self.all[budget];
            if account.drawers == 0 {
                account.retire_all(&mut given, now);
            } else {
                account.leave_to_the_living(actions, &mut given, now);
            }
        }
        if !given.is_empty() {
            actions.push(Action::GiveBack { all: given });
        }
        self.forget_the_quiet(now);
    }

    /// Everything is given back: the process ends.
    pub(crate) fn leave_all(&mut self, now: Moment) -> Vec<GiveBack> {
        let mut given = Vec::new();
        self.all.iter_mut().for_each(|account| account.retire_all(&mut given, now));
        given
    }

    /// What the windows of a budget remember that are in use here.
    pub(crate) fn remembered(&self, budget: &BudgetKey, now: Moment) -> Vec<Remembered> {
        let Some(account) = self.by_key.get(budget).map(|index| &self.all[*index]) else { return Vec::new() };
        let living = account.budget.windows().iter().zip(&account.windows);
        let living = living.filter(|(window, _)| !window.is_retired());
        let remembered = living.map(|(window, known)| {
            let mut past = Past::default();
            window.remember(&mut past, now);
            Remembered { key: known.key.clone(), past }
        });
        remembered.collect()
    }

    /// Whether any run draws on any budget.
    pub(crate) fn are_used(&self) -> bool {
        self.all.iter().any(|account| account.drawers > 0)
    }

    /// How many there are, forgotten ones left out.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Of a budget that nobody draws on only what the server said is worth keeping, as long as it holds.
    fn forget_the_quiet(&mut self, now: Moment) {
        let Budgets { by_key, all, free, .. } = self;
        by_key.retain(|_, index| {
            let account = &mut all[*index];
            let stays = account.drawers > 0 || !account.budget.is_quiet(now);
            if !stays {
                *account = Account::default();
                free.push(*index);
            }
            stays
        });
    }
}

impl Account {
    fn retire_all(&mut self, given: &mut Vec<GiveBack>, now: Moment) {
        (0..self.windows.len()).for_each(|window| self.retire(window, given, now));
    }

    fn retire(&mut self, window: usize, given: &mut Vec<GiveBack>, now: Moment) {
        let tokens = &mut self.budget.windows_mut()[window];
        if tokens.is_retired() {
            return;
        }
        let learned = tokens.learned();
        let held = tokens.retire(now).held;
        let key = std::mem::take(&mut self.windows[window].key);
        given.push(GiveBack { key, held, learned });
    }

    /// Others go on drawing: a window of theirs leaves to strangers what they leave; one that is nobody's holds
    /// only as long as another process has it, which the next look tells.
    fn leave_to_the_living(&mut self, actions: &mut Vec<Action>, given: &mut Vec<GiveBack>, now: Moment) {
        for window in 0..self.windows.len() {
            let tokens = &mut self.budget.windows_mut()[window];
            let known = &mut self.windows[window];
            if tokens.is_retired() {
                continue;
            }
            match known.reserves.iter().max() {
                Some(&reserve) if reserve < tokens.limit().reserve => {
                    tokens.set_reserve(reserve);
                    let limit = Some(tokens.limit().clone());
                    actions.push(Action::Restate { key: known.key.clone(), limit });
                }
                Some(_) => {}
                None if !known.foreign => {
                    known.foreign = true;
                    actions.push(Action::Restate { key: known.key.clone(), limit: None });
                }
                // It counted on in case that it comes back.
                None if known.out_of_force.is_some_and(|since| is_long_ago(tokens.limit(), since, now)) => {
                    self.retire(window, given, now);
                }
                None => {}
            }
        }
    }
}

fn is_long_ago(limit: &Limit, since: Moment, now: Moment) -> bool {
    now.since(since) > limit.window
}
