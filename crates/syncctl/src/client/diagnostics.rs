//! Diagnostics that a server sent, put back on the text that was sent to it: shown as `validate` shows its own.

use std::sync::Arc;

use entities::{Place, SourceText};
use plan::{Diagnostic, Diagnostics, Severity};
use serde_json::Value;

use crate::terminal::clean;

/// `list` as the API has it; `name` and `text` are those of the plan's file.
pub(crate) fn diagnostics(list: &Value, name: &str, text: &str) -> Diagnostics {
    let list = list.as_array().into_iter().flatten().map(|one| diagnostic(one, text)).collect();
    // Secrets that are written into it are asterisks, as `validate` has it; every byte keeps its place.
    let source = SourceText { name: name.to_owned(), text: plan::shown(text) };
    Diagnostics { source: Arc::new(source), list }
}

fn diagnostic(one: &Value, text: &str) -> Diagnostic {
    let words = |field: &str| one[field].as_str().map(|words| clean(words).into_owned());
    let from = spot(one, "line", "column", text);
    let place = from.map(|from| {
        let to = spot(one, "end_line", "end_column", text).filter(|to| to.start > from.start);
        let end = to.map_or_else(|| one_more(from.start, text), |to| to.start);
        Place { end, ..from }
    });
    let also = &one["also"];
    let also = spot(also, "line", "column", text).map(|place| {
        let place = Place { end: one_more(place.start, text), ..place };
        (place, clean(also["message"].as_str().unwrap_or_default()).into_owned())
    });
    Diagnostic {
        severity: if one["severity"] == "warning" { Severity::Warning } else { Severity::Error },
        // A few short names a call, and the process ends with the call.
        code: Box::leak(words("code").unwrap_or_else(|| "error".to_owned()).into_boxed_str()),
        message: words("message").unwrap_or_default(),
        place: place.unwrap_or_default(),
        label: words("label"),
        also,
        help: words("help"),
    }
}

/// The place of a character; none if the text has no such line. Columns behind the end of a line are at its end.
fn spot(one: &Value, line: &str, column: &str, text: &str) -> Option<Place> {
    let number = |field: &str| one[field].as_u64().and_then(|number| u32::try_from(number).ok());
    let (line, column) = (number(line)?, number(column)?);
    let before = usize::try_from(line.checked_sub(1)?).ok()?;
    let start = match before {
        0 => 0,
        before => text.match_indices('\n').nth(before - 1)?.0 + 1,
    };
    let rest = text[start..].split('\n').next().unwrap_or_default();
    let into = usize::try_from(column.saturating_sub(1)).ok()?;
    let offset = rest.char_indices().nth(into).map_or(rest.len(), |(offset, _)| offset);
    let start = u32::try_from(start + offset).ok()?;
    Some(Place { start, end: start, line, column })
}

/// Behind the character at `start`, which must be on a boundary.
fn one_more(start: u32, text: &str) -> u32 {
    let rest = text.get(start as usize..).and_then(|rest| rest.chars().next());
    let length = rest.filter(|c| *c != '\n').map_or(0, char::len_utf8);
    start.saturating_add(u32::try_from(length).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_come_back_onto_the_text() {
        let text = "[plan]\nname = \"日本\"\nx = 1\n";
        for (one, expected) in [
            (json!({"line": 2, "column": 8, "end_line": 2, "end_column": 12}), Some("\"日本\"")),
            (json!({"line": 3, "column": 5}), Some("1")),
            (json!({"line": 1, "column": 1, "end_line": 1, "end_column": 7}), Some("[plan]")),
            (json!({"line": 1, "column": 500}), Some("")),
            (json!({"line": 4, "column": 1}), Some("")),
            (json!({"line": 99, "column": 1}), None),
            (json!({"line": 0, "column": 0}), None),
            (json!({"line": null, "column": null}), None),
        ] {
            let place = diagnostic(&one, text).place;
            let found = (place.line > 0).then(|| &text[place.start as usize..place.end as usize]);
            assert_eq!(found, expected, "{one}");
        }
        let list = json!([{"severity": "error", "code": "denied", "message": "no\x1b[2J", "line": 3, "column": 1,
            "also": {"line": 1, "column": 2, "message": "here"}, "help": "ask"}]);
        let shown = diagnostics(&list, "p.toml", text).render(false);
        assert!(shown.contains("error[denied]: no\\u{1b}[2J") && shown.contains("p.toml:3:1"), "{shown}");
        assert!(shown.contains("ask") && shown.contains("1 error"), "{shown}");
    }
}
