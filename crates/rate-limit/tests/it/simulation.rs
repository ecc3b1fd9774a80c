//! A network, a server and some processes in virtual time: the grants of budgets, replayed.
//!
//! Times are nanoseconds. A request leaves when it is granted, arrives later, is answered later
//! still, or is lost and noticed at its time-out. Requests overtake each other at will.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use entities::{Limit, Moment};
use rate_limit::{Budget, Verdict};

/// What to simulate.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) limits: Vec<Limit>,
    /// Processes that share the limits by leases.
    pub(crate) processes: usize,
    /// Requests in flight at most, per process.
    pub(crate) concurrency: u32,
    /// Requests in all.
    pub(crate) requests: usize,
    /// One way, at most, either way.
    pub(crate) latency: i64,
    /// Of the answers, in percent.
    pub(crate) losses: u64,
    /// How late a timer may be.
    pub(crate) lateness: i64,
    /// A process ends and another takes its place after so many requests; 0: never.
    pub(crate) restart_every: usize,
    /// Anchor tokens at the sending instead of at the answer: wrong, so that the checks are seen to see.
    pub(crate) wrong: bool,
    pub(crate) seed: u64,
}

/// What the server saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Arrivals, ascending.
    pub(crate) arrivals: Vec<i64>,
    /// The most requests between arrival and answer at once.
    pub(crate) at_once: usize,
    /// When the last request was sent.
    pub(crate) end: i64,
}

pub(crate) const START: i64 = 1_700_000_000_000_000_000;

impl World {
    pub(crate) fn run(&self) -> Seen {
        let mut state = State::new(self);
        // Bounds the simulation: a verdict that leads nowhere would run forever.
        for _ in 0..self.requests * 2_000 + 10_000 {
            if state.sent == self.requests {
                return state.seen();
            }
            let Some(Reverse((now, event))) = state.events.pop() else {
                panic!("nothing will ever happen again after {} requests", state.sent);
            };
            state.handle(now, event);
        }
        panic!("no progress after {} of {} requests", state.sent, self.requests);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A process's timer.
    Wake(usize),
    /// A process notices an answer, or a loss, of the given generation.
    Answered(usize, u32),
    /// A new process takes the place of one that has ended.
    Restart(usize),
}

struct Process {
    /// `None` while it is down.
    budget: Option<Budget>,
    generation: u32,
    leased: Vec<u32>,
    in_flight: u32,
    sent: usize,
    /// When its timer goes off; one timer, as a driver has.
    timer: i64,
}

struct State<'w> {
    world: &'w World,
    processes: Vec<Process>,
    /// By limit: tokens that nobody has leased, and those that are held besides.
    pool: Vec<(u32, Vec<(Moment, u32)>)>,
    events: BinaryHeap<Reverse<(i64, Event)>>,
    /// Arrival and end of each request at the server.
    visits: Vec<(i64, i64)>,
    sent: usize,
    end: i64,
    random: Random,
}

impl<'w> State<'w> {
    fn new(world: &'w World) -> Self {
        let process = || Process {
            budget: Some(Budget::new(world.limits.iter().cloned())),
            generation: 0,
            leased: vec![0; world.limits.len()],
            in_flight: 0,
            sent: 0,
            timer: START,
        };
        State {
            world,
            processes: (0..world.processes).map(|_| process()).collect(),
            pool: world.limits.iter().map(|limit| (limit.count, vec![])).collect(),
            events: (0..world.processes).map(|n| Reverse((START, Event::Wake(n)))).collect(),
            visits: vec![],
            sent: 0,
            end: START,
            random: Random(world.seed),
        }
    }

    fn handle(&mut self, now: i64, event: Event) {
        let number = match event {
            Event::Wake(number) if self.processes[number].timer != now => return,
            Event::Wake(number) => number,
            Event::Answered(number, generation) => {
                let process = &mut self.processes[number];
                if process.generation == generation
                    && let Some(budget) = &mut process.budget
                {
                    process.in_flight -= 1;
                    if !self.world.wrong {
                        budget.answered(Moment(now));
                    }
                }
                number
            }
            Event::Restart(number) => {
                self.restart(number, now);
                number
            }
        };
        self.send_what_goes(number, now);
    }

    fn send_what_goes(&mut self, number: usize, now: i64) {
        while self.sent < self.world.requests && self.processes[number].in_flight < self.world.concurrency {
            self.lease(number, now);
            let Some(budget) = &mut self.processes[number].budget else { return };
            match budget.check(Moment(now)).0 {
                Verdict::Now => budget.take(Moment(now)),
                Verdict::At(at) => {
                    assert!(at.0 > now, "a verdict that does not wait");
                    let timer = &mut self.processes[number].timer;
                    if *timer <= now || *timer > at.0 + self.world.lateness {
                        *timer = at.0 + self.random.up_to(self.world.lateness);
                        self.events.push(Reverse((*timer, Event::Wake(number))));
                    }
                    return;
                }
                Verdict::WhenAnswered => return,
                Verdict::NeedsLease => panic!("everything that was wanted was leased or denied"),
            }
            self.send(number, now);
            let process = &mut self.processes[number];
            process.sent += 1;
            if self.world.restart_every > 0 && process.sent.is_multiple_of(self.world.restart_every) {
                self.stop(number, now);
            }
        }
    }

    fn send(&mut self, number: usize, now: i64) {
        let process = &mut self.processes[number];
        process.in_flight += 1;
        let arrival = now + self.random.up_to(self.world.latency);
        // An answer takes time: else a request is at the server still when the next one arrives.
        let answer = arrival + self.random.up_to(self.world.latency).max(1);
        let lost = self.random.up_to(99) < i64::try_from(self.world.losses).unwrap_or(0);
        // The time-out is longer than it takes a request to arrive: what the rule assumes.
        let noticed = if lost { now + 3 * self.world.latency + 2 } else { answer };
        self.visits.push((arrival, answer));
        self.events.push(Reverse((noticed, Event::Answered(number, process.generation))));
        if self.world.wrong
            && let Some(budget) = &mut process.budget
        {
            budget.answered(Moment(now));
        }
        self.sent += 1;
        self.end = now;
    }

    /// Does what the engine does with the budget file, which is shared by all processes.
    fn lease(&mut self, number: usize, now: i64) {
        let process = &mut self.processes[number];
        let Some(budget) = &mut process.budget else { return };
        while let Some((index, want)) = budget.next_lease(Moment(now)) {
            let (free, held) = &mut self.pool[index];
            held.retain(|&(until, tokens)| {
                *free += if until.0 <= now { tokens } else { 0 };
                until.0 > now
            });
            let window = &mut budget.windows_mut()[index];
            let tokens = want.min(*free);
            *free -= tokens;
            process.leased[index] += tokens;
            if tokens > 0 {
                window.lease(tokens);
            } else if let Some((until, tokens)) = held.pop() {
                let ours = tokens.min(want);
                if tokens > ours {
                    held.push((until, tokens - ours));
                }
                process.leased[index] += ours;
                window.lease(ours);
                window.restore(&[(until, ours)]);
            } else {
                let patience = self.world.limits.iter().map(|limit| limit.window).max().unwrap_or_default();
                window.lease_denied(Moment(now) + patience);
            }
        }
    }

    /// A process ends. What it sent has arrived when its end is noticed: what the rule assumes.
    fn stop(&mut self, number: usize, now: i64) {
        let process = &mut self.processes[number];
        let Some(budget) = process.budget.take() else { return };
        process.generation += 1;
        process.in_flight = 0;
        let noticed = now + self.world.latency + 1;
        let crash = self.random.up_to(1) == 0;
        for (index, window) in budget.windows().iter().enumerate() {
            let leased = std::mem::take(&mut process.leased[index]);
            let held = if crash {
                vec![(Moment(noticed) + self.world.limits[index].window, leased)]
            } else {
                window.held(Moment(noticed))
            };
            let (free, pool) = &mut self.pool[index];
            let still: u32 = held.iter().map(|&(_, tokens)| tokens).sum();
            assert!(still <= leased, "more in use than leased");
            // The tokens that are free come back when the end is noticed, not before.
            pool.push((Moment(noticed), leased - still));
            pool.extend(held);
            assert!(*free <= self.world.limits[index].count);
        }
        self.events.push(Reverse((noticed, Event::Restart(number))));
    }

    fn restart(&mut self, number: usize, _now: i64) {
        self.processes[number].budget = Some(Budget::new(self.world.limits.iter().cloned()));
    }

    fn seen(&self) -> Seen {
        let mut arrivals: Vec<i64> = self.visits.iter().map(|&(arrival, _)| arrival).collect();
        arrivals.sort_unstable();
        let mut changes: Vec<(i64, i32)> =
            self.visits.iter().flat_map(|&(arrival, end)| [(arrival, 1), (end, -1)]).collect();
        changes.sort_unstable();
        let (mut here, mut most) = (0, 0);
        for (_, change) in changes {
            here += change;
            most = most.max(here);
        }
        Seen { arrivals, at_once: usize::try_from(most).unwrap_or(0), end: self.end }
    }
}

impl Seen {
    /// The most arrivals in any window of this length: a sliding log.
    pub(crate) fn sliding(&self, window: i64) -> usize {
        let (mut first, mut most) = (0, 0);
        for (last, &arrival) in self.arrivals.iter().enumerate() {
            while self.arrivals[first] + window <= arrival {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }

    /// The most arrivals in any of the windows that begin at `phase` + n × window.
    pub(crate) fn fixed(&self, window: i64, phase: i64) -> usize {
        let mut most = 0;
        for arrivals in
            self.arrivals.chunk_by(|a, b| (a - phase).div_euclid(window) == (b - phase).div_euclid(window))
        {
            most = most.max(arrivals.len());
        }
        most
    }
}

/// SplitMix64: reproducible from its seed.
struct Random(u64);

impl Random {
    /// From 0 to `most`, both included.
    fn up_to(&mut self, most: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        i64::try_from(z % (most.max(0).unsigned_abs() + 1)).unwrap_or(0)
    }
}
