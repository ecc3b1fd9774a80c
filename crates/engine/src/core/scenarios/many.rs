//! Many plans in one process: who gets the workers, and what a round costs.

use super::*;

/// A task of so many requests on a host of its own.
fn on(host: &str, requests: u32) -> String {
    format!(
        "[endpoints.e]\nbase_url = \"http://{host}\"\nconcurrency = 50\nlimits = []\n\
         [tasks.t]\nget = \"/{{{{ n }}}}\"\nforeach = {{ n = {{ from = 1, to = {requests} }} }}\n"
    )
}

impl World {
    fn of(&self, plan: &str) -> usize {
        self.jobs.iter().filter(|job| job.context.plan.name.as_str() == plan).count()
    }

    /// The oldest request of a plan is answered.
    fn answer_plan(&mut self, plan: &str) {
        let index = self.jobs.iter().position(|job| job.context.plan.name.as_str() == plan).unwrap();
        let job = self.jobs.remove(index);
        self.jobs.insert(0, job);
        self.answer(page(1, Next::End));
    }
}

#[test]
fn a_large_plan_with_slow_answers_leaves_a_small_one_its_share_of_the_workers() {
    let mut world = World::new(&on("x", 1_000_000), 6);
    assert_eq!(world.of("p"), 6, "alone it has them all");
    world.begin(PlanSlot(2), StoreSlot(3), &on("y", 100));
    (0..3).for_each(|_| world.answer_plan("p"));
    assert_eq!((world.of("p"), world.of("p2")), (3, 3));
    // The quick one keeps what it has, however long the others take.
    for _ in 0..50 {
        world.answer_plan("p2");
        assert_eq!((world.of("p"), world.of("p2")), (3, 3));
    }
    // A third comes, and each has its share.
    world.begin(PlanSlot(4), StoreSlot(5), &on("z", 100));
    world.answer_plan("p2");
    world.answer_plan("p");
    assert_eq!((world.of("p"), world.of("p2"), world.of("p4")), (2, 2, 2));
    // What nobody else wants is had by whoever does.
    world.tell(Event::Pause { slot: PlanSlot(2) });
    world.tell(Event::Pause { slot: PlanSlot(4) });
    (0..2).for_each(|_| world.answer_plan("p2"));
    (0..2).for_each(|_| world.answer_plan("p4"));
    assert_eq!(world.of("p"), 6);
}

#[test]
fn answers_that_never_come_leave_others_workers() {
    let mut world = World::new(&on("x", 1_000_000), 0);
    world.core.most_per_run = 4;
    world.workers = 6;
    world.settle();
    assert_eq!(world.of("p"), 4, "alone it has no more, too");
    world.begin(PlanSlot(2), StoreSlot(3), &on("y", 100));
    assert_eq!((world.of("p"), world.of("p2")), (4, 2), "a newcomer need not wait for an answer");
}

/// Ten tasks of a plan, each on a limit of its own.
fn ten_tasks(number: u32, limit: &str) -> String {
    let tasks = (0..10).map(|task| {
        format!(
            "[endpoints.e{task}]\nbase_url = \"http://h{number}-{task}\"\nlimits = [\"{limit}\"]\n\
             [tasks.t{task}]\nendpoint = \"e{task}\"\nget = \"/{{{{ n }}}}\"\n\
             foreach = {{ n = {{ from = 1, to = 1000000 }} }}\n"
        )
    });
    tasks.collect()
}

/// µs that one call takes.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn micros(calls: u32, mut call: impl FnMut()) -> f64 {
    let began = std::time::Instant::now();
    (0..calls).for_each(|_| call());
    began.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

/// `cargo test -p engine --release --lib measure -- --ignored --nocapture`
#[test]
#[ignore = "it measures"]
fn measure_fifty_plans() {
    for (what, limit, workers) in [
        ("wait for limits", "3/day", 1_000),
        ("have all workers they want", "100000/h", 10_000),
        ("want workers", "100000/h", 16),
    ] {
        let mut world = World::new(&ten_tasks(0, limit), workers);
        for number in 1..50 {
            world.begin(PlanSlot(number + 10), StoreSlot(number + 100), &ten_tasks(number, limit));
        }
        let idle = world.workers - world.jobs.len();
        let (mut core, now) = (world.core, world.now);
        let round = micros(1_000, || drop(core.decide(idle, now)));
        let slots: Vec<PlanSlot> = core.runs.keys().copied().collect();
        let status = micros(100, || slots.iter().for_each(|slot| drop(core.status(*slot, now))));
        let watched = micros(100, || drop(core.watched(now)));
        for slot in &slots {
            core.on_event(Event::Pause { slot: *slot }, now);
        }
        let paused = micros(1_000, || drop(core.decide(idle, now)));
        println!(
            "50 plans of 10 tasks that {what} ({} in flight): a round {round:.1} µs, all paused {paused:.1} µs, \
             the status of all {status:.0} µs, what to look for {watched:.0} µs",
            world.jobs.len()
        );
    }
}
