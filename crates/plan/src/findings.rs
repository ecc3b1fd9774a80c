//! Where diagnostics are collected while a plan is read: byte ranges become places here.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use entities::{Place, SourceText};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::strings;

/// More than anyone reads: a file that is no plan at all must not take minutes to refuse.
pub(crate) const MOST: usize = 500;

/// The diagnostics found so far. Readers share it, so that one error does not hide the next.
#[derive(Debug)]
pub(crate) struct Findings {
    source: Arc<SourceText>,
    line_starts: Vec<usize>,
    list: RefCell<Vec<Diagnostic>>,
    hidden: RefCell<Vec<Range<usize>>>,
}

impl Findings {
    pub(crate) fn new(source: Arc<SourceText>) -> Self {
        let line_starts = std::iter::once(0)
            .chain(source.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        Findings { source, line_starts, list: RefCell::default(), hidden: RefCell::default() }
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

    /// The place in the plan of a range within one of its strings.
    pub(crate) fn within(&self, at: Place, source: &str, range: Option<Range<usize>>) -> Range<usize> {
        let whole = at.start as usize..at.end as usize;
        let Some(range) = range else { return whole };
        match strings::locate(self.text(whole.clone()), source, range) {
            Some(range) => whole.start + range.start..whole.start + range.end,
            None => whole,
        }
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
        if list.len() < MOST && !list.contains(&diagnostic) {
            list.push(diagnostic);
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list.borrow().iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// A string of the plan that nobody should see: source lines are shown without it.
    pub(crate) fn hide(&self, span: Range<usize>) {
        self.hidden.borrow_mut().push(span);
    }

    /// The text with what is hidden as `***`, every byte where it was.
    fn shown(&self) -> Arc<SourceText> {
        let hidden = self.hidden.borrow();
        if hidden.is_empty() {
            return self.source.clone();
        }
        let mut bytes = self.source.text.clone().into_bytes();
        for span in hidden.iter() {
            let raw = self.text(span.clone());
            let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
            let inner = span.start + quotes..span.end.saturating_sub(quotes);
            for byte in bytes.get_mut(inner).into_iter().flatten() {
                if !matches!(*byte, b'\n' | b'\r') {
                    *byte = b'*';
                }
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => Arc::new(SourceText { name: self.source.name.clone(), text }),
            Err(_) => Arc::new(SourceText { name: self.source.name.clone(), text: String::new() }),
        }
    }

    /// Everything found, in the order of the text.
    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        let source = self.shown();
        let mut list = self.list.into_inner();
        list.sort_by_key(|diagnostic| (diagnostic.place.start, diagnostic.place.end));
        Diagnostics { source, list }
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
