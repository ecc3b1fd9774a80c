//! The records of one page, row by row, in two allocations: what workers make and stores land.

use std::fmt;
use std::sync::Arc;

use crate::{Child, Failure};

/// A range of [`RecordBatch::text`], in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

/// One value of a record. Text is kept in the batch's shared buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// JSON null, or the record lacks the field.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// A number whose digits an f64 keeps: printing the f64 gives the source's value back.
    Float(f64),
    /// Any other number, as its digits: an integer beyond 64 bits, a decimal an f64 would bend.
    Number(Span),
    /// A string, unescaped.
    Text(Span),
    /// An array or object, as compact or original JSON text.
    Json(Span),
}

/// Records of one answer. Row-major: row `r` is `cells[r * columns.len() ..][.. columns.len()]`; or, if `lines`, the
/// records as they came.
#[derive(Clone, Debug, Default)]
pub struct RecordBatch {
    /// Column names, unique, in the order they were first seen. Pages that look alike share them.
    pub columns: Arc<Vec<Arc<str>>>,
    /// Number of records.
    pub rows: usize,
    /// `rows * columns.len()` cells.
    pub cells: Vec<Cell>,
    /// What `Number`, `Text` and `Json` cells point into.
    pub text: String,
    /// Characters that no store can hold and that became U+FFFD (`text = "replace"`).
    pub replaced: u64,
    /// `text` holds the records as the bytes that came: `rows` JSON objects, each on a line of its own that ends with
    /// `\n`; there are no columns and no cells. Only where [`SyncPlan::takes_lines`](crate::SyncPlan::takes_lines).
    pub lines: bool,
    /// Further records of the same answer, behind these: too many for memory.
    pub spooled: Option<Arc<dyn Spooled>>,
}

/// Records in a file that vanishes with its owner. They have been read once, so that nothing is wrong with them but
/// what only a store can know.
pub trait Spooled: fmt::Debug + Send + Sync {
    /// How many records.
    fn rows(&self) -> u64;

    /// How many children they drive.
    fn children(&self) -> u64;

    /// The records from the first one on, a part at a time that memory holds. Each call begins anew.
    fn parts(&self) -> Box<dyn Iterator<Item = Result<SpooledPart, Failure>> + '_>;
}

/// Some of the spooled records.
#[derive(Debug)]
pub struct SpooledPart {
    /// The records; none of them spooled.
    pub records: RecordBatch,
    /// The children they drive; their `row` is that of `records`.
    pub children: Vec<Child>,
}

impl RecordBatch {
    /// The cells of one record.
    pub fn row(&self, index: usize) -> &[Cell] {
        let width = self.columns.len();
        &self.cells[index * width..(index + 1) * width]
    }

    /// The text a span stands for.
    pub fn text_of(&self, span: Span) -> &str {
        &self.text[span.start as usize..(span.start + span.len) as usize]
    }

    /// The place of the column called `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &**column == name)
    }

    /// Records, with those that are spooled.
    pub fn all_rows(&self) -> u64 {
        self.rows as u64 + self.spooled.as_ref().map_or(0, |spooled| spooled.rows())
    }

    /// Bytes held, for the bound on what is not yet committed.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.cells.len() * size_of::<Cell>()
    }
}
