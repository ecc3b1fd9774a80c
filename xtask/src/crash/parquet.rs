//! Reads the rows of a Parquet file, with its kinds of values as those of JSON.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use parquet::data_type::Decimal;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Map, Value};

use super::workload;

/// The first second of the day that all records are of.
const DAY: i64 = 1_704_067_200;

/// The rows of a file, in its order.
pub(crate) fn read(path: &Path) -> Result<Vec<Map<String, Value>>> {
    let reader = SerializedFileReader::new(File::open(path)?).context("it is no whole Parquet file")?;
    let mut rows = Vec::new();
    for row in reader.get_row_iter(None)? {
        let row = row?;
        let columns = row.get_column_iter();
        rows.push(columns.map(|(name, field)| Ok((name.clone(), value(field)?))).collect::<Result<_>>()?);
    }
    Ok(rows)
}

fn value(field: &Field) -> Result<Value> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Decimal(value) => decimal(value).into(),
        Field::Str(value) => value.as_str().into(),
        Field::Bytes(value) => std::str::from_utf8(value.data())?.into(),
        Field::TimestampMillis(value) => instant(value.div_euclid(1_000))?,
        Field::TimestampMicros(value) => instant(value.div_euclid(1_000_000))?,
        other => bail!("a value of a kind that was not expected: {other}"),
    })
}

fn instant(seconds: i64) -> Result<Value> {
    Ok(workload::instant(u64::try_from(seconds - DAY)?).into())
}

/// Near enough: the laboratory's fractions are quarters.
fn decimal(value: &Decimal) -> f64 {
    let digits = value.data().iter().fold(0.0, |sum, byte| sum * 256.0 + f64::from(*byte));
    digits / 10_f64.powi(value.scale())
}
