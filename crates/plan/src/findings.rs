//! Where diagnostics are collected while a plan is read: byte ranges become places here.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use entities::{Place, SourceText, TemplateText};

use crate::brief::brief;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::strings;

/// More than anyone reads: a file that is no plan at all must not take minutes to refuse.
pub(crate) const MOST: usize = 500;

/// The diagnostics found so far. Readers share it, so that one error does not hide the next.
#[derive(Debug)]
pub(crate) struct Findings {
    source: Arc<SourceText>,
    line_starts: Vec<usize>,
    /// The place asked for last: its start, and how many characters are before it in its line.
    last: Cell<(usize, usize)>,
    list: RefCell<Vec<Diagnostic>>,
    hidden: RefCell<Vec<Hidden>>,
    /// What is hidden, as the plan means it: no message quotes it.
    unspoken: RefCell<BTreeSet<String>>,
    /// Credentials that stand where secrets are not read, by a name that no template can say.
    written: RefCell<BTreeMap<String, TemplateText>>,
}

/// A part of the text that nobody should see.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    /// The bytes that become asterisks.
    pub(crate) span: Range<usize>,
    /// A value without quotes: its first and last byte become some, or the text would be TOML no more.
    bare: bool,
}

/// A secret of at least so many bytes is looked for in messages wherever it stands, a shorter one only in quotes: words
/// would lose their letters.
const LONG: usize = 8;
/// Secrets that are looked for so; nobody has as many.
const MOST_LONG: usize = 1_000;

impl Findings {
    pub(crate) fn new(source: Arc<SourceText>) -> Self {
        let line_starts = std::iter::once(0)
            .chain(source.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        Findings {
            source,
            line_starts,
            last: Cell::default(),
            list: RefCell::default(),
            hidden: RefCell::default(),
            unspoken: RefCell::default(),
            written: RefCell::default(),
        }
    }

    /// The place of a range of the text. Ranges are brought within the text and onto characters.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let text = &self.source.text;
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
        let line = self.line_starts.partition_point(|at| *at <= start).max(1);
        let line_start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        // From the last place, if it was in the same line: a line may be all of the text, and hold thousands of places.
        let (from, columns) = Some(self.last.get())
            .filter(|(at, _)| (line_start..=start).contains(at))
            .unwrap_or((line_start, 0));
        let columns = columns + text.get(from..start).map_or(0, |before| before.chars().count());
        self.last.set((start, columns));
        let column = columns + 1;
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

    /// Records a diagnostic, without what is hidden by now and without what is too long to read.
    pub(crate) fn push(&self, mut diagnostic: Diagnostic) {
        let mut list = self.list.borrow_mut();
        if list.len() >= MOST {
            // An error is never lost to warnings: with it the plan cannot run.
            let is_warning = |one: &Diagnostic| one.severity == Severity::Warning;
            match list.iter().rposition(is_warning).filter(|_| diagnostic.severity == Severity::Error) {
                Some(warning) => list.remove(warning),
                None => return,
            };
        }
        diagnostic.message = self.sayable(diagnostic.message);
        diagnostic.label = diagnostic.label.map(|label| self.sayable(label));
        diagnostic.help = diagnostic.help.map(|help| self.sayable(help));
        diagnostic.also = diagnostic.also.map(|(place, label)| (place, self.sayable(label)));
        if !list.contains(&diagnostic) {
            list.push(diagnostic);
        }
    }

    /// A text of a diagnostic as it may be shown.
    fn sayable(&self, mut text: String) -> String {
        let unspoken = self.unspoken.borrow();
        if !unspoken.is_empty() {
            for quote in ['`', '"'] {
                let parts: Vec<&str> = text
                    .split(quote)
                    .map(|part| if unspoken.contains(part) { "***" } else { part })
                    .collect();
                text = parts.join(&quote.to_string());
            }
            for secret in unspoken.iter().filter(|secret| secret.len() >= LONG).take(MOST_LONG) {
                if text.contains(secret.as_str()) {
                    text = text.replace(secret.as_str(), "***");
                }
            }
        }
        brief(text)
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list.borrow().iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// A value of the plan that nobody should see: source lines are shown without it, messages do not quote it.
    pub(crate) fn hide(&self, span: Range<usize>) {
        let raw = self.text(span.clone());
        let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") {
            3
        } else {
            usize::from(raw.starts_with(['"', '\'']))
        };
        let value = strings::value(raw).unwrap_or_else(|| raw.to_owned());
        let inner = span.start + quotes..span.end.saturating_sub(quotes).max(span.start + quotes);
        self.conceal(Hidden { span: inner, bare: quotes == 0 }, &value);
    }

    /// A part of a string of the plan that nobody should see; `value` is what it means.
    pub(crate) fn hide_part(&self, span: Range<usize>, value: &str) {
        self.conceal(Hidden { span, bare: false }, value);
    }

    fn conceal(&self, hidden: Hidden, value: &str) {
        self.hidden.borrow_mut().push(hidden);
        let mut unspoken = self.unspoken.borrow_mut();
        for value in [value, value.trim(), &*value.escape_debug().to_string()] {
            if !value.is_empty() && !unspoken.contains(value) {
                unspoken.insert(value.to_owned());
            }
        }
    }

    /// A hidden credential that requests send and outputs must not show: one of the plan's secrets, though nobody
    /// declared it. `what` tells where it stands.
    pub(crate) fn keep(&self, what: &str, value: &str, at: Place) {
        if value.is_empty() {
            return;
        }
        let plain = |c: &char| c.is_alphanumeric() || "-_.[] ".contains(*c);
        let what: String = what.chars().filter(plain).take(100).collect();
        let mut written = self.written.borrow_mut();
        // In brackets, so that no template can name it and no declared secret has its name.
        let name = format!("({what})");
        let name = if written.contains_key(&name) { format!("({what} {})", written.len()) } else { name };
        written.insert(name, TemplateText { source: value.into(), at });
    }

    /// What was kept.
    pub(crate) fn written(&self) -> BTreeMap<String, TemplateText> {
        self.written.take()
    }

    /// The text with what is hidden as `***`, every byte where it was.
    fn shown(&self) -> Arc<SourceText> {
        let hidden = self.hidden.borrow();
        if hidden.is_empty() {
            return self.source.clone();
        }
        let text = masked(&self.source.text, &hidden);
        Arc::new(SourceText { name: self.source.name.clone(), text })
    }

    /// What nobody should see of the plan.
    pub(crate) fn into_hidden(self) -> Vec<Hidden> {
        self.hidden.into_inner()
    }

    /// Everything found, in the order of the text.
    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        let source = self.shown();
        let mut list = self.list.into_inner();
        list.sort_by_key(|diagnostic| (diagnostic.place.start, diagnostic.place.end));
        Diagnostics { source, list }
    }
}

/// A text with asterisks for each of these parts, every byte where it was.
pub(crate) fn masked(text: &str, hidden: &[Hidden]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for Hidden { span, bare } in hidden {
        let part = bytes.get_mut(span.clone()).unwrap_or_default();
        for byte in part.iter_mut() {
            if !matches!(*byte, b'\n' | b'\r') {
                *byte = b'*';
            }
        }
        if *bare && let [first, .., last] = part {
            (*first, *last) = (b'"', b'"');
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
