//! Looks at the engine, and what is shown of them. Whoever asks within a quarter of a second shares one, but nobody is
//! shown less than they were told before.

use std::sync::Arc;

use engine::{EngineError, EngineStatus};
use tokio::time::Instant;

use super::{Done, Keeper, Waiter};
use crate::held::Held;
use crate::{ServiceError, Snapshot};

impl Keeper {
    /// Has the engine looked at on behalf of somebody.
    pub(super) fn look(&mut self, waiter: Waiter) {
        self.waiters.push((self.epoch, waiter));
        self.look_at_engine();
    }

    fn look_at_engine(&mut self) {
        if self.looking {
            return;
        }
        self.looking = true;
        let (hands, epoch) = (Arc::clone(&self.hands), self.epoch);
        self.background.spawn(async move { Done::Look { epoch, status: hands.engine.status().await } });
    }

    /// Shows a look to those who asked before it was taken; the others get the next.
    pub(super) fn looked(&mut self, epoch: u64, status: Result<EngineStatus, EngineError>) {
        self.looking = false;
        if let Ok(status) = status {
            self.workers = status.workers;
            for status in status.plans {
                let Some(held) = self.plans.get_mut(&status.plan) else { continue };
                let Held { live, totals, .. } = held;
                if let Some(live) = live.as_mut().filter(|live| live.status.run == status.run) {
                    live.counted.look(&status, totals);
                    live.status = status;
                }
            }
        }
        let mut snapshot = None;
        for (asked, waiter) in std::mem::take(&mut self.waiters) {
            match waiter {
                _ if asked > epoch => self.waiters.push((asked, waiter)),
                Waiter::Detail(plan, reply) => {
                    let detail = self.plans.get(&plan).map(|held| Box::new(held.detail()));
                    drop(reply.send(detail.ok_or(ServiceError::Unknown(plan))));
                }
                Waiter::Snapshot(reply) => {
                    let snapshot = snapshot.get_or_insert_with(|| Arc::new(self.everything()));
                    drop(reply.send(Ok(Arc::clone(snapshot))));
                }
            }
        }
        if let Some(snapshot) = snapshot {
            self.snapshot = Some((epoch, Instant::now(), snapshot));
        }
        if !self.waiters.is_empty() {
            self.look_at_engine();
        }
    }

    fn everything(&self) -> Snapshot {
        let live = self.plans.values().filter_map(|held| held.live.as_ref());
        Snapshot {
            at: self.hands.now(),
            plans: self.plans.values().map(Held::view).collect(),
            live: live.map(|live| live.status.clone()).collect(),
            workers: self.workers.clone(),
            totals: self.plans.values().map(|held| (held.row.name.clone(), held.totals.clone())).collect(),
        }
    }
}
