//! What a SQLite file holds, whoever writes it at the moment.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::kind::Contents;

/// The rows of a table, in their order; none: there is no such table.
pub fn table_of(path: &Path, table: &str) -> Option<Contents> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags).ok()?;
    let declared: Vec<(String, String)> = file
        .prepare("SELECT name, type FROM pragma_table_info(?1)")
        .unwrap()
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    if declared.is_empty() {
        return None;
    }
    let quoted = format!("\"{}\"", table.replace('"', "\"\""));
    let mut statement = file.prepare(&format!("SELECT * FROM {quoted}")).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let cells =
            declared.iter().enumerate().map(|(at, (_, kind))| value_of(row.get_ref(at).unwrap(), kind));
        found.push(cells.collect());
    }
    Some(Contents { columns: declared.into_iter().map(|(name, _)| name).collect(), rows: found })
}

/// The names of its tables.
pub fn tables_of(path: &Path) -> Vec<String> {
    let file = Connection::open(path).unwrap();
    let mut statement = file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn value_of(held: ValueRef<'_>, declared: &str) -> Value {
    match held {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(held) if declared.starts_with("BOOL") => Value::Bool(held != 0),
        ValueRef::Integer(held) => Value::from(held),
        ValueRef::Real(held) => Value::from(held),
        ValueRef::Text(held) => Value::from(String::from_utf8_lossy(held)),
        ValueRef::Blob(held) => Value::from(format!("{held:?}")),
    }
}
