//! Assignment: which ready task goes out next, as gates open. Lanes take turns; and of workers that do not suffice for
//! all, each run has its share first.

use std::sync::Arc;
use std::time::Duration;

use entities::{Job, Moment, PhaseCell};
use rate_limit::Verdict;
use task_queue::LaneId;

use super::{Action, Core, Flight, PlanRun};

/// What came of a look for a task that may go.
enum Assigned {
    One,
    /// None but of runs that have their share.
    NoneBut,
    None,
}

/// In which round a lane was last found closed.
fn place(closed: &mut Vec<u64>, lane: LaneId) -> &mut u64 {
    let index = lane.0 as usize;
    if index >= closed.len() {
        closed.resize(index + 1, 0);
    }
    &mut closed[index]
}

impl Core {
    /// Assigns ready tasks whose gates are open until workers, tasks or gates run out.
    pub(super) fn assign(&mut self, mut idle: usize, now: Moment) {
        self.budgets.lease(&mut self.actions, now);
        self.wake = None;
        self.budgets.begin_round();
        self.round += 1;
        // Turns alone would not do: who has slow answers would have all workers before long.
        let mut most = self.share_of_workers(idle);
        while idle > 0 {
            match self.assign_one(most, now) {
                Assigned::One => idle -= 1,
                Assigned::NoneBut => most = most.saturating_mul(2),
                Assigned::None => break,
            }
        }
        self.budgets.lease(&mut self.actions, now);
        self.budgets.settle(now);
        // Without an idle worker nothing can go until one comes back, and that is an event.
        self.wake = match idle {
            0 => None,
            _ => [self.wake, self.manager.next_due(None)].into_iter().flatten().min(),
        };
    }

    /// How many workers each run may have before any has more.
    fn share_of_workers(&self, idle: usize) -> usize {
        let wants = |run: &&PlanRun| {
            run.takes_work() && run.specs.iter().any(|state| self.manager.has_ready(state.lane))
        };
        if idle == 0 || self.runs.len() < 2 {
            return usize::MAX;
        }
        let runs = self.runs.values().filter(wants).count();
        let workers = idle + self.runs.values().map(|run| run.flights.len()).sum::<usize>();
        if runs < 2 { usize::MAX } else { workers.div_ceil(runs) }
    }

    /// Assigns one task of a run that has fewer than `most` in flight.
    fn assign_one(&mut self, most: usize, now: Moment) -> Assigned {
        let Core { manager, runs, lanes, budgets, stores, wake, closed, round, most_per_run, .. } = self;
        let mut had_enough = false;
        let taken = manager.take(now, |lane| {
            // What is closed stays so for this round: nothing is given back in it.
            let closed = place(closed, lane);
            if *closed == *round {
                return false;
            }
            *closed = *round;
            let Some(run) = lanes.get(&lane).and_then(|(slot, spec)| Some((runs.get(slot)?, *spec))) else {
                return false;
            };
            let (run, spec) = run;
            if !run.takes_work() || run.flights.len() >= *most_per_run || Core::is_behind(stores, run.store) {
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
            if run.flights.len() >= most {
                *closed = 0;
                had_enough = true;
                return false;
            }
            match budgets.check(state.gate.tolls(), now) {
                // The lease that will be asked for brings us back here.
                Verdict::Now if state.gate.leases_first(budgets, now) => false,
                Verdict::Now => {
                    *closed = 0;
                    true
                }
                Verdict::At(at) => {
                    *wake = Some(wake.map_or(at, |next: Moment| next.min(at)));
                    false
                }
                // An answer, or the lease that has been asked for, brings us back here.
                Verdict::WhenAnswered | Verdict::NeedsLease => false,
            }
        });
        let none = if had_enough { Assigned::NoneBut } else { Assigned::None };
        let Some((lane, mut queued)) = taken else { return none };
        let Some((slot, spec)) = self.lanes.get(&lane).copied() else { return none };
        let Some(run) = self.runs.get_mut(&slot) else { return none };
        let endpoint = run.context.plan.spec(spec).endpoint.0 as usize;
        let total = run.context.plan.endpoints[endpoint].timeout.total;
        queued.waited_ms += u64::try_from(now.since(queued.since).as_millis()).unwrap_or(u64::MAX);
        run.endpoints[endpoint] += 1;
        run.requests += 1;
        let Some(state) = run.specs.iter_mut().find(|state| state.spec == spec) else { return none };
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
        Assigned::One
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
