//! How the records of a batch go into a table: which cell into which column, by which statement.
//! Kept from landing to landing, since the records of a spec mostly look alike.

use std::sync::Arc;

use entities::{Cell, RecordBatch, TaskId};
use rusqlite::Statement;

use crate::column::{ColumnType, Kinds, json_of, text_of};
use crate::columns::DELETED_AT;
use crate::sql::{quoted, quoted_list};
use crate::sqlite::tables::Table;

/// The layout of one list of columns in one table. Void when the table's columns change.
#[derive(Debug)]
pub(crate) struct Layout {
    columns: Arc<Vec<Arc<str>>>,
    targets: Vec<Target>,
    /// Some cells go to `_more`, which is the last parameter.
    overflows: bool,
    /// Adds a row; in a table with a key, replaces the row of the same key.
    pub insert: String,
    /// Adds a row, or replaces one that differs; else changes nothing.
    pub insert_if_differs: String,
    /// Gives the row of a key its `_task`: ?1, then the key.
    pub touch: String,
    /// The cells of the key.
    pub key: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Target {
    /// None: `_more`.
    parameter: Option<usize>,
    kind: ColumnType,
}

impl Layout {
    /// The layout of `batch` in a table that fits it.
    pub(crate) fn of(table: &Table, batch: &RecordBatch) -> Layout {
        let mut names = vec!["_task"];
        let mut targets = Vec::with_capacity(batch.columns.len());
        let mut overflows = false;
        for source in batch.columns.iter() {
            match table.columns.column_of(source) {
                Some(at) => {
                    let column = &table.columns.list()[at];
                    names.push(&column.name);
                    targets.push(Target { parameter: Some(names.len()), kind: column.kind });
                }
                // Without `_more` the table is frozen, and the field always null.
                None => {
                    overflows = table.columns.has_more();
                    targets.push(Target { parameter: None, kind: ColumnType::More });
                }
            }
        }
        if overflows {
            names.push("_more");
        }
        let parameters = vec!["?"; names.len()].join(", ");
        let add = format!(
            "INSERT INTO {} ({}) VALUES ({parameters})",
            quoted(&table.name),
            quoted_list(names.iter().copied())
        );
        let key_columns = table.key_columns();
        let (insert, insert_if_differs, touch) = if key_columns.is_empty() {
            (add.clone(), add, String::new())
        } else {
            merging(table, &add, &key_columns)
        };
        let key = table.shape.unique.iter().filter_map(|field| batch.column(field)).collect();
        Layout {
            columns: Arc::clone(&batch.columns),
            targets,
            overflows,
            insert,
            insert_if_differs,
            touch,
            key,
        }
    }

    /// Whether it is the layout of this batch's columns.
    pub(crate) fn is_of(&self, batch: &RecordBatch) -> bool {
        self.columns == batch.columns
    }

    /// Whether its columns hold these kinds, cell by cell.
    pub(crate) fn holds(&self, kinds: &[Kinds]) -> bool {
        self.targets
            .iter()
            .zip(kinds)
            .all(|(target, kinds)| target.parameter.is_none() || kinds.within(target.kind.holds()))
    }

    /// Binds a record to `insert` or `insert_if_differs`.
    pub(crate) fn bind(
        &self,
        statement: &mut Statement<'_>,
        task: TaskId,
        row: &[Cell],
        batch: &RecordBatch,
    ) -> rusqlite::Result<()> {
        statement.raw_bind_parameter(1, task.0)?;
        for (target, cell) in self.targets.iter().zip(row) {
            if let Some(parameter) = target.parameter {
                bind(statement, parameter, target.kind, cell, batch)?;
            }
        }
        if self.overflows {
            let last = self.targets.iter().filter(|target| target.parameter.is_some()).count() + 2;
            statement.raw_bind_parameter(last, self.more(row, batch))?;
        }
        Ok(())
    }

    /// Binds a record's key to `touch`.
    pub(crate) fn bind_touch(
        &self,
        statement: &mut Statement<'_>,
        task: TaskId,
        row: &[Cell],
        batch: &RecordBatch,
    ) -> rusqlite::Result<()> {
        statement.raw_bind_parameter(1, task.0)?;
        for (at, cell) in self.key.iter().enumerate() {
            bind(statement, at + 2, self.targets[*cell].kind, &row[*cell], batch)?;
        }
        Ok(())
    }

    /// The fields without a column as one JSON object; nothing if all are null.
    fn more(&self, row: &[Cell], batch: &RecordBatch) -> Option<String> {
        let mut out = String::new();
        for ((target, cell), name) in self.targets.iter().zip(row).zip(self.columns.iter()) {
            if target.parameter.is_some() || *cell == Cell::Null {
                continue;
            }
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push_str(&serde_json::Value::from(&**name).to_string());
            out.push(':');
            json_of(cell, batch, &mut out);
        }
        if out.is_empty() {
            return None;
        }
        out.push('}');
        Some(out)
    }
}

/// A row is what the API returned last: columns that the record lacks become null.
fn merging(table: &Table, add: &str, key: &[&str]) -> (String, String, String) {
    let others: Vec<String> = table
        .columns
        .list()
        .iter()
        .filter(|column| !key.contains(&column.name.as_str()))
        .map(|column| quoted(&column.name))
        .collect();
    let mut set = "_task = excluded._task".to_owned();
    for name in &others {
        set.push_str(&format!(", {name} = excluded.{name}"));
    }
    if table.marks() {
        set.push_str(&format!(", {DELETED_AT} = NULL"));
    }
    let insert = format!("{add} ON CONFLICT ({}) DO UPDATE SET {set}", quoted_list(key.iter().copied()));
    // Row values, not a chain of ORs: SQLite bounds the depth of an expression to 1,000.
    let held: Vec<String> = others.iter().map(|name| format!("{}.{name}", quoted(&table.name))).collect();
    let new: Vec<String> = others.iter().map(|name| format!("excluded.{name}")).collect();
    let differs = match others.len() {
        0 => "0".to_owned(),
        _ => format!("({}) IS NOT ({})", held.join(", "), new.join(", ")),
    };
    let differs = match table.marks() {
        // A row that comes back is new to whoever reads the table.
        true => format!("({differs}) OR {}.{DELETED_AT} IS NOT NULL", quoted(&table.name)),
        false => differs,
    };
    let insert_if_differs = format!("{insert} WHERE {differs}");
    let of_key: Vec<String> =
        key.iter().enumerate().map(|(at, name)| format!("{} = ?{}", quoted(name), at + 2)).collect();
    let touch = format!("UPDATE {} SET _task = ?1 WHERE {}", quoted(&table.name), of_key.join(" AND "));
    (insert, insert_if_differs, touch)
}

/// Binds a cell as a column of this type holds it; the type must hold the cell's kind.
fn bind(
    statement: &mut Statement<'_>,
    parameter: usize,
    kind: ColumnType,
    cell: &Cell,
    batch: &RecordBatch,
) -> rusqlite::Result<()> {
    match (kind, cell) {
        (_, Cell::Null) => statement.raw_bind_parameter(parameter, rusqlite::types::Null),
        (_, Cell::Number(span) | Cell::Text(span) | Cell::Json(span)) => {
            statement.raw_bind_parameter(parameter, batch.text_of(*span))
        }
        (ColumnType::Decimal | ColumnType::Text, cell) => {
            statement.raw_bind_parameter(parameter, text_of(cell, batch))
        }
        (_, Cell::Bool(b)) => statement.raw_bind_parameter(parameter, *b),
        // At most 2^53 either way, so the cast is exact.
        (ColumnType::Float, Cell::Int(i)) => statement.raw_bind_parameter(parameter, *i as f64),
        (_, Cell::Int(i)) => statement.raw_bind_parameter(parameter, *i),
        (_, Cell::Float(f)) => statement.raw_bind_parameter(parameter, *f),
    }
}
