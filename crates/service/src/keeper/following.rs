//! What follows when something has come to its end: an operation, a run, a wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::EngineError;
use entities::{Moment, PlanName, PlanStatus, RunReport, SyncPlan};
use tokio::time::Instant;

use super::{Done, Keeper, LOOK};
use crate::asking::{Ask, Caller, Reply};
use crate::book::{Row, Wanted, Wish};
use crate::held::{Held, Live};
use crate::operation::{Answer, Made};
use crate::reading::Reading;
use crate::totals::Counted;
use crate::{Busy, Checked, ServiceError};

/// What could not be written is tried again after this.
const UNSAVED: Duration = Duration::from_secs(60);

impl Keeper {
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Operation { plan, made } => self.operation_done(&plan, *made),
            Done::Read { outcome, caller } => self.write_down(outcome, caller),
            Done::Added { plan, made, caller } => self.added(&plan, *made, caller),
            Done::Checked { outcome, reply } => {
                let is_here = |read: &(String, Reading)| self.plans.contains_key(&read.1.plan.name);
                checked(
                    outcome.and_then(|read| match is_here(&read) {
                        true => Err(ServiceError::Exists(read.1.plan.name.clone())),
                        false => Ok(read),
                    }),
                    reply,
                );
            }
            Done::Run { plan, number, report } => self.run_over(&plan, number, report),
            Done::Look { epoch, status } => self.looked(epoch, status),
            Done::Nothing => {}
        }
    }

    /// Writes down a plan that was read and is to be added.
    fn write_down(&mut self, outcome: Result<(String, Reading), ServiceError>, caller: Caller) {
        let (text, reading) = match outcome {
            Ok(read) => read,
            Err(error) => return caller.refuse(error),
        };
        if self.closing.is_some() {
            return caller.refuse(ServiceError::Closed);
        }
        let plan = reading.plan.name.clone();
        if self.plans.contains_key(&plan) || !self.adding.insert(plan.clone()) {
            return caller.refuse(ServiceError::Exists(plan));
        }
        let now = self.hands.now();
        let row = Row {
            name: plan.clone(),
            text: text.into(),
            added: now,
            replaced: None,
            wanted: Wanted::Nothing,
            wish: Wish::default(),
            run: None,
            scheduled: now,
            due_from: None,
            resumes: None,
            tries: 0,
            problem: None,
            last: None,
        };
        let hands = Arc::clone(&self.hands);
        self.background.spawn(async move {
            let made = Box::new(hands.add(row, reading).await);
            Done::Added { plan, made, caller }
        });
    }

    fn added(&mut self, plan: &PlanName, made: Made, caller: Caller) {
        self.adding.remove(plan);
        let (row, reading, answer) = match (made.row, made.reading, made.answer) {
            (Some(row), Some(reading), Ok(answer)) => (row, reading, answer),
            (_, _, Err(error)) => return caller.refuse(error),
            _ => return caller.refuse(ServiceError::Closed),
        };
        self.epoch += 1;
        let held = Held::new(row, Ok(reading), self.hands.now());
        caller.tell(answer, Some(held.view()));
        self.plans.insert(plan.clone(), held);
        made.happened.into_iter().for_each(|event| self.tell(event));
    }

    /// Takes over what an operation made of a plan, and goes on with what is next.
    fn operation_done(&mut self, plan: &PlanName, made: Made) {
        let now = self.hands.now();
        self.epoch += 1;
        let Made { row, unsaved, reading, over, began, happened, answer } = made;
        let Some(held) = self.plans.get_mut(plan) else { return };
        let operation = held.operation.take();
        if let Some(report) = &over
            && let Some(mut live) = held.live.take()
        {
            live.counted.end(report, &mut held.totals);
        }
        // A run that began and was cut off within the same operation is over.
        let is_there = row.is_some();
        if let Some(row) = row {
            held.row = row;
        }
        if let Some(reading) = reading {
            held.reading = Ok(reading);
        }
        held.unsaved = unsaved;
        // None of these is its fault: it is tried again, but not at once.
        let is_ours = matches!(
            &answer,
            Err(ServiceError::Storage { .. } | ServiceError::Bug(_) | ServiceError::Closed)
        );
        held.not_before = (unsaved || is_ours).then(|| now + UNSAVED);
        held.read_anew(now);
        if let Some(status) = began {
            self.follow(plan, status);
        }
        if let Some(report) = &over {
            self.tell_end(report);
        }
        let view = is_there.then(|| self.plans.get(plan).map(Held::view)).flatten();
        let waiting = if is_there { None } else { self.plans.remove(plan) };
        if !is_there {
            self.started.remove(plan);
            self.ended.remove(plan);
        }
        happened.into_iter().for_each(|event| self.tell(event));
        if let Some(operation) = operation {
            let taken = operation.cancel.as_ref().is_some_and(|of| of.taken.load(Ordering::Relaxed));
            for (caller, _) in operation.cancelling {
                match (view.clone(), self.plans.get_mut(plan)) {
                    (Some(view), _) if taken => caller.tell(Answer::View, Some(view)),
                    // It came too late for this operation: it is next.
                    (_, Some(held)) => held.queue.push_front(Ask::Cancel { caller }),
                    _ => caller.refuse(ServiceError::Unknown(plan.clone())),
                }
            }
            match answer {
                Ok(answer) => operation.caller.tell(answer, view),
                Err(error) => operation.caller.refuse(error),
            }
        }
        for ask in waiting.into_iter().flat_map(|held| held.queue) {
            ask.refuse(ServiceError::Unknown(plan.clone()));
        }
        self.next(plan);
        self.tell_state(plan);
        self.drain_if_closing(plan);
    }

    /// An operation went down: its plan is as it was, so far as anybody knows.
    pub(super) fn operation_panicked(&mut self, task: tokio::task::Id) {
        let of = |held: &&Held| held.operation.as_ref().is_some_and(|operation| operation.task == task);
        let Some(held) = self.plans.values().find(of) else { return };
        let (plan, row) = (held.row.name.clone(), held.row.clone());
        self.operation_done(&plan, Made::refused(row, ServiceError::Bug("what was done to the plan")));
    }

    /// A run has begun: its end will be heard of.
    fn follow(&mut self, plan: &PlanName, status: PlanStatus) {
        let number = self.number();
        let resumed = match self.started.get(plan) {
            Some((run, resumed)) if Some(*run) == status.run => *resumed,
            // The event was missed. Rather count too little than twice.
            _ => true,
        };
        let Some(held) = self.plans.get_mut(plan) else { return };
        let mut counted = Counted::from(&status, resumed);
        counted.look(&status, &mut held.totals);
        held.live = Some(Live { number, status, draining: false, counted, ended: None });
        let (hands, plan) = (Arc::clone(&self.hands), plan.clone());
        self.background.spawn(async move {
            let report = hands.engine.wait(&plan).await;
            Done::Run { plan, number, report }
        });
    }

    /// A run has ended. If something is being done to the plan, that one may have noted it, or it is noted next.
    fn run_over(&mut self, plan: &PlanName, number: u64, report: Result<RunReport, EngineError>) {
        let Some(held) = self.plans.get_mut(plan) else { return };
        let Some(live) = held.live.as_mut().filter(|live| live.number == number) else { return };
        // Otherwise whoever took it from the engine knows, or the engine is gone.
        let Ok(report) = report else { return };
        live.ended = Some(report);
        self.epoch += 1;
        self.next(plan);
        self.tell_state(plan);
    }

    /// Starts what its schedule, or a wait that is over, says.
    pub(super) fn start_what_is_due(&mut self, now: Moment) {
        if self.closing.is_some() {
            return;
        }
        if now < self.last_look {
            // The clock was set back.
            self.plans.values_mut().for_each(|held| held.count_on(now));
        }
        self.last_look = now;
        let is_due = |held: &&Held| held.starts_at().is_some_and(|at| at <= now);
        let due: Vec<PlanName> =
            self.plans.values().filter(is_due).map(|held| held.row.name.clone()).collect();
        for plan in due {
            let Some(held) = self.plans.get_mut(&plan) else { continue };
            let mut given = held.given(now);
            let mut row = given.row.clone();
            if row.wanted == Wanted::Nothing {
                row.wish = Wish::default();
                row.run = None;
                row.due_from = given.overdue.or(row.due_from);
                row.tries = 0;
                given.overdue = None;
            }
            self.begin(&plan, Some(Busy::Starting), Caller::Nobody, true, |hands, cancel| async move {
                hands.start(given, row, &cancel).await
            });
        }
        let unsaved = |held: &&Held| {
            held.unsaved && held.operation.is_none() && held.not_before.is_some_and(|at| at <= now)
        };
        let unsaved: Vec<PlanName> =
            self.plans.values().filter(unsaved).map(|held| held.row.name.clone()).collect();
        for plan in unsaved {
            let Some(held) = self.plans.get(&plan) else { continue };
            let row = held.row.clone();
            self.begin(&plan, None, Caller::Nobody, false, |hands, _| async move { hands.save(row).await });
        }
    }

    /// How long nothing has to be done by the keeper itself.
    pub(super) fn sleep(&self, now: Moment) -> Duration {
        let starts = self.plans.values().filter_map(Held::starts_at).min();
        let mut sleep = starts.map_or(LOOK, |at| at.since(now).clamp(Duration::from_millis(1), LOOK));
        let operations = self.plans.values().filter_map(|held| held.operation.as_ref());
        let impatient = operations.flat_map(|operation| &operation.cancelling).map(|(_, until)| *until);
        for until in impatient.chain(self.closes_at()) {
            sleep = sleep.min(until.saturating_duration_since(Instant::now()));
        }
        sleep
    }

    pub(super) fn cancel_is_durable(&mut self, plan: &PlanName, number: u64) {
        let operation = self.plans.get_mut(plan).and_then(|held| held.operation.as_mut());
        if let Some(operation) = operation.filter(|operation| operation.number == number) {
            operation.cancelled = true;
        }
    }

    /// Answers those who cancelled what does not come to its end: that it is cancelled is durable, and its view says
    /// that it is stopping.
    pub(super) fn answer_the_impatient(&mut self) {
        let now = Instant::now();
        for held in self.plans.values_mut() {
            let Some(operation) = held.operation.as_mut().filter(|operation| operation.cancelled) else {
                continue;
            };
            let cancelling = std::mem::take(&mut operation.cancelling);
            let (over, patient): (Vec<_>, Vec<_>) =
                cancelling.into_iter().partition(|(_, until)| *until <= now);
            operation.cancelling = patient;
            for (caller, _) in over {
                caller.tell(Answer::View, Some(held.view()));
            }
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn tell_end(&mut self, report: &RunReport) {
        if self.ended.get(&report.plan) != Some(&report.run) {
            // The engine's event was missed.
            self.hear(entities::EngineEvent::RunEnded { report: report.clone() });
        }
        self.ended.remove(&report.plan);
    }
}

fn checked(outcome: Result<(String, Reading), ServiceError>, reply: Reply<Checked>) {
    let checked = outcome
        .map(|(_, reading)| Checked { plan: SyncPlan::clone(&reading.plan), warnings: reading.warnings });
    drop(reply.send(checked));
}
