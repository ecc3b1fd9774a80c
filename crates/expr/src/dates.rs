//! Dates in templates. At the border they are text (RFC 3339, or a plain date) or epoch numbers.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use minijinja::Error;
use minijinja::value::{Value as Jinja, ValueKind};

use crate::filters::{invalid, text};

/// From here on an epoch number counts milliseconds: as seconds it would lie behind the year 5000.
const MILLIS_FROM: f64 = 1e11;

/// What form a date had, so that arithmetic gives back the same.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Instant,
    Date,
    Seconds,
    Millis,
}

/// `x | date("%Y%m%d")`: a date under a strftime format.
pub(crate) fn date(value: &Jinja, format: &str) -> Result<String, Error> {
    let (at, _) = read(value)?;
    jiff::fmt::strtime::format(format, &at).map_err(|error| invalid(format!("date(\"{format}\"): {error}")))
}

/// `"20260102" | parse_date("%Y%m%d")`: RFC 3339 text; a plain date if the format has no time.
pub(crate) fn parse_date(value: &Jinja, format: &str) -> Result<String, Error> {
    let written = text(value)?;
    let failed =
        |error: jiff::Error| invalid(format!("`{written}` is not a date of the form \"{format}\": {error}"));
    let parsed = jiff::fmt::strtime::parse(format, &written).map_err(failed)?;
    if parsed.offset().is_some() {
        return Ok(rfc3339(parsed.to_timestamp().map_err(failed)?));
    }
    if parsed.hour().is_none() {
        return Ok(parsed.to_date().map_err(failed)?.to_string());
    }
    let at = parsed.to_datetime().map_err(failed)?.to_zoned(TimeZone::UTC).map_err(failed)?;
    Ok(rfc3339(at.timestamp()))
}

/// Seconds since the Unix epoch.
pub(crate) fn epoch(value: &Jinja) -> Result<i64, Error> {
    Ok(read(value)?.0.timestamp().as_second())
}

/// Milliseconds since the Unix epoch.
pub(crate) fn epoch_ms(value: &Jinja) -> Result<i64, Error> {
    Ok(read(value)?.0.timestamp().as_millisecond())
}

/// `x | add("7d")`, also written `x + duration("7d")`.
pub(crate) fn add(value: &Jinja, span: &Jinja) -> Result<Jinja, Error> {
    shift(value, to_span(span)?)
}

/// `x | sub("7d")`, also written `x - duration("7d")`.
pub(crate) fn sub(value: &Jinja, span: &Jinja) -> Result<Jinja, Error> {
    shift(value, to_span(span)?.negate())
}

/// `duration("7d")` on its own: its seconds.
pub(crate) fn duration(written: &Jinja) -> Result<Jinja, Error> {
    let span = to_span(written)?;
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    let seconds = span
        .total((jiff::Unit::Second, relative))
        .map_err(|error| invalid(format!("duration({written}) has no fixed length: {error}")))?;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole; out of range saturates")]
    Ok(if seconds.fract() == 0.0 { Jinja::from(seconds as i64) } else { Jinja::from(seconds) })
}

fn shift(value: &Jinja, span: Span) -> Result<Jinja, Error> {
    let (at, form) = read(value)?;
    let moved = at.checked_add(span).map_err(|error| invalid(format!("`{value}`: {error}")))?;
    let whole_days = moved.time() == jiff::civil::Time::midnight();
    Ok(match form {
        Form::Date if whole_days => Jinja::from(moved.date().to_string()),
        Form::Date | Form::Instant => Jinja::from(rfc3339(moved.timestamp())),
        Form::Seconds => Jinja::from(moved.timestamp().as_second()),
        Form::Millis => Jinja::from(moved.timestamp().as_millisecond()),
    })
}

/// A date in any of its forms, in UTC or the offset it was written with.
fn read(value: &Jinja) -> Result<(Zoned, Form), Error> {
    if value.kind() == ValueKind::Number {
        return number(value);
    }
    let written = text(value)?;
    let utc = |at: DateTime| at.to_zoned(TimeZone::UTC).ok();
    let zoned = if let Ok(pieces) = jiff::fmt::temporal::Pieces::parse(&written) {
        match (pieces.time(), pieces.to_numeric_offset()) {
            (Some(time), Some(offset)) => {
                let at = offset.to_timestamp(pieces.date().to_datetime(time)).ok();
                at.map(|at| (at.to_zoned(TimeZone::fixed(offset)), Form::Instant))
            }
            // Without an offset a time is taken as UTC.
            (Some(time), None) => utc(pieces.date().to_datetime(time)).map(|at| (at, Form::Instant)),
            (None, _) => utc(pieces.date().at(0, 0, 0, 0)).map(|at| (at, Form::Date)),
        }
    } else {
        None
    };
    zoned.or_else(|| compact(&written)).ok_or_else(|| {
        invalid(format!("`{written}` is not a date; dates are RFC 3339, YYYY-MM-DD or epoch numbers (parse_date reads others)"))
    })
}

/// A date without separators, which is not an epoch number when it is text.
fn compact(written: &str) -> Option<(Zoned, Form)> {
    let date = Date::strptime("%Y%m%d", written).ok()?;
    Some((date.to_zoned(TimeZone::UTC).ok()?, Form::Date))
}

fn number(value: &Jinja) -> Result<(Zoned, Form), Error> {
    let out_of_range = || invalid(format!("{value} is not an epoch time in seconds or milliseconds"));
    let number: f64 = value.to_string().parse().map_err(|_| out_of_range())?;
    let (millis, form) =
        if number.abs() >= MILLIS_FROM { (number, Form::Millis) } else { (number * 1e3, Form::Seconds) };
    #[expect(clippy::cast_possible_truncation, reason = "out of range saturates and is refused below")]
    let at = Timestamp::from_millisecond(millis.round() as i64).map_err(|_| out_of_range())?;
    Ok((at.to_zoned(TimeZone::UTC), form))
}

/// `7d`, `1h30m`, `500ms`, `1 month`; a number counts seconds.
fn to_span(value: &Jinja) -> Result<Span, Error> {
    if let Some(seconds) = value.as_i64().filter(|_| value.is_number()) {
        return Span::new().try_seconds(seconds).map_err(|error| invalid(error.to_string()));
    }
    let written = text(value)?;
    written.parse::<Span>().map_err(|_| {
        invalid(format!("`{written}` is not a duration; write it like \"90s\", \"7d\" or \"1 month\""))
    })
}

/// With as many digits behind the second as are needed, at most milliseconds' three.
fn rfc3339(at: Timestamp) -> String {
    if at.subsec_millisecond() == 0 { format!("{at:.0}") } else { format!("{at:.3}") }
}
