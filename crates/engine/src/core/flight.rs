//! Requests in flight, and what their end gives back.

use std::sync::Arc;

use entities::{Execution, Moment, SpecIndex, TaskId};
use task_queue::LaneId;

use super::gate::Toll;
use super::{Core, PlanSlot};

/// A request in flight.
pub(crate) struct Flight {
    pub(crate) lane: LaneId,
    pub(crate) spec: SpecIndex,
    pub(crate) endpoint: usize,
    /// What it took of each budget, and when.
    pub(crate) tolls: Arc<[Toll]>,
    pub(crate) taken: Moment,
    pub(crate) waited_ms: u64,
}

/// The end of a flight, as its budgets see it.
#[derive(Clone, Copy)]
pub(super) struct Answer<'a> {
    /// When the request was sent, if it is known.
    pub(super) sent: Option<Moment>,
    /// When the answer came, or the loss was noticed.
    pub(super) at: Moment,
    /// What it did cost, if the answer said so: by index of the limit.
    pub(super) costs: &'a [(usize, u32)],
}

impl<'a> Answer<'a> {
    pub(super) fn of(execution: &'a Execution) -> Self {
        let costs = execution.news.as_ref().map_or(&[][..], |news| &news.costs);
        Answer { sent: Some(execution.sent), at: execution.answered, costs }
    }
}

impl Core {
    /// A flight is over, whatever came of it: its tokens, its place at the endpoint and in the
    /// spec are given back.
    pub(super) fn land_flight(&mut self, slot: PlanSlot, task: TaskId, answer: Answer<'_>) -> Option<Flight> {
        let run = self.runs.get_mut(&slot)?;
        let flight = run.flights.remove(&task)?;
        run.dirty = true;
        run.endpoints[flight.endpoint] -= 1;
        let Answer { sent, at, costs } = answer;
        let mut actual = None;
        if let Some(state) = run.spec_mut(flight.spec) {
            state.in_flight -= 1;
            let (paid, changed) = state.gate.answered(&flight.tolls, costs);
            actual = paid;
            if changed {
                self.manager.set_cost(flight.lane, state.gate.first_cost());
            }
        }
        let paid = actual.as_deref().unwrap_or(&flight.tolls);
        self.budgets.answered(&flight.tolls, paid, sent.unwrap_or(flight.taken), at);
        Some(flight)
    }
}
