//! Where records of a task go: `table`, `key`, `mode`, `cursor`.

use entities::{CursorSpec, Mode, TemplateText};
use toml::de::DeValue;

use crate::item::Item;
use crate::reader::{Section, suggest_or_list};
use crate::reading::check_column;

/// What a task says about writing.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) table: String,
    pub(crate) key: Vec<String>,
    pub(crate) mode: Mode,
    pub(crate) cursor: Option<CursorSpec>,
}

/// Reads the keys of the task called `name` that say where its records go.
pub(crate) fn writing(section: &mut Section<'_>, name: &str) -> Writing {
    let table = section.take("table").and_then(|item| table(&item)).unwrap_or_else(|| name.to_owned());
    let key_item = section.take("key");
    let key = key_item.as_ref().map(key).unwrap_or_default();
    let cursor = section.take("cursor").and_then(|item| cursor(&item));
    let default = match (key_item.is_some(), cursor.is_some()) {
        (true, _) => Mode::Merge,
        (false, true) => Mode::Append,
        (false, false) => Mode::Replace,
    };
    let mode = section.take("mode").and_then(|item| mode(&item, key_item.is_some())).unwrap_or(default);
    let stores = "remove it: types are inferred, and nothing is ever narrowed";
    section.not_built(&[
        ("deleted", "remove it; it goes with mode = \"mirror\""),
        ("types", stores),
        ("schema", stores),
        ("text", "remove it"),
    ]);
    Writing { table, key, mode, cursor }
}

fn table(item: &Item<'_>) -> Option<String> {
    let name = item.string()?;
    check_table(item, name, item.span()).then(|| name.to_owned())
}

/// Whether a table may be called so; says why not.
pub(crate) fn check_table(item: &Item<'_>, name: &str, span: std::ops::Range<usize>) -> bool {
    let lower = name.to_ascii_lowercase();
    let (message, help) = if lower.starts_with("_sync_") || lower.starts_with("sqlite_") {
        (
            format!("a table cannot be called `{name}`: such names belong to the ledger and to SQLite"),
            "choose another name",
        )
    } else if name.is_empty()
        || name.len() > 63
        || name.starts_with(['.', '-'])
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    {
        (format!("a table cannot be called `{name}`"), "use up to 63 letters, digits, `_`, `-` and `.`")
    } else {
        return true;
    };
    item.findings
        .push(item.findings.error("bad-table", span, message).label("not a table's name").help(help));
    false
}

fn key(item: &Item<'_>) -> Vec<String> {
    let Some(columns) = item.strings() else { return Vec::new() };
    let mut key: Vec<String> = Vec::new();
    for (name, column) in columns {
        check_column(&column, name, column.span());
        if key.iter().any(|other| other == name) {
            column.wrong("key-twice", format!("`{name}` is in the key twice"), "again", "remove one of them");
            continue;
        }
        key.push(name.to_owned());
    }
    if item.get().as_array().is_some_and(|columns| columns.is_empty()) {
        item.wrong(
            "empty",
            format!("{} is empty", item.what),
            "no column",
            "name the columns that identify a record: key = [\"id\"]",
        );
    }
    key
}

fn mode(item: &Item<'_>, has_key: bool) -> Option<Mode> {
    match item.string()? {
        "append" => Some(Mode::Append),
        "replace" => Some(Mode::Replace),
        "merge" => {
            if !has_key {
                item.wrong(
                    "merge-without-key",
                    "mode = \"merge\" needs a `key`: which row would a record replace?",
                    "needs a key",
                    "add key = [\"id\"], or use \"append\" or \"replace\"",
                );
            }
            Some(Mode::Merge)
        }
        "mirror" => {
            item.not_built(
                "mode = \"mirror\"",
                Some("use \"merge\" (keeps what the source deleted) or \"replace\""),
            );
            None
        }
        other => {
            let modes = ["append", "merge", "replace"];
            item.wrong(
                "unknown-mode",
                format!("`{other}` is not a mode"),
                "unknown mode",
                match other {
                    "upsert" => "did you mean `merge`?".to_owned(),
                    "overwrite" | "truncate" => "did you mean `replace`?".to_owned(),
                    "insert" => "did you mean `append`?".to_owned(),
                    _ => suggest_or_list(other, modes.into_iter(), "modes"),
                },
            );
            None
        }
    }
}

fn cursor(item: &Item<'_>) -> Option<CursorSpec> {
    let mut section =
        item.section("cursor = { field = \"updated_at\", start = \"2024-01-01T00:00:00Z\" }")?;
    let field = section.need("field", "\"updated_at\"");
    let start = section.need("start", "\"2024-01-01T00:00:00Z\"");
    section.not_built(&[("lookback", "remove it"), ("granularity", "remove it")]);
    section.finish();
    let field = field.as_ref().and_then(cursor_field).unwrap_or_default();
    let at = start.as_ref().map_or(item.span(), Item::span);
    let start = start.as_ref().and_then(cursor_start).unwrap_or_default();
    // A broken cursor is still one: that it is missing would be a second, false error.
    Some(CursorSpec {
        field,
        start: TemplateText { source: start.into(), at: item.findings.place(at) },
        lookback: None,
        granularity: None,
        at: item.findings.place(item.key_span.clone()),
    })
}

fn cursor_field(item: &Item<'_>) -> Option<String> {
    let field = item.string()?;
    if field.is_empty() || field.starts_with('.') {
        item.wrong(
            "bad-cursor",
            format!("`{field}` is not the name of a field"),
            "expected a field of the final record",
            format!("write the name alone: \"{}\"", field.trim_start_matches('.')),
        );
        return None;
    }
    Some(field.to_owned())
}

/// A number becomes its text: that is what a request sends.
fn cursor_start(item: &Item<'_>) -> Option<String> {
    match item.get() {
        DeValue::Integer(_) => item.integer().map(|start| start.to_string()),
        _ => item.date_text(),
    }
}
