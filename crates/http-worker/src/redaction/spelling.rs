//! A text in whatever spelling somebody else gives it: percent-encoded, escaped as in JSON, as in HTML.
//!
//! Listing the spellings would not do: PHP escapes `/`, Go `&`, Python `é`, and each in a case of its own.

use std::ops::Range;

/// So many characters of a text that is cut off give enough of it away.
const ENOUGH: usize = 8;

/// Backslashes before a character at most: JSON within JSON within JSON.
const MOST_BACKSLASHES: usize = 7;

/// Where a form stands.
pub(super) struct Place {
    pub(super) range: Range<usize>,
    /// All of it; else the text is cut off within it.
    pub(super) whole: bool,
}

/// The places where `form` stands in `text`.
pub(super) fn places(text: &str, form: &str) -> impl Iterator<Item = Place> {
    let first = form.bytes().next();
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(found) = text.as_bytes()[from..]
            .iter()
            .position(|byte| Some(*byte) == first || matches!(byte, b'%' | b'\\' | b'&' | b'+'))
        {
            let at = from + found;
            // What begins a form in UTF-8 begins a character.
            from = at + 1;
            if let Some((end, whole)) = matched(text, at, form) {
                from = end.max(from);
                return Some(Place { range: at..end, whole });
            }
        }
        None
    })
}

/// Where `form` ends that begins at `at`, and whether that is all of it.
fn matched(text: &str, at: usize, form: &str) -> Option<(usize, bool)> {
    let mut here = vec![at];
    let mut next = Vec::new();
    for (count, wanted) in form.chars().enumerate() {
        next.clear();
        for from in &here {
            after(text, *from, wanted, &mut next);
        }
        if next.is_empty() {
            let enough = count >= ENOUGH || (count > 1 && count * 2 >= form.chars().count());
            let end = here.iter().copied().max().filter(|_| enough)?;
            return cut_off(&text[end..]).map(|behind| (end + behind, false));
        }
        next.sort_unstable();
        next.dedup();
        std::mem::swap(&mut here, &mut next);
    }
    here.last().map(|end| (*end, true))
}

/// Whether a text ends here, maybe within an escape; how long that is.
fn cut_off(rest: &str) -> Option<usize> {
    let left = rest.split('…').next().unwrap_or(rest);
    let within = left.len() < 6 && left.starts_with(['%', '\\', '&']);
    (left.is_empty() || within).then_some(left.len())
}

/// Appends where `wanted` may end that begins at `at`.
fn after(text: &str, at: usize, wanted: char, ends: &mut Vec<usize>) {
    let Some(rest) = text.get(at..) else { return };
    let mut found = |left: &str| ends.push(text.len() - left.len());
    if let Some(left) = rest.strip_prefix(wanted) {
        found(left);
    }
    match rest.as_bytes().first() {
        Some(b'+') if wanted == ' ' => found(&rest[1..]),
        Some(b'%') => {
            ["%", "%25", "%2525"].iter().filter_map(|sign| percent(rest, sign, wanted)).for_each(found)
        }
        Some(b'\\') => {
            let unescaped = rest.trim_start_matches('\\');
            let count = rest.len() - unescaped.len();
            if wanted == '\\' {
                (2..=count.min(MOST_BACKSLASHES)).for_each(|count| found(&rest[count..]));
            } else if count <= MOST_BACKSLASHES {
                unescaped.strip_prefix(wanted).into_iter().for_each(&mut found);
                escaped(rest, wanted).into_iter().for_each(found);
            }
        }
        Some(b'&') => entity(rest, wanted).into_iter().for_each(found),
        _ => {}
    }
}

/// `%2F`, and `%252F`: each byte in UTF-8.
fn percent<'t>(mut rest: &'t str, sign: &str, wanted: char) -> Option<&'t str> {
    for byte in wanted.encode_utf8(&mut [0; 4]).bytes() {
        let digits = rest.strip_prefix(sign)?;
        rest = hexadecimal(digits, 2, u32::from(byte))?;
    }
    Some(rest)
}

/// `\u002f`, with surrogates where it takes two; `\u{2f}`; `\n`. Any number of backslashes.
fn escaped(rest: &str, wanted: char) -> Option<&str> {
    let kind = rest.trim_start_matches('\\');
    let short = match wanted {
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\0' => Some('0'),
        _ => None,
    };
    if let Some(left) = short.and_then(|short| kind.strip_prefix(short)) {
        return Some(left);
    }
    if let Some(digits) = kind.strip_prefix("u{") {
        let (digits, left) = digits.split_once('}')?;
        return (u32::from_str_radix(digits, 16) == Ok(u32::from(wanted))).then_some(left);
    }
    let mut rest = rest;
    for unit in wanted.encode_utf16(&mut [0; 2]) {
        let digits = rest.strip_prefix('\\')?.trim_start_matches('\\').strip_prefix('u')?;
        rest = hexadecimal(digits, 4, u32::from(*unit))?;
    }
    Some(rest)
}

/// `&amp;`, `&#38;`, `&#x26;`.
fn entity(rest: &str, wanted: char) -> Option<&str> {
    let (name, left) = rest.strip_prefix('&')?.split_once(';')?;
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
    let code = match name {
        "amp" => Some(u32::from('&')),
        "lt" => Some(u32::from('<')),
        "gt" => Some(u32::from('>')),
        "quot" => Some(u32::from('"')),
        "apos" => Some(u32::from('\'')),
        name => match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
            Some(digits) => number(digits, 16),
            None => number(name.strip_prefix('#')?, 10),
        },
    };
    (code == Some(u32::from(wanted))).then_some(left)
}

/// What follows `count` hexadecimal digits, if they are `value`.
fn hexadecimal(text: &str, count: usize, value: u32) -> Option<&str> {
    let digits = text.get(..count)?;
    (u32::from_str_radix(digits, 16) == Ok(value)).then(|| &text[count..])
}
