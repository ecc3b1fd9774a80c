//! Where what stands in a body: the list of records in parts that memory holds, and all that is around it.
//!
//! One look at each byte, as chunks come, however they are cut. It tells strings from structure and checks nothing: what
//! is around the records is a text of its own, with `[]` in their place, and each part is one; both are read by those
//! who check. A text is right if and only if all of these are.

mod list;
mod table;

use std::ops::Range;

use self::list::List;
use self::table::Table;
use super::super::format::Format;
use super::fit::Unfit;
use crate::body::spool::Spooling;

/// A body's parts.
#[derive(Debug, PartialEq)]
pub(in crate::reading) struct Layout {
    /// What is around the records. Of a table its header, of lines nothing.
    pub(super) rest: Vec<u8>,
    /// Where in that the records were left out.
    pub(super) cut: usize,
    /// How many bytes they are.
    pub(super) left_out: u64,
    /// The records, in order.
    pub(super) parts: Vec<Part>,
    /// The last record.
    pub(super) last: Range<u64>,
    /// The list came to its end.
    pub(super) closed: bool,
    /// Of a table: the number of quotes is odd.
    pub(super) uneven: bool,
}

/// Some records, with what is between them.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::reading) struct Part {
    /// Where they stand in the body.
    pub(super) bytes: Range<u64>,
    /// Line breaks before them; of a table, behind its header.
    pub(super) lines: u64,
}

/// A look at a body that goes on.
pub(in crate::reading) enum Survey {
    Json(List),
    Lines(Table),
    Table(Table),
}

impl Survey {
    /// `way`: the names on the way to the list of records.
    pub(in crate::reading) fn begin(format: Format, way: &[String], spooling: &Spooling) -> Survey {
        match format {
            Format::Csv { delimiter } => Survey::Table(Table::begin(Some(delimiter), spooling)),
            Format::Lines => Survey::Lines(Table::begin(None, spooling)),
            Format::Json | Format::Xml | Format::Text => Survey::Json(List::begin(way, spooling)),
        }
    }

    /// The next bytes.
    pub(in crate::reading) fn look(&mut self, chunk: &[u8]) -> Result<(), Unfit> {
        match self {
            Survey::Json(list) => list.look(chunk),
            Survey::Lines(table) | Survey::Table(table) => table.look(chunk),
        }
    }

    /// The body ends here.
    pub(in crate::reading) fn end(self) -> Result<Layout, Unfit> {
        let layout = match self {
            Survey::Json(list) => list.end(),
            Survey::Lines(table) | Survey::Table(table) => table.end(),
        };
        if layout.parts.is_empty() {
            return Err(Unfit("there is no list of records where `records` points at".to_owned()));
        }
        Ok(layout)
    }
}

/// Cuts records into parts.
struct Cutter {
    part: u64,
    part_records: usize,
    /// What memory holds.
    most: u64,
    parts: Vec<Part>,
    start: u64,
    records: usize,
    lines: u64,
    last: u64,
}

impl Cutter {
    fn new(spooling: &Spooling) -> Cutter {
        Cutter {
            part: spooling.part as u64,
            part_records: spooling.part_records,
            most: spooling.most() as u64,
            parts: Vec::new(),
            start: 0,
            records: 0,
            lines: 0,
            last: 0,
        }
    }

    fn begin(&mut self, at: u64) {
        (self.start, self.last) = (at, at);
    }

    /// A record ends at `end`, and the next begins at `next`. `lines`: line breaks before that.
    fn record(&mut self, end: u64, next: u64, lines: u64) {
        self.records += 1;
        self.last = next;
        if end - self.start >= self.part || self.records >= self.part_records {
            self.parts.push(Part { bytes: self.start..end, lines: self.lines });
            (self.start, self.records, self.lines) = (next, 0, lines);
        }
    }

    /// A record that is not at its end at `at` is as long as can be.
    fn within(&self, at: u64) -> Result<(), Unfit> {
        if at - self.last > self.most {
            return Err(Unfit(format!("a record is longer than {} bytes", self.most)));
        }
        Ok(())
    }
}
