//! How the paging goes on after a page.
//!
//! [`Paging::listen`] asks the answer what it says about it; [`Paging::onward`] decides, from that and
//! from the task's [`Page`] alone. It never asks for a page twice and never leaves one out: of pages
//! that go out in parallel, a page below [`Page::last`] is followed only by the one a stride further,
//! and the page that is `last` (the frontier) answers for all that lies behind it.

use entities::{
    Failure, FailureClass, FailureKind, Next, Page, Paginate, PaginateBy, Place, Position, Secrets,
};
use serde_json::Value;

use super::decode::{Decoded, shortened};
use super::program::Program;
use super::view::View;
use super::{link, next_url};
use crate::address::url_of;
use crate::answer::Answer;

/// `paginate`, compiled.
pub(super) struct Paging {
    by: By,
    until: Option<Program>,
    max_pages: Option<u32>,
    /// Strands at most; 1 when pages can only be asked for one after the other.
    strands: u32,
    at: Place,
}

enum By {
    Page { start: i64, size: Option<u64>, pages: Option<Program>, total: Option<Program> },
    Offset { start: i64, size: Option<u64>, total: Option<Program> },
    Token { next: Program },
    Url { next: Program },
    Link { rel: String },
}

/// What an answer says about its paging.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// `until` holds.
    until: bool,
    /// How many records there are.
    total: Option<u64>,
    /// How many pages there are.
    pages: Option<u64>,
    /// What asks for the next page, for the kinds that say so.
    next: Option<Position>,
}

/// What came with a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    /// Records, before `where`.
    pub(super) received: u64,
    /// Of the records, if there are any.
    pub(super) fingerprint: Option<u64>,
}

impl Paging {
    /// `strands`: how many may go out in parallel; `in_order`: none may, since a `stop` rule may end
    /// them, or a sum is made of them.
    pub(super) fn compile(
        paginate: &Paginate,
        names: &[&str],
        strands: u32,
        in_order: bool,
    ) -> Result<Paging, Failure> {
        let size = |size: &Option<entities::SizeParam>| size.as_ref().map(|size| size.value);
        let by = match &paginate.by {
            PaginateBy::Page { start, size: asked, pages, total, .. } => By::Page {
                start: *start,
                size: size(asked),
                pages: Program::compile_some("pages", pages.as_ref(), names)?,
                total: Program::compile_some("total", total.as_ref(), names)?,
            },
            PaginateBy::Offset { start, size: asked, total, .. } => By::Offset {
                start: *start,
                size: size(asked),
                total: Program::compile_some("total", total.as_ref(), names)?,
            },
            PaginateBy::Token { next, .. } => By::Token { next: Program::compile("next", next, names)? },
            PaginateBy::Url { next } => By::Url { next: Program::compile("next", next, names)? },
            PaginateBy::Link { rel } => By::Link { rel: rel.clone() },
        };
        let until = Program::compile_some("until", paginate.until.as_ref(), names)?;
        let strands = if until.is_some() || in_order { 1 } else { strands.max(1) };
        Ok(Paging { by, until, max_pages: paginate.max_pages, strands, at: paginate.at })
    }

    /// What the answer says about its paging. `own`: the query parameters that carry the credential.
    pub(super) fn listen(
        &self,
        page: &Page,
        decoded: &Decoded<'_>,
        view: &View<'_>,
        answer: &Answer,
        secrets: &Secrets,
        own: &[String],
    ) -> Result<Said, Failure> {
        let mut said = Said::default();
        if let By::Link { rel } = &self.by
            && let Some(target) = link::target(&answer.headers, rel).filter(|target| !target.is_empty())
        {
            said.next = Some(self.url(&target, answer, secrets, own)?);
        }
        if answer.body.is_empty() {
            return Ok(said);
        }
        if let Some(until) = &self.until {
            let outputs = decoded.outputs(until, view)?;
            said.until =
                outputs.first().is_some_and(|first| !matches!(first, Value::Null | Value::Bool(false)));
        }
        let counted = |program: Option<&Program>| match program {
            Some(program) => count(program, page, decoded, view),
            None => Ok(None),
        };
        match &self.by {
            By::Page { pages, total, .. } => {
                said.pages = counted(pages.as_ref())?;
                said.total = counted(total.as_ref())?;
            }
            By::Offset { total, .. } => said.total = counted(total.as_ref())?,
            By::Token { next } => {
                said.next = match first(decoded.outputs(next, view)?) {
                    Value::Null | Value::Bool(false) => None,
                    Value::String(token) if token.is_empty() => None,
                    Value::String(token) if next_url::holds_secret(&token, secrets) => {
                        return Err(self.failure(
                            FailureKind::Decode,
                            "the next page's token holds a secret, and the ledger keeps where a paging stands".to_owned(),
                        ));
                    }
                    token @ (Value::String(_) | Value::Number(_)) => Some(Position::Token(token)),
                    other => return Err(unfit(next, &other, "a text or a number")),
                };
            }
            By::Url { next } => {
                said.next = match first(decoded.outputs(next, view)?) {
                    Value::Null | Value::Bool(false) => None,
                    Value::String(url) if url.is_empty() => None,
                    Value::String(url) => Some(self.url(&url, answer, secrets, own)?),
                    other => return Err(unfit(next, &other, "a URL")),
                };
            }
            By::Link { .. } => {}
        }
        Ok(said)
    }

    fn url(
        &self,
        url: &str,
        answer: &Answer,
        secrets: &Secrets,
        own: &[String],
    ) -> Result<Position, Failure> {
        url_of(&answer.url)
            .and_then(|request| next_url::relative(url, &request, secrets, own))
            .map(Position::Url)
            .map_err(|failure| failure.at(self.at))
    }

    /// How the paging goes on after `page`. An error fails the page's task: nothing of it lands.
    pub(super) fn onward(&self, page: &Page, came: Came, said: Said) -> Result<Next, Failure> {
        if came.fingerprint.is_some() && came.fingerprint == page.previous {
            let before = if page.stride > 1 { 1 } else { page.number.saturating_sub(1) };
            let message = format!("page {} has the same records as page {before}", page.number);
            return Err(self
                .failure(FailureKind::PageLoop, message)
                .help("does the API know the paging parameter, and does it end with an empty page?"));
        }
        if said.until {
            return Ok(Next::End);
        }
        match &self.by {
            By::Page { .. } => self.numbered(page, came, &said),
            By::Offset { .. } if self.strands == 1 => self.offset(page, came, &said),
            By::Offset { .. } => self.numbered(page, came, &said),
            By::Token { .. } | By::Url { .. } | By::Link { .. } => match said.next {
                Some(position) if came.received > 0 => Ok(self.open(page, came, position, None)),
                _ => Ok(Next::End),
            },
        }
    }

    /// Offsets one after the other: what was received says where the next page begins, so pages of
    /// any length leave no hole.
    fn offset(&self, page: &Page, came: Came, said: &Said) -> Result<Next, Failure> {
        let start = self.start();
        let next = self.position_of(page).saturating_add(signed(came.received));
        let passed = unsigned(next.saturating_sub(if start <= 1 { start } else { 0 }));
        let step = page.step.unwrap_or(came.received);
        match said.total {
            Some(total) if came.received == 0 && passed < total => {
                Err(self.short(page, format!("is empty, but only {passed} of {total} records came")))
            }
            _ if came.received == 0 => Ok(Next::End),
            Some(total) if passed >= total => {
                let full = came.received >= step && self.full(page, came);
                let within = self.max_pages.is_none_or(|most| page.number < most);
                if full && within {
                    Ok(self.open(page, came, Position::Offset(next), Some(page.number)))
                } else {
                    Ok(Next::End)
                }
            }
            _ => Ok(self.open(page, came, Position::Offset(next), None)),
        }
    }

    /// Page numbers, and offsets that are multiples of page 1's length.
    fn numbered(&self, page: &Page, came: Came, said: &Said) -> Result<Next, Failure> {
        let step = page.step.unwrap_or(came.received);
        let newest = self.last_page(said, step);
        let known = newest.or(page.last);
        self.check_length(page, came, said, step, known)?;

        if self.strands > 1
            && let Some(last) = page.last.filter(|last| page.number < *last)
        {
            return Ok(self.along(page, step, last));
        }
        let one_further = |last| self.open(page, came, self.behind(page, came), last);
        match known {
            None if came.received == 0 => Ok(Next::End),
            None => Ok(one_further(None)),
            Some(known) if page.number < known => Ok(self.further(page, came, step, known)),
            Some(_) if came.received == 0 => Ok(Next::End),
            Some(known) if page.number > known => Ok(one_further(Some(known))),
            // The known end. If that page is full there may be more than the source says.
            Some(known) => {
                let full = came.received >= step && self.full(page, came);
                let within = self.max_pages.is_none_or(|most| page.number < most);
                Ok(if full && within { one_further(Some(known)) } else { Next::End })
            }
        }
    }

    /// How it goes on after a page that a rule skipped: a strand goes on with the page a stride
    /// further, or the pages behind would be missing without a word; any other paging has ended.
    pub(super) fn past(&self, page: &Page) -> Next {
        match (&self.by, page.step, page.last) {
            (By::Page { .. } | By::Offset { .. }, Some(step), Some(last))
                if self.strands > 1 && page.number < last =>
            {
                self.along(page, step, last)
            }
            _ => Next::End,
        }
    }

    /// The next page of a strand.
    fn along(&self, page: &Page, step: u64, last: u32) -> Next {
        let Some(number) = page.number.checked_add(page.stride).filter(|number| *number <= last) else {
            return Next::End;
        };
        let ahead = i64::from(page.stride).saturating_mul(self.distance(step));
        Next::Pages(vec![Page { number, position: self.moved(page, ahead), ..page.clone() }])
    }

    /// The pages behind the frontier, up to the known last one.
    fn further(&self, page: &Page, came: Came, step: u64, known: u32) -> Next {
        let last = self.max_pages.map_or(known, |most| known.min(most));
        if last <= page.number || self.strands == 1 {
            return self.open(page, came, self.behind(page, came), Some(known));
        }
        let strands = (last - page.number).min(self.strands);
        let previous = if page.number == 1 { came.fingerprint } else { page.previous };
        let first = Page { position: self.behind(page, came), ..page.clone() };
        Next::Pages(
            (0..strands)
                .map(|strand| Page {
                    number: page.number + 1 + strand,
                    position: self.moved(&first, i64::from(strand).saturating_mul(self.distance(step))),
                    previous,
                    stride: strands,
                    step: Some(step),
                    last: Some(last),
                    received: None,
                    total: None,
                })
                .collect(),
        )
    }

    /// The one page that follows, if it may be asked for.
    fn open(&self, page: &Page, came: Came, position: Position, last: Option<u32>) -> Next {
        let next = Page {
            number: page.number.saturating_add(1),
            position,
            previous: came.fingerprint,
            stride: 1,
            step: page.step.or(Some(came.received)),
            last,
            received: None,
            total: None,
        };
        match self.max_pages {
            Some(most) if next.number > most => {
                let message = format!("page {} is needed, but `max_pages` is {most}", next.number);
                let failure = self.failure(FailureKind::TooManyPages, message).help("raise `max_pages`");
                Next::Broken(next, failure)
            }
            _ => Next::Pages(vec![next]),
        }
    }

    /// "Never quietly short": what the source says there is must come.
    fn check_length(
        &self,
        page: &Page,
        came: Came,
        said: &Said,
        step: u64,
        known: Option<u32>,
    ) -> Result<(), Failure> {
        let Some(known) = known else { return Ok(()) };
        let of = match (said.pages, said.total) {
            (None, Some(total)) => counted(total),
            _ => format!("{known} pages"),
        };
        if page.number > known {
            return Ok(());
        }
        if came.received == 0 {
            if page.number == 1 && known <= 1 && said.total.unwrap_or(0) == 0 {
                return Ok(());
            }
            return Err(self.short(page, format!("is empty, but the source says there are {of}")));
        }
        if page.number < known {
            if came.received < step {
                let message = format!(
                    "has {}, page 1 had {step}, and it is not the last: the source says there are {of}",
                    counted(came.received)
                );
                return Err(self.short(page, message));
            }
            if came.received > step && self.strands > 1 && matches!(self.by, By::Offset { .. }) {
                let message =
                    format!("has {}, page 1 had {step}: the pages would overlap", counted(came.received));
                return Err(self.short(page, message));
            }
            return Ok(());
        }
        // On the last page, what is left.
        if let (None, Some(total)) = (said.pages, said.total) {
            let before = u64::from(known - 1).saturating_mul(step).saturating_add(self.skipped(step));
            let left = total.saturating_sub(before).min(step);
            if came.received < left {
                let message = format!(
                    "has {}, but {left} are left: the source says there are {of}",
                    counted(came.received)
                );
                return Err(self.short(page, message));
            }
        }
        Ok(())
    }

    /// The number of the last page, as this answer tells it: 0 if there is no page.
    fn last_page(&self, said: &Said, step: u64) -> Option<u32> {
        let start = self.start();
        let pages = match (said.pages, said.total) {
            (Some(pages), _) => pages.saturating_sub(unsigned(start.saturating_sub(1))),
            (None, Some(total)) if step == 0 => u64::from(total > 0),
            (None, Some(total)) => total.saturating_sub(self.skipped(step)).div_ceil(step),
            (None, None) => return None,
        };
        Some(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    /// Records in front of the first page, when the plan starts later than at the beginning.
    fn skipped(&self, step: u64) -> u64 {
        match &self.by {
            By::Page { start, .. } if *start > 1 => unsigned(*start - 1).saturating_mul(step),
            By::Offset { start, .. } if *start > 1 => unsigned(*start),
            _ => 0,
        }
    }

    /// Whether a last page is as long as pages get. Page 1 is the measure of all others; its own
    /// measure is the size that was asked for.
    fn full(&self, page: &Page, came: Came) -> bool {
        let size = match &self.by {
            By::Page { size, .. } | By::Offset { size, .. } => *size,
            _ => None,
        };
        page.number > 1 || size.is_none_or(|size| came.received >= size)
    }

    fn start(&self) -> i64 {
        match &self.by {
            By::Page { start, .. } | By::Offset { start, .. } => *start,
            _ => 0,
        }
    }

    fn position_of(&self, page: &Page) -> i64 {
        match page.position {
            Position::Number(at) | Position::Offset(at) => at,
            _ => self.start(),
        }
    }

    /// How far the positions of two pages in a row are apart.
    fn distance(&self, step: u64) -> i64 {
        if matches!(self.by, By::Offset { .. }) { signed(step) } else { 1 }
    }

    /// The position right behind a page.
    fn behind(&self, page: &Page, came: Came) -> Position {
        self.moved(page, self.distance(came.received))
    }

    fn moved(&self, page: &Page, by: i64) -> Position {
        let at = self.position_of(page).saturating_add(by);
        if matches!(self.by, By::Offset { .. }) { Position::Offset(at) } else { Position::Number(at) }
    }

    fn short(&self, page: &Page, what: String) -> Failure {
        self.failure(FailureKind::Short, format!("page {} {what}", page.number))
    }

    fn failure(&self, kind: FailureKind, message: String) -> Failure {
        Failure::new(FailureClass::Permanent, kind, message).at(self.at)
    }
}

/// "1 record", "2 records".
pub(super) fn counted(records: u64) -> String {
    if records == 1 { "1 record".to_owned() } else { format!("{records} records") }
}

/// A number that the answer gives. Page 1 must give it, a page without records need not.
pub(super) fn count(
    program: &Program,
    page: &Page,
    decoded: &Decoded<'_>,
    view: &View<'_>,
) -> Result<Option<u64>, Failure> {
    let optional = program.path().is_some_and(|path| path.optional);
    match first(decoded.outputs(program, view)?) {
        Value::Null if optional || page.number > 1 => Ok(None),
        Value::Null => {
            let message =
                format!("the answer does not say how many there are: nothing at `{}`", program.source);
            Err(Failure::new(FailureClass::Permanent, FailureKind::Missing, message).at(program.at))
        }
        Value::Number(number) if number.as_f64().is_some_and(|number| number >= 0.0) => {
            Ok(number.as_u64().or_else(|| number.as_f64().map(|number| number as u64)))
        }
        Value::String(text) if text.trim().parse::<u64>().is_ok() => Ok(text.trim().parse().ok()),
        other => Err(unfit(program, &other, "a number")),
    }
}

fn first(outputs: Vec<Value>) -> Value {
    outputs.into_iter().next().unwrap_or(Value::Null)
}

fn unfit(program: &Program, value: &Value, wanted: &str) -> Failure {
    let shown = shortened(&value.to_string(), 40);
    let message = format!("`{}` should yield {wanted}, it yields {shown}", program.source);
    Failure::new(FailureClass::Permanent, FailureKind::Decode, message).at(program.at)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests;
