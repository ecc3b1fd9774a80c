//! JSON numbers without loss: what an i64 or an f64 keeps becomes one, all others stay digits.

use super::Trouble;
use super::scanner::Scanner;

/// A number as the cell it becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::reading) enum Number<'a> {
    /// Written as an integer, and fits.
    Int(i64),
    /// Its shortest form has the digits that were written (but for zeros that say nothing). `-0`
    /// is one of these, since an integer would lose its sign.
    Float(f64),
    /// Any other: integers beyond 64 bits, decimals an f64 would bend, magnitudes beyond f64.
    Digits(&'a str),
}

/// Reads a number.
// Always, and so what it calls: handed on through memory, a number costs more than its digits.
#[inline(always)]
pub(super) fn read<'a>(scanner: &mut Scanner<'a>) -> Result<(Number<'a>, &'a str), Trouble> {
    let written = written(scanner)?;
    let text = scanner.take(written.end);
    Ok((classify(text, &written), text))
}

/// A number as it stands in the text.
struct Written {
    /// Its length.
    end: usize,
    negative: bool,
    /// Neither a point nor an exponent.
    integer: bool,
    mantissa: Mantissa,
    /// The power of ten of the mantissa's last digit.
    scale: i64,
}

#[inline(always)]
fn written(scanner: &Scanner<'_>) -> Result<Written, Trouble> {
    let bytes = scanner.rest();
    let negative = bytes.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let mut mantissa = Mantissa::default();
    let whole = mantissa.read(bytes, at);
    if whole == 0 || (whole > 1 && bytes[at] == b'0') {
        return Err(scanner.trouble("expected a value"));
    }
    at += whole;
    let mut scale = 0i64;
    let mut integer = true;
    if bytes.get(at) == Some(&b'.') {
        let fraction = mantissa.read(bytes, at + 1);
        if fraction == 0 {
            return Err(scanner.trouble("a number without digits behind its point"));
        }
        scale = -i64::try_from(fraction).unwrap_or(i64::MAX);
        at += 1 + fraction;
        integer = false;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(bytes, at + 1 + sign);
        if exponent == 0 {
            return Err(scanner.trouble("a number without digits in its exponent"));
        }
        let end = at + 1 + sign + exponent;
        let size = bytes[at + 1 + sign..end]
            .iter()
            .fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
        scale = scale.saturating_add(if bytes[at + 1] == b'-' { -size } else { size });
        at = end;
        integer = false;
    }
    Ok(Written { end: at, negative, integer, mantissa, scale })
}

/// Skips a number.
#[inline]
pub(super) fn skip(scanner: &mut Scanner<'_>) -> Result<(), Trouble> {
    let bytes = scanner.rest();
    let at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(bytes, at);
    let end = at + whole;
    // Most are integers; the others are rare enough to be read.
    if whole == 0 || (whole > 1 && bytes[at] == b'0') || matches!(bytes.get(end), Some(b'.' | b'e' | b'E')) {
        return skip_decimal(scanner);
    }
    scanner.take(end);
    Ok(())
}

fn skip_decimal(scanner: &mut Scanner<'_>) -> Result<(), Trouble> {
    written(scanner).map(|written| {
        scanner.take(written.end);
    })
}

/// What digits stand for; `text` is a valid JSON number.
pub(in crate::reading) fn of(text: &str) -> Option<Number<'_>> {
    let mut scanner = Scanner::new(text);
    let (number, _) = read(&mut scanner).ok()?;
    scanner.end().ok()?;
    Some(number)
}

#[inline(always)]
fn classify<'a>(text: &'a str, written: &Written) -> Number<'a> {
    let Written { negative, integer, mantissa, scale, .. } = *written;
    if mantissa.significant == 0 {
        return match (integer, negative) {
            (true, false) => Number::Int(0),
            (_, true) => Number::Float(-0.0),
            (false, false) => Number::Float(0.0),
        };
    }
    if integer {
        if mantissa.significant <= 18 {
            let value = i64::try_from(mantissa.value).unwrap_or(i64::MAX);
            return Number::Int(if negative { -value } else { value });
        }
        return text.parse().map_or(Number::Digits(text), Number::Int);
    }
    // Of 15 digits any two decimals are different f64s, so the f64 keeps them. Both factors are
    // exact, so one operation rounds once, as it should (Clinger 1990).
    if mantissa.significant <= 15
        && let Ok(power) = usize::try_from(scale.unsigned_abs())
        && let Some(power) = POWERS.get(power)
    {
        let value = mantissa.value as f64;
        let value = if scale < 0 { value / power } else { value * power };
        return Number::Float(if negative { -value } else { value });
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && Decimal::of(&format!("{value:e}")) == Decimal::of(text) => {
            Number::Float(value)
        }
        _ => Number::Digits(text),
    }
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

#[inline]
fn digits(bytes: &[u8], from: usize) -> usize {
    bytes.get(from..).unwrap_or(&[]).iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Digits as they come; the value is right as long as there are no more than 18 significant ones.
#[derive(Clone, Copy, Default)]
struct Mantissa {
    value: u64,
    significant: usize,
}

impl Mantissa {
    /// Reads all digits from `at` on; how many there are.
    #[inline]
    fn read(&mut self, bytes: &[u8], at: usize) -> usize {
        let mut end = at;
        while let Some(digit) = bytes.get(end).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            self.value = self.value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.significant += usize::from(self.significant > 0 || digit != 0);
            end += 1;
        }
        end - at
    }
}

/// A decimal's significant digits, without zeros at either end, and the power of ten behind them.
#[derive(PartialEq)]
struct Decimal {
    digits: String,
    power: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Decimal> {
        let text = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let kept = digits.trim_end_matches('0');
        let power = exponent.parse::<i64>().ok()? - i64::try_from(fraction.len()).ok()?
            + i64::try_from(digits.len() - kept.len()).ok()?;
        Some(Decimal { digits: kept.trim_start_matches('0').to_owned(), power })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_value() {
        use Number::{Digits, Float, Int};
        for (text, expected) in [
            ("0", Int(0)),
            ("7", Int(7)),
            ("-7", Int(-7)),
            ("9223372036854775807", Int(i64::MAX)),
            ("-9223372036854775808", Int(i64::MIN)),
            ("9223372036854775808", Digits("9223372036854775808")),
            ("18446744073709551616", Digits("18446744073709551616")),
            ("10000000000000000000000", Digits("10000000000000000000000")),
            ("0.1", Float(0.1)),
            ("1.50", Float(1.5)),
            ("1e3", Float(1000.0)),
            ("1E+3", Float(1000.0)),
            ("-2.5e-3", Float(-0.0025)),
            ("0.0", Float(0.0)),
            ("0e999999999999999999999", Float(0.0)),
            ("1.7976931348623157e308", Float(f64::MAX)),
            ("5e-324", Float(5e-324)),
            ("1e400", Digits("1e400")),
            ("1e99999999999999999999", Digits("1e99999999999999999999")),
            ("0.1000000000000000055511151231257827", Digits("0.1000000000000000055511151231257827")),
            ("1.00000000000000000000", Float(1.0)),
            ("0.30000000000000004", Float(0.300_000_000_000_000_04)),
            ("1234567890.123456789", Digits("1234567890.123456789")),
            ("123456789012345.6", Float(123_456_789_012_345.6)),
        ] {
            assert_eq!(of(text), Some(expected), "{text}");
        }
        assert!(matches!(of("-0"), Some(Float(zero)) if zero.is_sign_negative()));
        for wrong in ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "NaN", "0x1", "--1", "1.5.5"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_float_is_what_the_standard_library_reads(text in "-?[1-9][0-9]{0,18}\\.[0-9]{1,20}(e-?[0-9]{1,3})?") {
            match of(&text) {
                Some(Number::Float(value)) => {
                    proptest::prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
                    let kept = Decimal::of(&format!("{value:e}")) == Decimal::of(&text);
                    proptest::prop_assert!(kept);
                }
                Some(Number::Digits(digits)) => proptest::prop_assert_eq!(digits, text.as_str()),
                other => proptest::prop_assert!(false, "{:?}", other),
            }
        }
    }
}
