//! Several limits at once, and a door that a server can shut: what one origin allows one credential.
//!
//! Not here: concurrency. It belongs to an endpoint, is not persisted, and the engine counts it.

use entities::{Limit, Moment, ServerQuota};

use crate::learning::{Refused, RoundTrips};
use crate::quota::Quotas;
use crate::{TokenWindow, Verdict};

/// So many refusals in a row without a good answer in between teach once.
const IN_VAIN: u32 = 3;

/// What a server that has refused us said is old after this long, in ns.
const OLD_NEWS: i64 = 10_000_000_000;

/// What stands in a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing: the verdict is [`Verdict::Now`].
    Open,
    /// The limit with this index.
    Limit(usize),
    /// The server closed the budget (429, `Retry-After`, a rule of `on`).
    Closed,
    /// The server's own count has run out; the verdict names its reset, unless answers that are
    /// under way may tell of more.
    Quota,
    /// The limit with this index needs a lease first.
    Lease(usize),
}

/// All limits of one origin and credential. A request takes its cost of each.
///
/// Costs are by index of the limit; a limit beyond the end of a slice costs 1.
#[derive(Clone, Debug)]
pub struct Budget {
    windows: Vec<TokenWindow>,
    closed_until: Option<Moment>,
    quotas: Quotas,
    in_flight: u32,
    round_trips: RoundTrips,
    /// Requests sent up to this moment belong to the last refusal's episode.
    episode: Moment,
    /// Answers to requests sent since.
    answers: u32,
    /// Refusals in a row without any other answer in between.
    in_vain: u32,
    /// There was a refusal that the server's own count explained.
    explained: bool,
    probe: Probe,
    last_answer: Moment,
}

/// Behind a closed door one request goes first, alone: a server that is still full refuses one, not all.
/// So it does, once a server has refused us, when there has been no answer for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    NotNeeded,
    Needed,
    InFlight,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            windows: Vec::new(),
            closed_until: None,
            quotas: Quotas::default(),
            in_flight: 0,
            round_trips: RoundTrips::default(),
            episode: Moment(i64::MIN),
            answers: 0,
            in_vain: 0,
            explained: false,
            probe: Probe::NotNeeded,
            last_answer: Moment(i64::MIN),
        }
    }
}

impl Budget {
    /// No token of any limit is ours yet.
    pub fn new(limits: impl IntoIterator<Item = Limit>) -> Self {
        let mut budget = Budget::default();
        for limit in limits {
            budget.add(limit);
        }
        budget
    }

    /// Every token is ours: nobody else of ours spends the limits.
    pub fn with_full_lease(limits: impl IntoIterator<Item = Limit>) -> Self {
        let mut budget = Budget::new(limits);
        for window in &mut budget.windows {
            window.lease(u32::MAX);
        }
        budget
    }

    /// Adds a limit, or finds it: one of the same count, window and resets is there once, with the
    /// larger reserve. Gives its index. Where plans disagree, all hold, and so the tightest. Requests
    /// in flight count against it, at a cost of 1.
    pub fn add(&mut self, limit: Limit) -> usize {
        let same = |window: &TokenWindow| !window.is_retired() && window.is_same(&limit);
        if let Some(index) = self.windows.iter().position(same) {
            self.windows[index].reserve(limit.reserve);
            return index;
        }
        let mut window = TokenWindow::new(limit);
        window.count_in_flight(self.in_flight);
        // The place of one that is gone: what is in flight took one token there as well.
        if let Some(index) = self.windows.iter().position(TokenWindow::is_retired) {
            self.quotas.forget_window(index);
            self.windows[index] = window;
            return index;
        }
        self.windows.push(window);
        self.windows.len() - 1
    }

    /// Nothing of it is worth remembering, but for its windows: nothing is in flight, nothing that a server
    /// said holds any more.
    pub fn is_quiet(&self, now: Moment) -> bool {
        self.in_flight == 0 && self.closed_until.is_none_or(|until| until <= now) && self.quotas.are_over(now)
    }

    /// The limits, by index.
    pub fn windows(&self) -> &[TokenWindow] {
        &self.windows
    }

    /// The limits, by index, to lease, restore, place and teach.
    pub fn windows_mut(&mut self) -> &mut [TokenWindow] {
        &mut self.windows
    }

    /// Whether a request of these costs may go now, and what stands in its way. Charges nothing.
    ///
    /// The server's word comes first. Then a lease that is needed (it can be had at once), then
    /// unanswered requests, then the latest moment that any limit names.
    pub fn check(&mut self, costs: &[u32], now: Moment) -> (Verdict, Why) {
        if let Some(until) = self.closed_until {
            if now < until {
                return (Verdict::At(until), Why::Closed);
            }
            self.closed_until = None;
        }
        if self.in_flight == 0 && self.episode.0 > i64::MIN && now.0 - OLD_NEWS > self.last_answer.0 {
            self.probe = Probe::Needed;
        }
        if self.probe == Probe::InFlight {
            return (Verdict::WhenAnswered, Why::Closed);
        }
        if let Some(verdict) = self.quotas.wait(costs, self.in_flight, now) {
            if self.quotas.exhausted_until(self.in_flight, now).is_some() {
                self.probe = Probe::Needed;
            }
            return (verdict, Why::Quota);
        }
        let mut worst = (Verdict::Now, Why::Open);
        for (index, window) in self.windows.iter_mut().enumerate() {
            let verdict = window.check(cost(costs, index), now);
            match (verdict, worst.0) {
                (Verdict::Now, _) => {}
                (Verdict::NeedsLease, _) => return (verdict, Why::Lease(index)),
                (Verdict::At(_), Verdict::WhenAnswered) => {}
                (Verdict::At(at), Verdict::At(later)) if at <= later => {}
                _ => worst = (verdict, Why::Limit(index)),
            }
        }
        worst
    }

    /// A request goes. Call it after [`Verdict::Now`] of the same moment and costs.
    pub fn take(&mut self, costs: &[u32], now: Moment) {
        self.in_flight = self.in_flight.saturating_add(1);
        if self.probe == Probe::Needed {
            self.probe = Probe::InFlight;
        }
        self.quotas.take(costs);
        for (index, window) in self.windows.iter_mut().enumerate() {
            window.take(cost(costs, index), now);
        }
    }

    /// A request that took `taken` and was sent at `sent` was answered, or its loss noticed
    /// (time-out, abort, a dead worker), at `at`. Exactly once per [`take`](Self::take). What it did
    /// cost is `actual`; beyond the end of that slice, what it took.
    pub fn answered(&mut self, taken: &[u32], actual: &[u32], sent: Moment, at: Moment) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if sent > self.episode {
            self.answers = self.answers.saturating_add(1);
            if self.probe == Probe::InFlight {
                self.probe = Probe::NotNeeded;
            }
        }
        self.last_answer = self.last_answer.max(at);
        let measured = self.round_trips.add(sent, at);
        for (index, window) in self.windows.iter_mut().enumerate() {
            let taken = cost(taken, index);
            window.answered(taken, actual.get(index).copied().unwrap_or(taken), sent, at);
            if measured && window.learned().is_some() {
                window.spacing().measured(self.round_trips.measure());
            }
        }
    }

    /// What the answer to a request that was sent at `sent` says is left. Call it after
    /// [`answered`](Self::answered), and before [`refused`](Self::refused).
    pub fn heard(&mut self, quotas: &[ServerQuota], sent: Moment, now: Moment) {
        self.quotas.hear(quotas, &mut self.windows, self.in_flight, sent, now);
    }

    /// Nobody sends before `until`. Never shortens what is in force.
    pub fn close_until(&mut self, until: Moment) {
        self.closed_until = self.closed_until.max(Some(until));
        self.probe = Probe::Needed;
        for window in &mut self.windows {
            window.spacing().closed(until);
        }
    }

    /// Until when it is closed, if it is now: the server shut it, or its own count has run out.
    pub fn closed_until(&self, now: Moment) -> Option<Moment> {
        self.closed_until.filter(|&until| now < until).max(self.quotas.exhausted_until(self.in_flight, now))
    }

    /// The server refused a request that was sent at `sent`, although every limit was kept (429).
    /// Gives the limits that learned from it: one at most. How long to wait is
    /// [`close_until`](Self::close_until)'s business. Call it after [`answered`](Self::answered).
    ///
    /// Of several limits the shortest that is not spaced yet learns, then the one with the widest gap.
    /// None learns from the echoes of an earlier refusal, nor if there was no good answer since: the
    /// server is still where it was; but three in a row say that the limit ran out early, and teach
    /// once. A count of the server's that has run out explains a refusal:
    /// somebody else spent it. The first such teaches nothing, and later ones teach a quota no more
    /// than spacing, unless they come so often that it is no explanation (buckets count down as well).
    pub fn refused(&mut self, sent: Moment, now: Moment) -> Vec<usize> {
        if sent <= self.episode {
            return Vec::new();
        }
        self.episode = now;
        let answers = std::mem::take(&mut self.answers);
        let mut by_window: Vec<usize> =
            (0..self.windows.len()).filter(|&index| !self.windows[index].is_retired()).collect();
        by_window.sort_by_key(|&index| self.windows[index].limit().window);
        let unspaced = by_window.iter().copied().find(|&index| self.windows[index].learned().is_none());
        let widest = by_window.iter().copied().max_by_key(|&index| self.windows[index].spacing().gap());
        let Some(index) = unspaced.or(widest) else { return Vec::new() };

        // A burst may be refused before its first good answer comes.
        let in_vain = answers <= 1 && (unspaced.is_none() || self.in_flight == 0);
        self.in_vain = if in_vain { self.in_vain.saturating_add(1) } else { 0 };
        let explained = self.quotas.exhausted_until(self.in_flight, now).is_some();
        let ran_out = self.in_vain == IN_VAIN;
        if (in_vain && !ran_out) || (explained && !std::mem::replace(&mut self.explained, true)) {
            return Vec::new();
        }
        let trips = self.round_trips.measure();
        let refused = Refused { answers, ran_out, explained, trips };
        let taught = self.windows[index].spacing().refused(refused, now);
        if taught { vec![index] } else { Vec::new() }
    }

    /// Requests that went and have not been answered.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// The first limit that wants more tokens leased, and how many. It wants them before it runs
    /// dry, so ask whenever requests went, and after [`Verdict::NeedsLease`]. Answer with
    /// [`TokenWindow::lease`] and [`TokenWindow::restore`], or with [`TokenWindow::lease_denied`].
    pub fn next_lease(&mut self, now: Moment) -> Option<(usize, u32)> {
        self.windows
            .iter_mut()
            .enumerate()
            .find_map(|(index, window)| window.next_lease(now).map(|tokens| (index, tokens)))
    }
}

fn cost(costs: &[u32], index: usize) -> u32 {
    costs.get(index).copied().unwrap_or(1)
}
