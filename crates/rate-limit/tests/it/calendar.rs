//! When tokens come back.

use std::time::Duration;

use entities::{Limit, Moment, ResetDay, Resets};
use jiff::{Timestamp, tz::TimeZone};
use rate_limit::{Budget, Verdict, returns_at};

use crate::window::{at, limit};

fn moment(text: &str) -> Moment {
    let timestamp: Timestamp = text.parse().unwrap();
    Moment(i64::try_from(timestamp.as_nanosecond()).unwrap())
}

fn daily(count: u32) -> Limit {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let resets = Resets { text: "00:00 Asia/Shanghai".to_owned(), every: ResetDay::Day, minute: 0, zone };
    Limit { resets: Some(resets), ..Limit::plain(count, Duration::from_secs(86_400), "day") }
}

#[test]
fn tokens_come_back_after_a_window_or_at_the_next_reset() {
    assert_eq!(returns_at(&limit(1, 1_000), at(7)), at(1_007));
    let cases = [
        ("2026-11-22T10:00:00Z", "2026-11-22T16:00:02.000Z"),
        ("2026-11-22T15:59:57.9Z", "2026-11-22T16:00:02.000Z"),
        // It may count in both days.
        ("2026-11-22T15:59:58Z", "2026-11-23T16:00:02.000Z"),
        ("2026-11-22T16:00:01Z", "2026-11-23T16:00:02.000Z"),
    ];
    let mut budget = Budget::with_full_lease([daily(100)]);
    for (answered, expected) in cases {
        let answered = moment(answered);
        assert_eq!(returns_at(&daily(1), answered).to_rfc3339(), expected);
        // The same without asking the calendar each time.
        budget.take(&[], answered);
        budget.answered(&[], &[], answered, answered);
        let held = budget.windows()[0].held(answered);
        assert!(held.contains(&(moment(expected), 1)) || held.contains(&(moment(expected), 2)), "{held:?}");
    }
}

#[test]
fn a_calendar_quota_comes_back_at_once() {
    let mut budget = Budget::with_full_lease([daily(3)]);
    for hour in ["10", "11", "12"] {
        let now = moment(&format!("2026-11-22T{hour}:00:00Z"));
        budget.take(&[], now);
        budget.answered(&[], &[], now, now);
    }
    let reset = moment("2026-11-22T16:00:02Z");
    assert_eq!(budget.check(&[], moment("2026-11-22T13:00:00Z")).0, Verdict::At(reset));
    assert_eq!(budget.check(&[3], reset).0, Verdict::Now);
}

#[test]
fn calendar_and_sliding_limits_of_one_size_are_two() {
    let sliding = Limit { resets: None, ..daily(3) };
    let mut budget = Budget::new([daily(3), sliding.clone()]);
    assert_eq!((budget.add(daily(3)), budget.add(sliding), budget.windows().len()), (0, 1, 2));
}
