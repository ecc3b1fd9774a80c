//! Records as lines of JSON. `_task` is the last field of each. A field without a value is left out: null and missing
//! mean the same in every store, and a batch of cells does not tell them apart.

use std::io::Write;

use entities::{Cell, RecordBatch, TaskId};
use serde_json::{Map, Value};
use store::{ColumnType, Columns, Trouble, json_of};

/// Where each cell of a record goes.
#[derive(Debug)]
pub(crate) struct LineLayout {
    /// `"name":` by column; none: the field is in `_more`.
    heads: Vec<Option<Box<[u8]>>>,
    overflows: bool,
}

impl LineLayout {
    /// That of a batch whose fields have these columns.
    pub(crate) fn of(columns: &Columns, batch: &RecordBatch) -> LineLayout {
        let name = |field: &str| columns.column_of(field).map(|at| columns.list()[at].name.as_str());
        let heads: Vec<_> = batch.columns.iter().map(|field| name(field).map(head)).collect();
        // Without `_more` the table is frozen, and the field always null.
        let overflows = columns.has_more() && heads.iter().any(Option::is_none);
        LineLayout { heads, overflows }
    }

    /// That of a batch whose fields are called as the columns are.
    pub(crate) fn as_named(batch: &RecordBatch) -> LineLayout {
        LineLayout { heads: batch.columns.iter().map(|name| Some(head(name))).collect(), overflows: false }
    }

    /// Adds one record as a line.
    pub(crate) fn write(
        &self,
        batch: &RecordBatch,
        row: usize,
        task: i64,
        out: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        out.push(b'{');
        let cells = batch.row(row);
        for (cell, head) in cells.iter().zip(&self.heads) {
            if let Some(head) = head.as_ref().filter(|_| *cell != Cell::Null) {
                out.extend_from_slice(head);
                write_cell(cell, batch, out)?;
                out.push(b',');
            }
        }
        if self.overflows {
            self.write_more(cells, batch, out);
        }
        end(task, out)
    }

    fn write_more(&self, cells: &[Cell], batch: &RecordBatch, out: &mut Vec<u8>) {
        let mut more = String::new();
        for ((cell, head), name) in cells.iter().zip(&self.heads).zip(batch.columns.iter()) {
            if head.is_none() && *cell != Cell::Null {
                more.push(if more.is_empty() { '{' } else { ',' });
                more.push_str(&Value::from(&**name).to_string());
                more.push(':');
                json_of(cell, batch, &mut more);
            }
        }
        if !more.is_empty() {
            out.extend_from_slice(b"\"_more\":");
            out.extend_from_slice(more.as_bytes());
            out.extend_from_slice(b"},");
        }
    }
}

fn head(name: &str) -> Box<[u8]> {
    let mut head = Value::from(name).to_string().into_bytes();
    head.push(b':');
    head.into()
}

fn end(task: i64, out: &mut Vec<u8>) -> Result<(), Trouble> {
    out.extend_from_slice(b"\"_task\":");
    serde_json::to_writer(&mut *out, &task)?;
    out.extend_from_slice(b"}\n");
    Ok(())
}

fn write_cell(cell: &Cell, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Trouble> {
    match cell {
        Cell::Int(i) => serde_json::to_writer(&mut *out, i)?,
        Cell::Text(span) => serde_json::to_writer(&mut *out, batch.text_of(*span))?,
        Cell::Number(span) | Cell::Json(span) => out.extend_from_slice(batch.text_of(*span).as_bytes()),
        Cell::Bool(true) => out.extend_from_slice(b"true"),
        Cell::Bool(false) => out.extend_from_slice(b"false"),
        // As `store::digits`.
        Cell::Float(float) => write!(out, "{float:?}").map_err(serde_json::Error::io)?,
        Cell::Null => out.extend_from_slice(b"null"),
    }
    Ok(())
}

/// Adds records that are lines already, but those `known`: each gets `_task` in the place of its last brace.
pub(crate) fn write_lines(
    batch: &RecordBatch,
    known: Option<&[bool]>,
    task: TaskId,
    out: &mut Vec<u8>,
) -> Result<(), Trouble> {
    let tail = format!("\"_task\":{}}}\n", task.0);
    out.reserve(batch.text.len() + batch.rows * (tail.len() + 1));
    let may_clash = may_have_task(&batch.text);
    // `str::split` looks for one character many bytes at a time.
    for (row, line) in batch.text.split_terminator('\n').enumerate() {
        if known.is_some_and(|known| known.get(row) == Some(&true)) {
            continue;
        }
        let renamed;
        let line = match may_clash {
            true => {
                renamed = without_task(line)?;
                renamed.as_str()
            }
            false => line,
        };
        let Some(body) = line.trim_end().strip_suffix('}') else {
            return Err(Trouble::Record("a record is no JSON object".to_owned()));
        };
        out.extend_from_slice(body.as_bytes());
        if !body.trim_end().ends_with('{') {
            out.push(b',');
        }
        out.extend_from_slice(tail.as_bytes());
    }
    Ok(())
}

/// Whether a field may be called `_task`, be it by escapes.
fn may_have_task(text: &str) -> bool {
    const ESCAPED: [&str; 7] = ["\\u005f", "\\u005F", "\\u0074", "\\u0061", "\\u0073", "\\u006b", "\\u006B"];
    text.contains("\"_task\"")
        || (text.contains("\\u00") && ESCAPED.iter().any(|letter| text.contains(letter)))
}

/// The record with its own `_task` under another name, as in every store.
fn without_task(line: &str) -> Result<String, Trouble> {
    let broken = |error: serde_json::Error| Trouble::Record(format!("a record is no JSON object: {error}"));
    let record: Map<String, Value> = serde_json::from_str(line).map_err(broken)?;
    if !record.contains_key("_task") {
        return Ok(line.to_owned());
    }
    let number = (2..).find(|number| !record.contains_key(&format!("_task_{number}"))).unwrap_or(2);
    let rename =
        |(name, value)| if name == "_task" { (format!("_task_{number}"), value) } else { (name, value) };
    Ok(Value::Object(record.into_iter().map(rename).collect()).to_string())
}

/// The request that a line's record came from.
pub(crate) fn task_of(line: &[u8]) -> Option<i64> {
    let body = line.strip_suffix(b"\n").unwrap_or(line).strip_suffix(b"}")?;
    let digits = body.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
    let (head, digits) = body.split_at(body.len() - digits);
    head.ends_with(b"\"_task\":").then_some(())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The record of a line, by the fields' own names where the account has them, without `_task`.
pub(crate) fn record_of(line: &str, columns: &Columns) -> Result<Map<String, Value>, serde_json::Error> {
    let mut held: Map<String, Value> = serde_json::from_str(line)?;
    held.shift_remove("_task");
    let mut record = Map::with_capacity(columns.list().len().max(held.len()));
    for column in columns.list() {
        let value = held.shift_remove(&column.name).unwrap_or(Value::Null);
        match (column.kind, value) {
            (ColumnType::More, Value::Object(more)) => record.extend(more),
            (ColumnType::More, _) => {}
            (_, value) => {
                record.insert(column.source.clone(), value);
            }
        }
    }
    record.extend(held);
    Ok(record)
}

#[cfg(test)]
mod tests {
    use entities::{RecordBatch, TaskId};

    use super::{task_of, write_lines};

    #[test]
    fn lines_get_their_request() {
        for (line, becomes) in [
            ("{}", r#"{"_task":7}"#),
            ("{ }", r#"{ "_task":7}"#),
            (r#"{"a":1}"#, r#"{"a":1,"_task":7}"#),
            (r#"{"a":"{"} "#, r#"{"a":"{","_task":7}"#),
            (r#"{"a":{}}"#, r#"{"a":{},"_task":7}"#),
            (r#"{"a":1.10,"é":"\u00e9\n"}"#, r#"{"a":1.10,"é":"\u00e9\n","_task":7}"#),
            (r#"{"_task":1}"#, r#"{"_task_2":1,"_task":7}"#),
            (r#"{"\u005ftask":1,"_task_2":2}"#, r#"{"_task_3":1,"_task_2":2,"_task":7}"#),
            (
                r#"{"a":"_task","b":100000000000000000000}"#,
                r#"{"a":"_task","b":100000000000000000000,"_task":7}"#,
            ),
        ] {
            let batch =
                RecordBatch { rows: 1, lines: true, text: format!("{line}\n"), ..RecordBatch::default() };
            let mut out = Vec::new();
            write_lines(&batch, None, TaskId(7), &mut out).unwrap();
            assert_eq!(String::from_utf8(out.clone()).unwrap(), format!("{becomes}\n"), "{line}");
            assert_eq!(task_of(&out), Some(7), "{line}");
        }
        let mut out = Vec::new();
        let batch = RecordBatch { rows: 1, lines: true, text: "[1]\n".to_owned(), ..RecordBatch::default() };
        assert!(write_lines(&batch, None, TaskId(7), &mut out).unwrap_err().is_about_a_record());
        assert_eq!(task_of(b"{\"a\":1}\n"), None);
        assert_eq!(task_of(b"{\"_task\":-12}"), Some(-12));
    }
}
