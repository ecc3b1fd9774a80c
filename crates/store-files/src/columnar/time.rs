//! Instants and days as Parquet has them: microseconds and days since 1970. An instant that is finer is none here: its
//! column is text, so that no digit is lost.

use jiff::Timestamp;
use jiff::civil::Date;

const EPOCH: Date = Date::constant(1970, 1, 1);

/// An instant as the worker writes it, in microseconds.
pub(crate) fn micros(text: &str) -> Option<i64> {
    let at: Timestamp = text.parse().ok()?;
    (at.as_nanosecond() % 1_000 == 0).then(|| at.as_microsecond())
}

/// The instant, RFC 3339 in UTC.
pub(crate) fn instant(micros: i64) -> Option<String> {
    Timestamp::from_microsecond(micros).ok().map(|at| at.to_string())
}

/// A day as the worker writes it, in days.
pub(crate) fn days(text: &str) -> Option<i32> {
    if text.len() != 10 {
        return None;
    }
    let day: Date = text.parse().ok()?;
    EPOCH.until(day).ok().map(|span| span.get_days())
}

/// The day, `YYYY-MM-DD`.
pub(crate) fn day(days: i32) -> Option<String> {
    let span = jiff::Span::new().try_days(days).ok()?;
    EPOCH.checked_add(span).ok().map(|day| day.to_string())
}

#[cfg(test)]
mod tests {
    use super::{day, days, instant, micros};

    #[test]
    fn times_come_back() {
        for text in ["1970-01-01T00:00:00Z", "2024-02-29T12:34:56.789012Z", "0001-01-01T00:00:00Z"] {
            assert_eq!(instant(micros(text).unwrap()).unwrap(), text);
        }
        assert_eq!(micros("1969-12-31T23:59:59.999999Z"), Some(-1));
        for text in ["1970-01-01", "2024-02-29", "1600-12-31", "9999-12-31"] {
            assert_eq!(day(days(text).unwrap()).unwrap(), text);
        }
        assert_eq!(days("1970-01-02"), Some(1));
        for text in ["", "2024-02-30", "2024-02-29T00:00:00Z", "yesterday"] {
            assert_eq!(days(text), None, "{text}");
        }
        assert_eq!(micros("2024-02-29"), None);
        assert_eq!(micros("2024-01-01T00:00:00.0000001Z"), None);
    }
}
