//! The budgets of all plans: one per origin and credential, whoever uses it.

use std::collections::HashMap;
use std::time::Duration;

use entities::{BackOff, Limit, Moment};
use rate_limit::{Budget, TokenWindow, Verdict, Why};

use super::{Action, LeaseGranted};

/// Which budget: an origin and a keyed hash of the credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BudgetKey(pub(crate) String);

/// After this many refusals in a row the request that was refused fails.
pub(crate) const MOST_REFUSALS: u32 = 10;

/// A closure that is over sooner is not worth a write; nor is one that reaches no further than this
/// beyond what is kept already (many requests in flight are refused at once).
const WORTH_KEEPING: Duration = Duration::from_secs(1);

/// All budgets.
#[derive(Default)]
pub(crate) struct Budgets {
    by_key: HashMap<BudgetKey, usize>,
    all: Vec<Account>,
}

/// One budget and what the report says about it.
pub(crate) struct Account {
    key: BudgetKey,
    budget: Budget,
    /// Refusals since the last good answer, counted once per episode.
    refusals_in_a_row: u32,
    /// Requests sent before this moment belong to the last refusal's episode.
    episode: Moment,
    /// Answers that said we were over a limit.
    pub(crate) refused: u64,
    /// How long requests waited, by window, and since when they do now.
    waited: Vec<Duration>,
    waiting: Option<(usize, Moment)>,
    blocked: Option<usize>,
    /// Until when the budgets' file knows it to be closed.
    kept_closed: Option<Moment>,
}

impl Budgets {
    /// Finds or makes the budget of a key and adds limits to it; where plans disagree the tightest
    /// holds, because all do. `closed_until` is what the budgets' file knows.
    pub(crate) fn enlist(
        &mut self,
        key: &BudgetKey,
        limits: &[Limit],
        closed_until: Option<Moment>,
    ) -> usize {
        let index = *self.by_key.entry(key.clone()).or_insert_with(|| {
            self.all.push(Account {
                key: key.clone(),
                budget: Budget::default(),
                refusals_in_a_row: 0,
                episode: Moment(i64::MIN),
                refused: 0,
                waited: Vec::new(),
                waiting: None,
                blocked: None,
                kept_closed: None,
            });
            self.all.len() - 1
        });
        let account = &mut self.all[index];
        for limit in limits {
            account.budget.add(TokenWindow::new(limit.clone()));
        }
        account.waited.resize(account.budget.windows().len(), Duration::ZERO);
        if let Some(until) = closed_until {
            account.budget.close_until(until);
            account.kept_closed = account.kept_closed.max(Some(until));
        }
        index
    }

    /// Whether a request may go now; a refusal is remembered as a reason to wait until
    /// [`settle`](Self::settle).
    pub(crate) fn check(&mut self, index: usize, now: Moment) -> Verdict {
        let account = &mut self.all[index];
        let (verdict, why) = account.budget.check(now);
        if let Why::Limit(window) | Why::Lease(window) = why {
            account.blocked = Some(window);
        }
        verdict
    }

    /// What stands in a request's way: for people.
    pub(crate) fn why(&mut self, index: usize, now: Moment) -> (Verdict, Why) {
        self.all[index].budget.check(now)
    }

    /// A request goes.
    pub(crate) fn take(&mut self, index: usize, now: Moment) {
        self.all[index].budget.take(now);
    }

    /// A request was answered or given up.
    pub(crate) fn answered(&mut self, index: usize, at: Moment) {
        self.all[index].budget.answered(at);
    }

    /// A good answer: the server is content with us.
    pub(crate) fn contented(&mut self, index: usize) {
        self.all[index].refusals_in_a_row = 0;
    }

    /// The server refused a request that was sent at `sent`. Closes the budget for as long as it
    /// asked, or for the next step of `backoff`. Gives the wait, whether it opens a new episode
    /// (many requests in flight are refused at once), and how many there were in a row.
    pub(crate) fn refuse(
        &mut self,
        index: usize,
        how_long: Option<Duration>,
        backoff: BackOff,
        over_limit: bool,
        sent: Moment,
        now: Moment,
    ) -> Refusal {
        let account = &mut self.all[index];
        account.refused += u64::from(over_limit);
        let new = sent >= account.episode;
        if new {
            account.refusals_in_a_row += 1;
            if over_limit {
                account.budget.refused(now);
            }
        }
        let how_long = how_long.unwrap_or_else(|| backoff.step(account.refusals_in_a_row.max(1), 0.0));
        let until = now + how_long;
        account.budget.close_until(until);
        account.episode = account.episode.max(until);
        Refusal { how_long, new, in_a_row: account.refusals_in_a_row }
    }

    /// The server named a time before which nobody should ask again, with a failure that is none of
    /// a limit.
    pub(crate) fn close(&mut self, index: usize, until: Moment) {
        self.all[index].budget.close_until(until);
    }

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
                let key = window_key(&account.key, &limit);
                actions.push(Action::Lease { budget, window, key, limit, want });
            }
        }
    }

    /// The budgets' file has answered.
    pub(crate) fn leased(&mut self, budget: usize, window: usize, granted: LeaseGranted) {
        let window = &mut self.all[budget].budget.windows_mut()[window];
        if granted.tokens > 0 {
            window.lease(granted.tokens);
            window.restore(&granted.held);
        } else if let Some(at) = granted.retry_at {
            window.lease_denied(at);
        }
    }

    /// What to give back to the budgets' file at the end: by window, what is still held.
    pub(crate) fn give_back(&self, now: Moment) -> Vec<(String, Vec<(Moment, u32)>)> {
        let windows =
            self.all.iter().flat_map(|account| account.budget.windows().iter().map(move |w| (account, w)));
        windows
            .map(|(account, window)| (window_key(&account.key, window.limit()), window.held(now)))
            .collect()
    }

    /// Accounts for the time requests wait, after a round of decisions.
    pub(crate) fn settle(&mut self, now: Moment) {
        for account in &mut self.all {
            let blocked = account.blocked.take();
            match (account.waiting, blocked) {
                (Some((window, since)), None) => {
                    account.waited[window] += now.since(since);
                    account.waiting = None;
                }
                (None, Some(window)) => account.waiting = Some((window, now)),
                _ => {}
            }
        }
    }

    /// One budget, for reports: its windows' limits with peak and time waited.
    pub(crate) fn windows(&self, index: usize) -> impl Iterator<Item = (&Limit, u64, Duration)> {
        let account = &self.all[index];
        account
            .budget
            .windows()
            .iter()
            .zip(&account.waited)
            .map(|(window, waited)| (window.limit(), u64::from(window.peak()), *waited))
    }

    /// Answers of a budget that said we were over a limit.
    pub(crate) fn refused(&self, index: usize) -> u64 {
        self.all[index].refused
    }
}

/// What a refusal means.
pub(crate) struct Refusal {
    /// How long the budget stays closed from now.
    pub(crate) how_long: Duration,
    /// It is not the echo of an earlier one.
    pub(crate) new: bool,
    /// How many there were since the last good answer.
    pub(crate) in_a_row: u32,
}

fn window_key(key: &BudgetKey, limit: &Limit) -> String {
    format!("{} {}/{}ms", key.0, limit.count, limit.window.as_millis())
}
