//! Dates in templates. At the border they are text (RFC 3339, or a plain date) or epoch numbers.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use minijinja::value::{Value as Jinja, ValueKind};
use minijinja::{Environment, Error};

use crate::filters::{invalid, text};

pub(crate) fn install(env: &mut Environment<'static>) {
    env.add_filter("date", date);
    env.add_filter("parse_date", parse_date);
    env.add_filter("epoch", epoch);
    env.add_filter("epoch_ms", epoch_ms);
    env.add_filter("from_epoch", from_epoch);
    env.add_filter("add", add);
    env.add_filter("sub", sub);
    env.add_function("duration", duration);
}

/// What form a date had, so that arithmetic gives back the same.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Instant,
    Date,
    /// An epoch number, and how many nanoseconds one of it is.
    Epoch(i128),
    /// Seconds or milliseconds (so many nanoseconds) with a fraction.
    Fraction(f64),
}

const SECOND: i128 = 1_000_000_000;
const MILLI: i128 = 1_000_000;
const MICRO: i128 = 1_000;

/// `x | date("%Y%m%d")`, `x | date("%Y%m%d", "Asia/Shanghai")`: a date under a strftime format, in
/// the offset that it is written with or in the zone given.
fn date(value: &Jinja, format: &str, zone: Option<&str>) -> Result<String, Error> {
    let (at, form) = read(value)?;
    let at = match zone.map(time_zone).transpose()? {
        None => at,
        // A date without a time is that date everywhere.
        Some(zone) if form == Form::Date => {
            at.datetime().to_zoned(zone).map_err(|error| invalid(format!("`{value}`: {error}")))?
        }
        Some(zone) => at.with_time_zone(zone),
    };
    strtime::format(format, &at).map_err(|error| invalid(format!("date(\"{format}\"): {error}")))
}

/// `"20260102" | parse_date("%Y%m%d")`: RFC 3339 text in UTC; a plain date if the format has no
/// time. Without an offset in the text it is taken as of the zone given, or else as UTC.
fn parse_date(value: &Jinja, format: &str, zone: Option<&str>) -> Result<String, Error> {
    let written = text(value)?;
    let zone = zone.map(time_zone).transpose()?.unwrap_or(TimeZone::UTC);
    let failed =
        |error: jiff::Error| invalid(format!("`{written}` is not a date of the form \"{format}\": {error}"));
    let mut parsed = strtime::parse(format, &written).map_err(failed)?;
    if let Some(at) = parsed.timestamp() {
        return Ok(rfc3339(&at.to_zoned(TimeZone::UTC)));
    }
    if parsed.offset().is_some() {
        return Ok(rfc3339(&parsed.to_timestamp().map_err(failed)?.to_zoned(TimeZone::UTC)));
    }
    if parsed.hour().is_none() {
        // A month is its first day.
        if parsed.month().is_some() && parsed.day().is_none() {
            parsed.set_day(Some(1)).map_err(failed)?;
        }
        return Ok(parsed.to_date().map_err(failed)?.to_string());
    }
    let at = parsed.to_datetime().map_err(failed)?.to_zoned(zone).map_err(failed)?;
    Ok(rfc3339(&at.with_time_zone(TimeZone::UTC)))
}

/// Seconds since the Unix epoch.
fn epoch(value: &Jinja) -> Result<i64, Error> {
    Ok(read(value)?.0.timestamp().as_second())
}

/// Milliseconds since the Unix epoch.
fn epoch_ms(value: &Jinja) -> Result<i64, Error> {
    Ok(read(value)?.0.timestamp().as_millisecond())
}

/// An epoch number as RFC 3339 text in UTC; digits in a text count too.
fn from_epoch(value: &Jinja) -> Result<String, Error> {
    let written = text(value)?;
    let at = match written.trim().parse::<i128>() {
        Ok(integer) => number(&Jinja::from(integer))?.0,
        Err(_) => match written.trim().parse::<f64>() {
            Ok(float) => number(&Jinja::from(float))?.0,
            Err(_) => return Err(invalid(format!("`{written}` is not an epoch number"))),
        },
    };
    Ok(rfc3339(&at))
}

/// `x | add("7d")`, also written `x + duration("7d")`.
fn add(value: &Jinja, span: &Jinja) -> Result<Jinja, Error> {
    shift(value, to_span(span)?)
}

/// `x | sub("7d")`, also written `x - duration("7d")`.
fn sub(value: &Jinja, span: &Jinja) -> Result<Jinja, Error> {
    shift(value, to_span(span)?.negate())
}

/// `duration("7d")` on its own: its seconds.
fn duration(written: &Jinja) -> Result<Jinja, Error> {
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
    let nanos = moved.timestamp().as_nanosecond();
    #[expect(clippy::cast_precision_loss, reason = "it was a float before")]
    Ok(match form {
        Form::Date if whole_days => Jinja::from(moved.date().to_string()),
        Form::Date | Form::Instant => Jinja::from(rfc3339(&moved)),
        Form::Epoch(unit) => {
            let epoch = nanos.div_euclid(unit);
            i64::try_from(epoch).map_or_else(|_| Jinja::from(epoch), Jinja::from)
        }
        Form::Fraction(unit) => Jinja::from(nanos as f64 / unit),
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

/// An epoch number: how large it is says what it counts. In seconds, 10^11 lies behind the year
/// 5000, in milliseconds 10^14, in microseconds 10^17.
fn number(value: &Jinja) -> Result<(Zoned, Form), Error> {
    let out_of_range = || invalid(format!("{value} is not an epoch time"));
    let (nanos, form) = if value.is_integer() {
        let number = i128::try_from(value.clone()).map_err(|_| out_of_range())?;
        let unit = match number.unsigned_abs() {
            0..100_000_000_000 => SECOND,
            100_000_000_000..100_000_000_000_000 => MILLI,
            100_000_000_000_000..100_000_000_000_000_000 => MICRO,
            _ => 1,
        };
        (number.saturating_mul(unit), Form::Epoch(unit))
    } else {
        let number = f64::try_from(value.clone()).map_err(|_| out_of_range())?;
        let (micros, unit) = if number.abs() < 1e11 { (number * 1e6, 1e9) } else { (number * 1e3, 1e6) };
        #[expect(clippy::cast_possible_truncation, reason = "out of range saturates and is refused below")]
        let micros = micros.round() as i128;
        (micros.saturating_mul(MICRO), Form::Fraction(unit))
    };
    let at = Timestamp::from_nanosecond(nanos).map_err(|_| out_of_range())?;
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

/// `Asia/Shanghai`, `UTC`, `+08:00`.
fn time_zone(name: &str) -> Result<TimeZone, Error> {
    let unknown =
        || invalid(format!("there is no time zone `{name}`; zones are like \"Asia/Shanghai\" or \"+08:00\""));
    if name.starts_with(['+', '-']) {
        let offset = strtime::parse("%:z", name).ok().and_then(|parsed| parsed.offset());
        return offset.map(TimeZone::fixed).ok_or_else(unknown);
    }
    TimeZone::get(name).map_err(|_| unknown())
}

/// In its offset, with as many digits behind the second as are needed: none, three, six or nine.
fn rfc3339(at: &Zoned) -> String {
    let digits = match at.timestamp().subsec_nanosecond() {
        0 => 0,
        nanos if nanos % 1_000_000 == 0 => 3,
        nanos if nanos % 1_000 == 0 => 6,
        _ => 9,
    };
    if at.offset().is_zero() {
        format!("{:.digits$}", at.timestamp())
    } else {
        format!("{:.digits$}", at.timestamp().display_with_offset(at.offset()))
    }
}
