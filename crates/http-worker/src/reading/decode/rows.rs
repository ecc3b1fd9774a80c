//! Builds a [`RecordBatch`] row by row, from JSON text or from values.
//!
//! Records of one answer look alike, so the column of a record's n-th field is guessed to be that of
//! the n-th field of the record before, and only a wrong guess costs a look-up. So do answers of one task:
//! the first record is compared with the columns of the answer before, which are then shared.
//! A field's name is taken as it is, the empty one too; naming it for a database is the store's.

use std::collections::HashMap;
use std::sync::Arc;

use entities::{Cell, RecordBatch, Span};
use serde_json::Value;

use super::Trouble;
use super::number::{self, Number};
use super::scanner::{Scanner, compact, unescape};

/// Column of records that are single values.
const VALUE: &str = "value";

/// Cells of one batch at most, whatever its size: different fields in every record would else
/// make a small answer fill the memory.
const MOST_CELLS: usize = 1 << 24;

/// Bytes of an answer whose text is not worth allocating twice.
const SMALL: usize = 4096;

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
    /// The columns of the fields of the record before, in their order.
    order: Vec<usize>,
    cells: Vec<Cell>,
    /// Cells from one row to the next; at least as many as there are columns.
    stride: usize,
    rows: usize,
    /// The row in the making.
    row: Vec<Cell>,
    text: String,
    /// U+0000 is in it: worth knowing, and seldom so.
    nul: bool,
    most_cells: usize,
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
            order: Vec::with_capacity(width),
            cells: Vec::new(),
            stride: 0,
            rows: 0,
            row: Vec::with_capacity(width),
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
                let cell = self.cell(scanner)?;
                let column = self.column(VALUE, 0);
                self.set(column, cell);
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
            let cell = self.cell(scanner)?;
            if width == self.columns.len() {
                self.columns.push(Arc::from(""));
                self.row.push(Cell::Null);
            }
            self.set(width, cell);
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
            let key = scanner.key()?;
            let column = if key.escaped { self.column(&key.text(), nth) } else { self.column(key.raw, nth) };
            let cell = self.cell(scanner)?;
            self.set(column, cell);
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
        if self.stride != width && self.rows > 0 {
            self.restride(width);
        }
        let columns = if self.columns == *self.before { self.before } else { Arc::new(self.columns) };
        RecordBatch { columns, rows: self.rows, cells: self.cells, text: self.text, ..RecordBatch::default() }
    }

    #[inline]
    fn begin(&mut self) {
        self.row.clear();
        self.row.resize(self.columns.len(), Cell::Null);
    }

    #[inline]
    fn set(&mut self, column: usize, cell: Cell) {
        if let Some(place) = self.row.get_mut(column) {
            *place = cell;
        }
    }

    #[inline]
    fn column(&mut self, name: &str, nth: usize) -> usize {
        if let Some(&guess) = self.order.get(nth)
            && self.columns.get(guess).is_some_and(|column| **column == *name)
        {
            return guess;
        }
        self.look_up(name, nth)
    }

    #[cold]
    fn look_up(&mut self, name: &str, nth: usize) -> usize {
        if self.as_before
            && nth == self.columns.len()
            && let Some(same) = self.before.get(nth).filter(|column| ***column == *name)
        {
            let same = Arc::clone(same);
            self.order.push(nth);
            self.add(same);
            return nth;
        }
        self.as_before = false;
        if self.index.len() < self.columns.len() {
            self.index = self.columns.iter().cloned().zip(0..).collect();
        }
        let column = match self.index.get(name) {
            Some(&column) => column,
            None => {
                let column = self.columns.len();
                let name: Arc<str> = Arc::from(name);
                self.index.insert(Arc::clone(&name), column);
                self.add(name);
                column
            }
        };
        match self.order.get_mut(nth) {
            Some(place) => *place = column,
            None => self.order.push(column),
        }
        column
    }

    fn add(&mut self, name: Arc<str>) {
        self.columns.push(name);
        self.row.push(Cell::Null);
    }

    #[inline]
    fn end(&mut self) -> Result<(), Trouble> {
        if self.columns.len() > self.stride {
            // Grows in steps, so that a new field in every record does not move every row each time.
            let stride =
                if self.rows == 0 { self.columns.len() } else { self.columns.len().max(self.stride * 3 / 2) };
            self.within(stride, self.rows)?;
            self.restride(stride);
        }
        self.within(self.stride, self.rows + 1)?;
        self.cells.extend_from_slice(&self.row);
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

    #[inline]
    fn cell(&mut self, scanner: &mut Scanner<'_>) -> Result<Cell, Trouble> {
        Ok(match scanner.peek() {
            b'"' => {
                let string = scanner.string()?;
                let start = self.text.len();
                if string.escaped {
                    unescape(string.raw, &mut self.text);
                    self.nul |= self.text.as_bytes()[start..].contains(&0);
                } else {
                    self.text.push_str(string.raw);
                }
                Cell::Text(span_from(start, &self.text)?)
            }
            b'{' | b'[' => {
                let (range, spaced) = scanner.skip_noting_space()?;
                let start = self.text.len();
                if spaced {
                    compact(scanner.slice(range), &mut self.text);
                } else {
                    self.text.push_str(scanner.slice(range));
                }
                Cell::Json(span_from(start, &self.text)?)
            }
            b'n' => {
                scanner.word("null")?;
                Cell::Null
            }
            b't' => {
                scanner.word("true")?;
                Cell::Bool(true)
            }
            b'f' => {
                scanner.word("false")?;
                Cell::Bool(false)
            }
            _ => {
                let (number, _) = number::read(scanner)?;
                number_cell(number, &mut self.text)?
            }
        })
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
