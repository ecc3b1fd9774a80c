//! A run under its limits, as a stream of average requests: when each quota runs out, how long the
//! stream then stands still, when the last request goes. Pure arithmetic on moments.
//!
//! Not the token rule itself: requests are not whole here, and limits that are spaced (a minute or
//! less) are a pace and not a window, so that years of work cost no more than days.

use std::collections::VecDeque;
use std::time::Duration;

use entities::{Limit, Moment};

/// Limits over no more than this are spaced: they are a pace. Longer ones are quotas.
const SPACED: Duration = Duration::from_secs(60);
/// After so many steps the rest is reckoned from the pace so far.
const MOST_STEPS: u32 = 200_000;
/// Pauses that are kept; more are only counted.
const KEPT_PAUSES: usize = 100;
/// The finest and coarsest grain in which tokens of a quota come back, in seconds.
const GRAIN: (f64, f64) = (1.0, 60.0);

/// One limit, as a stream of requests meets it.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// The limit.
    pub(super) limit: Limit,
    /// Tokens that an average request of the stream takes.
    pub(super) cost: f64,
    /// Tokens that are used already, and when they come back.
    pub(super) held: Vec<(Moment, u32)>,
    /// Nothing goes before.
    pub(super) closed: Option<Moment>,
    /// The least time between two tokens that refusals have taught.
    pub(super) gap: Option<Duration>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) struct Stream<'a> {
    /// Requests.
    pub(super) requests: f64,
    /// All of them hold.
    pub(super) gates: &'a [Gate],
    /// Requests a second that the places at the endpoints let through; infinite where nobody knows.
    pub(super) places: f64,
    /// Seconds from a request to its answer: a token comes back a window after that.
    pub(super) latency: f64,
    /// How it is looked at.
    pub(super) view: View,
    /// Standing still for longer than this is a pause.
    pub(super) patience: Duration,
}

/// How a stream is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The least time that is possible at all: a spaced limit lets all its tokens go at once.
    Least,
    /// As the engine sends: half of the tokens at once, then spaced, and as wide as was learned.
    Likely,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timeline {
    /// How long after now the last request goes.
    pub(super) end: Duration,
    /// Of each gate that is a quota: when all of it is used for the first time although more is
    /// wanted, and when the first of it is back.
    pub(super) dry: Vec<Option<(Duration, Duration)>>,
    /// The first times for which the stream stands still longer than its patience.
    pub(super) pauses: Vec<Pause>,
    /// How many there are in all.
    pub(super) paused: u64,
}

/// The stream stands still.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pause {
    /// Because of this gate.
    pub(super) gate: usize,
    /// From now.
    pub(super) from: Duration,
    /// From now.
    pub(super) until: Duration,
}

/// Runs a stream from `now` on.
pub(super) fn run(stream: &Stream<'_>, now: Moment) -> Timeline {
    let mut clock = Clock {
        stream,
        now,
        at: 0.0,
        left: stream.requests.max(0.0),
        quotas: Vec::new(),
        paces: Vec::new(),
        timeline: Timeline {
            end: Duration::ZERO,
            dry: vec![None; stream.gates.len()],
            pauses: Vec::new(),
            paused: 0,
        },
    };
    for (index, gate) in stream.gates.iter().enumerate() {
        if gate.cost <= 0.0 {
            continue;
        }
        match is_quota(&gate.limit) {
            true => clock.quotas.push(Quota::new(index, gate, stream.view, now)),
            false => clock.paces.push(Pace::new(gate, stream)),
        }
    }
    clock.run();
    clock.timeline.end = time(clock.at);
    clock.timeline
}

/// Whether a limit is a window that empties and fills again; else it is a pace.
pub(super) fn is_quota(limit: &Limit) -> bool {
    limit.window > SPACED || limit.resets.is_some()
}

/// A limit that is spaced: a bucket that fills steadily.
struct Pace {
    level: f64,
    most: f64,
    /// Tokens a second.
    rate: f64,
    cost: f64,
    /// Tokens until all have gone for the first time: then requests stand still until the window is over.
    until_stop: f64,
    window: f64,
    began: Option<f64>,
}

impl Pace {
    fn new(gate: &Gate, stream: &Stream<'_>) -> Pace {
        let usable = f64::from(gate.limit.usable());
        // A request that costs more than there is takes all there is.
        let cost = gate.cost.min(usable);
        let rate = match stream.view {
            View::Least => usable / gate.limit.window.as_secs_f64(),
            View::Likely => usable / (gate.limit.window.as_secs_f64() + stream.latency),
        };
        let (most, rate, until_stop) = match (stream.view, gate.gap.filter(|gap| !gap.is_zero())) {
            (View::Least, _) => (usable, rate, f64::INFINITY),
            (View::Likely, Some(gap)) => (cost, rate.min(1.0 / gap.as_secs_f64()), f64::INFINITY),
            (View::Likely, None) => (usable / 2.0, rate, usable),
        };
        let (most, window) = (most.max(cost), gate.limit.window.as_secs_f64());
        Pace { level: most, most, rate, cost, until_stop, window, began: None }
    }

    /// How long requests stand still at `at`, if all tokens have gone for the first time.
    fn stop(&mut self, at: f64) -> f64 {
        if self.until_stop > 0.0 {
            return 0.0;
        }
        self.until_stop = f64::INFINITY;
        self.began.map_or(0.0, |began| (began + self.window - at).max(0.0))
    }

    /// So long passes, and so many requests go.
    fn pass(&mut self, seconds: f64, requests: f64) {
        self.level = (self.level + seconds * self.rate - requests * self.cost).clamp(0.0, self.most);
    }
}

/// A limit that is a quota: tokens that are free, and when the others come back.
struct Quota<'a> {
    /// Its gate.
    index: usize,
    gate: &'a Gate,
    cost: f64,
    free: f64,
    /// Ascending, in seconds from now.
    returns: VecDeque<(f64, f64)>,
    /// Tokens a second that go at most, if refusals taught a gap.
    rate: f64,
}

impl Quota<'_> {
    fn new(index: usize, gate: &Gate, view: View, now: Moment) -> Quota<'_> {
        let usable = f64::from(gate.limit.usable());
        let mut held: Vec<(f64, f64)> = gate
            .held
            .iter()
            .filter(|(until, _)| *until > now)
            .map(|(until, tokens)| (until.since(now).as_secs_f64(), f64::from(*tokens)))
            .collect();
        held.sort_by(|a, b| a.0.total_cmp(&b.0));
        let used: f64 = held.iter().map(|(_, tokens)| tokens).sum();
        let gap = gate.gap.filter(|gap| view == View::Likely && !gap.is_zero());
        Quota {
            index,
            gate,
            cost: gate.cost.min(usable),
            free: usable - used,
            returns: held.into(),
            rate: gap.map_or(f64::INFINITY, |gap| 1.0 / gap.as_secs_f64()),
        }
    }

    fn release(&mut self, at: f64) {
        while let Some((until, tokens)) = self.returns.front().copied()
            && until <= at
        {
            self.free += tokens;
            self.returns.pop_front();
        }
    }

    /// Tokens of requests that are answered at `at` (seconds from now).
    fn take(&mut self, tokens: f64, at: f64, now: Moment) {
        self.free -= tokens;
        let back = rate_limit::returns_at(&self.gate.limit, now + time(at)).since(now).as_secs_f64();
        match self.returns.back_mut() {
            Some((until, held)) if back <= *until => *held += tokens,
            _ => self.returns.push_back((back, tokens)),
        }
    }
}

struct Clock<'a> {
    stream: &'a Stream<'a>,
    now: Moment,
    /// Seconds from now.
    at: f64,
    /// Requests still to go.
    left: f64,
    quotas: Vec<Quota<'a>>,
    paces: Vec<Pace>,
    timeline: Timeline,
}

impl Clock<'_> {
    fn run(&mut self) {
        self.wait_for_closures();
        let all = self.left;
        let began = self.at;
        for _ in 0..MOST_STEPS {
            if self.left <= 1e-6 {
                return;
            }
            for quota in &mut self.quotas {
                quota.release(self.at);
            }
            // A request that is nearly whole goes: sums of fractions are never exact.
            let enough = self.left.min(1.0) * 0.999;
            match self.driest() {
                Some(quota) if self.quotas[quota].free / self.quotas[quota].cost < enough => {
                    if !self.wait_for(quota) {
                        break;
                    }
                }
                driest => {
                    let free = driest.map_or(f64::INFINITY, |at| self.quotas[at].free / self.quotas[at].cost);
                    self.send(free);
                }
            }
        }
        self.reckon(all, began);
    }

    fn wait_for_closures(&mut self) {
        let closed = |(index, gate): (usize, &Gate)| gate.closed.map(|until| (until, index));
        if let Some((until, gate)) = self.stream.gates.iter().enumerate().filter_map(closed).max()
            && self.left > 0.0
        {
            self.stand_still(gate, until.since(self.now).as_secs_f64());
        }
    }

    /// The quota that has least left, counted in requests.
    fn driest(&self) -> Option<usize> {
        let left = |at: &usize| self.quotas[*at].free / self.quotas[*at].cost;
        (0..self.quotas.len()).min_by(|a, b| left(a).total_cmp(&left(b)))
    }

    /// Until a quota has tokens again; false if it never does.
    fn wait_for(&mut self, at: usize) -> bool {
        let quota = &self.quotas[at];
        let (mut free, mut opens) = (quota.free, None);
        for (until, tokens) in &quota.returns {
            free += tokens;
            if free / quota.cost >= self.left.min(1.0) * 0.999 {
                opens = Some(*until);
                break;
            }
        }
        let Some(opens) = opens.filter(|opens| *opens > self.at) else { return false };
        let gate = quota.index;
        self.timeline.dry[gate].get_or_insert((time(self.at), time(opens)));
        // Tokens come back in grains here, and one by one there: a grain is no wait.
        match opens - self.at > 2.0 * self.grain() {
            true => self.stand_still(gate, opens),
            false => self.pass(opens - self.at),
        }
        true
    }

    fn stand_still(&mut self, gate: usize, until: f64) {
        let how_long = until - self.at;
        if how_long > self.stream.patience.as_secs_f64() {
            self.timeline.paused += 1;
            if self.timeline.pauses.len() < KEPT_PAUSES {
                self.timeline.pauses.push(Pause { gate, from: time(self.at), until: time(until) });
            }
        }
        self.pass(how_long);
    }

    /// As many requests as may go in one step; `free`: as the quotas allow.
    fn send(&mut self, free: f64) {
        let spent = |pace: &&Pace| pace.level < pace.cost;
        let paces = self.paces.iter().filter(spent).map(|pace| pace.rate / pace.cost);
        let rate = paces.fold(self.stream.places.min(self.widest_gap()), f64::min);
        let mut number = self.left.min(free).min((rate * self.grain()).max(1.0));
        // No further than to where the next pace is spent.
        for pace in self.paces.iter().filter(|pace| !spent(pace)) {
            let (level, own) = (pace.level / pace.cost, pace.rate / pace.cost);
            if own < rate {
                number = number.min(if rate.is_finite() { level * rate / (rate - own) } else { level });
            }
        }
        for pace in &mut self.paces {
            number = number.min(pace.until_stop / pace.cost);
            pace.began.get_or_insert(self.at);
        }
        // All of a step counts as sent when it began: were it the end, each window would lose a step.
        for quota in &mut self.quotas {
            quota.take(number * quota.cost, self.at + self.stream.latency, self.now);
        }
        let seconds = number / rate;
        self.at += seconds;
        for pace in &mut self.paces {
            pace.pass(seconds, number);
            pace.until_stop -= number * pace.cost;
        }
        self.left -= number;
        if self.left > 0.0 {
            let at = self.at;
            self.at += self.paces.iter_mut().map(|pace| pace.stop(at)).fold(0.0, f64::max);
        }
    }

    /// Requests a second that the learned gaps of quotas let through.
    fn widest_gap(&self) -> f64 {
        self.quotas.iter().map(|quota| quota.rate / quota.cost).fold(f64::INFINITY, f64::min)
    }

    /// Seconds of a step: fine beside every quota's window.
    fn grain(&self) -> f64 {
        let windows = self.quotas.iter().map(|quota| quota.gate.limit.window.as_secs_f64() / 64.0);
        windows.fold(GRAIN.1, f64::min).max(GRAIN.0)
    }

    fn pass(&mut self, seconds: f64) {
        self.at += seconds;
        for pace in &mut self.paces {
            pace.pass(seconds, 0.0);
        }
    }

    /// The rest, at the pace so far.
    fn reckon(&mut self, all: f64, began: f64) {
        let (done, took) = (all - self.left, self.at - began);
        let more = if done > 0.0 { self.left / done } else { f64::INFINITY };
        self.at += took * more;
        self.timeline.paused = (self.timeline.paused as f64 * (1.0 + more)).round() as u64;
        self.left = 0.0;
    }
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
