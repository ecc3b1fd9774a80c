//! A plan as the keeper holds it: what lasts, how it reads, its run, and what is being done to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use entities::{Moment, PlanState, PlanStatus, RunReport};
use plan::Diagnostics;

use crate::asking::{Ask, Caller};
use crate::book::{Row, Waits, Wanted};
use crate::operation::{Cancel, Given};
use crate::reading::{Reading, first_error};
use crate::schedule::Timetable;
use crate::totals::Counted;
use crate::{Busy, Counts, PlanDetail, PlanView, RunEndView, Totals};

/// A plan.
pub(crate) struct Held {
    pub(crate) row: Row,
    /// Its last reading, or why it is no plan any more.
    pub(crate) reading: Result<Reading, Diagnostics>,
    pub(crate) timetable: Option<Timetable>,
    /// The first due moment of its schedule that was not honoured.
    pub(crate) due: Option<Moment>,
    pub(crate) live: Option<Live>,
    pub(crate) operation: Option<Operation>,
    /// What is asked of it meanwhile.
    pub(crate) queue: VecDeque<Ask>,
    /// Its row could not be written; nothing is started by itself before this.
    pub(crate) not_before: Option<Moment>,
    pub(crate) unsaved: bool,
    pub(crate) told: (PlanState, Option<Busy>),
    pub(crate) totals: Totals,
}

/// A run that the engine has.
pub(crate) struct Live {
    /// Told from other runs of the plan by this.
    pub(crate) number: u64,
    /// As it was last seen.
    pub(crate) status: PlanStatus,
    pub(crate) draining: bool,
    pub(crate) counted: Counted,
    /// It has ended; that is still to be noted.
    pub(crate) ended: Option<RunReport>,
}

/// What is being done to a plan.
pub(crate) struct Operation {
    pub(crate) number: u64,
    /// The task that does it.
    pub(crate) task: tokio::task::Id,
    pub(crate) busy: Option<Busy>,
    pub(crate) caller: Caller,
    /// How a cancel gets through to it, if it does.
    pub(crate) cancel: Option<Arc<Cancel>>,
    /// Who asked for that, and until when they wait.
    pub(crate) cancelling: Vec<(Caller, tokio::time::Instant)>,
    /// That it is cancelled is durable.
    pub(crate) cancelled: bool,
}

impl Held {
    pub(crate) fn new(row: Row, reading: Result<Reading, Diagnostics>, now: Moment) -> Held {
        let mut held = Held {
            row,
            reading,
            timetable: None,
            due: None,
            live: None,
            operation: None,
            queue: VecDeque::new(),
            not_before: None,
            unsaved: false,
            told: (PlanState::Idle, None),
            totals: Totals::default(),
        };
        held.read_anew(now);
        held.told = (held.state(), None);
        held
    }

    /// To be called when the row or the reading is another.
    pub(crate) fn read_anew(&mut self, now: Moment) {
        let schedule = self.reading.as_ref().ok().and_then(|reading| reading.plan.schedule.as_ref());
        self.timetable = schedule.and_then(Timetable::new);
        self.count_on(now);
    }

    /// Works out when it is due next; to be called when the row or the clock is another.
    pub(crate) fn count_on(&mut self, now: Moment) {
        let timetable = self.timetable.as_ref();
        self.due = timetable.and_then(|of| of.due(self.row.scheduled, self.row.due_from, now));
    }

    /// What its schedule would note as honoured if all that is due were made up for now.
    pub(crate) fn overdue(&self, now: Moment) -> Option<Moment> {
        let due = self.due.filter(|due| *due <= now)?;
        Some(self.timetable.as_ref()?.honour(due, now))
    }

    /// For an operation.
    pub(crate) fn given(&self, now: Moment) -> Given {
        Given {
            row: self.row.clone(),
            plan: self.reading.as_ref().ok().map(|reading| Arc::clone(&reading.plan)),
            live: self.live.is_some(),
            overdue: self.overdue(now),
        }
    }

    /// When it starts by itself; none: it does not, as things are.
    pub(crate) fn starts_at(&self) -> Option<Moment> {
        if self.operation.is_some() || self.live.is_some() || !self.queue.is_empty() {
            return None;
        }
        let at = match self.row.wanted {
            Wanted::Run => self.row.resumes.map_or(Moment(0), |(at, _)| at),
            Wanted::Nothing => self.due?,
            Wanted::Pause | Wanted::PausedRun => return None,
        };
        Some(at.max(self.not_before.unwrap_or_default()))
    }

    /// What it is doing.
    pub(crate) fn state(&self) -> PlanState {
        let last = self.row.last.as_ref().map(|last| last.state);
        match &self.live {
            // That it has ended is told when it is noted durably: a server that is killed before would go on with it.
            Some(live) if live.draining => PlanState::Draining,
            Some(_) if self.row.wanted.is_paused() => PlanState::Paused,
            Some(_) => PlanState::Running,
            None => match (self.row.wanted, self.row.resumes) {
                (Wanted::Pause | Wanted::PausedRun, _) => PlanState::Paused,
                (Wanted::Run, Some((_, Waits::Quota))) => PlanState::OutOfQuota,
                (Wanted::Run, Some((_, Waits::Broken))) => PlanState::Broken,
                // A wait that was called off is over.
                _ => match last {
                    Some(PlanState::OutOfQuota | PlanState::Broken) => PlanState::Interrupted,
                    Some(state) => state,
                    None => PlanState::Idle,
                },
            },
        }
    }

    pub(crate) fn busy(&self) -> Option<Busy> {
        self.operation.as_ref().and_then(|operation| operation.busy)
    }

    /// As a list shows it.
    pub(crate) fn view(&self) -> PlanView {
        let plan = self.reading.as_ref().ok().map(|reading| &reading.plan);
        let schedule = plan.and_then(|plan| plan.schedule.as_ref());
        let last = self.row.last.as_ref();
        let (run, started, counts) = match (&self.live, last) {
            (Some(live), _) => (live.status.run, live.status.started, counts_of(&live.status)),
            (None, Some(last)) => {
                let lasted = Duration::from_secs_f64(last.report.seconds.clamp(0.0, 1e9));
                (Some(last.run), Some(last.at - lasted), counts_at_end(&last.report))
            }
            (None, None) => (None, None, Counts::default()),
        };
        PlanView {
            name: self.row.name.clone(),
            description: plan.and_then(|plan| plan.description.clone()),
            state: self.state(),
            busy: self.busy(),
            schedule: schedule.map(|schedule| schedule.text.clone()),
            next_run: self.due.filter(|_| !self.row.wanted.is_paused()),
            resumes_at: self.row.resumes.filter(|_| self.row.wanted == Wanted::Run).map(|(at, _)| at),
            problem: match &self.reading {
                Ok(_) => self.row.problem.clone(),
                Err(diagnostics) => Some(first_error(diagnostics)),
            },
            run,
            started,
            counts,
            last: last.map(|last| RunEndView {
                run: last.run,
                state: last.state,
                at: last.at,
                reason: last.report.reason.clone(),
            }),
            added: self.row.added,
            replaced: self.row.replaced,
        }
    }

    /// With all that is known.
    pub(crate) fn detail(&self) -> PlanDetail {
        let (plan, text, diagnostics) = match &self.reading {
            Ok(reading) => {
                let text = reading.plan.source.text.clone();
                (Some(Arc::clone(&reading.plan)), text, reading.warnings.clone())
            }
            Err(diagnostics) => (None, diagnostics.source.text.clone(), diagnostics.list.clone()),
        };
        PlanDetail {
            view: self.view(),
            plan,
            text,
            diagnostics,
            live: self.live.as_ref().map(|live| live.status.clone()),
            report: self.row.last.as_ref().map(|last| last.report.clone()),
        }
    }
}

fn counts_of(status: &PlanStatus) -> Counts {
    let mut counts = Counts { requests: status.requests, bytes: status.bytes, ..Counts::default() };
    for task in &status.tasks {
        counts.known += task.known;
        counts.done += task.done;
        counts.failed += task.failed;
        counts.in_flight += task.in_flight;
        counts.records += task.records;
    }
    counts
}

fn counts_at_end(report: &RunReport) -> Counts {
    let failed: u64 = report.tasks.values().map(|task| task.failed).sum();
    // A report counts as done what was done well.
    let done = report.tasks.values().map(|task| task.done).sum::<u64>() + failed;
    Counts {
        requests: report.requests,
        bytes: report.bytes,
        known: done,
        done,
        failed,
        in_flight: 0,
        records: report.records,
    }
}
