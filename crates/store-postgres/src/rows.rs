//! Reading a table's rows back as records, for children that want all of them.
//!
//! Rows have no number of their own in PostgreSQL. A table that is read so gets a column `_row` for it, an identity
//! with an index, when it is read first; other tables never have it.

use entities::NumberedRow;
use rusqlite::Connection as Ledger;
use serde_json::{Map, Value};
use store::{Column, ColumnType, DELETED_AT, TableOf, Trouble, quoted};

use crate::columns::{ROW, short, text_of};
use crate::session::Session;
use crate::tables::Held;

/// Rows in ascending order of their number, from the first above `after` on.
pub(crate) fn rows(
    session: &mut Session,
    held: &mut Held,
    ledger: &Ledger,
    of: &TableOf,
    after: u64,
    limit: usize,
) -> Result<Vec<NumberedRow>, Trouble> {
    held.flush(session)?;
    let table = held.load(session, ledger, &of.name, &of.shape)?;
    if !table.exists {
        return Ok(Vec::new());
    }
    if !table.is_numbered {
        session.run(&format!(
            "ALTER TABLE {0} ADD COLUMN {ROW} bigint GENERATED ALWAYS AS IDENTITY;
             CREATE INDEX {1} ON {0} ({ROW})",
            table.relation,
            quoted(&short(&format!("{}row_{}", store::PREFIX, table.name)))
        ))?;
        table.is_numbered = true;
    }
    let columns = table.columns.list();
    let mut names = vec![ROW.to_owned()];
    names.extend(columns.iter().map(selected));
    let there = if table.marks { format!("AND {DELETED_AT} IS NULL") } else { String::new() };
    let sql = format!(
        "SELECT {} FROM {} WHERE {ROW} > {} {there} ORDER BY {ROW} LIMIT {limit}",
        names.join(", "),
        table.relation,
        i64::try_from(after).unwrap_or(i64::MAX),
    );
    let found = session.connection()?.query(&sql)?;
    let mut rows = Vec::with_capacity(found.len());
    for row in found {
        let mut record = Map::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let value = row.get(at + 1).map_or(Value::Null, |text| value(text, column.kind));
            match (column.kind, value) {
                (ColumnType::More, Value::Object(more)) => record.extend(more),
                (ColumnType::More, _) => {}
                (_, value) => {
                    record.insert(column.source.clone(), value);
                }
            }
        }
        let number = row.get(0).and_then(|text| text.parse().ok()).unwrap_or_default();
        rows.push((number, record));
    }
    Ok(rows)
}

/// A column as the text that [`value`] reads.
pub(crate) fn selected(column: &Column) -> String {
    match column.kind {
        ColumnType::Timestamp | ColumnType::Date => text_of(&column.name, column.kind),
        _ => quoted(&column.name),
    }
}

/// The value of a column, from PostgreSQL's text of it.
pub(crate) fn value(text: &str, kind: ColumnType) -> Value {
    match kind {
        ColumnType::Bool => Value::from(text == "t"),
        ColumnType::Int => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
        ColumnType::Float => text.parse::<f64>().map_or_else(|_| Value::from(text), Value::from),
        ColumnType::Decimal | ColumnType::Json | ColumnType::More => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
        }
        ColumnType::Null | ColumnType::Text | ColumnType::Timestamp | ColumnType::Date => Value::from(text),
    }
}
