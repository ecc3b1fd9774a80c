//! Lines, and the rows of a table.

use std::ops::Range;

use super::super::fit::Unfit;
use super::{Cutter, Layout, Part};
use crate::body::spool::Spooling;

/// Lines, of which some begin within quotes: a table's.
pub(in crate::reading) struct Table {
    cutter: Cutter,
    /// Of a table.
    delimiter: Option<u8>,
    at: u64,
    /// Where a value of a table begins.
    is_begin: bool,
    /// Within a value in quotes.
    quoted: bool,
    /// Behind a quote in such a value: the next byte says whether it ends there.
    maybe_ended: bool,
    quotes: u64,
    lines: u64,
    /// Of a table, until its end.
    header: Option<Vec<u8>>,
    rest: Vec<u8>,
    most: usize,
    /// Something stands in the line.
    any: bool,
    last: Range<u64>,
}

impl Table {
    pub(super) fn begin(delimiter: Option<u8>, spooling: &Spooling) -> Table {
        Table {
            cutter: Cutter::new(spooling),
            delimiter,
            at: 0,
            is_begin: true,
            quoted: false,
            maybe_ended: false,
            quotes: 0,
            lines: 0,
            header: delimiter.map(|_| Vec::new()),
            rest: Vec::new(),
            most: spooling.most(),
            any: false,
            last: 0..0,
        }
    }

    pub(super) fn look(&mut self, chunk: &[u8]) -> Result<(), Unfit> {
        for (at, &byte) in chunk.iter().enumerate() {
            let behind = self.at + at as u64 + 1;
            if let Some(header) = &mut self.header {
                header.push(byte);
            }
            if let Some(delimiter) = self.delimiter {
                self.step(byte, delimiter);
            }
            let blank: &[u8] = if self.delimiter.is_some() { b"\n\r" } else { b"\n\r \t\x1e" };
            if !self.any && !blank.contains(&byte) {
                self.any = true;
            }
            if byte == b'\n' {
                self.lines += 1;
                if !self.quoted {
                    self.line_ends(behind);
                }
            }
        }
        self.at += chunk.len() as u64;
        self.cutter.within(self.at)?;
        if self.header.as_ref().is_some_and(|header| header.len() > self.most) {
            return Err(Unfit(format!("the header of the table is more than {} bytes", self.most)));
        }
        Ok(())
    }

    /// The quotes of a table, as the reader of tables takes them.
    fn step(&mut self, byte: u8, delimiter: u8) {
        self.quotes += u64::from(byte == b'"');
        if self.maybe_ended {
            self.maybe_ended = false;
            if byte == b'"' {
                return;
            }
            self.quoted = false;
        }
        if self.quoted {
            self.maybe_ended = byte == b'"';
            return;
        }
        if self.is_begin && byte == b'"' {
            self.quoted = true;
        }
        self.is_begin = byte == delimiter || matches!(byte, b'\n' | b'\r');
    }

    fn line_ends(&mut self, behind: u64) {
        let any = std::mem::replace(&mut self.any, false);
        match self.header.take() {
            Some(header) if any => {
                self.rest = header;
                self.cutter.begin(behind);
                self.lines = 0;
            }
            // Empty lines before it.
            Some(header) => self.header = Some(header),
            None => {
                if any {
                    self.last = self.cutter.last..behind;
                }
                self.cutter.record(behind, behind, self.lines);
            }
        }
    }

    pub(super) fn end(mut self) -> Layout {
        match self.header.take() {
            Some(header) => self.rest = header,
            None if self.at > self.cutter.start => {
                if self.any {
                    self.last = self.cutter.last..self.at;
                }
                let part = Part { bytes: self.cutter.start..self.at, lines: self.cutter.lines };
                self.cutter.parts.push(part);
            }
            None => {}
        }
        Layout {
            cut: self.rest.len(),
            rest: self.rest,
            left_out: 0,
            parts: self.cutter.parts,
            last: self.last,
            closed: true,
            uneven: self.quotes % 2 == 1,
        }
    }
}
