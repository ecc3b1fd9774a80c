//! Which type each column of a file has. A file says it of itself (`syncctl.columns` among its key-value metadata),
//! and so does the ledger.
//!
//! | column | Parquet |
//! |---|---|
//! | bool, int, float | BOOLEAN, INT64, DOUBLE |
//! | decimal | DECIMAL(38, s), where all numbers of the table fit; else their digits as STRING |
//! | timestamp, date | TIMESTAMP in UTC, of microseconds; DATE; STRING if one of the table is finer, or none |
//! | json, `_more` | JSON |
//! | text, and nothing but nulls | STRING |

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};
use serde_json::{Value, json};
use store::ColumnType;

use crate::columnar::decimal::{Digits, MOST_DIGITS};

/// Under which key a file has its columns.
pub(crate) const KEY: &str = "syncctl.columns";

/// A column of a Parquet file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub name: String,
    pub kind: Kind,
}

/// What a column of a Parquet file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Int,
    Float,
    /// `has`: the digits that its numbers have, at most. The fraction's bound is the scale.
    Decimal {
        scale: u32,
        has: Digits,
    },
    /// Numbers as text.
    Digits,
    Text,
    Json,
    Timestamp,
    Date,
}

impl Kind {
    /// The kind for a column's type; decimals and times may be taken back by what is found.
    pub(crate) fn of(kind: ColumnType) -> Kind {
        match kind {
            ColumnType::Null => Kind::Null,
            ColumnType::Bool => Kind::Bool,
            ColumnType::Int => Kind::Int,
            ColumnType::Float => Kind::Float,
            ColumnType::Decimal => Kind::Decimal { scale: 0, has: Digits::default() },
            ColumnType::Text => Kind::Text,
            ColumnType::Json | ColumnType::More => Kind::Json,
            ColumnType::Timestamp => Kind::Timestamp,
            ColumnType::Date => Kind::Date,
        }
    }

    /// Whether both look alike to whoever reads them.
    pub(crate) fn is_like(self, other: Kind) -> bool {
        match (self, other) {
            (Kind::Decimal { scale, .. }, Kind::Decimal { scale: other, .. }) => scale == other,
            (one, other) => one == other,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Decimal { .. } => "decimal",
            Kind::Digits => "digits",
            Kind::Text => "text",
            Kind::Json => "json",
            Kind::Timestamp => "timestamp",
            Kind::Date => "date",
        }
    }
}

/// The columns as JSON: `[{"name": …, "type": …}, …]`.
pub(crate) fn to_json(fields: &[Field]) -> String {
    let described = fields.iter().map(|field| match field.kind {
        Kind::Decimal { scale, has } => json!({
            "name": field.name, "type": "decimal", "scale": scale, "whole": has.whole, "fraction": has.fraction
        }),
        kind => json!({"name": field.name, "type": kind.word()}),
    });
    Value::Array(described.collect()).to_string()
}

/// The other way.
pub(crate) fn from_json(text: &str) -> Option<Vec<Field>> {
    let described: Vec<Value> = serde_json::from_str(text).ok()?;
    described.iter().map(field).collect()
}

fn field(described: &Value) -> Option<Field> {
    let number = |name: &str| u32::try_from(described.get(name)?.as_u64()?).ok();
    let kind = match described.get("type")?.as_str()? {
        "null" => Kind::Null,
        "bool" => Kind::Bool,
        "int" => Kind::Int,
        "float" => Kind::Float,
        "decimal" => {
            let has = Digits { whole: number("whole")?, fraction: number("fraction")? };
            Kind::Decimal { scale: number("scale")?, has }
        }
        "digits" => Kind::Digits,
        "json" => Kind::Json,
        "timestamp" => Kind::Timestamp,
        "date" => Kind::Date,
        _ => Kind::Text,
    };
    Some(Field { name: described.get("name")?.as_str()?.to_owned(), kind })
}

/// The schema of a file with these columns, and `_task` behind them.
pub(crate) fn schema(fields: &[Field]) -> Result<TypePtr, ParquetError> {
    let mut columns: Vec<TypePtr> = Vec::with_capacity(fields.len() + 1);
    for field in fields {
        columns.push(Arc::new(column(field)?));
    }
    let task = Type::primitive_type_builder("_task", Physical::INT64).with_repetition(Repetition::REQUIRED);
    columns.push(Arc::new(task.build()?));
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(columns).build()?))
}

fn column(field: &Field) -> Result<Type, ParquetError> {
    let (physical, logical) = match field.kind {
        Kind::Bool => (Physical::BOOLEAN, None),
        Kind::Int => (Physical::INT64, None),
        Kind::Float => (Physical::DOUBLE, None),
        Kind::Decimal { scale, .. } => {
            let (scale, precision) = (scale.cast_signed(), MOST_DIGITS.cast_signed());
            return Type::primitive_type_builder(&field.name, Physical::FIXED_LEN_BYTE_ARRAY)
                .with_repetition(Repetition::OPTIONAL)
                .with_length(16)
                .with_precision(precision)
                .with_scale(scale)
                .with_logical_type(Some(LogicalType::decimal(scale, precision)))
                .build();
        }
        Kind::Timestamp => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Kind::Date => (Physical::INT32, Some(LogicalType::Date)),
        Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        Kind::Null | Kind::Digits | Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    Type::primitive_type_builder(&field.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}
