//! Builds a [`RecordBatch`] row by row, from JSON text or from values.
//!
//! Records of one answer look alike, so a record's n-th field is guessed to have the name, and so the column,
//! of the n-th field of the record before: only a wrong guess costs a look-up. So do answers of one task:
//! the first record is compared with the columns of the answer before, which are then shared.
//! A field's name is taken as it is, the empty one too; naming it for a database is the store's.

use std::collections::HashMap;
use std::sync::Arc;

use entities::{Cell, RecordBatch, Span};
use serde_json::Value;

use super::Trouble;
use super::number::{self, Number};
use super::scanner::{Scanner, Short, compact, unescape};

/// Column of records that are single values.
const VALUE: &str = "value";

/// Cells of one batch at most, whatever its size: different fields in every record would else
/// make a small answer fill the memory.
const MOST_CELLS: usize = 1 << 24;

/// Bytes of an answer whose text is not worth allocating twice.
const SMALL: usize = 4096;

/// Bytes of a field in an answer, its name and marks with it: there are seldom fewer, so that cells are seldom
/// allocated twice.
const BYTES_OF_FIELD: usize = 16;

/// Bytes of guessed names at most: records that take turns in looking different would fill the memory.
const MOST_GUESSED: usize = 1 << 16;

/// The columns of an answer, for the next one of the same task.
pub(super) type Columns = Arc<Vec<Arc<str>>>;

/// A batch in the making.
pub(super) struct Rows {
    columns: Vec<Arc<str>>,
    /// The columns of the answer before.
    before: Columns,
    /// All columns so far are the first of those.
    as_before: bool,
    /// Filled when a column is looked up in it.
    index: HashMap<Arc<str>, usize>,
    /// The fields of the record before, in their order.
    guesses: Vec<Guess>,
    /// Their names, as they are written with the quotes and the colon.
    guessed: String,
    /// The rows, then the row in the making.
    cells: Vec<Cell>,
    /// Cells from one row to the next; at least as many as there were columns at the end of the last.
    stride: usize,
    rows: usize,
    text: String,
    /// U+0000 is in it: worth knowing, and seldom so.
    nul: bool,
    most_cells: usize,
}

/// What a field may be that comes next.
#[derive(Clone, Copy)]
struct Guess {
    column: usize,
    /// Its name in [`Rows::guessed`].
    key: (usize, usize),
    /// The same for a short name, which most are: compared at once.
    short: Short,
}

impl Rows {
    /// For an answer of `bytes` bytes, which may well look like the one before.
    pub(super) fn new(bytes: usize, before: Columns) -> Self {
        let width = before.len();
        Rows {
            columns: Vec::with_capacity(width),
            before,
            as_before: true,
            index: HashMap::new(),
            guesses: Vec::with_capacity(width),
            guessed: String::new(),
            cells: Vec::with_capacity(bytes / BYTES_OF_FIELD),
            stride: 0,
            rows: 0,
            // Half of a large answer is not text; a small one may be nothing else.
            text: String::with_capacity(if bytes <= SMALL { bytes } else { bytes / 2 }),
            nul: false,
            most_cells: bytes.max(MOST_CELLS),
        }
    }

    /// Whether a text has U+0000 in it.
    pub(super) fn has_nul(&self) -> bool {
        self.nul
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The next value of the text as a record.
    #[inline]
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Trouble> {
        match scanner.peek() {
            b'{' => self.read_object(scanner),
            b'[' => Err(Trouble::Unnamed),
            _ => {
                self.begin();
                let column = self.column(VALUE, 0);
                self.read_cell(column, scanner)?;
                self.end()
            }
        }
    }

    /// The next value of the text as a record without names; [`name`](Self::name) gives them.
    #[inline]
    pub(super) fn read_array(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Trouble> {
        if scanner.peek() != b'[' {
            return Err(scanner.trouble("expected a record that is an array, since there are `columns`"));
        }
        self.begin();
        let mut width = 0;
        let mut more = scanner.enter(b']')?;
        while more {
            if width == self.columns.len() {
                self.add(Arc::from(""));
            }
            self.read_cell(width, scanner)?;
            width += 1;
            more = scanner.more(b']')?;
        }
        if width != self.columns.len() || (self.rows > 0 && width != self.stride) {
            let first = if self.rows == 0 { width } else { self.stride };
            return Err(Trouble::Uneven { record: self.rows + 1, values: width, columns: first });
        }
        self.end()
    }

    /// Names the columns of records that were read without.
    pub(super) fn name(&mut self, names: &[String]) -> Result<(), Trouble> {
        if self.rows == 0 {
            self.columns.clear();
        } else if names.len() != self.columns.len() {
            return Err(Trouble::Uneven { record: 1, values: self.columns.len(), columns: names.len() });
        }
        if self.rows > 0 {
            self.columns = names.iter().map(|name| Arc::from(name.as_str())).collect();
        }
        Ok(())
    }

    fn read_object(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Trouble> {
        self.begin();
        let mut nth = 0;
        let mut more = scanner.enter(b'}')?;
        while more {
            let column = match self.guess(nth, scanner) {
                Some(column) => column,
                None => {
                    let key = scanner.key()?;
                    let column = self.column(&key.text(), nth);
                    self.note(nth, key.raw);
                    column
                }
            };
            self.read_cell(column, scanner)?;
            nth += 1;
            more = scanner.more(b'}')?;
        }
        self.end()
    }

    /// A value as a record. An array has been zipped with its names before.
    pub(super) fn push(&mut self, record: &Value) -> Result<(), Trouble> {
        self.begin();
        let start = self.text.len();
        match record {
            Value::Object(fields) => {
                for (nth, (name, value)) in fields.iter().enumerate() {
                    let column = self.column(name, nth);
                    let cell = cell_of(value, &mut self.text)?;
                    self.set(column, cell);
                }
            }
            Value::Array(_) => return Err(Trouble::Unnamed),
            value => {
                let column = self.column(VALUE, 0);
                let cell = cell_of(value, &mut self.text)?;
                self.set(column, cell);
            }
        }
        self.nul |= self.text.as_bytes()[start..].contains(&0);
        self.end()
    }

    /// Texts as a record; an empty one is null.
    pub(super) fn push_texts<'t>(
        &mut self,
        names: &[String],
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<(), Trouble> {
        self.begin();
        let begins = self.text.len();
        for (nth, (name, text)) in names.iter().zip(texts).enumerate() {
            let column = self.column(name, nth);
            if !text.is_empty() {
                let start = self.text.len();
                self.text.push_str(text);
                let cell = Cell::Text(span_from(start, &self.text)?);
                self.set(column, cell);
            }
        }
        self.nul |= self.text.as_bytes()[begins..].contains(&0);
        self.end()
    }

    /// The batch.
    pub(super) fn finish(mut self) -> RecordBatch {
        let width = self.columns.len();
        self.cells.truncate(self.rows * self.stride);
        if self.stride != width && self.rows > 0 {
            self.restride(width);
        }
        let columns = if self.columns == *self.before { self.before } else { Arc::new(self.columns) };
        RecordBatch { columns, rows: self.rows, cells: self.cells, text: self.text, ..RecordBatch::default() }
    }

    #[inline]
    fn begin(&mut self) {
        let start = self.rows * self.stride;
        // Of a record that was not read to its end.
        self.cells.truncate(start);
        self.cells.resize(start + self.stride.max(self.columns.len()), Cell::Null);
    }

    #[inline]
    fn set(&mut self, column: usize, cell: Cell) {
        if let Some(place) = self.cells.get_mut(self.rows * self.stride + column) {
            *place = cell;
        }
    }

    /// The column of the n-th field, whose name comes next, if it is as in the record before; then the name is read.
    #[inline]
    fn guess(&self, nth: usize, scanner: &mut Scanner<'_>) -> Option<usize> {
        let guess = self.guesses.get(nth)?;
        if guess.key == (0, 0) {
            return None;
        }
        let is_right = scanner.take_short(&guess.short).unwrap_or_else(|| {
            let key = self.guessed.get(guess.key.0..guess.key.1);
            key.is_some_and(|key| scanner.take_if(key))
        });
        is_right.then_some(guess.column)
    }

    /// Notes how the name of the n-th field is written, for the next record.
    fn note(&mut self, nth: usize, raw: &str) {
        if self.guessed.len() + raw.len() > MOST_GUESSED {
            self.guessed.clear();
            self.guesses.clear();
        }
        // Written otherwise, with a space before the colon, it is the column that is guessed.
        if let Some(guess) = self.guesses.get_mut(nth).filter(|guess| guess.key == (0, 0)) {
            let start = self.guessed.len();
            self.guessed.extend(["\"", raw, "\":"]);
            guess.key = (start, self.guessed.len());
            guess.short = Short::new(&self.guessed[start..]);
        }
    }

    #[inline]
    fn column(&mut self, name: &str, nth: usize) -> usize {
        if let Some(&Guess { column, .. }) = self.guesses.get(nth)
            && self.columns.get(column).is_some_and(|column| **column == *name)
        {
            return column;
        }
        self.look_up(name, nth)
    }

    #[cold]
    fn look_up(&mut self, name: &str, nth: usize) -> usize {
        let column = self.find(name, nth);
        let guess = Guess { column, key: (0, 0), short: Short::default() };
        match self.guesses.get_mut(nth) {
            Some(place) => *place = guess,
            None => self.guesses.push(guess),
        }
        column
    }

    fn find(&mut self, name: &str, nth: usize) -> usize {
        if self.as_before
            && nth == self.columns.len()
            && let Some(same) = self.before.get(nth).filter(|column| ***column == *name)
        {
            self.add(Arc::clone(same));
            return nth;
        }
        self.as_before = false;
        if self.index.len() < self.columns.len() {
            self.index = self.columns.iter().cloned().zip(0..).collect();
        }
        if let Some(&column) = self.index.get(name) {
            return column;
        }
        let column = self.columns.len();
        let name: Arc<str> = Arc::from(name);
        self.index.insert(Arc::clone(&name), column);
        self.add(name);
        column
    }

    /// Another column, in the row in the making as well.
    fn add(&mut self, name: Arc<str>) {
        self.columns.push(name);
        let width = self.stride.max(self.columns.len());
        self.cells.resize(self.rows * self.stride + width, Cell::Null);
    }

    #[inline]
    fn end(&mut self) -> Result<(), Trouble> {
        if self.columns.len() > self.stride {
            // Grows in steps, so that a new field in every record does not move every row each time.
            let stride =
                if self.rows == 0 { self.columns.len() } else { self.columns.len().max(self.stride * 3 / 2) };
            self.within(stride, self.rows)?;
            let row = self.cells.split_off(self.rows * self.stride);
            self.restride(stride);
            self.cells.extend_from_slice(&row);
        }
        self.within(self.stride, self.rows + 1)?;
        self.rows += 1;
        self.cells.resize(self.rows * self.stride, Cell::Null);
        Ok(())
    }

    fn within(&self, stride: usize, rows: usize) -> Result<(), Trouble> {
        if stride.saturating_mul(rows) > self.most_cells {
            return Err(Trouble::TooWide { records: rows, fields: self.columns.len() });
        }
        Ok(())
    }

    fn restride(&mut self, stride: usize) {
        if self.rows > 0 && self.stride > 0 {
            let mut cells = Vec::with_capacity(self.rows * stride);
            for row in self.cells.chunks_exact(self.stride) {
                cells.extend_from_slice(&row[..stride.min(row.len())]);
                cells.resize(cells.len().next_multiple_of(stride.max(1)), Cell::Null);
            }
            self.cells = cells;
        } else {
            self.cells.resize(self.rows * stride, Cell::Null);
        }
        self.stride = stride;
    }

    /// The next value of the text as a cell of the row in the making. Each kind is set where it is read: a cell that
    /// is handed on through memory, written in parts and read as a whole, costs more than reading it.
    #[inline]
    fn read_cell(&mut self, column: usize, scanner: &mut Scanner<'_>) -> Result<(), Trouble> {
        let start = self.text.len();
        match scanner.peek() {
            b'"' => {
                let string = scanner.string()?;
                if string.escaped {
                    unescape(string.raw, &mut self.text);
                    self.nul |= self.text.as_bytes()[start..].contains(&0);
                } else {
                    self.text.push_str(string.raw);
                }
                let span = span_from(start, &self.text)?;
                self.set(column, Cell::Text(span));
            }
            b'{' | b'[' => {
                let (range, spaced) = scanner.skip_noting_space()?;
                if spaced {
                    compact(scanner.slice(range), &mut self.text);
                } else {
                    self.text.push_str(scanner.slice(range));
                }
                let span = span_from(start, &self.text)?;
                self.set(column, Cell::Json(span));
            }
            b'n' => {
                scanner.word("null")?;
                self.set(column, Cell::Null);
            }
            b't' => {
                scanner.word("true")?;
                self.set(column, Cell::Bool(true));
            }
            b'f' => {
                scanner.word("false")?;
                self.set(column, Cell::Bool(false));
            }
            _ => match number::read(scanner)?.0 {
                Number::Int(value) => self.set(column, Cell::Int(value)),
                Number::Float(value) => self.set(column, Cell::Float(value)),
                number @ Number::Digits(_) => {
                    let cell = number_cell(number, &mut self.text)?;
                    self.set(column, cell);
                }
            },
        }
        Ok(())
    }
}

/// A value as a cell, its text appended to `text`.
pub(in crate::reading) fn cell_of(value: &Value, text: &mut String) -> Result<Cell, Trouble> {
    let start = text.len();
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::Number(value) => {
            let digits = value.to_string();
            number_cell(number::of(&digits).unwrap_or(Number::Digits(&digits)), text)?
        }
        Value::String(value) => {
            text.push_str(value);
            Cell::Text(span_from(start, text)?)
        }
        value => {
            text.push_str(&value.to_string());
            Cell::Json(span_from(start, text)?)
        }
    })
}

#[inline]
pub(in crate::reading) fn number_cell(number: Number<'_>, text: &mut String) -> Result<Cell, Trouble> {
    Ok(match number {
        Number::Int(value) => Cell::Int(value),
        Number::Float(value) => Cell::Float(value),
        Number::Digits(digits) => {
            let start = text.len();
            match digits.split_once(['e', 'E']) {
                None => text.push_str(digits),
                // One way of writing an exponent, serde_json's: equal texts are equal numbers.
                Some((mantissa, exponent)) => {
                    text.push_str(mantissa);
                    text.push_str(if exponent.starts_with(['-', '+']) { "e" } else { "e+" });
                    text.push_str(exponent);
                }
            }
            Cell::Number(span_from(start, text)?)
        }
    })
}

#[inline]
fn span_from(start: usize, text: &str) -> Result<Span, Trouble> {
    match (u32::try_from(text.len()), u32::try_from(start)) {
        (Ok(end), Ok(start)) => Ok(Span { start, len: end - start }),
        _ => Err(Trouble::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_take_turns_in_looking_different_do_not_fill_the_memory() {
        let mut rows = Rows::new(0, Columns::default());
        for n in 0..6_400 {
            let record = format!("{{\"{:0100}\":{n}}}", n % 64);
            rows.read(&mut Scanner::new(&record)).unwrap();
            assert!(rows.guessed.len() <= MOST_GUESSED + 128);
        }
        let batch = rows.finish();
        assert!((0..6_400).all(|n| batch.row(n)[n % 64] == Cell::Int(n as i64)));
    }
}
