//! Snapshots: what each task is doing, and what it waits for.

use std::time::Duration;

use entities::{Moment, PlanStatus, TaskStatus, WaitReason};
use rate_limit::{Verdict, Why};

use super::budgets::Obstacle;
use super::run::SpecState;
use super::{Core, PlanSlot};

impl Core {
    /// What a run is doing, now.
    pub(crate) fn status(&mut self, slot: PlanSlot, now: Moment) -> Option<PlanStatus> {
        let run = self.runs.get(&slot)?;
        let (plan, started) = (run.context.plan.clone(), run.started);
        let (id, state, requests, bytes) = (run.context.run, run.state, run.requests, run.bytes);
        let tasks = (0..run.specs.len()).filter_map(|index| self.task_status(slot, index, now)).collect();
        let limits = self.budgets.statuses(self.runs.get(&slot)?, now);
        Some(PlanStatus {
            plan: plan.name.clone(),
            run: Some(id),
            state,
            started: Some(started),
            requests,
            bytes,
            tasks,
            limits,
        })
    }

    fn task_status(&mut self, slot: PlanSlot, index: usize, now: Moment) -> Option<TaskStatus> {
        let waits_for = self.waits_for(slot, index, now);
        let run = self.runs.get(&slot)?;
        let state = run.specs.get(index)?;
        Some(TaskStatus {
            name: run.context.plan.spec(state.spec).name.clone(),
            ended: state.ended,
            known: state.done + state.in_flight + state.uncommitted + self.manager.remaining(state.lane),
            done: state.done,
            failed: state.failed,
            skipped: state.skipped,
            in_flight: state.in_flight,
            records: state.records,
            waits_for,
        })
    }

    pub(super) fn waits_for(&mut self, slot: PlanSlot, index: usize, now: Moment) -> Option<WaitReason> {
        let Core { runs, manager, budgets, stores, .. } = self;
        let run = runs.get(&slot)?;
        let state = run.specs.get(index)?;
        if state.ended || state.in_flight > 0 || !run.takes_work() {
            return None;
        }
        let plan = &run.context.plan;
        let endpoint_index = plan.spec(state.spec).endpoint.0 as usize;
        let endpoint = plan.endpoints[endpoint_index].name.clone();
        if !manager.has_ready(state.lane) {
            if let Some(due) = manager.next_due(Some(state.lane)) {
                return Some(WaitReason::BackOff { how_long: due.since(now) });
            }
            if state.uncommitted > 0 {
                return Some(WaitReason::Store);
            }
            let mut awaited =
                state.parents.iter().chain(&state.lists_from).filter_map(|spec| run.spec_state(*spec));
            let parent = awaited.find(|parent| !parent.ended)?;
            return Some(WaitReason::Parent { task: plan.spec(parent.spec).name.clone() });
        }
        let Obstacle { verdict, budget, why } = budgets.obstacle(state.gate.tolls(), now);
        let how_long = if let Verdict::At(at) = verdict { at.since(now) } else { Duration::ZERO };
        match why {
            Why::Closed | Why::Quota => return Some(WaitReason::Server { endpoint, how_long }),
            Why::Limit(window) | Why::Lease(window) => {
                let elsewhere = budgets.elsewhere(budget, window);
                let cost = state.gate.cost_in(budget, window);
                // The endpoint that has the limit, where its own one only shares the budget.
                let has = |state: &&SpecState| {
                    state.gate.limits().any(|(of, limit)| of == budget && limit.window == window)
                };
                let by = Some(state).filter(has).or_else(|| run.specs.iter().find(has)).unwrap_or(state);
                let endpoint = plan.endpoints[plan.spec(by.spec).endpoint.0 as usize].name.clone();
                let window = budgets.window(budget, window);
                let left = match window.left(now) {
                    // Only spaced: what is not leased yet is there as well.
                    ours if ours >= cost => {
                        let taken = window.in_use(now).saturating_add(elsewhere);
                        window.limit().usable().saturating_sub(taken).max(ours)
                    }
                    ours => ours,
                };
                let limit = window.limit().text.clone();
                return Some(WaitReason::Limit { endpoint, limit, how_long, left });
            }
            Why::Open => {}
        }
        if Core::is_behind(stores, run.store) {
            return Some(WaitReason::Store);
        }
        (run.endpoints[endpoint_index] >= plan.endpoints[endpoint_index].concurrency)
            .then_some(WaitReason::Concurrency { endpoint })
    }
}
