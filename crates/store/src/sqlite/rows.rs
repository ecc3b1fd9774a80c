//! Reading a table's rows back as records, for children that want all of them.

use entities::NumberedRow;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Map, Value};

use crate::column::ColumnType;
use crate::columns::{Column, DELETED_AT};
use crate::seam::TableOf;
use crate::sql::quoted;
use crate::sqlite::tables::Held;
use crate::sqlite::widen::row_number;
use crate::trouble::Trouble;

/// Rows in ascending order of their number, from the first above `after` on.
pub(crate) fn rows(
    conn: &Connection,
    tables: &mut Held,
    of: &TableOf,
    after: u64,
    limit: usize,
) -> Result<Vec<NumberedRow>, Trouble> {
    let table = tables.load(conn, &of.name, &of.shape)?;
    if !table.exists {
        return Ok(Vec::new());
    }
    let taken: Vec<&str> = table.columns.list().iter().map(|column| column.name.as_str()).collect();
    let Some(number) = row_number(&taken) else {
        let why = format!(
            "the rows of table `{}` have no number: it has the columns rowid, _rowid_ and oid",
            table.name
        );
        return Err(Trouble::Ledger(why));
    };
    let columns: Vec<Column> = table.columns.list().to_vec();
    let mut names: Vec<String> = vec![number.to_owned()];
    names.extend(columns.iter().map(|column| quoted(&column.name)));
    let there = if table.marks() { format!("AND {DELETED_AT} IS NULL") } else { String::new() };
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {} FROM {} WHERE {number} > ?1 {there} ORDER BY {number} LIMIT ?2",
        names.join(", "),
        quoted(&table.name),
    ))?;
    let mut found = statement
        .query([i64::try_from(after).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let mut record = Map::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let value = value(row.get_ref(at + 1)?, column.kind);
            match (column.kind, value) {
                (ColumnType::More, Value::Object(more)) => record.extend(more),
                (ColumnType::More, _) => {}
                (_, value) => {
                    record.insert(column.source.clone(), value);
                }
            }
        }
        let number: i64 = row.get(0)?;
        rows.push((number.cast_unsigned(), record));
    }
    Ok(rows)
}

fn value(held: ValueRef<'_>, kind: ColumnType) -> Value {
    match held {
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
        ValueRef::Integer(i) if kind == ColumnType::Bool => Value::from(i != 0),
        ValueRef::Integer(i) => Value::from(i),
        ValueRef::Real(f) => Value::from(f),
        ValueRef::Text(text) => {
            let text = String::from_utf8_lossy(text);
            match kind {
                ColumnType::Decimal | ColumnType::Json | ColumnType::More => {
                    serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_ref()))
                }
                _ => Value::from(text.as_ref()),
            }
        }
    }
}
