//! The cells of the table: which there are, what is measured in each, and what must hold there.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::network::{LATENCIES, Latency, SECOND};
use super::servers::{KINDS, Kind};
use super::world::{Cast, Scene, Seen, Work};

/// L per W, as the plan says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) text: &'static str,
    pub(crate) count: u32,
    /// In ns.
    pub(crate) window: i64,
    /// How many windows are played for the table, and in the test.
    pub(crate) windows: [i64; 2],
}

/// The four of the table.
pub(crate) const RATES: [Rate; 4] = [
    Rate { text: "100/s", count: 100, window: SECOND, windows: [300, 60] },
    Rate { text: "1000/min", count: 1_000, window: 60 * SECOND, windows: [40, 12] },
    Rate { text: "500/min", count: 500, window: 60 * SECOND, windows: [60, 20] },
    Rate { text: "5000/h", count: 5_000, window: 3_600 * SECOND, windows: [8, 4] },
];

/// How much is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// For the table.
    Full,
    /// For the test.
    Quick,
}

impl Rate {
    /// Longer than a minute: not spaced before a refusal teaches it.
    pub(crate) fn is_quota(&self) -> bool {
        self.window > 60 * SECOND
    }
}

impl Size {
    fn seeds(self) -> u64 {
        match self {
            Size::Full => 8,
            Size::Quick => 1,
        }
    }

    fn length(self, rate: &Rate) -> i64 {
        rate.windows[usize::from(self == Size::Quick)] * rate.window
    }
}

/// One cell: a scene that is played with several seeds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) rate: Rate,
    pub(crate) latency: Latency,
    pub(crate) cast: Cast,
    pub(crate) headers: bool,
    pub(crate) cost: u32,
    pub(crate) work: Work,
}

/// What a cell came to: sums over its seeds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) seeds: u64,
    /// Requests that were answered, 429s included; of the second half.
    pub(crate) requests_after: u64,
    /// 429s of the first half and of the second.
    pub(crate) refused: [u64; 2],
    /// Of what the server allowed, and the stranger left, in percent, by half.
    pub(crate) used: [f64; 2],
    /// Tokens of the second half, what the server allowed there, and what the dead took with them.
    pub(crate) tokens: f64,
    pub(crate) allowed: f64,
    pub(crate) lost: f64,
    /// Seconds for which a process closed its budget, by half.
    pub(crate) closed: [f64; 2],
    /// Of chains: seconds a page waited beyond its round trip, on average.
    pub(crate) waited: f64,
    /// Until the last answer, in seconds, on average.
    pub(crate) seconds: f64,
}

/// The cells of one table of the page, server by server, limit by limit, latency by latency.
pub(crate) fn grid(cast: Cast, headers: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for kind in KINDS {
        for rate in RATES {
            cells.extend(row(Cell::new(kind, rate, cast, headers)));
        }
    }
    cells
}

/// One of four processes is killed: the cells of the servers that the proof is for.
pub(crate) fn one_of_four_killed() -> Vec<Cell> {
    let kinds = KINDS.into_iter().filter(|kind| kind.is_proven());
    let rates = |kind| RATES.map(|rate| Cell::new(kind, rate, Cast::FourLessOne, false));
    kinds.flat_map(rates).flat_map(row).collect()
}

/// Eight chains of pages.
pub(crate) fn chains() -> Vec<Cell> {
    let kinds = [Kind::FixedWindow, Kind::SlidingLog, Kind::SlidingCounter, Kind::TokenBucket(10)];
    let rates = |kind| RATES.map(|rate| Cell::new(kind, rate, Cast::One, false));
    let cells = kinds.into_iter().flat_map(rates).flat_map(row);
    cells.map(|cell| Cell { work: Work::Chains(8), ..cell }).collect()
}

/// A hundred requests under each limit and without any, for each latency.
pub(crate) fn small_work() -> Vec<(Cell, Cell)> {
    let small =
        |rate| row(Cell { work: Work::Requests(100), ..Cell::new(Kind::SlidingLog, rate, Cast::One, false) });
    let pairs = RATES.map(|rate| small(rate).zip(small(Rate { count: 1_000_000, ..rate })));
    pairs.into_iter().flatten().collect()
}

/// Every request costs 5 tokens.
pub(crate) fn costs() -> Vec<Cell> {
    let cells = grid(Cast::One, false).into_iter().filter(|cell| cell.rate.text == "1000/min");
    cells.map(|cell| Cell { cost: 5, ..cell }).collect()
}

/// A cell with each latency.
fn row(cell: Cell) -> impl Iterator<Item = Cell> {
    LATENCIES.into_iter().map(move |latency| Cell { latency, ..cell })
}

/// Plays cells, as many at once as there are cores.
pub(crate) fn play_all(cells: &[Cell], size: Size) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let mut outcomes = vec![Outcome::default(); cells.len()];
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(cell) = cells.get(index) else { return done };
            done.push((index, cell.play(size)));
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let done = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for (index, outcome) in done {
                outcomes[index] = outcome;
            }
        }
    });
    outcomes
}

impl Cell {
    pub(crate) fn new(kind: Kind, rate: Rate, cast: Cast, headers: bool) -> Cell {
        Cell { kind, rate, latency: LATENCIES[0], cast, headers, cost: 1, work: Work::Unlimited }
    }

    /// For people.
    pub(crate) fn name(&self) -> String {
        let Cell { kind, rate, latency, cast, headers, cost, work } = self;
        let headers = if *headers { ", headers" } else { "" };
        format!("{} {} {} {cast:?}{headers}, cost {cost}, {work:?}", kind.name(), rate.text, latency.name)
    }

    pub(crate) fn play(&self, size: Size) -> Outcome {
        let length = match self.work {
            // However long it takes.
            Work::Requests(_) => 3_600 * SECOND,
            Work::Unlimited | Work::Chains(_) => size.length(&self.rate),
        };
        let mut sum = Seen::default();
        for seed in 0..size.seeds() {
            let seen = self.scene(length, seed).play();
            for half in 0..2 {
                sum.good[half] += seen.good[half];
                sum.tokens[half] += seen.tokens[half];
                sum.refused[half] += seen.refused[half];
                sum.stranger[half] += seen.stranger[half];
                sum.closed[half] += seen.closed[half];
                sum.down[half] += seen.down[half];
            }
            sum.kills += seen.kills;
            sum.waited += seen.waited;
            sum.pages += seen.pages;
            sum.end += seen.end;
        }
        self.outcome(&sum, length, size.seeds())
    }

    fn scene(&self, length: i64, seed: u64) -> Scene {
        let Cell { kind, rate, latency, cast, headers, cost, work } = *self;
        let Rate { count, window, .. } = rate;
        Scene { kind, count, window, latency, cast, headers, work, cost, length, seed: seed * 1_000_003 + 7 }
    }

    fn outcome(&self, sum: &Seen, length: i64, seeds: u64) -> Outcome {
        let rate = f64::from(self.rate.count) / self.rate.window as f64;
        let half_of_all = length as f64 / 2.0 * seeds as f64;
        let allowed = |half: usize| (half_of_all - sum.down[half] as f64) * rate - sum.stranger[half] as f64;
        let used = |half: usize| 100.0 * sum.tokens[half] as f64 / allowed(half);
        Outcome {
            seeds,
            requests_after: sum.good[1] + sum.refused[1],
            refused: sum.refused,
            used: [used(0), used(1)],
            tokens: sum.tokens[1] as f64,
            allowed: allowed(1),
            lost: self.lost(sum.kills),
            closed: sum.closed.map(|ns| ns as f64 / SECOND as f64),
            waited: sum.waited as f64 / SECOND as f64 / sum.pages.max(1) as f64,
            seconds: sum.end as f64 / SECOND as f64 / seeds as f64,
        }
    }

    /// Tokens that the dead had leased: they count as used when the death is noticed, a second later.
    fn lost(&self, kills: u64) -> f64 {
        let each = f64::from(self.rate.count) * (1.0 + (1.25 * SECOND as f64) / self.rate.window as f64);
        match self.cast {
            Cast::FourLessOne => kills as f64 * each / 4.0,
            _ => kills as f64 * each,
        }
    }

    /// Whether the window is long enough for the promise of 99 %.
    pub(crate) fn is_long(&self) -> bool {
        self.rate.window >= 100 * self.latency.round_trip()
    }

    /// Why more than one in a thousand may be refused here.
    pub(crate) fn excuse(&self) -> Option<&'static str> {
        if self.kind == Kind::SlidingCounter && self.headers && self.rate.is_quota() {
            return Some(
                "tokens come back to us while its sum still holds requests of the window before; when its count \
                 runs out, what is in flight is refused, once an hour at most",
            );
        }
        if self.cast != Cast::Stranger {
            return None;
        }
        match self.kind {
            Kind::ZeroBurst => Some(
                "no client can: the stranger's request may come just before ours, at whatever pace we send",
            ),
            Kind::TokenBucket(percent) if self.rate.count * percent / 100 <= 2 => Some(
                "no client can: the bucket holds two, and two of the stranger's requests in a row empty it",
            ),
            Kind::FixedWindow if self.headers && self.rate.is_quota() => Some(
                "a quota is used as fast as it goes, and when the stranger has the last of it, once an hour, \
                      what is in flight is refused; the server says when to come back, so nobody probes",
            ),
            _ => None,
        }
    }

    /// What must hold here, and does not.
    pub(crate) fn broken_promises(&self, outcome: &Outcome) -> Vec<String> {
        let mut broken = Vec::new();
        let proven = self.kind.is_proven() && self.cast != Cast::Stranger;
        let refused = outcome.refused[0] + outcome.refused[1];
        if proven && refused > 0 {
            broken.push(format!("{}: {refused} answers with 429", self.name()));
        }
        let least = 0.99 * outcome.allowed - outcome.lost;
        if proven && self.is_long() && self.work == Work::Unlimited && outcome.tokens < least {
            let lost = outcome.lost;
            let used = outcome.used[1];
            broken.push(format!("{}: only {used:.2} % used ({lost:.0} tokens lost)", self.name()));
        }
        if !proven && self.excuse().is_none() && outcome.refused[1] > outcome.tolerable() {
            let (refused, of) = (outcome.refused[1], outcome.requests_after);
            broken.push(format!("{}: {refused} of {of} refused after learning", self.name()));
        }
        broken
    }
}

impl Cell {
    /// Small work takes as long as without a limit, if it fits into the half that has no gaps.
    pub(crate) fn broken_haste(&self, with: &Outcome, without: &Outcome) -> Option<String> {
        let slower = self.rate.count >= 200 && with.seconds > without.seconds;
        slower.then(|| format!("{}: {} s instead of {} s", self.name(), with.seconds, without.seconds))
    }
}

impl Outcome {
    /// 429s of a thousand requests in the second half.
    pub(crate) fn per_thousand(&self) -> f64 {
        1_000.0 * self.refused[1] as f64 / self.requests_after.max(1) as f64
    }

    /// One in a thousand. A single seed is given what chance adds to that: three standard deviations of
    /// refusals that come 32 at once, as many as were in flight.
    fn tolerable(&self) -> u64 {
        let expected = self.requests_after as f64 / 1_000.0;
        let chance = if self.seeds > 1 { 0.0 } else { 3.0 * (32.0 * expected.max(1.0)).sqrt() };
        (expected + chance) as u64
    }
}
