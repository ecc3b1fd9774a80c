//! How processes share one limit.

use entities::{Limit, Moment};
use rate_limit::{GivenUp, Pool, PoolLease, TokenWindow};

use crate::window::{at, limit};

fn pool(limit: Limit, leases: &[(&str, u32, u32)]) -> Pool {
    let lease = |&(process, tokens, wants): &(&str, u32, u32)| PoolLease {
        process: process.to_owned(),
        tokens,
        wants,
    };
    Pool { limit, leases: leases.iter().map(lease).collect(), held: vec![] }
}

fn wants(pool: &Pool, process: &str) -> u32 {
    pool.leases.iter().find(|lease| lease.process == process).map_or(0, |lease| lease.wants)
}

#[test]
fn free_tokens_come_first_then_the_earliest_held() {
    let mut pool = pool(limit(10, 120_000), &[("a", 4, 0)]);
    pool.held = vec![(at(300), 2), (at(100), 2), (at(200), 1), (at(-1), 9)];
    let leased = pool.lease("b", 4, at(0));
    assert_eq!((leased.tokens, leased.held), (4, vec![(at(100), 2), (at(200), 1)]));
    let leased = pool.lease("b", 4, at(0));
    assert_eq!((leased.tokens, leased.held, wants(&pool, "b")), (2, vec![(at(300), 2)], 2));
    assert_eq!((pool.lease("c", 1, at(0)).tokens, wants(&pool, "c")), (0, 1));
    // No more wishes, no more trace.
    pool.lease("c", 0, at(0));
    assert_eq!((pool.place("b"), pool.elsewhere("b"), pool.tokens("b")), ((1, 2), 4, 6));
}

#[test]
fn the_reserve_is_not_leased() {
    let mut pool = Pool::new(Limit { reserve: 4, ..limit(10, 120_000) });
    assert_eq!((pool.lease("a", 10, at(0)).tokens, pool.tokens("a")), (6, 6));
}

#[test]
fn the_dead_are_buried_and_the_living_leave() {
    let mut pool = pool(limit(10, 120_000), &[("a", 4, 1), ("b", 6, 0)]);
    pool.bury("a", at(0));
    assert_eq!(pool.held, [(at(120_000), 4)]);
    pool.leave("b", &[(at(100), 2)], at(0));
    assert_eq!((pool.held.clone(), pool.leases.len()), (vec![(at(100), 2), (at(120_000), 4)], 0));
    assert_eq!(pool.lease("c", 10, at(0)).tokens, 10);
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_longer_than_a_window() {
    let mut pool = pool(limit(10, 120_000), &[]);
    pool.held = vec![(at(9_000_000), 3), (at(8_000_000), 1), (at(50), 1)];
    pool.tidy(at(0));
    assert_eq!(pool.held, [(at(50), 1), (at(120_000), 4)]);
}

/// `(process, tokens, wants)`; how many the first keeps when it uses so many; None: all.
fn keeps(leases: &[(&str, u32, u32)], in_use: u32, expected: Option<u32>) {
    // The moment is the turn of the first.
    let pool = pool(limit(80, 120_000), leases);
    assert_eq!(pool.keep(leases[0].0, in_use, Moment(0)), expected, "{leases:?} {in_use}");
}

#[test]
fn who_has_more_than_its_share_gives_up_what_is_beyond() {
    keeps(&[("a", 80, 0)], 80, None);
    keeps(&[("a", 70, 0), ("b", 10, 0)], 70, None);
    keeps(&[("a", 70, 0), ("b", 10, 10)], 70, Some(40));
    keeps(&[("a", 70, 10), ("b", 10, 10)], 0, Some(40));
    // What it does not use and does not want, it does not need: but for a chunk.
    keeps(&[("a", 70, 0), ("b", 10, 10)], 5, Some(15));
    keeps(&[("a", 10, 0), ("b", 70, 10)], 0, None);
    // Who wants nothing leaves its share to the others.
    keeps(&[("a", 65, 10), ("b", 10, 10), ("c", 5, 0)], 65, Some(38));
    keeps(&[("a", 40, 10), ("b", 40, 10)], 40, None);
    keeps(&[("a", 80, 0), ("b", 0, 5), ("c", 0, 5)], 80, Some(27));
}

#[test]
fn who_lacks_tokens_hopes_for_those_that_somebody_does_not_need() {
    // A has used up what it has, and asked for more.
    let check = |leases: &[(&str, u32, u32)], expected: bool| {
        let pool = pool(limit(10, 60_000), leases);
        assert_eq!(pool.all_lack("a", at(0)), expected, "{leases:?}");
    };
    check(&[("a", 10, 1)], true);
    check(&[("a", 5, 1), ("b", 5, 1)], true);
    check(&[("a", 5, 1), ("b", 5, 0)], false);
    check(&[("a", 6, 1), ("b", 4, 1)], true);
    check(&[("a", 4, 1), ("b", 6, 1)], false);
    check(&[("a", 0, 1), ("b", 10, 1)], false);
    check(&[("a", 5, 1), ("b", 5, 1), ("c", 0, 0)], true);
}

#[test]
fn what_cannot_be_shared_goes_by_turns() {
    let mut pool = pool(limit(1, 1_000), &[("a", 1, 1), ("b", 0, 1)]);
    let keeps: Vec<_> = (0..4).map(|window| pool.keep("a", 1, Moment::from_millis(window * 1_000))).collect();
    assert_eq!(keeps, [None, Some(0), None, Some(0)]);
    pool.give_back(
        "a",
        &GivenUp { tokens: 1, held: vec![(Moment::from_millis(1_500), 1)] },
        Moment::from_millis(1_000),
    );
    assert_eq!(pool.lease("a", 1, Moment::from_millis(1_000)).tokens, 0, "it is b's turn");
    assert_eq!(pool.lease("b", 1, Moment::from_millis(1_001)).tokens, 1);

    // A request that costs more than a share: one asks for more than a chunk (an eighth) only then.
    let mut pool = self::pool(limit(80, 1_000), &[("a", 40, 0), ("b", 40, 30)]);
    let keeps: Vec<_> =
        (0..3).map(|window| pool.keep("a", 40, Moment::from_millis(window * 1_000))).collect();
    assert_eq!(keeps, [None, Some(10), None]);
    pool.give_back("a", &GivenUp { tokens: 30, held: vec![] }, Moment::from_millis(1_000));
    assert_eq!(pool.lease("a", 10, Moment::from_millis(1_000)).tokens, 0);
    assert_eq!(pool.lease("b", 30, Moment::from_millis(1_000)).tokens, 30);
}

#[test]
fn what_is_given_up_is_free_first_then_held_evenly_and_never_in_flight() {
    let mut window = TokenWindow::with_full_lease(limit(10, 120_000));
    for sent in 0..6 {
        window.take(1, at(sent));
        if sent < 4 {
            window.answered(1, 1, at(sent), at(sent));
        }
    }
    assert_eq!(window.give_up(8, at(10)), GivenUp { tokens: 2, held: vec![] });
    assert_eq!(
        window.give_up(4, at(10)),
        GivenUp { tokens: 4, held: vec![(at(120_001), 1), (at(120_003), 1)] }
    );
    assert_eq!(window.give_up(0, at(10)).held, [(at(120_000), 1), (at(120_002), 1)]);
    assert_eq!((window.capacity(), window.in_use(at(10)), window.give_up(0, at(10)).tokens), (2, 2, 0));
}

#[test]
fn what_was_overdrawn_goes_along() {
    let mut window = TokenWindow::with_full_lease(limit(10, 120_000));
    window.take(5, at(0));
    window.answered(5, 25, at(0), at(10));
    let given = window.give_up(0, at(20));
    assert_eq!(given, GivenUp { tokens: 10, held: vec![(at(120_010), 25)] });
    let mut pool = pool(limit(10, 120_000), &[("a", 10, 0)]);
    pool.give_back("a", &given, at(20));
    assert_eq!(pool.lease("b", 1, at(20)).held, [(at(120_010), 1)]);
}
