//! Who reads an answer, and where: quick ones are read where they arrive, long ones on a thread of their own.
//!
//! A run has as many such threads at once as there are processors, so that the system shares these between the runs
//! and no run's programs stop another's. A reader whose worker is gone stops before its next program. What was
//! begun where it arrived and turns out to be slow is begun anew elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use entities::{Moment, Phase, PhaseCell};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Clock;
use crate::answer::Leash;

/// How long programs may run over an answer where it arrived; looked at between them.
const BRIEF: Duration = Duration::from_millis(5);
/// How much longer than that all of a run may have taken, before none is run there any more.
const MOST_LOST: Duration = Duration::from_millis(100);

/// The readers of one run.
#[derive(Debug)]
pub(crate) struct Readers {
    left: Arc<Semaphore>,
    /// Microseconds that programs took beyond what is brief.
    lost: AtomicU64,
}

impl Default for Readers {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
        Readers { left: Arc::new(Semaphore::new(processors)), lost: AtomicU64::new(0) }
    }
}

impl Readers {
    /// Waits for a turn; no time-out counts that.
    pub(super) async fn turn(&self, phase: &PhaseCell) -> Option<OwnedSemaphorePermit> {
        match Arc::clone(&self.left).try_acquire_owned() {
            Ok(turn) => Some(turn),
            Err(_) => queued(phase, Arc::clone(&self.left).acquire_owned()).await.ok(),
        }
    }

    /// Whether programs may be run where answers arrive.
    pub(super) fn trusts(&self) -> bool {
        Duration::from_micros(self.lost.load(Ordering::Relaxed)) < MOST_LOST
    }

    /// Programs took so long where an answer arrived.
    pub(super) fn took(&self, time: Duration) {
        if time > BRIEF {
            let micros = u64::try_from((time - BRIEF).as_micros()).unwrap_or(u64::MAX);
            self.lost.fetch_add(micros, Ordering::Relaxed);
        }
    }
}

/// Waits for a turn of any kind.
pub(super) async fn queued<F: Future>(phase: &PhaseCell, turn: F) -> F::Output {
    phase.set(Phase::Queued);
    let output = turn.await;
    phase.set(Phase::Decoding);
    output
}

/// Stops a reader when it goes: with the worker that waits for it.
#[derive(Default)]
pub(super) struct Waiting(Arc<AtomicBool>);

impl Waiting {
    pub(super) fn leash(&self) -> Leash {
        let gone = Arc::clone(&self.0);
        Leash(Arc::new(move || !gone.load(Ordering::Relaxed)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A leash that ends soon after `begun`; whether it did is left in `slow`.
pub(super) fn brief(clock: &Clock, begun: Moment, slow: &Arc<AtomicBool>) -> Leash {
    let (clock, slow) = (Arc::clone(clock), Arc::clone(slow));
    Leash(Arc::new(move || {
        if clock().since(begun) > BRIEF {
            slow.store(true, Ordering::Relaxed);
        }
        !slow.load(Ordering::Relaxed)
    }))
}
