//! Tokens that are held: how many come back when.

use std::collections::VecDeque;

use entities::{Limit, Moment};

use crate::calendar::Returns;

/// How many returns of tokens are remembered: what a server's headers tell is older than we are.
const RETURNED: usize = 32;

/// The held tokens of one limit.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    returns_at: Returns,
    /// The sum of `returns`.
    tokens: u32,
    /// When they come back, ascending, each moment once.
    returns: VecDeque<(Moment, u32)>,
    /// The last that came back, and when: a ring.
    returned: [(Moment, u32); RETURNED],
    last_returned: usize,
}

impl Held {
    pub(crate) fn new(limit: &Limit) -> Self {
        Held {
            returns_at: Returns::new(limit),
            tokens: 0,
            returns: VecDeque::new(),
            returned: [(Moment(i64::MIN), 0); RETURNED],
            last_returned: 0,
        }
    }

    pub(crate) fn tokens(&self) -> u32 {
        self.tokens
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Moment, u32)> {
        self.returns.iter().copied()
    }

    /// When so many have come back.
    pub(crate) fn returned_by(&self, tokens: u64) -> Option<Moment> {
        let mut lacking = tokens;
        for &(until, tokens) in &self.returns {
            lacking = lacking.saturating_sub(u64::from(tokens));
            if lacking == 0 {
                return Some(until);
            }
        }
        None
    }

    /// Those whose time has come are free.
    pub(crate) fn release(&mut self, now: Moment) {
        while let Some(&(until, tokens)) = self.returns.front()
            && until <= now
        {
            self.tokens = self.tokens.saturating_sub(tokens);
            self.returns.pop_front();
            self.remember_return(until, tokens);
        }
    }

    /// Tokens of a request that was answered then.
    pub(crate) fn add_answered(&mut self, limit: &Limit, tokens: u32, answered: Moment) {
        let until = self.returns_at.at(limit, answered);
        self.add(until, tokens);
    }

    pub(crate) fn add(&mut self, until: Moment, tokens: u32) {
        if tokens == 0 {
            return;
        }
        let until = self.returns_at.round_up(until);
        self.tokens = self.tokens.saturating_add(tokens);
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

    /// Takes so many out, evenly over their times.
    pub(crate) fn take(&mut self, tokens: u32) -> Vec<(Moment, u32)> {
        let (mut taken, mut seen, mut done) = (Vec::new(), 0_u64, 0_u64);
        let all = u64::from(self.tokens.max(1));
        for (until, here) in &mut self.returns {
            seen += u64::from(*here);
            // Never more than `here`: `tokens` is at most `all`.
            let now = u32::try_from(seen * u64::from(tokens) / all - done).unwrap_or(0).min(*here);
            done += u64::from(now);
            if now > 0 {
                *here -= now;
                taken.push((*until, now));
            }
        }
        self.returns.retain(|&(_, here)| here > 0);
        self.tokens = self.tokens.saturating_sub(tokens);
        taken
    }

    pub(crate) fn remember_return(&mut self, at: Moment, tokens: u32) {
        self.last_returned = (self.last_returned + 1) % RETURNED;
        self.returned[self.last_returned] = (at, tokens);
    }

    /// Tokens that came back after a moment; of the last few.
    pub(crate) fn returned_since(&self, moment: Moment) -> u32 {
        let since = self.returned.iter().filter(|&&(at, _)| at > moment);
        since.fold(0, |sum: u32, &(_, tokens)| sum.saturating_add(tokens))
    }
}
