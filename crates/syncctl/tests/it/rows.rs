//! What a run left in its store, read with SQL and nothing of ours.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::harness::Place;

/// Opened for reading, beside whoever writes.
pub(crate) fn open(place: &Place, database: &str) -> Connection {
    let path = place.path().join(database);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection
}

/// The rows of a query, columns joined by `|`, texts as they are, null as `null`, blobs in hex.
#[track_caller]
pub(crate) fn rows(place: &Place, database: &str, query: &str) -> Vec<String> {
    let connection = open(place, database);
    let mut statement = connection.prepare(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let columns = statement.column_count();
    let mut found = statement.query([]).unwrap();
    let mut out = Vec::new();
    while let Some(row) = found.next().unwrap() {
        let cells: Vec<String> = (0..columns)
            .map(|column| match row.get_ref(column).unwrap() {
                ValueRef::Null => "null".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => format!("{number:?}"),
                ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            })
            .collect();
        out.push(cells.join("|"));
    }
    out
}

/// The only row of a query.
#[track_caller]
pub(crate) fn row(place: &Place, database: &str, query: &str) -> String {
    let found = rows(place, database, query);
    assert_eq!(found.len(), 1, "{query}: {found:?}");
    found.into_iter().next().unwrap()
}

/// Asserts that a table holds the records numbered 1 to `last` in column `id`, each exactly once.
#[track_caller]
pub(crate) fn each_once(place: &Place, database: &str, table: &str, last: u64) {
    let query = format!("select count(*), count(distinct id), min(id), max(id) from \"{table}\"");
    assert_eq!(row(place, database, &query), format!("{last}|{last}|1|{last}"), "{table}");
}
