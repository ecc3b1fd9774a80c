//! No window ever sees L+1, whatever the network does; and what a limit allows is used.

use entities::Limit;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert, prop_oneof, proptest};

use crate::simulation::{START, World};
use crate::window::limit;

const MILLI: i64 = 1_000_000;

fn limits() -> impl Strategy<Value = Vec<Limit>> {
    let window =
        prop_oneof![Just(200), Just(1_000), 1_u64..5_000, Just(60_000), Just(61_000), Just(3_600_000)];
    let count = prop_oneof![4 => 1_u32..40, 1 => 1_001_u32..1_200];
    // Each limit once, as a budget holds them: the simulation finds them by index.
    proptest::collection::btree_set((count, window), 1..4)
        .prop_map(|limits| limits.into_iter().map(|(count, window)| limit(count, window)).collect())
}

fn worlds() -> impl Strategy<Value = World> {
    (
        (limits(), 1_usize..4, 1_u32..50),
        (prop_oneof![0_i64..5, 0_i64..300, 0_i64..20_000], 0_u64..40, 0_i64..3),
        (prop_oneof![Just(0_usize), 3_usize..200], proptest::num::u64::ANY),
    )
        .prop_map(
            |((limits, processes, concurrency), (latency, losses, late), (restart_every, seed))| World {
                requests: 400,
                limits,
                processes,
                concurrency,
                latency: latency * MILLI,
                losses,
                lateness: late * MILLI,
                restart_every,
                wrong: false,
                seed,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_window_sees_more_than_its_limit(world in worlds(), phase in 0_i64..3_600_000) {
        let seen = world.run();
        for limit in &world.limits {
            let window = limit.window.as_nanos() as i64;
            let count = limit.count as usize;
            prop_assert!(seen.sliding(window) <= count, "sliding log of {limit}: {}", seen.sliding(window));
            let fixed = seen.fixed(window, phase * MILLI);
            prop_assert!(fixed <= count, "fixed window of {limit}: {fixed}");
            if world.restart_every == 0 && world.losses == 0 {
                // Who is lost or dies does not wait for the server; else it holds here too.
                prop_assert!(seen.at_once <= count.min(world.concurrency as usize * world.processes));
            }
        }
    }
}

fn loopback(limits: Vec<Limit>, requests: usize) -> World {
    World {
        limits,
        processes: 1,
        concurrency: 64,
        requests,
        latency: MILLI / 10,
        losses: 0,
        lateness: MILLI,
        restart_every: 0,
        wrong: false,
        seed: 7,
    }
}

#[test]
fn the_checks_see_a_rule_that_is_wrong() {
    let mut world = loopback(vec![limit(20, 1_000)], 2_000);
    world.latency = 300 * MILLI;
    world.concurrency = 200;
    assert!(world.run().sliding(1_000 * MILLI) <= 20);
    world.wrong = true;
    let seen = world.run();
    assert!(seen.sliding(1_000 * MILLI) > 20);
    assert!(seen.fixed(1_000 * MILLI, 0) > 20);
    assert!(seen.at_once > 1);
}

#[test]
fn what_a_limit_allows_is_used() {
    let check = |limits: Vec<Limit>, windows: i64, at_least: f64| {
        let tightest =
            limits.iter().map(|l| f64::from(l.count) / l.window.as_secs_f64()).fold(f64::MAX, f64::min);
        let longest = limits.iter().map(|l| l.window.as_nanos() as i64).max().unwrap();
        let world = loopback(limits, (tightest * longest as f64 / 1e9 * windows as f64) as usize);
        let seen = world.run();
        for limit in &world.limits {
            assert!(seen.sliding(limit.window.as_nanos() as i64) <= limit.count as usize, "{limit}");
        }
        let used = world.requests as f64 / (tightest * (seen.end - START) as f64 / 1e9);
        assert!(used >= at_least, "{:?}: {used:.4}", world.limits);
        // And in every window once the first is over.
        let limit = &world.limits[0];
        let window = limit.window.as_nanos() as i64;
        let mut least = usize::MAX;
        for nth in 1..(seen.end - START) / window - 1 {
            let from = START + nth * window;
            least = least.min(seen.arrivals.iter().filter(|&&at| from <= at && at < from + window).count());
        }
        let least = least as f64 / f64::from(limit.count);
        assert!(least >= at_least - 0.01, "{:?}: {least:.4} in the worst window", world.limits);
    };
    check(vec![limit(100, 1_000)], 30, 0.99);
    check(vec![limit(10, 1_000)], 30, 0.97);
    check(vec![limit(1_000, 1_000)], 20, 0.98);
    check(vec![limit(10_000, 1_000)], 10, 0.98);
    check(vec![limit(1_000, 60_000)], 10, 0.99);
    check(vec![limit(600, 60_000), limit(20, 1_000)], 10, 0.99);
    check(vec![limit(3_600, 3_600_000)], 5, 0.99);
}
