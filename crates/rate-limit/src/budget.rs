//! Several limits at once, and a door that a server can shut: what one origin allows one credential.
//!
//! Not here: concurrency. It belongs to an endpoint, is not persisted, and the engine counts it.

use entities::{Limit, Moment};

use crate::{TokenWindow, Verdict};

/// What stands in a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing: the verdict is [`Verdict::Now`].
    Open,
    /// The limit with this index.
    Limit(usize),
    /// The server closed the budget (429, `Retry-After`, a rule of `on`).
    Closed,
    /// The limit with this index needs a lease first.
    Lease(usize),
}

/// All limits of one origin and credential. A request takes a token of each.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    windows: Vec<TokenWindow>,
    closed_until: Option<Moment>,
    in_flight: u32,
}

impl Budget {
    /// No token of any limit is ours yet.
    pub fn new(limits: impl IntoIterator<Item = Limit>) -> Self {
        let mut budget = Budget::default();
        for limit in limits {
            budget.add(TokenWindow::new(limit));
        }
        budget
    }

    /// Every token is ours: nobody else spends the limits.
    pub fn with_full_lease(limits: impl IntoIterator<Item = Limit>) -> Self {
        let mut budget = Budget::default();
        for limit in limits {
            budget.add(TokenWindow::with_full_lease(limit));
        }
        budget
    }

    /// Adds a limit, or finds it: one of the same count and window is there once. Gives its index.
    /// Where plans disagree, all hold, and so the tightest. Requests in flight count against it.
    pub fn add(&mut self, mut window: TokenWindow) -> usize {
        let same = |have: &TokenWindow| {
            have.limit().count == window.limit().count && have.limit().window == window.limit().window
        };
        if let Some(index) = self.windows.iter().position(same) {
            return index;
        }
        window.count_in_flight(self.in_flight);
        self.windows.push(window);
        self.windows.len() - 1
    }

    /// The limits, by index.
    pub fn windows(&self) -> &[TokenWindow] {
        &self.windows
    }

    /// The limits, by index, to lease and restore.
    pub fn windows_mut(&mut self) -> &mut [TokenWindow] {
        &mut self.windows
    }

    /// Whether a request may go now, and what stands in its way. Charges nothing.
    ///
    /// A lease that is needed comes first (it can be had at once), then unanswered requests, then
    /// the latest moment that any limit names.
    pub fn check(&mut self, now: Moment) -> (Verdict, Why) {
        if let Some(until) = self.closed_until {
            if now < until {
                return (Verdict::At(until), Why::Closed);
            }
            self.closed_until = None;
        }
        let mut worst = (Verdict::Now, Why::Open);
        for (index, window) in self.windows.iter_mut().enumerate() {
            let verdict = window.check(now);
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

    /// A request goes. Call it after [`Verdict::Now`] of the same moment.
    pub fn take(&mut self, now: Moment) {
        self.in_flight = self.in_flight.saturating_add(1);
        for window in &mut self.windows {
            window.take(now);
        }
    }

    /// A request was answered, or its loss noticed (time-out, abort, a dead worker), at `at`.
    /// Exactly once per [`take`](Self::take).
    pub fn answered(&mut self, at: Moment) {
        self.in_flight = self.in_flight.saturating_sub(1);
        for window in &mut self.windows {
            window.answered(at);
        }
    }

    /// Nobody sends before `until`. Never shortens what is in force.
    pub fn close_until(&mut self, until: Moment) {
        self.closed_until = self.closed_until.max(Some(until));
    }

    /// Until when the server closed it, if it is closed now.
    pub fn closed_until(&self, now: Moment) -> Option<Moment> {
        self.closed_until.filter(|&until| now < until)
    }

    /// The server refused a request although every limit was kept (429): quotas are spaced from
    /// now on. How long to wait is [`close_until`](Self::close_until)'s business.
    pub fn refused(&mut self, now: Moment) {
        for window in &mut self.windows {
            window.refused(now);
        }
    }

    /// Requests that went and have not been answered.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// The first limit that wants more tokens leased, and how many. It wants them before it runs
    /// dry, so ask whenever requests went. Answer with [`TokenWindow::lease`] and
    /// [`TokenWindow::restore`], or with [`TokenWindow::lease_denied`].
    pub fn next_lease(&mut self, now: Moment) -> Option<(usize, u32)> {
        self.windows
            .iter_mut()
            .enumerate()
            .find_map(|(index, window)| window.next_lease(now).map(|tokens| (index, tokens)))
    }
}
