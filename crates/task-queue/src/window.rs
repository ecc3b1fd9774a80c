//! Windows of time: half-open, gap-free, any of them computed from its number alone.

use std::time::Duration;

use entities::{CursorKind, Step};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};
use serde_json::{Map, Value};

/// The windows `from + k × every` up to `to`, cut in a time zone.
///
/// Window `k` ends where window `k + 1` starts (the other way round when the latest comes first); the last
/// is cut off at `to`. Calendar steps count
/// from `from` itself on the zone's calendar, so that a day may have 23 or 25 hours, and a month that
/// lacks its day shortens one window and moves no other. (A day that a zone left out altogether, as
/// Samoa did with 2011-12-30, is a window without length.)
#[derive(Clone, Debug)]
pub struct Windows {
    from: Zoned,
    to: Timestamp,
    every: Step,
    overlap: SignedDuration,
    floor: Timestamp,
    granularity: SignedDuration,
    count: u64,
    latest_first: bool,
}

/// What windows are cut from.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Start of the first.
    pub from: Timestamp,
    /// End of the last.
    pub to: Timestamp,
    /// Their length.
    pub every: Step,
    /// Whose calendar counts the days and months.
    pub zone: TimeZone,
    /// How far each reaches back into the one before.
    pub overlap: Duration,
    /// No window reaches back beyond this.
    pub floor: Timestamp,
    /// `last` is the end minus this.
    pub granularity: Duration,
}

impl Cut {
    /// Windows that only meet, with `last` a second before the end.
    pub fn new(from: Timestamp, to: Timestamp, every: Step, zone: TimeZone) -> Cut {
        let granularity = Duration::from_secs(1);
        Cut { from, to, every, zone, overlap: Duration::ZERO, floor: from, granularity }
    }
}

impl Windows {
    /// None if the step is zero or leads out of the calendar at once. No window at all if `to <= from`.
    pub fn new(cut: Cut) -> Option<Windows> {
        let is_nothing = match cut.every {
            Step::Months(count) | Step::Days(count) => count == 0,
            Step::Fixed(step) => step.is_zero(),
        };
        let mut windows = Windows {
            from: cut.from.to_zoned(cut.zone),
            to: cut.to,
            every: cut.every,
            overlap: SignedDuration::try_from(cut.overlap).ok()?,
            floor: cut.floor,
            granularity: SignedDuration::try_from(cut.granularity).ok()?,
            count: 0,
            latest_first: false,
        };
        if is_nothing {
            return None;
        }
        windows.start(1)?;
        if cut.from >= cut.to {
            return Some(windows);
        }
        // The number of windows is the first k whose start is not before `to`: found by doubling,
        // then halving, since calendar steps have no closed form.
        let mut high: u64 = 1;
        while windows.start(high).is_some_and(|start| start < cut.to) {
            high = high.checked_mul(2)?;
        }
        let mut low = high / 2;
        while low < high {
            let middle = low + (high - low) / 2;
            if windows.start(middle).is_some_and(|start| start < cut.to) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        windows.count = low.max(1);
        Some(windows)
    }

    /// The same windows, numbered from the latest on.
    #[must_use]
    pub fn latest_first(mut self) -> Windows {
        self.latest_first = true;
        self
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Where a window starts, without overlap, and where it ends.
    pub fn edges(&self, index: u64) -> (Timestamp, Timestamp) {
        let index =
            if self.latest_first { self.count.saturating_sub(index.saturating_add(1)) } else { index };
        let start = self.start(index).unwrap_or(self.to).min(self.to);
        let end = self.start(index.saturating_add(1)).unwrap_or(self.to).min(self.to);
        (start, end)
    }

    /// What a window binds: `{"start": …, "end": …, "last": …}` as RFC 3339 with the zone's offset.
    pub fn value(&self, index: u64) -> Value {
        let (start, end) = self.edges(index);
        let reaching = start.checked_sub(self.overlap).unwrap_or(self.floor).max(self.floor.min(start));
        let last = end.checked_sub(self.granularity).unwrap_or(start).max(start);
        let mut window = Map::new();
        for (name, at) in [("start", reaching), ("end", end), ("last", last)] {
            window.insert(name.to_owned(), Value::String(written(at, self.from.time_zone())));
        }
        Value::Object(window)
    }

    fn start(&self, index: u64) -> Option<Timestamp> {
        let index = i64::try_from(index).ok()?;
        match self.every {
            Step::Months(months) => {
                let span = Span::new().try_months(index.checked_mul(i64::from(months))?).ok()?;
                Some(self.from.checked_add(span).ok()?.timestamp())
            }
            Step::Days(days) => {
                let span = Span::new().try_days(index.checked_mul(i64::from(days))?).ok()?;
                Some(self.from.checked_add(span).ok()?.timestamp())
            }
            Step::Fixed(step) => {
                let nanos = i128::try_from(step.as_nanos()).ok()?.checked_mul(i128::from(index))?;
                let at = self.from.timestamp().as_nanosecond().checked_add(nanos)?;
                Timestamp::from_nanosecond(at).ok()
            }
        }
    }
}

/// RFC 3339 with the offset that the zone has then; `Z` in UTC.
fn written(at: Timestamp, zone: &TimeZone) -> String {
    match zone.is_unknown() || *zone == TimeZone::UTC {
        true => at.to_string(),
        false => at.display_with_offset(zone.to_offset(at)).to_string(),
    }
}

/// Reads an instant as plans and records write it: RFC 3339; a date (`2024-01-31`, `20240131`), which
/// is its midnight in `zone`; a date and time without an offset, in `zone`; epoch seconds or milliseconds.
pub fn parse_instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp);
    }
    let value = Value::String(text.to_owned());
    let kind = CursorKind::of(&value);
    let at = match kind {
        CursorKind::EpochSeconds | CursorKind::EpochMillis => return kind.instant(&value),
        CursorKind::CompactDate => Date::strptime("%Y%m%d", text).ok()?.into(),
        _ => text.parse::<DateTime>().ok()?,
    };
    at.to_zoned(zone.clone()).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str, zone: &TimeZone) -> Timestamp {
        parse_instant(text, zone).unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn cut(from: &str, to: &str, every: Step, zone_name: &str) -> Cut {
        let zone = zone(zone_name);
        Cut::new(at(from, &zone), at(to, &zone), every, zone)
    }

    fn all(cut: Cut, field: &str) -> Vec<String> {
        let windows = Windows::new(cut).unwrap();
        let text = |index| windows.value(index)[field].as_str().unwrap().replace("T00:00:00", "");
        (0..windows.count()).map(text).collect()
    }

    fn check(cut: Cut, starts: &[&str], ends: &[&str]) {
        let what = format!("{cut:?}");
        assert_eq!(all(cut.clone(), "start"), starts, "{what}");
        assert_eq!(all(cut, "end"), ends, "{what}");
    }

    #[test]
    fn they_meet_exactly_and_end_at_to() {
        let utc = |from, to, every| cut(from, to, every, "UTC");
        check(
            utc("2024-01-01", "2024-01-03", Step::Days(1)),
            &["2024-01-01Z", "2024-01-02Z"],
            &["2024-01-02Z", "2024-01-03Z"],
        );
        check(
            utc("2024-01-01", "2024-02-10", Step::Days(30)),
            &["2024-01-01Z", "2024-01-31Z"],
            &["2024-01-31Z", "2024-02-10Z"],
        );
        check(
            utc("2024-01-31", "2024-04-30", Step::Months(1)),
            &["2024-01-31Z", "2024-02-29Z", "2024-03-31Z"],
            &["2024-02-29Z", "2024-03-31Z", "2024-04-30Z"],
        );
        check(utc("2024-01-01", "2024-01-01", Step::Days(1)), &[], &[]);
        check(utc("2024-01-02", "2024-01-01", Step::Days(1)), &[], &[]);
        check(
            utc("2024-01-01", "2024-01-02", Step::Fixed(Duration::from_secs(43_200))),
            &["2024-01-01Z", "2024-01-01T12:00:00Z"],
            &["2024-01-01T12:00:00Z", "2024-01-02Z"],
        );
    }

    proptest! {
        #[test]
        fn the_latest_first_are_the_same_windows_the_other_way_round(
            days in 0..400_i64, every in 1..40_u32, kind in 0..3_u8, overlap in 0..100_000_u64, berlin: bool,
        ) {
            let every = match kind {
                0 => Step::Days(every),
                1 => Step::Months(every),
                _ => Step::Fixed(Duration::from_secs(u64::from(every) * 3_600)),
            };
            let zone = zone(if berlin { "Europe/Berlin" } else { "UTC" });
            let from = at("2024-01-31", &zone);
            let to = from + SignedDuration::from_hours(24 * days);
            let overlap = Duration::from_secs(overlap);
            let windows = Windows::new(Cut { overlap, ..Cut::new(from, to, every, zone) }).unwrap();
            let latest = windows.clone().latest_first();
            let all = |windows: &Windows| -> Vec<_> {
                (0..windows.count()).map(|index| (windows.edges(index), windows.value(index))).collect()
            };
            let mut reversed = all(&latest);
            prop_assert!(reversed.windows(2).all(|pair| pair[0].0.0 == pair[1].0.1), "they do not meet");
            prop_assert!(reversed.first().is_none_or(|first| first.0.1 == to));
            reversed.reverse();
            prop_assert_eq!(reversed, all(&windows));
        }
    }

    #[test]
    fn days_and_months_are_those_of_the_zone() {
        check(
            cut("2024-01-01", "2024-01-03", Step::Days(1), "Asia/Shanghai"),
            &["2024-01-01+08:00", "2024-01-02+08:00"],
            &["2024-01-02+08:00", "2024-01-03+08:00"],
        );
        // 23 hours, 25 hours.
        check(
            cut("2024-03-31", "2024-04-02", Step::Days(1), "Europe/Berlin"),
            &["2024-03-31+01:00", "2024-04-01+02:00"],
            &["2024-04-01+02:00", "2024-04-02+02:00"],
        );
        let hours = |from: &str, to: &str| {
            let cut = cut(from, to, Step::Days(1), "Europe/Berlin");
            let (start, end) = Windows::new(cut).unwrap().edges(0);
            end.duration_since(start).as_hours()
        };
        assert_eq!((hours("2024-03-31", "2024-04-02"), hours("2024-10-27", "2024-10-29")), (23, 25));
        check(
            cut("2024-02-29", "2024-05-01", Step::Months(1), "America/New_York"),
            &["2024-02-29-05:00", "2024-03-29-04:00", "2024-04-29-04:00"],
            &["2024-03-29-04:00", "2024-04-29-04:00", "2024-05-01-04:00"],
        );
        // A midnight that does not exist.
        check(
            cut("2018-11-03", "2018-11-05", Step::Days(1), "America/Sao_Paulo"),
            &["2018-11-03-03:00", "2018-11-04T01:00:00-02:00"],
            &["2018-11-04T01:00:00-02:00", "2018-11-05-02:00"],
        );
        // An hour is an hour.
        let hour = Step::Fixed(Duration::from_secs(3600));
        assert_eq!(all(cut("2024-03-31", "2024-04-01", hour, "Europe/Berlin"), "start").len(), 23);
    }

    #[test]
    fn overlap_moves_starts_and_granularity_is_what_last_lacks() {
        let mut cut = cut("2024-01-10", "2024-01-12", Step::Days(1), "UTC");
        assert_eq!(all(cut.clone(), "last"), ["2024-01-10T23:59:59Z", "2024-01-11T23:59:59Z"]);
        cut.granularity = Duration::from_secs(86_400);
        cut.overlap = Duration::from_secs(86_400);
        assert_eq!(all(cut.clone(), "last"), ["2024-01-10Z", "2024-01-11Z"]);
        assert_eq!(all(cut.clone(), "start"), ["2024-01-10Z", "2024-01-10Z"], "nothing lies before `from`");
        cut.floor = at("2024-01-01", &TimeZone::UTC);
        assert_eq!(all(cut.clone(), "start"), ["2024-01-09Z", "2024-01-10Z"]);
        assert_eq!(all(cut.clone(), "end"), ["2024-01-11Z", "2024-01-12Z"]);
        let windows = Windows::new(cut).unwrap();
        assert_eq!(windows.edges(0).1, windows.edges(1).0, "edges know nothing of overlap");
    }

    #[test]
    fn a_step_of_nothing_is_refused() {
        for every in [Step::Days(0), Step::Months(0), Step::Fixed(Duration::ZERO)] {
            assert!(Windows::new(cut("2024-01-01", "2024-01-02", every, "UTC")).is_none());
        }
    }

    #[test]
    fn instants_are_read_in_every_form_that_a_plan_or_a_record_may_have() {
        let check = |text: &str, expected: &str| {
            let read = parse_instant(text, &zone("Asia/Shanghai")).map(|at| at.to_string());
            assert_eq!(read.as_deref(), Some(expected), "{text}");
        };
        check("2024-01-01", "2023-12-31T16:00:00Z");
        check("20240101", "2023-12-31T16:00:00Z");
        check("2024-01-01T08:00", "2024-01-01T00:00:00Z");
        check("2024-01-01 08:00:00", "2024-01-01T00:00:00Z");
        check("2024-01-01T08:00:00Z", "2024-01-01T08:00:00Z");
        check("2024-01-01T08:00:00+08:00", "2024-01-01T00:00:00Z");
        check("1704067200", "2024-01-01T00:00:00Z");
        check("1704067200123", "2024-01-01T00:00:00.123Z");
        for none in ["", "yesterday", "12", "2024-13-01", "20241301", "null"] {
            assert_eq!(parse_instant(none, &TimeZone::UTC), None, "{none}");
        }
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1u32..5).prop_map(Step::Months),
            (1u32..40).prop_map(Step::Days),
            (1u64..200_000).prop_map(|s| Step::Fixed(Duration::from_secs(s * 7))),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn every_instant_is_in_exactly_one_window(
            begin in 1_300_000_000i64..1_700_000_000,
            length in 1i64..20_000_000,
            every in steps(),
            zone_name in prop::sample::select(vec![
                "UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "America/Sao_Paulo",
                "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu",
            ]),
            overlap in 0u64..100_000,
            inside in 0.0f64..1.0,
        ) {
            let from = Timestamp::from_second(begin).unwrap();
            let to = Timestamp::from_second(begin + length).unwrap();
            let plain = Cut::new(from, to, every, zone(zone_name));
            let windows = Windows::new(plain.clone()).unwrap();
            let count = windows.count();
            prop_assert!(count > 0);
            prop_assert_eq!((windows.edges(0).0, windows.edges(count - 1).1), (from, to));
            // Not all of them where there are very many.
            for index in (0..count.min(300)).chain(count.saturating_sub(300)..count) {
                let (start, end) = windows.edges(index);
                prop_assert!(start <= end && (start < to));
                prop_assert_eq!(end, if index + 1 < count { windows.edges(index + 1).0 } else { to });
            }
            #[expect(clippy::cast_possible_truncation, reason = "a fraction of a number of seconds")]
            let instant = Timestamp::from_second(begin + (length as f64 * inside) as i64).unwrap().min(to);
            if instant < to {
                let holds = |index: &u64| { let (start, end) = windows.edges(*index); start <= instant && instant < end };
                if count <= 5_000 {
                    prop_assert_eq!((0..count).filter(holds).count(), 1);
                }
            }
            // Overlap only moves starts.
            let lapping = Windows::new(Cut { overlap: Duration::from_secs(overlap), ..plain }).unwrap();
            prop_assert_eq!(lapping.count(), count);
            for index in 0..count.min(50) {
                let (a, b) = (windows.value(index), lapping.value(index));
                prop_assert_eq!((&a["end"], &a["last"]), (&b["end"], &b["last"]));
                let parse = |value: &Value| value["start"].as_str().unwrap().parse::<Timestamp>().unwrap();
                prop_assert!(parse(&b) <= parse(&a) && parse(&b) >= from);
                prop_assert_eq!(windows.edges(index), lapping.edges(index));
            }
        }
    }
}
