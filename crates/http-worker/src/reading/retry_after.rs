//! What an answer says about when to come back: `Retry-After` (RFC 9110 §10.2.3), and the ways in which
//! a header tells a moment.
//!
//! Never shortened; what cannot be read is as if it were not there.

use std::time::Duration;

use entities::Moment;
use http::HeaderMap;
use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

/// No server asks to come back in thirty years …
const DECADES: Duration = Duration::from_secs(1_000_000_000);
/// … and no limit is renewed in three.
const YEARS: Duration = Duration::from_secs(100_000_000);

/// How long `Retry-After` asks to wait: delta-seconds, or a date by the server's own clock. A number
/// that would be decades is a date too: some servers send the epoch, as they do in `X-RateLimit-Reset`.
pub(crate) fn retry_after(headers: &HeaderMap, received: Moment) -> Option<Duration> {
    let value = text(headers, "retry-after")?;
    let now = server_now(headers, received);
    match seconds(value) {
        Some(wait) if wait >= DECADES => epoch(wait.as_secs_f64(), now),
        Some(wait) => Some(wait),
        None => Some(http_date(value).or_else(|| iso_date(value))?.since(now)),
    }
}

/// Until a reset that is told as a number (of seconds, or of the epoch, by magnitude), as a duration
/// (`6m0s`) or as a date.
pub(super) fn until(value: &str, now: Moment) -> Option<Duration> {
    let value = value.trim().trim_matches('"');
    if let Some(wait) = seconds(value) {
        return if wait >= YEARS { epoch(wait.as_secs_f64(), now) } else { Some(wait) };
    }
    if let Some(at) = http_date(value).or_else(|| iso_date(value)) {
        return Some(at.since(now));
    }
    let short = value.starts_with(|first: char| first.is_ascii_digit());
    let wait = short.then(|| value.parse::<SignedDuration>().ok()).flatten()?;
    Duration::try_from(wait).ok()
}

/// Until a number of the epoch: seconds, or thousandths, millionths or billionths of them, by magnitude.
fn epoch(number: f64, now: Moment) -> Option<Duration> {
    let millis = match number {
        number if number >= 1e17 => number / 1e6,
        number if number >= 1e14 => number / 1e3,
        number if number >= 1e11 => number,
        number => number * 1e3,
    };
    Some(Moment::from_millis(millis as i64).since(now))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Seconds from now; fractions, which some send, are kept.
fn seconds(value: &str) -> Option<Duration> {
    if let Ok(whole) = value.parse::<u64>() {
        return Some(Duration::from_secs(whole));
    }
    let plain = value.starts_with(|first: char| first.is_ascii_digit());
    plain
        .then(|| value.parse::<f64>().ok())
        .flatten()
        .and_then(|value| Duration::try_from_secs_f64(value).ok())
}

/// The server's clock, since its dates are by it.
pub(super) fn server_now(headers: &HeaderMap, received: Moment) -> Moment {
    date_of(headers).unwrap_or(received)
}

/// What `Date` says.
pub(crate) fn date_of(headers: &HeaderMap) -> Option<Moment> {
    text(headers, "date").and_then(http_date)
}

/// The three forms of RFC 9110 §5.6.7.
fn http_date(value: &str) -> Option<Moment> {
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].iter().find_map(
        |form| {
            let parsed = BrokenDownTime::parse(form, value).ok()?;
            let zoned = parsed.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok()?;
            Some(Moment::from_millis(zoned.timestamp().as_millisecond()))
        },
    )
}

/// ISO 8601, with an offset or in UTC without saying so.
fn iso_date(value: &str) -> Option<Moment> {
    let local = || {
        let local: DateTime = value.strip_suffix(" UTC").unwrap_or(value).parse().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    // A bare year or the like is no moment.
    let dated = value.as_bytes().get(4) == Some(&b'-') && value.contains(':');
    let at = dated.then(|| value.parse().ok().or_else(local)).flatten()?;
    Some(Moment::from_millis(jiff::Timestamp::as_millisecond(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT
    const RECEIVED: Moment = Moment::from_millis(784_111_777_000);

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn retry_after_in_both_forms() {
        for (lines, expected) in [
            (vec![("retry-after", "120")], Some(120.0)),
            (vec![("retry-after", "0")], Some(0.0)),
            (vec![("retry-after", "1.5")], Some(1.5)),
            (vec![("retry-after", "86400000")], Some(86_400_000.0)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")], Some(60.0)),
            (vec![("retry-after", "Sunday, 06-Nov-94 08:50:37 GMT")], Some(60.0)),
            (vec![("retry-after", "Sun Nov  6 08:50:37 1994")], Some(60.0)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:48:37 GMT")], Some(0.0)),
            // A server whose clock is an hour behind.
            (
                vec![
                    ("retry-after", "Sun, 06 Nov 1994 07:50:37 GMT"),
                    ("date", "Sun, 06 Nov 1994 07:49:37 GMT"),
                ],
                Some(60.0),
            ),
            (
                vec![("retry-after", "784111837"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")],
                Some(784_111_837.0),
            ),
            (vec![("retry-after", "1763800060"), ("date", "Sat, 22 Nov 2025 08:26:40 GMT")], Some(60.0)),
            (vec![("retry-after", "-5")], None),
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "inf")], None),
            (vec![], None),
        ] {
            let expected = expected.map(Duration::from_secs_f64);
            assert_eq!(retry_after(&headers(&lines), RECEIVED), expected, "{lines:?}");
        }
    }

    #[test]
    fn resets_by_magnitude() {
        for (value, expected) in [
            ("784111807", Some(30.0)),
            ("784111807.5", Some(30.5)),
            ("784111807000", Some(30.0)),
            ("784111807000000", Some(30.0)),
            ("784111807000000000", Some(30.0)),
            ("784111000", Some(0.0)),
            ("30", Some(30.0)),
            ("0.25", Some(0.25)),
            ("86400", Some(86_400.0)),
            ("99999999", Some(99_999_999.0)),
            ("\"45\"", Some(45.0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30.0)),
            ("1994-11-06T08:50:07Z", Some(30.0)),
            ("1994-11-06T09:50:07.5+01:00", Some(30.5)),
            ("1994-11-06T08:50:07", Some(30.0)),
            ("1994-11-06 08:50:07 UTC", Some(30.0)),
            ("1994-11-06T08:49:07Z", Some(0.0)),
            ("6m0s", Some(360.0)),
            ("250ms", Some(0.25)),
            ("never", None),
            ("-30", None),
            ("1994", Some(1994.0)),
            ("1994-11-06", None),
            ("nan", None),
            ("inf", None),
            ("1e999", None),
            ("", None),
        ] {
            assert_eq!(until(value, RECEIVED), expected.map(Duration::from_secs_f64), "{value:?}");
        }
    }
}
