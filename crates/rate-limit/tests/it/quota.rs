//! What the server's headers say is left: it only ever makes requests wait longer.

use std::time::Duration;

use entities::{Limit, ServerQuota};
use rate_limit::{Budget, Verdict, Why};

use crate::window::{at, limit};

/// `limit/window_s: remaining, resets in s`; 0 is not said.
fn quota(limit: u64, window: u64, remaining: u64, resets_in: u64) -> ServerQuota {
    let seconds = |seconds| (seconds > 0).then(|| Duration::from_secs(seconds));
    ServerQuota {
        limit: (limit > 0).then_some(limit),
        window: seconds(window),
        remaining,
        resets_in: seconds(resets_in),
    }
}

/// With ten of `100/h` used, and one in flight, the answer to a request says `said`. How many go then,
/// and in how many seconds the next may.
fn check(declared: &Limit, said: &[ServerQuota], goes: u32, again: Option<i64>) {
    let mut budget = Budget::with_full_lease([declared.clone()]);
    for _ in 0..10 {
        budget.take(&[], at(0));
    }
    for _ in 0..9 {
        budget.answered(&[], &[], at(0), at(10));
    }
    budget.heard(said, at(0), at(10));
    let mut sent = 0;
    while budget.check(&[], at(10)).0 == Verdict::Now {
        budget.take(&[], at(10));
        sent += 1;
    }
    assert_eq!(sent, goes, "{said:?}");
    let Some(again) = again else { return };
    let until = at(10 + again * 1_000);
    if sent > 0 {
        // The one in flight may be counted in what was said, or not: its answer will tell.
        assert_eq!(budget.check(&[], at(10)), (Verdict::WhenAnswered, Why::Quota), "{said:?}");
        assert_eq!(budget.closed_until(at(10)), None, "{said:?}");
    }
    for _ in 0..=sent {
        budget.answered(&[], &[], at(10), at(20));
    }
    assert_eq!(budget.check(&[], at(20)), (Verdict::At(until), Why::Quota), "{said:?}");
    assert_ne!(budget.check(&[], until).1, Why::Quota, "{said:?}");
    assert_eq!(budget.closed_until(until), None, "{said:?}");
}

#[test]
fn headers_only_tighten() {
    let hour = limit(100, 3_600_000);
    check(&hour, &[], 90, None);
    // As much as we think, or more.
    check(&hour, &[quota(100, 0, 90, 60)], 90, None);
    check(&hour, &[quota(100, 0, 5_000, 60)], 90, None);
    // Less: told by its count, or by its length; one is in flight.
    check(&hour, &[quota(100, 0, 20, 60)], 19, Some(60));
    check(&hour, &[quota(0, 3_600, 20, 60)], 19, Some(60));
    check(&hour, &[quota(100, 3_600, 0, 60)], 0, Some(60));
    // No reset said: a window from now.
    check(&hour, &[quota(100, 0, 20, 0)], 19, Some(3_600));
    check(&hour, &[quota(0, 3_600, 1, 0)], 0, Some(3_600));
    // A limit that the plan does not name holds as it is said.
    check(&hour, &[quota(7, 0, 6, 30)], 5, Some(30));
    check(&hour, &[quota(0, 0, 6, 30)], 5, Some(30));
    check(&hour, &[quota(7, 60, 6, 0)], 5, Some(60));
    check(&hour, &[quota(7, 0, 6, 0)], 90, None);
    // The tightest of several, by what is left, and the longest wait.
    check(&hour, &[quota(100, 0, 20, 60), quota(7, 0, 0, 30)], 0, Some(30));
    check(&hour, &[quota(100, 0, 1, 60), quota(7, 0, 1, 90)], 0, Some(90));
    // Nothing that can be said breaks anything.
    let absurd = ServerQuota { resets_in: Some(Duration::MAX), ..quota(u64::MAX, u64::MAX, u64::MAX, 0) };
    check(&hour, &[absurd], 90, None);
}

#[test]
fn what_is_left_is_compared_without_the_reserve() {
    let reserved = Limit { reserve: 30, ..limit(100, 3_600_000) };
    check(&reserved, &[], 60, None);
    check(&reserved, &[quota(100, 0, 90, 60)], 60, None);
    check(&reserved, &[quota(100, 0, 50, 60)], 19, Some(60));
    check(&reserved, &[quota(100, 0, 30, 60)], 0, Some(60));
}

#[test]
fn the_newest_word_counts() {
    let mut budget = Budget::with_full_lease([limit(100, 3_600_000)]);
    for _ in 0..3 {
        budget.take(&[], at(0));
        budget.answered(&[], &[], at(0), at(1));
    }
    for sent in [5, 10] {
        budget.take(&[], at(sent));
    }
    budget.answered(&[], &[], at(10), at(20));
    budget.heard(&[quota(100, 0, 1, 60)], at(10), at(20));
    assert_eq!(budget.check(&[], at(20)).1, Why::Quota, "the one that is left is for the one in flight");
    // It was counted before the other, that is, is in what that said.
    budget.answered(&[], &[], at(5), at(21));
    budget.heard(&[quota(100, 0, 2, 60)], at(5), at(21));
    assert_eq!(budget.check(&[], at(22)).1, Why::Open);
    assert_eq!(budget.check(&[2], at(22)).1, Why::Quota);
    budget.heard(&[quota(100, 0, 97, 60)], at(22), at(25));
    assert_eq!(budget.check(&[], at(25)), (Verdict::Now, Why::Open));
}

/// Five requests are sent one after the other; the server, which has given twelve to somebody else, counts
/// them in an order of its own, and the answers come in yet another.
#[test]
fn of_requests_under_way_together_the_one_with_less_left_is_the_later() {
    let mut budget = Budget::with_full_lease([limit(20, 3_600_000)]);
    for sent in 0..5 {
        budget.take(&[], at(sent));
    }
    // Three are left when all have been counted; those in flight may have been, or not.
    for (sent, remaining, goes) in [(4, 4, 0), (0, 7, 1), (1, 3, 1), (3, 5, 2), (2, 6, 3)] {
        budget.answered(&[], &[], at(sent), at(10));
        budget.heard(&[quota(20, 0, remaining, 60)], at(sent), at(10));
        let mut tried = budget.clone();
        let mut gone = 0;
        while tried.check(&[], at(10)).0 == Verdict::Now {
            tried.take(&[], at(10));
            gone += 1;
        }
        assert_eq!(gone, goes, "{remaining} left");
    }
}

#[test]
fn a_token_that_came_back_after_the_question_is_nobody_elses() {
    let mut budget = Budget::with_full_lease([limit(2, 120_000)]);
    budget.take(&[], at(0));
    budget.answered(&[], &[], at(0), at(10));
    budget.take(&[], at(120_000));
    // The server answered while it still counted the first.
    budget.answered(&[], &[], at(120_000), at(120_050));
    budget.heard(&[quota(2, 0, 0, 60)], at(120_000), at(120_050));
    assert_eq!(budget.check(&[], at(120_050)), (Verdict::Now, Why::Open));
}

#[test]
fn a_count_that_has_run_out_closes() {
    let mut budget = Budget::with_full_lease([limit(100, 3_600_000)]);
    budget.take(&[], at(0));
    budget.take(&[], at(0));
    budget.answered(&[], &[], at(0), at(10));
    budget.heard(&[quota(100, 0, 0, 60)], at(0), at(10));
    assert_eq!(budget.check(&[], at(10)), (Verdict::At(at(60_010)), Why::Quota), "though one is in flight");
    assert_eq!(budget.closed_until(at(10)), Some(at(60_010)));
}

#[test]
fn costs_count_in_the_servers_quota_too() {
    let mut budget = Budget::with_full_lease([limit(1_000, 3_600_000)]);
    budget.heard(&[quota(1_000, 0, 100, 60)], at(0), at(10));
    for (cost, verdict) in [(101, Why::Quota), (60, Why::Open), (41, Why::Quota), (40, Why::Open)] {
        assert_eq!(budget.check(&[cost], at(10)).1, verdict, "{cost}");
        if verdict == Why::Open {
            budget.take(&[cost], at(10));
        }
    }
    assert_eq!(budget.closed_until(at(10)), Some(at(60_010)));
}
