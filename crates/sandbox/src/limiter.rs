//! Strict limiters over arrivals: a fixed window, aligned to the server's start, or a sliding log. Pure: the
//! arrival time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

/// How a [`Limiter`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// Windows that meet; the count starts anew in each.
    Fixed,
    /// The time just before the arrival; a request exactly one window old no longer counts.
    Sliding,
}

/// `limit` requests per `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) limit: u32,
    pub(crate) window: Duration,
}

/// Admits at most `rate.limit` requests in any window of its kind; refused requests take no place.
pub(crate) struct Limiter {
    pub(crate) rate: Rate,
    pub(crate) kind: Window,
    /// How many it let through, and how many it refused.
    pub(crate) served: u64,
    pub(crate) refused: u64,
    /// The most arrivals, refused ones included, in any stretch of one window, wherever it starts.
    pub(crate) most: usize,
    admitted: VecDeque<Duration>,
    arrivals: VecDeque<Duration>,
}

impl Limiter {
    pub(crate) fn new(rate: Rate, kind: Window) -> Limiter {
        let (admitted, arrivals) = (VecDeque::new(), VecDeque::new());
        Limiter { rate, kind, served: 0, refused: 0, most: 0, admitted, arrivals }
    }

    /// Notes an arrival, and says how long until there is a place when there is none now. A place is only taken
    /// by [`Limiter::admit`], so that a request under several limits takes all of its places or none.
    pub(crate) fn arrive(&mut self, now: Duration) -> Result<(), Duration> {
        let window = self.rate.window;
        drop_before(&mut self.arrivals, |at| now.saturating_sub(at) >= window);
        self.arrivals.push_back(now);
        self.most = self.most.max(self.arrivals.len());

        match self.kind {
            Window::Fixed => {
                let current = index(now, window);
                drop_before(&mut self.admitted, |at| index(at, window) < current);
            }
            Window::Sliding => drop_before(&mut self.admitted, |at| now.saturating_sub(at) >= window),
        }
        if self.admitted.len() < self.rate.limit as usize {
            return Ok(());
        }
        let free_at = match (self.kind, self.admitted.front()) {
            (Window::Sliding, Some(oldest)) => *oldest + window,
            _ => Duration::from_nanos_u128(window.as_nanos().saturating_mul(index(now, window) + 1)),
        };
        Err(free_at.saturating_sub(now))
    }

    /// Takes the place that [`Limiter::arrive`] found.
    pub(crate) fn admit(&mut self, now: Duration) {
        self.admitted.push_back(now);
        self.served += 1;
    }
}

fn index(at: Duration, window: Duration) -> u128 {
    at.as_nanos() / window.as_nanos().max(1)
}

fn drop_before(times: &mut VecDeque<Duration>, gone: impl Fn(Duration) -> bool) {
    while times.front().is_some_and(|at| gone(*at)) {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::{Limiter, Rate, Window};
    use std::time::Duration;

    /// `served` says which of the arrivals (in ms) a limiter of 3 per 100 ms lets through.
    fn check(kind: Window, arrivals: &[u64], served: &[u64]) {
        let mut limiter = Limiter::new(Rate { limit: 3, window: Duration::from_millis(100) }, kind);
        let got: Vec<u64> = arrivals
            .iter()
            .copied()
            .filter(|at| {
                let now = Duration::from_millis(*at);
                limiter.arrive(now).map(|()| limiter.admit(now)).is_ok()
            })
            .collect();
        assert_eq!(got, served, "{kind:?} {arrivals:?}");
    }

    #[test]
    fn a_window_admits_exactly_its_limit() {
        check(Window::Fixed, &[0, 50, 99, 99, 100, 101, 102, 103, 200], &[0, 50, 99, 100, 101, 102, 200]);
        check(Window::Sliding, &[0, 50, 99, 99, 100, 101, 149, 150], &[0, 50, 99, 100, 150]);
    }

    #[test]
    fn a_refusal_says_when() {
        let rate = Rate { limit: 1, window: Duration::from_millis(100) };
        for (kind, wait) in [(Window::Fixed, 60), (Window::Sliding, 90)] {
            let mut limiter = Limiter::new(rate, kind);
            assert_eq!(limiter.arrive(Duration::from_millis(30)), Ok(()));
            limiter.admit(Duration::from_millis(30));
            assert_eq!(limiter.arrive(Duration::from_millis(40)), Err(Duration::from_millis(wait)));
            assert_eq!(limiter.most, 2);
        }
    }
}
