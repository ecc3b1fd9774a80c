//! Widening what a table already holds: values are converted in place, or the table is rebuilt when
//! its declared type would bend them.
//!
//! The rebuild is SQLite's documented procedure (<https://sqlite.org/lang_altertable.html>, "Making
//! Other Kinds Of Table Schema Changes"): new table, copy, drop, rename, then the users' indexes and
//! triggers again. Views are not touched: they name the table, and the table keeps its name.
//! Columns that users added keep their type and values, but not their constraints.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value, ValueRef};

use crate::column::{ColumnType, digits};
use crate::columns::Column;
use crate::sql::{quoted, quoted_list};
use crate::trouble::Trouble;

const NEW: &str = "_sync_rebuild";

/// Makes the conversion known to SQL. SQLite's own CAST would print 15 digits of a double.
pub(crate) fn register(conn: &Connection) -> rusqlite::Result<()> {
    conn.create_scalar_function(
        "_sync_recast",
        3,
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC,
        |call| {
            let from = ColumnType::parse(call.get_raw(1).as_str().unwrap_or_default());
            let to = ColumnType::parse(call.get_raw(2).as_str().unwrap_or_default());
            Ok(recast(call.get_raw(0), from, to))
        },
    )?;
    // (an object or null, then any number of: a name, a value, its column's type) → the object with
    // the values in it; a value without a name is an object to take over.
    conn.create_scalar_function(
        "_sync_fold",
        -1,
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC,
        |call| {
            let mut all = match call.get_raw(0).as_str_or_null() {
                Ok(Some(text)) => serde_json::from_str(text).unwrap_or_default(),
                _ => serde_json::Map::new(),
            };
            for at in (1..call.len()).step_by(3) {
                let name = call.get_raw(at).as_str_or_null().ok().flatten();
                let kind = ColumnType::parse(call.get_raw(at + 2).as_str().unwrap_or_default());
                fold(&mut all, name, call.get_raw(at + 1), kind);
            }
            Ok((!all.is_empty()).then(|| serde_json::Value::Object(all).to_string()))
        },
    )
}

fn fold(
    all: &mut serde_json::Map<String, serde_json::Value>,
    name: Option<&str>,
    value: ValueRef<'_>,
    kind: ColumnType,
) {
    let value = match value {
        ValueRef::Integer(i) if kind == ColumnType::Bool => serde_json::Value::from(i != 0),
        ValueRef::Integer(i) => serde_json::Value::from(i),
        ValueRef::Real(f) => serde_json::Value::from(f),
        ValueRef::Text(text) => match (std::str::from_utf8(text).unwrap_or_default(), kind) {
            (text, ColumnType::Text) => serde_json::Value::from(text),
            (text, _) => serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::from(text)),
        },
        ValueRef::Null | ValueRef::Blob(_) => return,
    };
    match (name, value) {
        (Some(name), value) => {
            all.insert(name.to_owned(), value);
        }
        (None, serde_json::Value::Object(more)) => all.extend(more),
        (None, _) => {}
    }
}

fn recast(value: ValueRef<'_>, from: ColumnType, to: ColumnType) -> Value {
    match (value, to) {
        (ValueRef::Integer(i), ColumnType::Text) if from == ColumnType::Bool => {
            Value::Text((i != 0).to_string())
        }
        (ValueRef::Integer(i), ColumnType::Decimal | ColumnType::Text) => Value::Text(i.to_string()),
        (ValueRef::Real(f), ColumnType::Decimal | ColumnType::Text) => Value::Text(digits(f)),
        (ValueRef::Integer(i), ColumnType::Float) => Value::Real(i as f64),
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Integer(i), _) => Value::Integer(i),
        (ValueRef::Real(f), _) => Value::Real(f),
        (ValueRef::Text(text), _) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        (ValueRef::Blob(bytes), _) => Value::Blob(bytes.to_vec()),
    }
}

/// SQL that turns what `column` holds as `from` into what it holds as `to`.
pub(crate) fn expression(column: &str, from: ColumnType, to: ColumnType) -> String {
    let column = quoted(column);
    if from == to || from == ColumnType::Null {
        return column;
    }
    format!("_sync_recast({column}, '{}', '{}')", from.as_str(), to.as_str())
}

/// Converts the values of a column that has no declared type.
pub(crate) fn convert_in_place(
    conn: &Connection,
    table: &str,
    column: &str,
    from: ColumnType,
    to: ColumnType,
) -> Result<(), Trouble> {
    if from != ColumnType::Null {
        let sql = format!(
            "UPDATE {} SET {} = {} WHERE {} IS NOT NULL",
            quoted(table),
            quoted(column),
            expression(column, from, to),
            quoted(column)
        );
        conn.execute(&sql, [])?;
    }
    Ok(())
}

/// Rebuilds `table` so that it has each of `columns`, declared as its type says. `was` names the type
/// that a column's values have now, where it differs.
pub(crate) fn rebuild(
    conn: &Connection,
    table: &str,
    columns: &[Column],
    was: &[(usize, ColumnType)],
) -> Result<(), Trouble> {
    tracing::debug!(table, "rebuilding a table: a column's type widens");
    let present = {
        let mut statement = conn.prepare("SELECT name, type FROM pragma_table_info(?1) ORDER BY cid")?;
        statement
            .query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
            .collect::<Result<Vec<_>, _>>()?
    };
    let again = {
        let mut statement = conn.prepare(
            "SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE
             AND type IN ('index', 'trigger') AND sql IS NOT NULL",
        )?;
        statement.query_map([table], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?
    };
    let mut definitions = Vec::new();
    let mut values = Vec::new();
    for (name, declared) in &present {
        match columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)) {
            Some(index) => {
                let to = columns[index].kind;
                let from = was.iter().find(|(at, _)| *at == index).map_or(to, |(_, from)| *from);
                definitions.push(format!("{} {}", quoted(name), to.declared()));
                values.push(expression(name, from, to));
            }
            None => {
                definitions.push(format!("{} {declared}", quoted(name)));
                values.push(quoted(name));
            }
        }
    }
    let target = quoted(table);
    let mut kept = quoted_list(present.iter().map(|(name, _)| name.as_str()));
    let names: Vec<&str> = present
        .iter()
        .map(|(name, _)| name.as_str())
        .chain(columns.iter().map(|column| column.name.as_str()))
        .collect();
    if let Some(number) = row_number(&names) {
        // Rows keep their number: a task that is repeated over them is somewhere among them.
        kept.push_str(&format!(", {number}"));
        values.push(number.to_owned());
    }
    let is_new = |column: &&Column| !present.iter().any(|(name, _)| column.name.eq_ignore_ascii_case(name));
    for column in columns.iter().filter(is_new) {
        definitions.push(format!("{} {}", quoted(&column.name), column.kind.declared()));
    }
    conn.execute_batch(&format!(
        "CREATE TABLE {NEW} ({});
         INSERT INTO {NEW} ({kept}) SELECT {} FROM {target};
         DROP TABLE {target};
         ALTER TABLE {NEW} RENAME TO {target};",
        definitions.join(", "),
        values.join(", "),
    ))?;
    for sql in again {
        conn.execute_batch(&sql)?;
    }
    Ok(())
}

/// What a table with these columns calls the number of its rows; none if all its names are taken.
pub(crate) fn row_number(columns: &[&str]) -> Option<&'static str> {
    let is_taken = |name: &str| columns.iter().any(|column| column.eq_ignore_ascii_case(name));
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| !is_taken(name))
}
