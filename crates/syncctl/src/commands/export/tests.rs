//! The texts of both formats, from batches as stores give them.

use std::sync::Arc;

use entities::{Cell, RecordBatch, Span};
use store::ColumnRow;

use super::{csv, jsonl, target};
use crate::cli::ExportFormat;

fn batch() -> RecordBatch {
    let mut batch = RecordBatch {
        columns: Arc::new(["_task", "a", "b \"q\"", "c"].map(Arc::from).into()),
        rows: 4,
        ..RecordBatch::default()
    };
    let mut text = |value: &str| {
        let start = batch.text.len() as u32;
        batch.text.push_str(value);
        Span { start, len: value.len() as u32 }
    };
    let cells = vec![
        Cell::Int(1),
        Cell::Int(i64::MIN),
        Cell::Text(text("x,\"y\"\r\nz")),
        Cell::Json(text("{\"k\": [1,\n 1.10]}")),
        Cell::Int(2),
        Cell::Number(text("100000000000000000000.10")),
        Cell::Text(text("")),
        Cell::Null,
        Cell::Int(3),
        Cell::Float(0.1),
        Cell::Null,
        Cell::Bool(true),
        Cell::Int(4),
        Cell::Number(text("no number")),
        Cell::Text(text("日本 \u{1F600}")),
        Cell::Json(text("[")),
    ];
    batch.cells = cells;
    batch
}

fn column(name: &str) -> ColumnRow {
    ColumnRow { name: name.to_owned(), source: None, kind: "text".to_owned() }
}

#[test]
fn lines() {
    let mut out = Vec::new();
    jsonl::rows(&batch(), false, &mut out);
    let expected = r#"{"a":-9223372036854775808,"b \"q\"":"x,\"y\"\r\nz","c":{"k":[1,1.10]},"_task":1}
{"a":100000000000000000000.10,"b \"q\"":"","_task":2}
{"a":0.1,"c":true,"_task":3}
{"a":"no number","b \"q\"":"日本 😀","c":"[","_task":4}
"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let mut out = Vec::new();
    jsonl::rows(&batch(), true, &mut out);
    assert!(!String::from_utf8(out).unwrap().contains("_task"));
}

#[test]
fn commas() {
    let mut out = Vec::new();
    let columns = [column("a"), column("b \"q\""), column("not there"), column("c"), column("_task")];
    csv::header(&columns, &mut out);
    csv::rows(&batch(), &columns, &mut out);
    let expected = "a,\"b \"\"q\"\"\",not there,c,_task\r\n\
        -9223372036854775808,\"x,\"\"y\"\"\r\nz\",,\"{\"\"k\"\": [1,\n 1.10]}\",1\r\n\
        100000000000000000000.10,\"\",,,2\r\n\
        0.1,,,true,3\r\n\
        no number,日本 😀,,[,4\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn names_of_files() {
    for (table, expected) in [
        ("bars", "bars.csv"),
        ("a/b c", "a%2Fb%20c.csv"),
        ("..", "%2E..csv"),
        (".x", "%2Ex.csv"),
        ("日", "%E6%97%A5.csv"),
    ] {
        assert_eq!(target::file_name(table, ExportFormat::Csv), expected);
    }
}
