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
        let is_new = table.column_of(field).is_none();
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
        let help = match is_new {
            true => "leave the field out with `map`, or let the table have it: schema = \"evolve\"",
            false => {
                "leave the field out or change it with `map`, or let its column widen: schema = \"evolve\""
            }
        };
        return Some(Failure::new(FailureClass::Permanent, FailureKind::Record, message).help(help));
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
