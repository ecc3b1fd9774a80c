//! The limits of a run, for people: how they stand now, and how they were used.

use entities::{LimitReport, LimitStatus, Moment};
use rate_limit::Learned;

use super::Budgets;
use super::budgets::Waits;
use super::gate::{Gate, GateLimit};
use super::run::PlanRun;

/// How a limit stood when a run began to draw on it.
pub(crate) struct Before {
    waits: Waits,
    refused: u64,
}

/// Requests of a cost a second that a learned gap lets through.
pub(super) fn reachable_rate(learned: &Learned, cost: u32) -> f64 {
    learned.rate() / f64::from(cost.max(1))
}

impl Budgets {
    /// How the limits of a gate stand before its first request, in the gate's order.
    pub(super) fn before(&self, gate: &Gate, now: Moment) -> Vec<Before> {
        gate.limits()
            .map(|(budget, limit)| Before {
                waits: self.waits(budget, limit.window, now),
                refused: self.refused(budget),
            })
            .collect()
    }

    /// How the limits of a run stand now; each once, though several specs draw on it. One that is over draws on none.
    pub(super) fn statuses(&mut self, run: &PlanRun, now: Moment) -> Vec<LimitStatus> {
        if run.over {
            return Vec::new();
        }
        let limits = limits_of(run).map(|limit| {
            let (budget, window) = (limit.budget, limit.limit.window);
            let elsewhere = self.elsewhere(budget, window);
            let closed = self.closed_until(budget, now).map(|until| until.since(now));
            let key = self.key_of(budget).to_owned();
            let window = self.window(budget, window);
            LimitStatus {
                budget: key,
                endpoint: limit.endpoint.to_owned(),
                limit: window.limit().text.clone(),
                window: window.limit().window,
                allowed: window.limit().usable(),
                used: window.in_use(now),
                elsewhere,
                closed,
                next: window.held(now).first().map(|(until, _)| until.since(now)),
                learned_rate: window.learned().map(|learned| reachable_rate(&learned, limit.cost())),
            }
        });
        limits.collect()
    }

    /// How the limits of a run were used.
    pub(super) fn reports(&mut self, run: &PlanRun, now: Moment) -> Vec<LimitReport> {
        let limits = limits_of(run).map(|limit| {
            let (budget, window) = (limit.budget, limit.limit.window);
            let same = run.specs.iter().flat_map(|state| state.gate.limits());
            let same = same.filter(|(of, other)| *of == budget && other.window == window);
            let used = same.map(|(_, other)| other.used).sum();
            let unread = limits_at(run, limit.endpoint)
                .any(|(of, other)| of == budget && other.window == window && other.untold && other.used > 0);
            let waits = self.waits(budget, window, now);
            let refused = self.refused(budget) - limit.before.refused;
            let window = self.window(budget, window);
            LimitReport {
                endpoint: limit.endpoint.to_owned(),
                limit: window.limit().text.clone(),
                allowed: u64::from(window.limit().usable()),
                used,
                peak: u64::from(window.peak()),
                waits: waits.waits - limit.before.waits.waits,
                waited_seconds: (waits.waited.saturating_sub(limit.before.waits.waited)).as_secs_f64(),
                refused,
                learned_rate: window.learned().map(|learned| reachable_rate(&learned, limit.cost())),
                unread,
            }
        });
        limits.collect()
    }
}

/// A limit that a run draws on.
struct RunLimit<'a> {
    endpoint: &'a str,
    budget: usize,
    limit: &'a GateLimit,
    before: &'a Before,
}

impl RunLimit<'_> {
    fn cost(&self) -> u32 {
        self.limit.cost.unwrap_or(1)
    }
}

/// The limits that the specs of one endpoint draw on, with the budget of each.
fn limits_at<'a>(run: &'a PlanRun, endpoint: &'a str) -> impl Iterator<Item = (usize, &'a GateLimit)> {
    let plan = &run.context.plan;
    let of = |spec| plan.endpoints[plan.spec(spec).endpoint.0 as usize].name.as_str();
    let specs = run.specs.iter().filter(move |state| of(state.spec) == endpoint);
    specs.flat_map(|state| state.gate.limits())
}

/// The limits that a run draws on, in the order of its specs; each window once by endpoint.
fn limits_of(run: &PlanRun) -> impl Iterator<Item = RunLimit<'_>> {
    let plan = &run.context.plan;
    let mut known = Vec::new();
    let all = run.specs.iter().flat_map(move |state| {
        let endpoint = plan.spec(state.spec).endpoint;
        let limits = state.gate.limits().zip(&state.before);
        limits.map(move |((budget, limit), before)| (endpoint, budget, limit, before))
    });
    all.filter_map(move |(endpoint, budget, limit, before)| {
        let window = (endpoint, budget, limit.window);
        if known.contains(&window) {
            return None;
        }
        known.push(window);
        let endpoint = plan.endpoints[endpoint.0 as usize].name.as_str();
        Some(RunLimit { endpoint, budget, limit, before })
    })
}
