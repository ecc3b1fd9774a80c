//! What the values of columns need, where the account's type alone does not say it: how many digits decimals have,
//! and whether texts that should be times are.

use std::sync::Arc;

use entities::{Cell, RecordBatch};
use store::{Trouble, text_of};

use crate::columnar::decimal::{Digits, needed};
use crate::columnar::schema::{Field, Kind};
use crate::columnar::{Batches, time};

/// The columns with the kinds that their values let them have.
pub(crate) fn survey(mut fields: Vec<Field>, batches: &dyn Batches) -> Result<Vec<Field>, Trouble> {
    let asks = |field: &Field| matches!(field.kind, Kind::Decimal { .. } | Kind::Timestamp | Kind::Date);
    if !fields.iter().any(asks) {
        return Ok(fields);
    }
    // Of the batch before: its fields, and which of them is which column.
    let mut seen: Arc<Vec<Arc<str>>> = Arc::default();
    let mut places: Vec<(usize, usize)> = Vec::new();
    batches.each(&mut |batch, _| {
        if !Arc::ptr_eq(&seen, &batch.columns) {
            let of = |(place, field): (usize, &Arc<str>)| {
                let at = batches.column_of(field)?;
                fields.get(at).filter(|field| asks(field)).map(|_| (place, at))
            };
            places = batch.columns.iter().enumerate().filter_map(of).collect();
            seen = Arc::clone(&batch.columns);
        }
        for (place, at) in &places {
            let kind = &mut fields[*at].kind;
            for cell in batch.cells.iter().skip(*place).step_by(batch.columns.len()) {
                *kind = with(*kind, cell, batch);
            }
        }
        Ok(())
    })?;
    Ok(fields)
}

/// A kind that holds this cell as well.
fn with(kind: Kind, cell: &Cell, batch: &RecordBatch) -> Kind {
    match (kind, cell) {
        (_, Cell::Null) => kind,
        (Kind::Decimal { has, .. }, _) => match needed(&text_of(cell, batch)) {
            Some(more) => decimal(has.and(more)),
            None => Kind::Digits,
        },
        (Kind::Timestamp, Cell::Text(span)) if time::micros(batch.text_of(*span)).is_some() => kind,
        (Kind::Date, Cell::Text(span)) if time::days(batch.text_of(*span)).is_some() => kind,
        (Kind::Timestamp | Kind::Date, _) => Kind::Text,
        _ => kind,
    }
}

/// The kind for decimals with these digits.
pub(crate) fn decimal(has: Digits) -> Kind {
    if has.fit() { Kind::Decimal { scale: has.fraction, has } } else { Kind::Digits }
}
