//! When a token comes back: a window after the answer, or at the calendar's next reset.
//!
//! A calendar quota is counted by the server's clock. Ours may differ by [`CLOCKS`], either way, so
//! a request answered that close before a reset counts in both periods, and what comes back at a
//! reset waits as long behind it: then every token is used at most once in a period.

use std::time::Duration;

use entities::{Limit, Moment};

/// By how much the server's clock may differ from ours.
const CLOCKS: Duration = Duration::from_secs(2);

/// Limits with more tokens than this have their return times rounded up to a grid of as many
/// steps per window, so that memory and insertion stay bounded.
const STEPS: u32 = 1_000;

/// When a token comes back that was used by a request answered then.
pub fn returns_at(limit: &Limit, answered: Moment) -> Moment {
    match &limit.resets {
        Some(resets) => resets.next_after(answered + CLOCKS) + CLOCKS,
        None => answered + limit.window,
    }
}

/// The same, without asking the calendar each time, and rounded up for large limits.
#[derive(Clone, Debug)]
pub(crate) struct Returns {
    /// W in ns.
    window: i64,
    /// Return times are rounded up to multiples of this many ns.
    grain: i64,
    /// Of a calendar quota: answers from the first moment on and before the second bring tokens
    /// back at the third.
    period: Option<(Moment, Moment, Moment)>,
}

impl Returns {
    pub(crate) fn new(limit: &Limit) -> Self {
        let window = nanos(limit.window);
        let grain = if limit.count > STEPS { (window / i64::from(STEPS)).max(1) } else { 1 };
        Returns { window, grain, period: None }
    }

    pub(crate) fn at(&mut self, limit: &Limit, answered: Moment) -> Moment {
        if limit.resets.is_none() {
            return self.round_up(Moment(answered.0.saturating_add(self.window)));
        }
        match self.period {
            Some((from, to, back)) if from <= answered && answered < to => back,
            _ => {
                let back = returns_at(limit, answered);
                self.period = Some((answered, back - CLOCKS - CLOCKS, back));
                back
            }
        }
    }

    /// Tokens that come back in the same step come back together.
    pub(crate) fn round_up(&self, until: Moment) -> Moment {
        let beyond = if self.grain > 1 { until.0.rem_euclid(self.grain) } else { 0 };
        if beyond == 0 { until } else { Moment(until.0.saturating_add(self.grain - beyond)) }
    }
}

/// A duration in ns, at most what a [`Moment`] can hold.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
