//! What is to say about a plan's text, with line and column.

use entities::Place;
use plan::{Diagnostic, Severity};
use serde::Serialize;
use utoipa::ToSchema;

/// Whether a plan with it can run.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SeverityWord {
    /// It cannot.
    Error,
    /// It can, but its author should know.
    Warning,
}

/// One thing to say about a plan. Lines and columns count from 1, columns in characters; they are null where it is
/// not about the text.
#[derive(Serialize, ToSchema)]
pub(crate) struct DiagnosticView {
    /// Error or warning.
    pub(crate) severity: SeverityWord,
    /// A stable name for its kind: `unknown-key`.
    pub(crate) code: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to say beside the place.
    #[schema(required)]
    pub(crate) label: Option<String>,
    /// How to fix it.
    #[schema(required)]
    pub(crate) help: Option<String>,
    /// The line it begins on.
    #[schema(required)]
    pub(crate) line: Option<u32>,
    /// The column it begins at.
    #[schema(required)]
    pub(crate) column: Option<u32>,
    /// The line it ends on.
    #[schema(required)]
    pub(crate) end_line: Option<u32>,
    /// The column behind its last character.
    #[schema(required)]
    pub(crate) end_column: Option<u32>,
    /// Another place that has to do with it.
    #[schema(required)]
    pub(crate) also: Option<SpotView>,
}

/// Another place, and what is said there.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpotView {
    /// The line, from 1.
    pub(crate) line: u32,
    /// The column, from 1.
    pub(crate) column: u32,
    /// What is said there.
    pub(crate) message: String,
}

impl DiagnosticView {
    /// `text` is the text it is about.
    pub(crate) fn new(diagnostic: &Diagnostic, text: &str) -> Self {
        let Diagnostic { severity, code, message, place, label, also, help } = diagnostic;
        let known = place.line > 0;
        let end = known.then(|| end_of(*place, text));
        DiagnosticView {
            severity: match severity {
                Severity::Error => SeverityWord::Error,
                Severity::Warning => SeverityWord::Warning,
            },
            code: (*code).to_owned(),
            message: message.clone(),
            label: label.clone(),
            help: help.clone(),
            line: known.then_some(place.line),
            column: known.then_some(place.column),
            end_line: end.map(|(line, _)| line),
            end_column: end.map(|(_, column)| column),
            also: also.as_ref().filter(|(place, _)| place.line > 0).map(|(place, message)| SpotView {
                line: place.line,
                column: place.column,
                message: message.clone(),
            }),
        }
    }
}

/// Line and column of a place's end. A text that is not the one the place was found in gives its beginning.
fn end_of(place: Place, text: &str) -> (u32, u32) {
    let Some(inside) = text.get(place.start as usize..place.end as usize) else {
        return (place.line, place.column);
    };
    let count = |characters: usize| u32::try_from(characters).unwrap_or(u32::MAX);
    let lines = count(inside.matches('\n').count());
    let last = count(inside.rsplit('\n').next().unwrap_or_default().chars().count());
    if lines == 0 {
        (place.line, place.column.saturating_add(last))
    } else {
        (place.line.saturating_add(lines), last.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_counted_in_characters() {
        let text = "a = 1\nnamé = \"日本\"\n\"\"\"x\ny\"\"\"\n";
        for (part, line, column, expected) in
            [("1", 1, 5, (1, 6)), ("\"日本\"", 2, 8, (2, 12)), ("x\ny", 3, 4, (4, 2))]
        {
            let start = text.find(part).unwrap();
            let place = Place {
                start: u32::try_from(start).unwrap(),
                end: u32::try_from(start + part.len()).unwrap(),
                line,
                column,
            };
            assert_eq!(end_of(place, text), expected, "{part}");
        }
        let elsewhere = Place { start: 500, end: 510, line: 9, column: 2 };
        assert_eq!(end_of(elsewhere, text), (9, 2));
    }
}
