//! No window ever sees more than L, whatever the network does; and what a limit allows is used.

use std::time::Duration;

use entities::{Limit, ResetDay, Resets};
use jiff::tz::TimeZone;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, TestCaseError, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::simulation::{Actual, START, World, Wrong};
use crate::window::limit;

const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLI;

fn limits() -> impl Strategy<Value = Vec<Limit>> {
    let window =
        prop_oneof![Just(200), Just(1_000), 1_u64..5_000, Just(60_000), Just(61_000), Just(3_600_000)];
    let count = prop_oneof![4 => 1_u32..40, 1 => 1_001_u32..1_200];
    // Each limit once, as a budget holds them: the simulation finds them by index.
    let limits = proptest::collection::btree_map((count, window), 0_u32..50, 1..4);
    limits.prop_map(|limits| {
        let one =
            |((count, window), reserve)| Limit { reserve: count * reserve / 100, ..limit(count, window) };
        limits.into_iter().map(one).collect()
    })
}

fn worlds() -> impl Strategy<Value = World> {
    (
        (limits(), proptest::collection::vec(prop_oneof![Just(1_u32), 0_u32..12], 3)),
        (prop_oneof![Just(Actual::AsTaken), Just(Actual::Less)], 1_usize..4, 1_u32..50),
        (prop_oneof![0_i64..5, 0_i64..300, 0_i64..20_000], 0_u64..40, 0_i64..3),
        (prop_oneof![Just(0_usize), 3_usize..200], proptest::num::u64::ANY),
    )
        .prop_map(
            |(
                (limits, costs),
                (actual, processes, concurrency),
                (latency, losses, late),
                (restart_every, seed),
            )| {
                let costs = costs.iter().zip(&limits).map(|(cost, limit)| *cost.min(&limit.usable()));
                World {
                    requests: 300,
                    costs: costs.collect(),
                    limits,
                    actual,
                    processes,
                    concurrency,
                    latency: latency * MILLI,
                    losses,
                    lateness: late * MILLI,
                    restart_every,
                    wrong: None,
                    seed,
                }
            },
        )
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn never_too_many(world: &World, phase: i64) -> Result<(), TestCaseError> {
    let seen = world.run();
    for (index, limit) in world.limits.iter().enumerate() {
        let window = limit.window.as_nanos() as i64;
        let usable = u64::from(limit.usable());
        let (sliding, fixed) = (seen.sliding(index, window), seen.fixed(index, window, phase));
        prop_assert!(sliding <= usable, "sliding log of {limit}: {sliding}");
        prop_assert!(fixed <= usable, "fixed window of {limit}: {fixed}");
        if world.restart_every == 0 && world.losses == 0 && world.costs[index] == 1 && world.limits.len() == 1
        {
            // Who is lost or dies does not wait for the server; else it holds here too.
            prop_assert!(seen.at_once <= world.concurrency as usize * world.processes);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn no_window_sees_more_than_its_limit(world in worlds(), phase in 0_i64..3_600_000) {
        never_too_many(&world, phase * MILLI)?;
    }

    #[test]
    fn what_was_overdrawn_is_waited_for(mut world in worlds()) {
        (world.actual, world.processes, world.restart_every) = (Actual::MoreOrLess, 1, 0);
        let seen = world.run();
        for (index, limit) in world.limits.iter().enumerate() {
            let over = seen.overdrawn_knowingly(index, limit.window.as_nanos() as i64, limit.usable());
            prop_assert_eq!(over, 0, "{}", limit);
        }
    }
}

fn loopback(limits: Vec<Limit>, requests: usize) -> World {
    World {
        costs: vec![1; limits.len()],
        limits,
        actual: Actual::AsTaken,
        processes: 1,
        concurrency: 64,
        requests,
        latency: MILLI / 10,
        losses: 0,
        lateness: MILLI,
        restart_every: 0,
        wrong: None,
        seed: 7,
    }
}

#[test]
fn the_checks_see_a_rule_that_is_wrong() {
    let mut world = loopback(vec![limit(20, 1_000)], 2_000);
    world.latency = 300 * MILLI;
    world.concurrency = 200;
    assert!(world.run().sliding(0, SECOND) <= 20);
    world.wrong = Some(Wrong::AnchoredAtTheSending);
    let seen = world.run();
    assert!(seen.sliding(0, SECOND) > 20);
    assert!(seen.fixed(0, SECOND, 0) > 20);
    assert!(seen.at_once > 1);
}

#[test]
fn the_property_sees_every_rule_that_is_wrong() {
    for wrong in [Wrong::AnchoredAtTheSending, Wrong::RefundsAll, Wrong::HeldIsFree, Wrong::TheDeadAreFree] {
        let mut runner =
            TestRunner::new_with_rng(config(400), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let found = runner.run(&worlds(), |mut world| {
            world.wrong = Some(wrong);
            never_too_many(&world, 0)
        });
        assert!(found.is_err(), "{wrong:?} was not noticed");
    }
}

fn daily(count: u32, minute: u16, every: ResetDay) -> Limit {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let resets = Resets { text: String::new(), every, minute, zone };
    let window = Duration::from_secs(86_400);
    Limit { resets: Some(resets), ..Limit::plain(count, window, format!("{count}/day")) }
}

fn calendar(mut world: World, server: &Resets, skew: i64) -> Result<(), TestCaseError> {
    world.limits.truncate(1);
    world.requests = 200;
    let most = world.run().calendar(0, server, skew);
    prop_assert!(most <= u64::from(world.limits[0].usable()), "{most} in a period");
    Ok(())
}

fn calendars() -> impl Strategy<Value = (World, i64)> {
    let every = prop_oneof![Just(ResetDay::Day), Just(ResetDay::Weekday(3)), Just(ResetDay::MonthDay(31))];
    // The clocks differ by up to two seconds, the server's ahead or behind.
    (worlds(), every, 1_u32..30, 0_i64..2_000, -2_000_i64..=2_000).prop_map(
        |(mut world, every, count, latency, skew)| {
            let reserve = world.limits[0].reserve.min(count - 1);
            world.limits = vec![Limit { reserve, ..daily(count, 0, every) }];
            world.latency = latency * MILLI;
            world.costs[0] = world.costs[0].min(world.limits[0].usable());
            (world, skew * MILLI)
        },
    )
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn no_period_of_the_calendar_sees_more((world, skew) in calendars()) {
        let server = world.limits[0].resets.clone().unwrap();
        calendar(world, &server, skew)?;
    }
}

#[test]
fn the_property_sees_clocks_that_differ_by_more() {
    let mut runner = TestRunner::new_with_rng(config(100), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let found = runner.run(&calendars(), |(world, _)| {
        let server = world.limits[0].resets.clone().unwrap();
        calendar(world, &server, -2_100 * MILLI)
    });
    assert!(found.is_err());
}

#[test]
fn what_a_limit_allows_is_used() {
    let check = |limits: Vec<Limit>, windows: i64, at_least: f64| {
        let tightest =
            limits.iter().map(|l| f64::from(l.count) / l.window.as_secs_f64()).fold(f64::MAX, f64::min);
        let longest = limits.iter().map(|l| l.window.as_nanos() as i64).max().unwrap();
        let world = loopback(limits, (tightest * longest as f64 / 1e9 * windows as f64) as usize);
        let seen = world.run();
        for (index, limit) in world.limits.iter().enumerate() {
            let most = seen.sliding(index, limit.window.as_nanos() as i64);
            assert!(most <= u64::from(limit.count), "{limit}");
        }
        let used = world.requests as f64 / (tightest * (seen.end - START) as f64 / 1e9);
        assert!(used >= at_least, "{:?}: {used:.4}", world.limits);
        // And in every window once the first is over.
        let limit = &world.limits[0];
        let window = limit.window.as_nanos() as i64;
        let mut least = usize::MAX;
        for nth in 1..(seen.end - START) / window - 1 {
            let from = START + nth * window;
            let arrivals = seen.visits.iter().filter(|v| from <= v.arrival && v.arrival < from + window);
            least = least.min(arrivals.count());
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
