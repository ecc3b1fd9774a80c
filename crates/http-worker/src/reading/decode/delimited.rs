//! CSV (RFC 4180): a header line, then rows of as many texts.

use csv::{Reader, ReaderBuilder, StringRecord};
use entities::{Failure, FailureClass, FailureKind};

use super::shortened;
use crate::reading::document::Cut;

/// A CSV text, read row by row.
pub(in crate::reading) struct Table<'t> {
    names: Vec<String>,
    reader: Reader<&'t [u8]>,
    row: StringRecord,
    /// Of the whole text.
    bytes: usize,
    /// The text has a quote that no other closes, or one that stands for itself in a bare value.
    uneven: bool,
    /// Lines before those of the text.
    lines: u64,
}

impl<'t> Table<'t> {
    /// Reads the header. `cut`: what of the table is not in the text.
    pub(in crate::reading) fn open(text: &'t str, delimiter: u8, cut: Cut) -> Result<Table<'t>, Failure> {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text.as_bytes());
        let is_uneven = || text.bytes().filter(|byte| *byte == b'"').count() % 2 == 1;
        let uneven = cut.uneven.unwrap_or_else(is_uneven);
        let (names, row, bytes) = (Vec::new(), StringRecord::new(), text.len());
        let mut table = Table { names, reader, row, bytes, uneven, lines: cut.lines };
        if !table.step()? {
            return Err(failure("the answer has no header line".to_owned()));
        }
        let mut seen = std::collections::HashSet::new();
        for name in &table.row {
            if !seen.insert(name) {
                return Err(failure(format!("two columns are called `{}`", shortened(name, 40))));
            }
        }
        table.names = table.row.iter().map(str::to_owned).collect();
        Ok(table)
    }

    /// The names in the header.
    pub(in crate::reading) fn names(&self) -> &[String] {
        &self.names
    }

    /// The next row; none behind the last.
    pub(in crate::reading) fn next(&mut self) -> Result<Option<&StringRecord>, Failure> {
        if !self.step()? {
            return Ok(None);
        }
        let (values, names) = (self.row.len(), self.names.len());
        if values != names {
            let line = self.line();
            return Err(failure(format!(
                "line {line}: number of values {values}, of names in the header {names}"
            ))
            .help("is the answer cut off, or is its delimiter no comma?"));
        }
        Ok(Some(&self.row))
    }

    fn line(&self) -> u64 {
        self.lines + self.row.position().map_or(0, csv::Position::line)
    }

    fn step(&mut self) -> Result<bool, Failure> {
        let more = self
            .reader
            .read_record(&mut self.row)
            .map_err(|error| failure(format!("the answer is not CSV: {error}")))?;
        // A quote that is never closed swallows all lines behind it.
        let at_end = || usize::try_from(self.reader.position().byte()).is_ok_and(|at| at >= self.bytes);
        if more && self.uneven && at_end() && self.row.iter().next_back().is_some_and(spans_lines) {
            let line = self.line();
            return Err(failure(format!("line {line}: a quoted value is not closed")));
        }
        Ok(more)
    }
}

fn spans_lines(value: &str) -> bool {
    value.contains('\n')
}

fn failure(message: String) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Decode, message)
}
