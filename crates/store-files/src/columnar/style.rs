//! How a column is encoded, before it is compressed: judged by the values that come first in its file.

use std::collections::HashSet;
use std::hash::Hash;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

/// So many values say how a column is encoded best, and fewer than the least nothing.
const SAMPLE: usize = 2048;
const LEAST: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Dictionary,
    Plain,
    Deltas,
}

impl Style {
    /// A dictionary costs time for every value, and of values nearly all of which differ it makes nothing shorter;
    /// integers are as short as their differences.
    pub(crate) fn of(first: &ArrayRef) -> Style {
        let is_better = match first.data_type() {
            DataType::Int64 => {
                let values: Vec<i64> =
                    first.as_primitive::<Int64Type>().iter().flatten().take(SAMPLE).collect();
                let is_narrow = range(&values) < 1 << 20 && differ(&values, 1, 8);
                return if is_narrow || differ(&values, 19, 20) { Style::Deltas } else { Style::Dictionary };
            }
            DataType::Float64 => {
                let values = first.as_primitive::<Float64Type>().iter().flatten();
                !differ(values.map(f64::to_bits), 19, 20)
            }
            DataType::Date32 => !differ(first.as_primitive::<Date32Type>().iter().flatten(), 19, 20),
            DataType::Decimal128(..) => {
                !differ(first.as_primitive::<Decimal128Type>().iter().flatten(), 19, 20)
            }
            DataType::LargeBinary => !differ(first.as_binary::<i64>().iter().flatten(), 19, 20),
            _ => true,
        };
        if is_better { Style::Dictionary } else { Style::Plain }
    }

    /// In the library's words; a dictionary is what it does of itself.
    pub(crate) fn say(self, name: &str, to: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
        // The name may have dots.
        let column = || ColumnPath::new(vec![name.to_owned()]);
        match self {
            Style::Dictionary => to,
            Style::Plain => to.set_column_dictionary_enabled(column(), false),
            Style::Deltas => to
                .set_column_dictionary_enabled(column(), false)
                .set_column_encoding(column(), Encoding::DELTA_BINARY_PACKED),
        }
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

/// How far values are apart.
fn range(values: &[i64]) -> u64 {
    values.iter().max().zip(values.iter().min()).map_or(0, |(max, min)| max.abs_diff(*min))
}
