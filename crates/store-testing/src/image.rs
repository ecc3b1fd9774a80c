//! Tables of any store in a SQLite database of memory, by value, so that a case can ask for them in SQL.

use rusqlite::types::{Value as Held, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::canonical::canonical;
use crate::kind::Contents;

/// Every row of a query over `tables`, one line each, cells with commas between.
pub(crate) fn query(tables: &[(String, Contents)], sql: &str) -> Vec<String> {
    let image = Connection::open_in_memory().unwrap();
    for (name, contents) in tables {
        fill(&image, name, contents);
    }
    let mut statement = image.prepare(sql).unwrap();
    let width = statement.column_count();
    let rows = statement.query_map([], |row| {
        let cells = (0..width).map(|at| match row.get_ref(at).unwrap() {
            ValueRef::Null => "null".to_owned(),
            ValueRef::Integer(held) => held.to_string(),
            ValueRef::Real(held) => format!("{held:?}"),
            ValueRef::Text(held) => String::from_utf8_lossy(held).into_owned(),
            ValueRef::Blob(held) => format!("{held:?}"),
        });
        Ok(cells.collect::<Vec<_>>().join(","))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn fill(image: &Connection, name: &str, contents: &Contents) {
    if contents.columns.is_empty() {
        return;
    }
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = contents.columns.iter().map(|column| quoted(column)).collect();
    image.execute_batch(&format!("CREATE TABLE {} ({})", quoted(name), columns.join(", "))).unwrap();
    let marks = vec!["?"; columns.len()].join(", ");
    let mut insert = image.prepare(&format!("INSERT INTO {} VALUES ({marks})", quoted(name))).unwrap();
    for row in &contents.rows {
        let cells = row.iter().map(|value| match canonical(value) {
            None => Held::Null,
            // What compares and sorts as a number does so in a query.
            Some(text) => match text.parse::<i64>() {
                Ok(whole) if whole.to_string() == text => Held::Integer(whole),
                _ => Held::Text(text),
            },
        });
        insert.execute(params_from_iter(cells)).unwrap();
    }
}
