//! Taking back what a run did, and carrying over what the next run would not ask for by itself.
//!
//! Undone: append rows (by `_task`), cursors, staging. Rows of `merge` tables stay: they are what
//! the API returned last. But a merge parent that stays would look unchanged to the next run, which
//! then would not drive its children. So the requests that were driven by changed records are *owed*:
//! marked in the undone run, and made again by the next one.

use entities::{BeginRequest, Mode, Moment, RunId, SpecIndex, SyncPlan};
use rusqlite::{Connection, OptionalExtension, params};

use crate::begin::{is_driven_by_changes, was_run};
use crate::cursor;
use crate::modes::replace;
use crate::sql::quoted;
use crate::tables::Tables;
use crate::trouble::Trouble;

/// Undoes an unfinished run.
pub(crate) fn run(
    conn: &Connection,
    tables: &mut Tables,
    plan: &SyncPlan,
    run: RunId,
    now: Moment,
) -> Result<(), Trouble> {
    let names: Vec<String> = conn
        .prepare("SELECT name FROM _sync_specs WHERE run = ?1 ORDER BY spec")?
        .query_map([run.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        let carries = plan.spec_named(&name).is_some_and(|index| is_driven_by_changes(plan, index));
        take_back(conn, tables, plan.name.as_str(), run, &name)?;
        conn.execute(
            "UPDATE _sync_tasks SET state = 'undone',
             owed = CASE WHEN chain = id AND (?3 OR origin IS NOT NULL) THEN 1 END
             WHERE run = ?1 AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)
             AND state <> 'undone'",
            params![run.0, name, carries],
        )?;
        // A spec that was new is new in the next run, which drives it by every record anyway.
        if !was_run(conn, plan, run, &name)? {
            conn.execute(
                "UPDATE _sync_tasks SET owed = NULL WHERE origin IS NULL AND run = ?1
                 AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)",
                params![run.0, name],
            )?;
        }
    }
    conn.execute(
        "UPDATE _sync_runs SET state = 'undone', ended_at = ?2 WHERE id = ?1",
        params![run.0, now.as_millis()],
    )?;
    Ok(())
}

/// A spec that the resumed run no longer has.
pub(crate) fn forget_spec(conn: &Connection, plan: &SyncPlan, run: RunId, name: &str) -> Result<(), Trouble> {
    take_back(conn, &mut Tables::default(), plan.name.as_str(), run, name)?;
    conn.execute(
        "UPDATE _sync_tasks SET state = 'undone', owed = NULL
         WHERE run = ?1 AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)",
        params![run.0, name],
    )?;
    conn.execute("DELETE FROM _sync_specs WHERE run = ?1 AND name = ?2", params![run.0, name])?;
    Ok(())
}

/// A spec that the resumed run was not asked for any more, though the plan has it: the requests
/// that changed records drove are owed to the next run, which would not drive them by itself.
pub(crate) fn leave_out(conn: &Connection, plan: &SyncPlan, run: RunId, name: &str) -> Result<(), Trouble> {
    take_back(conn, &mut Tables::default(), plan.name.as_str(), run, name)?;
    conn.execute(
        "UPDATE _sync_tasks SET state = 'undone', owed = CASE WHEN chain = id THEN 1 END
         WHERE run = ?1 AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)
         AND state <> 'undone'",
        params![run.0, name],
    )?;
    conn.execute(
        "UPDATE _sync_specs SET absent = 1, watermark = 0, ended = 0, done = 0, failed = 0, skipped = 0, records = 0
         WHERE run = ?1 AND name = ?2",
        params![run.0, name],
    )?;
    Ok(())
}

/// A spec that the run had left out, and is asked for now: what was owed to the next run is its own
/// to do. False if the run does not know the spec at all.
pub(crate) fn take_in(
    conn: &Connection,
    plan: &SyncPlan,
    run: RunId,
    index: SpecIndex,
) -> Result<bool, Trouble> {
    let spec = plan.spec(index);
    let known = conn.execute(
        "UPDATE _sync_specs SET absent = 0, fingerprint = ?3, target = ?4 WHERE run = ?1 AND name = ?2",
        params![run.0, spec.name, spec.fingerprint, spec.table],
    )?;
    conn.execute(
        "UPDATE _sync_tasks SET state = CASE WHEN ?4 THEN 'open' ELSE state END, owed = NULL, cursored = ?3
         WHERE owed IS NOT NULL AND run = ?1
         AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)",
        params![run.0, spec.name, spec.cursor.is_some().then_some(1), spec.parent().is_some()],
    )?;
    Ok(known > 0)
}

/// Whether the run knows a spec of this name, be it one that it leaves out.
pub(crate) fn has_spec(conn: &Connection, run: RunId, name: &str) -> Result<bool, Trouble> {
    Ok(conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM _sync_specs WHERE run = ?1 AND name = ?2)",
        params![run.0, name],
        |row| row.get(0),
    )?)
}

/// Lets specs, and what they drive, start over within a run.
///
/// Requests that a parent's records drove are opened again if the parent will not drive them again:
/// it does not start over itself, or its rows stay and look unchanged.
pub(crate) fn restart(
    conn: &Connection,
    plan: &SyncPlan,
    run: RunId,
    changed: &[SpecIndex],
) -> Result<(), Trouble> {
    let mut over: Vec<SpecIndex> = changed.to_vec();
    let mut at = 0;
    while at < over.len() {
        for child in plan.children_of(over[at]) {
            if !over.contains(&child) {
                over.push(child);
            }
        }
        at += 1;
    }
    for index in &over {
        let spec = plan.spec(*index);
        if !has_spec(conn, run, &spec.name)? {
            // A child that the run leaves out.
            continue;
        }
        let every: bool = conn.query_row(
            "SELECT s.every OR r.full_refresh FROM _sync_specs s JOIN _sync_runs r ON r.id = s.run
             WHERE s.run = ?1 AND s.name = ?2",
            params![run.0, spec.name],
            |row| row.get(0),
        )?;
        let driven_again = every || !is_driven_by_changes(plan, *index);
        let again = spec.parent().is_some_and(|parent| !over.contains(&parent) || !driven_again);
        take_back(conn, &mut Tables::default(), plan.name.as_str(), run, &spec.name)?;
        conn.execute(
            "UPDATE _sync_tasks SET
             state = CASE WHEN chain = id AND (?3 OR origin IS NOT NULL) THEN 'open' ELSE 'undone' END,
             attempt = NULL, status = NULL, bytes = NULL, rows = NULL, sent_at = NULL, ms = NULL, waited_ms = NULL,
             error = NULL, owed = NULL
             WHERE run = ?1 AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)
             AND state <> 'undone'",
            params![run.0, spec.name, again],
        )?;
        conn.execute(
            "UPDATE _sync_specs SET fingerprint = ?3, target = ?4, watermark = 0, ended = 0, done = 0, failed = 0,
             skipped = 0, records = 0 WHERE run = ?1 AND name = ?2",
            params![run.0, spec.name, spec.fingerprint, spec.table],
        )?;
    }
    Ok(())
}

/// Opens, in a new run, the requests that are owed to it. Ids from `next` on.
pub(crate) fn reopen_owed(
    conn: &Connection,
    request: &BeginRequest<'_>,
    run: RunId,
    mut next: i64,
) -> Result<(), Trouble> {
    let owed: Vec<(i64, String, String)> = conn
        .prepare(
            "SELECT t.id, s.name, s.fingerprint FROM _sync_tasks t
             JOIN _sync_runs r ON r.id = t.run JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
             WHERE t.owed IS NOT NULL AND r.plan = ?1 AND r.id <> ?2 ORDER BY t.id",
        )?
        .query_map(params![request.plan.name.as_str(), run.0], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut open = conn.prepare(
        "INSERT INTO _sync_tasks (id, run, spec, chain, page, position, bindings, cursor, cursored, state, origin)
         SELECT ?2, ?3, (SELECT spec FROM _sync_specs WHERE run = ?3 AND name = ?4), ?2,
         CASE WHEN ?5 THEN page ELSE 1 END, CASE WHEN ?5 THEN position END, bindings, cursor, ?6, 'open', id
         FROM _sync_tasks WHERE id = ?1",
    )?;
    let mut settle = conn.prepare("UPDATE _sync_tasks SET owed = NULL WHERE id = ?1")?;
    for (id, name, fingerprint) in owed {
        let Some(index) = request.plan.spec_named(&name).filter(|index| request.specs.contains(index)) else {
            continue;
        };
        let spec = request.plan.spec(index);
        // A spec that no longer has a parent expands by itself.
        if spec.parent().is_some() {
            let cursored = spec.cursor.is_some().then_some(1);
            open.execute(params![id, next, run.0, name, fingerprint == spec.fingerprint, cursored])?;
            next += 1;
        }
        settle.execute([id])?;
    }
    Ok(())
}

/// Takes back the data of one spec of a run.
fn take_back(
    conn: &Connection,
    tables: &mut Tables,
    plan: &str,
    run: RunId,
    name: &str,
) -> Result<(), Trouble> {
    cursor::undo(conn, plan, name, run)?;
    let (number, table): (i64, String) = conn.query_row(
        "SELECT spec, target FROM _sync_specs WHERE run = ?1 AND name = ?2",
        params![run.0, name],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mode: Option<String> = conn
        .query_row(
            "SELECT mode FROM _sync_tables WHERE name = ?1 AND plan = ?2",
            params![table, plan],
            |row| row.get(0),
        )
        .optional()?;
    let there: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE)",
        [&table],
        |row| row.get(0),
    )?;
    match mode.as_deref() {
        Some(mode) if mode == Mode::Append.as_str() && there => {
            conn.execute(
                &format!(
                    "DELETE FROM {} WHERE _task IN (SELECT id FROM _sync_tasks WHERE run = ?1 AND spec = ?2)",
                    quoted(&table)
                ),
                params![run.0, number],
            )?;
        }
        Some(mode) if mode == Mode::Replace.as_str() => replace::drop_stage(conn, tables, &table)?,
        _ => {}
    }
    Ok(())
}
