//! `syncctl retry`: a run of what failed, and of nothing else.
//!
//! Its specs expand nothing (their watermark is the greatest number there is): they make the requests that
//! are owed, and those that failed in the spec's last finished run. A full copy with a failure has lost
//! what it had gathered: it is done as a whole, by itself or with the records that drove it then.

use std::collections::BTreeSet;

use entities::{BeginRequest, RunId, SpecIndex, StoreError, SyncPlan};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};

use crate::debts::{self, Again, Reopener, Request};
use crate::drives::{driver, is_full_copy, owes};
use crate::trouble::Trouble;

/// Above every combination.
pub(crate) const EVERYTHING: i64 = i64::MAX;

/// The specs that a retry has: those with failures, what their records drive, and the full copies that
/// read their tables.
pub(crate) fn specs(conn: &Connection, request: &BeginRequest<'_>) -> Result<Vec<SpecIndex>, Trouble> {
    let plan = request.plan;
    let mut found = BTreeSet::new();
    for index in &request.specs {
        if has_failed(conn, plan, *index)? {
            found.insert(*index);
        }
    }
    if found.is_empty() {
        return Err(StoreError::NothingToRetry { plan: plan.name.clone() }.into());
    }
    let mut queue: Vec<SpecIndex> = found.iter().copied().collect();
    while let Some(index) = queue.pop() {
        let readers = plan.repeated_over(index).into_iter().filter(|child| {
            request.specs.contains(child)
                && (driver(plan, *child) == Some(index) || is_full_copy(plan.spec(*child).mode))
        });
        queue.extend(readers.filter(|child| found.insert(*child)));
    }
    for index in found.clone() {
        if !lists_are_there(conn, plan, index, &found)? {
            found.remove(&index);
        }
    }
    Ok(plan.spec_indices().filter(|index| found.contains(index)).collect())
}

/// Whether all that fills the lists of a spec has been run, or is now: else the records that drive it would
/// meet rows that are not there yet. Left out, it stays owed to the next run.
fn lists_are_there(
    conn: &Connection,
    plan: &SyncPlan,
    index: SpecIndex,
    specs: &BTreeSet<SpecIndex>,
) -> Result<bool, Trouble> {
    for filler in plan.fillers_of_lists(index) {
        if !specs.contains(&filler) && last_run(conn, plan, filler)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where a spec's watermark stands when a retry begins.
pub(crate) fn watermark(plan: &SyncPlan, index: SpecIndex) -> i64 {
    let expands = driver(plan, index).is_none() && is_full_copy(plan.spec(index).mode);
    if expands { 0 } else { EVERYTHING }
}

/// Opens what failed and is not owed. `specs`: those of the run.
pub(crate) fn reopen(
    conn: &Connection,
    plan: &SyncPlan,
    specs: &[SpecIndex],
    reopener: &mut Reopener<'_>,
) -> Result<(), Trouble> {
    for index in specs {
        let spec = plan.spec(*index);
        let Some((run, fingerprint)) = last_run(conn, plan, *index)? else { continue };
        let same = fingerprint == spec.fingerprint;
        if is_full_copy(spec.mode) {
            // One that is done as a whole drives its children anew.
            let parent = driver(plan, *index).filter(|parent| !is_whole(plan, specs, *parent));
            if parent.is_some() {
                for request in requests(
                    conn,
                    plan,
                    run,
                    *index,
                    "chain = id AND opened_by IS NULL AND state <> 'undone'",
                )? {
                    let bindings: Map<String, Value> = request
                        .bindings
                        .as_ref()
                        .map_or(Ok(Map::new()), |text| serde_json::from_str(text))?;
                    let again = debts::as_driven(spec, bindings);
                    let again = if request.is_slice || !same { again } else { Again::AsItWas };
                    reopener.open(*index, &request, &again)?;
                }
            }
            continue;
        }
        if owes(plan, *index) {
            continue;
        }
        for request in requests(conn, plan, run, *index, "state = 'failed' AND owed IS NULL")? {
            let again = match debts::again(plan, *index, &request, same)? {
                Again::ByItself if same_names(plan, *index, &request)? => Again::FromPageOne,
                again => again,
            };
            reopener.open(*index, &request, &again)?;
        }
    }
    Ok(())
}

/// Done as a whole, so that it drives every child again.
fn is_whole(plan: &SyncPlan, specs: &[SpecIndex], index: SpecIndex) -> bool {
    specs.contains(&index) && is_full_copy(plan.spec(index).mode)
}

/// Whether what the request was for has the names that the spec has now.
pub(crate) fn same_names(plan: &SyncPlan, index: SpecIndex, request: &Request) -> Result<bool, Trouble> {
    let bindings: Map<String, Value> =
        request.bindings.as_ref().map_or(Ok(Map::new()), |text| serde_json::from_str(text))?;
    Ok(debts::has_names_of(plan.spec(index), &bindings))
}

fn requests(
    conn: &Connection,
    plan: &SyncPlan,
    run: RunId,
    index: SpecIndex,
    which: &str,
) -> Result<Vec<Request>, Trouble> {
    let mut statement = conn.prepare(&format!(
        "SELECT id, bindings, slice IS NOT NULL, cursor_of, ifnull(attempt, 0) > 0 FROM _sync_tasks
         WHERE run = ?1 AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)
         AND id >= (SELECT first_task FROM _sync_runs WHERE id = ?1) AND {which} ORDER BY id"
    ))?;
    let found = statement.query_map(params![run.0, plan.spec(index).name], Request::read)?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn has_failed(conn: &Connection, plan: &SyncPlan, index: SpecIndex) -> Result<bool, Trouble> {
    let name = &plan.spec(index).name;
    let is_owed: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM _sync_tasks t JOIN _sync_runs r ON r.id = t.run
         JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
         WHERE t.owed IS NOT NULL AND r.plan = ?1 AND s.name = ?2)
         OR EXISTS (SELECT 1 FROM _sync_waiting w JOIN _sync_runs r ON r.id = w.run
         JOIN _sync_specs s ON s.run = w.run AND s.spec = w.spec WHERE r.plan = ?1 AND s.name = ?2)",
        params![plan.name.as_str(), name],
        |row| row.get(0),
    )?;
    if is_owed || owes(plan, index) {
        return Ok(is_owed);
    }
    let Some((run, _)) = last_run(conn, plan, index)? else { return Ok(false) };
    Ok(conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM _sync_specs WHERE run = ?1 AND name = ?2 AND failed > 0)",
        params![run.0, name],
        |row| row.get(0),
    )?)
}

/// The last finished run that had the spec, and the spec's fingerprint then.
fn last_run(
    conn: &Connection,
    plan: &SyncPlan,
    index: SpecIndex,
) -> Result<Option<(RunId, String)>, Trouble> {
    Ok(conn
        .query_row(
            "SELECT r.id, s.fingerprint FROM _sync_runs r JOIN _sync_specs s ON s.run = r.id
             WHERE r.plan = ?1 AND s.name = ?2 AND NOT s.absent AND r.state IN ('complete', 'failed')
             ORDER BY r.id DESC LIMIT 1",
            params![plan.name.as_str(), plan.spec(index).name],
            |row| Ok((RunId(row.get(0)?), row.get(1)?)),
        )
        .optional()?)
}
