//! Cursors: the greatest value seen waits as `pending`, and becomes the value when its chain of
//! pages has no open and no failed task left.
//!
//! A value never moves backwards, except when the run that published it is undone or meets a failed
//! request of the same combination. The value before the run is kept, since a resumed run goes on
//! with what was frozen when it began.

use entities::{CursorValue, Landing, RunId};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

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

/// The cursor's part of a landing; `failed` is how it ended. `boundary`: the field whose greatest
/// records are to be remembered.
pub(crate) fn land(
    conn: &Connection,
    key: &CursorKey<'_>,
    landing: &Landing,
    failed: bool,
    boundary: Option<&str>,
) -> Result<(), Trouble> {
    let run = landing.run;
    if failed {
        return hold_back(conn, key, run);
    }
    if let Some(seen) = &landing.cursor {
        let (pending, raised) = raise(conn, key, run, seen)?;
        if let (Some(field), Ok(batch)) = (boundary, &landing.result) {
            boundary::remember(conn, key, field, landing, batch, &pending, raised)?;
        }
    }
    let unsettled: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM _sync_tasks WHERE chain = ?1 AND cursored IS NOT NULL
             AND state IN ('open', 'failed'))",
        )?
        .query_row([landing.task.chain.0], |row| row.get(0))?;
    if unsettled { Ok(()) } else { publish(conn, key, run) }
}

struct Held {
    value: Option<CursorValue>,
    previous: Option<CursorValue>,
    run: Option<i64>,
    pending: Option<CursorValue>,
    pending_run: Option<i64>,
    debt_run: Option<i64>,
}

fn held(conn: &Connection, key: &CursorKey<'_>) -> Result<Option<Held>, Trouble> {
    type Raw = (Option<String>, Option<String>, Option<i64>, Option<String>, Option<i64>, Option<i64>);
    let raw: Option<Raw> = conn
        .prepare_cached(
            "SELECT value, previous, run, pending, pending_run, debt_run FROM _sync_cursors
             WHERE plan = ?1 AND task = ?2 AND combination = ?3",
        )?
        .query_row(params![key.plan, key.task, key.combination], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .optional()?;
    let Some((value, previous, run, pending, pending_run, debt_run)) = raw else { return Ok(None) };
    Ok(Some(Held {
        value: parse(value)?,
        previous: parse(previous)?,
        run,
        pending: parse(pending)?,
        pending_run,
        debt_run,
    }))
}

fn parse(text: Option<String>) -> Result<Option<CursorValue>, Trouble> {
    Ok(text.map(|text| serde_json::from_str::<Value>(&text)).transpose()?.map(CursorValue))
}

/// The greatest value the run has seen, and whether `seen` raised it.
fn raise(
    conn: &Connection,
    key: &CursorKey<'_>,
    run: RunId,
    seen: &CursorValue,
) -> Result<(CursorValue, bool), Trouble> {
    let before =
        held(conn, key)?.filter(|held| held.pending_run == Some(run.0)).and_then(|held| held.pending);
    let pending = match before {
        Some(before) if before.order(seen).is_ge() => return Ok((before, false)),
        _ => seen.0.to_string(),
    };
    conn.prepare_cached(
        "INSERT INTO _sync_cursors (plan, task, combination, pending, pending_run) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET pending = excluded.pending, pending_run = excluded.pending_run",
    )?
    .execute(params![key.plan, key.task, key.combination, pending, run.0])?;
    Ok((seen.clone(), true))
}

fn publish(conn: &Connection, key: &CursorKey<'_>, run: RunId) -> Result<(), Trouble> {
    let Some(held) = held(conn, key)? else { return Ok(()) };
    if held.pending_run != Some(run.0) || held.debt_run == Some(run.0) {
        return Ok(());
    }
    let Some(pending) = held.pending else { return Ok(()) };
    if held.value.as_ref().is_some_and(|value| value.order(&pending).is_ge()) {
        return Ok(());
    }
    // Published twice by one run (two windows of one combination): `previous` is still that before the run.
    let previous = if held.run == Some(run.0) { held.previous } else { held.value };
    conn.prepare_cached(
        "UPDATE _sync_cursors SET value = ?4, previous = ?5, run = ?6
         WHERE plan = ?1 AND task = ?2 AND combination = ?3",
    )?
    .execute(params![
        key.plan,
        key.task,
        key.combination,
        pending.0.to_string(),
        previous.map(|value| value.0.to_string()),
        run.0
    ])?;
    Ok(())
}

/// A request of the combination failed: nothing of it is published in this run, and what was, goes back.
fn hold_back(conn: &Connection, key: &CursorKey<'_>, run: RunId) -> Result<(), Trouble> {
    conn.prepare_cached(
        "INSERT INTO _sync_cursors (plan, task, combination, debt_run) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET debt_run = ?4,
         value = CASE WHEN run = ?4 THEN previous ELSE value END,
         run = CASE WHEN run = ?4 THEN NULL ELSE run END",
    )?
    .execute(params![key.plan, key.task, key.combination, run.0])?;
    Ok(())
}

/// A task's cursors as they were when the run began.
pub(crate) fn at_start(
    conn: &Connection,
    plan: &str,
    task: &str,
    run: RunId,
) -> Result<Vec<(String, Value)>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT combination, CASE WHEN run = ?3 THEN previous ELSE value END FROM _sync_cursors
         WHERE plan = ?1 AND task = ?2 ORDER BY combination",
    )?;
    let mut rows = statement.query(params![plan, task, run.0])?;
    let mut cursors = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(value) = parse(row.get(1)?)? {
            cursors.push((row.get(0)?, value.0));
        }
    }
    Ok(cursors)
}

/// Takes back what a run did to a task's cursors.
pub(crate) fn undo(conn: &Connection, plan: &str, task: &str, run: RunId) -> Result<(), Trouble> {
    conn.execute(
        "UPDATE _sync_cursors SET
         value = CASE WHEN run = ?3 THEN previous ELSE value END,
         run = CASE WHEN run = ?3 THEN NULL ELSE run END,
         pending = CASE WHEN pending_run = ?3 THEN NULL ELSE pending END,
         pending_run = CASE WHEN pending_run = ?3 THEN NULL ELSE pending_run END,
         debt_run = CASE WHEN debt_run = ?3 THEN NULL ELSE debt_run END
         WHERE plan = ?1 AND task = ?2",
        params![plan, task, run.0],
    )?;
    boundary::undo(conn, plan, task, run)
}
