//! Rows of a table by number, for children that want all of them. The number of a row is that of its part and its
//! place in it, so that it stays when others are taken back.

use std::sync::Arc;

use entities::NumberedRow;
use rusqlite::Connection;
use store::Trouble;

use crate::direct::columns_of;
use crate::disk::Disk;
use crate::format::Format;
use crate::manifest::{self, Part};
use crate::part_rows::{Names, PartRows};

/// The place of the part's number in a row's.
const PART: u32 = 32;

/// Where the reading of a table goes on.
#[derive(Debug)]
pub(crate) struct NumberedRows {
    disk: Disk,
    format: Format,
    cursor: Option<Cursor>,
}

#[derive(Debug)]
struct Cursor {
    table: String,
    /// The number of the row that was read last.
    after: u64,
    part: Part,
    /// How many of the part's rows have been read.
    index: u64,
    rows: PartRows,
}

impl NumberedRows {
    pub(crate) fn new(disk: Disk, format: Format) -> NumberedRows {
        NumberedRows { disk, format, cursor: None }
    }

    /// Files have changed.
    pub(crate) fn forget(&mut self) {
        self.cursor = None;
    }

    /// The rows above `after`, at most `limit`.
    pub(crate) fn rows(
        &mut self,
        ledger: &Connection,
        table: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedRow>, Trouble> {
        let mut cursor = match self.cursor.take() {
            Some(cursor) if cursor.table == table && cursor.after == after => Some(cursor),
            _ => self.open(ledger, table, after)?,
        };
        let mut rows = Vec::new();
        while let Some(held) = &mut cursor {
            if rows.len() >= limit {
                break;
            }
            match held.rows.next()? {
                Some((_, record)) => {
                    held.after = number(held.part.number, held.part.removed.place_of(held.index));
                    held.index += 1;
                    rows.push((held.after, record));
                }
                None if held.index < held.part.rows => {
                    let path = self.disk.at(held.part.present_path(self.format));
                    let why = format!("{} has fewer rows than have landed in it", path.display());
                    return Err(Trouble::Ledger(why));
                }
                // The next part, or what has landed in this one since it was opened.
                None => {
                    let after = held.after;
                    cursor = self.open(ledger, table, after)?;
                }
            }
        }
        self.cursor = cursor;
        Ok(rows)
    }

    fn open(&self, ledger: &Connection, table: &str, after: u64) -> Result<Option<Cursor>, Trouble> {
        let mut from = ((after + 1) >> PART).max(1).cast_signed();
        loop {
            let Some(part) = manifest::parts_from(ledger, table, from, 1)?.pop() else { return Ok(None) };
            let is_within = part.number.cast_unsigned() == (after + 1) >> PART;
            // The place behind that of the row read last.
            let place = if is_within { ((after + 1) & ((1 << PART) - 1)).saturating_sub(1) } else { 0 };
            let index = part.removed.left_below(place);
            if index >= part.rows {
                from = part.number + 1;
                continue;
            }
            let columns = Arc::new(columns_of(ledger, self.format, table)?);
            let path = self.disk.at(part.present_path(self.format));
            let mut rows = PartRows::open(&path, self.format, &part, columns, Names::Fields)?;
            rows.skip(index)?;
            return Ok(Some(Cursor { table: table.to_owned(), after, part, index, rows }));
        }
    }
}

/// From 1 on in each part.
fn number(part: i64, place: u64) -> u64 {
    (part.cast_unsigned() << PART) + place + 1
}
