//! A column's type: what it holds so far, what it must become to hold a value, and how a value is
//! bound so that none of its digits change.

use entities::{Cell, RecordBatch};
use rusqlite::Statement;

/// What a column holds. Types widen and never narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// Nothing but nulls so far.
    Null,
    /// 0 and 1.
    Bool,
    /// 64-bit integers.
    Int,
    /// Doubles.
    Float,
    /// Numbers as the text of their digits.
    Decimal,
    /// Text, and anything else as its text.
    Text,
    /// Arrays and objects as JSON text.
    Json,
    /// The column for the fields that the row has no room for: one JSON object.
    More,
}

impl ColumnType {
    /// As the ledger says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ColumnType::Null => "null",
            ColumnType::Bool => "bool",
            ColumnType::Int => "int",
            ColumnType::Float => "float",
            ColumnType::Decimal => "decimal",
            ColumnType::Text => "text",
            ColumnType::Json => "json",
            ColumnType::More => "more",
        }
    }

    /// From the ledger's word; text holds whatever an unknown word stands for.
    pub(crate) fn parse(word: &str) -> ColumnType {
        match word {
            "null" => ColumnType::Null,
            "bool" => ColumnType::Bool,
            "int" => ColumnType::Int,
            "float" => ColumnType::Float,
            "decimal" => ColumnType::Decimal,
            "json" => ColumnType::Json,
            "more" => ColumnType::More,
            _ => ColumnType::Text,
        }
    }

    /// What a plan's `types` stands for here: dates and times are text that sorts.
    pub(crate) fn said(kind: entities::ColumnType) -> ColumnType {
        match kind {
            entities::ColumnType::Bool => ColumnType::Bool,
            entities::ColumnType::Int => ColumnType::Int,
            entities::ColumnType::Float => ColumnType::Float,
            entities::ColumnType::Decimal => ColumnType::Decimal,
            entities::ColumnType::Text | entities::ColumnType::Timestamp | entities::ColumnType::Date => {
                ColumnType::Text
            }
            entities::ColumnType::Json => ColumnType::Json,
        }
    }

    /// The type in SQL; its affinity leaves what we bind alone. None for a column without values.
    pub(crate) fn declared(self) -> &'static str {
        match self {
            ColumnType::Null => "",
            ColumnType::Bool => "BOOLEAN",
            ColumnType::Int => "INTEGER",
            ColumnType::Float => "REAL",
            ColumnType::Decimal | ColumnType::Text | ColumnType::Json | ColumnType::More => "TEXT",
        }
    }

    /// The kinds of values it holds without a change.
    pub(crate) fn holds(self) -> Kinds {
        Kinds(match self {
            ColumnType::Null | ColumnType::More => NULL,
            ColumnType::Bool => NULL | BOOL,
            ColumnType::Int => NULL | INT | WIDE,
            ColumnType::Float => NULL | INT | FLOAT,
            ColumnType::Decimal => NULL | NUMERIC,
            ColumnType::Text => u8::MAX,
            ColumnType::Json => NULL | JSON,
        })
    }

    /// The kinds of values it stands for, as [`widened`](Self::widened) takes them.
    pub(crate) fn as_kinds(self, holds_wide: bool) -> Kinds {
        Kinds(match self {
            ColumnType::Null | ColumnType::More => NULL,
            ColumnType::Bool => BOOL,
            ColumnType::Int if holds_wide => INT | WIDE,
            ColumnType::Int => INT,
            ColumnType::Float => FLOAT,
            ColumnType::Decimal => NUMBER,
            ColumnType::Text => TEXT,
            ColumnType::Json => JSON,
        })
    }

    /// The narrowest type for what is held and `kinds`. `holds_wide`: an integer column holds one
    /// beyond ±2^53, which a double would bend.
    pub(crate) fn widened(self, kinds: Kinds, holds_wide: bool) -> ColumnType {
        if self == ColumnType::More {
            return self;
        }
        let all = (self.as_kinds(holds_wide).0 | kinds.0) & !NULL;
        match all {
            0 => ColumnType::Null,
            BOOL => ColumnType::Bool,
            JSON => ColumnType::Json,
            _ if all & !(INT | WIDE) == 0 => ColumnType::Int,
            _ if all & !(INT | FLOAT) == 0 => ColumnType::Float,
            _ if all & !NUMERIC == 0 => ColumnType::Decimal,
            _ => ColumnType::Text,
        }
    }
}

/// A set of kinds of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

const NULL: u8 = 1;
const BOOL: u8 = 2;
/// An integer that a double holds exactly.
const INT: u8 = 4;
/// An integer that a double may bend.
const WIDE: u8 = 8;
const FLOAT: u8 = 16;
const NUMBER: u8 = 32;
const TEXT: u8 = 64;
const JSON: u8 = 128;
const NUMERIC: u8 = INT | WIDE | FLOAT | NUMBER;

/// The greatest integer up to which a double holds every one.
pub(crate) const EXACT: i64 = 1 << 53;

impl Kinds {
    /// The kinds of each column of a batch.
    pub(crate) fn of(batch: &RecordBatch) -> Vec<Kinds> {
        let mut kinds = vec![Kinds::default(); batch.columns.len()];
        for row in batch.cells.chunks_exact(batch.columns.len().max(1)) {
            for (kinds, cell) in kinds.iter_mut().zip(row) {
                kinds.add(cell);
            }
        }
        kinds
    }

    /// Both.
    pub(crate) fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Nothing but nulls.
    pub(crate) fn is_null(self) -> bool {
        self.within(Kinds(NULL))
    }

    /// Adds a cell's kind.
    pub(crate) fn add(&mut self, cell: &Cell) {
        self.0 |= match cell {
            Cell::Null => NULL,
            Cell::Bool(_) => BOOL,
            Cell::Int(i) if (-EXACT..=EXACT).contains(i) => INT,
            Cell::Int(_) => WIDE,
            Cell::Float(_) => FLOAT,
            Cell::Number(_) => NUMBER,
            Cell::Text(_) => TEXT,
            Cell::Json(_) => JSON,
        };
    }

    /// Whether all of them are in `other`.
    pub(crate) fn within(self, other: Kinds) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether a double is among them.
    pub(crate) fn has_float(self) -> bool {
        self.0 & FLOAT != 0
    }
}

/// Binds a cell as a column of this type holds it; the type must hold the cell's kind.
pub(crate) fn bind(
    statement: &mut Statement<'_>,
    parameter: usize,
    kind: ColumnType,
    cell: &Cell,
    batch: &RecordBatch,
) -> rusqlite::Result<()> {
    match (kind, cell) {
        (_, Cell::Null) => statement.raw_bind_parameter(parameter, rusqlite::types::Null),
        (_, Cell::Number(span) | Cell::Text(span) | Cell::Json(span)) => {
            statement.raw_bind_parameter(parameter, batch.text_of(*span))
        }
        (ColumnType::Decimal | ColumnType::Text, cell) => {
            statement.raw_bind_parameter(parameter, text_of(cell, batch))
        }
        (_, Cell::Bool(b)) => statement.raw_bind_parameter(parameter, *b),
        // At most 2^53 either way, so the cast is exact.
        (ColumnType::Float, Cell::Int(i)) => statement.raw_bind_parameter(parameter, *i as f64),
        (_, Cell::Int(i)) => statement.raw_bind_parameter(parameter, *i),
        (_, Cell::Float(f)) => statement.raw_bind_parameter(parameter, *f),
    }
}

/// A cell's value as text; empty for null.
pub(crate) fn text_of(cell: &Cell, batch: &RecordBatch) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Bool(b) => b.to_string(),
        Cell::Int(i) => i.to_string(),
        Cell::Float(f) => digits(*f),
        Cell::Number(span) | Cell::Text(span) | Cell::Json(span) => batch.text_of(*span).to_owned(),
    }
}

/// The shortest digits that give the double back: `0.1`, `2.0`, `1e300`.
pub(crate) fn digits(float: f64) -> String {
    format!("{float:?}")
}
