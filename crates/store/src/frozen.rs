//! `schema = "frozen"`: a table has the columns it had when the run began.

use entities::{Cell, Failure, FailureClass, FailureKind, RecordBatch};

use crate::column::{ColumnType, Kinds};
use crate::tables::Table;

/// Why a table does not take the records as it is. A column that has never held a value takes any.
pub(crate) fn refusal(table: &Table, batch: &RecordBatch) -> Option<Failure> {
    if !table.exists {
        return None;
    }
    for (at, (field, kinds)) in batch.columns.iter().zip(Kinds::of(batch)).enumerate() {
        if kinds.is_null() {
            continue;
        }
        let why = match table.column_of(field).map(|column| table.columns[column].kind) {
            None if table.has_more() => continue,
            None => format!("which table `{}` has no column for", table.name),
            Some(ColumnType::Null) => continue,
            Some(kind) if kinds.within(kind.holds()) => continue,
            Some(kind) => format!("which is no {}, as its column in table `{}`", kind.as_str(), table.name),
        };
        let row = (0..batch.rows).find(|row| breaks(table, field, &batch.row(*row)[at])).unwrap_or(0);
        let message = format!(
            "record {} of {} has a field `{field}` {why}, and `schema` is \"frozen\"",
            row + 1,
            batch.rows
        );
        return Some(
            Failure::new(FailureClass::Permanent, FailureKind::Record, message).help(
                "leave the field out with `map`, give it its type with `types`, or let the table evolve",
            ),
        );
    }
    None
}

fn breaks(table: &Table, field: &str, cell: &Cell) -> bool {
    let mut kinds = Kinds::default();
    kinds.add(cell);
    match table.column_of(field) {
        None => !kinds.is_null(),
        Some(at) => !kinds.within(table.columns[at].kind.holds()),
    }
}
