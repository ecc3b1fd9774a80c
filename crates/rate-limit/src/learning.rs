//! Learning: what refusals under the declared limit teach about the gap between two tokens.
//!
//! The rule, measured by `benches/limits` over six kinds of servers:
//!
//! 1. The first lesson spaces requests W/L from the first token on. Limits per day and longer begin
//!    with a second, doubled by each lesson until it is W/L.
//! 2. Later ones look at how many answers there were since the last: 1,000 or more teach nothing;
//!    from 20 on the gap becomes a tenth wider; fewer, and it becomes W/L and the jitter of round
//!    trips (their 99th percentile less their minimum), or a tenth wider if that is more.
//! 3. Refusals without a good answer in between are one; the third in a row says that the limit ran
//!    out early (somebody else spends it unseen) and widens the gap by a quarter, once.
//! 4. After 2,000 answers in a row without a refusal the excess over W/L shrinks by a fiftieth.
//!
//! A gap is never wider than four times W/L, or what one request at a time would need if that is more.
//! One wider than W/L is kept exactly. A process that is alone need not keep it for jitter's sake: one
//! request at a time, W/L after the last answer less the least round trip, is certain (`spacing.rs`).
//!
//! Not here: which of several limits learns, and from which refusals
//! ([`Budget::refused`](crate::Budget::refused)).

use std::time::Duration;

use entities::{Limit, Moment};

use crate::calendar::nanos;

/// Refusals further apart than this many answers are none of a gap that is too small.
const RARE: u32 = 1_000;
/// Refusals closer than this many answers say that every second request comes too early.
const OFTEN: u32 = 20;
/// After so many answers in a row without a refusal, a fiftieth of the excess goes.
const CALM: u32 = 2_000;
/// Limits per day and longer begin to learn with this gap: no server asks for a day's evenness.
const FIRST_OF_A_LONG_QUOTA: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// What was learned is forgotten after this long.
const MEMORY: Duration = Duration::from_secs(30 * 86_400);

/// What refusals have taught about one limit: kept in the budgets' file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The least time between two tokens, for all processes together: a rate of 1/gap is reachable.
    pub gap: Duration,
    /// How many refusals taught it.
    pub refusals: u32,
    /// When the last of them came.
    pub at: Moment,
}

impl Learned {
    /// Requests a second of cost 1 that can be reached.
    pub fn rate(&self) -> f64 {
        1.0 / self.gap.as_secs_f64().max(1e-9)
    }

    /// Servers change: what is older than 30 days is worth nothing.
    pub fn is_stale(&self, now: Moment) -> bool {
        now.since(self.at) > MEMORY
    }
}

/// The lessons of one limit.
#[derive(Clone, Debug)]
pub(crate) struct Lessons {
    /// Ns between tokens if the limit were used evenly: W/L.
    base: i64,
    /// Ns between tokens after the first refusal.
    first: i64,
    /// W in ns: a limit with a wider gap would be useless.
    window: i64,
    /// Ns between tokens, as taught; none: nothing was.
    gap: Option<i64>,
    /// What round trips took lately.
    trips: Trips,
    refusals: u32,
    at: Moment,
    /// Answers since the last refusal.
    calm: u32,
}

/// What a refusal is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    /// Answers since the last one, this one included.
    pub(crate) answers: u32,
    /// There were several without any good answer in between: the limit ran out early.
    pub(crate) ran_out: bool,
    /// The server's own count has run out.
    pub(crate) explained: bool,
    /// What round trips took lately.
    pub(crate) trips: Trips,
}

impl Lessons {
    pub(crate) fn new(limit: &Limit) -> Self {
        let window = nanos(limit.window);
        let base = (window / i64::from(limit.usable())).max(1);
        let first = if limit.window < DAY { base } else { base.min(nanos(FIRST_OF_A_LONG_QUOTA)) };
        Lessons {
            base,
            first,
            window,
            gap: None,
            trips: Trips::default(),
            refusals: 0,
            at: Moment(0),
            calm: 0,
        }
    }

    /// The limit's reserve has grown.
    pub(crate) fn limited(&mut self, limit: &Limit) {
        let Lessons { base, first, .. } = Lessons::new(limit);
        (self.base, self.first) = (base, first);
    }

    /// Ns between tokens, as taught.
    pub(crate) fn gap(&self) -> Option<i64> {
        self.gap
    }

    /// Whether one request at a time is as fast as the gap between sendings: then jitter does not matter.
    pub(crate) fn are_serial(&self) -> bool {
        self.is_strict() && self.trips.mean > 0 && self.gap.is_some_and(|gap| self.serial() <= gap)
    }

    /// Ns from an answer to the next token, one request at a time. The last arrived no later than its
    /// answer less the way back, and the next arrives no earlier than the way there behind its sending.
    pub(crate) fn after_answer(&self) -> i64 {
        self.gap.map_or(0, |gap| (gap - self.trips.jitter).max(self.base.min(gap)) - self.trips.least)
    }

    /// Ns from token to token, one request at a time.
    fn serial(&self) -> i64 {
        let Trips { mean, least, .. } = self.trips;
        self.base.saturating_add(mean - least).max(mean)
    }

    fn widest(&self) -> i64 {
        self.base.max(self.serial()).saturating_mul(4)
    }

    /// The gap is wider than the limit says: it must be kept exactly.
    pub(crate) fn is_strict(&self) -> bool {
        self.gap.is_some_and(|gap| gap > self.base)
    }

    pub(crate) fn answered(&mut self, sent: Moment) {
        if sent < self.at {
            return;
        }
        self.calm = self.calm.saturating_add(1);
        // What is there for jitter makes one request at a time no slower.
        let excess = self.gap.map_or(0, |gap| gap - self.base);
        let is_for_jitter = self.are_serial() && excess <= self.trips.jitter;
        if self.calm.is_multiple_of(CALM)
            && !is_for_jitter
            && let Some(gap) = &mut self.gap
            && *gap > self.base
        {
            *gap -= (*gap - self.base) / 50;
        }
    }

    /// What round trips took lately.
    pub(crate) fn measured(&mut self, trips: Trips) {
        self.trips = trips;
    }

    /// The server refused under the limit. Whether that taught anything.
    pub(crate) fn refused(&mut self, refused: Refused, quota: bool, now: Moment) -> bool {
        self.calm = 0;
        self.trips = refused.trips;
        let wider = |gap: i64| gap.saturating_add(gap / 10 + 1);
        let gap = match self.gap {
            None => self.first,
            Some(gap) if gap < self.base => gap.saturating_mul(2).min(self.base),
            Some(_) if refused.explained && quota && (refused.ran_out || refused.answers >= OFTEN) => {
                return false;
            }
            Some(gap) if refused.ran_out => gap.saturating_add(gap / 4),
            Some(_) if refused.answers >= RARE => return false,
            Some(gap) if refused.answers >= OFTEN => wider(gap),
            Some(gap) => wider(gap).max(self.base.saturating_add(refused.trips.jitter)),
        };
        self.gap = Some(gap.min(self.widest()));
        self.refusals = self.refusals.saturating_add(1);
        self.at = now;
        true
    }

    pub(crate) fn learned(&self) -> Option<Learned> {
        let gap = Duration::from_nanos(self.gap?.unsigned_abs());
        Some(Learned { gap, refusals: self.refusals, at: self.at })
    }

    /// Takes over what others, or an earlier process, learned, if it is more.
    pub(crate) fn learn(&mut self, learned: Learned) {
        let gap = nanos(learned.gap).clamp(self.first, self.window.max(self.first));
        if self.gap.is_none_or(|ours| ours < gap) {
            self.gap = Some(gap);
            self.at = self.at.max(learned.at);
            self.calm = 0;
        }
        self.refusals = self.refusals.max(learned.refusals);
    }
}

/// How many round trips are remembered, and after how many new ones they are worth a look.
const TRIPS: usize = 256;
const NEW_TRIPS: usize = 32;

/// What round trips took lately, in ns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trips {
    /// The 99th percentile less the minimum.
    pub(crate) jitter: i64,
    pub(crate) mean: i64,
    /// The least of all, however long ago.
    pub(crate) least: i64,
}

/// The last round trips of a budget.
#[derive(Clone, Debug)]
pub(crate) struct RoundTrips {
    /// In µs.
    last: [u32; TRIPS],
    count: usize,
    /// Of all.
    least: u32,
}

impl Default for RoundTrips {
    fn default() -> Self {
        RoundTrips { last: [0; TRIPS], count: 0, least: u32::MAX }
    }
}

impl RoundTrips {
    /// Whether enough of them are new since this was last true.
    pub(crate) fn add(&mut self, sent: Moment, answered: Moment) -> bool {
        let micros = answered.0.saturating_sub(sent.0).max(0) / 1_000;
        let micros = u32::try_from(micros).unwrap_or(u32::MAX);
        self.least = self.least.min(micros);
        self.last[self.count % TRIPS] = micros;
        self.count = self.count.wrapping_add(1);
        self.count.is_multiple_of(NEW_TRIPS) || (self.count < NEW_TRIPS && self.count.is_power_of_two())
    }

    pub(crate) fn measure(&self) -> Trips {
        let count = self.count.min(TRIPS);
        let mut sorted = self.last;
        let sorted = &mut sorted[..count];
        sorted.sort_unstable();
        let (Some(&first), Some(&p99)) =
            (sorted.first(), sorted.get((count * 99).div_ceil(100).saturating_sub(1)))
        else {
            return Trips::default();
        };
        let sum: i64 = sorted.iter().map(|&micros| i64::from(micros)).sum();
        let mean = sum / i64::try_from(count).unwrap_or(1).max(1);
        Trips {
            jitter: i64::from(p99 - first) * 1_000,
            mean: mean * 1_000,
            least: i64::from(self.least) * 1_000,
        }
    }
}
