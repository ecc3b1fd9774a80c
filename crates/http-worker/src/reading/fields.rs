//! `fields = { … }`: templated columns added to each record.

use std::sync::Arc;

use entities::{Cell, Failure, FailureClass, FailureKind, Place, RecordBatch, ValueTemplate};
use expr::{CompiledValue, ExprError, Scope};
use serde_json::Value;

use super::cells::record_of;
use super::decode::{Trouble, cell_of};
use super::view::View;
use crate::template::first_place;

/// The added columns, compiled.
pub(super) struct Fields(Vec<Field>);

struct Field {
    name: Arc<str>,
    value: CompiledValue,
    /// It reads the record, so that it must be evaluated for each.
    of_record: bool,
    /// Where its template stands; none if it is a plain value.
    at: Option<Place>,
}

impl Fields {
    pub(super) fn compile(fields: &[(String, ValueTemplate)]) -> Result<Fields, Failure> {
        fields
            .iter()
            .map(|(name, template)| {
                let value = CompiledValue::compile(template).map_err(|(e, at)| failure(name, &e).at(at))?;
                let of_record =
                    value.names().iter().any(|name| name == "record" || name.starts_with("record."));
                Ok(Field { name: Arc::from(name.as_str()), value, of_record, at: first_place(template) })
            })
            .collect::<Result<_, _>>()
            .map(Fields)
    }

    /// Adds them to every record; a column that is there already is overwritten.
    pub(super) fn add(
        &self,
        batch: &mut RecordBatch,
        scope: &Scope<'_>,
        view: &View<'_>,
    ) -> Result<(), Failure> {
        if self.0.is_empty() || batch.rows == 0 {
            return Ok(());
        }
        // `record` is the record before `fields`, in whatever order they stand.
        let read = self.0.iter().any(|field| field.of_record).then(|| batch.clone());
        let places: Vec<usize> = widen(batch, self.0.iter().map(|field| &field.name));
        let width = batch.columns.len();
        for (field, place) in self.0.iter().zip(&places).filter(|(field, _)| !field.of_record) {
            let cell = field.cell(scope, batch)?;
            batch.cells.iter_mut().skip(*place).step_by(width).for_each(|held| *held = cell);
        }
        let Some(read) = read else { return Ok(()) };
        for row in 0..batch.rows {
            view.wanted()?;
            let record = Value::Object(record_of(&read, row));
            let scope = Scope { record: Some(&record), ..*scope };
            for (field, place) in self.0.iter().zip(&places).filter(|(field, _)| field.of_record) {
                let cell = field.cell(&scope, batch)?;
                batch.cells[row * width + place] = cell;
            }
        }
        Ok(())
    }
}

impl Field {
    fn cell(&self, scope: &Scope<'_>, batch: &mut RecordBatch) -> Result<Cell, Failure> {
        let value = self.value.value(scope).map_err(|e| {
            let failure = failure(&self.name, &e);
            match self.at {
                Some(at) => failure.at(at),
                None => failure,
            }
        })?;
        cell_of(&value, &mut batch.text).map_err(Trouble::failure)
    }
}

/// Makes room for columns, null so far; their places.
fn widen<'n>(batch: &mut RecordBatch, names: impl Iterator<Item = &'n Arc<str>>) -> Vec<usize> {
    let before = batch.columns.len();
    let places = names
        .map(|name| {
            batch.column(name).unwrap_or_else(|| {
                Arc::make_mut(&mut batch.columns).push(Arc::clone(name));
                batch.columns.len() - 1
            })
        })
        .collect();
    let added = batch.columns.len() - before;
    if added > 0 {
        let mut cells = Vec::with_capacity(batch.rows * batch.columns.len());
        for row in 0..batch.rows {
            cells.extend_from_slice(&batch.cells[row * before..(row + 1) * before]);
            cells.extend(std::iter::repeat_n(Cell::Null, added));
        }
        batch.cells = cells;
    }
    places
}

fn failure(name: &str, error: &ExprError) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Expression, format!("`fields.{name}`: {error}"))
}
