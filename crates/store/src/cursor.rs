//! Cursors: what of a combination has landed for good, and from where the next run goes on.
//!
//! Without windows the greatest value waits as `seen` until nothing of the combination is unsettled, be it
//! in this run or in a later one that makes good what this one owed. With windows the value is the end of
//! the contiguous finished ones, and `reached` the end of all.
//!
//! Whoever touches a cursor first in a run keeps what it was: a resumed run goes on with what held when it
//! began, and an undone one goes back to it.

use std::collections::HashSet;

use entities::{CursorKind, CursorValue, Landing, RunId};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::active::{ActiveSpec, Advance};
use crate::boundary;
use crate::trouble::Trouble;

/// Whose cursor.
pub(crate) struct CursorKey<'a> {
    /// The plan.
    pub plan: &'a str,
    /// The task spec.
    pub task: &'a str,
    /// The combination.
    pub combination: &'a str,
}

/// How a landing ended, as far as its cursor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// Well.
    Well,
    /// Not well: it is unsettled.
    Failed,
}

/// What a cursor is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Marks {
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    seen: Option<Value>,
    #[serde(default)]
    reached: Option<Value>,
}

struct Held {
    now: Marks,
    before: Marks,
}

/// The cursor's part of a landing whose request has been noted. `repeats`: it makes good what an earlier
/// run owed.
pub(crate) fn land(
    conn: &Connection,
    key: &CursorKey<'_>,
    spec: &ActiveSpec,
    landing: &Landing,
    came: Came,
    repeats: bool,
) -> Result<(), Trouble> {
    let run = landing.run;
    let mut held = held(conn, key, run)?;
    let was = held.now.clone();
    match spec.advance {
        None => return Ok(()),
        Some(Advance::Greatest) if came == Came::Failed => {
            let published = std::mem::replace(&mut held.now.value, held.before.value.clone());
            held.now.seen = greater(held.now.seen, published);
        }
        Some(Advance::Greatest) => {
            if let Some(seen) = &landing.cursor {
                let raised =
                    held.now.seen.as_ref().is_none_or(|held| seen.order(&CursorValue(held.clone())).is_gt());
                if raised {
                    held.now.seen = Some(seen.0.clone());
                }
                if let (Some(field), Ok(batch), Some(seen)) =
                    (&spec.boundary, &landing.result, &held.now.seen)
                {
                    let seen = CursorValue(seen.clone());
                    boundary::remember(conn, key, field, landing, batch, &seen, raised, repeats)?;
                    for part in batch.spooled.iter().flat_map(|spooled| spooled.parts()) {
                        let part = part.map_err(|failure| Trouble::Ledger(failure.message))?;
                        boundary::remember(conn, key, field, landing, &part.records, &seen, false, repeats)?;
                    }
                }
            }
            if !is_unsettled(conn, run, spec.number, key.combination)? {
                held.now.value = greater(held.now.value, held.now.seen.take());
            }
        }
        Some(advance) => {
            let end = landing.task.slice.as_ref().and_then(|slice| slice.end.as_ref());
            held.now.reached = greater(held.now.reached, end.map(utc));
            if advance == Advance::Prefix {
                let prefix = prefix(conn, run, spec.number, key.combination, held.now.reached.as_ref())?;
                held.now.value = greater(held.now.value, prefix);
            }
        }
    }
    // A failure is worth a row even so: it says that something of the combination is owed. And what makes it
    // good is, where that is published when the spec ends.
    let is_made_good = repeats && spec.advance == Some(Advance::PrefixAtEnd);
    if held.now != was || came == Came::Failed || is_made_good {
        save(conn, key, run, &held)?;
    }
    Ok(())
}

/// Publishes what waits for the end of the spec.
pub(crate) fn end_spec(conn: &Connection, plan: &str, run: RunId, spec: &ActiveSpec) -> Result<(), Trouble> {
    if spec.advance != Some(Advance::PrefixAtEnd) {
        return Ok(());
    }
    let touched: Vec<String> = conn
        .prepare("SELECT combination FROM _sync_cursors WHERE plan = ?1 AND task = ?2 AND run = ?3")?
        .query_map(params![plan, spec.name, run.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for combination in touched {
        let key = CursorKey { plan, task: &spec.name, combination: &combination };
        let mut held = held(conn, &key, run)?;
        let prefix = prefix(conn, run, spec.number, &combination, held.now.reached.as_ref())?;
        held.now.value = greater(held.now.value, prefix);
        save(conn, &key, run, &held)?;
    }
    Ok(())
}

/// The published value.
pub(crate) fn value(conn: &Connection, key: &CursorKey<'_>, run: RunId) -> Result<Option<Value>, Trouble> {
    Ok(held(conn, key, run)?.now.value)
}

/// A task's cursors as the run goes on with them: as they were when it began, except where it made good
/// what was owed before it asks for the rest.
pub(crate) fn at_start(
    conn: &Connection,
    plan: &str,
    run: RunId,
    spec: &ActiveSpec,
) -> Result<Vec<(String, Value)>, Trouble> {
    let settled = settled(conn, run, spec)?;
    let mut statement = conn.prepare_cached(
        "SELECT combination, value, seen, reached, run, previous FROM _sync_cursors
         WHERE plan = ?1 AND task = ?2 ORDER BY combination",
    )?;
    let mut rows = statement.query(params![plan, spec.name])?;
    let mut cursors = Vec::new();
    while let Some(row) = rows.next()? {
        let combination: String = row.get(0)?;
        let held = Held::read(row, 1, run)?;
        let value = match spec.advance {
            Some(Advance::Greatest) if settled.contains(&combination) => held.now.value,
            Some(Advance::Greatest) | None => held.before.value,
            Some(Advance::Prefix | Advance::PrefixAtEnd) => greater(held.before.value, held.before.reached),
        };
        cursors.extend(value.map(|value| (combination, value)));
    }
    Ok(cursors)
}

/// Combinations of which everything that was owed has been made good in the run.
fn settled(conn: &Connection, run: RunId, spec: &ActiveSpec) -> Result<HashSet<String>, Trouble> {
    if !spec.repeats {
        return Ok(HashSet::new());
    }
    let mut statement = conn.prepare_cached(
        "SELECT cursor_of FROM _sync_tasks WHERE id >= (SELECT first_task FROM _sync_runs WHERE id = ?1)
         AND run = ?1 AND spec = ?2 AND origin IS NOT NULL AND cursor_of IS NOT NULL
         GROUP BY cursor_of HAVING sum(state IN ('open', 'failed')) = 0",
    )?;
    let combinations = statement.query_map(params![run.0, spec.number], |row| row.get(0))?;
    Ok(combinations.collect::<Result<_, _>>()?)
}

/// Takes back what a run did to a task's cursors.
pub(crate) fn undo(conn: &Connection, plan: &str, task: &str, run: RunId) -> Result<(), Trouble> {
    let touched: Vec<String> = conn
        .prepare("SELECT combination FROM _sync_cursors WHERE plan = ?1 AND task = ?2 AND run = ?3")?
        .query_map(params![plan, task, run.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for combination in touched {
        let key = CursorKey { plan, task, combination: &combination };
        let before = held(conn, &key, run)?.before;
        conn.prepare_cached(
            "UPDATE _sync_cursors SET value = ?4, seen = ?5, reached = ?6, run = NULL, previous = NULL
             WHERE plan = ?1 AND task = ?2 AND combination = ?3",
        )?
        .execute(params![
            plan,
            task,
            combination,
            text(&before.value),
            text(&before.seen),
            text(&before.reached)
        ])?;
    }
    boundary::undo(conn, plan, task, run)
}

/// Forgets what lies beyond the published value: nothing will settle what is before it.
pub(crate) fn forget_beyond(conn: &Connection, key: &CursorKey<'_>) -> Result<(), Trouble> {
    conn.prepare_cached(
        "UPDATE _sync_cursors SET seen = NULL, reached = NULL WHERE plan = ?1 AND task = ?2 AND combination = ?3",
    )?
    .execute(params![key.plan, key.task, key.combination])?;
    Ok(())
}

impl Held {
    /// From `value, seen, reached, run, previous`, the first of them at `at`.
    fn read(row: &rusqlite::Row<'_>, at: usize, run: RunId) -> Result<Held, Trouble> {
        let mark = |at: usize| -> Result<Option<Value>, Trouble> {
            let text: Option<String> = row.get(at)?;
            Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
        };
        let now = Marks { value: mark(at)?, seen: mark(at + 1)?, reached: mark(at + 2)? };
        let touched: Option<i64> = row.get(at + 3)?;
        let previous: Option<String> = row.get(at + 4)?;
        let before = match previous {
            Some(previous) if touched == Some(run.0) => serde_json::from_str(&previous)?,
            _ => now.clone(),
        };
        Ok(Held { now, before })
    }
}

fn held(conn: &Connection, key: &CursorKey<'_>, run: RunId) -> Result<Held, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT value, seen, reached, run, previous FROM _sync_cursors
         WHERE plan = ?1 AND task = ?2 AND combination = ?3",
    )?;
    let mut rows = statement.query(params![key.plan, key.task, key.combination])?;
    match rows.next()? {
        Some(row) => Held::read(row, 0, run),
        None => Ok(Held { now: Marks::default(), before: Marks::default() }),
    }
}

fn save(conn: &Connection, key: &CursorKey<'_>, run: RunId, held: &Held) -> Result<(), Trouble> {
    conn.prepare_cached(
        "INSERT INTO _sync_cursors (plan, task, combination, value, seen, reached, run, previous)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET value = ?4, seen = ?5, reached = ?6, run = ?7, previous = ?8",
    )?
    .execute(params![
        key.plan,
        key.task,
        key.combination,
        text(&held.now.value),
        text(&held.now.seen),
        text(&held.now.reached),
        run.0,
        serde_json::to_string(&held.before)?
    ])?;
    Ok(())
}

fn text(value: &Option<Value>) -> Option<String> {
    value.as_ref().map(Value::to_string)
}

fn greater(a: Option<Value>, b: Option<Value>) -> Option<Value> {
    match (a, b) {
        (Some(a), Some(b)) => Some(CursorValue(a).max(CursorValue(b)).0),
        (a, b) => a.or(b),
    }
}

/// Whether something of a combination is open or has failed in the run.
fn is_unsettled(conn: &Connection, run: RunId, number: i64, combination: &str) -> Result<bool, Trouble> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM _sync_tasks WHERE run = ?1 AND spec = ?2 AND cursor_of = ?3
             AND cursor_of IS NOT NULL AND state IN ('open', 'failed'))",
        )?
        .query_row(params![run.0, number, combination], |row| row.get(0))?)
}

/// Where the windows of a combination that have ended well end, from the first on without a gap. Windows
/// that are not opened yet lie behind an open one.
fn prefix(
    conn: &Connection,
    run: RunId,
    number: i64,
    combination: &str,
    reached: Option<&Value>,
) -> Result<Option<Value>, Trouble> {
    let first: Option<Option<String>> = conn
        .prepare_cached(
            "SELECT slice FROM _sync_tasks WHERE run = ?1 AND spec = ?2 AND cursor_of = ?3
             AND cursor_of IS NOT NULL AND state IN ('open', 'failed') ORDER BY start_at LIMIT 1",
        )?
        .query_row(params![run.0, number, combination], |row| row.get(0))
        .optional()?;
    let Some(slice) = first else { return Ok(reached.cloned()) };
    // A request without a window (its windows could not be cut) may stand for any of them.
    let Some(slice) = slice else { return Ok(None) };
    let slice: entities::Slice = serde_json::from_str(&slice)?;
    Ok(slice.start.as_ref().map(utc))
}

/// A time as RFC 3339 in UTC.
fn utc(value: &Value) -> Value {
    match CursorKind::Iso.instant(value) {
        Some(at) => CursorKind::Other.like(value, at),
        None => value.clone(),
    }
}
