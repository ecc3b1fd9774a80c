//! What minijinja says when a template fails, in our words: the name that is meant, and its place in the
//! source as the author wrote it.

use std::ops::Range;

use minijinja::{Error, ErrorKind};

use super::{FUEL, Places, Template};
use crate::{ExprError, Scope, filters, scan};

/// What converting a value says of one within it.
const NESTED: &str = "the value is undefined";
const MAY_BE_MISSING: &str = "give what may be missing a value: `| default(…)` right behind it";

impl Template {
    /// An error of minijinja, which counts bytes from `offset` on in the source that it got.
    pub(super) fn failed(
        &self,
        error: &Error,
        offset: usize,
        places: &Places,
        scope: &Scope<'_>,
    ) -> ExprError {
        let at = error.range().map(|at| {
            let at = places.rewritten.before(at.start + offset..at.end + offset);
            // Where a filter was put in, what stands before it is meant.
            let meant = places.reads.iter().find(|(_, read, _)| at.is_empty() && read.end == at.start);
            clamp(&self.0.source, meant.map_or(at, |(_, read, _)| read.clone()))
        });
        let undefined = error.kind() == ErrorKind::UndefinedError
            || error
                .detail()
                .is_some_and(|detail| detail.ends_with("is undefined)") || detail.ends_with("is undefined"));
        let mut failed = match error.kind() {
            ErrorKind::OutOfFuel => ExprError::new(format!(
                "the template takes more than {FUEL} steps (64 bytes of text are one); shorten its loops and texts"
            )),
            _ if undefined => self.undefined(at.clone(), places, scope).unwrap_or_else(|| describe(error)),
            _ => describe(error),
        };
        failed.at = at;
        self.named(failed)
    }

    /// Puts the words of the author where an error only says that something is undefined.
    pub(super) fn named(&self, mut error: ExprError) -> ExprError {
        let unnamed =
            ["undefined value", NESTED, "`(...)"].iter().any(|said| error.message.starts_with(said));
        if unnamed {
            let part = self.part(error.at.clone().unwrap_or(0..0));
            error.message = format!("a value in `{part}` is undefined");
            error.help = Some(MAY_BE_MISSING.to_owned());
        }
        error
    }

    /// What is said of a template that is one expression, which has no value.
    pub(super) fn nothing(&self) -> ExprError {
        ExprError::new(format!("`{}` is undefined", self.part(0..0))).help(Some(MAY_BE_MISSING.to_owned()))
    }

    /// What stands at `at`: a filter with all that goes into it, the whole expression for an empty range.
    fn part(&self, at: Range<usize>) -> &str {
        let source = &*self.0.source;
        let is_filter = source[..at.start].trim_end().ends_with('|');
        if !at.is_empty() && !is_filter {
            return &source[at];
        }
        let before = &source[..at.start];
        let open = before.rfind("{{").max(before.rfind("{%"));
        let first = || source.find("{{").into_iter().chain(source.find("{%")).min();
        let start = open.or_else(first).map_or(0, |open| open + 2);
        let rest = &source[start..];
        let close = rest.find("}}").into_iter().chain(rest.find("%}")).min().unwrap_or(rest.len());
        let end = if is_filter { at.end.clamp(start, source.len()) } else { start + close };
        source[start..end].trim_matches(['-', '+', ' ', '\t', '\n', '\r'])
    }

    /// The name that is not defined: within `at`, or else the nearest one before it, or else any. A
    /// name that `default` covers comes last.
    pub(super) fn undefined(
        &self,
        at: Option<Range<usize>>,
        places: &Places,
        scope: &Scope<'_>,
    ) -> Option<ExprError> {
        let failing = |covered: bool, stands: &dyn Fn(&Range<usize>) -> bool| {
            let reads = places.reads.iter().filter(|read| read.2 == covered && stands(&read.1));
            let failures = reads.filter_map(|(name, ..)| {
                let path: Vec<Box<str>> = name.split('.').map(Box::from).collect();
                scope.resolve(&path).err()
            });
            failures.collect::<Vec<_>>()
        };
        let nearest = at.and_then(|at| {
            let within = |read: &Range<usize>| read.start < at.end && at.start < read.end;
            let mut failures = failing(false, &within).into_iter();
            failures
                .next()
                .or_else(|| self.local(&at, places))
                .or_else(|| failing(false, &|read| read.end <= at.start).pop())
                .or_else(|| failing(true, &within).into_iter().next())
        });
        let first = |covered: bool| failing(covered, &|_| true).into_iter().next();
        nearest.or_else(|| first(false)).or_else(|| first(true))
    }

    /// A field of a name of a loop or `set`, if that is what stands there.
    fn local(&self, at: &Range<usize>, places: &Places) -> Option<ExprError> {
        let elsewhere = places.reads.iter().any(|(_, read, _)| read == at);
        if elsewhere || self.0.source[..at.start].trim_end().ends_with('|') {
            return None;
        }
        let name = scan::dotted(self.0.source.get(at.clone())?.trim())?.join(".");
        Some(ExprError::new(format!("`{name}` is not defined")))
    }

    pub(super) fn raw_refused(&self) -> ExprError {
        ExprError::new(format!("`{}`: {}", self.0.source.trim(), filters::RAW_REFUSED))
    }

    pub(super) fn null(&self) -> ExprError {
        ExprError::new(format!(
            "`{}` is null; give it a value with `| default(…, true)`",
            self.0.source.trim()
        ))
    }
}

/// An error of compiling; `place` says where something stands in `source`.
pub(super) fn compile_error(
    error: &Error,
    source: &str,
    place: impl FnOnce(Range<usize>) -> Range<usize>,
) -> ExprError {
    let mut described = describe(error);
    described.at = error.range().map(|at| clamp(source, place(at)));
    described
}

/// A range that lies on characters of `source`.
fn clamp(source: &str, range: Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(range.start);
    start..floor(range.end).max(start)
}

fn describe(error: &Error) -> ExprError {
    let mut message = match error.detail() {
        Some(detail) => detail.to_owned(),
        // Only negation fails without saying why.
        None if error.kind() == ErrorKind::InvalidOperation => {
            "a sign stands before what cannot be calculated with".to_owned()
        }
        None => error.kind().to_string(),
    };
    if error.kind() == ErrorKind::SyntaxError {
        message = format!("the template does not parse: {message}");
    }
    // Only numbers with too many digits are plain objects here.
    if message.contains("plain object") {
        filters::TOO_LONG.clone_into(&mut message);
    }
    let help = (message.starts_with("tried to use") && message.contains("string")).then(|| {
        "to move a date, write the date first: now + duration(\"7d\"); to join texts, write `~`".to_owned()
    });
    ExprError { message, at: error.range(), help }
}
