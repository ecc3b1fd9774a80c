//! How each kind of limiter counts.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::{Bucket, Rate, drop_before};

/// How a limiter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// Windows that meet; the count starts anew in each. The first begins so long after the server.
    Fixed { late: Duration },
    /// The time just before the arrival; a request exactly one window old no longer counts.
    Sliding,
    /// Windows that meet; of the one before counts what part of it is less than a window ago.
    Counter,
    /// Tokens come back evenly; so many may come at once beside the one that is due.
    Bucket { burst: u32 },
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Window::Fixed { .. } => "fixed",
            Window::Sliding => "sliding",
            Window::Counter => "counter",
            Window::Bucket { .. } => "bucket",
        })
    }
}

/// What a limiter remembers.
pub(super) struct Count {
    rate: Rate,
    memory: Memory,
}

enum Memory {
    Fixed {
        late: Duration,
        /// Of each window, for others.
        gone: u32,
        current: u128,
        taken: u32,
    },
    Sliding(VecDeque<Duration>),
    Counter {
        current: u128,
        taken: u32,
        before: u32,
    },
    Bucket(Bucket),
}

impl Count {
    /// `gone`: what others have of each window that is fixed.
    pub(super) fn new(rate: Rate, kind: Window, gone: u32) -> Count {
        let memory = match kind {
            Window::Fixed { late } => Memory::Fixed { late, gone, current: 0, taken: gone },
            Window::Sliding => Memory::Sliding(VecDeque::new()),
            Window::Counter => Memory::Counter { current: 0, taken: 0, before: 0 },
            Window::Bucket { burst } => {
                Memory::Bucket(Bucket::new(burst.saturating_add(1), rate.limit, rate.window))
            }
        };
        Count { rate, memory }
    }

    /// How long until there is a place, if there is none.
    pub(super) fn wait(&mut self, now: Duration) -> Option<Duration> {
        self.move_on(now);
        let Rate { limit, window } = self.rate;
        let wait = match &self.memory {
            Memory::Fixed { late, taken, .. } if *taken >= limit => until_next(now, *late, window),
            Memory::Sliding(admitted) if admitted.len() >= limit as usize => {
                admitted.front().map_or(window, |oldest| (*oldest + window).saturating_sub(now))
            }
            Memory::Counter { taken, .. } if *taken >= limit => {
                // The next window begins with this one counted in full, and a place a while later.
                until_next(now, Duration::ZERO, window) + fading(u128::from(*taken), limit - 1, window)
            }
            Memory::Counter { taken, before, .. } => {
                let gone = Duration::from_nanos_u128(now.as_nanos() % window.as_nanos().max(1));
                fading(u128::from(*before), limit - 1 - taken, window).saturating_sub(gone)
            }
            Memory::Bucket(bucket) => bucket.wait(1, now),
            Memory::Fixed { .. } | Memory::Sliding(_) => Duration::ZERO,
        };
        (!wait.is_zero()).then_some(wait)
    }

    pub(super) fn take(&mut self, now: Duration) {
        self.move_on(now);
        match &mut self.memory {
            Memory::Fixed { taken, .. } | Memory::Counter { taken, .. } => *taken += 1,
            Memory::Sliding(admitted) => admitted.push_back(now),
            Memory::Bucket(bucket) => bucket.take(1, now),
        }
    }

    /// How many places are left, and how long until the count begins anew.
    pub(super) fn left(&mut self, now: Duration) -> (u32, Duration) {
        self.move_on(now);
        let Rate { limit, window } = self.rate;
        match &self.memory {
            Memory::Fixed { late, taken, .. } => {
                (limit.saturating_sub(*taken), until_next(now, *late, window))
            }
            Memory::Sliding(admitted) => {
                let newest = admitted.back().map_or(now, |newest| *newest + window);
                (limit.saturating_sub(admitted.len() as u32), newest.saturating_sub(now))
            }
            Memory::Counter { taken, before, .. } => {
                let ahead = until_next(now, Duration::ZERO, window);
                let still = (u128::from(*before) * ahead.as_nanos()).div_ceil(window.as_nanos().max(1));
                let used = u32::try_from(still).unwrap_or(u32::MAX).saturating_add(*taken);
                (limit.saturating_sub(used), ahead)
            }
            Memory::Bucket(bucket) => (bucket.left(now), bucket.full_in(now)),
        }
    }

    /// Forgets what no longer counts.
    fn move_on(&mut self, now: Duration) {
        let window = self.rate.window;
        match &mut self.memory {
            Memory::Fixed { late, gone, current, taken } => {
                let index = index(now + window - *late, window);
                if index > *current {
                    (*current, *taken) = (index, *gone);
                }
            }
            Memory::Sliding(admitted) => {
                drop_before(admitted, |at| now.saturating_sub(at) >= window);
            }
            Memory::Counter { current, taken, before } => {
                let index = index(now, window);
                if index > *current {
                    *before = if index == *current + 1 { *taken } else { 0 };
                    (*current, *taken) = (index, 0);
                }
            }
            Memory::Bucket(_) => {}
        }
    }
}

/// How far into a window no more than `most` of the `before` of the last one count.
fn fading(before: u128, most: u32, window: Duration) -> Duration {
    if before <= u128::from(most) {
        return Duration::ZERO;
    }
    let part = (before - u128::from(most)) * window.as_nanos();
    Duration::from_nanos_u128(part.div_ceil(before))
}

fn until_next(now: Duration, late: Duration, window: Duration) -> Duration {
    let into = (now + window - late).as_nanos() % window.as_nanos().max(1);
    window.saturating_sub(Duration::from_nanos_u128(into))
}

fn index(at: Duration, window: Duration) -> u128 {
    at.as_nanos() / window.as_nanos().max(1)
}
