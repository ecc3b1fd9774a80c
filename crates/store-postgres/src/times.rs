//! Instants and days, from the texts that the worker writes to PostgreSQL's numbers.

/// Why a text is no instant of PostgreSQL's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTime {
    /// It has digits beyond the microsecond.
    TooFine,
    /// It is before 4713 BC, or not as the worker writes it.
    NotOne,
}

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL's count begins.
const EPOCH: i64 = 10_957;
/// 4713 BC, in years as ISO 8601 counts them.
const FIRST_YEAR: i64 = -4712;

/// Microseconds since 2000-01-01 of `2024-01-02T03:04:05.678901Z`.
pub(crate) fn instant(text: &str) -> Result<i64, NoTime> {
    let (date, time) = text.split_once('T').ok_or(NoTime::NotOne)?;
    let time = time.strip_suffix('Z').ok_or(NoTime::NotOne)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = time.splitn(3, ':').map(number);
    let mut part = || parts.next().flatten().ok_or(NoTime::NotOne);
    let (hours, minutes, seconds) = (part()?, part()?, part()?);
    let fine = fraction.trim_end_matches('0');
    if fine.len() > 6 {
        return Err(NoTime::TooFine);
    }
    let micros = match fine {
        "" => 0,
        fine => number(fine).ok_or(NoTime::NotOne)? * 10_i64.pow(6 - u32::try_from(fine.len()).unwrap_or(6)),
    };
    let seconds = days(date)? * 86_400 + hours * 3_600 + minutes * 60 + seconds;
    Ok(seconds * 1_000_000 + micros)
}

/// Days since 2000-01-01 of `2024-01-02`.
pub(crate) fn day(text: &str) -> Result<i32, NoTime> {
    i32::try_from(days(text)?).map_err(|_| NoTime::NotOne)
}

fn days(text: &str) -> Result<i64, NoTime> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut parts = unsigned.splitn(3, '-').map(number);
    let mut part = || parts.next().flatten().ok_or(NoTime::NotOne);
    let (year, month, day) = (sign * part()?, part()?, part()?);
    if year < FIRST_YEAR || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(NoTime::NotOne);
    }
    // <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Ok(era * 146_097 + of_era - 719_468 - EPOCH)
}

fn number(digits: &str) -> Option<i64> {
    let is_number =
        !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_days() {
        for (text, expected) in [
            ("2000-01-01T00:00:00Z", Ok(0)),
            ("2000-01-01T00:00:00.5Z", Ok(500_000)),
            ("1999-12-31T23:59:59.999999Z", Ok(-1)),
            ("2024-02-29T12:00:00.000001000Z", Ok(762_523_200_000_001)),
            ("1970-01-01T00:00:00Z", Ok(-946_684_800_000_000)),
            ("-000001-01-01T00:00:00Z", Ok(-63_145_440_000_000_000)),
            ("2000-01-01T00:00:00.1234567Z", Err(NoTime::TooFine)),
            ("2000-01-01T00:00:00", Err(NoTime::NotOne)),
            ("-009999-01-01T00:00:00Z", Err(NoTime::NotOne)),
            ("yesterday", Err(NoTime::NotOne)),
        ] {
            assert_eq!(instant(text), expected, "{text}");
        }
        for (text, expected) in [
            ("2000-01-01", Ok(0)),
            ("1999-12-31", Ok(-1)),
            ("2024-02-29", Ok(8_825)),
            ("x", Err(NoTime::NotOne)),
        ] {
            assert_eq!(day(text), expected, "{text}");
        }
    }
}
