//! Halves of windows.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn splitter(zone: &str, granularity: i64) -> Splitter {
    Splitter {
        window: None,
        batch: None,
        zone: TimeZone::get(zone).unwrap(),
        granularity: SignedDuration::from_secs(granularity),
        start: None,
        paging: Vec::new(),
        at: Place::default(),
    }
}

#[test]
fn windows_are_halved() {
    const DAY: i64 = 86_400;
    for (zone, granularity, start, end, expected) in [
        // Between days.
        (
            "UTC",
            1,
            "2024-01-01T00:00:00Z",
            "2024-01-03T00:00:00Z",
            Some(("2024-01-02T00:00:00Z", "2024-01-01T23:59:59Z")),
        ),
        (
            "UTC",
            1,
            "2024-01-01T00:00:00Z",
            "2024-01-04T00:00:00Z",
            Some(("2024-01-02T00:00:00Z", "2024-01-01T23:59:59Z")),
        ),
        (
            "UTC",
            DAY,
            "2024-01-01T00:00:00Z",
            "2024-01-31T00:00:00Z",
            Some(("2024-01-16T00:00:00Z", "2024-01-15T00:00:00Z")),
        ),
        (
            "Asia/Shanghai",
            1,
            "2024-01-01T00:00:00+08:00",
            "2024-01-03T00:00:00+08:00",
            Some(("2024-01-02T00:00:00+08:00", "2024-01-01T23:59:59+08:00")),
        ),
        // The night in which a zone's clock moves.
        (
            "Europe/Berlin",
            1,
            "2024-03-30T00:00:00+01:00",
            "2024-04-01T00:00:00+02:00",
            Some(("2024-03-31T00:00:00+01:00", "2024-03-30T23:59:59+01:00")),
        ),
        // Midnight elsewhere is none here.
        (
            "UTC",
            1,
            "2024-01-01T00:00:00+08:00",
            "2024-01-03T00:00:00+08:00",
            Some(("2024-01-01T16:00:00Z", "2024-01-01T15:59:59Z")),
        ),
        // Within a day.
        (
            "UTC",
            1,
            "2024-01-01T00:00:00Z",
            "2024-01-02T00:00:00Z",
            Some(("2024-01-01T12:00:00Z", "2024-01-01T11:59:59Z")),
        ),
        (
            "UTC",
            3600,
            "2024-01-01T00:00:00Z",
            "2024-01-01T03:00:00Z",
            Some(("2024-01-01T01:00:00Z", "2024-01-01T00:00:00Z")),
        ),
        ("UTC", DAY, "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", None),
        ("UTC", 1, "2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z", None),
        ("UTC", 1, "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", None),
        ("UTC", 1, "2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z", None),
    ] {
        let window = json!({ "start": start, "end": end, "last": "L" });
        let halves = splitter(zone, granularity).halve_window(Some(&window));
        let expected = expected.map(|(middle, last)| {
            [
                json!({ "start": start, "end": middle, "last": last }),
                json!({ "start": middle, "end": end, "last": "L" }),
            ]
        });
        assert_eq!(halves, expected, "{zone} {granularity} {start} {end}");
    }
    for odd in [json!(null), json!([]), json!({}), json!({ "start": "x", "end": "y" })] {
        assert_eq!(splitter("UTC", 1).halve_window(Some(&odd)), None, "{odd}");
    }
}

#[test]
fn lists_are_halved() {
    assert_eq!(halve_list(Some(&json!([1, 2, 3]))), Some([json!([1, 2]), json!([3])]));
    assert_eq!(halve_list(Some(&json!([1]))), None);
    assert_eq!(halve_list(Some(&json!([]))), None);
    assert_eq!(halve_list(Some(&json!({}))), None);
    assert_eq!(halve_list(None), None);
}

proptest! {
    #[test]
    fn halves_meet_and_end(start in 0i64..2_000_000_000, length in 0i64..40_000_000, granularity in 1i64..100_000) {
        let splitter = splitter("America/New_York", granularity);
        let at = |second| Timestamp::from_second(second).unwrap();
        let (mut from, mut to) = (at(start), at(start + length));
        let mut steps = 0;
        while let Some(middle) = splitter.middle(from, to) {
            prop_assert!(from < middle && middle < to);
            steps += 1;
            prop_assert!(steps < 64, "it does not end");
            if steps % 2 == 0 { from = middle } else { to = middle }
        }
    }
}
