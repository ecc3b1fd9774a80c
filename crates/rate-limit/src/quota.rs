//! What the server's headers say is left. They only ever make requests wait longer.
//!
//! A quota that matches a declared window (by its count, or by its length) matters only if the server
//! knows of less than we thought was left when we asked: somebody else spends it. One that matches
//! none is a limit the plan does not name, and holds as it is said.

use std::time::Duration;

use entities::{Moment, ServerQuota};

use crate::calendar::nanos;
use crate::{TokenWindow, Verdict};

/// No server has more quotas than this.
const MOST: usize = 16;

/// The server's quotas that are in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotas {
    heard: Vec<Heard>,
}

/// One of them, by the newest word on it.
#[derive(Clone, Debug)]
struct Heard {
    /// What it is told by: its limit and window, as far as they were said.
    name: (Option<u64>, Option<Duration>),
    /// The declared window it matches: a token of that is a token of this.
    window: Option<usize>,
    /// What was left, as the answer says it.
    remaining: u64,
    /// What we may still take; none: more than we think ourselves.
    left: Option<Left>,
    /// When it begins anew.
    until: Moment,
    /// When the request was sent, and when this was heard.
    sent: Moment,
    at: Moment,
}

/// Tokens that are left, by what the server said and what was taken since.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// If what was in flight when it said so was counted already.
    most: i64,
    /// If none of that was.
    least: i64,
}

impl Quotas {
    pub(crate) fn hear(
        &mut self,
        quotas: &[ServerQuota],
        windows: &mut [TokenWindow],
        requests_in_flight: u32,
        sent: Moment,
        now: Moment,
    ) {
        for quota in quotas {
            let window = matching(quota, windows);
            let declared = window.map(|index| windows[index].limit().window);
            let Some(resets_in) = quota.resets_in.or(quota.window).or(declared) else { continue };
            let until = Moment(now.0.saturating_add(nanos(resets_in)));
            if until <= now {
                continue;
            }
            let remaining = i64::try_from(quota.remaining).unwrap_or(i64::MAX);
            let mut in_flight = requests_in_flight;
            let left = match window.map(|index| &mut windows[index]) {
                None => Some(remaining),
                Some(window) => {
                    in_flight = window.in_flight();
                    let ours = remaining.saturating_sub(i64::from(window.limit().reserve));
                    (ours < i64::from(window.within_reach_since(sent, now))).then_some(ours)
                }
            };
            let in_flight = i64::from(in_flight);
            let left = left.map(|most: i64| Left { most, least: most.saturating_sub(in_flight) });
            let name = (quota.limit, quota.window);
            let remaining = quota.remaining;
            self.put(Heard { name, window, remaining, left, until, sent, at: now });
        }
    }

    /// Until when a request of these costs has to wait, unless answers that are under way tell of more.
    pub(crate) fn wait(&mut self, costs: &[u32], in_flight: u32, now: Moment) -> Option<Verdict> {
        if self.heard.is_empty() {
            return None;
        }
        self.heard.retain(|heard| heard.until > now);
        let short = |count: fn(Left) -> i64| {
            let lacks =
                |heard: &&Heard| heard.left.is_some_and(|left| count(left) < i64::from(heard.cost(costs)));
            self.heard.iter().filter(lacks).map(|heard| heard.until).max()
        };
        match (short(|left| left.most), short(|left| left.least)) {
            (None, Some(_)) if in_flight > 0 => Some(Verdict::WhenAnswered),
            (until, perhaps) => until.max(perhaps).map(Verdict::At),
        }
    }

    pub(crate) fn take(&mut self, costs: &[u32]) {
        for heard in &mut self.heard {
            let cost = i64::from(heard.cost(costs));
            if let Some(left) = &mut heard.left {
                left.most = left.most.saturating_sub(cost);
                left.least = left.least.saturating_sub(cost);
            }
        }
    }

    /// The window at that place is another one from now on.
    pub(crate) fn forget_window(&mut self, index: usize) {
        for heard in self.heard.iter_mut().filter(|heard| heard.window == Some(index)) {
            heard.window = None;
        }
    }

    pub(crate) fn are_over(&self, now: Moment) -> bool {
        self.heard.iter().all(|heard| heard.until <= now)
    }

    /// Until when one has run out, whatever answers that are under way may tell.
    pub(crate) fn exhausted_until(&self, in_flight: u32, now: Moment) -> Option<Moment> {
        let left = |left: Left| if in_flight > 0 { left.most } else { left.least };
        let is_out = |heard: &&Heard| heard.left.is_some_and(|it| left(it) <= 0) && heard.until > now;
        self.heard.iter().filter(is_out).map(|heard| heard.until).max()
    }

    /// Of two requests that were under way together nobody knows which the server counted first, but
    /// by what it said was left: the one with less is the later one.
    fn put(&mut self, news: Heard) {
        match self.heard.iter().position(|heard| heard.name == news.name) {
            Some(index) => {
                let held = &mut self.heard[index];
                if news.sent >= held.at || news.remaining <= held.remaining {
                    *held = news;
                } else if let Some(left) = &mut held.left {
                    // One of those that were in flight, and is counted already in what is held.
                    left.least = left.least.saturating_add(1).min(left.most);
                }
            }
            None if self.heard.len() < MOST => self.heard.push(news),
            None => {}
        }
    }
}

impl Heard {
    fn cost(&self, costs: &[u32]) -> u32 {
        // What a request costs under a limit that the plan does not name, nobody knows.
        self.window.map_or(1, |index| costs.get(index).copied().unwrap_or(1))
    }
}

/// Both if possible, then the count, then the length.
fn matching(quota: &ServerQuota, windows: &[TokenWindow]) -> Option<usize> {
    let lives = |window: &TokenWindow| !window.is_retired();
    let count = |window: &TokenWindow| lives(window) && quota.limit == Some(u64::from(window.limit().count));
    let length = |window: &TokenWindow| lives(window) && quota.window == Some(window.limit().window);
    windows
        .iter()
        .position(|window| count(window) && length(window))
        .or_else(|| windows.iter().position(count))
        .or_else(|| windows.iter().position(length))
}
