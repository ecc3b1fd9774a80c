//! What is in a store and its ledger, read as a stranger would: SQLite from a copy of its file, files from the
//! directory, PostgreSQL by psql. None of the product's code reads here, and nothing is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value};

use super::parquet;
use super::site::{Kind, Site};
use super::workload::TABLES;

/// A store as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    /// The visible rows of each table, in the store's order.
    pub(crate) tables: BTreeMap<String, Vec<Map<String, Value>>>,
    /// The ledger's requests.
    pub(crate) requests: Vec<Request>,
    /// The states of its runs, in their order.
    pub(crate) runs: Vec<String>,
    /// Files and tables that nobody wants any more when a run is complete.
    pub(crate) leftovers: Vec<String>,
    /// Damage of the store itself.
    pub(crate) damage: Vec<String>,
}

/// A row of `_sync_tasks`.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: i64,
    /// Of which run it is, counted from 1.
    pub(crate) nth_run: u64,
    pub(crate) task: String,
    pub(crate) state: String,
    pub(crate) rows: i64,
}

const REQUESTS: &str = "SELECT t.id, t.run, s.name, t.state, coalesce(t.rows, 0) AS rows FROM _sync_tasks t
    JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec ORDER BY t.id";

/// Reads the store of a place; a store that is not there yet is empty.
pub(crate) fn read(site: &Site) -> Result<Content> {
    let mut content = match site.kind {
        Kind::Sqlite => sqlite(&Copy::of(&site.store(), &site.beside("copy"))?, Rows::Read)?,
        Kind::Postgres => postgres(site)?,
        Kind::Jsonl | Kind::Parquet => files(site)?,
    };
    let temporary = site.directory.join("tmp");
    for path in below(&temporary)? {
        content.leftovers.push(format!("tmp/{}", shown(&path, &temporary)));
    }
    Ok(content)
}

/// A SQLite file, copied with its log, so that looking does not disturb what is looked at.
struct Copy(Option<Connection>);

impl Copy {
    fn of(store: &Path, copy: &Path) -> Result<Copy> {
        let with = |path: &Path, suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        // The index of the log (`-shm`) is not copied: it is rebuilt, as after a power cut.
        for suffix in ["", "-wal", "-shm"] {
            let to = with(copy, suffix);
            if to.exists() {
                fs::remove_file(to)?;
            }
        }
        if !store.exists() || fs::metadata(store)?.len() == 0 {
            return Ok(Copy(None));
        }
        for suffix in ["", "-wal"] {
            if with(store, suffix).exists() {
                fs::copy(with(store, suffix), with(copy, suffix))?;
            }
        }
        Ok(Copy(Some(Connection::open(copy)?)))
    }
}

/// Reads the ledger beside its writer, by the index that they share: just what is committed, and thereby synced. Not
/// of PostgreSQL.
pub(crate) fn live(site: &Site) -> Result<Content> {
    let path = if site.kind.is_files() { site.store().join("_sync.db") } else { site.store() };
    // Read only, so that closing it writes nothing.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    sqlite(&Copy(Some(connection)), Rows::Elsewhere)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Read,
    /// The tables are elsewhere.
    Elsewhere,
}

fn sqlite(copy: &Copy, rows: Rows) -> Result<Content> {
    let mut content = Content::default();
    let Some(db) = &copy.0 else { return Ok(content) };
    for line in select(db, "PRAGMA integrity_check")? {
        let line = line.get("integrity_check").and_then(Value::as_str).unwrap_or_default().to_owned();
        if line != "ok" {
            content.damage.push(format!("integrity_check: {line}"));
        }
    }
    let names: Vec<String> = select(db, "SELECT name FROM sqlite_schema WHERE type = 'table'")?
        .iter()
        .filter_map(|row| Some(row.get("name")?.as_str()?.to_owned()))
        .collect();
    let has = |name: &str| names.iter().any(|there| there == name);
    if has("_sync_tasks") {
        content.runs = select(db, "SELECT state FROM _sync_runs ORDER BY id")?
            .iter()
            .filter_map(|row| Some(row.get("state")?.as_str()?.to_owned()))
            .collect();
        content.requests = requests(select(db, REQUESTS)?);
    }
    let staging = names.iter().filter(|name| name.starts_with("_sync_stage") || *name == "_sync_rebuild");
    content.leftovers.extend(staging.cloned());
    if rows == Rows::Read {
        for (table, _) in TABLES.iter().filter(|(table, _)| has(table)) {
            let found = select(db, &format!("SELECT * FROM \"{table}\" ORDER BY rowid"))?;
            content.tables.insert((*table).to_owned(), found);
        }
    }
    Ok(content)
}

fn select(db: &Connection, sql: &str) -> Result<Vec<Map<String, Value>>> {
    let mut statement = db.prepare(sql).with_context(|| format!("cannot ask {sql}"))?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let mut record = Map::new();
        for (at, name) in names.iter().enumerate() {
            let value = match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into(),
            };
            record.insert(name.clone(), value);
        }
        out.push(record);
    }
    Ok(out)
}

/// Requests of the ledger's rows, the runs counted from 1.
fn requests(rows: Vec<Map<String, Value>>) -> Vec<Request> {
    let number = |row: &Map<String, Value>, name: &str| row.get(name).and_then(Value::as_i64).unwrap_or(0);
    let text = |row: &Map<String, Value>, name: &str| {
        row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut runs: Vec<i64> = rows.iter().map(|row| number(row, "run")).collect();
    runs.sort_unstable();
    runs.dedup();
    rows.iter()
        .map(|row| Request {
            id: number(row, "id"),
            nth_run: runs.partition_point(|run| *run < number(row, "run")) as u64 + 1,
            task: text(row, "name"),
            state: text(row, "state"),
            rows: number(row, "rows"),
        })
        .collect()
}

fn files(site: &Site) -> Result<Content> {
    let directory = site.store();
    let mut content = sqlite(&Copy::of(&directory.join("_sync.db"), &site.beside("copy"))?, Rows::Elsewhere)?;
    // Rows that wait to be published are the ledger's own business; staging is looked for all the same.
    let extension = site.kind.name();
    for path in below(&directory)? {
        let name = shown(&path, &directory);
        let parts: Vec<&str> = name.split('/').collect();
        let table = parts.first().copied().unwrap_or_default();
        let hidden = parts.iter().any(|part| part.starts_with('.'));
        if hidden || (parts.len() > 1 && !name.ends_with(&format!(".{extension}"))) {
            content.leftovers.push(name);
        } else if parts.len() > 1 {
            let rows = match site.kind {
                Kind::Parquet => parquet::read(&path),
                _ => json_lines(&fs::read_to_string(&path)?),
            };
            match rows {
                Ok(rows) => content.tables.entry(table.to_owned()).or_default().extend(rows),
                Err(error) => content.damage.push(format!("{name}: {error:#}")),
            }
        } else if !name.starts_with("_sync.db") {
            content.leftovers.push(name);
        }
    }
    Ok(content)
}

fn json_lines(text: &str) -> Result<Vec<Map<String, Value>>> {
    ensure!(text.is_empty() || text.ends_with('\n'), "its last line is not whole");
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))).collect()
}

fn postgres(site: &Site) -> Result<Content> {
    let database = site.database()?;
    let schema = site.schema();
    let names = database.query(&format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}' ORDER BY 1"
    ))?;
    let names: Vec<&str> = names.lines().collect();
    let mut content = Content::default();
    // One transaction: one state of the store.
    let mut asked = vec![format!("SET search_path = \"{schema}\"")];
    let mut parts: Vec<&str> = Vec::new();
    let mut ask = |part: &'static str, sql: String| {
        parts.push(part);
        asked.push(format!("SELECT '{part}' || ' ' || row_to_json(r)::text FROM ({sql}) r"));
    };
    if names.contains(&"_sync_tasks") {
        ask("_sync_runs", "SELECT state FROM _sync_runs ORDER BY id".to_owned());
        ask("_sync_tasks", REQUESTS.to_owned());
    }
    for (table, _) in TABLES.iter().filter(|(table, _)| names.contains(table)) {
        ask(table, format!("SELECT * FROM \"{table}\" ORDER BY _task, ctid"));
    }
    let mut tasks = Vec::new();
    for (table, _) in TABLES.iter().filter(|(table, _)| names.contains(table)) {
        content.tables.insert((*table).to_owned(), Vec::new());
    }
    for line in database.query(&asked.join(";\n"))?.lines() {
        let Some((part, row)) = line.split_once(' ') else { continue };
        let row: Map<String, Value> = serde_json::from_str(row).with_context(|| format!("no JSON: {row}"))?;
        match part {
            "_sync_runs" => content.runs.extend(row.get("state").and_then(Value::as_str).map(str::to_owned)),
            "_sync_tasks" => tasks.push(row),
            table => content.tables.entry(table.to_owned()).or_default().push(row),
        }
    }
    content.requests = requests(tasks);
    content
        .leftovers
        .extend(names.iter().filter(|name| name.starts_with("_sync_stage")).map(|name| (*name).to_owned()));
    Ok(content)
}

/// The files below a directory, by name; of one that is not there, none.
fn below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if directory.is_dir() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() { found.extend(below(&path)?) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

fn shown(path: &Path, directory: &Path) -> String {
    path.strip_prefix(directory).unwrap_or(path).display().to_string()
}
