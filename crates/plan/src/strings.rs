//! Where the characters of a TOML string stand in the text: so that an error within a template or
//! jq program is shown at its own column.

use std::ops::Range;

/// The range of `raw` (a TOML string with its quotes) that bytes `at` of its value come from;
/// `None` if `value` is not what `raw` says.
pub(crate) fn locate(raw: &str, value: &str, at: Range<usize>) -> Option<Range<usize>> {
    let (decoded, offsets) = decode(raw)?;
    // A trailing slash may have been taken off.
    if !decoded.starts_with(value) || at.start > at.end || at.end > value.len() {
        return None;
    }
    let start = *offsets.get(at.start)?;
    // Behind the last character, not before the next: escapes are longer than what they stand for.
    let end = if at.is_empty() { start } else { *offsets.get(at.end)? };
    Some(start..end.max(start))
}

/// What a TOML string, with its quotes, means.
pub(crate) fn value(raw: &str) -> Option<String> {
    decode(raw).map(|(value, _)| value)
}

/// Where each byte of what a TOML string means, and its end, stands in the string as it is written.
pub(crate) fn offsets(raw: &str) -> Option<Vec<usize>> {
    decode(raw).map(|(_, offsets)| offsets)
}

/// The words of a text: what stands between its spaces.
pub(crate) fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = 0;
    for part in text.split(char::is_whitespace) {
        if !part.is_empty() {
            words.push(at..at + part.len());
        }
        at += part.len() + text[at + part.len()..].chars().next().map_or(0, char::len_utf8);
    }
    words
}

/// The value of a TOML string, and for each of its bytes (and its end) the offset in `raw`.
fn decode(raw: &str) -> Option<(String, Vec<usize>)> {
    let (quotes, literal, multi) = if raw.starts_with("\"\"\"") {
        (3, false, true)
    } else if raw.starts_with("'''") {
        (3, true, true)
    } else if raw.starts_with('"') {
        (1, false, false)
    } else if raw.starts_with('\'') {
        (1, true, false)
    } else {
        return None;
    };
    let end = raw.len().checked_sub(quotes).filter(|end| *end >= quotes)?;
    let mut at = quotes;
    if multi {
        // A line end right behind the quotes does not count.
        let rest = raw.get(at..end)?;
        at += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    }
    let mut decoded = String::new();
    let mut offsets = Vec::new();
    while at < end {
        let rest = raw.get(at..end)?;
        let first = rest.chars().next()?;
        let (value, length) =
            if first == '\\' && !literal { escape(rest)? } else { (Some(first), first.len_utf8()) };
        if let Some(value) = value {
            offsets.extend(std::iter::repeat_n(at, value.len_utf8()));
            decoded.push(value);
        }
        at += length;
    }
    offsets.push(end);
    Some((decoded, offsets))
}

/// The character an escape stands for (none for a line end taken away) and the escape's length.
fn escape(rest: &str) -> Option<(Option<char>, usize)> {
    let kind = rest[1..].chars().next()?;
    let hex = |digits: usize| {
        let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
        Some((Some(char::from_u32(code)?), 2 + digits))
    };
    Some(match kind {
        'b' => (Some('\u{8}'), 2),
        't' => (Some('\t'), 2),
        'n' => (Some('\n'), 2),
        'f' => (Some('\u{c}'), 2),
        'r' => (Some('\r'), 2),
        'e' => (Some('\u{1b}'), 2),
        '"' => (Some('"'), 2),
        '\\' => (Some('\\'), 2),
        'x' => hex(2)?,
        'u' => hex(4)?,
        'U' => hex(8)?,
        c if c.is_whitespace() => {
            let taken = rest[1..].len() - rest[1..].trim_start().len();
            (None, 1 + taken)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_the_value_is_found_in_the_text() {
        let check = |raw: &str, value: &str, wanted: &str, expected: Option<&str>| {
            let at = value.find(wanted).unwrap();
            let found = locate(raw, value, at..at + wanted.len());
            assert_eq!(found.map(|range| &raw[range]), expected, "{raw}");
        };
        check(r#""abc def""#, "abc def", "def", Some("def"));
        check("'abc def'", "abc def", "def", Some("def"));
        check(r#""é \"q\" x""#, "é \"q\" x", "x", Some("x"));
        check(r#""é \"q\" x""#, "é \"q\" x", "\"q\"", Some(r#"\"q\""#));
        check("\"\"\"\nab\n cd\"\"\"", "ab\n cd", "cd", Some("cd"));
        check("'''\r\nab'''", "ab", "b", Some("b"));
        check("\"\"\"a \\\n   b\"\"\"", "a b", "b", Some("b"));
        check(r#""\u00e9 x""#, "é x", "x", Some("x"));
        check(r#""https://x/""#, "https://x", "x", Some("x"));
        check(r#""abc""#, "xyz", "z", None);
        assert_eq!(locate("\"", "", 0..0), None);
        assert_eq!(locate("bare", "bare", 0..1), None);
        assert_eq!(locate("\"ab\"", "ab", 1..9), None);
    }
}
