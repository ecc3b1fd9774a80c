//! Where diagnostics are collected while a plan is read: byte ranges become places here.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use entities::{Place, SourceText};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};

/// The diagnostics found so far. Readers share it, so that one error does not hide the next.
#[derive(Debug)]
pub(crate) struct Findings {
    source: Arc<SourceText>,
    line_starts: Vec<usize>,
    list: RefCell<Vec<Diagnostic>>,
}

impl Findings {
    pub(crate) fn new(source: Arc<SourceText>) -> Self {
        let line_starts = std::iter::once(0)
            .chain(source.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        Findings { source, line_starts, list: RefCell::default() }
    }

    /// The place of a range of the text. Ranges are brought within the text and onto characters.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let text = &self.source.text;
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
        let line = self.line_starts.partition_point(|at| *at <= start).max(1);
        let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = text.get(line_start..start).map_or(0, |before| before.chars().count()) + 1;
        Place { start: number(start), end: number(end), line: number(line), column: number(column) }
    }

    /// The text of a range.
    pub(crate) fn text(&self, span: Range<usize>) -> &str {
        self.source.text.get(span).unwrap_or("")
    }

    /// An error about a range, still to be pushed.
    pub(crate) fn error(
        &self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(code, self.place(span), message)
    }

    pub(crate) fn push(&self, diagnostic: Diagnostic) {
        let mut list = self.list.borrow_mut();
        if !list.contains(&diagnostic) {
            list.push(diagnostic);
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list.borrow().iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Everything found, in the order of the text.
    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        let mut list = self.list.into_inner();
        list.sort_by_key(|diagnostic| (diagnostic.place.start, diagnostic.place.end));
        Diagnostics { source: self.source, list }
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
