//! `types = { close = "decimal" }`: cells of the final records as the type that the plan says.
//!
//! Null stays null, and so does an empty text where the type is none of text: that is how tables and
//! many APIs write nothing. What does not fit fails the request, by field and value.

use entities::{Cell, ColumnType, Failure, FailureClass, FailureKind, RecordBatch};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::cells::value_of;
use super::decode::number::{self, Number};
use super::decode::{Trouble, cell_of, number_cell, shortened, tree};

/// Converts the columns that are there.
pub(super) fn convert(batch: &mut RecordBatch, types: &[(String, ColumnType)]) -> Result<(), Failure> {
    let width = batch.columns.len();
    for (field, kind) in types {
        let Some(column) = batch.column(field) else { continue };
        for place in (column..batch.cells.len()).step_by(width.max(1)) {
            let cell = batch.cells[place];
            batch.cells[place] = match converted(batch, cell, *kind) {
                Ok(Some(cell)) => cell,
                Ok(None) => return Err(unfit(batch, field, cell, *kind)),
                Err(trouble) => return Err(trouble.failure()),
            };
        }
    }
    Ok(())
}

/// The cell as a type; none if it does not fit.
fn converted(batch: &mut RecordBatch, cell: Cell, kind: ColumnType) -> Result<Option<Cell>, Trouble> {
    if cell == Cell::Null {
        return Ok(Some(cell));
    }
    if let (Cell::Text(span), false) = (cell, matches!(kind, ColumnType::Text | ColumnType::Json))
        && batch.text_of(span).trim().is_empty()
    {
        return Ok(Some(Cell::Null));
    }
    Ok(match kind {
        ColumnType::Bool => boolean(batch, cell).map(Cell::Bool),
        ColumnType::Int => integer(batch, cell).map(Cell::Int),
        ColumnType::Float => float(batch, cell).map(Cell::Float),
        ColumnType::Decimal => match cell {
            Cell::Int(_) | Cell::Float(_) | Cell::Number(_) => Some(cell),
            Cell::Text(span) => match plain_digits(batch.text_of(span)) {
                Some(digits) => match number::of(&digits) {
                    // Behind the point, zeros at the end are digits, too: of a price, say.
                    Some(Number::Float(_)) if !digits.contains(['e', 'E']) => {
                        Some(number_cell(Number::Digits(&digits), &mut batch.text)?)
                    }
                    Some(number) => Some(number_cell(number, &mut batch.text)?),
                    None => None,
                },
                None => None,
            },
            _ => None,
        },
        ColumnType::Text => match cell {
            Cell::Text(_) => Some(cell),
            Cell::Number(span) | Cell::Json(span) => Some(Cell::Text(span)),
            cell => Some(text(batch, plain(cell))?),
        },
        ColumnType::Timestamp => match timestamp(batch, cell) {
            Some(at) => Some(text(batch, at.to_string())?),
            None => None,
        },
        ColumnType::Date => match date(batch, cell) {
            Some(date) => Some(text(batch, date.to_string())?),
            None => None,
        },
        ColumnType::Json => Some(json(batch, cell)?),
    })
}

fn text(batch: &mut RecordBatch, text: String) -> Result<Cell, Trouble> {
    cell_of(&Value::String(text), &mut batch.text)
}

/// What is no text, number of digits or JSON already.
fn plain(cell: Cell) -> String {
    match cell {
        Cell::Bool(value) => value.to_string(),
        Cell::Int(value) => value.to_string(),
        // As the store writes it: `0.1`, `2.0`, `1e300`.
        Cell::Float(value) => format!("{value:?}"),
        Cell::Null | Cell::Text(_) | Cell::Number(_) | Cell::Json(_) => String::new(),
    }
}

fn boolean(batch: &RecordBatch, cell: Cell) -> Option<bool> {
    match cell {
        Cell::Bool(value) => Some(value),
        Cell::Int(0) => Some(false),
        Cell::Int(1) => Some(true),
        Cell::Text(span) => match batch.text_of(span).trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn integer(batch: &RecordBatch, cell: Cell) -> Option<i64> {
    match cell {
        Cell::Int(value) => Some(value),
        Cell::Float(value) => whole(value),
        Cell::Text(span) => match number::of(&plain_digits(batch.text_of(span))?)? {
            Number::Int(value) => Some(value),
            Number::Float(value) => whole(value),
            Number::Digits(_) => None,
        },
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range and the fraction are checked")]
fn whole(value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64)
}

#[expect(clippy::cast_precision_loss, reason = "that is what a float is")]
fn float(batch: &RecordBatch, cell: Cell) -> Option<f64> {
    let value = match cell {
        Cell::Int(value) => value as f64,
        Cell::Float(value) => value,
        Cell::Number(span) => batch.text_of(span).parse().ok()?,
        Cell::Text(span) => plain_digits(batch.text_of(span))?.parse().ok()?,
        _ => return None,
    };
    value.is_finite().then_some(value)
}

/// A number as tables write it, as JSON does: `+1`, `.5`, `1.`, `007`.
fn plain_digits(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}{exponent}"))
}

fn timestamp(batch: &RecordBatch, cell: Cell) -> Option<Timestamp> {
    match cell {
        Cell::Int(value) => {
            let digits = value.to_string();
            // As seconds it would be a day of 1970.
            match compact(&digits) {
                Some(date) => at_midnight(date),
                None => epoch(&digits),
            }
        }
        Cell::Float(value) => epoch(&format!("{value}")),
        Cell::Number(span) => epoch(batch.text_of(span)),
        Cell::Text(span) => {
            let text = batch.text_of(span).trim();
            if let Some(date) = compact(text) {
                return at_midnight(date);
            }
            if let Ok(at) = text.parse::<Timestamp>() {
                return Some(at);
            }
            if let Ok(at) = text.parse::<DateTime>() {
                // Without an offset it is UTC.
                return Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp());
            }
            plain_digits(text).and_then(|digits| epoch(&digits))
        }
        _ => None,
    }
}

/// Seconds since the Unix epoch, milliseconds from 10^11 on; with all digits of a fraction down to
/// nanoseconds. What would be beyond the year 2286 either way is no time: it may be micro- or
/// nanoseconds, or `20240102093000`.
fn epoch(digits: &str) -> Option<Timestamp> {
    if digits.contains(['e', 'E']) {
        return None;
    }
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, digits),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i128 = whole.parse().ok()?;
    let unit: i128 = if whole < 10_i128.pow(11) { 1_000_000_000 } else { 1_000_000 };
    if whole >= 10_i128.pow(13) {
        return None;
    }
    let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanos = whole * unit + fraction.parse::<i128>().ok()? * unit / 1_000_000_000;
    Timestamp::from_nanosecond(sign * nanos).ok()
}

fn at_midnight(date: Date) -> Option<Timestamp> {
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The day as written, whatever the offset behind it.
fn date(batch: &RecordBatch, cell: Cell) -> Option<Date> {
    match cell {
        Cell::Int(value) => compact(&value.to_string()),
        Cell::Text(span) => {
            let text = batch.text_of(span).trim();
            if let Some(date) = compact(text) {
                return Some(date);
            }
            text.parse::<DateTime>().map(DateTime::date).ok().or_else(|| {
                // With `Z`, which a civil time may not have.
                text.parse::<Timestamp>().ok()?;
                text.get(..10)?.parse().ok()
            })
        }
        _ => None,
    }
}

/// `YYYYMMDD`
fn compact(text: &str) -> Option<Date> {
    let is_digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let date = is_digits.then(|| Date::strptime("%Y%m%d", text).ok())??;
    (1900..2200).contains(&date.year()).then_some(date)
}

/// As it came; a text that is an array or object becomes that.
fn json(batch: &mut RecordBatch, cell: Cell) -> Result<Cell, Trouble> {
    let value = match cell {
        Cell::Null | Cell::Json(_) => return Ok(cell),
        Cell::Number(span) => return Ok(Cell::Json(span)),
        Cell::Text(span) if batch.text_of(span).trim_start().starts_with(['{', '[']) => {
            tree::parse(batch.text_of(span)).unwrap_or_else(|_| value_of(batch, cell))
        }
        cell => value_of(batch, cell),
    };
    // Of a list, so that any value is written as JSON.
    let start = batch.text.len();
    match cell_of(&Value::Array(vec![value]), &mut batch.text)? {
        Cell::Json(mut span) => {
            debug_assert_eq!(span.start as usize, start);
            span.start += 1;
            span.len -= 2;
            Ok(Cell::Json(span))
        }
        cell => Ok(cell),
    }
}

fn unfit(batch: &RecordBatch, field: &str, cell: Cell, kind: ColumnType) -> Failure {
    let value = shortened(&value_of(batch, cell).to_string(), 60);
    let kind = match kind {
        ColumnType::Bool => "a bool",
        ColumnType::Int => "an int",
        ColumnType::Float => "a float",
        ColumnType::Decimal => "a decimal",
        ColumnType::Text => "text",
        ColumnType::Timestamp => "a timestamp",
        ColumnType::Date => "a date",
        ColumnType::Json => "json",
    };
    let message = format!("`{field}` is {value}, which is not {kind}");
    Failure::new(FailureClass::Permanent, FailureKind::Record, message)
        .help("correct `types`, or rebuild the value with `map`")
}

#[cfg(test)]
mod tests;
