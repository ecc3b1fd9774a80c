//! Going on with an unfinished run, of a plan that may have changed since.

use entities::{BeginRequest, Bindings, Mode, ResumeMode, RunId, SpecIndex, StoreError, SyncPlan};
use rusqlite::{Connection, params};

use crate::active::{Advance, advance_of, combination};
use crate::begin::{add_spec, is_new, is_owed_in_absence, was_run};
use crate::drives::{driver, is_driven_once};
use crate::seam::Tables;
use crate::trouble::Trouble;
use crate::{debts, restart, undo};

/// Readies an unfinished run to go on; says what changed in the plan since it began.
pub(crate) fn resume(
    conn: &Connection,
    tables: &mut dyn Tables,
    request: &BeginRequest<'_>,
    run: RunId,
    next: i64,
) -> Result<Vec<String>, Trouble> {
    let held: Vec<(String, String)> = conn
        .prepare("SELECT name, fingerprint FROM _sync_specs WHERE run = ?1 AND NOT absent ORDER BY spec")?
        .query_map([run.0], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut changed = Vec::new();
    let mut restarted = Vec::new();
    let mut new = Vec::new();
    for index in request.plan.spec_indices().filter(|index| request.specs.contains(index)) {
        let spec = request.plan.spec(index);
        match held.iter().find(|(name, _)| *name == spec.name) {
            None => {
                changed.push(format!("task `{}` is new", spec.name));
                new.push(index);
            }
            Some((_, fingerprint)) if *fingerprint != spec.fingerprint => {
                let again = match driver(request.plan, index) {
                    Some(parent) if !is_appended_to(conn, request.plan, run, index)? => {
                        format!(" (its parent `{}` starts over with it)", request.plan.spec(parent).name)
                    }
                    Some(_) => " (it starts over with the records that drove it so far)".to_owned(),
                    None => String::new(),
                };
                changed.push(format!("task `{}` changed{again}", spec.name));
                restarted.push(index);
            }
            Some(_) => {}
        }
    }
    let is_gone =
        |name: &str| !request.plan.spec_named(name).is_some_and(|index| request.specs.contains(&index));
    let gone: Vec<&str> = held.iter().map(|(name, _)| name.as_str()).filter(|name| is_gone(name)).collect();
    changed.extend(gone.iter().map(|name| format!("task `{name}` is gone")));
    if !changed.is_empty() && request.resume == ResumeMode::Auto {
        return Err(StoreError::PlanChanged { plan: request.plan.name.clone(), run, changed }.into());
    }
    // A changed child may want other records, or other fields of them: what drove it so far says
    // neither, so its parent lands again and drives it with every record. Not where earlier runs
    // have appended to its table: what they landed would come a second time.
    for index in restarted.clone() {
        let spec = request.plan.spec(index);
        let Some(parent) = driver(request.plan, index) else { continue };
        if is_appended_to(conn, request.plan, run, index)? {
            continue;
        }
        conn.execute(
            "UPDATE _sync_specs SET every = 1 WHERE run = ?1 AND name = ?2",
            params![run.0, spec.name],
        )?;
        if !restarted.contains(&parent) {
            restarted.push(parent);
        }
    }
    for name in gone {
        match request.plan.spec_named(name) {
            Some(index) if is_driven_once(request.plan, index) || undo::has_debts(conn, run, name)? => {
                undo::leave_out(conn, tables, request.plan, run, index)?;
            }
            _ => undo::forget_spec(conn, tables, request.plan, run, name)?,
        }
    }
    for index in new {
        let parent = driver(request.plan, index);
        let late =
            parent.filter(|parent| held.iter().any(|(name, _)| *name == request.plan.spec(*parent).name));
        if undo::take_in(conn, request.plan, run, index, parent.is_some() && late.is_none())? {
            continue;
        }
        // Records that its parent has landed in this run without it must come again to drive it.
        restarted.extend(late.filter(|parent| !restarted.contains(parent)));
        let every = late.is_some() || is_new(conn, request.plan, run, index)?;
        add_spec(conn, request.plan, run, index, false, every)?;
    }
    for index in request.plan.spec_indices().filter(|index| is_owed_in_absence(request, *index)) {
        if !undo::has_spec(conn, run, &request.plan.spec(index).name)? {
            add_spec(conn, request.plan, run, index, true, is_new(conn, request.plan, run, index)?)?;
        }
    }
    restart::restart(conn, tables, request.plan, run, &restarted, next)?;
    for index in &request.specs {
        name_combinations(conn, request.plan, run, *index)?;
        let spec = request.plan.spec(*index);
        if spec.mode == Mode::Append && advance_of(spec) == Some(Advance::Greatest) {
            debts::try_once_more(conn, run, &spec.name)?;
        }
    }
    conn.execute("UPDATE _sync_runs SET state = 'running', ended_at = NULL WHERE id = ?1", [run.0])?;
    Ok(changed)
}

/// Whether other runs have appended to the spec's table.
fn is_appended_to(conn: &Connection, plan: &SyncPlan, run: RunId, index: SpecIndex) -> Result<bool, Trouble> {
    let spec = plan.spec(index);
    Ok(spec.mode == Mode::Append && was_run(conn, plan, run, &spec.name)?)
}

/// What version 1 of the ledger noted of requests with cursors does not say which combination they are of.
fn name_combinations(
    conn: &Connection,
    plan: &SyncPlan,
    run: RunId,
    index: SpecIndex,
) -> Result<(), Trouble> {
    let spec = plan.spec(index);
    let unnamed: Vec<(i64, Option<String>)> = conn
        .prepare(
            "SELECT id, bindings FROM _sync_tasks WHERE run = ?1 AND cursor_of = ''
             AND spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2)
             AND state IN ('open', 'failed')",
        )?
        .query_map(params![run.0, spec.name], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, bindings) in unnamed {
        let bindings: Bindings =
            bindings.map_or(Ok(Bindings::default()), |text| serde_json::from_str(&text))?;
        let combination = combination(plan, spec, &bindings);
        conn.prepare_cached(
            "UPDATE _sync_tasks SET cursor_of = ?2, owed = CASE WHEN state = 'failed' THEN 1 END WHERE id = ?1",
        )?
        .execute(params![id, combination])?;
    }
    Ok(())
}
