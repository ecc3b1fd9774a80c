//! Many tables of a plan at once, a table of very many columns, and a schema that changes on every page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use serde_json::{Map, Value, json};
use store_testing::canonical;

use super::generated::{Generated, parameter};
use super::ground::{Ground, Kind, assert_rows, rows_of};

const HEAD: &str = "[plan]\nname = \"wide\"\n[store]\nsqlite = \"wide.db\"\n\
                    [endpoints.api]\nbase_url = \"BASE\"\nlimits = []\nconcurrency = 8\n";

/// `[tasks.…]` behind the head, against a server.
fn plan(server: &Generated, tasks: &str) -> String {
    format!("{}{tasks}", HEAD.replace("BASE", server.url()))
}

fn canonical_rows(records: impl Iterator<Item = Value>) -> Vec<BTreeMap<String, String>> {
    let fields = |record: Value| match record {
        Value::Object(fields) => {
            fields.into_iter().filter_map(|(name, value)| Some((name, canonical(&value)?))).collect()
        }
        other => panic!("{other}"),
    };
    let mut rows: Vec<BTreeMap<String, String>> = records.map(fields).collect();
    rows.sort();
    rows
}

fn write_all(records: impl Iterator<Item = Value>, out: &mut dyn io::Write) -> io::Result<()> {
    out.write_all(b"[")?;
    for (at, record) in records.enumerate() {
        write!(out, "{}{record}", if at == 0 { "" } else { "," })?;
    }
    out.write_all(b"]")
}

#[test]
fn fifty_tables_at_once() {
    const PAGES: u64 = 4;
    let records = |table: u64, page: u64| {
        (0..50).map(
            move |n| json!({"id": page * 50 + n, "table": table, "price": 0.25, "name": format!("n {n}")}),
        )
    };
    let server = Generated::start(move |path, out| {
        let (table, page) = (parameter(path, "table"), parameter(path, "page"));
        if page > PAGES { write_all(std::iter::empty(), out) } else { write_all(records(table, page), out) }
    });
    let tasks = (0..50).fold(String::new(), |mut tasks, n| {
        let writing = match n % 3 {
            0 => "mode = \"append\"",
            1 => "key = [\"id\"]",
            _ => "mode = \"replace\"",
        };
        let _ = write!(
            tasks,
            "[tasks.t{n}]\nget = \"/\"\nquery = {{ table = {n} }}\npaginate = {{ by = \"page\" }}\n{writing}\n"
        );
        tasks
    });
    for kind in Kind::all() {
        let ground = Ground::new(kind);
        ground.write(&plan(&server, &tasks));
        ground.run();
        for n in 0..50 {
            let wanted = canonical_rows((1..=PAGES).flat_map(|page| records(n, page)));
            assert_rows(&format!("{kind:?} t{n}"), &rows_of(&ground.table(&format!("t{n}"))), &wanted);
        }
    }
}

fn wide_record(id: u64) -> Value {
    let mut record = Map::new();
    record.insert("id".to_owned(), json!(id));
    for n in 0..1_500_u64 {
        let value = match n % 4 {
            0 => json!(id * 1_000_000_000_000 + n),
            1 => json!(0.5 + n as f64),
            2 => json!(format!("text {n} of {id}")),
            _ if id.is_multiple_of(2) => Value::Null,
            _ => json!(n % 8 == 3),
        };
        record.insert(format!("column_{n}"), value);
    }
    Value::Object(record)
}

#[test]
fn a_table_with_fifteen_hundred_columns() {
    let server = Generated::start(|_, out| write_all((0..40).map(wide_record), out));
    for writing in ["mode = \"append\"", "key = [\"id\"]"] {
        for kind in Kind::all() {
            let ground = Ground::new(kind);
            ground.write(&plan(&server, &format!("[tasks.wide]\nget = \"/\"\n{writing}\n")));
            ground.run();
            let wanted = canonical_rows((0..40).map(wide_record));
            assert_rows(&format!("{kind:?} {writing}"), &rows_of(&ground.table("wide")), &wanted);
        }
    }
}

/// A field of its own on each page, and one whose type widens as far as types do.
fn changing(page: u64) -> impl Iterator<Item = Value> {
    let v = match page {
        1 => json!(null),
        2..8 => json!(page),
        8..16 => json!(page as f64 + 0.5),
        16..24 => serde_json::from_str(&format!("12345678901234567890{page}.5")).unwrap(),
        24..30 => json!(format!("text {page}")),
        _ => json!({"nested": [page]}),
    };
    (0..5_u64)
        .map(move |n| json!({"id": page * 10 + n, "v": v, (format!("only_{page}")): n, "name": "x\"\\é"}))
}

#[test]
fn a_schema_that_changes_on_every_page() {
    const PAGES: u64 = 40;
    let server = Generated::start(|path, out| {
        let page = parameter(path, "page");
        if page > PAGES { write_all(std::iter::empty(), out) } else { write_all(changing(page), out) }
    });
    for writing in ["mode = \"append\"", "key = [\"id\"]", "mode = \"replace\""] {
        for kind in Kind::all() {
            let ground = Ground::new(kind);
            let task = format!("[tasks.changing]\nget = \"/\"\npaginate = {{ by = \"page\" }}\n{writing}\n");
            ground.write(&plan(&server, &task));
            ground.run();
            let wanted = canonical_rows((1..=PAGES).flat_map(changing));
            assert_rows(&format!("{kind:?} {writing}"), &rows_of(&ground.table("changing")), &wanted);
        }
    }
}
