//! What an answer says about when to come back: `Retry-After` (RFC 9110 §10.2.3) and the headers
//! that tell what a limit still allows.
//!
//! Never shortened; what cannot be read is as if it were not there.

use std::time::Duration;

use entities::Moment;
use http::HeaderMap;
use jiff::fmt::strtime::BrokenDownTime;

/// No server asks to come back in thirty years.
const DECADES: Duration = Duration::from_secs(1_000_000_000);

/// How long `Retry-After` asks to wait: delta-seconds, or a date by the server's own clock. A number
/// that would be decades is a date too: some servers send the epoch, as they do in `X-RateLimit-Reset`.
pub(crate) fn retry_after(headers: &HeaderMap, received: Moment) -> Option<Duration> {
    let value = text(headers, "retry-after")?;
    let now = server_now(headers, received);
    match seconds(value) {
        Some(wait) if wait >= DECADES => epoch(wait.as_secs_f64(), now),
        Some(wait) => Some(wait),
        None => Some(http_date(value)?.since(now)),
    }
}

/// How long until the limit is renewed, as the answer tells it.
pub(super) fn reset(headers: &HeaderMap, received: Moment) -> Option<Duration> {
    let named = ["x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset"];
    let value = named.iter().find_map(|name| text(headers, name));
    let Some(value) = value else { return seconds(parameter(headers, "t")?) };
    let number: f64 = value.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    let now = server_now(headers, received);
    if number >= 1e8 { epoch(number, now) } else { seconds(value) }
}

/// Until a number of the epoch: milliseconds or seconds, by magnitude.
fn epoch(number: f64, now: Moment) -> Option<Duration> {
    let millis = if number >= 1e11 { number } else { number * 1000.0 };
    Some(Moment::from_millis(millis as i64).since(now))
}

/// Whether the answer says that nothing is left.
pub(super) fn exhausted(headers: &HeaderMap) -> bool {
    let named = ["x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining"];
    named.iter().any(|name| text(headers, name).is_some_and(|value| value.parse() == Ok(0.0)))
        || parameter(headers, "r").is_some_and(|value| value.parse() == Ok(0.0))
}

/// A parameter of the `RateLimit` header: `"default";r=0;t=30`, or `limit=100, remaining=0, reset=30`
/// of earlier drafts.
fn parameter<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let long = if name == "r" { "remaining" } else { "reset" };
    text(headers, "ratelimit")?.split([';', ',']).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        (key.trim() == name || key.trim() == long).then(|| value.trim())
    })
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
fn server_now(headers: &HeaderMap, received: Moment) -> Moment {
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
            let zoned = parsed.to_datetime().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            Some(Moment::from_millis(zoned.timestamp().as_millisecond()))
        },
    )
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
        for (lines, expected) in [
            (vec![("x-ratelimit-reset", "784111807")], Some(30)),
            (vec![("x-ratelimit-reset", "784111807000")], Some(30)),
            (vec![("x-ratelimit-reset", "30")], Some(30)),
            (vec![("ratelimit-reset", "45")], Some(45)),
            (vec![("ratelimit", "\"default\";r=0;t=12")], Some(12)),
            (vec![("ratelimit", "limit=100, remaining=0, reset=7")], Some(7)),
            (vec![("x-ratelimit-reset", "784111000")], Some(0)),
            (vec![("x-ratelimit-reset", "never")], None),
            (vec![], None),
        ] {
            assert_eq!(reset(&headers(&lines), RECEIVED), expected.map(Duration::from_secs), "{lines:?}");
        }
    }

    #[test]
    fn nothing_left() {
        for (lines, expected) in [
            (vec![("x-ratelimit-remaining", "0")], true),
            (vec![("x-ratelimit-remaining", "12")], false),
            (vec![("ratelimit-remaining", "0")], true),
            (vec![("ratelimit", "\"default\";r=0;t=12")], true),
            (vec![("ratelimit", "\"default\";r=10;t=12")], false),
            (vec![], false),
        ] {
            assert_eq!(exhausted(&headers(&lines)), expected, "{lines:?}");
        }
    }
}
