//! One cell, played: clients, a server and a stranger in virtual time. An event heap, no clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use entities::{Limit, Moment, ServerQuota};

use super::client::{Client, LOOK, News, Shared};
use super::network::{Latency, MILLI, Random, SECOND};
use super::servers::{Answer, Kind, Server};

/// What is played.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) kind: Kind,
    /// L and W, the latter in ns.
    pub(crate) count: u32,
    pub(crate) window: i64,
    pub(crate) latency: Latency,
    pub(crate) cast: Cast,
    /// The server tells what is left and when to come back.
    pub(crate) headers: bool,
    pub(crate) work: Work,
    /// Tokens a request takes.
    pub(crate) cost: u32,
    /// How long, in ns.
    pub(crate) length: i64,
    pub(crate) seed: u64,
}

/// Who is there besides the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    One,
    /// Four processes on one machine.
    Four,
    /// Of four, one is killed in the middle and does not come back.
    FourLessOne,
    /// One process that ends in good order every few windows and starts again.
    Exit,
    /// One that is killed instead.
    Kill,
    /// One, and somebody else with the same key who sends 30 % of the limit as chance will have it.
    Stranger,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Unlimited,
    /// So many chains of pages, each of which asks for its next page when it has one.
    Chains(u32),
    /// So many requests in all.
    Requests(u64),
}

/// What was seen. Two figures are those of the first half of the time and of the second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Requests that were let in, and tokens they took.
    pub(crate) good: [u64; 2],
    pub(crate) tokens: [u64; 2],
    pub(crate) refused: [u64; 2],
    /// Tokens the stranger got.
    pub(crate) stranger: [u64; 2],
    /// Ns for which the clients closed their budgets.
    pub(crate) closed: [i64; 2],
    /// Ns in which no process was there to send.
    pub(crate) down: [i64; 2],
    pub(crate) kills: u64,
    /// Ns from when a page could have been asked for until it was, in all, and how many pages.
    pub(crate) waited: i64,
    pub(crate) pages: u64,
    /// The last answer, in ns after the start.
    pub(crate) end: i64,
}

/// An odd moment: nothing is aligned to it.
const START: i64 = 1_700_000_000 * SECOND + 123_456_789;
/// Timers go off up to so much too late.
const LATENESS: i64 = MILLI;
/// Of the limit, what the stranger sends.
const STRANGER: f64 = 0.3;
/// How long a process is gone before it is there again. What it had sent has arrived by then.
const DOWN: i64 = SECOND;
/// Windows between restarts: not a whole number, so that they fall anywhere in a window.
const RESTART_EVERY: f64 = 3.7;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    Look(usize),
    /// The process ends.
    Stop(usize),
    Restart(usize),
    /// A request of a process of that generation reaches the server.
    Arrival {
        of: usize,
        generation: u32,
        sent: i64,
    },
    Answer {
        of: usize,
        generation: u32,
        sent: i64,
        good: bool,
        retry_after: i64,
        quota: Option<(u32, i64)>,
    },
    Stranger,
}

/// A place in which one process runs after the other.
struct Seat {
    /// None while it is down.
    client: Option<Client>,
    /// Answers to an older process are nobody's.
    generation: u32,
    /// It drains: nothing new is sent.
    stopping: bool,
    /// When its timer goes off; one timer, as a driver has.
    timer: i64,
    /// When it last went down.
    down_since: i64,
    /// It is going to look.
    looks: bool,
    /// Of the 250 ms, when it looks.
    phase: i64,
}

struct World<'s> {
    scene: &'s Scene,
    limit: Limit,
    server: Server,
    shared: Shared,
    seats: Vec<Seat>,
    concurrency: u32,
    events: BinaryHeap<Reverse<(i64, Event)>>,
    random: Random,
    /// Requests that are left to do.
    left: u64,
    /// When the chains that have no request under way became ready, the longest waiting first.
    ready: VecDeque<i64>,
    seen: Seen,
}

impl Scene {
    /// Plays it.
    pub(crate) fn play(&self) -> Seen {
        let mut world = World::new(self);
        while let Some(Reverse((now, event))) = world.events.pop() {
            if now >= START + self.length || world.is_done() {
                break;
            }
            let version = world.shared.version;
            world.handle(now, event);
            if world.shared.version != version {
                world.have_all_look(now);
            }
        }
        world.seen
    }

    /// Tokens per ns.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.count) / self.window as f64
    }

    /// What one process keeps in flight: enough to fill the limit.
    fn concurrency(&self) -> u32 {
        if self.work != Work::Unlimited {
            return 32;
        }
        let in_flight = self.rate() * self.latency.round_trip() as f64 * 2.0;
        (in_flight as u32).max(32)
    }
}

impl<'s> World<'s> {
    fn new(scene: &'s Scene) -> World<'s> {
        let mut random = Random(scene.seed);
        let window = Duration::from_nanos(scene.window.unsigned_abs());
        let limit = Limit::plain(scene.count, window, format!("{}/{window:?}", scene.count));
        let shared = Shared::new(&limit);
        let processes = if matches!(scene.cast, Cast::Four | Cast::FourLessOne) { 4 } else { 1 };
        let seats = (0..processes).map(|_| Seat {
            client: None,
            generation: 0,
            stopping: false,
            timer: i64::MIN,
            down_since: START,
            looks: false,
            phase: random.below(LOOK),
        });
        let seats = seats.collect();
        let (left, chains) = match scene.work {
            Work::Unlimited => (u64::MAX, 0),
            Work::Chains(chains) => (u64::MAX, chains),
            Work::Requests(requests) => (requests, 0),
        };
        let phase = START + random.below(scene.window);
        let mut world = World {
            scene,
            server: Server::new(scene.kind, scene.count, scene.window, phase),
            shared,
            seats,
            concurrency: scene.concurrency(),
            events: (0..processes).map(|of| Reverse((START, Event::Restart(of)))).collect(),
            random,
            left,
            ready: std::iter::repeat_n(START, chains as usize).collect(),
            limit,
            seen: Seen::default(),
        };
        match scene.cast {
            Cast::Stranger => world.expect_stranger(START),
            Cast::FourLessOne => world.at(START + scene.length / 2, Event::Stop(0)),
            Cast::Exit | Cast::Kill => world.expect_restart(0, START),
            Cast::One | Cast::Four => {}
        }
        world
    }

    fn handle(&mut self, now: i64, event: Event) {
        match event {
            Event::Wake(of) if self.seats[of].timer == now => self.send_what_goes(of, now),
            Event::Wake(_) => {}
            Event::Look(of) => self.look(of, now),
            Event::Stop(of) => self.stop(of, now),
            Event::Restart(of) => self.restart(of, now),
            Event::Arrival { of, generation, sent } => self.arrive(of, generation, sent, now),
            Event::Answer { of, generation, sent, good, retry_after, quota } => {
                if self.seats[of].generation == generation {
                    self.answer(of, sent, Answer { good, retry_after, quota }, now);
                }
            }
            Event::Stranger => {
                let answer = self.server.arrive(1, now);
                let half = self.half(now);
                self.seen.stranger[half] += u64::from(answer.good);
                self.expect_stranger(now);
            }
        }
    }

    fn send_what_goes(&mut self, of: usize, now: i64) {
        while self.has_work() {
            let seat = &mut self.seats[of];
            let Some(client) = seat.client.as_mut().filter(|_| !seat.stopping) else { return };
            if client.in_flight >= self.concurrency {
                return;
            }
            match client.ask(&mut self.shared, self.scene.cost, Moment(now)) {
                Ok(()) => self.send(of, now),
                Err(Some(at)) => return self.set_timer(of, at.0, now),
                Err(None) => return,
            }
        }
    }

    fn send(&mut self, of: usize, now: i64) {
        self.left -= 1;
        if let Some(ready) = self.ready.pop_front() {
            self.seen.waited += now - ready;
            self.seen.pages += 1;
        }
        let at = now + self.scene.latency.draw(&mut self.random);
        let generation = self.seats[of].generation;
        self.at(at, Event::Arrival { of, generation, sent: now });
    }

    fn arrive(&mut self, of: usize, generation: u32, sent: i64, now: i64) {
        let Answer { good, quota, retry_after } = self.server.arrive(self.scene.cost, now);
        let half = self.half(now);
        if good {
            self.seen.good[half] += 1;
            self.seen.tokens[half] += u64::from(self.scene.cost);
        } else {
            self.seen.refused[half] += 1;
        }
        let at = now + self.scene.latency.draw(&mut self.random);
        self.at(at, Event::Answer { of, generation, sent, good, retry_after, quota });
    }

    fn answer(&mut self, of: usize, sent: i64, answer: Answer, now: i64) {
        let Some(client) = &mut self.seats[of].client else { return };
        let seconds = |ns: i64| (ns.max(1) + SECOND - 1) / SECOND;
        let quota = answer.quota.filter(|_| self.scene.headers).map(|(remaining, resets_in)| ServerQuota {
            limit: Some(u64::from(self.scene.count)),
            window: None,
            remaining: u64::from(remaining),
            resets_in: Some(Duration::from_secs(seconds(resets_in).unsigned_abs())),
        });
        let refused = self.scene.headers && !answer.good;
        let retry_after = refused.then(|| seconds(answer.retry_after) * SECOND);
        let news = News { good: answer.good, retry_after, quota, sent: Moment(sent) };
        let closed = client.answered(&mut self.shared, self.scene.cost, &news, Moment(now));
        let drained = client.in_flight == 0;
        let half = self.half(now);
        self.seen.closed[half] += closed;
        if !answer.good {
            self.left += 1;
        }
        if matches!(self.scene.work, Work::Chains(_)) {
            self.ready.push_back(now);
        }
        self.seen.end = now - START;
        if self.seats[of].stopping && drained {
            self.gone(of, now);
        }
        self.send_what_goes(of, now);
    }

    fn look(&mut self, of: usize, now: i64) {
        self.seats[of].looks = false;
        let Some(client) = &mut self.seats[of].client else { return };
        if client.look(&mut self.shared, Moment(now)) {
            self.have_look(of, now);
        }
        self.send_what_goes(of, now);
    }

    /// A kill is at once; an exit waits for what is in flight.
    fn stop(&mut self, of: usize, now: i64) {
        let kill = matches!(self.scene.cast, Cast::Kill | Cast::FourLessOne);
        self.seats[of].stopping = true;
        self.seats[of].down_since = now;
        let drained = self.seats[of].client.as_ref().is_none_or(|client| client.in_flight == 0);
        if kill || drained {
            self.gone(of, now);
        }
    }

    fn gone(&mut self, of: usize, now: i64) {
        let seat = &mut self.seats[of];
        seat.generation += 1;
        seat.timer = i64::MIN;
        match (self.scene.cast, &seat.client) {
            (Cast::Exit, Some(client)) => {
                client.leave(&mut self.shared, Moment(now));
                seat.client = None;
            }
            // The dead are buried when somebody looks.
            (Cast::Kill | Cast::FourLessOne, Some(_)) => self.seen.kills += 1,
            _ => {}
        }
        self.at(now + DOWN, Event::Restart(of));
    }

    fn restart(&mut self, of: usize, now: i64) {
        let half = self.half(now);
        if let Some(dead) = self.seats[of].client.take() {
            dead.bury(&mut self.shared, Moment(now));
            if self.scene.cast == Cast::FourLessOne {
                return;
            }
        }
        let seat = &mut self.seats[of];
        self.seen.down[half] += now - seat.down_since;
        seat.stopping = false;
        let name = format!("{of}-{}", seat.generation);
        seat.client = Some(Client::new(name, &self.limit, &self.shared, Moment(now)));
        if now > START {
            self.expect_restart(of, now);
        }
        self.send_what_goes(of, now);
    }

    fn has_work(&self) -> bool {
        self.left > 0 && (!self.ready.is_empty() || !matches!(self.scene.work, Work::Chains(_)))
    }

    fn is_done(&self) -> bool {
        self.left == 0 && self.seats.iter().flat_map(|seat| &seat.client).all(|client| client.in_flight == 0)
    }

    fn set_timer(&mut self, of: usize, at: i64, now: i64) {
        let timer = self.seats[of].timer;
        if timer <= now || timer > at + LATENESS {
            let at = at.max(now + 1) + self.random.below(LATENESS);
            self.seats[of].timer = at;
            self.at(at, Event::Wake(of));
        }
    }

    fn have_all_look(&mut self, now: i64) {
        for of in 0..self.seats.len() {
            self.have_look(of, now);
        }
    }

    fn have_look(&mut self, of: usize, now: i64) {
        let seat = &mut self.seats[of];
        if !seat.looks && seat.client.is_some() {
            seat.looks = true;
            let wait = (seat.phase - now).rem_euclid(LOOK);
            self.at(now + if wait == 0 { LOOK } else { wait }, Event::Look(of));
        }
    }

    fn expect_stranger(&mut self, now: i64) {
        let mean = 1.0 / (self.scene.rate() * STRANGER);
        let at = now + self.random.exponential(mean as i64);
        self.at(at, Event::Stranger);
    }

    fn expect_restart(&mut self, of: usize, now: i64) {
        let after = (RESTART_EVERY * self.scene.window as f64) as i64;
        self.at(now + after, Event::Stop(of));
    }

    fn at(&mut self, at: i64, event: Event) {
        self.events.push(Reverse((at, event)));
    }

    fn half(&self, now: i64) -> usize {
        usize::from(now - START >= self.scene.length / 2)
    }
}
