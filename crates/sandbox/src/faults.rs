//! Which request fails, and how: a pure function of the seed, the request and how many times it has come.

use crate::random::{draw, per_cent};

/// No request fails more often than this without an answer in between, so that a client that retries gets on.
pub(crate) const LONGEST_STREAK: u32 = 3;

/// How often each fault happens, in per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct FaultRates {
    pub(crate) errors: f64,
    pub(crate) limited: f64,
    pub(crate) resets: f64,
    pub(crate) truncated: f64,
}

/// What goes wrong with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A 500.
    Error,
    /// A 429 with `Retry-After`.
    Limited,
    /// The connection is reset instead of an answer.
    ResetBeforeHead,
    /// The connection is reset in mid-body.
    ResetInBody,
    /// The body ends early, with a `Content-Length`.
    TruncatedLength,
    /// The body ends early, without its last chunk.
    TruncatedChunked,
}

/// What one request has been through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct History {
    came: u32,
    failed_in_a_row: u32,
}

impl History {
    /// How many times the request has come before.
    pub(crate) fn came(&self) -> u64 {
        u64::from(self.came)
    }
}

impl FaultRates {
    pub(crate) fn none(&self) -> bool {
        *self == FaultRates::default()
    }

    /// The fault of the next coming of a request, whose history it moves on.
    pub(crate) fn next(&self, seed: u64, request: u64, history: &mut History) -> Option<Fault> {
        let fault = self.at(seed, request, history.came).filter(|_| history.failed_in_a_row < LONGEST_STREAK);
        history.came += 1;
        history.failed_in_a_row = if fault.is_some() { history.failed_in_a_row + 1 } else { 0 };
        fault
    }

    fn at(&self, seed: u64, request: u64, nth: u32) -> Option<Fault> {
        let dice = draw(seed, request, u64::from(nth));
        let half = draw(dice, 0, 1) & 1 == 0;
        let mut left = per_cent(dice);
        let kinds = [
            (self.errors, Fault::Error),
            (self.limited, Fault::Limited),
            (self.resets, if half { Fault::ResetBeforeHead } else { Fault::ResetInBody }),
            (self.truncated, if half { Fault::TruncatedLength } else { Fault::TruncatedChunked }),
        ];
        for (rate, fault) in kinds {
            if left < rate {
                return Some(fault);
            }
            left -= rate;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{FaultRates, History, LONGEST_STREAK};

    #[test]
    fn no_request_fails_too_often_in_a_row() {
        let rates = FaultRates { errors: 100.0, ..FaultRates::default() };
        let mut history = History::default();
        let answered: Vec<u32> = (0..9).filter(|_| rates.next(1, 2, &mut history).is_none()).collect();
        assert_eq!(answered, [LONGEST_STREAK, 2 * LONGEST_STREAK + 1]);
    }

    #[test]
    fn rates_hold_over_many_requests() {
        let rates = FaultRates { errors: 5.0, limited: 1.0, resets: 2.0, truncated: 2.0 };
        let failed = (0..100_000).filter(|n| rates.next(7, *n, &mut History::default()).is_some()).count();
        assert!((9_500..10_500).contains(&failed), "{failed}");
    }
}
