//! Rows of `_sync_tasks`: finished requests, open ones, and reading them back as tasks.

use entities::{Bindings, Child, Failure, Landing, Page, Position, RunId, SpecIndex, Task, TaskId};
use rusqlite::{Connection, Row, params};
use serde_json::Value;

use crate::begin::ActiveSpec;
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
    let owed = (error.is_some() && spec.owes).then_some(1);
    let sent_at = landing.sent.as_millis();
    let ms = landing.answered.as_millis().saturating_sub(sent_at);
    let bytes = i64::try_from(landing.bytes).unwrap_or(i64::MAX);
    let waited = i64::try_from(landing.waited_ms).unwrap_or(i64::MAX);
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let is_row_of_its_own = task.combination.is_some() && task.chain == task.id;
    if !is_row_of_its_own {
        let changed = statements
            .conn
            .prepare_cached(
                "UPDATE _sync_tasks SET state = ?2, attempt = ?3, status = ?4, bytes = ?5, rows = ?6,
                 sent_at = ?7, ms = ?8, waited_ms = ?9, error = ?10, owed = ?11 WHERE id = ?1 AND state = 'open'",
            )?
            .execute(params![
                task.id.0, state, landing.attempt, landing.status, bytes, rows, sent_at, ms, waited, error, owed
            ])?;
        if changed > 0 {
            return Ok(());
        }
    }
    statements.finished(
        "INSERT INTO _sync_tasks (id, run, spec, chain, combination, page, position, bindings, cursor, cursored,
         state, attempt, status, bytes, rows, sent_at, ms, waited_ms, error, owed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
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
        landing.cursor_of.is_some().then_some(1),
        state,
        landing.attempt,
        landing.status,
        bytes,
        rows,
        sent_at,
        ms,
        waited,
        error,
        owed
    ])?;
    Ok(())
}

/// Opens a follow-up page.
pub(crate) fn open_page(
    conn: &Connection,
    run: RunId,
    spec: &ActiveSpec,
    task: &Task,
    cursored: bool,
) -> Result<(), Trouble> {
    conn.prepare_cached(
        "INSERT INTO _sync_tasks (id, run, spec, chain, combination, page, position, bindings, cursor, cursored, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'open')",
    )?
    .execute(params![
        task.id.0,
        run.0,
        spec.number,
        task.chain.0,
        task.combination.map(|c| i64::try_from(c).unwrap_or(i64::MAX)),
        task.page.number,
        position_text(&task.page)?,
        bindings_text(&task.bindings)?,
        cursor_text(task),
        cursored.then_some(1),
    ])?;
    Ok(())
}

impl ActiveSpec {
    /// Whether the run asks for this child already, because it was owed.
    pub(crate) fn makes_again(&self, child: &Child) -> Result<bool, Trouble> {
        if self.made_again.is_empty() {
            return Ok(false);
        }
        Ok(bindings_text(&child.bindings)?.is_some_and(|bindings| self.made_again.contains(&bindings)))
    }
}

/// Opens the first page of a child.
pub(crate) fn open_child(
    conn: &Connection,
    run: RunId,
    spec: &ActiveSpec,
    id: TaskId,
    child: &Child,
) -> Result<(), Trouble> {
    conn.prepare_cached(
        "INSERT INTO _sync_tasks (id, run, spec, chain, page, bindings, cursored, state)
         VALUES (?1, ?2, ?3, ?1, 1, ?4, ?5, 'open')",
    )?
    .execute(params![
        id.0,
        run.0,
        spec.number,
        bindings_text(&child.bindings)?,
        spec.has_cursor.then_some(1)
    ])?;
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
        "SELECT id, chain, combination, page, position, bindings, cursor FROM _sync_tasks
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
        slice: None,
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

fn bindings_text(bindings: &Bindings) -> Result<Option<String>, Trouble> {
    if bindings.0.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(&*bindings.0)?))
}

fn cursor_text(task: &Task) -> Option<String> {
    task.cursor.as_ref().map(Value::to_string)
}
