//! What is spooled comes back, and damage is found.

use std::io::{BufReader, Read, Seek, Write};
use std::sync::Arc;

use entities::{Cell, RecordBatch, Span};

use super::{Pages, write};

fn pages(bytes: &[u8]) -> Pages {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Pages::of("spool".into(), BufReader::new(file.take(bytes.len() as u64)))
}

/// The cells of the rows that are left, with their text.
fn shown(batch: &RecordBatch, known: &[bool]) -> Vec<String> {
    let rows = (0..batch.rows).filter(|row| !known.get(*row).is_some_and(|known| *known));
    let shown = |cell: &Cell| match cell {
        Cell::Number(span) | Cell::Text(span) | Cell::Json(span) => {
            format!("{:?} {}", std::mem::discriminant(cell), batch.text_of(*span))
        }
        other => format!("{other:?}"),
    };
    rows.flat_map(|row| batch.row(row)).map(shown).collect()
}

/// Columns of nulls, of one kind, of one kind and nulls, of one text again and again, and of many kinds.
pub(crate) fn batch(seed: u64) -> RecordBatch {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let (width, rows) = (random(5) as usize, random(6) as usize);
    let mut batch = RecordBatch {
        columns: Arc::new((0..width).map(|place| Arc::from(format!("c{place}é"))).collect()),
        rows,
        ..RecordBatch::default()
    };
    let kinds: Vec<(u64, u64)> = (0..width).map(|_| (random(9), random(2))).collect();
    batch.text.push_str("one for all");
    for _ in 0..rows {
        for (kind, nulls) in &kinds {
            let kind = if *kind == 7 { random(7) } else { *kind };
            let long = "ü".repeat(random(3) as usize * 70);
            let value = ["", "a", "é\n", &long][random(4) as usize];
            let span = Span { start: batch.text.len() as u32, len: value.len() as u32 };
            let cell = match kind {
                _ if *nulls == 1 && random(3) == 0 => Cell::Null,
                0 => Cell::Null,
                1 => Cell::Bool(random(2) == 0),
                2 => Cell::Int(i64::MIN + random(1 << 60).cast_signed()),
                3 => Cell::Float(random(9) as f64 / -7.0),
                4 => Cell::Number(span),
                5 => Cell::Text(span),
                8 => Cell::Text(Span { start: 0, len: 11 }),
                _ => Cell::Json(span),
            };
            batch.text.push_str(value);
            batch.cells.push(cell);
        }
    }
    batch
}

#[test]
fn what_is_spooled_comes_back() {
    for seed in 0..3_000 {
        let batch = batch(seed);
        let known: Vec<bool> = (0..batch.rows).map(|row| (seed >> row) & 1 == 1).collect();
        let mut out = Vec::new();
        write(&batch, None, -3, &mut out).unwrap();
        write(&batch, Some(&known), i64::MAX, &mut out).unwrap();
        let mut read = pages(&out);
        let (first, task) = read.next_batch().unwrap().unwrap();
        assert_eq!((task, first.rows, &first.columns), (-3, batch.rows, &batch.columns), "seed {seed}");
        assert_eq!(shown(&first, &[]), shown(&batch, &[]), "seed {seed}");
        let (second, task) = read.next_batch().unwrap().unwrap();
        let left = known.iter().filter(|known| !**known).count();
        assert_eq!((task, second.rows), (i64::MAX, left), "seed {seed}");
        assert_eq!(shown(&second, &[]), shown(&batch, &known), "seed {seed}");
        assert!(Arc::ptr_eq(&first.columns, &second.columns));
        assert!(read.next_batch().unwrap().is_none());
    }
}

#[test]
fn a_text_that_all_records_have_is_there_once() {
    let (rows, text) = (500, "ü".repeat(1_000));
    let span = Span { start: 0, len: text.len() as u32 };
    let cells = (0..rows).map(|row| if row % 3 == 1 { Cell::Null } else { Cell::Text(span) }).collect();
    let columns = Arc::new(vec!["of all".into()]);
    let batch = RecordBatch { columns, rows, cells, text, ..RecordBatch::default() };
    let mut out = Vec::new();
    write(&batch, None, 1, &mut out).unwrap();
    assert!(out.len() < batch.text.len() + rows + 100, "{} bytes", out.len());
    let (read, _) = pages(&out).next_batch().unwrap().unwrap();
    assert_eq!((read.text.len(), shown(&read, &[])), (batch.text.len(), shown(&batch, &[])));
}

#[test]
fn damage_is_found() {
    let mut out = Vec::new();
    write(&batch(12), None, 1, &mut out).unwrap();
    for at in 0..out.len() {
        out[at] ^= 1;
        let mut damaged = pages(&out);
        let outcome = (0..3).try_for_each(|_| damaged.next_batch().map(drop));
        assert!(outcome.is_err(), "byte {at}");
        out[at] ^= 1;
    }
}

#[test]
fn no_page_makes_it_panic() {
    let mut out = Vec::new();
    for seed in 0..300 {
        out.clear();
        super::writing::write(&batch(seed), None, 1, &mut out);
        for at in 0..out.len() {
            for change in [1, 0x40, 0x80] {
                out[at] ^= change;
                // As if its checksum were right.
                if let Ok(page) = super::Page::read(&out, &Arc::default(), "spool".as_ref()) {
                    let _ = (page.rows < 1 << 20).then(|| page.to_batch());
                }
                out[at] ^= change;
            }
        }
    }
}
