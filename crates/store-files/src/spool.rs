//! The spool of a Parquet part: what has landed and is not written as columns yet.
//!
//! It is a row of pages, one per landing: length (u32), XXH3-64 (u64), then the page. All numbers are little-endian,
//! and counts are LEB128. A page is: version (3), the request (i64), the number of columns and rows, the columns'
//! names, the columns. A column is: which kinds its values have (one bit each), and
//! - for nulls only: nothing;
//! - for values of one kind: where there are nulls as well, a byte for each row, 1 where there is a value; then the
//!   values, bool as a byte, int and float as eight; texts as their length in all (u32), the texts, the length of the
//!   lengths (u32), the lengths (counts); where all are the same text, that once;
//! - else: a length (u32), then for each row its kind and its value, a text with its length (count) before it.

mod page;
mod writing;

#[cfg(test)]
pub(crate) mod tests;

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
    if batch.rows.saturating_mul(batch.columns.len().max(1)) > page::MOST_CELLS {
        return Err(Trouble::Record("the records of an answer have more than 2^30 values".to_owned()));
    }
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
