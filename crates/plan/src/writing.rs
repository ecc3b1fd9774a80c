//! Where records of a task go: `table`, `key`, `mode`, `partition`, `types`, `schema`, `text`.

use entities::{ColumnType, Deleted, Mode, SchemaPolicy, TextPolicy};

use crate::item::Item;
use crate::reader::{Section, suggest_or_list};
use crate::reading::check_column;

/// What a task says about writing.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) table: String,
    pub(crate) key: Vec<String>,
    pub(crate) mode: Mode,
    pub(crate) partition: Option<String>,
    pub(crate) types: Vec<(String, ColumnType)>,
    pub(crate) schema: SchemaPolicy,
    pub(crate) text: TextPolicy,
}

/// Reads the keys of the task called `name` that say where its records go.
pub(crate) fn writing(section: &mut Section<'_>, name: &str, has_cursor: bool) -> Writing {
    let table = section.take("table").and_then(|item| table(&item)).unwrap_or_else(|| name.to_owned());
    let key_item = section.take("key");
    let key = key_item.as_ref().map(key).unwrap_or_default();
    let default = match (key_item.is_some(), has_cursor) {
        (true, _) => Mode::Merge,
        (false, true) => Mode::Append,
        (false, false) => Mode::Replace,
    };
    let mode_item = section.take("mode");
    let deleted_item = section.take("deleted");
    let deleted_value = deleted_item.as_ref().and_then(deleted).unwrap_or(Deleted::Remove);
    let mode = match &mode_item {
        Some(item) => mode(item, key_item.is_some(), deleted_value).unwrap_or(default),
        None => default,
    };
    // A mode that could not be read may have been meant to be mirror.
    let readable = mode_item.as_ref().is_none_or(|item| mode_name(item).is_some());
    if let Some(item) = &deleted_item
        && readable
        && !matches!(mode, Mode::Mirror(_))
    {
        item.findings.push(
            item.findings
                .error(
                    "deleted-without-mirror",
                    item.key_span.clone(),
                    format!("`deleted` goes with mode = \"mirror\", and the mode is \"{}\"", mode.as_str()),
                )
                .label("nothing is ever deleted")
                .help("add mode = \"mirror\", or remove `deleted`"),
        );
    }
    Writing {
        table,
        key,
        mode,
        partition: section.take("partition").and_then(|item| item.string().map(str::to_owned)),
        types: section.take("types").map(|item| types(&item)).unwrap_or_default(),
        schema: section.take("schema").and_then(|item| schema(&item)).unwrap_or_default(),
        text: section.take("text").and_then(|item| text(&item)).unwrap_or_default(),
    }
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
        if let Some(other) = key.iter().find(|other| other.eq_ignore_ascii_case(name)) {
            let (message, label) = if other == name {
                (format!("`{name}` is in the key twice"), "again")
            } else {
                (format!("`{other}` and `{name}` are the same column in SQL"), "differs only in case")
            };
            column.wrong("key-twice", message, label, "remove one of them");
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

const MODES: [&str; 4] = ["append", "merge", "replace", "mirror"];

fn mode_name(item: &Item<'_>) -> Option<&'static str> {
    let text = item.get().as_str()?;
    MODES.into_iter().find(|mode| *mode == text)
}

fn mode(item: &Item<'_>, has_key: bool, deleted: Deleted) -> Option<Mode> {
    let needs_key = |message: &str, help: &str| {
        if !has_key {
            item.wrong("merge-without-key", message, "needs a key", help);
        }
    };
    match item.string()? {
        "append" => Some(Mode::Append),
        "replace" => Some(Mode::Replace),
        "merge" => {
            needs_key(
                "mode = \"merge\" needs a `key`: which row would a record replace?",
                "add key = [\"id\"], or use \"append\" or \"replace\"",
            );
            Some(Mode::Merge)
        }
        "mirror" => {
            needs_key(
                "mode = \"mirror\" needs a `key`: which rows did the source not return?",
                "add key = [\"id\"], or use \"replace\"",
            );
            Some(Mode::Mirror(deleted))
        }
        other => {
            item.wrong(
                "unknown-mode",
                format!("`{other}` is not a mode"),
                "unknown mode",
                match other {
                    "upsert" => "did you mean `merge`?".to_owned(),
                    "overwrite" | "truncate" => "did you mean `replace`?".to_owned(),
                    "insert" => "did you mean `append`?".to_owned(),
                    "sync" => "did you mean `mirror`?".to_owned(),
                    _ => suggest_or_list(other, MODES.into_iter(), "modes"),
                },
            );
            None
        }
    }
}

fn deleted(item: &Item<'_>) -> Option<Deleted> {
    match item.string()? {
        "remove" => Some(Deleted::Remove),
        "mark" => Some(Deleted::Mark),
        other => {
            item.wrong(
                "unknown-deleted",
                format!("`deleted` is \"remove\" or \"mark\", not `{other}`"),
                "unknown",
                match other {
                    "flag" | "soft" => "did you mean `mark`?".to_owned(),
                    "delete" | "hard" => "did you mean `remove`?".to_owned(),
                    _ => suggest_or_list(
                        other,
                        ["remove", "mark"].into_iter(),
                        "what can be done with such rows",
                    ),
                },
            );
            None
        }
    }
}

fn types(item: &Item<'_>) -> Vec<(String, ColumnType)> {
    let mut types: Vec<(String, ColumnType)> = Vec::new();
    for (name, item) in item.entries("types = { close = \"decimal\" }").unwrap_or_default() {
        check_column(&item, name, item.key_span.clone());
        if let Some((other, _)) = types.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            item.findings.push(
                item.findings
                    .error(
                        "type-twice",
                        item.key_span.clone(),
                        format!("`{other}` and `{name}` are the same column in SQL"),
                    )
                    .label("differs only in case")
                    .help("remove one of them"),
            );
        }
        types.extend(column_type(&item).map(|kind| (name.to_owned(), kind)));
    }
    types
}

fn column_type(item: &Item<'_>) -> Option<ColumnType> {
    const TYPES: [&str; 8] = ["bool", "int", "float", "decimal", "text", "timestamp", "date", "json"];
    Some(match item.string()? {
        "bool" => ColumnType::Bool,
        "int" => ColumnType::Int,
        "float" => ColumnType::Float,
        "decimal" => ColumnType::Decimal,
        "text" => ColumnType::Text,
        "timestamp" => ColumnType::Timestamp,
        "date" => ColumnType::Date,
        "json" => ColumnType::Json,
        other => {
            let lower = other.to_ascii_lowercase();
            item.wrong(
                "unknown-type",
                format!("`{other}` is not a type of a column"),
                "unknown type",
                match lower.as_str() {
                    "string" | "varchar" | "str" => "did you mean `text`?".to_owned(),
                    "integer" | "bigint" | "long" | "number" => {
                        "did you mean `int` (or `decimal`)?".to_owned()
                    }
                    "double" | "real" => "did you mean `float`?".to_owned(),
                    "numeric" | "money" => "did you mean `decimal`?".to_owned(),
                    "datetime" | "time" | "timestamptz" => "did you mean `timestamp`?".to_owned(),
                    "object" | "jsonb" | "array" => "did you mean `json`?".to_owned(),
                    _ => suggest_or_list(other, TYPES.into_iter(), "types"),
                },
            );
            return None;
        }
    })
}

fn schema(item: &Item<'_>) -> Option<SchemaPolicy> {
    match item.string()? {
        "evolve" => Some(SchemaPolicy::Evolve),
        "frozen" => Some(SchemaPolicy::Frozen),
        other => {
            item.wrong(
                "unknown-schema",
                format!("`{other}` is not a policy for new columns"),
                "unknown policy",
                match other {
                    "strict" | "fixed" => "did you mean `frozen`?".to_owned(),
                    _ => suggest_or_list(other, ["evolve", "frozen"].into_iter(), "policies"),
                },
            );
            None
        }
    }
}

fn text(item: &Item<'_>) -> Option<TextPolicy> {
    match item.string()? {
        "replace" => Some(TextPolicy::Replace),
        "fail" => Some(TextPolicy::Fail),
        other => {
            item.wrong(
                "unknown-text",
                format!("`{other}` is not a policy for text that a store cannot hold"),
                "unknown policy",
                suggest_or_list(other, ["replace", "fail"].into_iter(), "policies"),
            );
            None
        }
    }
}
