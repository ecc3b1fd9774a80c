//! What landed, and what should have: rows by their key, and whether they say the same.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Value as Cell;
use serde_json::Value;

use super::table::Shape;
use crate::harness::Place;
use crate::rows::open;

/// Rows by their key; a row is its columns by name.
pub(crate) type Rows<V> = BTreeMap<String, BTreeMap<String, V>>;

/// The rows of a table without `_task`.
#[track_caller]
pub(crate) fn read(place: &Place, shape: &Shape, table: &str) -> Rows<Cell> {
    let connection = open(place, shape.database);
    let mut statement = connection
        .prepare(&format!("select * from \"{table}\""))
        .unwrap_or_else(|error| panic!("{table}: {error}"));
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut found = statement.query([]).unwrap();
    let mut rows = Rows::new();
    while let Some(row) = found.next().unwrap() {
        let columns = names.iter().enumerate().filter(|(_, name)| *name != "_task");
        let cells: BTreeMap<String, Cell> =
            columns.map(|(at, name)| (name.clone(), row.get(at).unwrap())).collect();
        let key = key(shape, table, |name| match &cells[name] {
            Cell::Integer(number) => number.to_string(),
            Cell::Text(text) => text.clone(),
            other => panic!("{table}.{name} is a key and {other:?}"),
        });
        assert!(rows.insert(key.clone(), cells).is_none(), "{table} holds {key} twice");
    }
    rows
}

/// The sandbox's own account of what a client must hold.
pub(crate) fn expected(shape: &Shape, tables: &Value) -> BTreeMap<String, Rows<Value>> {
    let tables = tables.as_object().unwrap();
    let rows = |table: &str| -> Rows<Value> {
        let rows = tables[table].as_array().unwrap().iter().map(|row| {
            let row: BTreeMap<String, Value> =
                row.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            let key = key(shape, table, |name| match &row[name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            (key, row)
        });
        rows.collect()
    };
    assert_eq!(tables.len(), shape.tables.len());
    tables.keys().map(|table| (table.clone(), rows(table))).collect()
}

fn key(shape: &Shape, table: &str, part: impl Fn(&str) -> String) -> String {
    let (_, columns) = shape.tables.iter().find(|(name, _)| *name == table).unwrap();
    columns.iter().map(|column| part(column)).collect::<Vec<_>>().join("/")
}

/// The keys of the rows that are new or not what they were.
pub(crate) fn changed<V: PartialEq>(before: &Rows<V>, now: &Rows<V>) -> BTreeSet<String> {
    now.iter().filter(|(key, row)| before.get(*key) != Some(row)).map(|(key, _)| key.clone()).collect()
}

#[track_caller]
pub(crate) fn assert_same(shape: &Shape, table: &str, landed: &Rows<Cell>, expected: &Rows<Value>) {
    let place = format!("{} in {}", table, shape.plan);
    let lost: Vec<&String> = expected.keys().filter(|key| !landed.contains_key(*key)).collect();
    let foreign: Vec<&String> = landed.keys().filter(|key| !expected.contains_key(*key)).collect();
    assert!(
        lost.is_empty() && foreign.is_empty(),
        "{place}: {} of {} lost: {lost:?}, {} foreign: {foreign:?}",
        lost.len(),
        expected.len(),
        foreign.len()
    );
    for (key, row) in expected {
        let cells = &landed[key];
        let ours: BTreeSet<&str> =
            cells.keys().map(|name| &**name).filter(|name| !name.starts_with('_')).collect();
        assert_eq!(ours, row.keys().map(|name| &**name).collect(), "{place}");
        for (name, value) in row {
            assert!(is(&cells[name], value), "{place}: {key}.{name} is {:?}, should be {value}", cells[name]);
        }
    }
}

/// Whether a cell says what a value says; numbers with a fraction have two places here.
fn is(cell: &Cell, value: &Value) -> bool {
    match (cell, value) {
        (Cell::Null, Value::Null) => true,
        (Cell::Integer(cell), Value::Bool(value)) => *cell == i64::from(*value),
        (Cell::Integer(cell), Value::Number(value)) => value.as_f64() == Some(*cell as f64),
        (Cell::Real(cell), Value::Number(value)) => value.as_f64() == Some(*cell),
        (Cell::Text(cell), Value::Number(value)) => value.as_f64() == cell.parse().ok(),
        (Cell::Text(cell), Value::String(value)) => cell == value,
        (Cell::Text(cell), value) => serde_json::from_str::<Value>(cell).is_ok_and(|cell| cell == *value),
        _ => false,
    }
}
