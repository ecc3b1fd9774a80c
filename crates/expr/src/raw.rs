//! Bytes that are no text, written as text: hashes and decoded keys on their way to another filter.
//!
//! A byte that is not part of UTF-8 becomes the character `U+10FF00` + byte, as Python's
//! `surrogateescape` does with surrogates. What is UTF-8 stays as it is. Texts that hold such characters
//! of their own are [`escaped`] on their way into a template, and [`plain`] again on their way out.

use std::borrow::Cow;
use std::fmt::Write;

/// The character that byte 0 is written as.
const FIRST: u32 = 0x10_FF00;

/// The bytes that a text stands for: its UTF-8, with the escaped bytes put back.
pub fn raw_bytes(text: &str) -> Vec<u8> {
    if !has_raw(text) {
        return text.as_bytes().to_vec();
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte_of(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Bytes as text; [`raw_bytes`] undoes it.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if byte_of(c).is_some() {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push(&mut text, byte));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| push(&mut text, *byte));
    }
    text
}

/// A text from outside, whose own characters must not be taken for bytes.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if has_raw(text) { Cow::Owned(to_text(text.as_bytes())) } else { Cow::Borrowed(text) }
}

/// A text for outside; none if it holds bytes that are no text.
pub(crate) fn plain(text: &str) -> Option<Cow<'_, str>> {
    if has_raw(text) {
        String::from_utf8(raw_bytes(text)).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(text))
    }
}

/// Whether a text holds escaped bytes, or characters that look like them.
pub(crate) fn has_raw(text: &str) -> bool {
    // All characters from U+100000 on begin with this byte.
    text.as_bytes().contains(&0xF4) && text.chars().any(|c| byte_of(c).is_some())
}

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// The bytes that hexadecimal digits stand for.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn byte_of(c: char) -> Option<u8> {
    u32::from(c).checked_sub(FIRST).and_then(|byte| u8::try_from(byte).ok())
}

fn push(text: &mut String, byte: u8) {
    // It cannot fail: all of these are characters.
    text.extend(char::from_u32(FIRST + u32::from(byte)));
}

#[cfg(test)]
mod tests {
    use super::{escaped, from_hex, has_raw, hex, plain, raw_bytes, to_text};

    #[test]
    fn bytes_come_back() {
        let every: Vec<u8> = (0..=255).collect();
        let tricky = [&b"abc"[..], "é€𝄞".as_bytes(), &every, "\u{10FF41}".as_bytes(), b"\xc3", b""];
        for bytes in tricky {
            let text = to_text(bytes);
            assert_eq!(raw_bytes(&text), bytes, "{bytes:?}");
            assert_eq!(has_raw(&text), std::str::from_utf8(bytes).is_err() || bytes.starts_with(b"\xf4"));
            assert_eq!(from_hex(&hex(bytes)).as_deref(), Some(bytes));
            assert_eq!(plain(&text).as_deref(), std::str::from_utf8(bytes).ok());
        }
        // A character that is cut in two is whole again when its halves are joined.
        assert_eq!(raw_bytes(&(to_text(b"\xc3") + &to_text(b"\xa9"))), "é".as_bytes());
        let own = "a\u{10FF41}\u{10FFFF}\u{10FEFF}";
        assert_eq!(
            (raw_bytes(&escaped(own)), plain(&escaped(own)).as_deref()),
            (own.as_bytes().to_vec(), Some(own))
        );
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("0g"), None);
    }
}
