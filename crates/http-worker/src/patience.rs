//! How long a worker waits: the idle and the total time-out of one exchange, on one timer.
//!
//! The timer belongs to the worker and is only ever moved, mostly later, which costs no lock. It may
//! fire early; then it looks at what has happened since and goes back to sleep. So a body that
//! arrives in a thousand pieces sets no thousand timers.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use entities::{Phase, PhaseCell, TimeOuts};
use tokio::time::{Instant, Sleep};

/// Which time-out ran out, and what it was set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimedOut {
    /// No byte for this long.
    Idle(Duration),
    /// Not done after this long.
    Total(Duration),
}

/// A worker's timer, made at its first request.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

/// The time-outs of one exchange.
pub(crate) struct Patience<'t> {
    sleep: &'t mut Pin<Box<Sleep>>,
    idle: Duration,
    total: Duration,
    until: Instant,
    /// When something last moved.
    moved: Instant,
    phase: PhaseCell,
}

/// Time that an exchange spends on waiting for this process itself: it counts for no time-out. Beside [`Patience`],
/// since that may be lent while somebody rests.
pub(crate) struct Rest {
    nanos: AtomicU64,
    phase: PhaseCell,
}

impl Rest {
    /// Waits, and notes for how long.
    pub(crate) async fn during<F: Future>(&self, future: F) -> F::Output {
        let (phase, began) = (self.phase.get(), Instant::now());
        self.phase.set(Phase::Queued);
        let output = future.await;
        self.phase.set(phase);
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        output
    }
}

impl Timer {
    /// Starts the time-outs of an exchange that begins now.
    pub(crate) fn start(&mut self, timeouts: &TimeOuts, phase: PhaseCell) -> Patience<'_> {
        let now = Instant::now();
        let far = now + Duration::from_secs(86_400 * 365);
        let until = now.checked_add(timeouts.total).unwrap_or(far);
        let first = until.min(now.checked_add(timeouts.idle).unwrap_or(far));
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(first)));
        sleep.as_mut().reset(first);
        Patience { sleep, idle: timeouts.idle, total: timeouts.total, until, moved: now, phase }
    }
}

impl Patience<'_> {
    /// Something came: the idle time begins anew.
    pub(crate) fn moved(&mut self) {
        self.moved = Instant::now();
    }

    /// A rest for this exchange.
    pub(crate) fn rest(&self) -> Rest {
        Rest { nanos: AtomicU64::new(0), phase: self.phase.clone() }
    }

    /// Leaves out what was spent on resting since the last time.
    pub(crate) fn leave_out(&mut self, rest: &Rest) {
        if rest.nanos.load(Ordering::Relaxed) > 0 {
            let by = Duration::from_nanos(rest.nanos.swap(0, Ordering::Relaxed));
            self.until = self.until.checked_add(by).unwrap_or(self.until);
            self.moved = self.moved.checked_add(by).unwrap_or(self.moved);
        }
    }

    /// Waits for `future` as long as patience lasts.
    pub(crate) async fn within<F: Future>(&mut self, future: F) -> Result<F::Output, TimedOut> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_expired(cx).map(Err),
        })
        .await
    }

    /// Ready when patience has run out.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<TimedOut> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= self.until {
                return Poll::Ready(TimedOut::Total(self.total));
            }
            if self.phase.get() == Phase::Sending {
                // Still connecting or sending: the connect time-out is the connector's, and idle
                // time begins when the request is out. At most one `idle` is lost by looking only now.
                self.moved = now;
            }
            let idle_until = self.moved.checked_add(self.idle).unwrap_or(self.until);
            if now >= idle_until {
                return Poll::Ready(TimedOut::Idle(self.idle));
            }
            self.sleep.as_mut().reset(self.until.min(idle_until));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(idle_ms: u64, total_ms: u64, phase: Phase, moves_ms: &[u64], expected: (TimedOut, u64)) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let timeouts = TimeOuts {
                idle: Duration::from_millis(idle_ms),
                total: Duration::from_millis(total_ms),
                ..TimeOuts::default()
            };
            let cell = PhaseCell::default();
            cell.set(phase);
            let mut timer = Timer::default();
            // A timer that was used before, and had moved far ahead.
            drop(timer.start(&TimeOuts::default(), cell.clone()));
            let began = Instant::now();
            let mut patience = timer.start(&timeouts, cell);
            for wait in moves_ms {
                patience.within(tokio::time::sleep(Duration::from_millis(*wait))).await.unwrap();
                patience.moved();
            }
            let ended = patience.within(std::future::pending::<()>()).await.unwrap_err();
            let took = began.elapsed().as_millis() as u64;
            assert_eq!(ended, expected.0);
            // Timers have a grain of a millisecond.
            assert!((expected.1..=expected.1 + 5).contains(&took), "{took} ms, expected {}", expected.1);
        });
    }

    #[test]
    fn it_runs_out_when_it_says() {
        let idle = |ms| TimedOut::Idle(Duration::from_millis(ms));
        let total = |ms| TimedOut::Total(Duration::from_millis(ms));
        check(100, 1000, Phase::Waiting, &[], (idle(100), 100));
        check(100, 1000, Phase::Waiting, &[90, 90, 90], (idle(100), 370));
        check(100, 50, Phase::Waiting, &[], (total(50), 50));
        check(100, 250, Phase::Receiving, &[90, 90], (total(250), 250));
        check(100, 1000, Phase::Sending, &[], (total(1000), 1000));
    }
}
