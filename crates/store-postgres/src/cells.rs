//! One cell, as a column of its type holds it.

use std::borrow::Cow;
use std::io::Write as _;

use entities::{Cell, RecordBatch};
use store::{ColumnType, json_of};

use crate::copy::Rows;
use crate::numeric;
use crate::times::{self, NoTime};

/// Why PostgreSQL cannot hold a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unholdable {
    /// U+0000 in a text, and the plan wants no other in its place.
    Nul,
    /// More digits than `numeric` has.
    Digits,
    /// An instant with digits beyond the microsecond.
    TooFine,
    /// Before 4713 BC.
    TooEarly,
    /// Beyond 1 GB.
    TooLong,
}

impl Unholdable {
    /// For people: what is wrong with the field, and the way out.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Unholdable::Nul => (
                "has the character U+0000, which PostgreSQL cannot hold",
                "let it become U+FFFD: text = \"replace\"",
            ),
            Unholdable::Digits => (
                "is a number beyond what PostgreSQL's numeric holds",
                "take the number as text: types = { FIELD = \"text\" }",
            ),
            Unholdable::TooFine => (
                "is finer than a microsecond, which PostgreSQL cannot hold",
                "take it as text: types = { FIELD = \"text\" }",
            ),
            Unholdable::TooEarly => (
                "is no instant or day that PostgreSQL holds: those begin in 4713 BC",
                "take it as text: types = { FIELD = \"text\" }",
            ),
            Unholdable::TooLong => {
                ("is longer than 1 GB, which PostgreSQL cannot hold", "leave the field out with `map`")
            }
        }
    }
}

/// PostgreSQL's limit is 1 GB for a row; its header and other fields are part of it.
pub(crate) const MOST_BYTES: usize = 1_000_000_000;

/// How text is treated, and what of it needs a look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts {
    /// Some text of the batch has U+0000.
    has_nul: bool,
    /// Some text of the batch has `\u`, so that JSON may escape what jsonb cannot hold.
    has_escape: bool,
    refuses: bool,
}

impl Texts {
    /// Of a batch.
    pub(crate) fn of(batch: &RecordBatch, refuses: bool) -> Texts {
        let bytes = batch.text.as_bytes();
        let has_escape = bytes.contains(&b'\\') && batch.text.contains("\\u");
        Texts { has_nul: bytes.contains(&0), has_escape, refuses }
    }

    fn plain<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, Unholdable> {
        if text.len() > MOST_BYTES {
            return Err(Unholdable::TooLong);
        }
        match self.has_nul && text.contains('\0') {
            true if self.refuses => Err(Unholdable::Nul),
            true => Ok(Cow::Owned(text.replace('\0', "\u{FFFD}"))),
            false => Ok(Cow::Borrowed(text)),
        }
    }

    fn json<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, Unholdable> {
        if text.len() > MOST_BYTES {
            return Err(Unholdable::TooLong);
        }
        let (sound, has_nul) = if self.has_escape { sound_json(text) } else { (Cow::Borrowed(text), false) };
        if has_nul && self.refuses { Err(Unholdable::Nul) } else { Ok(sound) }
    }
}

/// Adds a cell to a row, as a column of this type holds it; the type must hold the cell's kind. `is_canonical`: equal
/// values are written alike.
pub(crate) fn put(
    rows: &mut Rows,
    kind: ColumnType,
    cell: &Cell,
    batch: &RecordBatch,
    texts: Texts,
    is_canonical: bool,
) -> Result<(), Unholdable> {
    match (kind, cell) {
        (_, Cell::Null) => rows.null(),
        (ColumnType::Timestamp, Cell::Text(span)) => {
            rows.long(times::instant(batch.text_of(*span)).map_err(unholdable)?);
        }
        (ColumnType::Date, Cell::Text(span)) => {
            rows.int(times::day(batch.text_of(*span)).map_err(unholdable)?);
        }
        (ColumnType::Json | ColumnType::More, Cell::Json(span)) => {
            let text = texts.json(batch.text_of(*span))?;
            rows.made(|out| jsonb(out, &text))?;
        }
        (ColumnType::Decimal, cell) => decimal(rows, cell, batch, is_canonical)?,
        (_, Cell::Text(span) | Cell::Json(span) | Cell::Number(span)) => {
            rows.plain(texts.plain(batch.text_of(*span))?.as_bytes());
        }
        (ColumnType::Text | ColumnType::Null, Cell::Bool(b)) => {
            rows.plain(if *b { b"true" } else { b"false" });
        }
        (ColumnType::Text | ColumnType::Null, Cell::Int(i)) => written(rows, format_args!("{i}"))?,
        (ColumnType::Text | ColumnType::Null, Cell::Float(f)) => written(rows, format_args!("{f:?}"))?,
        (_, Cell::Bool(b)) => rows.bool(*b),
        // At most 2^53 either way, so the cast is exact.
        (ColumnType::Float, Cell::Int(i)) => rows.double(*i as f64),
        (_, Cell::Int(i)) => rows.long(*i),
        (_, Cell::Float(f)) if is_canonical && *f == 0.0 => rows.double(0.0),
        (_, Cell::Float(f)) => rows.double(*f),
    }
    Ok(())
}

/// Adds the fields without a column as one JSON object; null if all of them are.
pub(crate) fn put_more<'c>(
    rows: &mut Rows,
    fields: impl Iterator<Item = (&'c str, &'c Cell)>,
    batch: &RecordBatch,
    texts: Texts,
) -> Result<(), Unholdable> {
    let mut object = String::new();
    for (name, cell) in fields.filter(|(_, cell)| **cell != Cell::Null) {
        object.push(if object.is_empty() { '{' } else { ',' });
        object.push_str(&serde_json::Value::from(name).to_string());
        object.push(':');
        json_of(cell, batch, &mut object);
    }
    if object.is_empty() {
        rows.null();
        return Ok(());
    }
    object.push('}');
    // Names, and texts as they are written here, may have escapes that the batch's texts have not.
    let texts = Texts { has_escape: texts.has_escape || object.contains("\\u"), ..texts };
    let object = texts.json(&object)?;
    rows.made(|out| jsonb(out, &object))
}

fn unholdable(why: NoTime) -> Unholdable {
    match why {
        NoTime::TooFine => Unholdable::TooFine,
        NoTime::NotOne => Unholdable::TooEarly,
    }
}

fn jsonb(out: &mut Vec<u8>, text: &str) -> Result<(), Unholdable> {
    out.push(1);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn written(rows: &mut Rows, text: std::fmt::Arguments<'_>) -> Result<(), Unholdable> {
    rows.made(|out| out.write_fmt(text).map_err(|_| Unholdable::TooLong))
}

fn decimal(rows: &mut Rows, cell: &Cell, batch: &RecordBatch, is_canonical: bool) -> Result<(), Unholdable> {
    let text = match cell {
        Cell::Int(i) => Cow::Owned(i.to_string()),
        Cell::Float(f) => Cow::Owned(store::digits(*f)),
        Cell::Number(span) | Cell::Text(span) | Cell::Json(span) => Cow::Borrowed(batch.text_of(*span)),
        Cell::Null | Cell::Bool(_) => Cow::Borrowed("0"),
    };
    rows.made(|out| numeric::write(&text, is_canonical, out)).map_err(|_| Unholdable::Digits)
}

/// JSON without the escapes that jsonb cannot hold, U+0000 and halves of surrogate pairs: they become U+FFFD. Says
/// whether there was a U+0000.
fn sound_json(text: &str) -> (Cow<'_, str>, bool) {
    let bytes = text.as_bytes();
    let unit = |at: usize| -> Option<u16> {
        if bytes.get(at..at + 2)? != b"\\u" {
            return None;
        }
        u16::from_str_radix(text.get(at + 2..at + 6)?, 16).ok()
    };
    let (mut out, mut copied, mut at, mut has_nul) = (String::new(), 0, 0, false);
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        let step = match unit(at) {
            // Another escape: also the backslash that stands for itself.
            None => 2,
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(code @ (0 | 0xD800..=0xDFFF)) => {
                has_nul |= code == 0;
                out.push_str(&text[copied..at]);
                out.push_str("\\ufffd");
                copied = at + 6;
                6
            }
            Some(_) => 6,
        };
        at = (at + step).min(bytes.len());
    }
    if copied == 0 {
        return (Cow::Borrowed(text), false);
    }
    out.push_str(&text[copied..]);
    (Cow::Owned(out), has_nul)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_that_jsonb_cannot_hold() {
        for (text, expected, has_nul) in [
            (r#"["plain","\u0041\n"]"#, r#"["plain","\u0041\n"]"#, false),
            (r#"["a\u0000b"]"#, r#"["a\ufffdb"]"#, true),
            (r#"["\\u0000"]"#, r#"["\\u0000"]"#, false),
            (r#"["\\\u0000"]"#, r#"["\\\ufffd"]"#, true),
            (r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude00"]"#, false),
            (r#"["\ud83dx\ude00"]"#, r#"["\ufffdx\ufffd"]"#, false),
            (r#"["\uD83D"]"#, r#"["\ufffd"]"#, false),
        ] {
            let (found, nul) = sound_json(text);
            assert_eq!((&*found, nul), (expected, has_nul), "{text}");
        }
    }
}
