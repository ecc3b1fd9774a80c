//! Spacing: manners on top of the token rule. It never makes anything safe; it keeps bursts away
//! from servers whose counters punish them. Not the place of any token, nor of what refusals teach.
//!
//! - Of a short window (at most a minute) half the tokens go at once, the others a gap apart: W
//!   by our share of the tokens. A longer one is a quota: no gap until a refusal teaches one.
//! - After a closure, a short window is spaced from the first token on for as long as it is.
//! - A gap that was taught holds for all processes together. Alone, a request goes a gap after the
//!   last was sent; or, if that is as fast, one at a time, W/L after the last answer less the least
//!   round trip: then the server sees them W/L apart for certain. Several processes take turns: slots
//!   of a grid on the wall clock.

use std::time::Duration;

use entities::{Limit, Moment};

use crate::calendar::nanos;
use crate::learning::{Lessons, Refused, Trips};
use crate::{Learned, Verdict};

/// Windows longer than this are quotas.
const QUOTA: Duration = Duration::from_secs(60);

/// Lateness that is made up for, in ns: before a lesson, and after it.
const CATCH_UP: i64 = 20_000_000;
const CATCH_UP_TAUGHT: i64 = 5_000_000;

/// A schedule of slots, one per gap. The slots do not move when a request is late, so that
/// lateness of timers does not add up; at most `tolerance` of lateness is caught up.
#[derive(Clone, Debug)]
pub(crate) struct Spacing {
    /// W in ns.
    window: i64,
    usable: u32,
    /// Which of how many processes we are.
    rank: u32,
    of: u32,
    /// Ns between tokens: W by our share.
    gap: i64,
    /// Ns of lateness that are made up for.
    tolerance: i64,
    /// The next slot.
    next: Moment,
    /// Somebody waits for the next slot: it is his, however late he comes.
    promised: bool,
    /// Tokens that may be in use before gaps begin; `None`: no gaps at all.
    free_of_gaps: Option<u32>,
    /// No token is free of gaps before.
    careful_until: Moment,
    lessons: Lessons,
    /// What the last request took, and when the last answer came.
    last_cost: u32,
    last_answer: Moment,
}

impl Spacing {
    pub(crate) fn new(limit: &Limit) -> Self {
        let mut spacing = Spacing {
            window: nanos(limit.window),
            usable: limit.usable(),
            rank: 0,
            of: 1,
            gap: 0,
            tolerance: 0,
            next: Moment(i64::MIN),
            promised: false,
            free_of_gaps: (limit.window <= QUOTA).then_some(0),
            careful_until: Moment(i64::MIN),
            lessons: Lessons::new(limit),
            last_cost: 0,
            last_answer: Moment(i64::MIN),
        };
        spacing.share(0);
        spacing
    }

    /// The limit's reserve has grown.
    pub(crate) fn limited(&mut self, limit: &Limit, capacity: u32) {
        self.usable = limit.usable();
        self.lessons.limited(limit);
        self.share(capacity);
    }

    /// We have so many tokens now.
    pub(crate) fn share(&mut self, capacity: u32) {
        // Alone, all tokens are ours as soon as we ask for them.
        let share =
            if self.of <= 1 { self.usable } else { capacity.clamp(self.usable / self.of, self.usable) }
                .max(1);
        self.gap = self.window / i64::from(share);
        self.tolerance = self.gap.max(CATCH_UP).min(self.window / 20);
        if let Some(free) = &mut self.free_of_gaps {
            *free = share.div_ceil(2);
        }
    }

    /// We are this one of so many processes.
    pub(crate) fn placed(&mut self, rank: u32, of: u32, capacity: u32) {
        let of = of.max(1);
        if (self.rank, self.of) != (rank % of, of) {
            (self.rank, self.of) = (rank % of, of);
            self.promised = false;
            self.share(capacity);
        }
    }

    /// What the next request has to wait for, given the tokens in use and in flight; `None`: nothing.
    pub(crate) fn wait(&mut self, in_use: u32, in_flight: u32, now: Moment) -> Option<Verdict> {
        let at = match self.lessons.gap() {
            None if self.applies(in_use, now) => self.next,
            None => return None,
            Some(gap) if self.of > 1 => self.turn(gap, now),
            // The first of a process: nobody knows when the last of another one was answered.
            Some(gap) if self.lessons.are_serial() && self.last_answer.0 == i64::MIN && in_flight == 0 => {
                if self.next.0 == i64::MIN {
                    self.next = Moment(now.0.saturating_add(gap));
                }
                self.next
            }
            Some(_) if self.lessons.are_serial() => {
                if in_flight > 0 {
                    return Some(Verdict::WhenAnswered);
                }
                let after = times(self.lessons.after_answer(), self.last_cost);
                Moment(self.last_answer.0.saturating_add(after))
            }
            Some(_) => self.next,
        };
        // It stays promised until it is taken: another limit may make the request wait longer.
        self.promised |= now < at;
        (now < at).then_some(Verdict::At(at))
    }

    /// A request goes. `in_use` does not count it yet.
    pub(crate) fn sent(&mut self, cost: u32, in_use: u32, now: Moment) {
        self.last_cost = cost;
        self.promised = false;
        let Some(gap) = self.lessons.gap() else {
            if self.applies(in_use, now) {
                let behind = Moment(now.0.saturating_sub(self.tolerance));
                self.next = Moment(self.next.max(behind).0.saturating_add(times(self.gap, cost)));
            } else {
                // The first request with a gap before it finds its slot here, without a catch-up burst.
                self.next = self.next.max(now);
            }
            return;
        };
        let tolerance = if self.lessons.is_strict() { 0 } else { gap.min(CATCH_UP_TAUGHT) };
        let from = self.next.max(Moment(now.0.saturating_sub(tolerance)));
        self.next = if self.of > 1 {
            let skip = times(gap.saturating_mul(i64::from(self.of)), cost.saturating_sub(1));
            self.slot(gap, from.0.saturating_add(skip).saturating_add(1))
        } else {
            Moment(from.0.saturating_add(times(gap, cost)))
        };
    }

    /// An answer came. It did cost `actual` instead of what was taken: the gap behind it follows.
    pub(crate) fn answered(&mut self, taken: u32, actual: u32, sent: Moment, at: Moment) {
        self.last_answer = self.last_answer.max(at);
        self.lessons.answered(sent);
        if taken != actual && self.of <= 1 {
            let gap = self.lessons.gap().unwrap_or(self.gap);
            let moved = self.next.0.saturating_sub(times(gap, taken));
            self.next = Moment(moved.saturating_add(times(gap, actual)));
        }
    }

    /// Nobody sends before `until`; nothing is caught up after it.
    pub(crate) fn closed(&mut self, until: Moment) {
        self.next = self.next.max(until);
        self.promised = false;
        if self.free_of_gaps.is_some() {
            self.careful_until = self.careful_until.max(Moment(until.0.saturating_add(self.window)));
        }
    }

    /// The server refused although the limit was kept. Whether that taught anything.
    pub(crate) fn refused(&mut self, refused: Refused, now: Moment) -> bool {
        let taught = self.lessons.refused(refused, self.free_of_gaps.is_none(), now);
        if let Some(gap) = self.lessons.gap() {
            self.next = self.next.max(Moment(now.0.saturating_add(gap)));
        }
        taught
    }

    pub(crate) fn lessons(&self) -> &Lessons {
        &self.lessons
    }

    pub(crate) fn measured(&mut self, trips: Trips) {
        self.lessons.measured(trips);
    }

    pub(crate) fn learn(&mut self, learned: Learned) {
        self.lessons.learn(learned);
    }

    /// Ns between tokens, whoever asks for it.
    pub(crate) fn gap(&self) -> i64 {
        self.lessons.gap().unwrap_or(self.gap)
    }

    fn applies(&self, in_use: u32, now: Moment) -> bool {
        self.free_of_gaps.is_some_and(|free| in_use >= free || now < self.careful_until)
    }

    /// Our next turn: the slot that was promised, else the first of ours from now on.
    fn turn(&mut self, gap: i64, now: Moment) -> Moment {
        if !self.promised && self.next < now {
            self.next = self.slot(gap, now.0);
        }
        self.next
    }

    /// The first slot of ours at `from` or later.
    fn slot(&self, gap: i64, from: i64) -> Moment {
        let gap = gap.max(1);
        let nth = from.div_euclid(gap).saturating_add(i64::from(from.rem_euclid(gap) > 0));
        let turns =
            (i64::from(self.rank) - nth.rem_euclid(i64::from(self.of))).rem_euclid(i64::from(self.of));
        Moment(nth.saturating_add(turns).saturating_mul(gap))
    }
}

fn times(gap: i64, tokens: u32) -> i64 {
    gap.saturating_mul(i64::from(tokens))
}
