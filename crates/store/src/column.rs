//! A column's type: what it holds so far, what it must become to hold a value, and how a value is
//! bound so that none of its digits change.

use entities::{Cell, RecordBatch};

/// What a column holds. Types widen and never narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
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
    /// Instants: texts as the worker writes them (RFC 3339 in UTC), by the plan's `types`. Only in stores that have such
    /// a type; in others they are text, which sorts.
    Timestamp,
    /// Days: `YYYY-MM-DD`, likewise.
    Date,
    /// The column for the fields that the row has no room for: one JSON object.
    More,
}

impl ColumnType {
    /// As the ledger says it.
    pub fn as_str(self) -> &'static str {
        match self {
            ColumnType::Null => "null",
            ColumnType::Bool => "bool",
            ColumnType::Int => "int",
            ColumnType::Float => "float",
            ColumnType::Decimal => "decimal",
            ColumnType::Text => "text",
            ColumnType::Json => "json",
            ColumnType::More => "more",
            ColumnType::Timestamp => "timestamp",
            ColumnType::Date => "date",
        }
    }

    /// From the ledger's word; text holds whatever an unknown word stands for.
    pub fn parse(word: &str) -> ColumnType {
        match word {
            "null" => ColumnType::Null,
            "bool" => ColumnType::Bool,
            "int" => ColumnType::Int,
            "float" => ColumnType::Float,
            "decimal" => ColumnType::Decimal,
            "json" => ColumnType::Json,
            "more" => ColumnType::More,
            "timestamp" => ColumnType::Timestamp,
            "date" => ColumnType::Date,
            _ => ColumnType::Text,
        }
    }

    /// What a plan's `types` stands for. `has_times`: the store has types for instants and days.
    pub fn said(kind: entities::ColumnType, has_times: bool) -> ColumnType {
        match kind {
            entities::ColumnType::Bool => ColumnType::Bool,
            entities::ColumnType::Int => ColumnType::Int,
            entities::ColumnType::Float => ColumnType::Float,
            entities::ColumnType::Decimal => ColumnType::Decimal,
            entities::ColumnType::Timestamp if has_times => ColumnType::Timestamp,
            entities::ColumnType::Date if has_times => ColumnType::Date,
            entities::ColumnType::Text | entities::ColumnType::Timestamp | entities::ColumnType::Date => {
                ColumnType::Text
            }
            entities::ColumnType::Json => ColumnType::Json,
        }
    }

    /// Whether it is an instant or a day.
    pub fn is_time(self) -> bool {
        matches!(self, ColumnType::Timestamp | ColumnType::Date)
    }

    /// The type in SQLite; its affinity leaves what we bind alone. None for a column without values.
    pub fn declared(self) -> &'static str {
        match self {
            ColumnType::Null => "",
            ColumnType::Bool => "BOOLEAN",
            ColumnType::Int => "INTEGER",
            ColumnType::Float => "REAL",
            ColumnType::Decimal
            | ColumnType::Text
            | ColumnType::Json
            | ColumnType::More
            | ColumnType::Timestamp
            | ColumnType::Date => "TEXT",
        }
    }

    /// The kinds of values it holds without a change.
    pub fn holds(self) -> Kinds {
        Kinds(match self {
            ColumnType::Null | ColumnType::More => NULL,
            ColumnType::Bool => NULL | BOOL,
            ColumnType::Int => NULL | INT | WIDE,
            ColumnType::Float => NULL | INT | FLOAT,
            ColumnType::Decimal => NULL | NUMERIC,
            ColumnType::Text => u16::MAX,
            ColumnType::Json => NULL | JSON,
            ColumnType::Timestamp => NULL | TIMESTAMP,
            ColumnType::Date => NULL | DATE,
        })
    }

    /// The kinds of values it stands for, as [`widened`](Self::widened) takes them.
    pub fn as_kinds(self, holds_wide: bool) -> Kinds {
        Kinds(match self {
            ColumnType::Null | ColumnType::More => NULL,
            ColumnType::Bool => BOOL,
            ColumnType::Int if holds_wide => INT | WIDE,
            ColumnType::Int => INT,
            ColumnType::Float => FLOAT,
            ColumnType::Decimal => NUMBER,
            ColumnType::Text => TEXT,
            ColumnType::Json => JSON,
            ColumnType::Timestamp => TIMESTAMP,
            ColumnType::Date => DATE,
        })
    }

    /// The narrowest type for what is held and `kinds`. `holds_wide`: an integer column holds one
    /// beyond ±2^53, which a double would bend.
    pub fn widened(self, kinds: Kinds, holds_wide: bool) -> ColumnType {
        if self == ColumnType::More {
            return self;
        }
        let all = (self.as_kinds(holds_wide).0 | kinds.0) & !NULL;
        match all {
            0 => ColumnType::Null,
            BOOL => ColumnType::Bool,
            JSON => ColumnType::Json,
            TIMESTAMP => ColumnType::Timestamp,
            DATE => ColumnType::Date,
            _ if all & !(INT | WIDE) == 0 => ColumnType::Int,
            _ if all & !(INT | FLOAT) == 0 => ColumnType::Float,
            _ if all & !NUMERIC == 0 => ColumnType::Decimal,
            _ => ColumnType::Text,
        }
    }
}

/// A set of kinds of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u16);

const NULL: u16 = 1;
const BOOL: u16 = 2;
/// An integer that a double holds exactly.
const INT: u16 = 4;
/// An integer that a double may bend.
const WIDE: u16 = 8;
const FLOAT: u16 = 16;
const NUMBER: u16 = 32;
const TEXT: u16 = 64;
const JSON: u16 = 128;
const TIMESTAMP: u16 = 256;
const DATE: u16 = 512;
const NUMERIC: u16 = INT | WIDE | FLOAT | NUMBER;

/// The greatest integer up to which a double holds every one.
pub const EXACT: i64 = 1 << 53;

impl Kinds {
    /// The kinds of each column of a batch.
    pub fn of(batch: &RecordBatch) -> Vec<Kinds> {
        let mut kinds = vec![Kinds::default(); batch.columns.len()];
        for row in batch.cells.chunks_exact(batch.columns.len().max(1)) {
            for (kinds, cell) in kinds.iter_mut().zip(row) {
                kinds.add(cell);
            }
        }
        kinds
    }

    /// Both.
    pub fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Nothing but nulls.
    pub fn is_null(self) -> bool {
        self.within(Kinds(NULL))
    }

    /// Adds a cell's kind.
    pub fn add(&mut self, cell: &Cell) {
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
    pub fn within(self, other: Kinds) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether an integer is among them that a double may bend.
    pub fn has_wide(self) -> bool {
        self.0 & WIDE != 0
    }

    /// The same without such integers.
    pub fn without_wide(self) -> Kinds {
        Kinds(self.0 & !WIDE)
    }

    /// Whether a double is among them.
    pub fn has_float(self) -> bool {
        self.0 & FLOAT != 0
    }
}

/// A cell's value as text; empty for null.
pub fn text_of(cell: &Cell, batch: &RecordBatch) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Bool(b) => b.to_string(),
        Cell::Int(i) => i.to_string(),
        Cell::Float(f) => digits(*f),
        Cell::Number(span) | Cell::Text(span) | Cell::Json(span) => batch.text_of(*span).to_owned(),
    }
}

/// Adds a cell's value as JSON.
pub fn json_of(cell: &Cell, batch: &RecordBatch, out: &mut String) {
    match cell {
        Cell::Null => out.push_str("null"),
        Cell::Text(span) => out.push_str(&serde_json::Value::from(batch.text_of(*span)).to_string()),
        other => out.push_str(&text_of(other, batch)),
    }
}

/// The shortest digits that give the double back: `0.1`, `2.0`, `1e300`.
pub fn digits(float: f64) -> String {
    format!("{float:?}")
}
