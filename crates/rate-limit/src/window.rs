//! One limit: its tokens, where each of them is, and when one is free.
//!
//! Not here: several limits at once ([`Budget`](crate::Budget)), and the gaps between requests
//! (`spacing.rs`).

use std::collections::VecDeque;

use entities::{Limit, Moment};

use crate::spacing::{Spacing, nanos};

/// Limits with more tokens than this have their return times rounded up to a grid of as many
/// steps per window, so that memory and insertion stay bounded.
const STEPS: u32 = 1_000;

/// Whether a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes; `take` charges it.
    Now,
    /// Ask again at this moment, not before.
    At(Moment),
    /// Every token is with a request that has not been answered: ask again after an answer.
    WhenAnswered,
    /// Every token leased so far is in use, and the limit has more: lease some.
    NeedsLease,
}

/// One limit of L requests per window W, as L tokens of which `capacity` are ours.
///
/// A token is free, or in flight, or held until W after its answer. Calls must pass moments of
/// one clock; a `now` that goes backwards is harmless.
#[derive(Clone, Debug)]
pub struct TokenWindow {
    limit: Limit,
    /// W in ns.
    window: i64,
    /// Return times are rounded up to multiples of this many ns.
    grain: i64,
    /// Tokens that are ours.
    capacity: u32,
    /// Of them, with a request that has not been answered.
    in_flight: u32,
    /// Of them, held; the sum of `returns`.
    held: u32,
    /// When held tokens come back, ascending, each moment once.
    returns: VecDeque<(Moment, u32)>,
    /// No more tokens are to be had before.
    lease_again: Option<Moment>,
    spacing: Spacing,
    peak: u32,
}

impl TokenWindow {
    /// A limit of which no token has been leased yet.
    pub fn new(limit: Limit) -> Self {
        let window = nanos(limit.window);
        TokenWindow {
            window,
            grain: if limit.count > STEPS { (window / i64::from(STEPS)).max(1) } else { 1 },
            capacity: 0,
            in_flight: 0,
            held: 0,
            returns: VecDeque::new(),
            lease_again: None,
            spacing: Spacing::new(&limit),
            peak: 0,
            limit,
        }
    }

    /// A limit all of whose tokens are ours: nobody else spends it.
    pub fn with_full_lease(limit: Limit) -> Self {
        let capacity = limit.count;
        TokenWindow { capacity, ..TokenWindow::new(limit) }
    }

    /// More tokens are ours, L at most.
    pub fn lease(&mut self, tokens: u32) {
        self.capacity = self.capacity.saturating_add(tokens).min(self.limit.count);
        self.lease_again = None;
    }

    /// Others have the rest: no lease is asked for before `retry_at`.
    pub fn lease_denied(&mut self, retry_at: Moment) {
        self.lease_again = Some(retry_at);
    }

    /// Of the tokens leased, these are held until the given moments: requests of an earlier
    /// process used them. Call it after [`lease`](Self::lease).
    pub fn restore(&mut self, held: &[(Moment, u32)]) {
        for &(until, tokens) in held {
            self.hold(until, tokens);
        }
    }

    /// When the tokens that are in use come back, if every request in flight were answered now:
    /// what an orderly exit leaves behind. Ascending.
    pub fn held(&self, now: Moment) -> Vec<(Moment, u32)> {
        let mut held: Vec<_> = self.returns.iter().copied().filter(|&(until, _)| until > now).collect();
        if self.in_flight > 0 {
            held.push((Moment(now.0.saturating_add(self.window)), self.in_flight));
            held.sort_unstable();
        }
        held
    }

    /// Whether a request may go now. Charges nothing.
    pub fn check(&mut self, now: Moment) -> Verdict {
        self.release(now);
        if self.free() > 0 {
            return self.spacing.wait(self.used(), now).map_or(Verdict::Now, Verdict::At);
        }
        let returns = self.returns.front().map(|&(until, _)| until);
        let leases = if self.capacity < self.limit.count {
            match self.lease_again.filter(|&again| again > now) {
                None => return Verdict::NeedsLease,
                again => again,
            }
        } else {
            None
        };
        match (returns, leases) {
            (Some(a), Some(b)) => Verdict::At(a.min(b)),
            (Some(at), None) | (None, Some(at)) => Verdict::At(at),
            (None, None) => Verdict::WhenAnswered,
        }
    }

    /// A request goes. Call it after [`Verdict::Now`] of the same moment.
    pub fn take(&mut self, now: Moment) {
        self.spacing.sent(self.used(), now);
        self.in_flight = self.in_flight.saturating_add(1);
        self.peak = self.peak.max(self.used());
    }

    /// A request was answered, or its loss noticed, at `at`: its token comes back at `at` + W.
    pub fn answered(&mut self, at: Moment) {
        if self.in_flight > 0 {
            self.in_flight -= 1;
            self.hold(Moment(at.0.saturating_add(self.window)), 1);
        }
    }

    /// The server refused a request although the limit was kept (429). A quota (W over one
    /// minute) is spaced from now on; shorter windows are already.
    pub fn refused(&mut self, now: Moment) {
        self.spacing.refused(now);
    }

    /// The most tokens in use at once so far: no window of length W saw more requests than that.
    pub fn peak(&self) -> u32 {
        self.peak
    }

    /// Tokens in use: in flight, or held for W after their answer.
    pub fn in_use(&mut self, now: Moment) -> u32 {
        self.release(now);
        self.used()
    }

    /// How many more tokens to lease, if it is time to: an eighth of the limit, when less than
    /// half of that is left.
    pub fn next_lease(&mut self, now: Moment) -> Option<u32> {
        self.release(now);
        let missing = self.limit.count.saturating_sub(self.capacity);
        let chunk = (self.limit.count / 8).max(1);
        let denied = self.lease_again.is_some_and(|again| again > now);
        (missing > 0 && !denied && self.free().saturating_mul(2) < chunk).then_some(chunk.min(missing))
    }

    /// The limit.
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Tokens that are ours.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Requests that a window added later has to count in: they went before it was known.
    pub(crate) fn count_in_flight(&mut self, requests: u32) {
        self.in_flight = self.in_flight.saturating_add(requests);
        self.peak = self.peak.max(self.used());
    }

    fn used(&self) -> u32 {
        self.in_flight.saturating_add(self.held)
    }

    fn free(&self) -> u32 {
        self.capacity.saturating_sub(self.used())
    }

    fn release(&mut self, now: Moment) {
        while let Some(&(until, tokens)) = self.returns.front()
            && until <= now
        {
            self.held = self.held.saturating_sub(tokens);
            self.returns.pop_front();
        }
    }

    fn hold(&mut self, until: Moment, tokens: u32) {
        if tokens == 0 {
            return;
        }
        let until = self.round_up(until);
        self.held = self.held.saturating_add(tokens);
        // Answers come nearly in order, so the place is nearly always the back.
        let mut place = self.returns.len();
        while place > 0 && self.returns[place - 1].0 > until {
            place -= 1;
        }
        if place > 0 && self.returns[place - 1].0 == until {
            let tokens_then = &mut self.returns[place - 1].1;
            *tokens_then = tokens_then.saturating_add(tokens);
        } else {
            self.returns.insert(place, (until, tokens));
        }
    }

    fn round_up(&self, until: Moment) -> Moment {
        let beyond = until.0.rem_euclid(self.grain);
        if beyond == 0 { until } else { Moment(until.0.saturating_add(self.grain - beyond)) }
    }
}
