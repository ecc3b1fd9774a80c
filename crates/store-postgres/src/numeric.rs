//! Decimal digits as PostgreSQL's `numeric`: all of them, in groups of four (`numeric_recv` in its `numeric.c`).

/// Beyond what a `numeric` holds: 131,072 digits before the point, 16,383 behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfRange;

const MOST_BEFORE: i64 = 131_072;
const MOST_BEHIND: i64 = 16_383;

/// Writes a number, given as JSON has it, in the binary form. `is_canonical`: equal numbers are written alike.
pub(crate) fn write(text: &str, is_canonical: bool, out: &mut Vec<u8>) -> Result<(), OutOfRange> {
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes()).map(|byte| byte.wrapping_sub(b'0'));
    if digits().any(|digit| digit > 9) {
        return Err(OutOfRange);
    }
    let leading = digits().take_while(|digit| *digit == 0).count();
    let count = whole.len() + fraction.len() - leading;
    // How many digits stand before the point, counted from the first that is not zero.
    let point = long(whole.len()) - long(leading) + exponent;
    let mut scale = (long(fraction.len()) - exponent).max(0);
    if count > 0 && point > MOST_BEFORE || scale > MOST_BEHIND {
        return Err(OutOfRange);
    }
    if is_canonical {
        scale = 0;
    }
    let weight = (point + 3).div_euclid(4) - 1;
    let pad = usize::try_from((weight + 1) * 4 - point).unwrap_or(0);
    let padded = std::iter::repeat_n(0, pad).chain(digits().skip(leading));
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    let (mut group, mut filled, mut groups, mut significant) = (0_u16, 0, 0_u16, 0_u16);
    let last = (pad + count).next_multiple_of(4);
    for digit in padded.chain(std::iter::repeat(0)).take(if count == 0 { 0 } else { last }) {
        group = group * 10 + u16::from(digit);
        filled += 1;
        if filled == 4 {
            out.extend_from_slice(&group.to_be_bytes());
            groups += 1;
            if group != 0 {
                significant = groups;
            }
            (group, filled) = (0, 0);
        }
    }
    out.truncate(start + 8 + usize::from(significant) * 2);
    let weight = if significant == 0 { 0 } else { weight };
    let sign: u16 = if is_negative && significant > 0 { 0x4000 } else { 0 };
    let fields = [
        significant,
        i16::try_from(weight).map_err(|_| OutOfRange)?.cast_unsigned(),
        sign,
        u16::try_from(scale).map_err(|_| OutOfRange)?,
    ];
    for (place, field) in out[start..start + 8].chunks_exact_mut(2).zip(fields) {
        place.copy_from_slice(&field.to_be_bytes());
    }
    Ok(())
}

fn exponent(text: &str) -> Result<i64, OutOfRange> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let exponent: i64 = text.parse().map_err(|_| OutOfRange)?;
    if exponent.abs() > 1_000_000 { Err(OutOfRange) } else { Ok(exponent) }
}

fn long(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_groups_of_four() {
        // groups, weight, sign, scale, then the groups
        for (text, expected) in [
            ("0", vec![0, 0, 0, 0]),
            ("-0.00", vec![0, 0, 0, 2]),
            ("1", vec![1, 0, 0, 0, 1]),
            ("-12345.678", vec![3, 1, 0x4000, 3, 1, 2345, 6780]),
            ("10000", vec![1, 1, 0, 0, 1]),
            ("0.0001", vec![1, 0xFFFF, 0, 4, 1]),
            ("0.00001", vec![1, 0xFFFE, 0, 5, 1000]),
            ("1.10", vec![2, 0, 0, 2, 1, 1000]),
            ("1e5", vec![1, 1, 0, 0, 10]),
            ("1.5E-3", vec![1, 0xFFFF, 0, 4, 15]),
            ("123e-2", vec![2, 0, 0, 2, 1, 2300]),
        ] {
            let mut out = Vec::new();
            write(text, false, &mut out).unwrap();
            let found: Vec<u16> =
                out.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused() {
        for text in ["1e131072", "1e-16384", "1e99999999999999999999", "x"] {
            assert_eq!(write(text, false, &mut Vec::new()), Err(OutOfRange), "{text}");
        }
        assert!(write("1e131071", false, &mut Vec::new()).is_ok());
    }
}
