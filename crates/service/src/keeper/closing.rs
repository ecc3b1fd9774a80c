//! Shutting down: nothing new begins, what runs drains and stays wanted, and the engine is closed.

use std::sync::Arc;
use std::time::Duration;

use entities::PlanName;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{Done, Keeper};
use crate::ServiceError;

/// How long a shutdown waits for what is in flight.
const DRAIN: Duration = Duration::from_secs(30);
/// … and for what is cut off then.
const CUT: Duration = Duration::from_secs(5);
/// How long the engine may take to close stores and give budgets back.
const CLOSE: Duration = Duration::from_secs(10);

/// A shutdown that is under way.
pub(super) struct Closing {
    reply: oneshot::Sender<()>,
    until: Instant,
    cut: bool,
}

impl Keeper {
    /// Begins to shut down.
    pub(super) fn close(&mut self, reply: oneshot::Sender<()>) {
        self.closing = Some(Closing { reply, until: Instant::now() + DRAIN, cut: false });
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            command.refuse();
        }
        let names: Vec<PlanName> = self.plans.keys().cloned().collect();
        for plan in names {
            if let Some(held) = self.plans.get_mut(&plan) {
                held.queue.drain(..).for_each(|ask| ask.refuse(ServiceError::Closed));
            }
            self.drain_if_closing(&plan);
        }
        for (_, waiter) in std::mem::take(&mut self.waiters) {
            waiter.refuse();
        }
    }

    /// Lets the run of a plan drain if all is to end.
    pub(super) fn drain_if_closing(&mut self, plan: &PlanName) {
        if self.closing.is_none() {
            return;
        }
        let Some(held) = self.plans.get_mut(plan) else { return };
        let Some(live) = held.live.as_mut().filter(|live| !live.draining) else { return };
        live.draining = true;
        let (hands, plan) = (Arc::clone(&self.hands), plan.clone());
        self.tell_state(&plan);
        self.background.spawn(async move {
            // It may just have ended, or is being cut off.
            let _ = hands.engine.drain(&plan).await;
            Done::Nothing
        });
    }

    pub(super) fn closes_at(&self) -> Option<Instant> {
        self.closing.as_ref().map(|closing| closing.until)
    }

    /// Whether a shutdown has come to its end; helps it along when its time is up.
    pub(super) fn may_stop(&mut self) -> bool {
        let Some(closing) = &mut self.closing else { return false };
        let is_at_rest = self.plans.values().all(|held| held.live.is_none() && held.operation.is_none());
        if is_at_rest && self.adding.is_empty() {
            return true;
        }
        if Instant::now() < closing.until {
            return false;
        }
        if closing.cut {
            return true;
        }
        closing.cut = true;
        closing.until = Instant::now() + CUT;
        let live = self.plans.values().filter(|held| held.live.is_some());
        for plan in live.map(|held| held.row.name.clone()) {
            let hands = Arc::clone(&self.hands);
            self.background.spawn(async move {
                let _ = hands.engine.cancel(&plan).await;
                Done::Nothing
            });
        }
        false
    }

    /// The end: the engine is closed, and whoever waits is told.
    pub(super) async fn stop(mut self) {
        self.background.shutdown().await;
        let Keeper { hands, closing, .. } = self;
        // Nobody else has it any more, but for what hangs on a blocking thread.
        if let Ok(hands) = Arc::try_unwrap(hands) {
            let _ = timeout(CLOSE, hands.engine.shutdown()).await;
        }
        if let Some(closing) = closing {
            let _ = closing.reply.send(());
        }
    }
}
