//! Timelines as data: limits, work, and what comes of it.

use entities::{ResetDay, Resets};
use jiff::tz::TimeZone;

use super::*;

/// 18:00 in Shanghai.
const NOW: &str = "2026-11-22T10:00:00Z";
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

fn now() -> Moment {
    let now: jiff::Timestamp = NOW.parse().unwrap();
    Moment::from_millis(now.as_millisecond())
}

fn gate(count: u32, seconds: u64) -> Gate {
    Gate {
        limit: Limit::plain(count, Duration::from_secs(seconds), format!("{count}/{seconds}s")),
        cost: 1.0,
        held: Vec::new(),
        closed: None,
        gap: None,
    }
}

fn shanghai(count: u32) -> Gate {
    let mut gate = gate(count, DAY);
    gate.limit.resets = Some(Resets {
        text: "00:00 Asia/Shanghai".to_owned(),
        every: ResetDay::Day,
        minute: 0,
        zone: TimeZone::get("Asia/Shanghai").unwrap(),
    });
    gate
}

fn later(seconds: u64) -> Moment {
    now() + Duration::from_secs(seconds)
}

struct Case {
    name: &'static str,
    requests: f64,
    gates: Vec<Gate>,
    places: f64,
    view: View,
    /// Seconds until the last request goes, and how far off the answer may be.
    end: (f64, f64),
    /// Of the last gate: when it is used up, when it opens.
    dry: Option<(f64, f64)>,
    paused: u64,
}

impl Default for Case {
    fn default() -> Case {
        Case {
            name: "",
            requests: 0.0,
            gates: Vec::new(),
            places: f64::INFINITY,
            view: View::Likely,
            end: (0.0, 0.01),
            dry: None,
            paused: 0,
        }
    }
}

fn check(case: &Case) {
    let stream = Stream {
        requests: case.requests,
        gates: &case.gates,
        places: case.places,
        latency: 0.0,
        view: case.view,
        patience: Duration::from_secs(2 * HOUR),
    };
    let found = run(&stream, now());
    let name = case.name;
    let (end, off) = case.end;
    assert!((found.end.as_secs_f64() - end).abs() <= off, "{name}: {:?}", found.end);
    let dry = found.dry.last().copied().flatten();
    assert_eq!(dry.is_some(), case.dry.is_some(), "{name}: {found:?}");
    if let (Some((runs_out, opens)), Some((expected_out, expected_opens))) = (dry, case.dry) {
        let off = 60.0;
        assert!((runs_out.as_secs_f64() - expected_out).abs() <= off, "{name}: out {runs_out:?}");
        assert!((opens.as_secs_f64() - expected_opens).abs() <= off, "{name}: opens {opens:?}");
    }
    assert_eq!(found.paused, case.paused, "{name}: {:?}", found.pauses);
    assert!(found.pauses.len() as u64 <= found.paused && found.pauses.len() <= KEPT_PAUSES, "{name}");
    assert!(found.pauses.iter().all(|pause| pause.from < pause.until), "{name}: {:?}", found.pauses);
}

#[test]
fn work_under_limits() {
    let held = |mut gate: Gate, tokens, seconds| {
        gate.held = vec![(later(seconds), tokens)];
        gate
    };
    let costing = |mut gate: Gate, cost| {
        gate.cost = cost;
        gate
    };
    let reserved = |mut gate: Gate, reserve| {
        gate.limit.reserve = reserve;
        gate
    };
    let closed = |mut gate: Gate, seconds| {
        gate.closed = Some(later(seconds));
        gate
    };
    let learned = |mut gate: Gate, rate: f64| {
        gate.gap = Some(Duration::from_secs_f64(1.0 / rate));
        gate
    };
    let cases = [
        Case { name: "nothing to do", gates: vec![gate(1, HOUR)], ..Case::default() },
        Case { name: "no limit", requests: 1e6, ..Case::default() },
        Case { name: "small work", requests: 5.0, gates: vec![gate(10, 1)], ..Case::default() },
        Case {
            name: "a pace",
            requests: 105.0,
            gates: vec![gate(10, 1)],
            end: (10.5, 0.1),
            ..Case::default()
        },
        Case {
            name: "a pace, at least",
            requests: 110.0,
            gates: vec![gate(10, 1)],
            view: View::Least,
            end: (10.0, 0.1),
            ..Case::default()
        },
        Case {
            name: "the slower of two paces",
            requests: 650.0,
            gates: vec![gate(10, 1), gate(100, 60)],
            end: (390.0, 1.0),
            ..Case::default()
        },
        Case {
            name: "places",
            requests: 400.0,
            gates: vec![gate(10, 1)],
            places: 4.0,
            end: (100.0, 0.1),
            ..Case::default()
        },
        Case {
            name: "a cost",
            requests: 1_200.0,
            gates: vec![costing(gate(600, 60), 5.0)],
            end: (600.0, 1.0),
            ..Case::default()
        },
        Case {
            name: "a cost above the limit",
            requests: 3.0,
            gates: vec![costing(gate(10, HOUR), 50.0)],
            end: (2.0 * 3_600.0, 1.0),
            dry: Some((0.0, 3_600.0)),
            ..Case::default()
        },
        Case {
            name: "nothing to pay",
            requests: 1e9,
            gates: vec![costing(gate(10, HOUR), 0.0)],
            ..Case::default()
        },
        Case {
            name: "a quota behind a pace",
            requests: 3_000.0,
            gates: vec![gate(100, 60), gate(1_000, HOUR)],
            end: (7_770.0, 60.0),
            dry: Some((570.0, 3_600.0)),
            ..Case::default()
        },
        Case {
            name: "windows do not drift",
            requests: 50_000.0,
            gates: vec![gate(10, 1), gate(1_000, HOUR)],
            end: (49.0 * 3_600.0 + 99.5, 60.0),
            dry: Some((99.5, 3_600.0)),
            ..Case::default()
        },
        Case {
            name: "a reserve",
            requests: 1_500.0,
            gates: vec![reserved(gate(1_000, HOUR), 500)],
            end: (7_200.0, 1.0),
            dry: Some((0.0, 3_600.0)),
            ..Case::default()
        },
        Case {
            name: "used before",
            requests: 3_000.0,
            gates: vec![held(gate(5_000, HOUR), 4_000, 1_800)],
            end: (1_800.0, 1.0),
            dry: Some((0.0, 1_800.0)),
            ..Case::default()
        },
        Case {
            name: "used before, and past",
            requests: 3_000.0,
            gates: vec![held(gate(5_000, HOUR), 4_000, 0)],
            ..Case::default()
        },
        Case {
            name: "closed",
            requests: 1.0,
            gates: vec![closed(gate(100, 1), 600)],
            end: (600.0, 0.1),
            ..Case::default()
        },
        Case {
            name: "closed for long",
            requests: 1.0,
            gates: vec![closed(gate(100, 1), 3 * HOUR)],
            end: (10_800.0, 0.1),
            paused: 1,
            ..Case::default()
        },
        Case {
            name: "learned",
            requests: 2_801.0,
            gates: vec![learned(gate(100, 1), 28.0)],
            end: (100.0, 0.5),
            ..Case::default()
        },
        Case {
            name: "a learned quota",
            requests: 3_600.0,
            gates: vec![learned(gate(5_000, HOUR), 2.0)],
            end: (1_800.0, 60.0),
            ..Case::default()
        },
        Case {
            name: "the calendar: 40 minutes a day, then midnight in Shanghai",
            requests: 45_000.0,
            gates: vec![gate(500, 60), shanghai(20_000)],
            // Six hours to the first midnight, a day to the second, ten minutes for the rest.
            end: (30.0 * 3_600.0 + 570.0, 60.0),
            dry: Some((2_370.0, 6.0 * 3_600.0 + 2.0)),
            paused: 2,
            ..Case::default()
        },
        Case {
            name: "the calendar, most of today used",
            requests: 1_500.0,
            gates: vec![held(shanghai(20_000), 19_000, 6 * HOUR + 2)],
            end: (6.0 * 3_600.0 + 2.0, 1.0),
            dry: Some((0.0, 6.0 * 3_600.0 + 2.0)),
            paused: 1,
            ..Case::default()
        },
        Case {
            name: "ten days",
            requests: 10_500.0,
            gates: vec![gate(1_000, DAY)],
            end: (864_000.0, 1.0),
            dry: Some((0.0, 86_400.0)),
            paused: 10,
            ..Case::default()
        },
        Case {
            name: "years are reckoned",
            requests: 1e9,
            gates: vec![gate(100, 120)],
            end: (1.2e9, 1.2e6),
            dry: Some((0.0, 120.0)),
            ..Case::default()
        },
        Case {
            name: "more than time can tell",
            requests: 1e30,
            gates: vec![gate(1, DAY)],
            end: (1.8446744e19, 1e13),
            dry: Some((0.0, 86_400.0)),
            paused: u64::MAX,
            ..Case::default()
        },
    ];
    for case in &cases {
        check(case);
    }
}

/// An answer that takes its time holds its token for longer.
#[test]
fn slow_answers_make_windows_longer() {
    let of = |latency: f64, gate: Gate, requests: f64| {
        let gates = [gate];
        let patience = Duration::MAX;
        let stream =
            Stream { requests, gates: &gates, places: f64::INFINITY, latency, view: View::Likely, patience };
        run(&stream, now()).end.as_secs_f64()
    };
    assert!((of(0.0, gate(10, 1), 1_005.0) - 100.5).abs() < 0.1);
    assert!((of(0.5, gate(10, 1), 1_005.0) - 150.0).abs() < 0.5);
    assert!((of(60.0, gate(10, HOUR), 15.0) - 3_660.0).abs() < 0.5);
}
