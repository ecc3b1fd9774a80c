//! Spacing: manners on top of the token rule. It never makes anything safe; it keeps bursts away
//! from servers whose counters punish them. Not the place of any token.

use std::time::Duration;

use entities::{Limit, Moment};

/// Windows longer than this are quotas: no gap until the server teaches one.
const QUOTA: Duration = Duration::from_secs(60);

/// A schedule of slots, one per gap. The slots do not move when a request is late, so that
/// lateness of timers does not add up; at most `tolerance` of lateness is caught up.
#[derive(Clone, Debug)]
pub(crate) struct Spacing {
    /// Ns between slots: W/L.
    gap: i64,
    /// Ns of lateness that are made up for.
    tolerance: i64,
    /// The next slot.
    next: Moment,
    /// Tokens that may be in use before gaps begin; `None`: no gaps at all.
    free_of_gaps: Option<u32>,
}

impl Spacing {
    pub(crate) fn new(limit: &Limit) -> Self {
        let window = nanos(limit.window);
        let gap = window / i64::from(limit.count.max(1));
        Spacing {
            gap,
            tolerance: gap.max(20_000_000).min(window / 20),
            next: Moment(i64::MIN),
            free_of_gaps: (limit.window <= QUOTA).then(|| limit.count.div_ceil(2)),
        }
    }

    /// When the next request may go, given how many tokens are in use; `None`: at once.
    pub(crate) fn wait(&self, in_use: u32, now: Moment) -> Option<Moment> {
        (self.applies(in_use) && now < self.next).then_some(self.next)
    }

    /// A request goes. `in_use` does not count it yet.
    pub(crate) fn sent(&mut self, in_use: u32, now: Moment) {
        if self.applies(in_use) {
            let behind = Moment(now.0.saturating_sub(self.tolerance));
            self.next = Moment(self.next.max(behind).0.saturating_add(self.gap));
        } else {
            // The first request with a gap before it finds its slot here, without a catch-up burst.
            self.next = self.next.max(now);
        }
    }

    /// The server refused although the limit was kept: a quota is spaced from now on.
    pub(crate) fn refused(&mut self, now: Moment) {
        if self.free_of_gaps.is_none() {
            self.free_of_gaps = Some(0);
            self.next = Moment(now.0.saturating_add(self.gap));
        }
    }

    fn applies(&self, in_use: u32) -> bool {
        self.free_of_gaps.is_some_and(|free| in_use >= free)
    }
}

/// A duration in ns, at most what a [`Moment`] can hold.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
