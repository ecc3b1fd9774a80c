//! A network, a server and some processes in virtual time: the grants of budgets, replayed.
//!
//! Times are nanoseconds. A request leaves when it is granted, arrives later, is answered later
//! still, or is lost and noticed at its time-out. Requests overtake each other at will. Processes
//! share tokens through pools, as the engine does through the budgets' file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use entities::{Limit, Moment};
use rate_limit::{Budget, Pool, Verdict};

use crate::seen::{Seen, Visit};

/// What to simulate.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) limits: Vec<Limit>,
    /// The most that a request costs under each limit; beyond the end: 1.
    pub(crate) costs: Vec<u32>,
    pub(crate) actual: Actual,
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
    /// A rule that is broken, so that the checks are seen to see.
    pub(crate) wrong: Option<Wrong>,
    pub(crate) seed: u64,
}

/// What requests did cost, of what was taken for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actual {
    AsTaken,
    Less,
    MoreOrLess,
}

/// What may be wrong with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Tokens come back a window after the sending.
    AnchoredAtTheSending,
    /// All that was taken is given back with the answer.
    RefundsAll,
    /// Held tokens change hands as free ones.
    HeldIsFree,
    /// The tokens of the dead are free at once.
    TheDeadAreFree,
}

pub(crate) const START: i64 = 1_700_000_000_000_000_000;

/// How late a process notices what others did to the budgets' file, at most.
const LOOKS: i64 = 250_000_000;

impl World {
    pub(crate) fn run(&self) -> Seen {
        let mut state = State::new(self);
        // Bounds the simulation: a verdict that leads nowhere would run forever.
        for _ in 0..self.requests * 2_000 + 10_000 {
            if state.sent == self.requests {
                return Seen::new(state.visits, state.end);
            }
            let Some(Reverse((now, event))) = state.events.pop() else {
                panic!("nothing will ever happen again after {} requests", state.sent);
            };
            state.handle(now, event);
        }
        panic!("no progress after {} of {} requests", state.sent, self.requests);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A process's timer.
    Wake(usize),
    /// A process looks at what others did to the pools.
    Look(usize),
    /// A process notices an answer, or a loss, of a visit, in the given generation.
    Answered(usize, u32, usize),
    /// The end of a process is noticed, and a new one takes its place.
    Restart(usize),
}

struct Process {
    name: String,
    budget: Budget,
    /// It has ended.
    down: bool,
    generation: u32,
    in_flight: u32,
    sent: usize,
    /// What the request costs that is next.
    next: Vec<u32>,
    /// When its timer goes off; one timer, as a driver has.
    timer: i64,
    /// A look is due.
    looks: bool,
}

struct State<'w> {
    world: &'w World,
    processes: Vec<Process>,
    /// By limit.
    pools: Vec<Pool>,
    events: BinaryHeap<Reverse<(i64, Event)>>,
    visits: Vec<Visit>,
    sent: usize,
    end: i64,
    random: Random,
}

impl<'w> State<'w> {
    fn new(world: &'w World) -> Self {
        let mut state = State {
            world,
            processes: vec![],
            pools: world.limits.iter().cloned().map(Pool::new).collect(),
            events: (0..world.processes).map(|n| Reverse((START, Event::Wake(n)))).collect(),
            visits: vec![],
            sent: 0,
            end: START,
            random: Random(world.seed),
        };
        for number in 0..world.processes {
            let next = state.draw_costs();
            state.processes.push(Process {
                name: format!("{number}.0"),
                budget: Budget::new(world.limits.iter().cloned()),
                down: false,
                generation: 0,
                in_flight: 0,
                sent: 0,
                next,
                timer: START,
                looks: false,
            });
        }
        state
    }

    fn handle(&mut self, now: i64, event: Event) {
        let number = match event {
            Event::Wake(number) if self.processes[number].timer != now => return,
            Event::Wake(number) => number,
            Event::Look(number) => {
                self.look(number, now);
                number
            }
            Event::Answered(number, generation, visit) => {
                if self.processes[number].generation == generation {
                    self.answered(number, visit, now);
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

    fn answered(&mut self, number: usize, visit: usize, now: i64) {
        let process = &mut self.processes[number];
        process.in_flight -= 1;
        let visit = &self.visits[visit];
        let (sent, now) = (Moment(visit.sent), Moment(now));
        match self.world.wrong {
            Some(Wrong::AnchoredAtTheSending) => {}
            Some(Wrong::RefundsAll) => {
                process.budget.answered(&visit.taken, &vec![0; visit.taken.len()], sent, now);
            }
            _ => process.budget.answered(&visit.taken, &visit.actual, sent, now),
        }
    }

    fn send_what_goes(&mut self, number: usize, now: i64) {
        while self.sent < self.world.requests && self.processes[number].in_flight < self.world.concurrency {
            self.lease(number, now);
            let process = &mut self.processes[number];
            if process.down {
                return;
            }
            match process.budget.check(&process.next, Moment(now)).0 {
                Verdict::Now => {}
                // What it lacks is known only now.
                Verdict::NeedsLease => continue,
                Verdict::At(at) => {
                    assert!(at.0 > now, "a verdict that does not wait");
                    let timer = &mut process.timer;
                    if *timer <= now || *timer > at.0 + self.world.lateness {
                        *timer = at.0 + self.random.up_to(self.world.lateness);
                        self.events.push(Reverse((*timer, Event::Wake(number))));
                    }
                    return;
                }
                Verdict::WhenAnswered => {
                    assert!(process.in_flight > 0, "waits for an answer that nobody will give");
                    return;
                }
            }
            self.send(number, now);
            let process = &mut self.processes[number];
            process.sent += 1;
            if self.world.restart_every > 0 && process.sent.is_multiple_of(self.world.restart_every) {
                // What it sent has arrived when its end is noticed: what the rule assumes.
                process.down = true;
                process.generation += 1;
                process.in_flight = 0;
                self.events.push(Reverse((now + self.world.latency + 1, Event::Restart(number))));
            }
        }
    }

    fn send(&mut self, number: usize, now: i64) {
        let next = self.draw_costs();
        let taken = std::mem::replace(&mut self.processes[number].next, next);
        let arrival = now + self.random.up_to(self.world.latency);
        // An answer takes time: else a request is at the server still when the next one arrives.
        let answer = arrival + self.random.up_to(self.world.latency).max(1);
        let lost = self.random.up_to(99) < i64::try_from(self.world.losses).unwrap_or(0);
        // The time-out is longer than it takes a request to arrive: what the rule assumes.
        let noticed = if lost { now + 3 * self.world.latency + 2 } else { answer };
        let most = |taken: u32| match self.world.actual {
            Actual::MoreOrLess => taken * 3,
            _ => taken,
        };
        let actual = if lost || self.world.actual == Actual::AsTaken {
            taken.clone()
        } else {
            taken.iter().map(|&taken| self.random.up_to_u32(most(taken))).collect()
        };
        let process = &mut self.processes[number];
        process.budget.take(&taken, Moment(now));
        process.in_flight += 1;
        if self.world.wrong == Some(Wrong::AnchoredAtTheSending) {
            process.budget.answered(&taken, &actual, Moment(now), Moment(now));
        }
        let event = Event::Answered(number, process.generation, self.visits.len());
        self.events.push(Reverse((noticed, event)));
        self.visits.push(Visit { sent: now, arrival, noticed, answer, taken, actual });
        self.sent += 1;
        self.end = now;
    }

    /// Does what the engine does with the budgets' file, which is shared by all processes.
    fn lease(&mut self, number: usize, now: i64) {
        let process = &mut self.processes[number];
        let mut changed = false;
        while !process.down
            && let Some((index, want)) = process.budget.next_lease(Moment(now))
        {
            // Denied or not, it is a write: others notice.
            changed = true;
            let leased = self.pools[index].lease(&process.name, want, Moment(now));
            let window = &mut process.budget.windows_mut()[index];
            if leased.tokens > 0 {
                window.lease(leased.tokens);
                window.restore(&leased.held);
            } else {
                let patience = self.world.limits.iter().map(|limit| limit.window).max().unwrap_or_default();
                window.lease_denied(Moment(now) + patience);
            }
        }
        if changed {
            self.tell_others(number, now);
        }
    }

    fn look(&mut self, number: usize, now: i64) {
        self.processes[number].looks = false;
        let process = &mut self.processes[number];
        if process.down {
            return;
        }
        let mut changed = false;
        for (pool, window) in self.pools.iter_mut().zip(process.budget.windows_mut()) {
            let before = pool.clone();
            let name = process.name.as_str();
            let (rank, of) = pool.place(name);
            window.placed(rank, of);
            if let Some(keep) = pool.keep(name, window.in_use(Moment(now)), Moment(now)) {
                let mut given = window.give_up(keep, Moment(now));
                if self.world.wrong == Some(Wrong::HeldIsFree) {
                    given.held.clear();
                }
                pool.give_back(name, &given, Moment(now));
            }
            if pool.room(name, 1, Moment(now)) > 0 {
                window.lease_denied(Moment(now));
            }
            changed |= *pool != before;
        }
        if changed {
            self.tell_others(number, now);
        }
    }

    fn tell_others(&mut self, number: usize, now: i64) {
        for (other, process) in self.processes.iter_mut().enumerate() {
            if other != number && !process.down && !process.looks {
                process.looks = true;
                let at = now + 1 + self.random.up_to(LOOKS);
                self.events.push(Reverse((at, Event::Look(other))));
            }
        }
    }

    fn restart(&mut self, number: usize, now: i64) {
        let crash = self.random.up_to(1) == 0;
        let process = &mut self.processes[number];
        for (pool, window) in self.pools.iter_mut().zip(process.budget.windows()) {
            if !crash {
                pool.leave(&process.name, &window.held(Moment(now)), Moment(now));
            } else if self.world.wrong == Some(Wrong::TheDeadAreFree) {
                pool.leave(&process.name, &[], Moment(now));
            } else {
                pool.bury(&process.name, Moment(now));
            }
        }
        process.budget = Budget::new(self.world.limits.iter().cloned());
        process.name = format!("{number}.{}", process.generation);
        process.down = false;
        process.looks = false;
        self.tell_others(number, now);
    }

    fn draw_costs(&mut self) -> Vec<u32> {
        let costs = self.world.costs.iter().map(|&most| self.random.up_to_u32(most));
        let mut costs: Vec<u32> = costs.collect();
        costs.resize(self.world.limits.len(), 1);
        costs
    }
}

/// SplitMix64: reproducible from its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From 0 to `most`, both included.
    pub(crate) fn up_to(&mut self, most: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        i64::try_from(z % (most.max(0).unsigned_abs() + 1)).unwrap_or(0)
    }

    fn up_to_u32(&mut self, most: u32) -> u32 {
        u32::try_from(self.up_to(i64::from(most))).unwrap_or(0)
    }
}
