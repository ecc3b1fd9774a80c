//! `schema = "frozen"`: a table has the columns it had when the run began.

use entities::{Cell, Failure, FailureClass, FailureKind, RecordBatch};

use crate::column::{ColumnType, Kinds};
use crate::columns::Columns;

/// Why a table that is there does not take the records as it is. A column that has never held a value takes any.
pub fn refusal(table: &str, columns: &Columns, batch: &RecordBatch) -> Option<Failure> {
    for (at, (field, kinds)) in batch.columns.iter().zip(Kinds::of(batch)).enumerate() {
        if kinds.is_null() {
            continue;
        }
        let is_new = columns.column_of(field).is_none();
        let why = match columns.column_of(field).map(|column| columns.list()[column].kind) {
            None if columns.has_more() => continue,
            None => format!("which table `{}` has no column for", table),
            Some(ColumnType::Null) => continue,
            Some(kind) if kinds.within(kind.holds()) => continue,
            Some(kind) => format!("which is no {}, as its column in table `{}`", kind.as_str(), table),
        };
        let row = (0..batch.rows).find(|row| breaks(columns, field, &batch.row(*row)[at])).unwrap_or(0);
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

fn breaks(columns: &Columns, field: &str, cell: &Cell) -> bool {
    let mut kinds = Kinds::default();
    kinds.add(cell);
    match columns.column_of(field) {
        None => !kinds.is_null(),
        Some(at) => !kinds.within(columns.list()[at].kind.holds()),
    }
}
