//! The spool of a Parquet part: what has landed and is not written as columns yet.
//!
//! It is a row of pages, one per landing: length (u32), XXH3-64 (u64), then the page. All numbers are little-endian,
//! and counts are LEB128. A page is: version (3), the request (i64), the number of columns and rows, the columns'
//! names, the columns. A column is: which kinds its values have (one bit each), and
//! - for nulls only: nothing;
//! - for values of one kind: where there are nulls as well, a byte for each row, 1 where there is a value; then the
//!   values, bool as a byte, int and float as eight; texts as their length in all (u32), the texts, the length of the
//!   lengths (u32), the lengths (counts);
//! - else: a length (u32), then for each row its kind and its value, a text with its length (count) before it.

mod page;
mod writing;

use std::io::{BufReader, Read, Take};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use entities::RecordBatch;
use store::Trouble;
use xxhash_rust::xxh3::xxh3_64;

use crate::disk;

pub(crate) use page::Page;
#[cfg(feature = "parquet")]
pub(crate) use page::Value;
use page::damaged;

const FRAME: usize = 12;

/// Adds the records of a batch, but those `known`, as one page.
pub(crate) fn write(
    batch: &RecordBatch,
    known: Option<&[bool]>,
    task: i64,
    out: &mut Vec<u8>,
) -> Result<(), Trouble> {
    let begin = out.len();
    out.extend_from_slice(&[0; FRAME]);
    writing::write(batch, known, task, out);
    frame(begin, out)
}

/// A page with its frame.
pub(crate) fn framed(page: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME + page.len());
    out.extend_from_slice(&(page.len() as u32).to_le_bytes());
    out.extend_from_slice(&xxh3_64(page).to_le_bytes());
    out.extend_from_slice(page);
    out
}

fn frame(begin: usize, out: &mut [u8]) -> Result<(), Trouble> {
    let (head, page) = out[begin..].split_at_mut(FRAME);
    let Ok(length) = u32::try_from(page.len()) else {
        return Err(Trouble::Record("the records of an answer have more than 4 GiB".to_owned()));
    };
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..].copy_from_slice(&xxh3_64(page).to_le_bytes());
    Ok(())
}

/// The pages of a spool, one after the other.
#[derive(Debug)]
pub(crate) struct Pages {
    path: PathBuf,
    file: BufReader<Take<std::fs::File>>,
    page: Vec<u8>,
    columns: Arc<Vec<Arc<str>>>,
}

impl Pages {
    pub(crate) fn of(path: PathBuf, file: BufReader<Take<std::fs::File>>) -> Pages {
        Pages { path, file, page: Vec::new(), columns: Arc::default() }
    }

    /// So many bytes more may be read: they have committed.
    #[cfg(feature = "parquet")]
    pub(crate) fn reach(&mut self, more: u64) {
        let file = self.file.get_mut();
        file.set_limit(file.limit() + more);
    }

    /// The next page, whole and as it was written.
    pub(crate) fn next_bytes(&mut self) -> Result<Option<&[u8]>, Trouble> {
        let mut head = [0; FRAME];
        let first = self.file.read(&mut head[..1]).map_err(|error| disk::trouble(&self.path, &error))?;
        if first == 0 {
            return Ok(None);
        }
        let broken = |error: std::io::Error| disk::trouble(&self.path, &error);
        self.file.read_exact(&mut head[1..]).map_err(broken)?;
        let (length, sum) = head.split_at(4);
        let length = u32::from_le_bytes(length.try_into().unwrap_or_default()) as usize;
        self.page.clear();
        self.file.by_ref().take(length as u64).read_to_end(&mut self.page).map_err(broken)?;
        if self.page.len() != length || xxh3_64(&self.page).to_le_bytes() != sum {
            return Err(damaged(&self.path));
        }
        Ok(Some(&self.page))
    }

    /// The next page, as it lies there.
    pub(crate) fn next_page(&mut self) -> Result<Option<Page<'_>>, Trouble> {
        if self.next_bytes()?.is_none() {
            return Ok(None);
        }
        let page = Page::read(&self.page, &self.columns, &self.path)?;
        self.columns = Arc::clone(&page.columns);
        Ok(Some(page))
    }

    /// The next page as records, and the request that brought them.
    pub(crate) fn next_batch(&mut self) -> Result<Option<(RecordBatch, i64)>, Trouble> {
        let Some(page) = self.next_page()? else { return Ok(None) };
        Ok(Some((page.to_batch()?, page.task)))
    }
}

/// The request of a page and the number of its rows.
pub(crate) fn task_and_rows(page: &[u8], path: &Path) -> Result<(i64, usize), Trouble> {
    let (task, _, rows) = page::Input(page).begin().ok_or_else(|| damaged(path))?;
    Ok((task, rows))
}

#[cfg(test)]
mod tests {
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

    /// Columns of nulls, of one kind, of one kind and nulls, and of many kinds.
    fn batch(seed: u64) -> RecordBatch {
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
        let kinds: Vec<(u64, u64)> = (0..width).map(|_| (random(8), random(2))).collect();
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
                    _ => Cell::Json(span),
                };
                if matches!(cell, Cell::Number(_) | Cell::Text(_) | Cell::Json(_)) {
                    batch.text.push_str(value);
                }
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
}
