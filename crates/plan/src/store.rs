//! `[store]`: where records land.

use std::ops::Range;
use std::path::PathBuf;

use entities::{FilesTarget, Place, PostgresTarget, SourceText, StoreTarget};
use toml::de::DeTable;

use crate::connection;
use crate::endpoint::size;
use crate::findings::Findings;
use crate::held::is_mask;
use crate::item::Item;

/// The kinds of stores, as the plan calls them.
pub(crate) const KINDS: [&str; 4] = ["sqlite", "postgres", "jsonl", "parquet"];

/// `schema` of a store that does not say.
const SCHEMA: &str = "public";
/// `roll` of a store that does not say.
const ROLL: u64 = 256 << 20;
/// What a file may be rolled at: smaller ones are too many, larger ones are never read whole.
const LEAST_ROLL: u64 = 1 << 20;
const MOST_ROLL: u64 = 1 << 40;

/// Reads `[store]`; without one, or an empty one, it is `<plan name>.db`.
pub(crate) fn store(item: Option<&Item<'_>>, plan: &str) -> StoreTarget {
    let default = || StoreTarget::Sqlite(PathBuf::from(format!("{plan}.db")));
    let Some(mut section) = item.and_then(|item| item.section("[store]")) else { return default() };
    let said = KINDS.map(|kind| section.take(kind).map(|item| (kind, item)));
    let (schema, roll) = (section.take("schema"), section.take("roll"));
    let misspelt = section.finish() > 0;
    let mut said: Vec<(&str, Item<'_>)> = said.into_iter().flatten().collect();
    said.sort_by_key(|(_, item)| item.key_span.start);
    for (kind, item) in said.iter().skip(1) {
        let (first, at) = &said[0];
        item.findings.push(
            item.findings
                .error(
                    "two-stores",
                    item.key_span.clone(),
                    format!("[store] says both `{first}` and `{kind}`, but a plan has one store"),
                )
                .label("a second store")
                .also(item.findings.place(at.key_span.clone()), "the first")
                .help("keep one of them; a second plan may keep a copy elsewhere"),
        );
    }
    let kind = said.first().map(|(kind, _)| *kind);
    // Whoever misspelt the kind did say it.
    if !misspelt && said.len() < 2 {
        if let Some(item) = schema.as_ref().filter(|_| kind != Some("postgres")) {
            out_of_place(item, kind, "postgres = \"{{ secrets.url }}\"", "`postgres`");
        }
        if let Some(item) = roll.as_ref().filter(|_| !matches!(kind, Some("jsonl" | "parquet"))) {
            out_of_place(item, kind, "jsonl = \"out/\" or parquet = \"out/\"", "`jsonl` and `parquet`");
        }
    }
    let schema = schema.and_then(|item| schema_of(&item)).unwrap_or_else(|| SCHEMA.to_owned());
    let roll = roll.and_then(|item| roll_of(&item)).unwrap_or(ROLL);
    let mut targets = said.iter().filter_map(|(kind, item)| {
        Some(match *kind {
            "postgres" => StoreTarget::Postgres(postgres(item, &schema)?),
            "jsonl" => StoreTarget::Jsonl(FilesTarget { directory: path(item, "directory", "out/")?, roll }),
            "parquet" => {
                StoreTarget::Parquet(FilesTarget { directory: path(item, "directory", "out/")?, roll })
            }
            _ => StoreTarget::Sqlite(path(item, "file", "data.db")?),
        })
    });
    let first = targets.next();
    // All that is wrong is told, not what is wrong with the first.
    targets.for_each(drop);
    first.unwrap_or_else(default)
}

/// Where `[store]` says its kind, or the plan's name, from which a store's is made.
pub fn store_place(source: &SourceText) -> Place {
    let span = DeTable::parse(&source.text).ok().and_then(|table| {
        let value = |section: &str, key: &str| {
            let section = table.get_ref().get(section)?.get_ref().as_table()?;
            Some(section.get(key)?.span())
        };
        KINDS.iter().find_map(|kind| value("store", kind)).or_else(|| value("plan", "name"))
    });
    let place = |span: Range<usize>| {
        let text = SourceText { name: source.name.clone(), text: source.text.clone() };
        Findings::new(text.into()).place(span)
    };
    span.map_or(Place::default(), place)
}

/// A key that another kind of store has.
fn out_of_place(item: &Item<'_>, kind: Option<&str>, example: &str, whose: &str) {
    let store = match kind {
        None => "the store is a SQLite file".to_owned(),
        Some(kind) => format!("the store is `{kind}`"),
    };
    item.findings.push(
        item.findings
            .error(
                "wrong-store-key",
                item.key_span.clone(),
                format!("{} goes with {whose}, and {store}", item.what),
            )
            .label("not of this kind of store")
            .help(format!("remove it, or write {example}")),
    );
}

/// A file or a directory: text as it is.
fn path(item: &Item<'_>, what: &str, example: &str) -> Option<PathBuf> {
    let path = item.string()?;
    is_plain(item, path, &format!("{what} name"), example).then(|| PathBuf::from(path))
}

/// Whether a text that is no template is one, and is there.
fn is_plain(item: &Item<'_>, text: &str, noun: &str, example: &str) -> bool {
    let what = &item.what;
    if text.trim().is_empty() {
        let key = what.split('`').nth(1).unwrap_or_default();
        item.wrong(
            "empty",
            format!("{what} is empty"),
            &format!("expected a {noun}"),
            format!("write one: {key} = \"{example}\""),
        );
    } else if text.contains("{{") || text.contains("{%") {
        item.wrong(
            "template-not-here",
            format!("{what} is a plain {noun}, not a template"),
            "would not be evaluated",
            format!("write the {noun} itself"),
        );
    } else if text.contains('\0') {
        item.wrong("bad-path", format!("{what} holds a NUL character"), "", "remove it");
    } else {
        return true;
    }
    false
}

fn postgres(item: &Item<'_>, schema: &str) -> Option<PostgresTarget> {
    let url = item.template()?;
    let text = &url.source;
    let example =
        "write postgres = \"{{ secrets.url }}\", and declare url = { env = \"DATABASE_URL\" } in [secrets]";
    if text.trim().is_empty() {
        item.wrong("empty", format!("{} is empty", item.what), "expected a connection string", example);
        return None;
    }
    // Told already.
    if is_mask(text) {
        return None;
    }
    // What a template makes is seen when the store is opened. No message quotes the text: it may hold a password.
    let is_template = text.contains("{{") || text.contains("{%");
    let why = match connection::words(text) {
        _ if is_template => None,
        _ if text.contains('\0') => Some("holds a NUL character"),
        None => Some("is neither a URL nor a list of NAME=VALUE"),
        Some(words) if words.is_empty() => Some("names no server and no database"),
        Some(_) => None,
    };
    if let Some(why) = why {
        let help = format!("write \"postgres://USER@HOST:5432/DATABASE\"; or {}", example);
        item.wrong("bad-url", format!("{} {why}", item.what), "not a connection string", help);
        return None;
    }
    Some(PostgresTarget { url, schema: schema.to_owned() })
}

/// The name of a schema. It is quoted in SQL, so that upper and lower case differ.
fn schema_of(item: &Item<'_>) -> Option<String> {
    /// Bytes of a name in PostgreSQL (`NAMEDATALEN - 1`): it cuts longer ones.
    const LONGEST: usize = 63;
    let name = item.string()?;
    if !is_plain(item, name, "name", SCHEMA) {
        return None;
    }
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| c.is_ascii_alphanumeric() || "_$-".contains(c);
    let lower = name.to_ascii_lowercase();
    let (message, help) = if name.len() > LONGEST {
        (format!("{} has {} bytes, and PostgreSQL keeps {LONGEST}", item.what, name.len()), "shorten it")
    } else if lower.starts_with("pg_") || lower == "information_schema" {
        (format!("`{name}` cannot be the schema: such names belong to PostgreSQL"), "choose another name")
    } else if !(name.starts_with(first) && name.chars().all(rest)) {
        (
            format!("`{name}` cannot be the name of a schema"),
            "begin it with a letter or `_`, and go on with letters, digits, `_`, `$` and `-`",
        )
    } else {
        return Some(name.to_owned());
    };
    item.wrong("bad-schema", message, "not a name for a schema", help);
    None
}

fn roll_of(item: &Item<'_>) -> Option<u64> {
    let bytes = size(item)?;
    let (which, label, help) = if bytes < LEAST_ROLL {
        ("at least 1MiB", "too small", "write \"1MiB\" or more; \"256MiB\" is the default")
    } else if bytes > MOST_ROLL {
        ("at most 1024GiB", "too large", "write \"1024GiB\" or less; \"256MiB\" is the default")
    } else {
        return Some(bytes);
    };
    item.wrong("out-of-range", format!("{} must be {which}", item.what), label, help);
    None
}
