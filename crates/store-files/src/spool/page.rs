//! A page of a spool, read: the records of one landing, column by column, so that a column is encoded as it lies there.

use std::path::Path;
use std::sync::Arc;

use entities::{Cell, RecordBatch, Span};
use store::Trouble;

pub(super) const VERSION: u8 = 3;

// What a column holds: the kinds of its values, one bit for each.
pub(super) const BOOL: u8 = 1;
pub(super) const INT: u8 = 2;
pub(super) const FLOAT: u8 = 4;
pub(super) const NUMBER: u8 = 8;
pub(super) const TEXT: u8 = 16;
pub(super) const JSON: u8 = 32;
pub(super) const NULL: u8 = 64;
/// All its values are the same text, which is there once.
pub(super) const SAME: u8 = 128;

/// A page has no more cells, nor rows; who reads it has them in memory.
pub(super) const MOST_CELLS: usize = 1 << 30;

/// A value, where it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Number(&'v str),
    Text(&'v str),
    Json(&'v str),
}

impl<'v> Value<'v> {
    #[cfg(feature = "parquet")]
    pub(crate) fn of(cell: &Cell, batch: &'v RecordBatch) -> Value<'v> {
        match cell {
            Cell::Null => Value::Null,
            Cell::Bool(truth) => Value::Bool(*truth),
            Cell::Int(i) => Value::Int(*i),
            Cell::Float(f) => Value::Float(*f),
            Cell::Number(span) => Value::Number(batch.text_of(*span)),
            Cell::Text(span) => Value::Text(batch.text_of(*span)),
            Cell::Json(span) => Value::Json(batch.text_of(*span)),
        }
    }

    /// As text: numbers with the digits that give them back.
    #[cfg(feature = "parquet")]
    pub(crate) fn text(self) -> std::borrow::Cow<'v, str> {
        use std::borrow::Cow;

        match self {
            Value::Null => Cow::Borrowed(""),
            Value::Bool(truth) => Cow::Owned(truth.to_string()),
            Value::Int(i) => Cow::Owned(i.to_string()),
            Value::Float(float) => Cow::Owned(store::digits(float)),
            Value::Number(text) | Value::Text(text) | Value::Json(text) => Cow::Borrowed(text),
        }
    }

    /// As a cell; its text goes to `text`.
    fn cell(self, text: &mut String) -> Option<Cell> {
        let mut span = |value: &str| {
            let start = u32::try_from(text.len()).ok()?;
            text.push_str(value);
            Some(Span { start, len: u32::try_from(value.len()).ok()? })
        };
        Some(match self {
            Value::Null => Cell::Null,
            Value::Bool(truth) => Cell::Bool(truth),
            Value::Int(i) => Cell::Int(i),
            Value::Float(f) => Cell::Float(f),
            Value::Number(value) => Cell::Number(span(value)?),
            Value::Text(value) => Cell::Text(span(value)?),
            Value::Json(value) => Cell::Json(span(value)?),
        })
    }
}

/// A page as it is read.
pub(crate) struct Page<'p> {
    path: &'p Path,
    /// The request that brought it.
    pub task: i64,
    pub rows: usize,
    /// What its columns are called.
    pub columns: Arc<Vec<Arc<str>>>,
    held: Vec<Column<'p>>,
}

#[derive(Default)]
struct Column<'p> {
    kinds: u8,
    /// 1 where there is a value; of a column with nulls and one kind of values.
    valid: Option<&'p [u8]>,
    values: Input<'p>,
    /// Of texts that stand one after the other.
    lengths: Input<'p>,
}

impl<'p> Page<'p> {
    /// `before`: the columns of the page before, which are shared where they are the same.
    pub(super) fn read(
        page: &'p [u8],
        before: &Arc<Vec<Arc<str>>>,
        path: &'p Path,
    ) -> Result<Page<'p>, Trouble> {
        Page::parse(page, before, path).ok_or_else(|| damaged(path))
    }

    fn parse(page: &'p [u8], before: &Arc<Vec<Arc<str>>>, path: &'p Path) -> Option<Page<'p>> {
        let mut input = Input(page);
        let (task, width, rows) = input.begin()?;
        (rows.checked_mul(width.max(1))? <= MOST_CELLS).then_some(())?;
        let names: Vec<&str> = (0..width).map(|_| input.name()).collect::<Option<_>>()?;
        let is_same = before.len() == width && before.iter().zip(&names).all(|(one, other)| **one == **other);
        let columns = match is_same {
            true => Arc::clone(before),
            false => Arc::new(names.into_iter().map(Arc::from).collect()),
        };
        let held = (0..width).map(|_| Column::read(&mut input, rows)).collect::<Option<_>>()?;
        Some(Page { path, task, rows, columns, held })
    }

    /// That it is not what was written.
    pub(crate) fn damaged(&self) -> Trouble {
        damaged(self.path)
    }

    /// Gives the values of a column, one after the other, until one is not taken. Gives whether all were; if they were
    /// not, and none was refused, it is [`damaged`](Self::damaged).
    pub(crate) fn each(&self, place: usize, mut take: impl FnMut(Value<'p>) -> bool) -> bool {
        self.held.get(place).is_some_and(|column| column.each(self.rows, &mut take).is_some())
    }

    /// As records.
    pub(crate) fn to_batch(&self) -> Result<RecordBatch, Trouble> {
        let width = self.columns.len();
        let mut cells = vec![Cell::Null; width * self.rows];
        let mut text = String::new();
        for (place, column) in self.held.iter().enumerate() {
            let mut to = cells.iter_mut().skip(place).step_by(width);
            // The same text is there once here, too: of many records it would be more than a span can tell.
            let mut shared = None;
            let is_whole = self.each(place, |value| {
                let cell = match shared {
                    Some(cell) if value != Value::Null => Some(cell),
                    _ => value.cell(&mut text),
                };
                if column.kinds & SAME != 0 && value != Value::Null {
                    shared = cell;
                }
                match (to.next(), cell) {
                    (Some(to), Some(cell)) => {
                        *to = cell;
                        true
                    }
                    _ => false,
                }
            });
            if !is_whole {
                return Err(self.damaged());
            }
        }
        let columns = Arc::clone(&self.columns);
        Ok(RecordBatch { columns, rows: self.rows, cells, text, ..RecordBatch::default() })
    }
}

impl<'p> Column<'p> {
    fn read(input: &mut Input<'p>, rows: usize) -> Option<Column<'p>> {
        let kinds = input.byte()?;
        let values = kinds & !(NULL | SAME);
        if values == 0 {
            return Some(Column { kinds, ..Column::default() });
        }
        if !values.is_power_of_two() {
            return Some(Column { kinds, values: input.with_length()?, ..Column::default() });
        }
        let valid = if kinds & NULL != 0 { Some(input.take(rows)?) } else { None };
        let some = valid.map_or(rows, |valid| valid.iter().filter(|valid| **valid == 1).count());
        let (values, lengths) = match values {
            BOOL => (Input(input.take(some)?), Input::default()),
            INT | FLOAT => (Input(input.take(some.checked_mul(8)?)?), Input::default()),
            _ => (input.with_length()?, input.with_length()?),
        };
        Some(Column { kinds, valid, values, lengths })
    }

    fn each(&self, rows: usize, take: &mut impl FnMut(Value<'p>) -> bool) -> Option<()> {
        let (mut values, mut lengths) = (Input(self.values.0), Input(self.lengths.0));
        match self.kinds & !(NULL | SAME) {
            0 => (0..rows).try_for_each(|_| take(Value::Null).then_some(())),
            BOOL => self.uniform(rows, take, || Some(Value::Bool(values.byte()? == 1))),
            INT => self.uniform(rows, take, || Some(Value::Int(i64::from_le_bytes(values.eight()?)))),
            FLOAT => self.uniform(rows, take, || Some(Value::Float(f64::from_le_bytes(values.eight()?)))),
            kind @ (NUMBER | TEXT | JSON) => {
                // Once for all of them.
                let mut text = std::str::from_utf8(values.0).ok()?;
                if self.kinds & SAME != 0 {
                    return self.uniform(rows, take, || textual(kind, text));
                }
                self.uniform(rows, take, || {
                    let (value, rest) = text.split_at_checked(lengths.count()?)?;
                    text = rest;
                    textual(kind, value)
                })
            }
            _ => (0..rows).try_for_each(|_| {
                let value = match values.byte()? {
                    NULL => Value::Null,
                    BOOL => Value::Bool(values.byte()? == 1),
                    INT => Value::Int(i64::from_le_bytes(values.eight()?)),
                    FLOAT => Value::Float(f64::from_le_bytes(values.eight()?)),
                    kind => textual(kind, values.name()?)?,
                };
                take(value).then_some(())
            }),
        }
    }

    fn uniform(
        &self,
        rows: usize,
        take: &mut impl FnMut(Value<'p>) -> bool,
        mut next: impl FnMut() -> Option<Value<'p>>,
    ) -> Option<()> {
        match self.valid {
            None => (0..rows).try_for_each(|_| take(next()?).then_some(())),
            Some(valid) => valid.iter().try_for_each(|valid| {
                let value = if *valid == 1 { next()? } else { Value::Null };
                take(value).then_some(())
            }),
        }
    }
}

/// A file with a page that is not what was written.
pub(super) fn damaged(path: &Path) -> Trouble {
    Trouble::Fatal(format!("{} is damaged: a page of it is not what was written", path.display()))
}

fn textual(kind: u8, value: &str) -> Option<Value<'_>> {
    match kind {
        NUMBER => Some(Value::Number(value)),
        TEXT => Some(Value::Text(value)),
        JSON => Some(Value::Json(value)),
        _ => None,
    }
}

/// What is still to be read. Each gives none where it is damaged.
#[derive(Default)]
pub(super) struct Input<'p>(pub &'p [u8]);

impl<'p> Input<'p> {
    /// The request, the number of columns, and of rows.
    pub(super) fn begin(&mut self) -> Option<(i64, usize, usize)> {
        (self.byte()? == VERSION).then_some(())?;
        Some((i64::from_le_bytes(self.eight()?), self.count()?, self.count()?))
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

    fn take(&mut self, length: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn with_length(&mut self) -> Option<Input<'p>> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        self.take(u32::from_le_bytes(*length) as usize).map(Input)
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

    fn name(&mut self) -> Option<&'p str> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
}
