//! One limit: its tokens, where each of them is, and when one is free.
//!
//! Not here: several limits at once ([`Budget`](crate::Budget)), the gaps between requests
//! (`spacing.rs`), and the tokens that are held (`held.rs`).

use entities::{Limit, Moment};

use crate::held::Held;
use crate::spacing::Spacing;
use crate::{Learned, Past};

/// Whether a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes; `take` charges it.
    Now,
    /// Ask again at this moment, not before.
    At(Moment),
    /// Only answers can bring the tokens it needs: ask again after one.
    WhenAnswered,
    /// The tokens leased so far do not suffice, and the limit has more: lease some.
    NeedsLease,
}

/// Tokens that another process may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// How many of ours are given up.
    pub tokens: u32,
    /// Of them, those that nobody may use before when. Ascending. What was spent beyond our tokens
    /// is here as well: then it is more than `tokens`.
    pub held: Vec<(Moment, u32)>,
}

/// One limit of L tokens per window W, of which `capacity` are ours.
///
/// A token is free, or in flight, or held until W after its answer. Calls must pass moments of
/// one clock; a `now` that goes backwards is harmless.
#[derive(Clone, Debug)]
pub struct TokenWindow {
    limit: Limit,
    /// Tokens that are ours.
    capacity: u32,
    /// Of them, with a request that has not been answered.
    in_flight: u32,
    /// Of them, held until later.
    held: Held,
    /// No more tokens are to be had before.
    lease_again: Option<Moment>,
    /// Nor then: those who have them lack some themselves.
    all_lack: bool,
    /// What the last request that lacked tokens asks for.
    needed: u32,
    wanting: bool,
    spacing: Spacing,
    peak: u32,
    /// Whom it belonged to has gone: it counts on, and holds nobody up.
    suspended: bool,
    /// Nobody wants it any more: it does not even count.
    retired: bool,
}

impl TokenWindow {
    /// A limit of which no token has been leased yet.
    pub fn new(limit: Limit) -> Self {
        TokenWindow {
            capacity: 0,
            in_flight: 0,
            held: Held::new(&limit),
            lease_again: None,
            all_lack: false,
            needed: 0,
            wanting: false,
            spacing: Spacing::new(&limit),
            peak: 0,
            suspended: false,
            retired: false,
            limit,
        }
    }

    /// A limit all of whose usable tokens are ours: nobody else of ours spends it.
    pub fn with_full_lease(limit: Limit) -> Self {
        let capacity = limit.usable();
        let mut window = TokenWindow::new(limit);
        window.lease(capacity);
        window
    }

    /// More tokens are ours; all that are usable at most.
    pub fn lease(&mut self, tokens: u32) {
        self.capacity = self.capacity.saturating_add(tokens).min(self.limit.usable()).max(self.capacity);
        self.lease_again = None;
        self.spacing.share(self.capacity);
    }

    /// Others have the rest: no lease is asked for before `retry_at`.
    pub fn lease_denied(&mut self, retry_at: Moment) {
        self.lease_again = Some(retry_at);
        self.all_lack = false;
    }

    /// The same, and the others [lack tokens as well](crate::Pool::all_lack): until ours come back there is
    /// nothing to hope for. It is asked for all the same, so that they know.
    pub fn lease_denied_to_all(&mut self, retry_at: Moment) {
        self.lease_again = Some(retry_at);
        self.all_lack = true;
    }

    /// Of the tokens leased, these are held until the given moments: requests of an earlier
    /// process used them. Call it after [`lease`](Self::lease).
    pub fn restore(&mut self, held: &[(Moment, u32)]) {
        for &(until, tokens) in held {
            self.held.add(until, tokens);
        }
    }

    /// We are this one, from 0, of so many processes that use the limit: for spacing.
    pub fn placed(&mut self, rank: u32, of: u32) {
        self.spacing.placed(rank, of, self.capacity);
    }

    /// When the tokens that are in use come back, if every request in flight were answered now:
    /// what an orderly exit leaves behind. Ascending.
    pub fn held(&self, now: Moment) -> Vec<(Moment, u32)> {
        let mut held: Vec<_> = self.held.iter().filter(|&(until, _)| until > now).collect();
        if self.in_flight > 0 {
            held.push((crate::returns_at(&self.limit, now), self.in_flight));
            held.sort_unstable();
        }
        held
    }

    /// Gives up all tokens but `keep` and those in flight: free ones first, then held ones, evenly
    /// over the times at which they come back.
    pub fn give_up(&mut self, keep: u32, now: Moment) -> GivenUp {
        self.held.release(now);
        let capacity = keep.max(self.in_flight).min(self.capacity);
        let tokens = self.capacity - capacity;
        if tokens == 0 {
            return GivenUp::default();
        }
        let going = self.held.tokens().saturating_sub(capacity.saturating_sub(self.in_flight));
        let held = self.held.take(going);
        self.capacity = capacity;
        self.spacing.share(capacity);
        GivenUp { tokens, held }
    }

    /// Nobody draws on it any more: it holds nobody up and counts nothing. What it leaves behind is all its
    /// tokens; those in flight count as answered now.
    pub fn retire(&mut self, now: Moment) -> GivenUp {
        let given = GivenUp { tokens: self.capacity, held: self.held(now) };
        *self = TokenWindow::new(self.limit.clone());
        (self.suspended, self.retired) = (true, true);
        given
    }

    /// Whether it [was retired](Self::retire).
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// When the requests that it still remembers were answered, as far as it knows.
    pub fn remember(&self, past: &mut Past, now: Moment) {
        let window = self.limit.resets.is_none().then_some(self.limit.window);
        let held: Vec<_> = self.held.iter().filter(|&(until, _)| until > now).collect();
        past.add_held(window, &held, now);
    }

    /// Whether a request of this cost may go now. Charges nothing. One that costs more than is
    /// usable goes when all of that is free.
    pub fn check(&mut self, cost: u32, now: Moment) -> Verdict {
        self.held.release(now);
        let cost = cost.min(self.limit.usable());
        if cost == 0 || self.suspended {
            return Verdict::Now;
        }
        if self.free() >= cost {
            let wait = self.spacing.wait(self.used(), self.in_flight, now);
            return wait.unwrap_or(Verdict::Now);
        }
        self.needed = cost;
        let lacking = (u64::from(cost) + u64::from(self.used())).saturating_sub(u64::from(self.ours()));
        let returns = self.held.returned_by(lacking);
        let mut leases = None;
        if self.ours() < self.limit.usable() {
            self.wanting = true;
            leases = self.lease_again.filter(|&again| again > now);
            if leases.is_none() {
                return Verdict::NeedsLease;
            }
        }
        match (returns, leases) {
            (Some(at), Some(_)) if self.all_lack => Verdict::At(at),
            (Some(a), Some(b)) => Verdict::At(a.min(b)),
            (Some(at), None) | (None, Some(at)) => Verdict::At(at),
            (None, None) => Verdict::WhenAnswered,
        }
    }

    /// A request goes. Call it after [`Verdict::Now`] of the same moment and cost.
    pub fn take(&mut self, cost: u32, now: Moment) {
        if cost == 0 || self.retired {
            return;
        }
        self.spacing.sent(cost, self.used(), now);
        self.in_flight = self.in_flight.saturating_add(cost);
        self.needed = 0;
        self.peak = self.peak.max(self.used());
    }

    /// A request that took `taken` and was sent at `sent` was answered, or its loss noticed, at
    /// `at`: what it did cost comes back a window later, and the rest at once. If it did cost more,
    /// nothing goes before that is back as well.
    pub fn answered(&mut self, taken: u32, actual: u32, sent: Moment, at: Moment) {
        let known = taken.min(self.in_flight);
        if self.retired || (known == 0 && taken > 0) {
            return;
        }
        self.in_flight -= known;
        self.held.add_answered(&self.limit, actual, at);
        self.spacing.answered(taken, actual, sent, at);
        if actual > taken {
            self.peak = self.peak.max(self.used());
        } else if actual < taken {
            self.held.remember_return(at, taken - actual);
        }
    }

    /// The most tokens in use at once so far: no window of length W saw more than that.
    pub fn peak(&self) -> u32 {
        self.peak
    }

    /// Tokens in use: in flight, or held after their answer.
    pub fn in_use(&mut self, now: Moment) -> u32 {
        self.held.release(now);
        self.used()
    }

    /// Tokens of ours that are free.
    pub fn left(&mut self, now: Moment) -> u32 {
        self.held.release(now);
        self.free()
    }

    /// How many more tokens to lease, if it is time to: an eighth of the limit, when less than half of
    /// that is left or a request lacks some. More than an eighth if a single request costs more than
    /// all we have: then it may be more than there is.
    pub fn next_lease(&mut self, now: Moment) -> Option<u32> {
        self.held.release(now);
        let missing = self.limit.usable().saturating_sub(self.capacity);
        if missing == 0 || self.suspended || self.lease_again.is_some_and(|again| again > now) {
            return None;
        }
        let (chunk, free) = (chunk(&self.limit), self.free());
        let beyond = self.needed.saturating_sub(self.capacity);
        if beyond > 1 || (beyond > 0 && self.capacity > 0) {
            return Some(beyond.max(chunk + 1));
        }
        (free < self.needed || free.saturating_mul(2) < chunk).then(|| chunk.min(missing))
    }

    /// Before a request that may cost anything: whether there may be tokens to lease still. It takes all that
    /// can be had, so [`next_lease`](Self::next_lease) asks for all.
    pub fn may_lease_all(&mut self, now: Moment) -> bool {
        let denied = self.lease_again.is_some_and(|again| again > now);
        if denied || self.suspended || self.capacity >= self.limit.usable() {
            return false;
        }
        self.needed = self.limit.usable();
        true
    }

    /// Whether a request had to wait because others have the tokens it lacks, since this was last asked.
    pub fn is_wanting(&mut self) -> bool {
        std::mem::take(&mut self.wanting)
    }

    /// Whether it holds requests up. The limit of a process that has gone does not, until another comes
    /// that has it.
    pub fn set_in_force(&mut self, in_force: bool) {
        self.suspended = !in_force;
    }

    /// So many tokens are left for others from now on.
    pub fn set_reserve(&mut self, tokens: u32) {
        if tokens != self.limit.reserve {
            self.limit.reserve = tokens;
            self.spacing.limited(&self.limit, self.capacity);
        }
    }

    /// What refusals have taught, if they have.
    pub fn learned(&self) -> Option<Learned> {
        self.spacing.lessons().learned()
    }

    /// Takes over what another process learned, or an earlier one: the widest gap holds. Leave out
    /// what [is stale](Learned::is_stale).
    pub fn learn(&mut self, learned: Learned) {
        self.spacing.learn(learned);
    }

    /// The limit.
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Tokens that are ours.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }
}

/// What a [`Budget`](crate::Budget) asks of its windows.
impl TokenWindow {
    pub(crate) fn is_same(&self, limit: &Limit) -> bool {
        let ours = &self.limit;
        (ours.count, ours.window, &ours.resets) == (limit.count, limit.window, &limit.resets)
    }

    /// The larger reserve holds.
    pub(crate) fn reserve(&mut self, tokens: u32) {
        if tokens > self.limit.reserve {
            self.set_reserve(tokens);
        }
    }

    /// Requests that a window added later has to count in: they went before it was known.
    pub(crate) fn count_in_flight(&mut self, requests: u32) {
        self.in_flight = self.in_flight.saturating_add(requests);
        self.peak = self.peak.max(self.used());
    }

    /// Tokens of ours that are free, and were when a request was sent at `sent`; at most.
    pub(crate) fn left_since(&mut self, sent: Moment, now: Moment) -> u32 {
        self.held.release(now);
        self.free().saturating_sub(self.held.returned_since(sent))
    }

    /// The same with those that are not leased yet, and that nobody has denied us.
    pub(crate) fn within_reach_since(&mut self, sent: Moment, now: Moment) -> u32 {
        let denied = self.lease_again.is_some_and(|again| again > now);
        let unleased = if denied { 0 } else { self.limit.usable().saturating_sub(self.capacity) };
        self.left_since(sent, now).saturating_add(unleased)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) fn spacing(&mut self) -> &mut Spacing {
        &mut self.spacing
    }
}

impl TokenWindow {
    fn used(&self) -> u32 {
        self.in_flight.saturating_add(self.held.tokens())
    }

    /// A reserve that grew may be smaller than what we have.
    fn ours(&self) -> u32 {
        self.capacity.min(self.limit.usable())
    }

    fn free(&self) -> u32 {
        self.ours().saturating_sub(self.used())
    }
}

/// Tokens are leased, and kept beyond what is in use, in chunks of this size.
pub(crate) fn chunk(limit: &Limit) -> u32 {
    (limit.usable() / 8).max(1)
}
