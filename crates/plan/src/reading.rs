//! How an answer is read: `decode`, `records`, `columns`, `map`, `where`, `fields`, `total`, `cap`.

use entities::{Decode, Reading};

use crate::item::Item;
use crate::reader::{Section, suggest_or_list};

/// Reads the keys of a task that say how its answers are read.
pub(crate) fn reading(section: &mut Section<'_>) -> Reading {
    let decode = section.take("decode").and_then(|item| decode(&item)).unwrap_or_default();
    let records = section.take("records").and_then(|item| item.jq());
    let columns = section.take("columns").and_then(|item| item.jq());
    let map = section.take("map").and_then(|item| item.jq());
    let filter = section.take("where").and_then(|item| item.jq());
    let fields = section
        .take("fields")
        .and_then(|item| item.entries("fields = { name = \"{{ symbol }}\" }"))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, item)| {
            check_column(&item, name, item.key_span.clone());
            Some((name.to_owned(), item.value_template()?))
        })
        .collect();
    let total = section.take("total").and_then(|item| item.jq());
    let cap = section
        .take("cap")
        .and_then(|item| item.integer_in(1, i64::MAX))
        .and_then(|cap| u64::try_from(cap).ok());
    Reading { decode, records, columns, map, filter, fields, total, cap }
}

fn decode(item: &Item<'_>) -> Option<Decode> {
    const WAYS: [&str; 6] = ["auto", "json", "jsonl", "csv", "xml", "text"];
    Some(match item.string()? {
        "auto" => Decode::Auto,
        "json" => Decode::Json,
        "jsonl" => Decode::Jsonl,
        "csv" => Decode::Csv,
        "xml" => Decode::Xml,
        "text" => Decode::Text,
        other => {
            item.wrong(
                "unknown-decode",
                format!("`{other}` is not a way to decode an answer"),
                "unknown",
                match other {
                    "ndjson" => "did you mean `jsonl`?".to_owned(),
                    "gzip" | "zip" => {
                        "remove it: compressed answers are unpacked, and what is in them is decoded"
                            .to_owned()
                    }
                    _ => suggest_or_list(other, WAYS.into_iter(), "ways"),
                },
            );
            return None;
        }
    })
}

/// A column of a table that the plan names itself.
pub(crate) fn check_column(item: &Item<'_>, name: &str, span: std::ops::Range<usize>) {
    let (message, help) = if name.is_empty() {
        ("a column needs a name".to_owned(), "name the column")
    } else if name.starts_with("_task") || name == "_more" || name == "_deleted_at" {
        (format!("column `{name}` is kept by syncctl itself"), "call it something else")
    } else if name.contains('\0') {
        ("a column's name cannot hold a NUL character".to_owned(), "remove it")
    } else {
        return;
    };
    item.findings.push(
        item.findings.error("bad-column", span, message).label("cannot be a column of yours").help(help),
    );
}
