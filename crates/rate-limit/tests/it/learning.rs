//! What refusals teach, and how what was learned is kept.

use std::time::Duration;

use entities::{Limit, Moment, ServerQuota};
use rate_limit::{Budget, Learned, Verdict, Why};

use crate::window::{at, limit};

/// Takes as many as go at once.
fn burst(budget: &mut Budget, now: Moment) -> u32 {
    let mut sent = 0;
    while budget.check(&[], now).0 == Verdict::Now {
        budget.take(&[], now);
        sent += 1;
    }
    sent
}

/// Requests that are answered well, `rtt` ms after they went, one by one.
fn good(budget: &mut Budget, count: i64, from: i64, every: i64, rtt: i64) {
    for nth in 0..count {
        let sent = from + nth * every;
        budget.take(&[], at(sent));
        budget.answered(&[], &[], at(sent), at(sent + rtt));
    }
}

/// A request that is refused.
fn refused(budget: &mut Budget, sent: i64, now: i64) -> Vec<usize> {
    budget.take(&[], at(sent));
    budget.answered(&[], &[], at(sent), at(now));
    budget.refused(at(sent), at(now))
}

fn gap(budget: &Budget, index: usize) -> Option<u64> {
    budget.windows()[index].learned().map(|learned| learned.gap.as_millis() as u64)
}

#[test]
fn a_quota_has_no_gaps_until_the_server_refuses() {
    let mut budget = Budget::with_full_lease([limit(3_600, 3_600_000)]);
    for _ in 0..1_000 {
        assert_eq!(budget.check(&[], at(0)).0, Verdict::Now);
        budget.take(&[], at(0));
    }
    assert_eq!(budget.refused(at(0), at(0)), [0]);
    assert_eq!(budget.check(&[], at(0)), (Verdict::At(at(1_000)), Why::Limit(0)));
    assert_eq!(burst(&mut budget, at(1_000)), 1);
    assert_eq!(budget.check(&[], at(1_001)).0, Verdict::At(at(2_000)));
    // The echoes of the same refusal teach nothing more.
    assert!(budget.refused(at(0), at(1_500)).is_empty());
    assert_eq!(gap(&budget, 0), Some(1_000));
}

#[test]
fn a_short_limit_is_spaced_from_the_first_token_on() {
    let mut budget = Budget::with_full_lease([limit(10, 1_000)]);
    assert_eq!(burst(&mut budget, at(0)), 6);
    assert_eq!(budget.refused(at(0), at(10)), [0]);
    for sent in 0..6 {
        budget.answered(&[], &[], at(0), at(10 + sent));
    }
    // Of lateness, here of the first, 5 ms are caught up.
    for (now, next) in [(2_010, 2_105), (2_105, 2_205), (2_205, 2_305)] {
        assert_eq!(burst(&mut budget, at(now)), 1);
        assert_eq!(budget.check(&[], at(now)).0, Verdict::At(at(next)));
    }
}

#[test]
fn nothing_is_caught_up_after_a_closure() {
    let mut budget = Budget::with_full_lease([limit(10, 1_000), limit(1_000, 60_000)]);
    budget.close_until(at(90_000));
    assert_eq!(burst(&mut budget, at(89_999)), 0);
    // Both are free of anything in use, and yet one goes, and the next a gap later.
    assert_eq!(burst(&mut budget, at(90_000)), 1);
    assert_eq!(
        budget.check(&[], at(90_000)),
        (Verdict::WhenAnswered, Why::Closed),
        "it tries the door alone"
    );
    budget.answered(&[], &[], at(90_000), at(90_020));
    assert_eq!(budget.check(&[], at(90_020)).0, Verdict::At(at(90_100)));
}

#[test]
fn refusals_widen_by_how_often_they_come() {
    // After so many answers the gap of 100 ms becomes that; jitter is 200 ms.
    let cases = [(5, 300), (19, 110), (500, 110), (1_500, 100)];
    for (answers, expected) in cases {
        let mut budget = Budget::with_full_lease([limit(10, 1_000)]);
        good(&mut budget, 2, 0, 100, 10);
        assert_eq!(refused(&mut budget, 300, 310), [0]);
        assert_eq!(gap(&budget, 0), Some(100));
        good(&mut budget, 1, 400, 100, 210);
        good(&mut budget, answers - 1, 1_000, 100, 10);
        let end = 1_000 + answers * 100;
        let taught = refused(&mut budget, end, end + 10);
        assert_eq!(gap(&budget, 0), Some(expected), "after {answers} answers");
        assert_eq!(taught.len(), usize::from(expected != 100));
    }
}

#[test]
fn refusals_without_a_good_answer_in_between_teach_once() {
    let mut budget = Budget::with_full_lease([limit(100, 10_000)]);
    good(&mut budget, 2, 0, 100, 10);
    assert_eq!(refused(&mut budget, 300, 310), [0]);
    let taught: Vec<usize> =
        (1..8).map(|nth| refused(&mut budget, nth * 1_000, nth * 1_000 + 10).len()).collect();
    assert_eq!(taught, [0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(gap(&budget, 0), Some(125));
}

#[test]
fn of_several_limits_the_shortest_unspaced_learns_then_the_widest_gap() {
    let limits = [limit(600, 60_000), limit(20, 1_000), limit(3_000, 3_600_000)];
    let mut budget = Budget::with_full_lease(limits);
    let mut order = vec![];
    for nth in 0..5_i64 {
        good(&mut budget, 2, nth * 100_000, 1_000, 10);
        order.extend(refused(&mut budget, nth * 100_000 + 5_000, nth * 100_000 + 5_010));
    }
    assert_eq!(order, [1, 0, 2, 2, 2]);
}

#[test]
fn limits_per_day_begin_to_learn_with_a_second() {
    let mut budget = Budget::with_full_lease([limit(1_440, 86_400_000)]);
    let mut gaps = vec![];
    for nth in 0..9_i64 {
        good(&mut budget, 30, nth * 1_000_000, 100, 10);
        refused(&mut budget, nth * 1_000_000 + 5_000, nth * 1_000_000 + 5_010);
        gaps.extend(gap(&budget, 0));
    }
    assert_eq!(gaps, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 66_000, 72_600]);
}

#[test]
fn what_the_server_counts_itself_teaches_no_more_than_spacing() {
    let mut budget = Budget::with_full_lease([limit(1_000, 3_600_000)]);
    let empty = ServerQuota {
        limit: Some(1_000),
        remaining: 0,
        resets_in: Some(Duration::from_millis(500)),
        ..ServerQuota::default()
    };
    let mut taught = vec![];
    for nth in 0..4_i64 {
        let now = nth * 400_000;
        good(&mut budget, 50, now, 100, 10);
        budget.take(&[], at(now + 6_000));
        budget.answered(&[], &[], at(now + 6_000), at(now + 6_010));
        budget.heard(std::slice::from_ref(&empty), at(now + 6_000), at(now + 6_010));
        assert_eq!(budget.closed_until(at(now + 6_010)), Some(at(now + 6_510)));
        taught.push(budget.refused(at(now + 6_000), at(now + 6_010)).len());
    }
    assert_eq!(taught, [0, 1, 0, 0]);
    assert_eq!(gap(&budget, 0), Some(3_600));
}

#[test]
fn a_widened_gap_shrinks_while_nothing_is_refused() {
    let mut budget = Budget::with_full_lease([limit(10, 1_000)]);
    let learned = Learned { gap: Duration::from_millis(200), refusals: 2, at: at(0) };
    budget.windows_mut()[0].learn(learned);
    good(&mut budget, 1_999, 1, 10, 1);
    assert_eq!(gap(&budget, 0), Some(200));
    good(&mut budget, 1, 20_000, 10, 1);
    assert_eq!(gap(&budget, 0), Some(198));
}

#[test]
fn what_was_learned_is_taken_over_if_it_is_more() {
    let mut budget = Budget::with_full_lease([limit(10, 1_000)]);
    let learned = |gap, refusals| Learned { gap: Duration::from_millis(gap), refusals, at: at(5) };
    for (news, expected) in [(150, 150), (120, 150), (180, 180), (1, 180), (u64::MAX, 1_000)] {
        budget.windows_mut()[0].learn(learned(news, 3));
        assert_eq!(gap(&budget, 0), Some(expected));
    }
    assert_eq!(learned(200, 1).rate(), 5.0);
    let day = Duration::from_secs(86_400);
    assert!(!learned(1, 1).is_stale(at(5) + 30 * day));
    assert!(learned(1, 1).is_stale(at(6) + 30 * day));
}

/// When requests go, in ms, if each is answered `rtt` later; one at a time, or not.
fn goes(budget: &mut Budget, count: usize, rtt: i64, wait_for_answers: bool) -> Vec<i64> {
    let (mut now, mut sent) = (0, vec![]);
    while sent.len() < count {
        match budget.check(&[], at(now)).0 {
            Verdict::Now => {
                budget.take(&[], at(now));
                sent.push(now);
                if wait_for_answers {
                    now += rtt;
                    budget.answered(&[], &[], at(now - rtt), at(now));
                }
            }
            Verdict::At(then) => now = then.as_millis() - at(0).as_millis(),
            verdict => panic!("{verdict:?}"),
        }
    }
    sent
}

#[test]
fn after_a_widened_gap_one_request_at_a_time_is_as_good() {
    let strict = || {
        let mut budget = Budget::with_full_lease([limit(100, 1_000)]);
        good(&mut budget, 64, -9_000, 50, 2);
        // Round trips differ by 98 ms.
        good(&mut budget, 1, -4_000, 1, 100);
        budget.refused(at(-4_000), at(-3_900));
        good(&mut budget, 1, -3_000, 1, 2);
        refused(&mut budget, -2_000, -1_998);
        budget
    };
    // Not W/L and the jitter (108 ms), but four times what one request at a time needs.
    assert_eq!(gap(&strict(), 0), Some(45));
    // W/L after the answer, less the least round trip: 5 + 10 - 2 ms.
    assert_eq!(goes(&mut strict(), 4, 5, true), [0, 13, 26, 39]);
    let mut one = strict();
    assert_eq!(burst(&mut one, at(0)), 1);
    assert_eq!(one.check(&[], at(1_000)).0, Verdict::WhenAnswered);
}

#[test]
fn processes_take_turns_with_a_gap_that_was_taught() {
    let mut all = vec![];
    for rank in 0..3 {
        let mut budget = Budget::with_full_lease([limit(10, 1_000)]);
        let window = &mut budget.windows_mut()[0];
        window.learn(Learned { gap: Duration::from_millis(200), refusals: 2, at: at(0) });
        window.placed(rank, 3);
        let own = goes(&mut budget, 3, 0, false);
        assert!(own.windows(2).all(|pair| pair[1] - pair[0] == 600), "{own:?}");
        all.extend(own);
    }
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[1] - pair[0] == 200), "{all:?}");
}

#[test]
fn spacing_is_by_our_share() {
    let mut budget = Budget::new([limit(100, 1_000)]);
    budget.windows_mut()[0].placed(0, 4);
    budget.windows_mut()[0].lease(25);
    // Half of the share at once, and then 40 ms apart.
    assert_eq!(burst(&mut budget, at(0)), 14);
    assert_eq!(budget.check(&[], at(0)).0, Verdict::At(at(40)));
    let reserved = Limit { reserve: 50, ..limit(100, 1_000) };
    let mut budget = Budget::with_full_lease([reserved]);
    assert_eq!(burst(&mut budget, at(0)), 26);
    assert_eq!(budget.check(&[], at(0)).0, Verdict::At(at(20)));
}
