//! The next values of one column, until they are worth encoding.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
    LargeBinaryBuilder,
};
use arrow_schema::DataType;

use crate::columnar::decimal::{MOST_DIGITS, unscaled};
use crate::columnar::schema::Kind;
use crate::columnar::time;
use crate::spool::Value;

/// The values of one column.
#[derive(Debug)]
pub(crate) struct ColumnBuffer {
    kind: Kind,
    values: Values,
    /// Rows of them that have no value.
    nulls: usize,
}

#[derive(Debug)]
enum Values {
    Bools(BooleanBuilder),
    Ints(Int64Builder),
    Floats(Float64Builder),
    Days(Date32Builder),
    Decimals(Decimal128Builder),
    /// As bytes: that they are UTF-8 was found when they were read.
    Texts(LargeBinaryBuilder),
}

impl Values {
    /// None, and room for so many, and for so many bytes of text.
    fn new(kind: Kind, rows: usize, bytes: usize) -> Values {
        match data_type(kind) {
            DataType::Boolean => Values::Bools(BooleanBuilder::with_capacity(rows)),
            DataType::Int64 => Values::Ints(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Values::Floats(Float64Builder::with_capacity(rows)),
            DataType::Date32 => Values::Days(Date32Builder::with_capacity(rows)),
            decimal @ DataType::Decimal128(..) => {
                Values::Decimals(Decimal128Builder::with_capacity(rows).with_data_type(decimal))
            }
            _ => Values::Texts(LargeBinaryBuilder::with_capacity(rows, bytes)),
        }
    }

    /// How many rows, and how many bytes of text.
    fn size(&self) -> (usize, usize) {
        match self {
            Values::Bools(values) => (values.len(), 0),
            Values::Ints(values) => (values.len(), 0),
            Values::Floats(values) => (values.len(), 0),
            Values::Days(values) => (values.len(), 0),
            Values::Decimals(values) => (values.len(), 0),
            Values::Texts(values) => (values.len(), values.values_slice().len()),
        }
    }
}

impl ColumnBuffer {
    pub(crate) fn new(kind: Kind) -> ColumnBuffer {
        ColumnBuffer { kind, values: Values::new(kind, 0, 0), nulls: 0 }
    }

    /// Roughly how many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        let (rows, bytes) = self.values.size();
        (rows - self.nulls) * 8 + self.nulls * 2 + bytes
    }

    /// Adds rows without a value.
    pub(crate) fn push_nulls(&mut self, rows: usize) {
        self.nulls += rows;
        match &mut self.values {
            Values::Bools(values) => values.append_nulls(rows),
            Values::Ints(values) => values.append_nulls(rows),
            Values::Floats(values) => values.append_nulls(rows),
            Values::Days(values) => values.append_nulls(rows),
            Values::Decimals(values) => values.append_nulls(rows),
            Values::Texts(values) => values.append_nulls(rows),
        }
    }

    /// Adds a value; gives false if the column cannot hold it.
    #[inline]
    pub(crate) fn push(&mut self, value: Value<'_>) -> bool {
        match (&mut self.values, value) {
            (_, Value::Null) => self.push_nulls(1),
            (Values::Bools(values), Value::Bool(truth)) => values.append_value(truth),
            (Values::Ints(values), Value::Int(i)) if self.kind == Kind::Int => values.append_value(i),
            (Values::Ints(values), Value::Text(text)) => {
                let Some(micros) = time::micros(text) else { return false };
                values.append_value(micros);
            }
            (Values::Days(values), Value::Text(text)) => {
                let Some(days) = time::days(text) else { return false };
                values.append_value(days);
            }
            (Values::Floats(values), Value::Float(float)) => values.append_value(float),
            // At most 2^53 either way, or the column would have widened otherwise.
            (Values::Floats(values), Value::Int(i)) => values.append_value(i as f64),
            (Values::Decimals(values), value) => {
                let Some(unscaled) = decimal(self.kind, value) else { return false };
                values.append_value(unscaled);
            }
            (Values::Texts(values), Value::Text(text) | Value::Json(text) | Value::Number(text)) => {
                values.append_value(text);
            }
            (Values::Texts(values), other) => values.append_value(&*other.text()),
            _ => return false,
        }
        true
    }

    /// Adds the request that so many rows came from.
    pub(crate) fn push_task(&mut self, task: i64, rows: usize) {
        if let Values::Ints(values) = &mut self.values {
            values.append_value_n(task, rows);
        }
    }

    /// Gives all values, and is empty.
    pub(crate) fn take(&mut self) -> ArrayRef {
        // The next ones are as many, and as long.
        let (rows, bytes) = self.values.size();
        let next = Values::new(self.kind, rows, bytes);
        self.nulls = 0;
        match std::mem::replace(&mut self.values, next) {
            Values::Bools(mut values) => Arc::new(values.finish()),
            Values::Ints(mut values) => Arc::new(values.finish()),
            Values::Floats(mut values) => Arc::new(values.finish()),
            Values::Days(mut values) => Arc::new(values.finish()),
            Values::Decimals(mut values) => Arc::new(values.finish()),
            Values::Texts(mut values) => Arc::new(values.finish()),
        }
    }
}

/// What the values of a column are while they wait; what they mean is the file's schema's to say.
pub(crate) fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Int | Kind::Timestamp => DataType::Int64,
        Kind::Float => DataType::Float64,
        Kind::Date => DataType::Date32,
        // The precision that its schema has.
        Kind::Decimal { scale, .. } => DataType::Decimal128(MOST_DIGITS as u8, scale as i8),
        Kind::Null | Kind::Digits | Kind::Text | Kind::Json => DataType::LargeBinary,
    }
}

fn decimal(kind: Kind, value: Value<'_>) -> Option<i128> {
    let Kind::Decimal { scale, .. } = kind else { return None };
    match value {
        Value::Int(i) => i128::from(i).checked_mul(10i128.checked_pow(scale)?),
        Value::Number(_) | Value::Float(_) => unscaled(&value.text(), scale),
        _ => None,
    }
}
