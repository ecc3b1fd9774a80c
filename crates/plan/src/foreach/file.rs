//! Rows of a file: `row = { file = "symbols.csv" }`. CSV (RFC 4180, the first line names the
//! columns) and JSONL (an object a line), told by the file's name.

use entities::Over;
use serde_json::{Map, Value};

use crate::item::Item;
use crate::load::{Lookup, why_and_help};
use crate::reader::Section;

/// What is wrong with a file: its line (0: none in particular), what, and the way out.
struct Wrong(u64, String, &'static str);

/// Reads the file now: its rows are part of the plan.
pub(super) fn rows(mut section: Section<'_>, lookup: &dyn Lookup) -> Option<Over> {
    let item = section.take("file")?;
    section.finish();
    let name = item.string()?;
    if name.contains("{{") {
        item.wrong(
            "template-not-here",
            format!("{} is a plain file name, not a template", item.what),
            "would not be evaluated",
            "write the file name itself",
        );
        return None;
    }
    let read: fn(&str) -> Result<Vec<Value>, Wrong> = match extension(name).as_str() {
        "csv" => csv_rows,
        "jsonl" | "ndjson" => json_rows,
        _ => {
            item.wrong(
                "unknown-file",
                format!("`{name}` is neither a CSV nor a JSONL file by its name"),
                "unknown kind of file",
                "name a file that ends in .csv, .jsonl or .ndjson",
            );
            return None;
        }
    };
    let text = match lookup.file(name) {
        Ok(text) => text,
        Err(error) => {
            let instead = "create the file, or correct its path (relative to the plan's directory)";
            let (why, help) = why_and_help(&error, instead);
            item.wrong("unreadable-file", format!("cannot read `{name}`: {why}"), "cannot be read", help);
            return None;
        }
    };
    match read(text.strip_prefix('\u{feff}').unwrap_or(&text)) {
        Ok(rows) => {
            warn_if_empty(&item, name, &rows);
            Some(Over::Rows { file: name.to_owned(), rows: rows.into() })
        }
        Err(Wrong(line, what, help)) => {
            let place = if line == 0 { String::new() } else { format!(", line {line}") };
            item.wrong("bad-file", format!("`{name}`{place}: {what}"), "in this file", help);
            None
        }
    }
}

fn extension(name: &str) -> String {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    file.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase()
}

/// A list that somebody else writes may well be empty today; whoever runs the plan should know.
fn warn_if_empty(item: &Item<'_>, name: &str, rows: &[Value]) {
    if rows.is_empty() {
        item.findings.push(
            item.findings
                .error("empty-file", item.span(), format!("`{name}` has no rows"))
                .warning()
                .label("no request will be sent")
                .help("put a row into it"),
        );
    }
}

fn csv_rows(text: &str) -> Result<Vec<Value>, Wrong> {
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(str::to_owned).collect(),
        Err(error) => return Err(of_csv(text, &error)),
    };
    if header.is_empty() {
        return Err(Wrong(
            1,
            "the file is empty".to_owned(),
            "its first line must name the columns: symbol,exchange",
        ));
    }
    for (at, column) in header.iter().enumerate() {
        if column.trim().is_empty() {
            return Err(Wrong(
                1,
                format!("column {} has no name", at + 1),
                "name each column in the first line",
            ));
        }
        if header[..at].contains(column) {
            return Err(Wrong(
                1,
                format!("two columns are called `{column}`"),
                "give each column a name of its own",
            ));
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| of_csv(text, &error))?;
        let row: Map<String, Value> = header.iter().cloned().zip(record.iter().map(Value::from)).collect();
        rows.push(Value::Object(row));
    }
    Ok(rows)
}

fn of_csv(text: &str, error: &csv::Error) -> Wrong {
    let line = error.position().map_or(0, |position| {
        // The reader stands before the empty lines that it is about to skip.
        let at = usize::try_from(position.byte()).unwrap_or(text.len()).min(text.len());
        let bytes = text.as_bytes();
        let skipped = bytes[at..].iter().take_while(|byte| matches!(**byte, b'\r' | b'\n')).count();
        1 + bytes[..at + skipped].iter().filter(|byte| **byte == b'\n').count() as u64
    });
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Wrong(
            line,
            format!("{len} values where the first line names {expected_len} columns"),
            "give every line a value for each column; put values that hold commas in double quotes",
        ),
        _ => Wrong(line, error.to_string(), "write it as CSV: comma separated, quoted with \""),
    }
}

fn json_rows(text: &str) -> Result<Vec<Value>, Wrong> {
    let mut rows = Vec::new();
    for (line, text) in (1u64..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<Value>(text) {
            Ok(row @ Value::Object(_)) => rows.push(row),
            Ok(_) => {
                return Err(Wrong(
                    line,
                    "a row must be an object".to_owned(),
                    "write an object a line: {\"symbol\": \"A\"}",
                ));
            }
            Err(error) => {
                // serde_json counts lines within the text it is given: here there is one.
                let what = error.to_string();
                let what = what.split(" at line ").next().unwrap_or_default().to_owned();
                return Err(Wrong(
                    line,
                    format!("not JSON: {what} (column {})", error.column()),
                    "write an object a line: {\"symbol\": \"A\"}",
                ));
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(read: Result<Vec<Value>, Wrong>) -> Value {
        match read {
            Ok(rows) => Value::from(rows),
            Err(Wrong(line, what, _)) => Value::from(format!("{line}: {what}")),
        }
    }

    #[test]
    fn csv_is_read_with_its_lines() {
        let check = |text: &str, expected: Value| assert_eq!(shown(csv_rows(text)), expected, "{text:?}");
        check("a,b\n1,x\n2,\"y, z\"\n", json!([{"a": "1", "b": "x"}, {"a": "2", "b": "y, z"}]));
        check("a\r\n1\r\n\r\n2\r\n", json!([{"a": "1"}, {"a": "2"}]));
        check("a,b\n\"1\n1\",x\n", json!([{"a": "1\n1", "b": "x"}]));
        check("a,b\n1,\n", json!([{"a": "1", "b": ""}]));
        check("a,b\n", json!([]));
        check("", json!("1: the file is empty"));
        check("a,a\n1,2\n", json!("1: two columns are called `a`"));
        check("a,,c\n1,2,3\n", json!("1: column 2 has no name"));
        check("a,b\n1,2\n\n3\n", json!("4: 1 values where the first line names 2 columns"));
    }

    #[test]
    fn json_is_read_with_its_lines() {
        let check = |text: &str, expected: Value| assert_eq!(shown(json_rows(text)), expected, "{text:?}");
        let digits: Value = serde_json::from_str("[{\"a\": 1}, {\"a\": 1.50}]").unwrap();
        check("{\"a\": 1}\n\n{\"a\": 1.50}\r\n", digits);
        check("", json!([]));
        check("{}\n7\n", json!("2: a row must be an object"));
        check("{}\n\n{\"a\":\n", json!("3: not JSON: EOF while parsing a value (column 5)"));
    }

    #[test]
    fn the_kind_is_told_by_the_name() {
        for (name, expected) in
            [("a.csv", "csv"), ("x.d/A.JSONL", "jsonl"), ("a.b/c", ""), ("csv", ""), (".ndjson", "ndjson")]
        {
            assert_eq!(extension(name), expected, "{name}");
        }
    }
}
