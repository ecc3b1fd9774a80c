//! `cursor`: incremental runs.

use entities::{CursorKind, CursorSpec, TemplateText};
use serde_json::Value;
use toml::de::DeValue;

use crate::endpoint::positive_duration;
use crate::item::Item;

/// Reads `cursor`.
pub(crate) fn cursor(item: &Item<'_>) -> Option<CursorSpec> {
    let mut section =
        item.section("cursor = { field = \"updated_at\", start = \"2024-01-01T00:00:00Z\" }")?;
    let field = section.need("field", "\"updated_at\"");
    let start = section.need("start", "\"2024-01-01T00:00:00Z\"");
    let lookback = section.take("lookback");
    let granularity = section.take("granularity");
    section.finish();
    let field = field.as_ref().and_then(cursor_field).unwrap_or_default();
    let at = start.as_ref().map_or(item.span(), Item::span);
    let start = start.as_ref().and_then(cursor_start).unwrap_or_default();
    // A broken cursor is still one: that it is missing would be a second, false error.
    Some(CursorSpec {
        field,
        start: TemplateText { source: start.into(), at: item.findings.place(at) },
        lookback: lookback.as_ref().and_then(positive_duration),
        granularity: granularity.as_ref().and_then(positive_duration),
        at: item.findings.place(item.key_span.clone()),
    })
}

/// Whether the values of a cursor that starts so are times.
pub(crate) fn is_time(start: &str) -> bool {
    CursorKind::of(&Value::from(start)) != CursorKind::Other
}

fn cursor_field(item: &Item<'_>) -> Option<String> {
    let field = item.string()?;
    if field.is_empty() || field.starts_with('.') {
        item.wrong(
            "bad-cursor",
            format!("`{field}` is not the name of a field"),
            "expected a field of the final record",
            format!("write the name alone: \"{}\"", field.trim_start_matches('.')),
        );
        return None;
    }
    Some(field.to_owned())
}

/// A number becomes the template that yields it: a JSON body has to send a number in the first run as
/// in the next ones.
fn cursor_start(item: &Item<'_>) -> Option<String> {
    match item.get() {
        DeValue::Integer(_) => item.integer().map(|start| format!("{{{{ {start} }}}}")),
        _ => item.date_text(),
    }
}
