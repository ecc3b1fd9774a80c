//! How processes share one limit: who has leased how many tokens, who wants more, and which tokens
//! are held. The arithmetic; the budgets' file keeps it.
//!
//! Leases and held tokens together never exceed what is usable. A process that wants more than there
//! is leaves `wants` behind; then whoever has more than its fair share gives up what is beyond it,
//! held tokens included, with the times they come back.
//!
//! What cannot be shared goes by turns of a window each: the tokens that are left over when shares are
//! equal, and the right to more than a share for a request that costs more than that. Within a turn
//! nothing moves twice.

use entities::{Limit, Moment};

use crate::calendar::nanos;
use crate::window::chunk;
use crate::{GivenUp, returns_at};

/// One limit and those who share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The limit.
    pub limit: Limit,
    /// By process; the order does not matter.
    pub leases: Vec<PoolLease>,
    /// Tokens that nobody has leased and nobody may use before when.
    pub held: Vec<(Moment, u32)>,
}

/// What one process has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolLease {
    /// Its name.
    pub process: String,
    /// Tokens that are its own, free, in flight or held.
    pub tokens: u32,
    /// How many more it asked for and did not get.
    pub wants: u32,
}

/// The answer to a wish for tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leased {
    /// How many are the asker's from now on, held ones included; none: others have them.
    pub tokens: u32,
    /// Of them, those that may not be used before when. Ascending.
    pub held: Vec<(Moment, u32)>,
}

impl Pool {
    /// Nobody has leased any token.
    pub fn new(limit: Limit) -> Self {
        Pool { limit, leases: Vec::new(), held: Vec::new() }
    }

    /// Leases at most `want` tokens to a process: free ones first, then held ones, the earliest
    /// first. While others want tokens too, no more than its fair share. What it did not get is what
    /// it `wants` from now on; 0 wants nothing any more.
    pub fn lease(&mut self, process: &str, want: u32, now: Moment) -> Leased {
        self.tidy(now);
        let room = self.room(process, want, now);
        let held_tokens = self.held.iter().fold(0, |sum: u32, &(_, tokens)| sum.saturating_add(tokens));
        let free = self.limit.usable().saturating_sub(self.leased()).saturating_sub(held_tokens);
        let mut leased = Leased { tokens: room.min(free), held: Vec::new() };
        for (until, tokens) in &mut self.held {
            let taken = (room - leased.tokens).min(*tokens);
            if taken > 0 {
                *tokens -= taken;
                leased.tokens += taken;
                leased.held.push((*until, taken));
            }
        }
        self.held.retain(|&(_, tokens)| tokens > 0);
        let lease = self.entry(process);
        lease.tokens += leased.tokens;
        lease.wants = want - leased.tokens;
        self.forget_the_idle();
        leased
    }

    /// A process gives tokens up.
    pub fn give_back(&mut self, process: &str, given: &GivenUp, now: Moment) {
        let lease = self.entry(process);
        lease.tokens = lease.tokens.saturating_sub(given.tokens);
        self.held.extend_from_slice(&given.held);
        self.forget_the_idle();
        self.tidy(now);
    }

    /// A process ends in good order; of its tokens, `held` stay held.
    pub fn leave(&mut self, process: &str, held: &[(Moment, u32)], now: Moment) {
        self.leases.retain(|lease| lease.process != process);
        self.held.extend_from_slice(held);
        self.tidy(now);
    }

    /// A process has died, and that is noticed now: all it had counts as answered now.
    pub fn bury(&mut self, process: &str, now: Moment) {
        let tokens = self.tokens(process);
        let held = [(returns_at(&self.limit, now), tokens)];
        self.leave(process, if tokens > 0 { &held } else { &[] }, now);
    }

    /// How many tokens a process keeps because others want some: its fair share, or what it uses
    /// and a chunk if that is less and it wants no more. None: it may keep what it has.
    pub fn keep(&self, process: &str, in_use: u32, now: Moment) -> Option<u32> {
        if !self.others_want(process) {
            return None;
        }
        let ours = self.leases.iter().find(|lease| lease.process == process)?;
        let used = in_use.saturating_add(if ours.wants > 0 { u32::MAX } else { chunk(&self.limit) });
        let keep = self.share(process, now).min(used);
        (keep < ours.tokens).then_some(keep)
    }

    /// The same for one that sends nothing just now: no more than what it uses.
    pub fn keep_at_rest(&self, process: &str, in_use: u32) -> Option<u32> {
        (self.others_want(process) && in_use < self.tokens(process)).then_some(in_use)
    }

    /// How many of `want` more tokens a process could lease, free or held: no more than its fair share
    /// while others want some too.
    pub fn room(&self, process: &str, want: u32, now: Moment) -> u32 {
        let room = want.min(self.limit.usable().saturating_sub(self.leased()));
        let exceeds_a_share = self.is_indivisible(want) && self.whose_turn(process, now) == process;
        if self.others_want(process) && !exceeds_a_share {
            return room.min(self.share(process, now).saturating_sub(self.tokens(process)));
        }
        room
    }

    /// Whether whoever has tokens lacks some, and this process has no right to more of them than it has.
    pub fn all_lack(&self, process: &str, now: Moment) -> bool {
        let others_have =
            |lease: &PoolLease| lease.process != process && lease.tokens > 0 && lease.wants == 0;
        !self.leases.iter().any(others_have) && self.share(process, now) <= self.tokens(process)
    }

    /// Which of how many processes that use the limit this one is.
    pub fn place(&self, process: &str) -> (u32, u32) {
        let others = self.leases.iter().filter(|lease| lease.process != process);
        let (mut rank, mut of) = (0, 1);
        for lease in others {
            of += 1;
            rank += u32::from(lease.process.as_str() < process);
        }
        (rank, of)
    }

    /// Tokens that other processes have leased.
    pub fn elsewhere(&self, process: &str) -> u32 {
        self.leased().saturating_sub(self.tokens(process))
    }

    /// Tokens that a process has leased.
    pub fn tokens(&self, process: &str) -> u32 {
        self.leases.iter().find(|lease| lease.process == process).map_or(0, |lease| lease.tokens)
    }

    /// Drops held tokens that are free by now. None comes back later than one that is used now: what
    /// says so comes from a clock that was set back.
    pub fn tidy(&mut self, now: Moment) {
        let latest = returns_at(&self.limit, now);
        self.held.retain(|&(until, tokens)| until > now && tokens > 0);
        for (until, _) in &mut self.held {
            *until = latest.min(*until);
        }
        self.held.sort_unstable();
        self.held.dedup_by(|next, first| {
            let same = next.0 == first.0;
            if same {
                first.1 = first.1.saturating_add(next.1);
            }
            same
        });
    }

    /// Fair among all: whose turn it is gets what a request of its needs; a process that wants nothing
    /// needs what it has; the others get the same each.
    fn share(&self, process: &str, now: Moment) -> u32 {
        let mut left = self.limit.usable();
        let turn = self.whose_turn(process, now);
        let mut modest: Vec<(u32, &str)> = Vec::new();
        let mut open: Vec<&str> = vec![process];
        for lease in &self.leases {
            let name = lease.process.as_str();
            if name == turn && self.is_indivisible(lease.wants) {
                let need = lease.tokens.saturating_add(lease.wants).min(left);
                if name == process {
                    return need;
                }
                left -= need;
            } else if name != process {
                open.push(name);
                if lease.wants == 0 {
                    modest.push((lease.tokens, name));
                }
            }
        }
        let count = |open: &[&str]| u32::try_from(open.len()).unwrap_or(u32::MAX);
        modest.sort_unstable();
        for (tokens, name) in modest {
            if tokens > left / count(&open) {
                break;
            }
            left -= tokens;
            open.retain(|&other| other != name);
        }
        // What is left over goes by turns as well.
        open.sort_unstable_by_key(|&name| (name < turn, name));
        let rank = open.iter().position(|&name| name == process).unwrap_or(0);
        left / count(&open) + u32::from(rank < (left % count(&open)) as usize)
    }

    /// The process whose turn it is, among those with a lease and this one.
    fn whose_turn<'a>(&'a self, process: &'a str, now: Moment) -> &'a str {
        let others = self.leases.iter().map(|lease| lease.process.as_str());
        let mut all: Vec<&str> = others.filter(|&name| name != process).chain([process]).collect();
        all.sort_unstable();
        let turn = now.0.div_euclid(nanos(self.limit.window).max(1)).rem_euclid(all.len() as i64);
        all[usize::try_from(turn).unwrap_or(0)]
    }

    fn others_want(&self, process: &str) -> bool {
        self.leases.iter().any(|lease| lease.process != process && lease.wants > 0)
    }

    /// A process asks for more than a chunk only if a single request costs more than it has.
    fn is_indivisible(&self, wants: u32) -> bool {
        wants > chunk(&self.limit)
    }

    fn leased(&self) -> u32 {
        self.leases.iter().fold(0, |sum, lease| sum.saturating_add(lease.tokens))
    }

    fn entry(&mut self, process: &str) -> &mut PoolLease {
        let index = self.leases.iter().position(|lease| lease.process == process).unwrap_or_else(|| {
            self.leases.push(PoolLease { process: process.to_owned(), ..PoolLease::default() });
            self.leases.len() - 1
        });
        &mut self.leases[index]
    }

    fn forget_the_idle(&mut self) {
        self.leases.retain(|lease| lease.tokens > 0 || lease.wants > 0);
    }
}
