//! What a value is, whichever way a store writes it: numbers by their digits, instants by when they are, JSON by value.
//!
//! A type that widened does not show: the text `"7"` and the number 7 are the same here. The types themselves are in
//! the account (`_sync_columns`), which is the same for every kind.

use jiff::Timestamp;
use serde_json::Value;

/// The value's text; none for null, which is the same as a field that is missing.
pub fn canonical(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(held) => Some(held.to_string()),
        Value::Number(number) => Some(number_text(number.as_str())),
        Value::String(text) => Some(text_of(text)),
        Value::Array(_) | Value::Object(_) => Some(json_text(value)),
    }
}

fn text_of(text: &str) -> String {
    if is_number(text) {
        return number_text(text);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return at.to_string();
    }
    match text.as_bytes().first() {
        Some(b'{' | b'[') => {
            serde_json::from_str(text).map_or_else(|_| text.to_owned(), |json| json_text(&json))
        }
        _ => text.to_owned(),
    }
}

/// With sorted keys, and numbers by their digits.
fn json_text(value: &Value) -> String {
    match value {
        Value::Number(number) => number_text(number.as_str()),
        Value::Array(items) => format!("[{}]", items.iter().map(json_text).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let mut fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), json_text(value)))
                .collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

/// By the grammar of JSON.
fn is_number(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
    let begins = text.strip_prefix('-').unwrap_or(text).bytes().next();
    ends(begins) && ends(text.bytes().last()) && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// The digits without zeros that say nothing: `1.50` is `1.5`, `1e3` is `1000`.
fn number_text(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let Ok(exponent) = exponent.trim_start_matches('+').parse::<i64>() else {
        return format!("{sign}{text}");
    };
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let dropped = digits.trim_start_matches('0').len() - significant.len();
    // significant × 10^power
    let power = exponent + to_i64(dropped) - to_i64(fraction.len());
    let length = to_i64(significant.len());
    match power {
        0..=60 => format!("{sign}{significant}{}", "0".repeat(to_usize(power))),
        -60..0 if -power < length => {
            let (whole, fraction) = significant.split_at(to_usize(length + power));
            format!("{sign}{whole}.{fraction}")
        }
        -60..0 => format!("{sign}0.{}{significant}", "0".repeat(to_usize(-power - length))),
        _ => format!("{sign}{significant}e{power}"),
    }
}

fn to_i64(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn to_usize(length: i64) -> usize {
    usize::try_from(length).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_value_has_the_same_text() {
        let same: &[&[Value]] = &[
            &[json!(7), json!("7"), json!(7.0), json!("7.00"), json!("70e-1"), json!("0.7e1")],
            &[json!(-1.5), json!("-1.50"), json!("-15e-1")],
            &[json!(0), json!("-0.0"), json!("0e5")],
            &[json!("0.0012"), json!("1.2e-3"), json!("0.00120")],
            &[json!("1e300"), json!("10e299")],
            &[
                json!("2024-01-01T08:00:00+08:00"),
                json!("2024-01-01T00:00:00Z"),
                json!("2024-01-01 00:00:00+00"),
            ],
            &[json!({"b": 1.0, "a": [true]}), json!("{\"a\": [true], \"b\": 1}")],
            &[json!(true), json!("true")],
        ];
        for values in same {
            for value in *values {
                assert_eq!(canonical(value), canonical(&values[0]), "{value}");
            }
        }
        let texts: Vec<_> = same.iter().map(|values| canonical(&values[0])).collect();
        for (at, text) in texts.iter().enumerate() {
            assert!(!texts[..at].contains(text), "{text:?} twice");
        }
        for text in ["007", "1.", "+1", " 1", "", "null", "2024-01-01", "{a", "٣"] {
            assert_eq!(canonical(&json!(text)).as_deref(), Some(text));
        }
        assert_eq!(canonical(&Value::Null), None);
    }
}
