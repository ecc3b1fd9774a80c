//! Beginning a run: new, resumed, or in the place of one that is undone.
//!
//! An unfinished run is one that neither completed nor failed nor was undone; since the caller has
//! the store's lock, `running` means that its process died. Specs are matched between runs by name.

use entities::{
    BeginRequest, Begun, FinishedRun, FinishedSpec, Frozen, Moment, PlanName, ResumeMode, RunEnd, RunId,
    SchemaPolicy, SpecIndex, SpecProgress, StoreError, SyncPlan, TaskId, Work,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::active::{ActiveRun, ActiveSpec, activate, batch_of, shape_of};
use crate::claim::claim;
use crate::debts::Reopener;
use crate::drives::{driver, is_driven_once};
use crate::resume::resume;
use crate::seam::Tables;
use crate::trouble::Trouble;
use crate::{active, boundary, cursor, retry, undo, waiting};

/// Room for the ids that are given out but not committed while another plan's run is under way.
const GAP: i64 = 1 << 32;

/// Begins or resumes a run. `others`: runs of other plans are under way in this process.
pub(crate) fn begin(
    conn: &Connection,
    tables: &mut dyn Tables,
    request: &BeginRequest<'_>,
    others: bool,
) -> Result<(ActiveRun, Begun), Trouble> {
    // What is remembered may be of another shape of the plan (a key that changed).
    tables.forget();
    tables.before_run(conn, request)?;
    let plan = request.plan.name.as_str();
    let unfinished: Option<(i64, String)> = conn
        .query_row(
            "SELECT id, work FROM _sync_runs WHERE plan = ?1 AND state NOT IN ('complete', 'failed', 'undone')
             ORDER BY id DESC LIMIT 1",
            [plan],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let next = next_task(conn, others)?;
    let mut request = request.clone();
    let (run, resumed, changed) = match (unfinished, request.resume) {
        (None, ResumeMode::Only) => return Err(nothing_unfinished(conn, &request.plan.name)?.into()),
        (Some((run, work)), ResumeMode::Auto | ResumeMode::Resume | ResumeMode::Only) => {
            let run = RunId(run);
            let is_retry = work == work_text(Work::Failed);
            if request.work == Work::Failed && !is_retry {
                return Err(StoreError::Unfinished { plan: request.plan.name.clone(), run }.into());
            }
            if is_retry {
                keep_specs_of(conn, &mut request, run)?;
            }
            (run, true, resume(conn, tables, &request, run, next)?)
        }
        (unfinished, _) => {
            if let Some((run, _)) = unfinished {
                undo::run(conn, tables, request.plan, RunId(run), request.now)?;
            }
            if request.work == Work::Failed {
                request.specs = retry::specs(conn, &request)?;
            }
            (create(conn, &request, next)?, false, Vec::new())
        }
    };
    for index in &request.specs {
        let spec = request.plan.spec(*index);
        claim(conn, tables, &spec.table, plan, spec.mode, &shape_of(spec))?;
    }
    if !resumed {
        boundary::purge(conn, plan)?;
        let mut reopener = Reopener::new(conn, tables, request.plan, run, next);
        reopener.reopen_owed(&request)?;
        if request.work == Work::Failed {
            retry::reopen(conn, request.plan, &request.specs, &mut reopener)?;
        }
    }
    draw_batches(conn, &request, run, others)?;
    let (frozen, full_refresh) = frozen(conn, run)?;
    let active = activate(conn, &request, run)?;
    let mut specs = Vec::new();
    for index in request.plan.spec_indices() {
        if let Some(spec) = active.spec(index) {
            specs.push(progress(conn, &active, run, index, spec, full_refresh)?);
        }
    }
    // What waited for a batch in an undone run is gone, and its ids with it.
    let next_task = TaskId(next_task(conn, others)?.max(active.first_task));
    let first_task = TaskId(active.first_task);
    Ok((active, Begun { run, resumed, frozen, specs, first_task, next_task, changed }))
}

fn nothing_unfinished(conn: &Connection, plan: &PlanName) -> Result<StoreError, Trouble> {
    let last: Option<(i64, String)> = conn
        .query_row(
            "SELECT id, state FROM _sync_runs WHERE plan = ?1 AND state IN ('complete', 'failed')
             ORDER BY id DESC LIMIT 1",
            [plan.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((run, state)) = last else {
        return Ok(StoreError::NothingUnfinished { plan: plan.clone(), last: None });
    };
    let specs = conn
        .prepare(
            "SELECT name, done, failed, skipped, records FROM _sync_specs WHERE run = ?1 AND NOT absent",
        )?
        .query_map([run], |row| {
            let number = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
            let (done, failed, skipped, records) = (number(1)?, number(2)?, number(3)?, number(4)?);
            Ok((row.get(0)?, FinishedSpec { done, failed, skipped, records }))
        })?
        .collect::<Result<_, _>>()?;
    let end = if state == RunEnd::Failed.as_str() { RunEnd::Failed } else { RunEnd::Complete };
    let last = Some(Box::new(FinishedRun { run: RunId(run), end, specs }));
    Ok(StoreError::NothingUnfinished { plan: plan.clone(), last })
}

fn next_task(conn: &Connection, others: bool) -> Result<i64, Trouble> {
    let greatest: Option<i64> = conn.query_row(
        "SELECT max(id) FROM (SELECT max(id) AS id FROM _sync_tasks UNION ALL SELECT max(id) FROM _sync_waiting)",
        [],
        |row| row.get(0),
    )?;
    Ok(greatest.unwrap_or(0) + 1 + if others { GAP } else { 0 })
}

fn work_text(work: Work) -> &'static str {
    match work {
        Work::All => "all",
        Work::Failed => "failed",
    }
}

fn create(conn: &Connection, request: &BeginRequest<'_>, next: i64) -> Result<RunId, Trouble> {
    conn.execute(
        "INSERT INTO _sync_runs (plan, state, started_at, frozen_now, vars, full_refresh, first_task, work)
         VALUES (?1, 'running', ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            request.plan.name.as_str(),
            request.now.as_millis(),
            request.frozen.now.0,
            serde_json::to_string(&request.frozen.vars)?,
            request.full_refresh,
            next,
            work_text(request.work),
        ],
    )?;
    let run = RunId(conn.last_insert_rowid());
    let is_retry = request.work == Work::Failed;
    for index in &request.specs {
        // A retry lands too few records of its parent to make up for what a new spec has missed.
        let every = !is_retry && is_new(conn, request.plan, run, *index)?;
        add_spec(conn, request.plan, run, *index, false, every)?;
        if is_retry {
            conn.execute(
                "UPDATE _sync_specs SET watermark = ?3 WHERE run = ?1 AND name = ?2",
                params![run.0, request.plan.spec(*index).name, retry::watermark(request.plan, *index)],
            )?;
        }
    }
    for index in request.plan.spec_indices().filter(|index| is_owed_in_absence(request, *index)) {
        let every = !is_retry && is_new(conn, request.plan, run, index)?;
        add_spec(conn, request.plan, run, index, true, every)?;
    }
    Ok(run)
}

/// A retry goes on with what it began with, whoever resumes it.
fn keep_specs_of(conn: &Connection, request: &mut BeginRequest<'_>, run: RunId) -> Result<(), Trouble> {
    let held: Vec<String> = conn
        .prepare("SELECT name FROM _sync_specs WHERE run = ?1 AND NOT absent")?
        .query_map([run.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let plan = request.plan;
    request.specs = plan.spec_indices().filter(|index| held.contains(&plan.spec(*index).name)).collect();
    Ok(())
}

/// Notes a spec of a run. `absent`: the run leaves it out.
pub(crate) fn add_spec(
    conn: &Connection,
    plan: &SyncPlan,
    run: RunId,
    index: SpecIndex,
    absent: bool,
    every: bool,
) -> Result<(), Trouble> {
    let spec = plan.spec(index);
    let frozen = spec.schema == SchemaPolicy::Frozen
        && was_run(conn, plan, run, &spec.name)?
        && conn.query_row(
            "SELECT EXISTS (SELECT 1 FROM _sync_columns WHERE target = ?1)",
            [&spec.table],
            |row| row.get(0),
        )?;
    conn.execute(
        "INSERT INTO _sync_specs (run, spec, name, fingerprint, target, absent, every, frozen)
         VALUES (?1, (SELECT ifnull(max(spec) + 1, 0) FROM _sync_specs WHERE run = ?1), ?2, ?3, ?4, ?5, ?6, ?7)",
        params![run.0, spec.name, spec.fingerprint, spec.table, absent, every, frozen],
    )?;
    Ok(())
}

/// A run of some tasks lands changed parents of a task it leaves out; the next full run will see
/// those parents as unchanged, or not at all.
pub(crate) fn is_owed_in_absence(request: &BeginRequest<'_>, index: SpecIndex) -> bool {
    let parent_runs = driver(request.plan, index).is_some_and(|parent| request.specs.contains(&parent));
    !request.specs.contains(&index) && parent_runs && is_driven_once(request.plan, index)
}

/// Other runs have had its parent, but none had it as it is now: it is owed the records that its
/// parent holds, also those that will not change any more. (A changed spec that appends is left
/// alone: all it has would land a second time.) A run that meant to drive it with every record, and did
/// not get them all, counts as none. If that was the last one that had it, and it was undone or left out with its
/// parent, what it lacked is asked for now.
pub(crate) fn is_new(
    conn: &Connection,
    plan: &SyncPlan,
    run: RunId,
    index: SpecIndex,
) -> Result<bool, Trouble> {
    let Some(parent) = driver(plan, index) else { return Ok(false) };
    let lacks: Option<bool> = conn
        .query_row(
            "SELECT s.every AND (r.state = 'undone' OR s.absent AND NOT EXISTS
                 (SELECT 1 FROM _sync_specs p WHERE p.run = s.run AND p.name = ?4
                  AND NOT p.absent AND p.ended AND p.failed = 0))
             FROM _sync_specs s JOIN _sync_runs r ON r.id = s.run
             WHERE r.plan = ?1 AND s.name = ?2 AND r.id <> ?3 AND r.work = 'all' ORDER BY r.id DESC LIMIT 1",
            params![plan.name.as_str(), plan.spec(index).name, run.0, plan.spec(parent).name],
            |row| row.get(0),
        )
        .optional()?;
    if lacks == Some(true) {
        return Ok(true);
    }
    let parent_was: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM _sync_specs s JOIN _sync_runs r ON r.id = s.run
         WHERE r.plan = ?1 AND s.name = ?2 AND r.id <> ?3)",
        params![plan.name.as_str(), plan.spec(parent).name, run.0],
        |row| row.get(0),
    )?;
    let spec = plan.spec(index);
    let was: Option<String> = conn
        .query_row(
            "SELECT s.fingerprint FROM _sync_specs s JOIN _sync_runs r ON r.id = s.run
             WHERE r.plan = ?1 AND s.name = ?2 AND r.id <> ?3 AND r.state <> 'undone' AND r.work = 'all'
             AND (?5 OR NOT s.every OR NOT EXISTS
                  (SELECT 1 FROM _sync_specs p WHERE p.run = s.run AND p.name = ?4 AND p.failed > 0))
             ORDER BY r.id DESC LIMIT 1",
            params![
                plan.name.as_str(),
                spec.name,
                run.0,
                plan.spec(parent).name,
                spec.mode == entities::Mode::Append
            ],
            |row| row.get(0),
        )
        .optional()?;
    let as_it_is = was.is_some_and(|was| was == spec.fingerprint || spec.mode == entities::Mode::Append);
    Ok(parent_was && !as_it_is)
}

/// Whether another run of the plan has had the spec. What a run that was undone drove does not
/// count; the rows that it left in its parent's table do.
pub(crate) fn was_run(conn: &Connection, plan: &SyncPlan, run: RunId, name: &str) -> Result<bool, Trouble> {
    Ok(conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM _sync_specs s JOIN _sync_runs r ON r.id = s.run
         WHERE r.plan = ?1 AND s.name = ?2 AND r.id <> ?3 AND r.state <> 'undone')",
        params![plan.name.as_str(), name, run.0],
        |row| row.get(0),
    )?)
}

/// Batches that are full already, or whose parent will bring no more records.
fn draw_batches(
    conn: &Connection,
    request: &BeginRequest<'_>,
    run: RunId,
    others: bool,
) -> Result<(), Trouble> {
    for index in &request.specs {
        let spec = request.plan.spec(*index);
        let (Some((name, size)), Some(parent)) = (batch_of(spec), driver(request.plan, *index)) else {
            continue;
        };
        let (number, parent_ended): (i64, bool) = conn.query_row(
            "SELECT spec, ifnull((SELECT ended FROM _sync_specs WHERE run = ?1 AND name = ?3), 1)
             FROM _sync_specs WHERE run = ?1 AND name = ?2",
            params![run.0, spec.name, request.plan.spec(parent).name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        waiting::draw_full(conn, run, number, (&name, size))?;
        if parent_ended {
            let id = TaskId(next_task(conn, others)?);
            waiting::draw_rest(conn, run, number, (&name, size), id)?;
        }
    }
    Ok(())
}

fn frozen(conn: &Connection, run: RunId) -> Result<(Frozen, bool), Trouble> {
    let (now, vars, full_refresh): (i64, String, bool) = conn.query_row(
        "SELECT frozen_now, vars, full_refresh FROM _sync_runs WHERE id = ?1",
        [run.0],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    Ok((Frozen { now: Moment(now), vars: serde_json::from_str(&vars)? }, full_refresh))
}

fn progress(
    conn: &Connection,
    active: &ActiveRun,
    run: RunId,
    index: SpecIndex,
    spec: &ActiveSpec,
    full_refresh: bool,
) -> Result<SpecProgress, Trouble> {
    let mut progress = conn.query_row(
        "SELECT ended, watermark, done, failed, skipped, records,
         (SELECT count(*) FROM _sync_tasks WHERE run = ?1 AND spec = ?2 AND state = 'open')
         FROM _sync_specs WHERE run = ?1 AND spec = ?2",
        params![run.0, spec.number],
        |row| {
            let number = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
            Ok(SpecProgress {
                spec: index,
                ended: row.get(0)?,
                watermark: number(1)?,
                beyond: Vec::new(),
                open: number(6)?,
                done: number(2)?,
                failed: number(3)?,
                skipped: number(4)?,
                records: number(5)?,
                held_back: Vec::new(),
                waiting: Vec::new(),
                cursors: Vec::new(),
            })
        },
    )?;
    progress.beyond = conn
        .prepare(
            "SELECT DISTINCT combination FROM _sync_tasks
             WHERE id >= (SELECT first_task FROM _sync_runs WHERE id = ?1)
             AND run = ?1 AND spec = ?2 AND combination >= ?3 AND state <> 'undone' ORDER BY combination",
        )?
        .query_map(params![run.0, spec.number, progress.watermark.cast_signed()], |row| {
            row.get::<_, i64>(0).map(i64::cast_unsigned)
        })?
        .collect::<Result<_, _>>()?;
    if spec.advance.is_some() && !full_refresh {
        progress.cursors = cursor::at_start(conn, &active.plan, run, spec)?;
        progress.held_back = spec.held_back.iter().cloned().collect();
        progress.held_back.sort_unstable();
        progress.waiting = active::waiting(conn, run, spec)?;
    }
    Ok(progress)
}
