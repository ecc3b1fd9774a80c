//! How an answer is read: `records`, `columns`, `map`, `where`, `fields`.

use entities::Reading;

use crate::reader::Section;

/// Reads the keys of a task that say how its answers are read.
pub(crate) fn reading(section: &mut Section<'_>) -> Reading {
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
    if let Some(item) = section.take("decode")
        && let Some(text) = item.string()
    {
        match text {
            "auto" | "json" => {}
            "jsonl" | "csv" | "xml" | "text" => {
                item.not_built(&format!("decode = \"{text}\""), Some("only JSON is read so far"));
            }
            other => item.wrong(
                "unknown-decode",
                format!("`{other}` is not a way to decode an answer"),
                "unknown",
                "use decode = \"auto\" or \"json\"",
            ),
        }
    }
    Reading { records, columns, map, filter, fields, ..Reading::default() }
}

/// A column of a table that the plan names itself.
pub(crate) fn check_column(item: &crate::item::Item<'_>, name: &str, span: std::ops::Range<usize>) {
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
