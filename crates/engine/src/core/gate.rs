//! The gate of a spec: the budgets that its requests draw on, and what a request takes of each.
//!
//! Not here: whether the tokens are there ([`Budgets`](super::Budgets)).

use std::sync::Arc;

use entities::{Moment, TaskSpec};

use super::run::Draw;
use super::{Budgets, Dues};

/// What a request takes of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toll {
    pub(crate) budget: usize,
    /// By window of the budget; those beyond cost one token.
    pub(crate) tokens: Vec<u32>,
}

impl Toll {
    /// What it takes of one window.
    pub(crate) fn of(&self, window: usize) -> u32 {
        self.tokens.get(window).copied().unwrap_or(1)
    }
}

/// All that a spec's requests need to go.
pub(crate) struct Gate {
    /// What a request takes; shared with those in flight. Never empty.
    tolls: Arc<[Toll]>,
    limits: Vec<GateLimit>,
    /// No answer has told yet what a request costs.
    unknown: bool,
}

/// One limit of the spec's endpoint.
pub(crate) struct GateLimit {
    /// Its index in the endpoint's [`Limits::in_force`](entities::Limits::in_force).
    index: usize,
    /// Which of the gate's budgets it is in: an index into its tolls.
    draw: usize,
    /// Its window there.
    pub(crate) window: usize,
    /// What it leaves to others.
    reserve: u32,
    /// What a request takes of it; none: no answer has told yet.
    pub(crate) cost: Option<u32>,
    /// Tokens that the spec's answered requests took.
    pub(crate) used: u64,
    /// What a request costs is to be read from the answers, and none has told it yet.
    pub(crate) untold: bool,
}

impl Gate {
    /// The gate of a spec; adds its limits to their budgets.
    pub(crate) fn new(spec: &TaskSpec, draws: &[Draw], budgets: &mut Budgets) -> Gate {
        let (mut tolls, mut limits) = (Vec::new(), Vec::new());
        for (draw, drawn) in draws.iter().enumerate() {
            let (budget, windows) = budgets.enlist(drawn);
            for (drawn, window) in drawn.limits.iter().zip(windows) {
                let cost = drawn.limit.cost_of(spec);
                let untold = cost.read.is_some();
                let cost = cost.reserve;
                let (index, reserve) = (drawn.index, drawn.limit.reserve);
                limits.push(GateLimit { index, draw, window, reserve, cost, used: 0, untold });
            }
            tolls.push(Toll { budget, tokens: Vec::new() });
        }
        let mut gate = Gate { tolls: Arc::from(tolls), limits, unknown: false };
        gate.set_tolls();
        gate
    }

    /// What its requests take, of every budget.
    pub(crate) fn tolls(&self) -> &Arc<[Toll]> {
        &self.tolls
    }

    /// What it has a part in until its run has ended.
    pub(crate) fn dues(&self) -> Dues {
        let windows = self.limits().map(|(budget, limit)| (budget, limit.window, limit.reserve));
        Dues { budgets: self.tolls.iter().map(|toll| toll.budget).collect(), windows: windows.collect() }
    }

    /// The limits of its endpoint, with the budget of each.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (usize, &GateLimit)> {
        self.limits.iter().map(|limit| (self.tolls[limit.draw].budget, limit))
    }

    /// What a request counts for beside those of other specs: its cost under the first limit.
    pub(crate) fn first_cost(&self) -> u32 {
        self.limits.iter().find(|limit| limit.index == 0).and_then(|limit| limit.cost).unwrap_or(1)
    }

    /// What a request takes of a budget's window.
    pub(crate) fn cost_in(&self, budget: usize, window: usize) -> u32 {
        self.tolls.iter().find(|toll| toll.budget == budget).map_or(1, |toll| toll.of(window))
    }

    /// No answer has told yet what a request costs: one goes alone, and takes all that is left.
    pub(crate) fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Whether the first request, of unknown cost, has to wait until all tokens that can be had are leased.
    pub(crate) fn leases_first(&self, budgets: &mut Budgets, now: Moment) -> bool {
        let unknown = self.limits.iter().filter(|limit| limit.cost.is_none());
        let leases = |limit: &GateLimit| {
            budgets.window(self.tolls[limit.draw].budget, limit.window).may_lease_all(now)
        };
        // Of all, not of the first that does.
        unknown.map(leases).fold(false, |any, leases| any | leases)
    }

    /// What the next request takes.
    pub(crate) fn next_tolls(&self, budgets: &mut Budgets, now: Moment) -> Arc<[Toll]> {
        if !self.is_unknown() {
            return Arc::clone(&self.tolls);
        }
        let mut tolls = self.tolls.to_vec();
        for limit in self.limits.iter().filter(|limit| limit.cost.is_none()) {
            let toll = &mut tolls[limit.draw];
            toll.tokens[limit.window] = budgets.window(toll.budget, limit.window).left(now).max(1);
        }
        Arc::from(tolls)
    }

    /// A request was answered, or lost: what it did take, if that is not what it took when it went.
    /// `costs` is what the answer said, by index of the limit. True if requests take another toll now.
    ///
    /// One that went alone because its cost is unknown, and whose answer does not tell it either, counts for
    /// one token: else a lost connection would use up an hour's quota.
    pub(crate) fn answered(
        &mut self,
        taken: &Arc<[Toll]>,
        costs: &[(usize, u32)],
    ) -> (Option<Vec<Toll>>, bool) {
        let mut actual = None;
        let mut changed = false;
        if !costs.is_empty() || self.is_unknown() {
            let mut tolls = taken.to_vec();
            for limit in &self.limits {
                let Some(tokens) = tolls[limit.draw].tokens.get_mut(limit.window) else { continue };
                match costs.iter().find(|(index, _)| *index == limit.index) {
                    Some((_, cost)) => *tokens = *cost,
                    None if limit.cost.is_none() => *tokens = 1,
                    None => {}
                }
            }
            actual = Some(tolls);
        }
        for limit in &mut self.limits {
            let tolls = actual.as_deref().unwrap_or(taken);
            limit.used += u64::from(tolls[limit.draw].of(limit.window));
            let Some((_, cost)) = costs.iter().find(|(index, _)| *index == limit.index) else { continue };
            limit.untold = false;
            if limit.cost.is_none_or(|most| most < *cost) {
                limit.cost = Some(*cost);
                changed = true;
            }
        }
        if changed {
            self.set_tolls();
        }
        (actual, changed)
    }

    fn set_tolls(&mut self) {
        let mut tolls = self.tolls.to_vec();
        tolls.iter_mut().for_each(|toll| toll.tokens.clear());
        for limit in &self.limits {
            let tokens = &mut tolls[limit.draw].tokens;
            if tokens.len() <= limit.window {
                tokens.resize(limit.window + 1, 1);
            }
        }
        // Of two limits in one window the dearer counts; one token is only where nobody says otherwise.
        for (number, limit) in self.limits.iter().enumerate() {
            let same = |other: &&GateLimit| other.draw == limit.draw && other.window == limit.window;
            let cost = self.limits[..number].iter().filter(same).filter_map(|other| other.cost).max();
            tolls[limit.draw].tokens[limit.window] = limit.cost.unwrap_or(1).max(cost.unwrap_or(0));
        }
        self.tolls = Arc::from(tolls);
        self.unknown = self.limits.iter().any(|limit| limit.cost.is_none());
    }
}
