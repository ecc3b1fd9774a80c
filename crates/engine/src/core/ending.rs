//! Endings: of a spec, of a run; pause, drain, cancel; a store that broke.

use std::collections::BTreeMap;
use std::sync::Arc;

use entities::{EngineEvent, Entry, Moment, PlanState, RunEnd, RunReport, SpecIndex, TaskReport, WaitReason};

use super::run::NO_LANE;
use super::{Action, Core, Pending, PlanSlot, StoreSlot};

impl Core {
    /// Writes `EndSpec` for every spec that has nothing left, and `EndRun` for every run that has
    /// come to its end.
    pub(super) fn end_what_has_ended(&mut self, now: Moment) {
        let slots: Vec<PlanSlot> = self.runs.keys().copied().collect();
        for slot in slots {
            self.end_specs(slot, now);
            self.end_run_if_due(slot, now);
        }
    }

    fn end_specs(&mut self, slot: PlanSlot, now: Moment) {
        let Core { runs, manager, wake, .. } = self;
        let Some(run) = runs.get_mut(&slot) else { return };
        // What a cancelled run has aborted or dropped is nowhere, and not done.
        let is_over = matches!(run.state, PlanState::Broken | PlanState::Interrupted);
        if !run.dirty || run.ending.is_some() || is_over {
            return;
        }
        run.dirty = false;
        let (mut ending, mut released) = (Vec::new(), false);
        for state in &run.specs {
            let parent_ended = run.have_ended(&state.parents);
            let idle = state.in_flight == 0 && state.uncommitted == 0;
            if state.ending || !idle || !manager.is_exhausted(state.lane) {
                continue;
            }
            // The store would have said if what they wait for were settled; nothing of it is left.
            if manager.release(state.lane, now) {
                released = true;
            } else if parent_ended {
                ending.push(state.spec);
            }
        }
        if released {
            run.dirty = true;
            *wake = Some(now);
        }
        let (store, id) = (run.store, run.context.run);
        for spec in ending {
            let Some(run) = self.runs.get_mut(&slot) else { return };
            let failed = run.failed_up_from(spec);
            let driven = run.context.plan.children_of(spec).len();
            if let Some(state) = run.spec_mut(spec) {
                state.ending = true;
            }
            // For what is left of its children's batches.
            let first_child = self.manager.set_aside(driven);
            let entry = Entry::EndSpec { run: id, spec, failed, first_child };
            self.write(store, entry, Pending::EndSpec { slot, spec });
        }
    }

    pub(super) fn spec_ended(&mut self, slot: PlanSlot, spec: SpecIndex) {
        let Some(run) = self.runs.get_mut(&slot) else { return };
        run.dirty = true;
        let plan = Arc::clone(&run.context.plan);
        let Some(state) = run.spec_mut(spec) else { return };
        state.ended = true;
        self.actions.push(Action::Emit(EngineEvent::TaskEnded {
            plan: plan.name.clone(),
            task: plan.spec(spec).name.clone(),
            done: state.done,
            failed: state.failed,
            records: state.records,
        }));
        for child in run.specs.iter().filter(|child| child.reads_rows && child.parent == Some(spec)) {
            self.manager.open_rows(child.lane);
        }
        for child in run.specs.iter().filter(|child| child.lists_from.contains(&spec)) {
            if run.have_ended(&child.lists_from) {
                self.manager.open_lists(child.lane, run.lists_fall_short(child));
            }
        }
    }

    fn end_run_if_due(&mut self, slot: PlanSlot, now: Moment) {
        let Some(run) = self.runs.get(&slot) else { return };
        if run.ending.is_some() {
            return;
        }
        let end = match run.state {
            PlanState::Running | PlanState::Paused if run.specs.iter().all(|state| state.ended) => {
                let failed = run.specs.iter().any(|state| state.failed > 0);
                if failed { RunEnd::Failed } else { RunEnd::Complete }
            }
            PlanState::Draining if run.flights.is_empty() => RunEnd::Interrupted,
            PlanState::Running => {
                let limit = run.wait;
                match self.blocked_for(slot, now) {
                    Some(wait) if wait > limit => {
                        let why = self.why_blocked(slot, now);
                        if let Some(run) = self.runs.get_mut(&slot) {
                            run.resumes_at = Some(now + wait);
                            run.reason = why;
                        }
                        RunEnd::Paused
                    }
                    _ => return,
                }
            }
            _ => return,
        };
        self.end_run(slot, end, now);
    }

    /// Which limit it is that the run would have to wait for.
    fn why_blocked(&mut self, slot: PlanSlot, now: Moment) -> Option<String> {
        let specs = self.runs.get(&slot)?.specs.len();
        let (endpoint, limit) = (0..specs).find_map(|index| match self.waits_for(slot, index, now)? {
            WaitReason::Limit { endpoint, limit, .. } => Some((endpoint, Some(limit))),
            WaitReason::Server { endpoint, .. } => Some((endpoint, None)),
            _ => None,
        })?;
        let Some(limit) = limit else { return Some(format!("{endpoint} asked to wait")) };
        let own = self.budgets.statuses(self.runs.get(&slot)?, now);
        // Nobody finds it in this plan: it is of another that asks the same host with the same credential.
        let whose = match own.iter().any(|own| own.endpoint == endpoint && own.limit == limit) {
            true => "",
            false => ", which another plan of the same host and credential names,",
        };
        Some(format!("the limit {limit} of {endpoint}{whose} is used up"))
    }

    fn end_run(&mut self, slot: PlanSlot, end: RunEnd, now: Moment) {
        let Some(run) = self.runs.get_mut(&slot) else { return };
        run.ending = Some(end);
        let (store, id) = (run.store, run.context.run);
        self.write(store, Entry::EndRun { run: id, end, at: now }, Pending::EndRun { slot });
    }

    pub(super) fn run_ended(&mut self, slot: PlanSlot, now: Moment) {
        let Some(run) = self.runs.get_mut(&slot) else { return };
        run.state = match run.ending {
            Some(RunEnd::Complete) => PlanState::Complete,
            Some(RunEnd::Failed) => PlanState::Failed,
            Some(RunEnd::Paused) => PlanState::OutOfQuota,
            Some(RunEnd::Interrupted) | None => PlanState::Interrupted,
        };
        self.close(slot, now);
    }

    /// A run is over: its lanes go, its report is made, and it draws on its budgets no more. One that broke does until
    /// what it has in flight is aborted.
    fn close(&mut self, slot: PlanSlot, now: Moment) {
        let Some(report) = self.report(slot, now) else { return };
        let Some(run) = self.runs.get_mut(&slot) else { return };
        self.contexts.remove(&(Arc::as_ptr(&run.context) as usize));
        for state in &mut run.specs {
            self.manager.close(state.lane);
            self.lanes.remove(&state.lane);
            state.lane = NO_LANE;
            state.asked.clear();
        }
        run.over = true;
        if run.flights.is_empty() {
            self.dues.extend(run.specs.iter().map(|state| state.gate.dues()));
        }
        self.actions.push(Action::Emit(EngineEvent::RunEnded { report: report.clone() }));
        self.actions.push(Action::Ended { slot, report: Box::new(report) });
    }

    pub(super) fn pause(&mut self, slot: PlanSlot) {
        if let Some(run) = self.runs.get_mut(&slot).filter(|run| run.state == PlanState::Running) {
            run.state = PlanState::Paused;
        }
    }

    pub(super) fn resume(&mut self, slot: PlanSlot) {
        if let Some(run) = self.runs.get_mut(&slot).filter(|run| run.state == PlanState::Paused) {
            run.state = PlanState::Running;
        }
    }

    pub(super) fn drain(&mut self, slot: PlanSlot) {
        if let Some(run) = self.runs.get_mut(&slot)
            && matches!(run.state, PlanState::Running | PlanState::Paused)
        {
            run.state = PlanState::Draining;
        }
    }

    /// Stops at once: what is in flight is aborted, what has been handed to the store commits, and
    /// `EndRun` behind it is the barrier after which nothing lands.
    pub(super) fn cancel(&mut self, slot: PlanSlot) {
        let Some(run) = self.runs.get_mut(&slot) else { return };
        if !matches!(run.state, PlanState::Running | PlanState::Paused | PlanState::Draining) {
            return;
        }
        run.state = PlanState::Interrupted;
        self.actions.push(Action::Abort { slot });
    }

    pub(super) fn cancelled(&mut self, slot: PlanSlot, now: Moment) {
        let Some(run) = self.runs.get(&slot) else { return };
        if run.state == PlanState::Interrupted && run.ending.is_none() {
            self.end_run(slot, RunEnd::Interrupted, now);
        }
    }

    /// A store cannot go on: nor can its runs.
    pub(super) fn broken(&mut self, store: StoreSlot, why: &str, now: Moment) {
        self.stores.remove(&store);
        let slots: Vec<PlanSlot> =
            self.runs.iter().filter(|(_, run)| run.store == store).map(|(slot, _)| *slot).collect();
        for slot in slots {
            self.broken_run(slot, why, now);
        }
    }

    pub(super) fn broken_run(&mut self, slot: PlanSlot, why: &str, now: Moment) {
        let Some(run) = self.runs.get_mut(&slot) else { return };
        if run.over {
            return;
        }
        run.state = PlanState::Broken;
        run.reason = Some(why.to_owned());
        self.actions.push(Action::Abort { slot });
        self.close(slot, now);
    }

    pub(super) fn forget(&mut self, slot: PlanSlot) {
        self.runs.remove(&slot);
    }

    /// What came of a run.
    fn report(&mut self, slot: PlanSlot, now: Moment) -> Option<RunReport> {
        let run = self.runs.get(&slot)?;
        let plan = &run.context.plan;
        let mut tasks = BTreeMap::new();
        for state in &run.specs {
            let spec = plan.spec(state.spec);
            let report = TaskReport {
                done: state.done - state.failed,
                failed: state.failed,
                skipped: state.skipped,
                records: state.records,
                replaced: state.replaced,
            };
            tasks.insert(spec.name.clone(), report);
        }
        let limits = self.budgets.reports(run, now);
        Some(RunReport {
            run: run.context.run,
            plan: plan.name.clone(),
            state: run.state,
            requests: run.requests,
            records: run.specs.iter().map(|state| state.records).sum(),
            bytes: run.bytes,
            seconds: now.since(run.started).as_secs_f64(),
            tasks,
            limits,
            reason: run.reason.clone(),
            resumes_at: run.resumes_at.map(Moment::to_rfc3339),
        })
    }
}
