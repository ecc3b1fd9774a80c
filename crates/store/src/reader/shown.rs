//! Values as a page of rows shows them: JSON that browsers do not bend, long texts cut.

use std::collections::VecDeque;

use entities::{Cell, RecordBatch};
use rusqlite::types::ValueRef;
use serde_json::Value;

use crate::answers::RowValues;
use crate::column::{EXACT, digits};

/// Bytes of JSON after which a page of rows ends.
const PAGE_BYTES: usize = 4 << 20;

/// Bytes held, most of which are cut away, after which a page of rows ends: SQLite reads a text as a whole.
const READ_BYTES: usize = 64 << 20;

/// How much of a table a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Rows at most.
    pub rows: usize,
    /// Bytes of a cell at most.
    pub cell: usize,
}

impl Shown {
    /// For a table of so many columns: also a single row stays within the page.
    pub(crate) fn new(rows: usize, cell: usize, columns: usize) -> Shown {
        Shown { rows: rows.max(1), cell: cell.min(PAGE_BYTES / columns.max(1)) }
    }

    /// Whether a page that holds `rows` has room for another one.
    pub(crate) fn is_full(self, rows: usize, bytes: usize, read: usize) -> bool {
        rows == self.rows || (bytes > PAGE_BYTES || read > READ_BYTES) && rows > 0
    }
}

/// A page that is filled from its end: the rows that came last are kept.
#[derive(Debug)]
pub struct PageFromBehind {
    shown: Shown,
    rows: VecDeque<(RowValues, usize)>,
    bytes: usize,
    /// There are rows before those kept.
    more: bool,
}

impl PageFromBehind {
    /// `more`: there are rows before the first that will be added.
    pub fn new(shown: Shown, more: bool) -> PageFromBehind {
        PageFromBehind { shown, rows: VecDeque::new(), bytes: 0, more }
    }

    /// Adds a row of a batch, whose columns have these kinds.
    pub fn add(&mut self, rowid: i64, batch: &RecordBatch, row: usize, kinds: &[String]) {
        let mut values = Vec::with_capacity(kinds.len());
        let (mut cost, mut truncated) = (0, false);
        for (cell, kind) in batch.row(row).iter().zip(kinds) {
            let (value, bytes, is_cut) = shown(held(cell, batch), kind, self.shown.cell);
            values.push(value);
            cost += bytes;
            truncated |= is_cut;
        }
        self.rows.push_back((RowValues { rowid, values, truncated }, cost));
        self.bytes += cost;
        while self.rows.len() > self.shown.rows || self.bytes > PAGE_BYTES && self.rows.len() > 1 {
            if let Some((_, cost)) = self.rows.pop_front() {
                self.bytes -= cost;
                self.more = true;
            }
        }
    }

    /// The rows, greatest number first, and what `before` is for the next page.
    pub fn page(self) -> (Vec<RowValues>, Option<i64>) {
        let next = self.rows.front().map(|(row, _)| row.rowid).filter(|_| self.more);
        (self.rows.into_iter().rev().map(|(row, _)| row).collect(), next)
    }
}

fn held<'b>(cell: &Cell, batch: &'b RecordBatch) -> ValueRef<'b> {
    match cell {
        Cell::Null => ValueRef::Null,
        Cell::Bool(b) => ValueRef::Integer(i64::from(*b)),
        Cell::Int(i) => ValueRef::Integer(*i),
        Cell::Float(f) => ValueRef::Real(*f),
        Cell::Number(span) | Cell::Text(span) | Cell::Json(span) => {
            ValueRef::Text(batch.text_of(*span).as_bytes())
        }
    }
}

/// A value as JSON, the bytes it takes there, and whether it was cut.
pub(crate) fn shown(held: ValueRef<'_>, kind: &str, limit: usize) -> (Value, usize, bool) {
    let value = match held {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i @ 0..=1) if kind == "bool" => Value::from(i == 1),
        ValueRef::Integer(i) if !(-EXACT..=EXACT).contains(&i) => Value::from(i.to_string()),
        ValueRef::Integer(i) => Value::from(i),
        ValueRef::Real(f) if f.is_finite() => Value::from(f),
        ValueRef::Real(f) => Value::from(digits(f)),
        ValueRef::Blob(bytes) => Value::from(format!("{} bytes", bytes.len())),
        ValueRef::Text(text) => {
            // A prefix: what is behind it need not be read as UTF-8. Four bytes more than can be shown keep the
            // last character whole.
            let text = String::from_utf8_lossy(&text[..text.len().min(limit.saturating_add(4))]);
            let (text, cost, is_cut) = cut(&text, limit);
            return (Value::from(text), cost, is_cut);
        }
    };
    (value, 24, false)
}

/// The beginning of a text that takes at most `limit` bytes in JSON, the bytes it takes, and whether that is
/// not all of it.
fn cut(text: &str, limit: usize) -> (&str, usize, bool) {
    let mut cost = 0;
    for (at, c) in text.char_indices() {
        let more = match c {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            c if c.is_ascii_control() => 6,
            c => c.len_utf8(),
        };
        if cost + more > limit {
            return (&text[..at], cost, true);
        }
        cost += more;
    }
    (text, cost, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        for (text, limit, expected) in [
            ("abc", 3, ("abc", 3, false)),
            ("abcd", 3, ("abc", 3, true)),
            ("aéé", 4, ("aé", 3, true)),
            ("ab\u{1F600}", 5, ("ab", 2, true)),
            ("\0\0", 7, ("\0", 6, true)),
            ("\"\n", 4, ("\"\n", 4, false)),
            ("é", 1, ("", 0, true)),
            ("", 0, ("", 0, false)),
        ] {
            assert_eq!(cut(text, limit), expected, "{text:?} {limit}");
        }
        let long = "é".repeat(9);
        for limit in 0..20 {
            let (value, _, is_cut) = shown(ValueRef::Text(long.as_bytes()), "text", limit);
            assert_eq!((value, is_cut), (Value::from("é".repeat((limit / 2).min(9))), limit < 18), "{limit}");
        }
        let (value, _, is_cut) = shown(ValueRef::Text(b"a\xff"), "text", 9);
        assert_eq!((value, is_cut), (Value::from("a\u{FFFD}"), false));
    }
}
