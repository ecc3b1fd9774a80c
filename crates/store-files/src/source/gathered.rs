//! Rows, as the files have them, that become a batch.

use std::sync::Arc;

use entities::{Cell, RecordBatch, Span};
use serde_json::{Map, Value};
use store::{Trouble, digits};

/// Rows, and bytes of text, after which a part of a scan ends.
const PART: (usize, usize) = (2048, 1 << 20);

/// Rows that become a batch.
pub(super) struct Gathered {
    names: Vec<Arc<str>>,
    only_task: bool,
    rows: Vec<(i64, Map<String, Value>)>,
    bytes: usize,
}

impl Gathered {
    pub(super) fn new(names: Vec<Arc<str>>, only_task: bool) -> Gathered {
        Gathered { names, only_task, rows: Vec::new(), bytes: 0 }
    }

    pub(super) fn add(&mut self, task: i64, fields: Map<String, Value>) {
        if self.only_task {
            return self.rows.push((task, Map::new()));
        }
        for (name, value) in &fields {
            if !self.names.iter().any(|known| **known == **name) {
                self.names.push(Arc::from(name.as_str()));
            }
            self.bytes += bytes_of(value);
        }
        self.rows.push((task, fields));
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= PART.0 || self.bytes >= PART.1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn batch(mut self) -> Result<RecordBatch, Trouble> {
        let mut names: Vec<Arc<str>> = vec![Arc::from("_task")];
        if !self.only_task {
            names.append(&mut self.names);
        }
        let mut batch =
            RecordBatch { columns: Arc::new(names), rows: self.rows.len(), ..RecordBatch::default() };
        for (task, mut fields) in self.rows {
            batch.cells.push(Cell::Int(task));
            for name in batch.columns.iter().skip(1) {
                let cell = match fields.remove(&**name) {
                    Some(value) => cell_of(&value, &mut batch.text)?,
                    None => Cell::Null,
                };
                batch.cells.push(cell);
            }
        }
        Ok(batch)
    }
}

fn bytes_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(bytes_of).sum::<usize>() + 16,
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + bytes_of(value)).sum::<usize>() + 16
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 16,
    }
}

fn cell_of(value: &Value, text: &mut String) -> Result<Cell, Trouble> {
    let mut span = |value: &str| -> Result<Span, Trouble> {
        let too_large = |_| Trouble::Record("a row is larger than 4 GiB".to_owned());
        let start = u32::try_from(text.len()).map_err(too_large)?;
        text.push_str(value);
        Ok(Span { start, len: u32::try_from(value.len()).map_err(too_large)? })
    };
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Bool(truth) => Cell::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), float_of(number)) {
            (Some(i), _) => Cell::Int(i),
            (None, Some(float)) => Cell::Float(float),
            (None, None) => Cell::Number(span(&number.to_string())?),
        },
        Value::String(text) => Cell::Text(span(text)?),
        nested => Cell::Json(span(&nested.to_string())?),
    })
}

/// The double that has the value of these digits, if there is one.
fn float_of(number: &serde_json::Number) -> Option<f64> {
    let text = number.to_string();
    let float: f64 = text.parse().ok().filter(|float: &f64| float.is_finite())?;
    (text.contains(['.', 'e', 'E']) && significant(&text)? == significant(&digits(float))?).then_some(float)
}

/// A number as sign, digits that count, and the place of the point behind them.
fn significant(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{}{fraction}", whole.trim_start_matches('-'));
    let kept = all.trim_end_matches('0');
    let exponent: i64 = exponent.parse().ok()?;
    let behind = i64::try_from(all.len() - kept.len()).ok()? - i64::try_from(fraction.len()).ok()?;
    let kept = kept.trim_start_matches('0');
    let place = if kept.is_empty() { 0 } else { exponent.checked_add(behind)? };
    Some((text.starts_with('-'), kept.to_owned(), place))
}

/// What the account of columns calls the type of a value.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int",
        Value::Number(number) if float_of(number).is_some() => "float",
        Value::Number(_) => "decimal",
        Value::String(_) => "text",
        Value::Array(_) | Value::Object(_) => "json",
    }
}

#[cfg(test)]
mod tests {
    use super::float_of;

    #[test]
    fn doubles_that_have_the_value() {
        for (text, expected) in [
            ("0.5", Some(0.5)),
            ("0.50", Some(0.5)),
            ("-1e3", Some(-1000.0)),
            ("1.25E-2", Some(0.0125)),
            ("0.0", Some(0.0)),
            ("1e400", None),
            ("0.1000000000000000055511151231257827", None),
            ("123456789012345678901234567890", None),
            ("12345678901234567890.5", None),
        ] {
            let number: serde_json::Number = serde_json::from_str(text).unwrap();
            assert_eq!(float_of(&number), expected, "{text}");
        }
    }
}
