//! Letting specs, and what they drive, start over within a run: their plan has changed.

use std::collections::HashSet;

use entities::{Mode, RunId, SpecIndex, SyncPlan};
use rusqlite::{Connection, params};

use crate::debts::{self, Again, Request};
use crate::drives::{driver, is_driven_by_changes};
use crate::seam::Tables;
use crate::trouble::Trouble;
use crate::{retry, undo, waiting};

/// Lets the `changed` specs and what they drive start over. `next`: the first free task id.
///
/// Requests that a parent's records drove are opened again if the parent will not drive them again:
/// it does not start over itself, or its rows stay and look unchanged. What the run was owed is owed still.
pub(crate) fn restart(
    conn: &Connection,
    tables: &mut dyn Tables,
    plan: &SyncPlan,
    run: RunId,
    changed: &[SpecIndex],
    next: i64,
) -> Result<(), Trouble> {
    let mut over: Vec<SpecIndex> = changed.to_vec();
    let mut at = 0;
    while at < over.len() {
        for child in plan.repeated_over(over[at]) {
            if !over.contains(&child) {
                over.push(child);
            }
        }
        at += 1;
    }
    for index in &over {
        let spec = plan.spec(*index);
        if !undo::has_spec(conn, run, &spec.name)? {
            // A child that the run leaves out.
            continue;
        }
        let (number, every, fingerprint): (i64, bool, String) = conn.query_row(
            "SELECT s.spec, s.every OR r.full_refresh, s.fingerprint
             FROM _sync_specs s JOIN _sync_runs r ON r.id = s.run WHERE s.run = ?1 AND s.name = ?2",
            params![run.0, spec.name],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let driven_again = every || !is_driven_by_changes(plan, *index);
        let again = driver(plan, *index).is_some_and(|parent| !over.contains(&parent) || !driven_again);
        undo::take_back(conn, tables, plan.name.as_str(), run, &spec.name)?;
        conn.execute(
            "UPDATE _sync_tasks SET
             state = CASE WHEN chain = id AND opened_by IS NULL AND (?3 OR origin IS NOT NULL) THEN 'open'
                          ELSE 'undone' END,
             attempt = NULL, status = NULL, bytes = NULL, rows = NULL, sent_at = NULL, ms = NULL, waited_ms = NULL,
             error = NULL, owed = NULL, cursor_of = CASE WHEN origin IS NOT NULL THEN cursor_of END
             WHERE run = ?1 AND spec = ?2 AND state <> 'undone'",
            params![run.0, number, again],
        )?;
        undo::forget_slices(conn, run, spec, "state = 'open'")?;
        if !again {
            waiting::forget(conn, run, number)?;
        }
        if fingerprint != spec.fingerprint {
            refit_debts(conn, tables, plan, run, *index, number)?;
        }
        // What is opened again keeps its number: the next run removes what only this one's old self returned.
        let keeps: bool = conn.query_row(
            "SELECT EXISTS (SELECT 1 FROM _sync_tasks WHERE run = ?1 AND spec = ?2 AND state = 'open')",
            params![run.0, number],
            |row| row.get(0),
        )?;
        let since = (matches!(spec.mode, Mode::Mirror(_)) && !keeps).then_some(next);
        // A retry expands nothing, however often it starts over.
        conn.execute(
            "UPDATE _sync_specs SET fingerprint = ?3, target = ?4, since = ifnull(?5, since),
             watermark = CASE WHEN watermark = ?6 THEN watermark ELSE 0 END,
             ended = 0, done = 0, failed = 0, skipped = 0, records = 0 WHERE run = ?1 AND name = ?2",
            params![run.0, spec.name, spec.fingerprint, spec.table, since, retry::EVERYTHING],
        )?;
    }
    Ok(())
}

/// What the run makes again was asked for by the spec as it was. A retry expands nothing: what the spec would ask
/// for by itself in another run is opened again.
fn refit_debts(
    conn: &Connection,
    tables: &mut dyn Tables,
    plan: &SyncPlan,
    run: RunId,
    index: SpecIndex,
    number: i64,
) -> Result<(), Trouble> {
    let open: Vec<Request> = conn
        .prepare(
            "SELECT id, bindings, slice IS NOT NULL, cursor_of, ifnull(attempt, 0) > 0 FROM _sync_tasks
             WHERE run = ?1 AND spec = ?2 AND state = 'open' AND origin IS NOT NULL ORDER BY id",
        )?
        .query_map(params![run.0, number], Request::read)?
        .collect::<Result<_, _>>()?;
    let is_retry: bool = conn.query_row(
        "SELECT watermark = ?3 FROM _sync_specs WHERE run = ?1 AND spec = ?2",
        params![run.0, number, retry::EVERYTHING],
        |row| row.get(0),
    )?;
    let mut anew = HashSet::new();
    for request in open {
        let again = match debts::again(plan, index, &request, false)? {
            Again::ByItself if is_retry && retry::same_names(plan, index, &request)? => Again::FromPageOne,
            again => again,
        };
        match again {
            Again::AsItWas => {}
            Again::FromPageOne if !anew.insert(debts::begin_anew(conn, tables, plan, index, request.id)?) => {
                conn.execute("UPDATE _sync_tasks SET state = 'undone' WHERE id = ?1", [request.id])?;
            }
            Again::FromPageOne => {
                conn.execute("UPDATE _sync_tasks SET page = 1, position = NULL WHERE id = ?1", [request.id])?;
            }
            Again::AsDriven(mut bindings) if bindings.len() == 1 => {
                conn.execute(
                    "UPDATE _sync_tasks SET page = 1, position = NULL, bindings = ?2, slice = NULL, start_at = NULL,
                     cursor = NULL, cursor_of = NULL WHERE id = ?1",
                    params![request.id, bindings.pop()],
                )?;
            }
            // A batch of another size is as good as a new one.
            Again::AsDriven(_) => {
                conn.execute("UPDATE _sync_tasks SET page = 1, position = NULL WHERE id = ?1", [request.id])?;
            }
            Again::ByItself => {
                conn.execute("UPDATE _sync_tasks SET state = 'undone' WHERE id = ?1", [request.id])?;
            }
        }
    }
    Ok(())
}
