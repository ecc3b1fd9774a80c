//! Assignment: which ready task goes out next, as gates open.

use std::sync::Arc;
use std::time::Duration;

use entities::{Job, Moment, PhaseCell};
use rate_limit::Verdict;

use super::{Action, Core, Flight};

impl Core {
    /// Assigns ready tasks whose gates are open until workers, tasks or gates run out.
    pub(super) fn assign(&mut self, mut idle: usize, now: Moment) {
        self.budgets.lease(&mut self.actions, now);
        self.wake = None;
        self.budgets.begin_round();
        while idle > 0 && self.assign_one(now) {
            idle -= 1;
        }
        self.budgets.lease(&mut self.actions, now);
        self.budgets.settle(now);
        // Without an idle worker nothing can go until one comes back, and that is an event.
        self.wake = match idle {
            0 => None,
            _ => [self.wake, self.manager.next_due(None)].into_iter().flatten().min(),
        };
    }

    fn assign_one(&mut self, now: Moment) -> bool {
        let Core { manager, runs, lanes, budgets, stores, wake, .. } = self;
        let mut next = None;
        let taken = manager.take(now, |lane| {
            let Some(run) = lanes.get(&lane).and_then(|(slot, spec)| Some((runs.get(slot)?, *spec))) else {
                return false;
            };
            let (run, spec) = run;
            if !run.takes_work() || Core::is_behind(stores, run.store) {
                return false;
            }
            let endpoint = run.context.plan.spec(spec).endpoint.0 as usize;
            if run.endpoints[endpoint] >= run.context.plan.endpoints[endpoint].concurrency {
                return false;
            }
            let Some(state) = run.spec_state(spec) else { return false };
            if state.in_flight > 0 && state.gate.is_unknown() {
                return false;
            }
            match budgets.check(state.gate.tolls(), now) {
                // The lease that will be asked for brings us back here.
                Verdict::Now if state.gate.leases_first(budgets, now) => false,
                Verdict::Now => true,
                Verdict::At(at) => {
                    next = Some(next.map_or(at, |next: Moment| next.min(at)));
                    false
                }
                // An answer, or the lease that has been asked for, brings us back here.
                Verdict::WhenAnswered | Verdict::NeedsLease => false,
            }
        });
        *wake = next;
        let Some((lane, mut queued)) = taken else { return false };
        let Some((slot, spec)) = self.lanes.get(&lane).copied() else { return false };
        let Some(run) = self.runs.get_mut(&slot) else { return false };
        let endpoint = run.context.plan.spec(spec).endpoint.0 as usize;
        let total = run.context.plan.endpoints[endpoint].timeout.total;
        queued.waited_ms += u64::try_from(now.since(queued.since).as_millis()).unwrap_or(u64::MAX);
        run.endpoints[endpoint] += 1;
        run.requests += 1;
        let Some(state) = run.specs.iter_mut().find(|state| state.spec == spec) else { return false };
        state.in_flight += 1;
        if let Some(most) = run.requests_per_task {
            state.begun.insert(queued.task.id);
            if state.begun.len() as u64 >= most {
                self.manager.seal(lane);
            }
        }
        let tolls = state.gate.next_tolls(&mut self.budgets, now);
        self.budgets.take(&tolls, now);
        let flight = Flight { lane, spec, endpoint, tolls, taken: now, waited_ms: queued.waited_ms };
        run.flights.insert(queued.task.id, flight);
        let job = Job {
            context: Arc::clone(&run.context),
            task: queued.task,
            attempt: queued.attempt,
            hop: queued.hop,
            phase: PhaseCell::default(),
        };
        self.actions.push(Action::Assign { job: Arc::new(job), total });
        true
    }

    /// The wait until anything of a run may go out, if all of it has to wait for limits:
    /// None if something can go, is in flight, or waits for something else.
    pub(super) fn blocked_for(&mut self, slot: super::PlanSlot, now: Moment) -> Option<Duration> {
        let Core { manager, runs, budgets, .. } = self;
        let run = runs.get(&slot)?;
        if !run.flights.is_empty() || run.specs.iter().any(|state| state.uncommitted > 0) {
            return None;
        }
        let mut earliest: Option<Moment> = None;
        for state in run.specs.iter().filter(|state| !state.ended) {
            if !manager.has_ready(state.lane) && manager.awaits_more(state.lane) {
                return None;
            }
            let due = manager.next_due(Some(state.lane));
            let gate =
                match (manager.has_ready(state.lane), budgets.obstacle(state.gate.tolls(), now).verdict) {
                    (true, Verdict::At(at)) => Some(at),
                    (true, _) => return None,
                    (false, Verdict::At(at)) => due.map(|due| due.max(at)),
                    (false, _) => due,
                };
            earliest = match (earliest, gate) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        earliest.map(|at| at.since(now))
    }
}
