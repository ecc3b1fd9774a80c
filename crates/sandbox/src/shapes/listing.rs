//! What most APIs of `shapes` do with their things: select by time, sort, cut into pages.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;

use super::world::Thing;
use crate::ask::Ask;

/// The largest page that any of them gives.
const LARGEST_SIZE: u64 = 100;

/// In order of the last change, then of number.
pub(super) fn by_change(mut things: Vec<Thing>) -> Vec<Thing> {
    things.sort_by_key(|thing| (thing.updated, thing.number));
    things
}

/// One page of a list.
pub(super) struct Page<'l> {
    pub(super) things: &'l [Thing],
    /// Number of the first, from 0.
    pub(super) start: usize,
    /// How many there are in all.
    pub(super) total: usize,
}

impl<'l> Page<'l> {
    /// `size` things from `start` on.
    pub(super) fn cut(list: &'l [Thing], start: u64, size: u64) -> Page<'l> {
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(list.len());
        let end = start.saturating_add(size as usize).min(list.len());
        Page { things: &list[start..end], start, total: list.len() }
    }

    /// Where the next page starts, if there is one.
    pub(super) fn next(&self) -> Option<usize> {
        let end = self.start + self.things.len();
        (end < self.total).then_some(end)
    }

    pub(super) fn map(&self, row: impl Fn(&Thing) -> Value) -> Value {
        self.things.iter().map(row).collect()
    }
}

/// Each thing as a row of a table.
pub(super) fn rows(things: &[Thing], row: impl Fn(&Thing) -> Value) -> Value {
    things.iter().map(row).collect()
}

/// How many things a page may have.
pub(super) fn size(ask: &Ask<'_>, name: &str, default: u64) -> Result<u64, String> {
    match ask.number(name, default)? {
        0 => Err(format!("`{name}` must be at least 1")),
        size => Ok(size.min(LARGEST_SIZE)),
    }
}

/// A parameter that is an RFC 3339 time, in milliseconds since 1970.
pub(super) fn time(ask: &Ask<'_>, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = ask.param(name) else { return Ok(None) };
    let at: Timestamp = text.parse().map_err(|_| format!("`{name}` is not an RFC 3339 time: {text:?}"))?;
    Ok(Some(at.as_millisecond()))
}

/// A parameter that is a whole number, perhaps negative.
pub(super) fn integer(ask: &Ask<'_>, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = ask.param(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("`{name}` is not a whole number: {text:?}"))
}

/// A parameter that is a day, `20240131`.
pub(super) fn day(ask: &Ask<'_>, name: &str) -> Result<Option<Date>, String> {
    let Some(text) = ask.param(name) else { return Ok(None) };
    Date::strptime("%Y%m%d", &text).map(Some).map_err(|_| format!("`{name}` is not YYYYMMDD: {text:?}"))
}

/// A part of the path that is a number.
pub(super) fn numbered<'l>(list: &'l [Thing], text: &str) -> Option<&'l Thing> {
    let number: u64 = text.parse().ok()?;
    list.iter().find(|thing| thing.number == number)
}
