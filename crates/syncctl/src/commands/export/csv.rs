//! Comma-separated values as RFC 4180 has them: a header, CRLF, quotes where they are needed. Nothing is null, `""` is
//! empty text; lists and objects are JSON text.

use entities::{Cell, RecordBatch};
use store::{ColumnRow, text_of};

use super::places;

/// Adds the header.
pub(super) fn header(columns: &[ColumnRow], out: &mut Vec<u8>) {
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        field(&column.name, columns.len() == 1, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Adds the rows of a batch.
pub(super) fn rows(batch: &RecordBatch, columns: &[ColumnRow], out: &mut Vec<u8>) {
    let places = places(batch, columns);
    for row in 0..batch.rows {
        let cells = batch.row(row);
        for (at, place) in places.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            match place.map(|place| &cells[place]) {
                None | Some(Cell::Null) => {}
                Some(Cell::Number(span) | Cell::Text(span) | Cell::Json(span)) => {
                    field(batch.text_of(*span), true, out);
                }
                Some(cell) => out.extend_from_slice(text_of(cell, batch).as_bytes()),
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// `is_value`: empty text is told apart from nothing.
fn field(text: &str, is_value: bool, out: &mut Vec<u8>) {
    let needs_quotes = text.contains([',', '"', '\r', '\n']) || text.is_empty() && is_value;
    if !needs_quotes {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
