//! `cargo bench -p engine --bench gate`: what a grant costs when a million tasks are queued and ten limits
//! hold: the check at the gate, the task taken from its lane, the tokens taken, the answer. Prints ns a grant.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use entities::{Bindings, Limit, Moment, Page, SpecIndex, Task, TaskId};
use rate_limit::{Budget, Verdict};
use task_queue::{LaneId, Queued, TaskQueue};

const TASKS: i64 = 1_000_000;
const LANES: i64 = 8;
const LIMITS: u32 = 10;
/// Requests in flight.
const IN_FLIGHT: usize = 32;
/// What is promised.
const MOST_NS: f64 = 1_000.0;

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program that measures")]
fn main() -> ExitCode {
    let start = Moment(1_700_000_000_000_000_000);
    let mut queue = filled(start);
    // Wide enough to grant at once: what waits costs nothing but its check.
    let limits = (1..=LIMITS).map(|n| {
        let count = 4_000_000 + n;
        Limit::plain(count, Duration::from_secs(u64::from(n) * 10), format!("{count}/{n}0s"))
    });
    let mut budget = Budget::with_full_lease(limits);
    let costs = [1; LIMITS as usize];
    let mut flights = VecDeque::with_capacity(IN_FLIGHT);
    let (mut now, mut granted) = (start, 0_i64);

    let began = Instant::now();
    while granted < TASKS {
        now = now + Duration::from_micros(20);
        let open = |_: LaneId| budget.check(&costs, now).0 == Verdict::Now;
        if queue.take(now, open).is_some() {
            budget.take(&costs, now);
            flights.push_back(now);
            granted += 1;
        }
        if flights.len() >= IN_FLIGHT
            && let Some(sent) = flights.pop_front()
        {
            budget.answered(&costs, &costs, sent, now);
        }
    }
    let ns = began.elapsed().as_nanos() as f64 / granted as f64;
    println!("a grant with {TASKS} tasks queued in {LANES} lanes and {LIMITS} limits, in ns: {ns:.0}");
    ExitCode::from(u8::from(ns > MOST_NS))
}

fn filled(now: Moment) -> TaskQueue {
    let mut queue = TaskQueue::default();
    let lanes: Vec<LaneId> = (0..LANES).map(|_| queue.open_lane(1)).collect();
    for (number, lane) in (0..TASKS).zip(lanes.iter().cycle()) {
        let id = TaskId(number);
        let task = Task {
            id,
            spec: SpecIndex(0),
            chain: id,
            combination: number.try_into().ok(),
            bindings: Bindings::default(),
            page: Page::first(),
            slice: None,
            cursor: None,
        };
        queue.push_back(*lane, Queued::new(task, now));
    }
    queue
}
