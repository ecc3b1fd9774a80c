//! Six ways in which servers enforce `count` per `window`. A request that is refused takes nothing.

use std::collections::VecDeque;

/// How a server counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// So many in each window of its own clock, whose phase the client does not know (GitHub).
    FixedWindow,
    /// So many in any window, wherever it starts.
    SlidingLog,
    /// This window's count and the last one's by the part of it that is still in view (Cloudflare, Upstash).
    SlidingCounter,
    /// A bucket that fills at the limit's rate and holds this many percent of the limit, at least 1.
    TokenBucket(u32),
    /// No bucket: each request at least W/L after the one before (nginx `limit_req` without `burst`).
    ZeroBurst,
}

/// The six of the table.
pub(crate) const KINDS: [Kind; 6] = [
    Kind::FixedWindow,
    Kind::SlidingLog,
    Kind::SlidingCounter,
    Kind::TokenBucket(10),
    Kind::TokenBucket(2),
    Kind::ZeroBurst,
];

impl Kind {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::FixedWindow => "fixed window",
            Kind::SlidingLog => "sliding log",
            Kind::SlidingCounter => "sliding counter",
            Kind::TokenBucket(10) => "token bucket 10 %",
            Kind::TokenBucket(_) => "token bucket 2 %",
            Kind::ZeroBurst => "zero burst",
        }
    }

    /// It counts arrivals in windows: the token rule's proof holds for it.
    pub(crate) fn is_proven(self) -> bool {
        matches!(self, Kind::FixedWindow | Kind::SlidingLog)
    }
}

/// What a server says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 200, or else 429.
    pub(crate) good: bool,
    /// Tokens left and ns until its window ends, where it has a window: `X-RateLimit-Remaining`, `-Reset`.
    pub(crate) quota: Option<(u32, i64)>,
    /// Ns until there is a place: `Retry-After`, which is sent in whole seconds, rounded up.
    pub(crate) retry_after: i64,
}

/// A server with one limit for all its clients.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    kind: Kind,
    count: u32,
    window: i64,
    /// When one of its windows begins.
    phase: i64,
    /// Of window servers: the number of the present window, its count, the last one's.
    present: i64,
    current: u32,
    last: u32,
    /// Of the log: what it let in, and its sum.
    log: VecDeque<(i64, u32)>,
    logged: u32,
    /// Of buckets (GCRA): when the bucket is full again.
    full_at: i64,
}

impl Server {
    pub(crate) fn new(kind: Kind, count: u32, window: i64, phase: i64) -> Server {
        let (log, full_at) = (VecDeque::new(), i64::MIN);
        Server { kind, count, window, phase, present: i64::MIN, current: 0, last: 0, log, logged: 0, full_at }
    }

    /// A request that costs so many tokens arrives. `now` never goes backwards.
    pub(crate) fn arrive(&mut self, cost: u32, now: i64) -> Answer {
        match self.kind {
            Kind::FixedWindow => self.fixed(cost, now),
            Kind::SlidingLog => self.log(cost, now),
            Kind::SlidingCounter => self.counter(cost, now),
            Kind::TokenBucket(percent) => self.bucket(cost, (self.count * percent / 100).max(1), now),
            Kind::ZeroBurst => self.bucket(cost, cost, now),
        }
    }

    /// Gives how much of the present window is over, in ns.
    fn turn(&mut self, now: i64) -> i64 {
        let number = (now - self.phase).div_euclid(self.window);
        if number != self.present {
            self.last = if number == self.present.saturating_add(1) { self.current } else { 0 };
            self.current = 0;
            self.present = number;
        }
        (now - self.phase).rem_euclid(self.window)
    }

    fn fixed(&mut self, cost: u32, now: i64) -> Answer {
        let ends_in = self.window - self.turn(now);
        let good = self.current + cost <= self.count;
        self.current += if good { cost } else { 0 };
        Answer { good, quota: Some((self.count - self.current, ends_in)), retry_after: ends_in }
    }

    fn log(&mut self, cost: u32, now: i64) -> Answer {
        while let Some(&(at, tokens)) = self.log.front()
            && at + self.window <= now
        {
            self.logged -= tokens;
            self.log.pop_front();
        }
        let good = self.logged + cost <= self.count;
        if good {
            self.logged += cost;
            self.log.push_back((now, cost));
        }
        let oldest = self.log.front().map_or(now, |&(at, _)| at);
        let free_in = oldest + self.window - now;
        Answer { good, quota: Some((self.count - self.logged, free_in)), retry_after: free_in }
    }

    fn counter(&mut self, cost: u32, now: i64) -> Answer {
        let over = self.turn(now);
        let weight = 1.0 - over as f64 / self.window as f64;
        let estimate = |server: &Server| f64::from(server.last) * weight + f64::from(server.current);
        let good = estimate(self) + f64::from(cost - 1) < f64::from(self.count);
        self.current += if good { cost } else { 0 };
        let over_by = estimate(self) + 1.0 - f64::from(self.count);
        let ends_in = self.window - over;
        // The last window leaves the view at an even pace, and is gone when this one ends.
        let leaves = over_by / f64::from(self.last.max(1)) * self.window as f64;
        let left = (1.0 - over_by).max(0.0) as u32;
        Answer { good, quota: Some((left, ends_in)), retry_after: (leaves as i64).clamp(0, ends_in) }
    }

    /// GCRA. Such servers mostly say no more than `Retry-After`.
    fn bucket(&mut self, cost: u32, size: u32, now: i64) -> Answer {
        let each = self.window / i64::from(self.count);
        let full_at = self.full_at.max(now) + each * i64::from(cost);
        let missing = full_at - now - each * i64::from(size);
        if missing <= 0 {
            self.full_at = full_at;
        }
        Answer { good: missing <= 0, quota: None, retry_after: missing.max(0) }
    }
}
