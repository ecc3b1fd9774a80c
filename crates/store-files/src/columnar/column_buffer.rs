//! The next values of one column, until they are worth encoding.

use std::collections::HashSet;
use std::hash::Hash;

use entities::{Cell, RecordBatch};
use parquet::column::writer::{ColumnWriter, get_typed_column_writer_mut};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::errors::ParquetError;
use store::text_of;

use crate::columnar::decimal::unscaled;
use crate::columnar::schema::Kind;
use crate::columnar::time;

/// So many values say how a column is encoded best, and fewer than the least nothing.
const SAMPLE: usize = 2048;
const LEAST: usize = 256;

/// How the values of a column are encoded, before they are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Dictionary,
    Plain,
    Deltas,
}

/// The values of one column.
#[derive(Debug)]
pub(crate) struct ColumnBuffer {
    kind: Kind,
    values: Values,
    /// 1 where there is a value.
    levels: Vec<i16>,
}

#[derive(Debug)]
enum Values {
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Days(Vec<i32>),
    Decimals(Vec<[u8; 16]>),
    Texts { bytes: Vec<u8>, ends: Vec<usize> },
}

impl ColumnBuffer {
    pub(crate) fn new(kind: Kind) -> ColumnBuffer {
        let values = match kind {
            Kind::Bool => Values::Bools(Vec::new()),
            Kind::Int | Kind::Timestamp => Values::Ints(Vec::new()),
            Kind::Float => Values::Floats(Vec::new()),
            Kind::Date => Values::Days(Vec::new()),
            Kind::Decimal { .. } => Values::Decimals(Vec::new()),
            Kind::Null | Kind::Digits | Kind::Text | Kind::Json => {
                Values::Texts { bytes: Vec::new(), ends: Vec::new() }
            }
        };
        ColumnBuffer { kind, values, levels: Vec::new() }
    }

    /// Roughly how many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::Bools(values) => values.len(),
            Values::Ints(values) => values.len() * 8,
            Values::Floats(values) => values.len() * 8,
            Values::Days(values) => values.len() * 4,
            Values::Decimals(values) => values.len() * 16,
            Values::Texts { bytes, ends } => bytes.len() + ends.len() * 8,
        };
        values + self.levels.len() * 2
    }

    /// Adds rows without a value.
    pub(crate) fn push_nulls(&mut self, rows: usize) {
        self.levels.resize(self.levels.len() + rows, 0);
    }

    /// Adds a cell; gives false if the column cannot hold it.
    pub(crate) fn push(&mut self, cell: &Cell, batch: &RecordBatch) -> bool {
        let pushed = match (&mut self.values, cell) {
            (_, Cell::Null) => {
                self.levels.push(0);
                return true;
            }
            (Values::Bools(values), Cell::Bool(truth)) => add(values, Some(*truth)),
            (Values::Ints(values), Cell::Int(i)) if self.kind == Kind::Int => add(values, Some(*i)),
            (Values::Ints(values), Cell::Text(span)) => add(values, time::micros(batch.text_of(*span))),
            (Values::Days(values), Cell::Text(span)) => add(values, time::days(batch.text_of(*span))),
            (Values::Floats(values), Cell::Float(float)) => add(values, Some(*float)),
            // At most 2^53 either way, or the column would have widened otherwise.
            (Values::Floats(values), Cell::Int(i)) => add(values, Some(*i as f64)),
            (Values::Decimals(values), cell) => add(values, decimal(self.kind, cell, batch)),
            (Values::Texts { bytes, ends }, cell) => {
                match cell {
                    Cell::Text(span) | Cell::Json(span) | Cell::Number(span) => {
                        bytes.extend_from_slice(batch.text_of(*span).as_bytes());
                    }
                    other => bytes.extend_from_slice(text_of(other, batch).as_bytes()),
                }
                ends.push(bytes.len());
                true
            }
            _ => false,
        };
        self.levels.push(1);
        pushed
    }

    /// Adds a value as text.
    pub(crate) fn push_text(&mut self, text: &str) {
        if let Values::Texts { bytes, ends } = &mut self.values {
            bytes.extend_from_slice(text.as_bytes());
            ends.push(bytes.len());
            self.levels.push(1);
        }
    }

    /// Adds the numbers of the requests that rows came from.
    pub(crate) fn push_tasks(&mut self, tasks: &[i64]) {
        if let Values::Ints(values) = &mut self.values {
            values.extend_from_slice(tasks);
            self.levels.resize(self.levels.len() + tasks.len(), 1);
        }
    }

    /// Judges by the values held. A dictionary costs time for every value, and of values nearly all of which differ it
    /// makes nothing shorter; integers are as short as their differences.
    pub(crate) fn style(&self) -> Style {
        let is_better = match &self.values {
            Values::Bools(_) => true,
            Values::Ints(values) => {
                let is_narrow = range(values) < 1 << 20 && differ(values, 1, 8);
                return if is_narrow || differ(values, 19, 20) { Style::Deltas } else { Style::Dictionary };
            }
            Values::Floats(values) => !differ(values.iter().map(|value| value.to_bits()), 19, 20),
            Values::Days(values) => !differ(values, 19, 20),
            Values::Decimals(values) => !differ(values, 19, 20),
            Values::Texts { bytes, ends } => {
                let begins = std::iter::once(0).chain(ends.iter().copied());
                !differ(begins.zip(ends).map(|(begin, end)| &bytes[begin..*end]), 19, 20)
            }
        };
        if is_better { Style::Dictionary } else { Style::Plain }
    }

    /// Writes all values, and is empty. A column that has no nulls by its schema takes no notice of levels.
    pub(crate) fn write(&mut self, to: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = Some(self.levels.as_slice());
        match &mut self.values {
            Values::Bools(values) => {
                get_typed_column_writer_mut::<BoolType>(to).write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Ints(values) => {
                get_typed_column_writer_mut::<Int64Type>(to).write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Floats(values) => {
                get_typed_column_writer_mut::<DoubleType>(to).write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Days(values) => {
                get_typed_column_writer_mut::<Int32Type>(to).write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Decimals(values) => {
                let held: Vec<FixedLenByteArray> =
                    values.iter().map(|value| FixedLenByteArray::from(value.to_vec())).collect();
                get_typed_column_writer_mut::<FixedLenByteArrayType>(to).write_batch(&held, levels, None)?;
                values.clear();
            }
            Values::Texts { bytes, ends } => {
                // The next ones are as long.
                let next = Vec::with_capacity(bytes.len());
                let all = ByteArray::from(std::mem::replace(bytes, next));
                let begins = std::iter::once(0).chain(ends.iter().copied());
                let held: Vec<ByteArray> =
                    begins.zip(&*ends).map(|(begin, end)| all.slice(begin, end - begin)).collect();
                get_typed_column_writer_mut::<ByteArrayType>(to).write_batch(&held, levels, None)?;
                ends.clear();
            }
        }
        self.levels.clear();
        Ok(())
    }
}

/// Whether of the first values more than `some` in `of` differ from all others.
fn differ<T: Eq + Hash>(values: impl IntoIterator<Item = T>, some: usize, of: usize) -> bool {
    let (mut seen, mut count) = (HashSet::with_capacity(SAMPLE), 0);
    for value in values.into_iter().take(SAMPLE) {
        seen.insert(value);
        count += 1;
    }
    count >= LEAST && seen.len() * of > count * some
}

/// How far the first values are apart.
fn range(values: &[i64]) -> u64 {
    let first = &values[..values.len().min(SAMPLE)];
    first.iter().max().zip(first.iter().min()).map_or(0, |(max, min)| max.abs_diff(*min))
}

fn add<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    let is_held = value.is_some();
    values.extend(value);
    is_held
}

fn decimal(kind: Kind, cell: &Cell, batch: &RecordBatch) -> Option<[u8; 16]> {
    let Kind::Decimal { scale, .. } = kind else { return None };
    let value = match cell {
        Cell::Int(i) => i128::from(*i).checked_mul(10i128.checked_pow(scale)?)?,
        Cell::Number(span) => unscaled(batch.text_of(*span), scale)?,
        Cell::Float(_) => unscaled(&text_of(cell, batch), scale)?,
        _ => return None,
    };
    Some(value.to_be_bytes())
}
