//! What ends without a request, and the slices that every end of a first page opens.

use std::sync::Arc;

use entities::{Moment, PlanState, RecordBatch, Task};
use task_queue::{Unsent, Why};

use super::finished::Exchange;
use super::{Core, Flight, PlanSlot};

impl Core {
    /// Writes what ends without a request: heads below which there is nothing, or nothing that can be
    /// evaluated, and what sits this run out.
    pub(super) fn land_unsent(&mut self, now: Moment) {
        for Unsent { lane, task, why } in self.manager.take_unsent() {
            let Some((slot, spec)) = self.lanes.get(&lane).copied() else { continue };
            let Some(run) = self.runs.get(&slot) else { continue };
            // Else it is found again when the run is resumed; no spec of the run ends before that.
            let lands = matches!(run.state, PlanState::Running | PlanState::Paused | PlanState::Draining);
            if !lands || run.ending.is_some() {
                continue;
            }
            let Some(state) = run.spec_state(spec) else { continue };
            let endpoint = run.context.plan.spec(spec).endpoint.0 as usize;
            let tolls = Arc::clone(state.gate.tolls());
            let flight = Flight { lane, spec, endpoint, tolls, taken: now, waited_ms: 0 };
            let exchange = Exchange { attempt: 0, sent: now, finished: now, status: None, bytes: 0 };
            match why {
                Why::Failed(failure) => self.failed(slot, &flight, task, exchange, failure, now),
                Why::Empty | Why::SitsOut => {
                    let Some(next) = self.next_slices(slot, &flight, &task, now) else { continue };
                    let batch = Ok(RecordBatch::default());
                    let mut landing = self.landing(slot, &flight, task, exchange, batch);
                    landing.next = next;
                    landing.skipped = why == Why::SitsOut;
                    self.write_landing(slot, &flight, landing);
                }
            }
        }
    }

    /// The slices that the end of a task opens; none if they could not be found again, and the run has
    /// been ended for it.
    pub(super) fn next_slices(
        &mut self,
        slot: PlanSlot,
        flight: &Flight,
        task: &Task,
        now: Moment,
    ) -> Option<Vec<Task>> {
        if task.slice.is_none() {
            return Some(Vec::new());
        }
        match self.manager.next_slices(flight.lane, task, now) {
            Ok(tasks) => Some(tasks),
            Err(failure) => {
                let why = format!(
                    "what a task is repeated over could be evaluated once and cannot again ({failure}): \
                     run again with --fresh and report this"
                );
                self.broken_run(slot, &why, now);
                None
            }
        }
    }
}
