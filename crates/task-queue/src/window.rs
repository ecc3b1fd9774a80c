//! Windows of time: half-open, gap-free, any of them computed from its number alone.

use entities::Step;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde_json::{Map, Value};

/// The windows `from + k × every` up to `to`, in UTC.
///
/// Window `k` ends where window `k + 1` starts; the last is cut off at `to`. Calendar steps count
/// from `from` itself, so that a month that lacks its day shortens one window and moves no other.
#[derive(Clone, Debug)]
pub struct Windows {
    from: Zoned,
    to: Timestamp,
    every: Step,
    count: u64,
}

impl Windows {
    /// None if the step is zero or leads out of the calendar. No window at all if `to <= from`.
    pub fn new(from: Timestamp, to: Timestamp, every: Step) -> Option<Windows> {
        let mut windows = Windows { from: from.to_zoned(TimeZone::UTC), to, every, count: 0 };
        if windows.start(1)? <= from {
            return None;
        }
        // The number of windows is the first k whose start is not before `to`: found by doubling,
        // then halving, since calendar steps have no closed form.
        let mut high: u64 = 1;
        while windows.start(high).is_some_and(|start| start < to) {
            high = high.checked_mul(2)?;
        }
        let mut low = high / 2;
        while low < high {
            let middle = low + (high - low) / 2;
            if windows.start(middle).is_some_and(|start| start < to) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        windows.count = if from < to { low.max(1) } else { 0 };
        Some(windows)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What a window binds: `{"start": …, "end": …}` as RFC 3339.
    pub fn value(&self, index: u64) -> Value {
        let start = self.start(index).unwrap_or(self.to);
        let end = self.start(index + 1).unwrap_or(self.to).min(self.to);
        let mut window = Map::new();
        window.insert("start".to_owned(), Value::String(start.to_string()));
        window.insert("end".to_owned(), Value::String(end.to_string()));
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

/// Reads an instant as plans write it: RFC 3339, or a date (midnight UTC), or a date and time
/// without an offset (UTC).
pub fn parse_instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp);
    }
    if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
        return at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    }
    text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn windows(from: &str, to: &str, every: Step) -> Vec<(String, String)> {
        let windows = Windows::new(parse_instant(from).unwrap(), parse_instant(to).unwrap(), every).unwrap();
        (0..windows.count())
            .map(|index| {
                let value = windows.value(index);
                let text = |name: &str| value[name].as_str().unwrap().replace("T00:00:00Z", "");
                (text("start"), text("end"))
            })
            .collect()
    }

    fn check(from: &str, to: &str, every: Step, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(windows(from, to, every), expected, "{from} {to} {every:?}");
    }

    #[test]
    fn they_meet_exactly_and_end_at_to() {
        check(
            "2024-01-01",
            "2024-01-03",
            Step::Days(1),
            &[("2024-01-01", "2024-01-02"), ("2024-01-02", "2024-01-03")],
        );
        check(
            "2024-01-01",
            "2024-02-10",
            Step::Days(30),
            &[("2024-01-01", "2024-01-31"), ("2024-01-31", "2024-02-10")],
        );
        check(
            "2024-01-31",
            "2024-04-30",
            Step::Months(1),
            &[("2024-01-31", "2024-02-29"), ("2024-02-29", "2024-03-31"), ("2024-03-31", "2024-04-30")],
        );
        check("2024-01-01", "2024-01-01", Step::Days(1), &[]);
        check("2024-01-02", "2024-01-01", Step::Days(1), &[]);
        check(
            "2024-01-01",
            "2024-01-02",
            Step::Fixed(Duration::from_secs(43_200)),
            &[("2024-01-01", "2024-01-01T12:00:00Z"), ("2024-01-01T12:00:00Z", "2024-01-02")],
        );
    }

    #[test]
    fn a_step_of_nothing_is_refused() {
        let at = parse_instant("2024-01-01").unwrap();
        assert!(Windows::new(at, at, Step::Days(0)).is_none());
        assert!(Windows::new(at, at, Step::Fixed(Duration::ZERO)).is_none());
    }
}
