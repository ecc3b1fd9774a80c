//! What comes back from workers: a Landing to write, or a task to put back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use entities::{
    EngineEvent, Entry, Execution, Failure, FailureClass, FailureKind, Hop, Job, Landed, Landing, Moment,
    Next, Outcome, Page, PlanState, RecordBatch, Task, TaskId,
};
use rate_limit::Learned;
use supervisor::Done;
use task_queue::Queued;

use super::budgets::{MOST_REFUSALS, Refused};
use super::limits::reachable_rate;
use super::run::position_hash;
use super::{Action, Answer, Core, Flight, Pending, PlanSlot};

impl Core {
    /// A worker has finished.
    pub(super) fn finished(&mut self, done: Done, now: Moment) {
        if let Some(why) = done.restarted {
            self.actions.push(Action::Emit(EngineEvent::WorkerRestarted { worker: done.worker.0, why }));
        }
        let Some(slot) = self.contexts.get(&(Arc::as_ptr(&done.job.context) as usize)).copied() else {
            return;
        };
        let answer = Answer::of(&done.execution);
        let Some(flight) = self.land_flight(slot, done.job.task.id, answer) else { return };
        let Some(run) = self.runs.get_mut(&slot) else { return };
        run.bytes += done.execution.bytes;
        if matches!(run.state, PlanState::Interrupted | PlanState::Broken) {
            return;
        }
        let Execution { outcome, sent, answered: _, finished, status, bytes, news } = *done.execution;
        // Before a refusal is judged: it may be explained by what the server says is left.
        if let Some(news) = news.filter(|news| !news.quotas.is_empty()) {
            self.budgets.heard(&flight.tolls, &news.quotas, sent, now);
        }
        let job = Arc::unwrap_or_clone(done.job);
        let exchange = Exchange { attempt: job.attempt, sent, finished, status, bytes };
        match outcome {
            Outcome::Landed(landed) => {
                self.budgets.contented(&flight.tolls);
                self.landed(slot, &flight, job.task, exchange, *landed, now);
            }
            Outcome::Failed(failure) => self.failed(slot, &flight, job.task, exchange, failure, now),
            Outcome::Retry { failure, after } => {
                self.retry(slot, &flight, job, exchange, failure, after, now)
            }
            Outcome::Wait { failure, how_long } => {
                self.wait(slot, &flight, job, exchange, failure, how_long, now);
            }
            Outcome::Hop(hop) => {
                let queued = Queued {
                    task: job.task,
                    attempt: job.attempt,
                    hop: Some(hop),
                    waited_ms: flight.waited_ms,
                    since: now,
                };
                self.manager.put_back(flight.lane, queued, None);
            }
        }
    }

    /// A good answer: its records land, its follow-ups go first in their lane.
    fn landed(
        &mut self,
        slot: PlanSlot,
        flight: &Flight,
        task: Task,
        exchange: Exchange,
        landed: Landed,
        now: Moment,
    ) {
        let Some(mut next) = self.next_slices(slot, flight, &task, now) else { return };
        let (pages, broken) = match landed.next {
            Next::End => (Vec::new(), None),
            Next::Pages(pages) => self.guard(slot, flight, &task, pages),
            Next::Broken(page, failure) => (Vec::new(), Some((page, failure))),
            Next::Split(parts) => {
                next.extend(self.manager.split(flight.lane, &task, parts, now));
                (Vec::new(), None)
            }
        };
        next.extend(self.manager.follow_up(flight.lane, &task, pages, now));
        let broken =
            broken.map(|(page, failure)| (self.manager.stillborn(flight.lane, &task, page), failure));
        next.extend(broken.as_ref().map(|(task, _)| task.clone()));
        let spooled = landed.records.spooled.as_ref().map_or(0, |spooled| spooled.children());
        let spooled = usize::try_from(spooled).unwrap_or(usize::MAX);
        let first_child = self.manager.set_aside(landed.children.len().saturating_add(spooled));
        let mut landing = self.landing(slot, flight, task, exchange, Ok(landed.records));
        landing.next = next;
        landing.children = landed.children;
        landing.first_child = first_child;
        landing.cursor = landed.cursor;
        landing.skipped = landed.skipped;
        self.write_landing(slot, flight, landing);
        if let Some((task, failure)) = broken {
            let never_sent = Exchange { status: None, bytes: 0, attempt: 0, ..exchange };
            self.failed(slot, flight, task, never_sent, failure, now);
        }
    }

    /// Lets through the pages that their chain has not asked for yet. The same position again
    /// would go round in circles: an error, never an end.
    fn guard(
        &mut self,
        slot: PlanSlot,
        flight: &Flight,
        task: &Task,
        pages: Vec<Page>,
    ) -> (Vec<Page>, Option<(Page, Failure)>) {
        let Some(run) = self.runs.get_mut(&slot) else { return (pages, None) };
        let place = run.context.plan.spec(flight.spec).paginate.as_ref().map(|paginate| paginate.at);
        let Some(state) = run.spec_mut(flight.spec).filter(|state| state.guards_chains) else {
            return (pages, None);
        };
        let asked: &mut HashSet<u64> = state.asked.entry(task.chain).or_default();
        asked.insert(position_hash(&task.page.position));
        let mut through = Vec::with_capacity(pages.len());
        for page in pages {
            if asked.insert(position_hash(&page.position)) {
                through.push(page);
                continue;
            }
            let message = format!("page {} would ask again for what an earlier page asked for", page.number);
            let mut failure = Failure::new(FailureClass::Permanent, FailureKind::PageLoop, message)
                .help("check `next`: it must name the page behind this one, and yield null on the last");
            failure.place = place;
            return (through, Some((page, failure)));
        }
        (through, None)
    }

    /// The task has failed for good; its chain ends here.
    pub(super) fn failed(
        &mut self,
        slot: PlanSlot,
        flight: &Flight,
        task: Task,
        exchange: Exchange,
        failure: Failure,
        now: Moment,
    ) {
        let Some(next) = self.next_slices(slot, flight, &task, now) else { return };
        let Some(run) = self.runs.get(&slot) else { return };
        let event = run.failed_event(flight.spec, failure.clone());
        self.actions.push(Action::Emit(event));
        let mut landing = self.landing(slot, flight, task, exchange, Err(failure));
        landing.next = next;
        self.write_landing(slot, flight, landing);
    }

    /// A transient failure: tried again later, unless the attempts are used up. If the server says
    /// when, everyone on the budget waits until then.
    #[expect(clippy::too_many_arguments, reason = "one outcome with all that came with it")]
    fn retry(
        &mut self,
        slot: PlanSlot,
        flight: &Flight,
        job: Job,
        exchange: Exchange,
        mut failure: Failure,
        after: Option<Duration>,
        now: Moment,
    ) {
        if let Some(after) = after {
            // It is the server that needs the time, whoever asks; the last attempt tells it, too.
            self.budgets.close(&flight.tolls, now + after);
        }
        let policy = job.context.plan.endpoints[flight.endpoint].retry;
        if job.attempt >= policy.attempts {
            if policy.attempts > 1 {
                failure.message = format!("{} ({} attempts)", failure.message, job.attempt);
            }
            return self.failed(slot, flight, job.task, exchange, failure, now);
        }
        let step = policy.backoff.step(job.attempt, jitter(job.task.id, job.attempt));
        let after = after.map_or(step, |after| after.max(step));
        self.actions.push(Action::Emit(EngineEvent::Retrying {
            plan: job.context.plan.name.clone(),
            task: job.context.plan.spec(flight.spec).name.clone(),
            failure,
            attempt: job.attempt,
            after,
        }));
        let queued = Queued {
            task: job.task,
            attempt: job.attempt + 1,
            hop: job.hop.and_then(anew),
            waited_ms: flight.waited_ms,
            since: now,
        };
        self.manager.put_back(flight.lane, queued, Some(now + after));
    }

    /// A limit: everyone on the budget waits, and the task keeps its attempt.
    #[expect(clippy::too_many_arguments, reason = "one outcome with all that came with it")]
    fn wait(
        &mut self,
        slot: PlanSlot,
        flight: &Flight,
        job: Job,
        exchange: Exchange,
        mut failure: Failure,
        how_long: Option<Duration>,
        now: Moment,
    ) {
        let over_limit = failure.kind == FailureKind::RateLimited;
        let backoff = job.context.plan.endpoints[flight.endpoint].retry.backoff;
        let refused = Refused { how_long, backoff, over_limit, sent: exchange.sent };
        let refusal = self.budgets.refuse(&flight.tolls, refused, &mut self.actions, now);
        self.tell_learned(slot, flight, &refusal.learned);
        if refusal.in_a_row > MOST_REFUSALS {
            failure.message =
                format!("{} ({MOST_REFUSALS} waits in a row without a good answer)", failure.message);
            return self.failed(slot, flight, job.task, exchange, failure, now);
        }
        if refusal.new {
            self.actions.push(Action::Emit(EngineEvent::Waiting {
                plan: job.context.plan.name.clone(),
                endpoint: job.context.plan.endpoints[flight.endpoint].name.clone(),
                failure,
                how_long: refusal.how_long,
            }));
        }
        let queued = Queued {
            task: job.task,
            attempt: job.attempt,
            hop: job.hop,
            waited_ms: flight.waited_ms,
            since: now,
        };
        self.manager.put_back(flight.lane, queued, None);
    }

    /// Tells the subscribers what a refusal has taught.
    fn tell_learned(&mut self, slot: PlanSlot, flight: &Flight, learned: &[(usize, usize, Learned)]) {
        for (budget, window, learned) in learned {
            let limit = self.budgets.window(*budget, *window).limit().text.clone();
            let Some(run) = self.runs.get(&slot) else { return };
            let Some(state) = run.spec_state(flight.spec) else { return };
            self.actions.push(Action::Emit(EngineEvent::Learned {
                plan: run.context.plan.name.clone(),
                endpoint: run.context.plan.endpoints[flight.endpoint].name.clone(),
                limit,
                rate: reachable_rate(learned, state.gate.cost_in(*budget, *window)),
            }));
        }
    }

    pub(super) fn landing(
        &mut self,
        slot: PlanSlot,
        flight: &Flight,
        task: Task,
        exchange: Exchange,
        result: Result<RecordBatch, Failure>,
    ) -> Box<Landing> {
        Box::new(Landing {
            run: self.runs.get(&slot).map_or(entities::RunId(0), |run| run.context.run),
            attempt: exchange.attempt,
            sent: exchange.sent,
            answered: exchange.finished,
            waited_ms: flight.waited_ms,
            status: exchange.status,
            bytes: exchange.bytes,
            result,
            skipped: false,
            next: Vec::new(),
            children: Vec::new(),
            first_child: TaskId(0),
            cursor: None,
            cursor_of: self.manager.cursor_of(flight.lane, &task),
            watermark: self.manager.landed(flight.lane, &task),
            task,
        })
    }

    pub(super) fn write_landing(&mut self, slot: PlanSlot, flight: &Flight, landing: Box<Landing>) {
        let Some(run) = self.runs.get_mut(&slot) else { return };
        let store = run.store;
        let Some(state) = run.spec_mut(flight.spec) else { return };
        state.uncommitted += 1;
        state.replaced += landing.result.as_ref().map_or(0, |records| records.replaced);
        if !landing.next.iter().any(|next| next.chain == landing.task.chain) {
            state.asked.remove(&landing.task.chain);
        }
        let pending = Pending::Land {
            slot,
            spec: flight.spec,
            task: landing.task.id,
            bytes: landing.result.as_ref().map_or(0, |records| weight(records, landing.bytes)),
            failed: landing.result.is_err(),
            skipped: landing.skipped,
            records: landing.result.as_ref().map_or(0, RecordBatch::all_rows),
        };
        self.write(store, Entry::Land(landing), pending);
    }
}

/// What is known about the exchange of a task.
#[derive(Clone, Copy)]
pub(super) struct Exchange {
    pub(super) attempt: u32,
    pub(super) sent: Moment,
    pub(super) finished: Moment,
    pub(super) status: Option<u16>,
    pub(super) bytes: u64,
}

/// What records count against the bound on what is not yet committed. Spooled ones are on disk, but each byte is
/// still to be written, so others have to wait for them. `received`: bytes of their answer.
fn weight(records: &RecordBatch, received: u64) -> usize {
    let spooled = if records.spooled.is_some() { received / 8 } else { 0 };
    records.bytes().saturating_add(usize::try_from(spooled).unwrap_or(usize::MAX))
}

/// What of a hop a new attempt begins with: redirects are asked for anew, but how often the API refused
/// the task's token stays true.
fn anew(hop: Hop) -> Option<Hop> {
    match hop {
        Hop::Redirect { renewed: 0, .. } => None,
        Hop::Redirect { renewed: count, .. } | Hop::Renewed { count } => Some(Hop::Renewed { count }),
    }
}

/// Spreads retries: a number in 0..1 that depends on the task and the attempt only.
fn jitter(task: TaskId, attempt: u32) -> f64 {
    let mixed = (task.0.unsigned_abs() ^ (u64::from(attempt) << 48)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 40) as f64 / f64::from(1u32 << 24)
}
