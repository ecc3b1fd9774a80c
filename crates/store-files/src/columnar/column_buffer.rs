//! The values of one column, until a row group is full.

use entities::{Cell, RecordBatch};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedColumnWriter;
use store::text_of;

use crate::columnar::decimal::unscaled;
use crate::columnar::schema::Kind;
use crate::columnar::time;

/// Texts that become values of the library's at a time.
const AT_A_TIME: usize = 8192;

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

    /// Writes all values, and is empty.
    pub(crate) fn write(&mut self, mut to: SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = Some(self.levels.as_slice());
        match &mut self.values {
            Values::Bools(values) => {
                to.typed::<BoolType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Ints(values) => {
                to.typed::<Int64Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Floats(values) => {
                to.typed::<DoubleType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Days(values) => {
                to.typed::<Int32Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Decimals(values) => {
                let held: Vec<FixedLenByteArray> =
                    values.iter().map(|value| FixedLenByteArray::from(value.to_vec())).collect();
                to.typed::<FixedLenByteArrayType>().write_batch(&held, levels, None)?;
                values.clear();
            }
            Values::Texts { bytes, ends } => {
                let all = ByteArray::from(std::mem::take(bytes));
                write_texts(&all, ends, &self.levels, &mut to)?;
                ends.clear();
            }
        }
        self.levels.clear();
        to.close()
    }
}

/// A part at a time: the library's values are several times as large as short texts.
fn write_texts(
    all: &ByteArray,
    ends: &[usize],
    levels: &[i16],
    to: &mut SerializedColumnWriter<'_>,
) -> Result<(), ParquetError> {
    let (mut begin, mut at) = (0, 0);
    let mut held: Vec<ByteArray> = Vec::with_capacity(AT_A_TIME.min(ends.len()));
    for levels in levels.chunks(AT_A_TIME) {
        held.clear();
        for _ in levels.iter().filter(|level| **level == 1) {
            held.push(all.slice(begin, ends[at] - begin));
            begin = ends[at];
            at += 1;
        }
        to.typed::<ByteArrayType>().write_batch(&held, Some(levels), None)?;
    }
    Ok(())
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
