//! A limit that takes another one's place: what went before counts.

use std::time::Duration;

use entities::{Limit, Moment, ResetDay, Resets};
use proptest::prelude::*;
use rate_limit::{Budget, Past, Verdict, carried};

use crate::window::{at, limit};

/// What a limit of (count, window) remembers of answers at these times, at `now`.
fn past(window: i64, answers: &[(i64, u32)], now: i64) -> Past {
    let held: Vec<(Moment, u32)> = answers.iter().map(|&(time, n)| (at(time + window), n)).collect();
    let mut past = Past::default();
    past.add_held(Some(Duration::from_millis(window.unsigned_abs())), &held, at(now));
    past
}

#[track_caller]
fn check(new: &Limit, pasts: &[Past], now: i64, expected: &[(i64, u32)]) {
    let expected: Vec<_> = expected.iter().map(|&(time, tokens)| (at(time), tokens)).collect();
    assert_eq!(carried(new, pasts, at(now)), expected);
}

#[test]
fn what_went_before_counts_as_long_as_the_new_window_is() {
    let sent = [(100, 4), (900, 3)];
    // 10/s becomes 100/s, 1000/min, 2/s.
    check(&limit(100, 1_000), &[past(1_000, &sent, 1_000)], 1_000, &[(1_100, 4), (1_900, 3)]);
    check(&limit(1_000, 60_000), &[past(1_000, &sent, 1_000)], 1_000, &[(60_100, 4), (60_900, 3)]);
    // The last two that went are those that count.
    check(&limit(2, 1_000), &[past(1_000, &sent, 1_000)], 1_000, &[(1_900, 2)]);
    // 1000/min becomes 10/s: what is older than a second counts no more.
    let minute = past(60_000, &[(0, 50), (30_000, 5), (30_500, 1)], 31_200);
    check(&limit(10, 1_000), &[minute], 31_200, &[(31_500, 1)]);
    check(&limit(10, 1_000), &[], 0, &[]);
}

#[test]
fn several_that_remember_the_same_count_once() {
    let (short, long) = (past(1_000, &[(500, 3), (900, 2)], 1_000), past(60_000, &[(0, 7), (900, 2)], 1_000));
    let both = [short.clone(), long];
    check(&limit(100, 60_000), &both, 1_000, &[(60_000, 4), (60_500, 3), (60_900, 2)]);
    check(&limit(100, 1_000), &both, 1_000, &[(1_500, 3), (1_900, 2)]);
    check(&limit(100, 1_000), &[short.clone(), short.clone()], 1_000, &[(1_500, 3), (1_900, 2)]);
    // One that was not there lately knows of what the other has forgotten.
    let away = past(60_000, &[(-500, 7)], 1_000);
    check(&limit(100, 60_000), &[short, away], 1_000, &[(59_500, 7), (60_500, 3), (60_900, 2)]);
}

#[test]
fn a_calendar_does_not_tell_when_and_its_tokens_come_back_by_its_own() {
    let zone = jiff::tz::TimeZone::UTC;
    let resets = Resets { text: "00:00 UTC".to_owned(), every: ResetDay::Day, minute: 0, zone };
    let day = Limit { resets: Some(resets), ..limit(1_000, 86_400_000) };
    let mut from_day = Past::default();
    let reset = rate_limit::returns_at(&day, at(0));
    from_day.add_held(None, &[(reset, 5)], at(70));
    check(&limit(10, 1_000), &[from_day], 70, &[(1_070, 5)]);
    assert_eq!(carried(&day, &[past(1_000, &[(10, 3)], 20)], at(20)), [(reset, 3)]);
}

proptest! {
    /// However a limit changes: of requests answered at once, no window of the new limit's length sees more than
    /// it allows that could have been told (the old window is no shorter).
    #[test]
    fn a_changed_limit_is_kept_over_the_change(
        old_count in 1..50_u32, new_count in 1..50_u32, new_window in 1..1_000_i64, until in 1..2_000_i64,
    ) {
        let mut sent: Vec<i64> = Vec::new();
        let mut run = |budget: &mut Budget, from: i64, to: i64| {
            for now in from..to {
                while budget.check(&[], at(now)).0 == Verdict::Now {
                    budget.take(&[], at(now));
                    budget.answered(&[], &[], at(now), at(now));
                    sent.push(now);
                }
            }
        };
        let mut old = Budget::with_full_lease([limit(old_count, 1_000)]);
        run(&mut old, 0, until);
        let mut past = Past::default();
        old.windows()[0].remember(&mut past, at(until));
        let given = old.windows_mut()[0].retire(at(until));
        prop_assert_eq!(given.tokens, old_count);
        let mut new = Budget::with_full_lease([limit(new_count, new_window.unsigned_abs())]);
        let held = carried(new.windows()[0].limit(), &[past], at(until));
        new.windows_mut()[0].restore(&held);
        run(&mut new, until, until + 3_000);
        for &from in sent.iter().filter(|&&time| time + new_window > until) {
            let seen = sent.iter().filter(|&&time| (from..from + new_window).contains(&time)).count();
            // Before the change the old limit held.
            let before = sent.iter().filter(|&&time| (from..until).contains(&time)).count();
            prop_assert!(seen <= (new_count as usize).max(before), "{seen} from {from} on");
        }
    }
}

#[test]
fn a_limit_that_is_gone_holds_nobody_up_and_its_place_is_used_again() {
    let mut budget = Budget::with_full_lease([limit(1, 60_000), limit(50, 60_000)]);
    budget.take(&[], at(0));
    assert_eq!(budget.check(&[], at(0)).0, Verdict::WhenAnswered);
    let given = budget.windows_mut()[0].retire(at(0));
    assert_eq!((given.tokens, given.held), (1, vec![(at(60_000), 1)]));
    assert_eq!(budget.check(&[], at(0)).0, Verdict::Now);
    budget.take(&[], at(0));
    // What is in flight counts in the one that takes its place, and no more than that comes back.
    assert_eq!(budget.add(limit(3, 1_000)), 0);
    budget.windows_mut()[0].lease(3);
    assert_eq!((budget.windows_mut()[0].left(at(0)), budget.windows().len()), (1, 2));
    budget.answered(&[], &[], at(0), at(5));
    budget.answered(&[], &[], at(0), at(5));
    assert_eq!(budget.windows_mut()[0].held(at(5)), [(at(1_005), 2)]);
    // The same limit again is a new one.
    budget.windows_mut()[0].retire(at(6));
    assert_eq!(budget.add(limit(3, 1_000)), 0);
    assert_eq!(budget.windows()[0].capacity(), 0);
}
