//! Records as a table that fits the terminal, with the type of each column under its name; and as JSON.

use entities::{Cell, ColumnType, RecordBatch, Secrets, TaskSpec};
use serde_json::{Map, Value};

use crate::terminal::{Paint, clean, counted, shorten, wide};

/// No column is wider, however much room there is.
const WIDEST: usize = 40;
/// Two spaces before each column.
const GAP: usize = 2;
/// The greatest integer up to which a double holds every one.
const EXACT: i64 = 1 << 53;

/// The types a table gives to the columns of a page, in the words of the ledger; where the plan says one, that.
pub(crate) fn types(batch: &RecordBatch, spec: &TaskSpec) -> Vec<&'static str> {
    let said =
        |name: &str| spec.types.iter().find(|(column, _)| column == name).map(|(_, kind)| declared(*kind));
    batch
        .columns
        .iter()
        .enumerate()
        .map(|(at, name)| said(name).unwrap_or_else(|| inferred(batch, at)))
        .collect()
}

fn declared(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Bool => "bool",
        ColumnType::Int => "int",
        ColumnType::Float => "float",
        ColumnType::Decimal => "decimal",
        ColumnType::Text => "text",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Date => "date",
        ColumnType::Json => "json",
    }
}

/// The narrowest type that holds every value of a column, as the store chooses it.
fn inferred(batch: &RecordBatch, column: usize) -> &'static str {
    let (mut bool, mut int, mut wide, mut float, mut number, mut text, mut json) = Default::default();
    for row in 0..batch.rows {
        match batch.row(row)[column] {
            Cell::Null => {}
            Cell::Bool(_) => bool = true,
            Cell::Int(value) if value.unsigned_abs() > EXACT.unsigned_abs() => wide = true,
            Cell::Int(_) => int = true,
            Cell::Float(_) => float = true,
            Cell::Number(_) => number = true,
            Cell::Text(_) => text = true,
            Cell::Json(_) => json = true,
        }
    }
    let numeric = int || wide || float || number;
    match (bool, numeric, text, json) {
        (false, false, false, false) => "null",
        (true, false, false, false) => "bool",
        (false, false, false, true) => "json",
        (false, true, false, false) if number || (wide && float) => "decimal",
        (false, true, false, false) if float => "float",
        (false, true, false, false) => "int",
        _ => "text",
    }
}

/// The first `most` records as lines of at most `width` columns. Columns that find no room are named below. Values
/// that hold a secret (an API may give back what it was sent) show `***`.
pub(crate) fn grid(
    batch: &RecordBatch,
    types: &[&str],
    most: usize,
    width: usize,
    secrets: &Secrets,
    paint: Paint,
) -> String {
    let rows = batch.rows.min(most);
    let mut columns: Vec<Vec<String>> = Vec::new();
    for (at, name) in batch.columns.iter().enumerate() {
        let mut column = vec![fitted(name), types[at].to_owned()];
        column.extend((0..rows).map(|row| fitted(&secrets.redact(&text_of(batch, &batch.row(row)[at])))));
        columns.push(column);
    }
    let mut widths: Vec<usize> = Vec::new();
    let mut used = 0;
    for column in &columns {
        let own = column.iter().map(|cell| wide(cell)).max().unwrap_or(0);
        if used + GAP + own > width && !widths.is_empty() {
            break;
        }
        used += GAP + own;
        widths.push(own);
    }
    let cell_of = |at: usize, line: usize| &columns[at][line];
    let is_number = |at: usize| matches!(types[at], "int" | "float" | "decimal");
    let mut out = String::new();
    for line in 0..rows + 2 {
        let mut text = String::new();
        for (at, own) in widths.iter().enumerate() {
            let cell = cell_of(at, line);
            let gap = " ".repeat(own.saturating_sub(wide(cell)));
            text.push_str(&" ".repeat(GAP));
            let (before, behind) = if is_number(at) { (gap.as_str(), "") } else { ("", gap.as_str()) };
            text.push_str(before);
            text.push_str(&match line {
                0 => paint.bold(cell),
                1 => paint.dim(cell),
                _ => cell.clone(),
            });
            text.push_str(behind);
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    let hidden = batch.rows - rows;
    if hidden > 0 {
        out.push_str(&format!("  … and {}\n", counted(hidden as u64, "more row")));
    }
    if widths.len() < columns.len() {
        out.push_str(&not_shown(batch, types, widths.len(), width));
    }
    out
}

/// `  … and 3 more columns: body text, labels json, points int`
fn not_shown(batch: &RecordBatch, types: &[&str], from: usize, width: usize) -> String {
    let mut out = format!("  … and {}:", counted((batch.columns.len() - from) as u64, "more column"));
    let mut used = wide(&out);
    for (at, name) in batch.columns.iter().enumerate().skip(from) {
        let comma = if at + 1 < batch.columns.len() { "," } else { "" };
        let word = format!(" {} {}{comma}", fitted(name), types[at]);
        if used + wide(&word) > width {
            out.push_str("\n   ");
            used = 3;
        }
        used += wide(&word);
        out.push_str(&word);
    }
    out.push('\n');
    out
}

/// One harmless line, not too wide.
fn fitted(text: &str) -> String {
    // A long text is cut before it is cleaned: all of it would be copied for nothing.
    let text = clean(&shorten(text, WIDEST * 2)).into_owned();
    if wide(&text) <= WIDEST {
        return text;
    }
    let (mut out, mut used) = (String::new(), 1);
    let mut buffer = [0; 4];
    for c in text.chars() {
        used += wide(c.encode_utf8(&mut buffer));
        if used > WIDEST {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

fn text_of(batch: &RecordBatch, cell: &Cell) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Bool(value) => value.to_string(),
        Cell::Int(value) => value.to_string(),
        Cell::Float(value) => Value::from(*value).to_string(),
        Cell::Number(span) | Cell::Text(span) | Cell::Json(span) => batch.text_of(*span).to_owned(),
    }
}

/// The first `most` records as objects, each number with all its digits.
pub(crate) fn objects(batch: &RecordBatch, most: usize, secrets: &Secrets) -> Vec<Value> {
    let object = |row: usize| {
        let cells = batch.columns.iter().zip(batch.row(row));
        Value::Object(
            cells
                .map(|(name, cell)| (name.to_string(), value_of(batch, cell, secrets)))
                .collect::<Map<_, _>>(),
        )
    };
    (0..batch.rows.min(most)).map(object).collect()
}

fn value_of(batch: &RecordBatch, cell: &Cell, secrets: &Secrets) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => Value::from(*value),
        Cell::Int(value) => Value::from(*value),
        Cell::Float(value) => Value::from(*value),
        Cell::Text(span) => Value::from(secrets.redact(batch.text_of(*span))),
        Cell::Number(span) | Cell::Json(span) => {
            let text = secrets.redact(batch.text_of(*span));
            serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use entities::Span;

    use super::*;

    fn batch(columns: &[&str], rows: &[&[Value]]) -> RecordBatch {
        let mut batch = RecordBatch {
            columns: Arc::new(columns.iter().map(|name| Arc::from(*name)).collect()),
            rows: rows.len(),
            ..RecordBatch::default()
        };
        for value in rows.iter().flat_map(|row| row.iter()) {
            let mut span = |text: &str| {
                let start = u32::try_from(batch.text.len()).unwrap();
                batch.text.push_str(text);
                Span { start, len: u32::try_from(text.len()).unwrap() }
            };
            let cell = match value {
                Value::Null => Cell::Null,
                Value::Bool(value) => Cell::Bool(*value),
                Value::String(text) => Cell::Text(span(text)),
                Value::Number(number) => match (number.as_i64(), number.as_str().len()) {
                    (Some(int), _) => Cell::Int(int),
                    (None, ..10) => Cell::Float(number.as_f64().unwrap()),
                    _ => Cell::Number(span(number.as_str())),
                },
                json => Cell::Json(span(&json.to_string())),
            };
            batch.cells.push(cell);
        }
        batch
    }

    fn kind(values: &str) -> &'static str {
        let values: Vec<Value> = serde_json::from_str(values).unwrap();
        let rows: Vec<&[Value]> = values.iter().map(std::slice::from_ref).collect();
        inferred(&batch(&["x"], &rows), 0)
    }

    #[test]
    fn types_are_those_that_the_store_would_choose() {
        for (values, expected) in [
            ("[null]", "null"),
            ("[true, null]", "bool"),
            ("[1, null]", "int"),
            ("[1, 9007199254740993]", "int"),
            ("[1, 0.5]", "float"),
            ("[9007199254740993, 0.5]", "decimal"),
            ("[1, 0.30000000000000000001]", "decimal"),
            ("[1, \"a\"]", "text"),
            ("[{}, [1]]", "json"),
            ("[{}, 1]", "text"),
            ("[true, 1]", "text"),
        ] {
            assert_eq!(kind(values), expected, "{values}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named_and_nothing_steers_the_terminal() {
        let text = Value::from("x".repeat(100));
        let evil = Value::from("\u{1b}[2J\u{202e}a\nb");
        let batch = batch(
            &["id", "title", "body", "wide"],
            &[&[1.into(), evil, text, "日本".into()], &[22.into(), Value::Null, "b".into(), 1.into()]],
        );
        let types = ["int", "text", "text", "text"];
        assert_eq!(
            grid(&batch, &types, 1, 60, &Secrets::default(), Paint(false)),
            "   id  title\n  int  text\n    1  \\u{1b}[2J\\u{202e}a\\nb\n  … and 1 more row\n  … and 2 more columns: body text, wide text\n"
        );
        let all = grid(&batch, &types, 9, 100, &Secrets::default(), Paint(false));
        let lines: Vec<&str> = all.lines().collect();
        assert_eq!(lines.len(), 4, "{all}");
        assert!(
            lines[2].ends_with("…  日本")
                && lines[3].ends_with("b                                         1"),
            "{all}"
        );
        assert!(lines.iter().all(|line| wide(line) <= 100), "{all}");
    }
}
