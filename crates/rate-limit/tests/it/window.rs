//! Scenarios of one limit.

use std::time::Duration;

use entities::{Limit, Moment};
use rate_limit::{TokenWindow, Verdict};

pub(crate) fn limit(count: u32, window_ms: u64) -> Limit {
    Limit::plain(count, Duration::from_millis(window_ms), format!("{count}/{window_ms}ms"))
}

pub(crate) fn at(millis: i64) -> Moment {
    Moment::from_millis(1_700_000_000_000 + millis)
}

/// Takes as many as go at once.
fn burst(window: &mut TokenWindow, now: Moment) -> u32 {
    let mut sent = 0;
    while window.check(1, now) == Verdict::Now {
        window.take(1, now);
        sent += 1;
    }
    sent
}

#[test]
fn a_token_comes_back_a_window_after_its_answer() {
    let mut window = TokenWindow::with_full_lease(limit(1, 1_000));
    assert_eq!(window.check(1, at(0)), Verdict::Now);
    window.take(1, at(0));
    assert_eq!(window.check(1, at(0)), Verdict::WhenAnswered);
    assert_eq!(window.check(1, at(50_000)), Verdict::WhenAnswered, "however long it takes");
    window.answered(1, 1, at(50_000), at(50_000));
    assert_eq!(window.check(1, at(50_000)), Verdict::At(at(51_000)));
    assert_eq!(window.check(1, at(50_999)), Verdict::At(at(51_000)));
    assert_eq!(window.check(1, at(51_000)), Verdict::Now);
    assert_eq!((window.in_use(at(51_000)), window.peak()), (0, 1));
}

#[test]
fn a_check_charges_nothing() {
    let mut window = TokenWindow::with_full_lease(limit(2, 1_000));
    for _ in 0..100 {
        assert_eq!(window.check(1, at(0)), Verdict::Now);
    }
    assert_eq!(window.in_use(at(0)), 0);
}

#[test]
fn answers_out_of_order_come_back_in_order() {
    let mut window = TokenWindow::with_full_lease(limit(3, 120_000));
    assert_eq!(burst(&mut window, at(0)), 3);
    for answered in [30, 10, 20] {
        window.answered(1, 1, at(answered), at(answered));
    }
    for back in [10, 20, 30] {
        assert_eq!(window.check(1, at(back)), Verdict::At(at(120_000 + back)));
        assert_eq!(window.check(1, at(120_000 + back)), Verdict::Now);
        window.take(1, at(120_000 + back));
    }
    // An answer that nobody waits for gives back nothing.
    for _ in 0..9 {
        window.answered(1, 1, at(130_000), at(130_000));
    }
    assert_eq!(window.in_use(at(130_000)), 3);
}

#[test]
fn a_short_window_lets_half_go_at_once_and_spaces_the_rest() {
    let mut window = TokenWindow::with_full_lease(limit(10, 1_000));
    assert_eq!(burst(&mut window, at(0)), 6, "half of them, and the first slot");
    for slot in 1..5 {
        assert_eq!(window.check(1, at(slot * 100 - 1)), Verdict::At(at(slot * 100)));
        assert_eq!(burst(&mut window, at(slot * 100)), 1);
    }
    assert_eq!(window.check(1, at(500)), Verdict::WhenAnswered);
}

#[test]
fn slots_do_not_drift_and_a_little_lateness_is_caught_up() {
    let mut window = TokenWindow::with_full_lease(limit(100, 1_000));
    assert_eq!(burst(&mut window, at(0)), 51);
    // 3 ms late each time: the slots stay where they are.
    for slot in 1..10 {
        assert_eq!(burst(&mut window, at(slot * 10 + 3)), 1, "slot {slot}");
        assert_eq!(window.check(1, at(slot * 10 + 4)), Verdict::At(at(slot * 10 + 10)));
    }
    // Very late: no more than 20 ms are made up for, two slots and the one that is due.
    assert_eq!(burst(&mut window, at(400)), 3);
}

#[test]
fn leases_are_asked_for_ahead_and_never_exceed_the_limit() {
    let mut window = TokenWindow::new(limit(80, 120_000));
    assert_eq!((window.check(1, at(0)), window.next_lease(at(0))), (Verdict::NeedsLease, Some(10)));
    window.lease(10);
    assert_eq!(window.next_lease(at(0)), None);
    for _ in 0..5 {
        window.take(1, at(0));
    }
    assert_eq!(window.next_lease(at(0)), None, "half of the chunk is left");
    window.take(1, at(0));
    assert_eq!((window.check(1, at(0)), window.next_lease(at(0))), (Verdict::Now, Some(10)));
    window.lease(1_000);
    assert_eq!((window.capacity(), burst(&mut window, at(0))), (80, 74));
    assert_eq!((window.check(1, at(0)), window.next_lease(at(0))), (Verdict::WhenAnswered, None));

    // Few tokens: one by one.
    let mut few = TokenWindow::new(limit(2, 120_000));
    assert_eq!(few.next_lease(at(0)), Some(1));
    few.lease(1);
    assert_eq!(few.next_lease(at(0)), None);
    assert_eq!(burst(&mut few, at(0)), 1);
    assert_eq!(few.next_lease(at(0)), Some(1));
}

#[test]
fn a_denied_lease_is_asked_for_later() {
    let mut window = TokenWindow::new(limit(8, 120_000));
    window.lease_denied(at(500));
    assert_eq!((window.check(1, at(0)), window.next_lease(at(0))), (Verdict::At(at(500)), None));
    assert_eq!((window.check(1, at(500)), window.next_lease(at(500))), (Verdict::NeedsLease, Some(1)));

    window.lease(1);
    window.take(1, at(500));
    window.answered(1, 1, at(500), at(500));
    window.lease_denied(at(1_000));
    assert_eq!(window.check(1, at(600)), Verdict::At(at(1_000)), "the lease comes before the token");
    window.lease_denied(at(900_000));
    assert_eq!(window.check(1, at(600)), Verdict::At(at(120_500)), "the token comes before the lease");
    window.lease_denied_to_all(at(1_000));
    assert_eq!(window.check(1, at(600)), Verdict::At(at(120_500)), "others lack tokens as well");
    assert_eq!(window.next_lease(at(1_000)), Some(1), "but they are told");
}

#[test]
fn what_was_held_is_restored_and_what_is_in_use_is_held() {
    let mut window = TokenWindow::new(limit(4, 120_000));
    window.lease(4);
    window.restore(&[(at(100), 2), (at(50), 1)]);
    assert_eq!(window.in_use(at(0)), 3);
    assert_eq!(burst(&mut window, at(0)), 1);
    assert_eq!(window.check(1, at(0)), Verdict::At(at(50)));
    assert_eq!(window.held(at(10)), [(at(50), 1), (at(100), 2), (at(120_010), 1)]);
    assert_eq!(window.held(at(60)), [(at(100), 2), (at(120_060), 1)]);
    window.answered(1, 1, at(70), at(70));
    assert_eq!(window.held(at(80)), [(at(100), 2), (at(120_070), 1)]);
    assert_eq!(window.held(at(120_070)), []);
}

#[test]
fn a_request_takes_what_it_costs_and_waits_until_enough_is_back() {
    let mut window = TokenWindow::with_full_lease(limit(10, 120_000));
    for (cost, answered) in [(2, 10), (3, 20), (4, 30)] {
        assert_eq!(window.check(cost, at(0)), Verdict::Now);
        window.take(cost, at(0));
        window.answered(cost, cost, at(0), at(answered));
    }
    assert_eq!(window.left(at(30)), 1);
    let expected =
        [(0, None), (1, None), (2, Some(10)), (3, Some(10)), (4, Some(20)), (6, Some(20)), (7, Some(30))];
    for (cost, back) in expected {
        let verdict = back.map_or(Verdict::Now, |back| Verdict::At(at(120_000 + back)));
        assert_eq!(window.check(cost, at(30)), verdict, "{cost}");
    }
    // More than there is: all of it. Nothing that costs nothing waits.
    assert_eq!(window.check(99, at(30)), Verdict::At(at(120_030)));
    window.take(1, at(30));
    assert_eq!(window.check(10, at(30)), Verdict::WhenAnswered, "the tenth is in flight");
    assert_eq!(window.check(9, at(30)), Verdict::At(at(120_030)));
    assert_eq!(window.check(0, at(30)), Verdict::Now);
}

#[test]
fn what_was_not_spent_comes_back_at_once_and_what_was_overspent_is_waited_for() {
    let mut window = TokenWindow::with_full_lease(limit(100, 120_000));
    window.take(60, at(0));
    assert_eq!(window.check(41, at(0)), Verdict::WhenAnswered);
    window.answered(60, 10, at(0), at(5));
    assert_eq!((window.check(41, at(5)), window.in_use(at(5)), window.left(at(5))), (Verdict::Now, 10, 90));
    window.take(41, at(5));
    window.answered(41, 141, at(5), at(9));
    assert_eq!((window.in_use(at(9)), window.left(at(9)), window.peak()), (151, 0, 151));
    // The first ten coming back do not help: it is overdrawn by more.
    assert_eq!(window.check(1, at(120_005)), Verdict::At(at(120_009)));
    assert_eq!(window.left(at(120_009)), 100);
    // An answer can cost something though nothing was taken.
    window.answered(0, 7, at(120_009), at(120_010));
    assert_eq!(window.in_use(at(120_010)), 7);
}

#[test]
fn a_cost_spaces_what_follows_by_as_much() {
    let mut window = TokenWindow::with_full_lease(limit(100, 1_000));
    window.take(50, at(0));
    window.take(20, at(0));
    assert_eq!(window.check(1, at(0)), Verdict::At(at(200)));
    window.answered(20, 5, at(0), at(1));
    assert_eq!(window.check(1, at(1)), Verdict::At(at(50)), "what it did not cost does not space");
}

#[test]
fn tokens_that_are_kept_for_others_are_not_used() {
    let mut window = TokenWindow::with_full_lease(Limit { reserve: 4, ..limit(10, 120_000) });
    assert_eq!((window.capacity(), burst(&mut window, at(0)), window.left(at(0))), (6, 6, 0));
    assert_eq!(window.check(1, at(0)), Verdict::WhenAnswered);
}

#[test]
fn a_dear_request_leases_what_it_lacks() {
    let mut window = TokenWindow::new(limit(80, 120_000));
    assert_eq!(window.check(30, at(0)), Verdict::NeedsLease);
    assert_eq!(window.next_lease(at(0)), Some(30));
    window.lease(29);
    assert_eq!((window.check(30, at(0)), window.next_lease(at(0))), (Verdict::NeedsLease, Some(11)));
    assert!(window.is_wanting());
    assert!(!window.is_wanting(), "asked already");
    window.lease(1);
    assert_eq!((window.check(30, at(0)), window.is_wanting()), (Verdict::Now, false));
}

#[test]
fn memory_is_bounded_and_nothing_comes_back_early() {
    let hour = 3_600_000;
    let mut window = TokenWindow::with_full_lease(limit(1_000_000, hour));
    for n in 0..200_000 {
        window.take(1, at(n));
        window.answered(1, 1, at(n), at(n));
        assert!(n % 1_000 != 0 || window.in_use(at(n)) == u32::try_from(n).unwrap() + 1);
    }
    assert!(window.held(at(200_000)).len() <= 1_001);
    let first = window.held(at(200_000))[0];
    assert!(first.0 >= at(hour as i64) && first.0 <= at(hour as i64 + 3_600), "{first:?}");
}

#[test]
fn absurd_limits_and_moments_do_not_panic() {
    for (count, window) in [(0, 0), (0, 1), (1, 0), (u32::MAX, 1), (u32::MAX, u64::MAX), (1, u64::MAX)] {
        let limit = Limit::plain(count, Duration::from_millis(window), "");
        let mut window = TokenWindow::with_full_lease(limit);
        for now in [Moment(i64::MIN), Moment(0), Moment(i64::MAX), Moment(-1)] {
            let _ = window.check(1, now);
            window.take(1, now);
            window.answered(1, 1, now, now);
            window.restore(&[(now, u32::MAX)]);
            let _ = (window.held(now), window.in_use(now), window.next_lease(now));
        }
    }
}
