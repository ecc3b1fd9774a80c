//! The greatest value of the cursor field among the records of an answer.

use std::cmp::Ordering;
use std::sync::Arc;

use entities::{
    Cell, CursorKind, CursorSpec, CursorValue, Failure, FailureClass, FailureKind, Mode, Moment, RecordBatch,
    TaskSpec, ValueTemplate,
};
use expr::{CompiledValue, ExprError, Scope};
use serde_json::Value;

use super::cells::value_of;
use super::decode::shortened;

/// The cursor of a spec, compiled.
pub(super) struct Cursor {
    spec: CursorSpec,
    start: CompiledValue,
    /// Without the field, everything would be appended again with every run.
    needs_field: bool,
}

/// The greatest value among the records so far.
#[derive(Default)]
pub(super) struct Greatest {
    value: Option<Value>,
    /// Some record has the field.
    has_field: bool,
    /// Of the first records.
    columns: Option<Arc<Vec<Arc<str>>>>,
}

impl Cursor {
    /// None for specs without one, and for those whose cursor is the end of their windows.
    pub(super) fn compile(task: &TaskSpec) -> Result<Option<Cursor>, Failure> {
        let Some(spec) = task.cursor.as_ref().filter(|_| !task.windows_from_cursor()) else {
            return Ok(None);
        };
        let start = CompiledValue::compile(&ValueTemplate::Text(spec.start.clone()))
            .map_err(|(error, at)| expression(&error).at(at))?;
        Ok(Some(Cursor { spec: spec.clone(), start, needs_field: task.mode == Mode::Append }))
    }

    /// Takes the greatest value of the records, if that is greater than what others before them have.
    pub(super) fn note(
        &self,
        batch: &RecordBatch,
        scope: &Scope<'_>,
        greatest: &mut Greatest,
    ) -> Result<(), Failure> {
        if batch.rows == 0 {
            return Ok(());
        }
        greatest.columns.get_or_insert_with(|| Arc::clone(&batch.columns));
        let Some(column) = batch.column(&self.spec.field) else { return Ok(()) };
        greatest.has_field = true;
        let kind = CursorKind::of(&self.start(scope)?);
        let mut of_batch: Option<Cell> = None;
        for row in 0..batch.rows {
            let cell = batch.row(row)[column];
            of_batch = match of_batch {
                _ if cell == Cell::Null => of_batch,
                _ if is_date(kind) && is_blank(batch, cell) => of_batch,
                Some(held) if order(kind, batch, held, cell) != Ordering::Less => Some(held),
                _ => Some(cell),
            };
        }
        let Some(cell) = of_batch else { return Ok(()) };
        let value = value_of(batch, cell);
        let is_less = |held: &Value| order_of_values(kind, held.clone(), value.clone()) == Ordering::Less;
        if greatest.value.as_ref().is_none_or(is_less) {
            greatest.value = Some(value);
        }
        Ok(())
    }

    /// The greatest value, never beyond `now`; none if there are no records, or all have null there.
    pub(super) fn settle(
        &self,
        greatest: Greatest,
        scope: &Scope<'_>,
        now: Moment,
    ) -> Result<Option<CursorValue>, Failure> {
        if let (Some(columns), false) = (&greatest.columns, greatest.has_field)
            && self.needs_field
        {
            let field = &self.spec.field;
            let names = columns.iter().take(12).map(|name| format!("`{name}`"));
            let names = names.collect::<Vec<_>>().join(", ");
            let message = format!("no record has the cursor's field `{field}`, they have {names}");
            return Err(Failure::new(FailureClass::Permanent, FailureKind::Missing, message).at(self.spec.at));
        }
        let Some(value) = greatest.value else { return Ok(None) };
        let start = self.start(scope)?;
        let kind = CursorKind::of(&start);
        if is_date(kind) && kind.instant(&value).is_none() {
            return Err(self.no_date(&value, &start));
        }
        Ok(Some(CursorValue(kind.at_most(value, now))))
    }

    fn start(&self, scope: &Scope<'_>) -> Result<Value, Failure> {
        self.start.value(scope).map_err(|error| expression(&error).at(self.spec.start.at))
    }

    /// The greatest of `31/01/2024` and `01/02/2024` as texts is not the later one: records would be
    /// missed without a word. Nor could `lookback` be taken from an epoch where `start` is a date.
    fn no_date(&self, value: &Value, start: &Value) -> Failure {
        let (field, value) = (&self.spec.field, shortened(&value.to_string(), 60));
        let start = shortened(&start.to_string(), 60);
        let message = format!("`{field}` is {value}, which is no date, but the cursor starts at {start}");
        Failure::new(FailureClass::Permanent, FailureKind::Record, message).at(self.spec.at).help(
            "write `start` in the form that the field has, or rebuild the field with `map` as 2024-01-31 or 2024-01-31T08:00:00Z",
        )
    }
}

/// Whether values of this kind are written as dates. Epochs are not checked: `1704067200.000100` is an
/// id at Slack's, and sorts as text.
fn is_date(kind: CursorKind) -> bool {
    matches!(kind, CursorKind::Iso | CursorKind::CompactDate)
}

fn expression(error: &ExprError) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Expression, error.to_string())
}

/// How many APIs write that there is no date.
fn is_blank(batch: &RecordBatch, cell: Cell) -> bool {
    matches!(cell, Cell::Text(span) if batch.text_of(span).is_empty())
}

/// As [`CursorValue::order`], without making values where cells alone can tell; what is time is compared
/// as time, in whatever form it comes.
fn order(kind: CursorKind, batch: &RecordBatch, a: Cell, b: Cell) -> Ordering {
    match (a, b) {
        (Cell::Int(a), Cell::Int(b)) => a.cmp(&b),
        (Cell::Text(a), Cell::Text(b)) if alike(batch.text_of(a), batch.text_of(b)) => {
            batch.text_of(a).cmp(batch.text_of(b))
        }
        (a, b) => order_of_values(kind, value_of(batch, a), value_of(batch, b)),
    }
}

fn order_of_values(kind: CursorKind, a: Value, b: Value) -> Ordering {
    match (kind.instant(&a), kind.instant(&b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => CursorValue(a).order(&CursorValue(b)),
    }
}

/// Whether two texts are timestamps in UTC of one form: then they sort as text.
fn alike(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.ends_with('Z')
        && !a.starts_with('-')
        && a.bytes().zip(b.bytes()).all(|(a, b)| a == b || (a.is_ascii_digit() && b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use entities::{Secrets, TemplateText};
    use serde_json::Map;

    use super::super::decode::batch_of;
    use super::*;

    fn greatest(start: &str, needs_field: bool, records: &str) -> Result<Option<String>, Failure> {
        let spec = CursorSpec {
            field: "at".into(),
            start: TemplateText::new(start),
            lookback: None,
            granularity: None,
            at: Default::default(),
        };
        let template = ValueTemplate::Text(spec.start.clone());
        let cursor = Cursor { spec, start: CompiledValue::compile(&template).unwrap(), needs_field };
        let vars = serde_json::json!({ "since": 0 }).as_object().unwrap().clone();
        // 2024-03-01T00:00:00Z
        let now = Moment::from_millis(1_709_251_200_000);
        let globals = expr::Globals::new(&vars, &Secrets::default(), now);
        let bindings = Map::new();
        let scope = Scope { globals: &globals, bindings: &bindings, cursor: None, record: None, page: None };
        let mut greatest = Greatest::default();
        cursor.note(&batch_of(records), &scope, &mut greatest)?;
        let greatest = cursor.settle(greatest, &scope, now)?;
        Ok(greatest.map(|value| value.0.to_string()))
    }

    #[test]
    fn the_greatest_is_by_kind() {
        for (start, records, expected) in [
            ("{{ vars.since }}", r#"[{"at":3},{"at":12},{"at":null},{"at":7}]"#, Some("12")),
            (
                "2024-01-01",
                r#"[{"at":"2024-01-02T00:00:00Z"},{"at":"2024-01-03T00:00:00Z"},{"at":"2024-01-01T00:00:00Z"}]"#,
                Some(r#""2024-01-03T00:00:00Z""#),
            ),
            // The same day in two zones: the later instant, not the later text.
            (
                "2024-01-01",
                r#"[{"at":"2024-01-02T01:00:00+02:00"},{"at":"2024-01-02T00:30:00Z"}]"#,
                Some(r#""2024-01-02T00:30:00Z""#),
            ),
            (
                "2024-01-01",
                r#"[{"at":"2024-01-02T00:30:00Z"},{"at":"2024-01-02T01:00:00+02:00"}]"#,
                Some(r#""2024-01-02T00:30:00Z""#),
            ),
            ("", r#"[{"at":"b"},{"at":"a"}]"#, Some(r#""b""#)),
            ("0", r#"[{"at":"9"},{"at":"10"},{"at":"8"}]"#, Some(r#""10""#)),
            ("0", r#"[{"at":1.5},{"at":1}]"#, Some("1.5")),
            ("1704067200", r#"[{"at":"1704067201"},{"at":1704067202}]"#, Some("1704067202")),
            ("20240101", r#"[{"at":20240103},{"at":"20240102"}]"#, Some("20240103")),
            // Never beyond now, in the form it has.
            ("2024-01-01", r#"[{"at":"2024-02-01"},{"at":"2099-01-01"}]"#, Some(r#""2024-03-01""#)),
            ("20240101", r#"[{"at":20990101}]"#, Some("20240301")),
            ("1704067200", r#"[{"at":4102444800}]"#, Some("1709251200")),
            ("1704067200000", r#"[{"at":"4102444800000"}]"#, Some(r#""1709251200000""#)),
            ("0", r#"[{"at":4102444800}]"#, Some("4102444800")),
            ("0", r#"[{"at":null}]"#, None),
            ("0", "[]", None),
        ] {
            let greatest = greatest(start, true, records).unwrap();
            assert_eq!(greatest.as_deref(), expected, "{start} {records}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_values_have_a_greatest(
            start in "[-+0-9TZ:. a]{0,12}",
            values in proptest::collection::vec("[-+0-9TZ:.a]{0,25}", 1..5),
        ) {
            let records: Vec<_> = values.iter().map(|value| serde_json::json!({ "at": value })).collect();
            let text = Value::from(records).to_string();
            match greatest(&start, true, &text) {
                Ok(found) => proptest::prop_assert!(found.is_some() || values.contains(&String::new())),
                Err(failure) => proptest::prop_assert_eq!(failure.kind, FailureKind::Record),
            }
        }
    }

    #[test]
    fn what_is_no_date_is_not_compared_with_one() {
        for (start, records, value) in [
            ("2024-01-01", r#"[{"at":"31/01/2024"},{"at":"01/02/2024"}]"#, "\"31/01/2024\""),
            (
                "2024-01-01",
                r#"[{"at":"Mon, 05 Feb 2024 10:00:00 GMT"}]"#,
                "\"Mon, 05 Feb 2024 10:00:00 GMT\"",
            ),
            ("2024-01-01", r#"[{"at":1704067200}]"#, "1704067200"),
            ("20240101", r#"[{"at":"2024/02/01"}]"#, "\"2024/02/01\""),
        ] {
            let failure = greatest(start, false, records).unwrap_err();
            assert_eq!(
                (failure.kind, failure.message),
                (
                    FailureKind::Record,
                    format!("`at` is {value}, which is no date, but the cursor starts at \"{start}\"")
                )
            );
        }
        for (start, records, expected) in [
            ("2024-01-01", r#"[{"at":""}]"#, None),
            ("2024-01-01", r#"[{"at":"0000-00-00"},{"at":"2024-02-01"},{"at":""}]"#, Some("\"2024-02-01\"")),
            ("1704067200", r#"[{"at":"1704067200.000100"}]"#, Some("\"1704067200.000100\"")),
        ] {
            assert_eq!(greatest(start, false, records).unwrap().as_deref(), expected, "{records}");
        }
    }

    #[test]
    fn records_without_the_field() {
        let failure = greatest("0", true, r#"[{"id":1}]"#).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing);
        assert_eq!(failure.message, "no record has the cursor's field `at`, they have `id`");
        assert_eq!(greatest("0", false, r#"[{"id":1}]"#), Ok(None));
    }
}
