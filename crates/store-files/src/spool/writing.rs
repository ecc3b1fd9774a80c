//! A page of a spool, written: the records of one landing, column by column.

use entities::{Cell, RecordBatch, Span};

use super::page::{BOOL, FLOAT, INT, JSON, NULL, NUMBER, SAME, TEXT, VERSION};

/// Adds the records of a batch, but those `known`, as a page.
pub(super) fn write(batch: &RecordBatch, known: Option<&[bool]>, task: i64, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&task.to_le_bytes());
    count(batch.columns.len(), out);
    count(batch.rows - known.map_or(0, |known| known.iter().filter(|known| **known).count()), out);
    for name in batch.columns.iter() {
        count(name.len(), out);
        out.extend_from_slice(name.as_bytes());
    }
    let width = batch.columns.len();
    let mut lengths = Vec::new();
    for place in 0..width {
        let cells = batch.cells.get(place..).unwrap_or_default().iter().step_by(width);
        match known {
            None => column(cells, batch, &mut lengths, out),
            Some(known) => {
                let left = cells.zip(known).filter(|(_, known)| !**known).map(|(cell, _)| cell);
                column(left, batch, &mut lengths, out);
            }
        }
    }
}

fn column<'b>(
    cells: impl Iterator<Item = &'b Cell> + Clone,
    batch: &'b RecordBatch,
    lengths: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    let kinds = cells.clone().fold(0, |kinds, cell| kinds | kind_of(cell));
    let values = kinds & !NULL;
    if values == 0 {
        return out.push(kinds);
    }
    if !values.is_power_of_two() {
        out.push(kinds);
        return with_length(out, |out| cells.for_each(|cell| mixed(cell, batch, out)));
    }
    let is_text = values & (NUMBER | TEXT | JSON) != 0;
    // As of what a plan adds to each record of an answer.
    let mut spans = cells.clone().filter_map(span_of);
    let is_same = is_text && spans.next().is_some_and(|first| spans.all(|span| span == first));
    out.push(if is_same { kinds | SAME } else { kinds });
    if kinds & NULL != 0 {
        out.extend(cells.clone().map(|cell| u8::from(*cell != Cell::Null)));
    }
    if !is_text {
        return cells.for_each(|cell| short(cell, out));
    }
    lengths.clear();
    with_length(out, |out| {
        for span in cells.filter_map(span_of).take(if is_same { 1 } else { usize::MAX }) {
            out.extend_from_slice(batch.text_of(span).as_bytes());
            count(span.len as usize, lengths);
        }
    });
    with_length(out, |out| out.extend_from_slice(lengths));
}

/// A value of a column of different kinds.
fn mixed(cell: &Cell, batch: &RecordBatch, out: &mut Vec<u8>) {
    out.push(kind_of(cell));
    match span_of(cell) {
        Some(span) => {
            count(span.len as usize, out);
            out.extend_from_slice(batch.text_of(span).as_bytes());
        }
        None => short(cell, out),
    }
}

/// A value that is no text.
fn short(cell: &Cell, out: &mut Vec<u8>) {
    match cell {
        Cell::Bool(truth) => out.push(u8::from(*truth)),
        Cell::Int(i) => out.extend_from_slice(&i.to_le_bytes()),
        Cell::Float(f) => out.extend_from_slice(&f.to_le_bytes()),
        _ => {}
    }
}

fn kind_of(cell: &Cell) -> u8 {
    match cell {
        Cell::Null => NULL,
        Cell::Bool(_) => BOOL,
        Cell::Int(_) => INT,
        Cell::Float(_) => FLOAT,
        Cell::Number(_) => NUMBER,
        Cell::Text(_) => TEXT,
        Cell::Json(_) => JSON,
    }
}

fn span_of(cell: &Cell) -> Option<Span> {
    match cell {
        Cell::Number(span) | Cell::Text(span) | Cell::Json(span) => Some(*span),
        _ => None,
    }
}

/// What is added, with its length before it. (Of a page of 4 GiB, which is refused, it is wrong.)
fn with_length(out: &mut Vec<u8>, add: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    add(out);
    let length = (out.len() - begin - 4) as u32;
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
}

fn count(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
