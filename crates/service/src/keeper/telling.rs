//! Events: what the engine says goes on to whoever listens, and what becomes of plans is told beside it.

use std::sync::Arc;

use entities::{EngineEvent, PlanName};
use tokio::sync::broadcast::error::TryRecvError;

use super::Keeper;
use crate::{PlanEvent, ServiceEvent};

impl Keeper {
    /// Passes on all that the engine has said so far.
    pub(super) fn hear_all(&mut self) {
        loop {
            match self.heard.try_recv() {
                Ok(event) => self.hear(event),
                // What was missed was too much for any listener.
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    pub(super) fn hear(&mut self, event: EngineEvent) {
        match &event {
            EngineEvent::RunStarted { plan, run, resumed, .. } => {
                self.started.insert(plan.clone(), (*run, *resumed));
            }
            EngineEvent::RunEnded { report } => {
                self.ended.insert(report.plan.clone(), report.run);
            }
            _ => {}
        }
        self.send(ServiceEvent::Engine(event));
    }

    pub(super) fn tell(&self, event: PlanEvent) {
        self.send(ServiceEvent::Plan(event));
    }

    /// Tells what a plan is doing if it is something else than was told last.
    pub(super) fn tell_state(&mut self, plan: &PlanName) {
        let Some(held) = self.plans.get_mut(plan) else { return };
        let (state, busy) = (held.state(), held.busy());
        if held.told != (state, busy) {
            held.told = (state, busy);
            self.tell(PlanEvent::PlanState { plan: plan.clone(), state, busy });
        }
    }

    fn send(&self, event: ServiceEvent) {
        // No listener is no error.
        let _ = self.told.send(Arc::new(event));
    }
}
