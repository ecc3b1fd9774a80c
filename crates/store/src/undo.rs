//! Taking back what a run did, and carrying over what the next run would not ask for by itself.
//!
//! Undone: append rows (by `_task`), cursors, staging. Rows of `merge` tables stay: they are what
//! the API returned last. But a merge parent that stays would look unchanged to the next run, which
//! then would not drive its children. So the requests that were driven by changed records are *owed*:
//! marked in the undone run, and made again by the next one.

use entities::{Mode, Moment, RunId, SpecIndex, SyncPlan, TaskSpec};
use rusqlite::{Connection, OptionalExtension, params};

use crate::active::batch_of;
use crate::drives::{driver, is_driven_by_changes, is_driven_once, owes};
use crate::seam::{Requests, Tables};
use crate::trouble::Trouble;
use crate::{cursor, waiting};

/// Undoes an unfinished run.
pub(crate) fn run(
    conn: &Connection,
    tables: &mut dyn Tables,
    plan: &SyncPlan,
    run: RunId,
    now: Moment,
) -> Result<(), Trouble> {
    let names: Vec<String> = conn
        .prepare("SELECT name FROM _sync_specs WHERE run = ?1 ORDER BY spec")?
        .query_map([run.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        let index = plan.spec_named(&name);
        let carries = index.is_some_and(|index| is_driven_by_changes(plan, index));
        // What only a retry made again is not owed: it has failed in the run before, and is there to retry.
        let owes = index.is_none_or(|index| owes(plan, index));
        take_back(conn, tables, plan.name.as_str(), run, &name)?;
        owe_again(conn, run, &name, index.map(|index| plan.spec(index)), carries, owes)?;
    }
    conn.execute(
        "UPDATE _sync_runs SET state = 'undone', ended_at = ?2 WHERE id = ?1",
        params![run.0, now.as_millis()],
    )?;
    Ok(())
}

/// Marks what a run will not have made as undone, and of that what the next run must make: what was made
/// again, if it is `owed_again`, and what records have driven, if it `carries`.
fn owe_again(
    conn: &Connection,
    run: RunId,
    name: &str,
    spec: Option<&TaskSpec>,
    carries: bool,
    owed_again: bool,
) -> Result<(), Trouble> {
    conn.execute(
        "UPDATE _sync_tasks SET state = 'undone', cursor_of = CASE WHEN origin IS NOT NULL THEN cursor_of END,
         owed = CASE WHEN chain = id AND opened_by IS NULL
                     AND CASE WHEN origin IS NULL THEN ?3 ELSE ?4 END THEN 1 END
         WHERE run = ?1 AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)
         AND (state <> 'undone' OR owed IS NOT NULL)",
        params![run.0, name, carries, owed_again],
    )?;
    if let Some(spec) = spec {
        forget_slices(conn, run, spec, "owed IS NOT NULL")?;
    }
    if !carries {
        let number: i64 = conn.query_row(
            "SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2",
            params![run.0, name],
            |row| row.get(0),
        )?;
        waiting::forget(conn, run, number)?;
    }
    Ok(())
}

/// Requests that records have driven go back to their record alone: their slices are cut anew. Not the
/// slices that an earlier run owed: those behind them were opened then.
pub(crate) fn forget_slices(
    conn: &Connection,
    run: RunId,
    spec: &TaskSpec,
    which: &str,
) -> Result<(), Trouble> {
    let Some(foreach) = spec.records() else { return Ok(()) };
    let path = format!("$.\"{}\"", foreach.name);
    conn.execute(
        &format!(
            "UPDATE _sync_tasks SET bindings = json_object(?3, json_extract(bindings, ?4)),
             slice = NULL, start_at = NULL, cursor = NULL, cursor_of = NULL
             WHERE run = ?1 AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)
             AND slice IS NOT NULL AND json_extract(slice, '$.head') = id AND chain = id AND opened_by IS NULL
             AND combination IS NULL
             AND {which}"
        ),
        params![run.0, spec.name, foreach.name, path],
    )?;
    Ok(())
}

/// Whether the run makes requests of earlier ones again.
pub(crate) fn has_debts(conn: &Connection, run: RunId, name: &str) -> Result<bool, Trouble> {
    Ok(conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM _sync_tasks WHERE run = ?1 AND origin IS NOT NULL
         AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2))",
        params![run.0, name],
        |row| row.get(0),
    )?)
}

/// A spec that the resumed run no longer has.
pub(crate) fn forget_spec(
    conn: &Connection,
    tables: &mut dyn Tables,
    plan: &SyncPlan,
    run: RunId,
    name: &str,
) -> Result<(), Trouble> {
    take_back(conn, tables, plan.name.as_str(), run, name)?;
    owe_again(conn, run, name, None, false, false)?;
    conn.execute("DELETE FROM _sync_specs WHERE run = ?1 AND name = ?2", params![run.0, name])?;
    Ok(())
}

/// A spec that the resumed run was not asked for any more, though the plan has it: what it owes, and the
/// requests that changed records drove, are owed to the next run, which would not make them by itself.
pub(crate) fn leave_out(
    conn: &Connection,
    tables: &mut dyn Tables,
    plan: &SyncPlan,
    run: RunId,
    index: SpecIndex,
) -> Result<(), Trouble> {
    let spec = plan.spec(index);
    take_back(conn, tables, plan.name.as_str(), run, &spec.name)?;
    owe_again(conn, run, &spec.name, Some(spec), is_driven_once(plan, index), owes(plan, index))?;
    conn.execute(
        "UPDATE _sync_specs SET absent = 1, watermark = 0, ended = 0, done = 0, failed = 0, skipped = 0, records = 0
         WHERE run = ?1 AND name = ?2",
        params![run.0, spec.name],
    )?;
    Ok(())
}

/// A spec that the run had left out, and is asked for now: what was owed to the next run is its own
/// to do. `parent_begins`: its parent begins in this run, and if every record drives the spec, drives it with those
/// again. False if the run does not know the spec at all.
pub(crate) fn take_in(
    conn: &Connection,
    plan: &SyncPlan,
    run: RunId,
    index: SpecIndex,
    parent_begins: bool,
) -> Result<bool, Trouble> {
    let spec = plan.spec(index);
    if parent_begins {
        conn.execute(
            "UPDATE _sync_tasks SET owed = NULL WHERE owed IS NOT NULL AND origin IS NULL AND run = ?1
             AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2 AND every)",
            params![run.0, spec.name],
        )?;
    }
    let known = conn.execute(
        "UPDATE _sync_specs SET absent = 0, fingerprint = ?3, target = ?4 WHERE run = ?1 AND name = ?2",
        params![run.0, spec.name, spec.fingerprint, spec.table],
    )?;
    conn.execute(
        "UPDATE _sync_tasks SET state = CASE WHEN ?4 THEN 'open' ELSE state END, owed = NULL,
         cursor_of = CASE WHEN ?3 THEN cursor_of END
         WHERE owed IS NOT NULL AND run = ?1
         AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)",
        params![
            run.0,
            spec.name,
            spec.cursor.is_some(),
            driver(plan, index).is_some() || spec.cursor.is_some()
        ],
    )?;
    if let Some((name, _)) = batch_of(spec) {
        // Records that were noted one by one.
        let is_single = "run = ?1 AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)
            AND state = 'open' AND chain = id AND json_type(bindings, ?3) = 'object'";
        let path = format!("$.\"{name}\"");
        conn.execute(
            &format!(
                "INSERT INTO _sync_waiting (id, run, spec, bindings)
                 SELECT id, run, spec, bindings FROM _sync_tasks WHERE {is_single}"
            ),
            params![run.0, spec.name, path],
        )?;
        conn.execute(&format!("DELETE FROM _sync_tasks WHERE {is_single}"), params![run.0, spec.name, path])?;
    }
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

/// Takes back the data of one spec of a run.
pub(crate) fn take_back(
    conn: &Connection,
    tables: &mut dyn Tables,
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
    match mode.as_deref() {
        Some(mode) if mode == Mode::Append.as_str() => tables.take_back(
            conn,
            &table,
            Requests {
                select: "SELECT id FROM _sync_tasks WHERE run = ?1 AND spec = ?2",
                parameters: &[run.0, number],
            },
        )?,
        Some(mode) if mode == Mode::Replace.as_str() => tables.drop_stage(conn, &table)?,
        _ => {}
    }
    Ok(())
}
