//! Strict limiters over arrivals: how many requests there may be, and who else spends them. Pure: the arrival
//! time is an argument, and counts from the server's start.

mod bucket;
mod count;

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use bucket::Bucket;
use count::Count;
pub(crate) use count::Window;

/// So many arrivals are remembered at most; `most` counts no further.
const ARRIVALS: usize = 1 << 20;

/// `limit` requests per `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) limit: u32,
    pub(crate) window: Duration,
}

/// Admits at most what its kind allows; refused requests take no place.
pub(crate) struct Limiter {
    pub(crate) rate: Rate,
    pub(crate) kind: Window,
    /// How many it let through, and how many it refused.
    pub(crate) served: u64,
    pub(crate) refused: u64,
    /// The most arrivals, refused ones included, in any stretch of one window, wherever it starts.
    pub(crate) most: usize,
    count: Count,
    arrivals: VecDeque<Duration>,
    others: Option<Others>,
}

/// Another client of the same quota, whose requests come evenly.
struct Others {
    apart: Duration,
    next: Duration,
}

impl Limiter {
    /// `others`: per cent of the quota that another client takes.
    pub(crate) fn new(rate: Rate, kind: Window, others: u32) -> Limiter {
        let share = u64::from(rate.limit) * u64::from(others) / 100;
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        // In windows that meet it comes first, as a job that is started on the hour.
        let at_once = matches!(kind, Window::Fixed { .. });
        let evenly = (share > 0 && !at_once).then(|| {
            let apart = (rate.window / share).max(Duration::from_nanos(1));
            Others { apart, next: Duration::ZERO }
        });
        Limiter {
            rate,
            kind,
            served: 0,
            refused: 0,
            most: 0,
            count: Count::new(rate, kind, if at_once { share } else { 0 }),
            arrivals: VecDeque::new(),
            others: evenly,
        }
    }

    /// Notes an arrival, and says how long until there is a place when there is none now. A place is only taken
    /// by [`Limiter::admit`], so that a request under several limits takes all of its places or none.
    pub(crate) fn arrive(&mut self, now: Duration) -> Result<(), Duration> {
        let window = self.rate.window;
        drop_before(&mut self.arrivals, |at| now.saturating_sub(at) >= window);
        if self.arrivals.len() >= ARRIVALS {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(now);
        self.most = self.most.max(self.arrivals.len());

        if let Some(others) = &mut self.others {
            // What they did before the windows that count is forgotten.
            others.next = others.next.max(now.saturating_sub(window * 2));
            while others.next <= now {
                if self.count.wait(others.next).is_none() {
                    self.count.take(others.next);
                }
                others.next += others.apart;
            }
        }
        self.count.wait(now).map_or(Ok(()), Err)
    }

    /// Takes the place that [`Limiter::arrive`] found.
    pub(crate) fn admit(&mut self, now: Duration) {
        self.count.take(now);
        self.served += 1;
    }

    /// How many arrivals it remembers.
    pub(crate) fn remembered(&self) -> usize {
        self.arrivals.len()
    }

    /// How many places are left, and how long until all of them are.
    pub(crate) fn left(&mut self, now: Duration) -> (u32, Duration) {
        self.count.left(now)
    }
}

fn drop_before(times: &mut VecDeque<Duration>, gone: impl Fn(Duration) -> bool) {
    while times.front().is_some_and(|at| gone(*at)) {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::{ARRIVALS, Limiter, Rate, Window};
    use std::time::Duration;

    const RATE: Rate = Rate { limit: 3, window: Duration::from_millis(100) };
    const FIXED: Window = Window::Fixed { late: Duration::ZERO };

    fn served(mut limiter: Limiter, arrivals: &[u64]) -> Vec<u64> {
        let admitted = |at: &u64| {
            let now = Duration::from_millis(*at);
            limiter.arrive(now).map(|()| limiter.admit(now)).is_ok()
        };
        arrivals.iter().copied().filter(admitted).collect()
    }

    /// Which of the arrivals (in ms) a limiter of 3 per 100 ms lets through.
    #[test]
    fn each_kind_admits_what_it_says() {
        let cases: [(Window, &[u64], &[u64]); 8] = [
            (FIXED, &[0, 50, 99, 99, 100, 101, 102, 103, 200], &[0, 50, 99, 100, 101, 102, 200]),
            // Its windows begin 30 ms late.
            (
                Window::Fixed { late: Duration::from_millis(30) },
                &[0, 1, 2, 3, 30, 31, 32, 33, 129, 130],
                &[0, 1, 2, 30, 31, 32, 130],
            ),
            (Window::Sliding, &[0, 50, 99, 99, 100, 101, 149, 150], &[0, 50, 99, 100, 150]),
            // Of three in the window before, a third is gone by 134, two thirds by 167.
            (
                Window::Counter,
                &[0, 1, 2, 3, 100, 133, 134, 135, 166, 167, 199, 200],
                &[0, 1, 2, 134, 167, 200],
            ),
            (Window::Counter, &[0, 1, 2, 200, 201, 202, 203], &[0, 1, 2, 200, 201, 202]),
            // One comes back every 33.3 ms.
            (
                Window::Bucket { burst: 2 },
                &[0, 1, 2, 3, 33, 34, 35, 67, 300, 301, 302, 303],
                &[0, 1, 2, 34, 67, 300, 301, 302],
            ),
            (Window::Bucket { burst: 1 }, &[0, 1, 2, 34, 35], &[0, 1, 34]),
            (Window::Bucket { burst: 0 }, &[0, 1, 33, 34, 67, 68, 300, 301], &[0, 34, 68, 300]),
        ];
        for (kind, arrivals, expected) in cases {
            assert_eq!(served(Limiter::new(RATE, kind, 0), arrivals), expected, "{kind:?} {arrivals:?}");
        }
    }

    #[test]
    fn others_take_their_share() {
        // Fixed: one of three, first in each window. Else one at 0, 100, 200.
        for (kind, expected) in [
            (FIXED, vec![0, 1, 100, 101]),
            (Window::Sliding, vec![0, 1, 100, 101]),
            (Window::Bucket { burst: 2 }, vec![0, 1, 100, 101]),
            (Window::Bucket { burst: 0 }, vec![]),
        ] {
            let arrivals = [0, 1, 2, 100, 101, 102];
            assert_eq!(served(Limiter::new(RATE, kind, 34), &arrivals), expected, "{kind:?}");
        }
        // Long after, only what counts is made up for.
        let mut limiter = Limiter::new(RATE, Window::Sliding, 100);
        let late = Duration::from_secs(1 << 40);
        assert!(limiter.arrive(late).is_err());
    }

    /// A refusal says when; the next one comes just then.
    #[test]
    fn a_wait_is_exactly_long_enough() {
        let kinds = [
            FIXED,
            Window::Sliding,
            Window::Counter,
            Window::Bucket { burst: 2 },
            Window::Bucket { burst: 0 },
        ];
        for kind in kinds {
            let mut limiter = Limiter::new(RATE, kind, 0);
            let mut now = Duration::from_millis(30);
            let mut refused = 0;
            for _ in 0..50 {
                if let Err(wait) = limiter.arrive(now) {
                    assert!(!wait.is_zero(), "{kind:?} at {now:?}");
                    assert!(
                        limiter.arrive(now + wait - Duration::from_nanos(1)).is_err(),
                        "{kind:?} at {now:?}"
                    );
                    now += wait;
                    assert_eq!(limiter.arrive(now), Ok(()), "{kind:?} at {now:?}");
                    refused += 1;
                }
                limiter.admit(now);
            }
            assert!(refused > 10, "{kind:?}: {refused}");
        }
    }

    #[test]
    fn arrivals_are_not_remembered_for_ever() {
        let rate = Rate { limit: 3, window: Duration::from_secs(86_400) };
        let mut limiter = Limiter::new(rate, FIXED, 0);
        for at in 0..ARRIVALS as u64 + 9 {
            let _ = limiter.arrive(Duration::from_micros(at));
        }
        assert_eq!((limiter.remembered(), limiter.most), (ARRIVALS, ARRIVALS));
    }

    #[test]
    fn what_is_left_is_told() {
        for (kind, expected) in [
            (FIXED, (1, 60)),
            (Window::Sliding, (1, 100)),
            (Window::Counter, (1, 60)),
            // Two of three, at one every 33.3 ms; 10 ms are over for the first.
            (Window::Bucket { burst: 2 }, (1, 56)),
        ] {
            let mut limiter = Limiter::new(RATE, kind, 0);
            for at in [30, 40].map(Duration::from_millis) {
                assert_eq!(limiter.arrive(at), Ok(()));
                limiter.admit(at);
            }
            let (left, renewed) = limiter.left(Duration::from_millis(40));
            assert_eq!((left, renewed.as_millis()), expected, "{kind:?}");
        }
    }
}
