//! Reads JSON text left to right (RFC 8259), without building anything.
//!
//! Strict in syntax; lenient in one point, lone surrogates, which [`unescape`] replaces. It never
//! looks at a byte twice and never recurses deeper than [`MAX_DEPTH`].

use std::borrow::Cow;
use std::ops::Range;

use super::Trouble;

/// Arrays and objects within each other at most, the root included.
const MAX_DEPTH: u32 = 128;

/// A place in JSON text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// Whitespace was skipped since this was last set to `false`.
    spaced: bool,
    /// A line break was skipped since this was last set to `false`.
    broken: bool,
    /// A string had an escape of U+0000 or of half a surrogate pair since this was last set to `false`.
    odd: bool,
}

/// A string between its quotes, still escaped.
#[derive(Clone, Copy)]
pub(super) struct RawString<'a> {
    pub(super) raw: &'a str,
    pub(super) escaped: bool,
}

/// Up to sixteen bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Short {
    bytes: u128,
    mask: u128,
    /// 0: what is longer.
    length: usize,
}

impl Short {
    /// None of it, if it is too long.
    pub(super) fn new(text: &str) -> Short {
        let length = text.len();
        if length > size_of::<u128>() {
            return Short::default();
        }
        let bytes = text.bytes().rev().fold(0, |sum, byte| sum << 8 | u128::from(byte));
        Short { bytes, mask: u128::MAX >> (8 * (size_of::<u128>() - length)), length }
    }
}

impl<'a> RawString<'a> {
    /// What it says.
    pub(super) fn text(self) -> Cow<'a, str> {
        if self.escaped {
            let mut out = String::with_capacity(self.raw.len());
            unescape(self.raw, &mut out);
            Cow::Owned(out)
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

impl<'a> Scanner<'a> {
    /// At the start of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0, depth: 0, spaced: false, broken: false, odd: false }
    }

    /// At the start of a value that lies so deep.
    pub(super) fn deep(text: &'a str, depth: u32) -> Self {
        Scanner { depth, ..Scanner::new(text) }
    }

    /// The byte offset reached.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Another scanner of the same text, at the start of a value that lies as deep.
    pub(super) fn moved_to(&self, at: usize) -> Scanner<'a> {
        Scanner { at, depth: self.depth + 1, ..Scanner::new(self.text) }
    }

    /// The text of a range of offsets.
    pub(super) fn slice(&self, range: Range<usize>) -> &'a str {
        &self.text[range]
    }

    /// The first byte of the next token, not consumed; 0 at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.spaced = true;
            self.broken |= byte != b' ' && byte != b'\t';
            self.at += 1;
        }
        0
    }

    /// The end of the text, but for whitespace.
    pub(super) fn end(&mut self) -> Result<(), Trouble> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { Err(self.trouble("something follows the value")) }
    }

    /// `[` or `{` was seen: goes in. False if it is empty (then it is already left again).
    #[inline]
    pub(super) fn enter(&mut self, close: u8) -> Result<bool, Trouble> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.trouble("more than 128 arrays and objects within each other"));
        }
        self.at += 1;
        if self.peek() == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// After an element: true at a comma, false at the closing bracket, which it leaves.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool, Trouble> {
        match self.peek() {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            0 if self.at == self.text.len() => Err(self.trouble("the text ends early")),
            _ if close == b']' => Err(self.trouble("expected `,` or `]`")),
            _ => Err(self.trouble("expected `,` or `}`")),
        }
    }

    /// A member's key and its colon.
    // Always: with more than one caller it is not, and reading records costs a quarter more.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Result<RawString<'a>, Trouble> {
        if self.peek() != b'"' {
            return Err(self.trouble("expected a key in double quotes"));
        }
        let key = self.string()?;
        if self.peek() != b':' {
            return Err(self.trouble("expected `:`"));
        }
        self.at += 1;
        Ok(key)
    }

    /// Takes what comes next if it is this; none: it cannot be told so.
    #[inline]
    pub(super) fn take_short(&mut self, expected: &Short) -> Option<bool> {
        self.peek();
        let comes = self.text.as_bytes().get(self.at..self.at + size_of::<u128>())?;
        let comes = u128::from_le_bytes(comes.try_into().ok()?);
        if expected.length == 0 {
            return None;
        }
        let is_it = comes & expected.mask == expected.bytes;
        self.at += if is_it { expected.length } else { 0 };
        Some(is_it)
    }

    /// Takes what comes next if it is this.
    #[inline]
    pub(super) fn take_if(&mut self, expected: &str) -> bool {
        self.peek();
        let comes = self.rest().starts_with(expected.as_bytes());
        self.at += if comes { expected.len() } else { 0 };
        comes
    }

    /// A string; the next byte is its quote.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<RawString<'a>, Trouble> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = plain_end(bytes, at);
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    let end = escape_end(bytes, at).ok_or_else(|| Trouble::syntax(at, "not an escape"))?;
                    at = match end - at {
                        2 => end,
                        _ => self.unit_end(at),
                    };
                }
                Some(0..0x20) => return Err(Trouble::syntax(at, "a control character in a string")),
                Some(_) => at += 1,
                None => return Err(Trouble::syntax(at, "the text ends within a string")),
            }
        }
        self.at = at + 1;
        Ok(RawString { raw: &self.text[start..at], escaped })
    }

    /// The offset behind the escaped code unit at `at`, or behind the pair that it begins. What is odd is noted.
    #[cold]
    fn unit_end(&mut self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let pairs = |low: usize| {
            bytes.get(low..low + 2) == Some(b"\\u")
                && escape_end(bytes, low).is_some()
                && matches!(unit(bytes, low + 2), 0xDC00..0xE000)
        };
        match unit(bytes, at + 2) {
            0xD800..0xDC00 if pairs(at + 6) => return at + 12,
            0 | 0xD800..0xE000 => self.odd = true,
            _ => {}
        }
        at + 6
    }

    /// `true`, `false` or `null`: the next byte is the word's first.
    #[inline]
    pub(super) fn word(&mut self, word: &'static str) -> Result<(), Trouble> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.trouble("expected a value"))
        }
    }

    /// The bytes not yet read.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Takes `len` bytes, which must end on a character's end.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> &'a str {
        let taken = &self.text[self.at..self.at + len];
        self.at += len;
        taken
    }

    /// Skips a value; where it stood.
    pub(super) fn skip(&mut self) -> Result<Range<usize>, Trouble> {
        let first = self.peek();
        let start = self.at;
        match first {
            b'"' => {
                self.string()?;
            }
            b'{' => {
                let mut more = self.enter(b'}')?;
                while more {
                    self.key()?;
                    self.skip()?;
                    more = self.more(b'}')?;
                }
            }
            b'[' => {
                let mut more = self.enter(b']')?;
                while more {
                    self.skip()?;
                    more = self.more(b']')?;
                }
            }
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => super::number::skip(self)?,
        }
        Ok(start..self.at)
    }

    /// Forgets what was noted of the text so far; the next byte is a value's first.
    pub(super) fn note_anew(&mut self) {
        self.peek();
        (self.spaced, self.broken, self.odd) = (false, false, false);
    }

    /// Whether line breaks stood between the tokens since [`note_anew`](Self::note_anew).
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a string escaped U+0000 or half a surrogate pair since [`note_anew`](Self::note_anew).
    pub(super) fn is_odd(&self) -> bool {
        self.odd
    }

    /// Skips a value; where it stood, and whether there was whitespace in it.
    pub(super) fn skip_noting_space(&mut self) -> Result<(Range<usize>, bool), Trouble> {
        self.peek();
        self.spaced = false;
        let range = self.skip()?;
        Ok((range, self.spaced))
    }

    /// What is wrong here.
    pub(super) fn trouble(&self, why: &'static str) -> Trouble {
        if self.at >= self.text.len() {
            return Trouble::syntax(self.text.len(), "the text ends early");
        }
        Trouble::syntax(self.at, why)
    }
}

/// The first offset from `at` on of what may not stand in a string as it is: eight bytes at a time.
#[inline(always)]
pub(in crate::reading) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    while let Some(eight) = bytes.get(at..at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
        let eight = u64::from_le_bytes(eight);
        // The lowest byte that one of these marks is one that counts (Mycroft 1987).
        let none = |of: u64| of.wrapping_sub(ONES) & !of & HIGH;
        let quote = none(eight ^ (ONES * u64::from(b'"')));
        let backslash = none(eight ^ (ONES * u64::from(b'\\')));
        let control = eight.wrapping_sub(ONES * 0x20) & !eight & HIGH;
        let found = quote | backslash | control;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}

/// The code unit whose four digits, checked before, are at `at`.
fn unit(bytes: &[u8], at: usize) -> u32 {
    let digits = bytes.get(at..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// The offset behind the escape whose backslash is at `at`.
fn escape_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit).then_some(at + 6),
        _ => None,
    }
}

/// Appends what an escaped string, checked by the scanner, says. Surrogate pairs are joined, lone
/// surrogates become U+FFFD.
pub(in crate::reading) fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(backslash) = rest.find('\\') {
        out.push_str(&rest[..backslash]);
        let kind = rest.as_bytes().get(backslash + 1).copied().unwrap_or(b'\\');
        rest = rest.get(backslash + 2..).unwrap_or("");
        out.push(match kind {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (unit, behind) = code_unit(rest);
                rest = behind;
                match unit {
                    0xD800..0xDC00 => match rest.strip_prefix("\\u").map(code_unit) {
                        Some((low @ 0xDC00..0xE000, behind)) => {
                            rest = behind;
                            let joined = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                            char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER)
                        }
                        _ => char::REPLACEMENT_CHARACTER,
                    },
                    _ => char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER),
                }
            }
            other => char::from(other),
        });
    }
    out.push_str(rest);
}

fn code_unit(text: &str) -> (u32, &str) {
    match (text.get(..4), text.get(4..)) {
        (Some(digits), Some(rest)) => (u32::from_str_radix(digits, 16).unwrap_or(0xFFFD), rest),
        _ => (0xFFFD, ""),
    }
}

/// Appends JSON text, checked by the scanner, as one line: without the whitespace between its tokens that breaks
/// lines. All other bytes stay.
pub(super) fn one_line(json: &str, out: &mut String) {
    let bytes = json.as_bytes();
    let mut start = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b' ' | b'\n' | b'\r' | b'\t' => {
                let space =
                    bytes[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
                let end = at + space.count();
                if bytes[at..end].iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
                    out.push_str(&json[start..at]);
                    start = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    out.push_str(json.get(start..).unwrap_or(""));
}

/// The offset behind the string whose quote is at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = plain_end(bytes, at + 1);
    while bytes.get(at) == Some(&b'\\') {
        at = plain_end(bytes, at + 2);
    }
    at + 1
}

/// Appends JSON text, checked by the scanner, without the whitespace between its tokens.
pub(super) fn compact(json: &str, out: &mut String) {
    let bytes = json.as_bytes();
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b' ' | b'\n' | b'\r' | b'\t' => {
                out.push_str(&json[start..at]);
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(json.get(start..).unwrap_or(""));
}
