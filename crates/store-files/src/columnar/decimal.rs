//! Decimals: a number as an integer of up to 38 digits and a scale that its whole column has.

/// The most digits that Parquet's DECIMAL has in 16 bytes.
pub(crate) const MOST_DIGITS: u32 = 38;

/// How many digits numbers have, at most, before and behind the point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digits {
    pub whole: u32,
    pub fraction: u32,
}

/// The digits of any 64-bit integer.
pub(crate) const OF_INTEGERS: Digits = Digits { whole: 19, fraction: 0 };

impl Digits {
    /// What both need.
    pub(crate) fn and(self, other: Digits) -> Digits {
        Digits { whole: self.whole.max(other.whole), fraction: self.fraction.max(other.fraction) }
    }

    /// Whether a column can have them all.
    pub(crate) fn fit(self) -> bool {
        self.whole.saturating_add(self.fraction) <= MOST_DIGITS
    }
}

/// A number in JSON's grammar, apart: its sign, its digits, and the power of ten of the last one. Zeros that say
/// nothing are gone.
fn parts(text: &str) -> Option<(bool, String, i32)> {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let exponent: i32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = all.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    let dropped = i32::try_from(digits.len() - significant.len()).ok()?;
    let power = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?.checked_add(dropped)?;
    Some(match significant.is_empty() {
        true => (false, String::new(), 0),
        false => (negative, significant.to_owned(), power),
    })
}

/// The digits that a number needs; none: it is no number, or has far too many.
pub(crate) fn needed(text: &str) -> Option<Digits> {
    let (_, digits, power) = parts(text)?;
    let length = i32::try_from(digits.len()).ok()?;
    let whole = length.checked_add(power)?.max(0);
    Some(Digits { whole: whole.unsigned_abs(), fraction: power.min(0).unsigned_abs() })
}

/// A number as an integer of so many digits behind the point.
pub(crate) fn unscaled(text: &str, scale: u32) -> Option<i128> {
    let (negative, digits, power) = parts(text)?;
    let zeros = power.checked_add(i32::try_from(scale).ok()?)?;
    let zeros = u32::try_from(zeros).ok()?;
    if digits.len() as u32 + zeros > MOST_DIGITS {
        return digits.is_empty().then_some(0);
    }
    let value = if digits.is_empty() { 0 } else { digits.parse::<i128>().ok()? };
    let value = value.checked_mul(10i128.checked_pow(zeros)?)?;
    Some(if negative { -value } else { value })
}

/// The digits of such an integer, without zeros that say nothing.
pub(crate) fn text(unscaled: i128, scale: u32) -> String {
    let digits = unscaled.unsigned_abs().to_string();
    let sign = if unscaled < 0 { "-" } else { "" };
    let scale = scale as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Digits, needed, text, unscaled};

    #[test]
    fn no_digit_changes() {
        for (number, whole, fraction, back) in [
            ("0", 0, 0, "0"),
            ("-0.00", 0, 0, "0"),
            ("1", 1, 0, "1"),
            ("1.10", 1, 1, "1.1"),
            ("-12.345", 2, 3, "-12.345"),
            ("1e3", 4, 0, "1000"),
            ("1.5E+2", 3, 0, "150"),
            ("25e-4", 0, 4, "0.0025"),
            ("12345678901234567890123456789.012345678", 29, 9, "12345678901234567890123456789.012345678"),
            ("99999999999999999999999999999999999999", 38, 0, "99999999999999999999999999999999999999"),
        ] {
            let digits = needed(number).unwrap();
            assert_eq!(digits, Digits { whole, fraction }, "{number}");
            assert!(digits.fit(), "{number}");
            for scale in [fraction, (38 - whole).max(fraction)] {
                assert_eq!(text(unscaled(number, scale).unwrap(), scale), back, "{number} at {scale}");
            }
        }
        for number in ["1e300", "1e38", "0.000000000000000000000000000000000000001", "1e-40"] {
            assert!(!needed(number).unwrap().fit(), "{number}");
        }
        for none in ["", "x", "1x", "1e99999999999", "NaN", "-"] {
            assert_eq!(needed(none), None, "{none}");
        }
        assert_eq!(unscaled("1.25", 1), None);
    }
}
