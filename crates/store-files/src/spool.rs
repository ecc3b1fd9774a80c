//! The spool of a Parquet part: what has landed and is not written as columns yet.
//!
//! It is a row of pages, one per landing: length (u32), XXH3-64 (u64), then the page. All numbers are little-endian,
//! and counts and lengths are LEB128. A page is: version (2), the request (i64), the number of columns and rows, the
//! columns' names, the text of all cells, the cells row by row (a byte for the kind, then the value). The value of a
//! text is where it begins, counted from the end of the text before it (zigzag), and its length.

use std::io::{BufReader, Read, Take};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use entities::{Cell, RecordBatch, Span};
use store::Trouble;
use xxhash_rust::xxh3::xxh3_64;

use crate::disk;

const VERSION: u8 = 2;
const FRAME: usize = 12;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const NUMBER: u8 = 5;
const TEXT: u8 = 6;
const JSON: u8 = 7;

/// Adds the records of a batch, but those `known`, as one page.
pub(crate) fn write(
    batch: &RecordBatch,
    known: Option<&[bool]>,
    task: i64,
    out: &mut Vec<u8>,
) -> Result<(), Trouble> {
    let begin = out.len();
    out.extend_from_slice(&[0; FRAME]);
    out.push(VERSION);
    out.extend_from_slice(&task.to_le_bytes());
    let is_known = |row: usize| known.is_some_and(|known| known[row]);
    let rows = (0..batch.rows).filter(|row| !is_known(*row)).count();
    count(batch.columns.len(), out);
    count(rows, out);
    for name in batch.columns.iter() {
        bytes(name.as_bytes(), out);
    }
    let cells = || (0..batch.rows).filter(|row| !is_known(*row)).flat_map(|row| batch.row(row));
    // Of rows that are left out the text is, too.
    let is_whole = rows == batch.rows;
    match is_whole {
        true => bytes(batch.text.as_bytes(), out),
        false => {
            let spans = || cells().filter_map(span_of);
            count(spans().map(|span| span.len as usize).sum(), out);
            spans().for_each(|span| out.extend_from_slice(batch.text_of(span).as_bytes()));
        }
    }
    let mut end = 0;
    for cell in cells() {
        let mut text = |kind: u8, span: &Span, out: &mut Vec<u8>| {
            let gap = if is_whole { i64::from(span.start) - end } else { 0 };
            end = i64::from(span.start) + i64::from(span.len);
            out.push(kind);
            count(((gap << 1) ^ (gap >> 63)) as usize, out);
            count(span.len as usize, out);
        };
        match cell {
            Cell::Null => out.push(NULL),
            Cell::Bool(truth) => out.push(if *truth { TRUE } else { FALSE }),
            Cell::Int(i) => number(INT, i.to_le_bytes(), out),
            Cell::Float(f) => number(FLOAT, f.to_le_bytes(), out),
            Cell::Number(span) => text(NUMBER, span, out),
            Cell::Text(span) => text(TEXT, span, out),
            Cell::Json(span) => text(JSON, span, out),
        }
    }
    frame(begin, out)
}

fn span_of(cell: &Cell) -> Option<Span> {
    match cell {
        Cell::Number(span) | Cell::Text(span) | Cell::Json(span) => Some(*span),
        _ => None,
    }
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

fn number(kind: u8, value: [u8; 8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&value);
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    count(value.len(), out);
    out.extend_from_slice(value);
}

fn count(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
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

    /// The next page as records, and the request that brought them.
    pub(crate) fn next_batch(&mut self) -> Result<Option<(RecordBatch, i64)>, Trouble> {
        let path = self.path.clone();
        let columns = Arc::clone(&self.columns);
        let Some(page) = self.next_bytes()? else { return Ok(None) };
        let Some((batch, task)) = decode(page, &columns) else { return Err(damaged(&path)) };
        self.columns = Arc::clone(&batch.columns);
        Ok(Some((batch, task)))
    }
}

fn damaged(path: &Path) -> Trouble {
    Trouble::Fatal(format!("{} is damaged: a page of it is not what was written", path.display()))
}

/// The request of a page and the number of its rows.
pub(crate) fn task_and_rows(page: &[u8], path: &Path) -> Result<(i64, usize), Trouble> {
    let mut input = Input(page);
    let read = |input: &mut Input<'_>| Some((input.begin()?, input.count()?, input.count()?));
    let (task, _, rows) = read(&mut input).ok_or_else(|| damaged(path))?;
    Ok((task, rows))
}

/// `before`: the columns of the page before, which are shared where they are the same.
fn decode(page: &[u8], before: &Arc<Vec<Arc<str>>>) -> Option<(RecordBatch, i64)> {
    let mut input = Input(page);
    let task = input.begin()?;
    let (width, rows) = (input.count()?, usize::try_from(u32::try_from(input.count()?).ok()?).ok()?);
    let names: Vec<&str> = (0..width).map(|_| input.text()).collect::<Option<_>>()?;
    let is_same = before.len() == width && before.iter().zip(&names).all(|(one, other)| **one == **other);
    let columns = match is_same {
        true => Arc::clone(before),
        false => Arc::new(names.into_iter().map(Arc::from).collect()),
    };
    let text = input.text()?.to_owned();
    let mut cells = Vec::with_capacity(width.checked_mul(rows)?.min(page.len()));
    let mut end = 0i64;
    for _ in 0..width * rows {
        // Pushed where each is made: a cell written in parts and then copied as a whole takes twice as long.
        match input.byte()? {
            NULL => cells.push(Cell::Null),
            FALSE => cells.push(Cell::Bool(false)),
            TRUE => cells.push(Cell::Bool(true)),
            INT => cells.push(Cell::Int(i64::from_le_bytes(input.eight()?))),
            FLOAT => cells.push(Cell::Float(f64::from_le_bytes(input.eight()?))),
            kind => {
                let gap = input.count()? as u64;
                let start = end.checked_add((gap >> 1).cast_signed() ^ -((gap & 1).cast_signed()))?;
                let len = input.count()?;
                let first = usize::try_from(start).ok()?;
                text.get(first..first.checked_add(len)?)?;
                end = start + len as i64;
                let span = Span { start: u32::try_from(start).ok()?, len: u32::try_from(len).ok()? };
                match kind {
                    NUMBER => cells.push(Cell::Number(span)),
                    TEXT => cells.push(Cell::Text(span)),
                    JSON => cells.push(Cell::Json(span)),
                    _ => return None,
                }
            }
        }
    }
    Some((RecordBatch { columns, rows, cells, text, ..RecordBatch::default() }, task))
}

struct Input<'p>(&'p [u8]);

impl<'p> Input<'p> {
    /// The version and the request.
    fn begin(&mut self) -> Option<i64> {
        (self.byte()? == VERSION).then_some(())?;
        Some(i64::from_le_bytes(self.eight()?))
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn eight(&mut self) -> Option<[u8; 8]> {
        let (eight, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(*eight)
    }

    fn count(&mut self) -> Option<usize> {
        let mut value = 0usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'p str> {
        let length = self.count()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read, Seek, Write};
    use std::sync::Arc;

    use entities::{Cell, RecordBatch, Span};

    use super::{Pages, write};

    #[test]
    fn what_is_spooled_comes_back() {
        let mut batch = RecordBatch {
            columns: Arc::new(vec!["a".into(), "é\n".into()]),
            rows: 5,
            text: "1e99x{}é".to_owned(),
            ..RecordBatch::default()
        };
        let span = |start, len| Span { start, len };
        batch.cells = vec![
            Cell::Null,
            Cell::Bool(true),
            Cell::Int(i64::MIN),
            Cell::Float(-0.1),
            Cell::Number(span(0, 4)),
            Cell::Text(span(4, 1)),
            Cell::Text(span(7, 2)),
            Cell::Json(span(5, 2)),
            Cell::Bool(false),
            Cell::Int(7),
        ];
        let mut out = Vec::new();
        write(&batch, None, -3, &mut out).unwrap();
        write(&batch, Some(&[true, false, true, true, true]), i64::MAX, &mut out).unwrap();
        let pages = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            Pages::of("spool".into(), BufReader::new(file.take(bytes.len() as u64)))
        };
        let mut read = pages(&out);
        let (first, task) = read.next_batch().unwrap().unwrap();
        assert_eq!((task, first.rows, &first.columns), (-3, 5, &batch.columns));
        assert_eq!((&first.cells, &first.text), (&batch.cells, &batch.text));
        let (second, task) = read.next_batch().unwrap().unwrap();
        assert_eq!((task, second.rows, &second.cells[..]), (i64::MAX, 1, &batch.cells[2..4]));
        assert!(Arc::ptr_eq(&first.columns, &second.columns));
        assert!(read.next_batch().unwrap().is_none());
        for at in [0, 5, 40, out.len() - 1] {
            out[at] ^= 1;
            let mut damaged = pages(&out);
            let outcome = (0..3).try_for_each(|_| damaged.next_batch().map(drop));
            assert!(outcome.is_err(), "byte {at}");
            out[at] ^= 1;
        }
    }
}
