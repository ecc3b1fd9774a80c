//! Tables of moments: what is due when, also where clocks are set.

use std::time::Duration;

use entities::{Moment, Place, Schedule, When};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Timetable;

fn moment(text: &str) -> Moment {
    let at: Timestamp = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    Moment(i64::try_from(at.as_nanosecond()).unwrap())
}

fn cron(expression: &str, zone: &str) -> Timetable {
    let when = When::Cron { expression: expression.to_owned(), zone: TimeZone::get(zone).unwrap() };
    Timetable::new(&Schedule { when, text: String::new(), at: Place::default() }).unwrap()
}

/// The due moments behind `from`, one after the other, each honoured at its time.
fn dues(timetable: &Timetable, from: &str, count: usize) -> Vec<String> {
    let (since, mut honoured, mut found) = (moment(from), None, Vec::new());
    for _ in 0..count {
        let now = honoured.unwrap_or(since);
        let due = timetable.due(since, honoured, now).unwrap();
        found.push(due.to_rfc3339().replace(":00.000Z", "Z"));
        honoured = Some(timetable.honour(due, due));
    }
    found
}

#[test]
fn cron_is_right_where_clocks_are_set() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        // Plain days.
        ("0 6 * * *", "UTC", "2026-01-01T00:00Z", &["2026-01-01T06:00Z", "2026-01-02T06:00Z"]),
        ("0 6 * * *", "UTC", "2026-01-01T06:00Z", &["2026-01-02T06:00Z"]),
        ("0 6 * * *", "Asia/Shanghai", "2026-01-01T00:00Z", &["2026-01-01T22:00Z", "2026-01-02T22:00Z"]),
        ("30 9 * * 1-5", "Asia/Shanghai", "2026-01-02T02:00Z", &["2026-01-05T01:30Z", "2026-01-06T01:30Z"]),
        ("0 0 1 * *", "America/New_York", "2026-02-15T00:00Z", &["2026-03-01T05:00Z", "2026-04-01T04:00Z"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00Z", &["2028-02-29T00:00Z", "2032-02-29T00:00Z"]),
        // Berlin leaves out 02:00 to 03:00 on 2026-03-29 (01:00Z).
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00Z",
            &["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"],
        ),
        // Several times within the gap are one.
        (
            "0,15,30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00Z",
            &["2026-03-29T01:00Z", "2026-03-30T00:00Z"],
        ),
        ("*/10 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", &["2026-03-29T01:00Z", "2026-03-30T00:00Z"]),
        // And the one right behind it is the same one.
        ("30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00Z", &["2026-03-29T01:00Z", "2026-03-29T01:30Z"]),
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00Z", &["2026-03-29T01:00Z", "2026-03-30T00:00Z"]),
        // Every hour: nothing is made up for, nothing is left out.
        (
            "30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00Z",
            &["2026-03-29T00:30Z", "2026-03-29T01:30Z", "2026-03-29T02:30Z"],
        ),
        // Berlin has 02:00 to 03:00 twice on 2026-10-25 (00:00Z and 01:00Z).
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", &["2026-10-25T00:30Z", "2026-10-26T01:30Z"]),
        (
            "0,30 2,3 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00Z",
            &["2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-25T02:00Z", "2026-10-25T02:30Z"],
        ),
        (
            "30 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:45Z",
            &["2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-25T02:30Z"],
        ),
        (
            "*/20 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:30Z",
            &["2026-10-25T00:40Z", "2026-10-25T01:00Z", "2026-10-25T01:20Z", "2026-10-25T01:40Z"],
        ),
        // Begun within the second of two hours: the first has passed.
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10Z", &["2026-10-26T01:30Z"]),
        // New York leaves out 02:00 to 03:00 on 2026-03-08 (07:00Z), and has 01:00 to 02:00 twice on 2026-11-01.
        ("15 2 * * *", "America/New_York", "2026-03-07T12:00Z", &["2026-03-08T07:00Z", "2026-03-09T06:15Z"]),
        ("15 1 * * *", "America/New_York", "2026-10-31T12:00Z", &["2026-11-01T05:15Z", "2026-11-02T06:15Z"]),
        (
            "0 */2 * * *",
            "America/New_York",
            "2026-03-08T04:00Z",
            &["2026-03-08T05:00Z", "2026-03-08T07:00Z", "2026-03-08T08:00Z"],
        ),
        // Shanghai sets no clock.
        ("30 2 * * *", "Asia/Shanghai", "2026-03-28T00:00Z", &["2026-03-28T18:30Z", "2026-03-29T18:30Z"]),
        // Lord Howe sets it by half an hour: 02:00 to 02:30 is left out on 2026-10-04 (15:30Z the day before), and 01:30 to
        // 02:00 comes twice on 2026-04-05 (14:30Z and 15:00Z the day before).
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-02T20:00Z",
            &["2026-10-03T15:30Z", "2026-10-04T15:15Z"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-03T20:00Z",
            &["2026-04-04T14:45Z", "2026-04-05T15:15Z"],
        ),
        (
            "45 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:00Z",
            &["2026-04-04T14:45Z", "2026-04-04T15:15Z", "2026-04-04T16:15Z"],
        ),
        // Samoa had no 2011-12-30: the gap ended at 10:00Z.
        ("0 12 30 * *", "Pacific/Apia", "2011-12-01T00:00Z", &["2011-12-30T10:00Z", "2012-01-29T22:00Z"]),
    ];
    for (expression, zone, from, expected) in cases {
        let found = dues(&cron(expression, zone), from, expected.len());
        assert_eq!(found, *expected, "{expression} {zone} from {from}");
    }
}

#[test]
fn every_keeps_to_its_grid_and_makes_up_for_what_was_missed_once() {
    let every = Timetable::Every(Duration::from_secs(3_600));
    // Since, last honoured, now; due, and what is honoured then.
    let cases = [
        ("2026-01-01T00:10Z", None, "2026-01-01T00:10Z", "2026-01-01T00:10Z", "2026-01-01T00:10Z"),
        ("2026-01-01T00:10Z", None, "2026-01-01T05:00Z", "2026-01-01T00:10Z", "2026-01-01T04:10Z"),
        (
            "2026-01-01T00:10Z",
            Some("2026-01-01T00:10Z"),
            "2026-01-01T00:20Z",
            "2026-01-01T01:10Z",
            "2026-01-01T01:10Z",
        ),
        // A day was missed: once.
        (
            "2026-01-01T00:10Z",
            Some("2026-01-01T00:10Z"),
            "2026-01-02T07:15Z",
            "2026-01-01T01:10Z",
            "2026-01-02T07:10Z",
        ),
        // The clock was set back by half an hour: not twice.
        (
            "2026-01-01T00:10Z",
            Some("2026-01-01T07:10Z"),
            "2026-01-01T06:40Z",
            "2026-01-01T08:10Z",
            "2026-01-01T08:10Z",
        ),
        // It was years ahead when that was noted: that does not count.
        (
            "2026-01-01T00:10Z",
            Some("2031-01-01T00:10Z"),
            "2026-01-01T06:40Z",
            "2026-01-01T00:10Z",
            "2026-01-01T06:10Z",
        ),
    ];
    for (since, honoured, now, due, honours) in cases {
        let at = every.due(moment(since), honoured.map(moment), moment(now)).unwrap();
        assert_eq!(at, moment(due), "{since} {honoured:?} {now}");
        assert_eq!(every.honour(at, moment(now).max(at)), moment(honours), "{since} {honoured:?} {now}");
    }
}

#[test]
fn cron_makes_up_for_what_was_missed_once() {
    let daily = cron("0 6 * * *", "Europe/Berlin");
    let (since, now) = (moment("2026-01-01T00:00Z"), moment("2026-01-05T12:00Z"));
    let due = daily.due(since, None, now).unwrap();
    assert_eq!(due, moment("2026-01-01T05:00Z"));
    let honoured = daily.honour(due, now);
    assert_eq!(daily.due(since, Some(honoured), now), Some(moment("2026-01-06T05:00Z")));
}

#[test]
fn each_due_moment_is_behind_the_last() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"] {
        for expression in ["*/7 * * * *", "30 1-3 * * *", "0 2 * * 0", "59 23 * * *", "*/30 */3 * * *"] {
            let timetable = cron(expression, zone);
            for from in ["2026-03-27T00:00Z", "2026-10-23T00:00Z", "2026-04-03T12:00Z", "2026-11-01T00:00Z"] {
                let mut at = moment(from);
                for _ in 0..60 {
                    let next = timetable.due(at, Some(at), at).unwrap();
                    assert!(next > at, "{expression} {zone} behind {}", at.to_rfc3339());
                    // Nothing between the two is due either.
                    let between = Moment(at.0.midpoint(next.0));
                    assert_eq!(timetable.due(at, Some(between), between), Some(next), "{expression} {zone}");
                    at = next;
                }
            }
        }
    }
}

#[test]
fn what_never_comes_is_found_out_soon() {
    let never = cron("0 0 30 2 *", "Europe/Berlin");
    assert_eq!(never.due(moment("2026-01-01T00:00Z"), None, moment("2026-01-01T00:00Z")), None);
}
