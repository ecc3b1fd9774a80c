//! The greatest value of the cursor field among the records of an answer.

use std::cmp::Ordering;

use entities::{Cell, CursorSpec, CursorValue, Failure, FailureClass, FailureKind, RecordBatch};

use super::cells::value_of;

/// The greatest value; none if there are no records, or all have null there.
pub(super) fn greatest(spec: &CursorSpec, batch: &RecordBatch) -> Result<Option<CursorValue>, Failure> {
    if batch.rows == 0 {
        return Ok(None);
    }
    let Some(column) = batch.column(&spec.field) else {
        let names =
            batch.columns.iter().take(12).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let message = format!("no record has the cursor's field `{}`, they have {names}", spec.field);
        return Err(Failure::new(FailureClass::Permanent, FailureKind::Missing, message).at(spec.at));
    };
    let mut greatest: Option<Cell> = None;
    for row in 0..batch.rows {
        let cell = batch.row(row)[column];
        greatest = match greatest {
            _ if cell == Cell::Null => greatest,
            Some(held) if order(batch, held, cell) != Ordering::Less => Some(held),
            _ => Some(cell),
        };
    }
    Ok(greatest.map(|cell| CursorValue(value_of(batch, cell))))
}

/// As [`CursorValue::order`], without making values where cells alone can tell.
fn order(batch: &RecordBatch, a: Cell, b: Cell) -> Ordering {
    match (a, b) {
        (Cell::Int(a), Cell::Int(b)) => a.cmp(&b),
        (Cell::Text(a), Cell::Text(b)) if alike(batch.text_of(a), batch.text_of(b)) => {
            batch.text_of(a).cmp(batch.text_of(b))
        }
        (a, b) => CursorValue(value_of(batch, a)).order(&CursorValue(value_of(batch, b))),
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
    use entities::TemplateText;

    use super::super::decode::batch_of;
    use super::*;

    #[test]
    fn the_greatest_is_by_kind() {
        let spec = CursorSpec {
            field: "at".into(),
            start: TemplateText::new(""),
            lookback: None,
            granularity: None,
            at: Default::default(),
        };
        for (records, expected) in [
            (r#"[{"at":3},{"at":12},{"at":null},{"at":7}]"#, Some("12")),
            (
                r#"[{"at":"2024-01-02T00:00:00Z"},{"at":"2024-01-03T00:00:00Z"},{"at":"2024-01-01T00:00:00Z"}]"#,
                Some(r#""2024-01-03T00:00:00Z""#),
            ),
            // The same day in two zones: the later instant, not the later text.
            (
                r#"[{"at":"2024-01-02T01:00:00+02:00"},{"at":"2024-01-02T00:30:00Z"}]"#,
                Some(r#""2024-01-02T00:30:00Z""#),
            ),
            (
                r#"[{"at":"2024-01-02T00:30:00Z"},{"at":"2024-01-02T01:00:00+02:00"}]"#,
                Some(r#""2024-01-02T00:30:00Z""#),
            ),
            (r#"[{"at":"b"},{"at":"a"}]"#, Some(r#""b""#)),
            (r#"[{"at":1.5},{"at":1}]"#, Some("1.5")),
            (r#"[{"at":null}]"#, None),
            ("[]", None),
        ] {
            let greatest = greatest(&spec, &batch_of(records)).unwrap();
            assert_eq!(greatest.map(|value| value.0.to_string()).as_deref(), expected, "{records}");
        }
        let failure = greatest(&spec, &batch_of(r#"[{"id":1}]"#)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing);
        assert_eq!(failure.message, "no record has the cursor's field `at`, they have `id`");
    }
}
