//! What went while another limit held: a limit that is new to a budget counts it, too.
//!
//! A plan's `10/s` becomes `100/s` (or the other way round): the server's window does not begin anew with
//! the plan. So what any limit of the budget still remembers counts under the new one, as answered when it
//! was. They remember the same requests, some for longer than others; so of the time that several reach back,
//! whichever remembers most is believed, and no request counts twice.
//!
//! Bounds: a request counts what it did cost under the limit that remembers it; and what a short window
//! has forgotten, a longer one does not learn.

use std::time::Duration;

use entities::{Limit, Moment};

use crate::returns_at;

/// What one limit remembers: how many tokens of requests that were answered when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    answered: Vec<(Moment, u32)>,
    /// It has forgotten what was answered before.
    since: Option<Moment>,
}

impl Past {
    /// Adds held tokens of a limit with this window; without one it is a calendar's, which does not tell
    /// when a request was answered: then it counts as answered now.
    pub fn add_held(&mut self, window: Option<Duration>, held: &[(Moment, u32)], now: Moment) {
        let answered = |until: Moment| window.map_or(now, |window| (until - window).min(now));
        self.since = window.map(|window| now - window);
        self.answered.extend(held.iter().map(|&(until, tokens)| (answered(until), tokens)));
    }

    /// The same by a clock that is so many ns ahead.
    #[must_use]
    pub fn later(mut self, ahead: i64) -> Past {
        let all = self.answered.iter_mut().map(|(at, _)| at);
        all.chain(&mut self.since).for_each(|at| at.0 = at.0.saturating_add(ahead));
        self
    }

    /// Adds tokens of which is known only that they were used by then.
    pub fn add_answered(&mut self, at: Moment, tokens: u32) {
        self.answered.push((at, tokens));
    }
}

/// The tokens of a limit that are held for what went before it held. Ascending. No more than are usable:
/// of more, the last to come back.
pub fn carried(limit: &Limit, pasts: &[Past], now: Moment) -> Vec<(Moment, u32)> {
    let mut newest_first: Vec<(Moment, usize, u32)> = Vec::new();
    for (past, of) in pasts.iter().enumerate() {
        newest_first.extend(of.answered.iter().map(|&(at, tokens)| (at, past, tokens)));
    }
    newest_first.sort_unstable_by_key(|&(at, ..)| std::cmp::Reverse(at));
    let mut reaches: Vec<Moment> = pasts.iter().filter_map(|past| past.since).collect();
    reaches.sort_unstable();
    let mut sums = vec![0_u32; pasts.len()];
    let (mut held, mut known) = (Vec::new(), 0);
    for (at, past, tokens) in newest_first {
        let until = returns_at(limit, at);
        if until <= now {
            break;
        }
        // Beyond what one remembers the others go on from what is known until there.
        while reaches.pop_if(|reach| at < *reach).is_some() {
            sums.fill(known);
        }
        sums[past] = sums[past].saturating_add(tokens);
        let most = sums[past].min(limit.usable());
        if most > known {
            held.push((until, most - known));
            known = most;
        }
    }
    held.reverse();
    held.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.1 += next.1;
        }
        same
    });
    held
}
