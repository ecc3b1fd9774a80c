//! Cursor values: their order, and what of them is time.

use std::cmp::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::Moment;

/// A value of a cursor field, compared by what it is: numbers as numbers, also those written as text,
/// timestamps as instants, other text as text.
#[derive(Clone, Debug, PartialEq)]
pub struct CursorValue(pub Value);

impl CursorValue {
    /// Which of two values is later. Values of different kinds compare by kind (number < text),
    /// so that the order is total.
    pub fn order(&self, other: &CursorValue) -> Ordering {
        match (&self.0, &other.0) {
            (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
            },
            (Value::String(a), Value::String(b)) => match (iso(a), iso(b)) {
                (Some(at), Some(bt)) => at.cmp(&bt),
                _ => match (digits(a), digits(b)) {
                    (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
                    _ => a.cmp(b),
                },
            },
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }

    /// The later of two.
    pub fn max(self, other: CursorValue) -> CursorValue {
        if self.order(&other) == Ordering::Less { other } else { self }
    }
}

/// The significant digits of a text that is a whole number.
fn digits(text: &str) -> Option<&str> {
    let whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| text.trim_start_matches('0'))
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

/// What a cursor's values are, told from its `start`, since `1704067200` alone may be an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorKind {
    /// ISO 8601: a date, or a date and time (without an offset: UTC).
    Iso,
    /// `YYYYMMDD`
    CompactDate,
    /// Seconds since the Unix epoch.
    EpochSeconds,
    /// Milliseconds since the Unix epoch.
    EpochMillis,
    /// Anything else: numbers by size, text by its characters.
    Other,
}

impl CursorKind {
    /// Told from the rendered `start`. Numbers from 10^8 (1973) on are epoch seconds, from 10^11 on
    /// milliseconds, up to the year 5138.
    pub fn of(start: &Value) -> CursorKind {
        let digits = match start {
            Value::Number(number) if compact(&number.to_string()).is_some() => {
                return CursorKind::CompactDate;
            }
            Value::Number(number) => number.as_i64(),
            Value::String(text) if compact(text).is_some() => return CursorKind::CompactDate,
            Value::String(text) if iso(text).is_some() => return CursorKind::Iso,
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        match digits {
            Some(100_000_000..100_000_000_000) => CursorKind::EpochSeconds,
            Some(100_000_000_000..100_000_000_000_000) => CursorKind::EpochMillis,
            _ => CursorKind::Other,
        }
    }

    /// The instant that a value stands for; none if it is not time.
    pub fn instant(self, value: &Value) -> Option<Timestamp> {
        let number = || match value {
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        match self {
            CursorKind::Iso => iso(value.as_str()?),
            CursorKind::CompactDate => match value {
                Value::Number(number) => compact(&number.to_string()),
                other => compact(other.as_str()?).or_else(|| iso(other.as_str()?)),
            },
            CursorKind::EpochSeconds => Timestamp::from_second(number()?).ok(),
            CursorKind::EpochMillis => Timestamp::from_millisecond(number()?).ok(),
            CursorKind::Other => None,
        }
    }

    /// The value, or `now` in its form if it lies beyond: a record from the future must not keep the
    /// next run from asking for what comes before.
    pub fn at_most(self, value: Value, now: Moment) -> Value {
        let Ok(now) = Timestamp::from_nanosecond(i128::from(now.0)) else { return value };
        match self.instant(&value) {
            Some(at) if at > now => self.like(&value, now),
            _ => value,
        }
    }

    /// The value moved back in time, in its form; none if it is not time.
    pub fn back(self, value: &Value, by: Duration) -> Option<Value> {
        let at = self.instant(value)?.checked_sub(jiff::SignedDuration::try_from(by).ok()?).ok()?;
        Some(self.like(value, at))
    }

    /// `at` in the form of `sample`: a date stays a date (rounded down), a number a number.
    pub fn like(self, sample: &Value, at: Timestamp) -> Value {
        let text = |written: String| match sample {
            Value::Number(_) => written.parse::<i64>().map_or(Value::Null, Value::from),
            _ => Value::String(written),
        };
        let utc = at.to_zoned(TimeZone::UTC);
        match self {
            CursorKind::Iso if sample.as_str().is_some_and(|text| text.len() <= 10) => {
                Value::String(utc.date().to_string())
            }
            CursorKind::CompactDate => text(utc.strftime("%Y%m%d").to_string()),
            CursorKind::EpochSeconds => text(at.as_second().to_string()),
            CursorKind::EpochMillis => text(at.as_millisecond().to_string()),
            CursorKind::Iso | CursorKind::Other => Value::String(at.to_string()),
        }
    }
}

/// ISO 8601 as APIs write it: with an offset, without one (UTC), or a date (midnight UTC).
fn iso(text: &str) -> Option<Timestamp> {
    // No letter or digit string of another kind gets past these two.
    if text.len() < 10 || text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let at = text.parse::<DateTime>().ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn compact(text: &str) -> Option<Timestamp> {
    let is_digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let date = is_digits.then(|| Date::strptime("%Y%m%d", text).ok())??;
    // 10000000 may be an id.
    (1900..2200).contains(&date.year()).then(|| date.to_zoned(TimeZone::UTC).ok())?.map(|at| at.timestamp())
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(number: f64) -> Option<i64> {
    (number.abs() < 9e15).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_start_says_what_the_values_are() {
        let check = |start: Value, kind| assert_eq!(CursorKind::of(&start), kind, "{start}");
        check(json!("2024-01-01"), CursorKind::Iso);
        check(json!("2024-01-01T08:00:00+08:00"), CursorKind::Iso);
        check(json!("2024-01-01 08:00:00"), CursorKind::Iso);
        check(json!("20240101"), CursorKind::CompactDate);
        check(json!(20_240_101), CursorKind::CompactDate);
        check(json!("1704067200"), CursorKind::EpochSeconds);
        check(json!(1_704_067_200_000_i64), CursorKind::EpochMillis);
        check(json!(0), CursorKind::Other);
        check(json!("10000000"), CursorKind::Other);
        check(json!("evt_17"), CursorKind::Other);
    }

    #[test]
    fn values_are_ordered_by_what_they_are() {
        let check = |a: Value, b: Value, order| {
            assert_eq!(CursorValue(a.clone()).order(&CursorValue(b.clone())), order, "{a} {b}");
        };
        check(json!(9), json!(10), Ordering::Less);
        check(json!("2024-01-01"), json!("2024-01-01T00:00:00Z"), Ordering::Equal);
        check(json!("2024-01-01T08:00:00+08:00"), json!("2024-01-01T00:00:01Z"), Ordering::Less);
        check(json!("2024-01-01T00:00:00.5Z"), json!("2024-01-01T00:00:00Z"), Ordering::Greater);
        check(json!("20240102"), json!("20240101"), Ordering::Greater);
        check(json!("9"), json!("10"), Ordering::Less);
        check(json!("0010"), json!("10"), Ordering::Equal);
        check(json!("9"), json!("a"), Ordering::Less);
    }

    #[test]
    fn never_beyond_now_and_back_in_the_same_form() {
        let now = Moment("2024-03-01T12:00:00Z".parse::<Timestamp>().unwrap().as_nanosecond() as i64);
        let most = |start: Value, value: Value| CursorKind::of(&start).at_most(value, now);
        assert_eq!(most(json!("2024-01-01"), json!("2099-01-01")), json!("2024-03-01"));
        assert_eq!(most(json!("2024-01-01"), json!("2024-02-01")), json!("2024-02-01"));
        assert_eq!(most(json!("20240101"), json!("20990101")), json!("20240301"));
        assert_eq!(most(json!(1_704_067_200), json!(4_000_000_000_i64)), json!(1_709_294_400));
        assert_eq!(most(json!(0), json!(4_000_000_000_i64)), json!(4_000_000_000_i64));
        let back = |start: Value, value: Value, days: u64| {
            CursorKind::of(&start).back(&value, Duration::from_secs(days * 86_400))
        };
        assert_eq!(back(json!("2024-01-01"), json!("2024-02-01"), 1), Some(json!("2024-01-31")));
        assert_eq!(back(json!("20240101"), json!("20240201"), 1), Some(json!("20240131")));
        assert_eq!(
            back(json!("2024-01-01"), json!("2024-02-01T00:00:00Z"), 1),
            Some(json!("2024-01-31T00:00:00Z"))
        );
        assert_eq!(back(json!("1704067200"), json!("1704067200"), 1), Some(json!("1703980800")));
        assert_eq!(back(json!(0), json!(17), 1), None);
    }
}
