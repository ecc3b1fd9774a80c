//! Rows of `_sync_tasks`: finished requests, open ones, and reading them back as tasks.

use entities::{
    Bindings, Child, CursorKind, Failure, Landing, Page, Position, RunId, SpecIndex, Task, TaskId,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use crate::active::ActiveSpec;
use crate::statements::Statements;
use crate::trouble::Trouble;

/// How a request ended.
pub(crate) enum Ended<'a> {
    /// Well.
    Done,
    /// With an answer that a rule of `on` called empty.
    Skipped,
    /// Not well.
    Failed(&'a Failure),
}

/// Writes the row of a finished request: a new one for a first page of the spec's own expansion,
/// else the one that is open since its origin landed.
pub(crate) fn finish(
    statements: &mut Statements<'_>,
    spec: &ActiveSpec,
    landing: &Landing,
    rows: usize,
    ended: &Ended<'_>,
) -> Result<(), Trouble> {
    let task = &landing.task;
    let (state, error) = match ended {
        Ended::Done => ("done", None),
        Ended::Skipped => ("skipped", None),
        Ended::Failed(failure) => ("failed", Some(serde_json::to_string(failure)?)),
    };
    // A child that sat out what its record drove is not driven again.
    let sat_out = landing.skipped && landing.attempt == 0 && task.combination.is_none();
    let owed = (error.is_some() && spec.owes || sat_out).then_some(1);
    let unsettled = landing.cursor_of.as_ref().filter(|_| error.is_some());
    let sent_at = landing.sent.as_millis();
    let ms = landing.answered.as_millis().saturating_sub(sent_at);
    let bytes = i64::try_from(landing.bytes).unwrap_or(i64::MAX);
    let waited = i64::try_from(landing.waited_ms).unwrap_or(i64::MAX);
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    // Slices behind the first, and halves, have the combination of their head, and a row.
    let is_head = task.slice.as_ref().is_none_or(|slice| slice.head == task.id);
    let is_row_of_its_own = task.combination.is_some() && task.chain == task.id && is_head;
    if !is_row_of_its_own {
        let changed = statements
            .conn
            .prepare_cached(
                "UPDATE _sync_tasks SET state = ?2, attempt = ?3, status = ?4, bytes = ?5, rows = ?6,
                 sent_at = ?7, ms = ?8, waited_ms = ?9, error = ?10, owed = ?11,
                 cursor_of = CASE WHEN origin IS NULL THEN ?12 ELSE ifnull(?12, cursor_of) END
                 WHERE id = ?1 AND state = 'open'",
            )?
            .execute(params![
                task.id.0,
                state,
                landing.attempt,
                landing.status,
                bytes,
                rows,
                sent_at,
                ms,
                waited,
                error,
                owed,
                unsettled
            ])?;
        if changed > 0 {
            return note_child(statements.conn, spec, landing, unsettled.is_some());
        }
    }
    statements.finished(
        "INSERT INTO _sync_tasks (id, run, spec, chain, combination, page, position, bindings, cursor,
         state, attempt, status, bytes, rows, sent_at, ms, waited_ms, error, owed, slice, start_at, cursor_of)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
    )?
    .execute(params![
        task.id.0,
        landing.run.0,
        spec.number,
        task.chain.0,
        task.combination.map(|c| i64::try_from(c).unwrap_or(i64::MAX)),
        task.page.number,
        position_text(&task.page)?,
        bindings_text(&task.bindings)?,
        cursor_text(task),
        state,
        landing.attempt,
        landing.status,
        bytes,
        rows,
        sent_at,
        ms,
        waited,
        error,
        owed,
        slice_text(task)?,
        start_at(task),
        unsettled,
    ])?;
    Ok(())
}

/// A child has a row since its record landed. What the engine made of it since is noted with its end, if
/// later requests depend on it: which slice it was, and what a debt goes on from.
fn note_child(
    conn: &Connection,
    spec: &ActiveSpec,
    landing: &Landing,
    is_unsettled: bool,
) -> Result<(), Trouble> {
    let task = &landing.task;
    if task.slice.is_some() && task.chain == task.id {
        conn.prepare_cached(
            "UPDATE _sync_tasks SET slice = ?2, start_at = ?3, bindings = ?4, cursor = ?5 WHERE id = ?1",
        )?
        .execute(params![
            task.id.0,
            slice_text(task)?,
            start_at(task),
            bindings_text(&task.bindings)?,
            cursor_text(task)
        ])?;
    } else if is_unsettled && spec.advance.is_some() {
        conn.prepare_cached("UPDATE _sync_tasks SET cursor = ?2 WHERE id = ?1")?
            .execute(params![task.id.0, cursor_text(task)])?;
    }
    Ok(())
}

/// The request of an earlier run that this one makes again, if it does.
pub(crate) fn origin(conn: &Connection, id: TaskId) -> Result<Option<i64>, Trouble> {
    let origin: Option<Option<i64>> = conn
        .prepare_cached("SELECT origin FROM _sync_tasks WHERE id = ?1")?
        .query_row([id.0], |row| row.get(0))
        .optional()?;
    Ok(origin.flatten())
}

/// How many requests of a combination, made again in the run, are open and how many have failed.
pub(crate) fn made_again(
    conn: &Connection,
    run: RunId,
    number: i64,
    combination: &str,
) -> Result<(i64, i64), Trouble> {
    Ok(conn
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE state = 'open'), count(*) FILTER (WHERE state = 'failed')
             FROM _sync_tasks WHERE run = ?1 AND spec = ?2 AND cursor_of = ?3 AND cursor_of IS NOT NULL
             AND state IN ('open', 'failed') AND origin IS NOT NULL",
        )?
        .query_row(params![run.0, number, combination], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Opens a task that a landing leads to: a further page, or the first page of a slice or a half.
/// `origin`: what the landing's task makes again.
pub(crate) fn open_next(
    conn: &Connection,
    spec: &ActiveSpec,
    landing: &Landing,
    task: &Task,
    origin: Option<i64>,
) -> Result<(), Trouble> {
    let is_page = task.chain == landing.task.chain && task.chain != task.id;
    // A slice may belong to another combination than the one that opens it.
    let cursor_of = match (&landing.cursor_of, spec.advance) {
        (Some(combination), _) if is_page => Some(combination.clone()),
        (_, Some(_)) => Some(spec.combination(&task.bindings)),
        _ => None,
    };
    conn.prepare_cached(
        "INSERT INTO _sync_tasks (id, run, spec, chain, combination, page, position, bindings, cursor, state,
         slice, start_at, cursor_of, origin, opened_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'open', ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        task.id.0,
        landing.run.0,
        spec.number,
        task.chain.0,
        task.combination.map(|c| i64::try_from(c).unwrap_or(i64::MAX)),
        task.page.number,
        position_text(&task.page)?,
        bindings_text(&task.bindings)?,
        cursor_text(task),
        slice_text(task)?,
        start_at(task),
        cursor_of,
        origin,
        (!is_page).then_some(landing.task.id.0),
    ])?;
    Ok(())
}

/// Opens the first page of a child.
pub(crate) fn open_child(
    conn: &Connection,
    run: RunId,
    number: i64,
    id: i64,
    bindings: Option<&str>,
) -> Result<(), Trouble> {
    conn.prepare_cached(
        "INSERT INTO _sync_tasks (id, run, spec, chain, page, bindings, state) VALUES (?1, ?2, ?3, ?1, 1, ?4, 'open')",
    )?
    .execute(params![id, run.0, number, bindings])?;
    Ok(())
}

/// Notes the first page of a child that the plan's next run must ask for, because this run leaves
/// its spec out.
pub(crate) fn owe_child(
    conn: &Connection,
    run: RunId,
    number: i64,
    id: TaskId,
    child: &Child,
) -> Result<(), Trouble> {
    conn.prepare_cached(
        "INSERT INTO _sync_tasks (id, run, spec, chain, page, bindings, state, owed)
         VALUES (?1, ?2, ?3, ?1, 1, ?4, 'undone', 1)",
    )?
    .execute(params![id.0, run.0, number, bindings_text(&child.bindings)?])?;
    Ok(())
}

/// Open tasks of a spec above an id, ascending.
pub(crate) fn open(
    conn: &Connection,
    run: RunId,
    number: i64,
    spec: SpecIndex,
    after: TaskId,
    limit: usize,
) -> Result<Vec<Task>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT id, chain, combination, page, position, bindings, cursor, slice FROM _sync_tasks
         WHERE run = ?1 AND spec = ?2 AND state = 'open' AND id > ?3 ORDER BY id LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![run.0, number, after.0, limit])?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next()? {
        tasks.push(read(row, spec)?);
    }
    Ok(tasks)
}

fn read(row: &Row<'_>, spec: SpecIndex) -> Result<Task, Trouble> {
    let combination: Option<i64> = row.get(2)?;
    let position: Option<String> = row.get(4)?;
    let bindings: Option<String> = row.get(5)?;
    let cursor: Option<String> = row.get(6)?;
    let slice: Option<String> = row.get(7)?;
    Ok(Task {
        id: TaskId(row.get(0)?),
        spec,
        chain: TaskId(row.get(1)?),
        combination: combination.map(i64::cast_unsigned),
        bindings: match bindings {
            Some(text) => serde_json::from_str(&text)?,
            None => Bindings::default(),
        },
        page: page_of(position)?,
        slice: slice.map(|text| serde_json::from_str(&text)).transpose()?,
        cursor: cursor.map(|text| serde_json::from_str::<Value>(&text)).transpose()?,
    })
}

/// The positions that a chain's pages ask for.
pub(crate) fn positions(conn: &Connection, run: RunId, chain: TaskId) -> Result<Vec<Position>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT id, position FROM _sync_tasks WHERE id = ?1 AND run = ?2 AND state <> 'undone'
         UNION ALL
         SELECT id, position FROM _sync_tasks WHERE chain = ?1 AND chain <> id AND run = ?2 AND state <> 'undone'
         ORDER BY 1",
    )?;
    let mut rows = statement.query(params![chain.0, run.0])?;
    let mut positions = Vec::new();
    while let Some(row) = rows.next()? {
        positions.push(page_of(row.get(1)?)?.position);
    }
    Ok(positions)
}

fn page_of(text: Option<String>) -> Result<Page, Trouble> {
    Ok(match text {
        Some(text) => serde_json::from_str(&text)?,
        None => Page::first(),
    })
}

fn position_text(page: &Page) -> Result<Option<String>, Trouble> {
    if page.number == 1 && *page == Page::first() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(page)?))
}

pub(crate) fn bindings_text(bindings: &Bindings) -> Result<Option<String>, Trouble> {
    if bindings.0.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(&*bindings.0)?))
}

fn cursor_text(task: &Task) -> Option<String> {
    task.cursor.as_ref().map(Value::to_string)
}

fn slice_text(task: &Task) -> Result<Option<String>, Trouble> {
    Ok(task.slice.as_ref().map(serde_json::to_string).transpose()?)
}

/// Where the task's window starts, in nanoseconds.
fn start_at(task: &Task) -> Option<i64> {
    let start = task.slice.as_ref()?.start.as_ref()?;
    i64::try_from(CursorKind::Iso.instant(start)?.as_nanosecond()).ok()
}
