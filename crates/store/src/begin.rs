//! Beginning a run: new, resumed, or in the place of one that is undone.
//!
//! An unfinished run is one that neither completed nor failed nor was undone; since the caller has
//! the store's lock, `running` means that its process died. Specs are matched between runs by name.

use std::collections::{HashMap, HashSet};

use entities::{
    BeginRequest, Begun, Frozen, Mode, Moment, ResumeMode, RunId, SpecIndex, SpecProgress, StoreError,
    SyncPlan, TaskId,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::tables::{Tables, claim};
use crate::trouble::Trouble;
use crate::{cursor, undo};

/// Room for the ids that are given out but not committed while another plan's run is under way.
const GAP: i64 = 1 << 32;

/// What commits need to know of a run.
#[derive(Debug)]
pub(crate) struct ActiveRun {
    /// The plan's name.
    pub plan: String,
    specs: Vec<Option<ActiveSpec>>,
    absent: HashMap<SpecIndex, AbsentSpec>,
}

impl ActiveRun {
    /// The spec at a place of the plan, if the run has it.
    pub(crate) fn spec(&self, index: SpecIndex) -> Option<&ActiveSpec> {
        self.specs.get(index.0 as usize)?.as_ref()
    }

    /// A spec that the run was not asked for, but whose requests this run's records drive and no
    /// later run would: they are owed.
    pub(crate) fn absent(&self, index: SpecIndex) -> Option<&AbsentSpec> {
        self.absent.get(&index)
    }

    /// The run's specs.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &ActiveSpec> {
        self.specs.iter().flatten()
    }
}

/// What commits need to know of a spec that the run leaves out.
#[derive(Debug)]
pub(crate) struct AbsentSpec {
    /// Its number in the ledger.
    pub number: i64,
    /// Every parent record drives it, also one that did not change.
    pub needs_all: bool,
}

/// What commits need to know of a spec.
#[derive(Debug)]
pub(crate) struct ActiveSpec {
    /// Its number in the ledger.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: String,
    /// The record's fields that identify it.
    pub key: Vec<String>,
    /// What happens to what the table holds.
    pub mode: Mode,
    /// It has a cursor.
    pub has_cursor: bool,
    /// The cursor's field, if records at the cursor must not be appended again.
    pub boundary: Option<String>,
    /// Every parent record drives it, also one that did not change.
    pub needs_all: bool,
    /// The bindings, as the ledger holds them, of first pages that this run makes again because they
    /// were owed: a record that drives the same request drives nothing new.
    pub made_again: HashSet<String>,
    /// Its failed tasks are owed to the next run, which would not drive them by itself.
    pub owes: bool,
}

impl ActiveSpec {
    /// The fields on which its table has a unique index.
    pub(crate) fn unique(&self) -> &[String] {
        if self.mode == Mode::Append { &[] } else { &self.key }
    }
}

/// Begins or resumes a run. `others`: runs of other plans are under way in this process.
pub(crate) fn begin(
    conn: &Connection,
    tables: &mut Tables,
    request: &BeginRequest<'_>,
    others: bool,
) -> Result<(ActiveRun, Begun), Trouble> {
    // What is remembered may be of another shape of the plan (a key that changed).
    tables.forget_all();
    let plan = request.plan.name.as_str();
    let unfinished: Option<i64> = conn
        .query_row(
            "SELECT id FROM _sync_runs WHERE plan = ?1 AND state NOT IN ('complete', 'failed', 'undone')
             ORDER BY id DESC LIMIT 1",
            [plan],
            |row| row.get(0),
        )
        .optional()?;
    let next = next_task(conn, others)?;
    let (run, changed) = match (unfinished.map(RunId), request.resume) {
        (Some(run), ResumeMode::Auto | ResumeMode::Resume) => (run, resume(conn, request, run)?),
        (unfinished, _) => {
            if let Some(run) = unfinished {
                undo::run(conn, tables, request.plan, run, request.now)?;
            }
            (create(conn, request, next)?, Vec::new())
        }
    };
    let resumed = unfinished == Some(run.0);
    for index in &request.specs {
        let spec = request.plan.spec(*index);
        claim(conn, &spec.table, plan, spec.mode, &spec.key)?;
    }
    if !resumed {
        undo::reopen_owed(conn, request, run, next)?;
    }
    let (frozen, full_refresh) = frozen(conn, run)?;
    let active = activate(conn, request, run, full_refresh)?;
    let mut specs = Vec::new();
    for index in request.plan.spec_indices() {
        if let Some(spec) = active.spec(index) {
            specs.push(progress(conn, &active.plan, run, index, spec, full_refresh)?);
        }
    }
    let next_task = TaskId(next_task(conn, others)?);
    Ok((active, Begun { run, resumed, frozen, specs, next_task, changed }))
}

fn next_task(conn: &Connection, others: bool) -> Result<i64, Trouble> {
    let greatest: Option<i64> = conn.query_row("SELECT max(id) FROM _sync_tasks", [], |row| row.get(0))?;
    Ok(greatest.unwrap_or(0) + 1 + if others { GAP } else { 0 })
}

fn create(conn: &Connection, request: &BeginRequest<'_>, next: i64) -> Result<RunId, Trouble> {
    conn.execute(
        "INSERT INTO _sync_runs (plan, state, started_at, frozen_now, vars, full_refresh, first_task)
         VALUES (?1, 'running', ?2, ?3, ?4, ?5, ?6)",
        params![
            request.plan.name.as_str(),
            request.now.as_millis(),
            request.frozen.now.0,
            serde_json::to_string(&request.frozen.vars)?,
            request.full_refresh,
            next
        ],
    )?;
    let run = RunId(conn.last_insert_rowid());
    for index in &request.specs {
        add_spec(conn, request.plan, run, *index, false, is_new(conn, request.plan, run, *index)?)?;
    }
    for index in request.plan.spec_indices().filter(|index| is_owed_in_absence(request, *index)) {
        add_spec(conn, request.plan, run, index, true, is_new(conn, request.plan, run, index)?)?;
    }
    Ok(run)
}

fn add_spec(
    conn: &Connection,
    plan: &SyncPlan,
    run: RunId,
    index: SpecIndex,
    absent: bool,
    every: bool,
) -> Result<(), Trouble> {
    let spec = plan.spec(index);
    conn.execute(
        "INSERT INTO _sync_specs (run, spec, name, fingerprint, target, absent, every)
         VALUES (?1, (SELECT ifnull(max(spec) + 1, 0) FROM _sync_specs WHERE run = ?1), ?2, ?3, ?4, ?5, ?6)",
        params![run.0, spec.name, spec.fingerprint, spec.table, absent, every],
    )?;
    Ok(())
}

/// A run of some tasks lands changed parents of a task it leaves out; the next full run will see
/// those parents as unchanged.
fn is_owed_in_absence(request: &BeginRequest<'_>, index: SpecIndex) -> bool {
    let parent_runs = request.plan.spec(index).parent().is_some_and(|parent| request.specs.contains(&parent));
    !request.specs.contains(&index) && parent_runs && is_driven_by_changes(request.plan, index)
}

/// Readies an unfinished run to go on; says what changed in the plan since it began.
fn resume(conn: &Connection, request: &BeginRequest<'_>, run: RunId) -> Result<Vec<String>, Trouble> {
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
                let again = match spec.parent() {
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
        let Some(parent) = spec.parent() else { continue };
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
            Some(index) if is_driven_by_changes(request.plan, index) => {
                undo::leave_out(conn, request.plan, run, name)?;
            }
            _ => undo::forget_spec(conn, request.plan, run, name)?,
        }
    }
    for index in new {
        if undo::take_in(conn, request.plan, run, index)? {
            continue;
        }
        // Records that its parent has landed in this run without it must come again to drive it.
        let parent = request.plan.spec(index).parent();
        let late =
            parent.filter(|parent| held.iter().any(|(name, _)| *name == request.plan.spec(*parent).name));
        restarted.extend(late.filter(|parent| !restarted.contains(parent)));
        let every = late.is_some() || is_new(conn, request.plan, run, index)?;
        add_spec(conn, request.plan, run, index, false, every)?;
    }
    for index in request.plan.spec_indices().filter(|index| is_owed_in_absence(request, *index)) {
        if !undo::has_spec(conn, run, &request.plan.spec(index).name)? {
            add_spec(conn, request.plan, run, index, true, is_new(conn, request.plan, run, index)?)?;
        }
    }
    undo::restart(conn, request.plan, run, &restarted)?;
    conn.execute("UPDATE _sync_runs SET state = 'running', ended_at = NULL WHERE id = ?1", [run.0])?;
    Ok(changed)
}

fn activate(
    conn: &Connection,
    request: &BeginRequest<'_>,
    run: RunId,
    full_refresh: bool,
) -> Result<ActiveRun, Trouble> {
    let mut specs = Vec::new();
    let mut absent = HashMap::new();
    for index in request.plan.spec_indices() {
        let spec = request.plan.spec(index);
        if !request.specs.contains(&index) {
            let there = conn
                .query_row(
                    "SELECT spec, every FROM _sync_specs WHERE run = ?1 AND name = ?2 AND absent",
                    params![run.0, spec.name],
                    |row| Ok(AbsentSpec { number: row.get(0)?, needs_all: row.get(1)? }),
                )
                .optional()?;
            absent.extend(there.map(|there| (index, there)));
            specs.push(None);
            continue;
        }
        let (number, every): (i64, bool) = conn.query_row(
            "SELECT spec, every FROM _sync_specs WHERE run = ?1 AND name = ?2",
            params![run.0, spec.name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        specs.push(Some(ActiveSpec {
            number,
            name: spec.name.clone(),
            table: spec.table.clone(),
            key: spec.key.clone(),
            mode: spec.mode,
            has_cursor: spec.cursor.is_some(),
            boundary: spec
                .cursor
                .as_ref()
                .filter(|_| spec.mode == Mode::Append)
                .map(|cursor| cursor.field.clone()),
            needs_all: full_refresh || every || needs_all(request.plan, index),
            made_again: made_again(conn, run, number)?,
            owes: owes(request.plan, index),
        }));
    }
    Ok(ActiveRun { plan: request.plan.name.as_str().to_owned(), specs, absent })
}

fn made_again(conn: &Connection, run: RunId, number: i64) -> Result<HashSet<String>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT bindings FROM _sync_tasks
         WHERE id >= (SELECT first_task FROM _sync_runs WHERE id = ?1) AND run = ?1 AND spec = ?2
         AND origin IS NOT NULL AND position IS NULL AND bindings IS NOT NULL AND state <> 'undone'",
    )?;
    let bindings = statement.query_map(params![run.0, number], |row| row.get(0))?;
    Ok(bindings.collect::<Result<_, _>>()?)
}

/// A full copy needs every record, so whatever leads to one is driven by every record as well.
fn needs_all(plan: &SyncPlan, index: SpecIndex) -> bool {
    plan.spec(index).mode == Mode::Replace
        || plan.children_of(index).into_iter().any(|child| needs_all(plan, child))
}

/// Whether other runs have appended to the spec's table.
fn is_appended_to(conn: &Connection, plan: &SyncPlan, run: RunId, index: SpecIndex) -> Result<bool, Trouble> {
    let spec = plan.spec(index);
    Ok(spec.mode == Mode::Append && was_run(conn, plan, run, &spec.name)?)
}

/// Other runs have had its parent, but none had it as it is now: it is owed the records that its
/// parent holds, also those that will not change any more. (A changed spec that appends is left
/// alone: all it has would land a second time.)
fn is_new(conn: &Connection, plan: &SyncPlan, run: RunId, index: SpecIndex) -> Result<bool, Trouble> {
    let Some(parent) = plan.spec(index).parent() else { return Ok(false) };
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
             WHERE r.plan = ?1 AND s.name = ?2 AND r.id <> ?3 AND r.state <> 'undone' ORDER BY r.id DESC LIMIT 1",
            params![plan.name.as_str(), spec.name, run.0],
            |row| row.get(0),
        )
        .optional()?;
    let as_it_is = was.is_some_and(|was| was == spec.fingerprint || spec.mode == Mode::Append);
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

/// Its parent drives it only with records that are new or differ: a task of it that is lost does
/// not come back by itself.
pub(crate) fn is_driven_by_changes(plan: &SyncPlan, index: SpecIndex) -> bool {
    plan.spec(index).parent().is_some_and(|parent| {
        let parent = plan.spec(parent);
        parent.mode == Mode::Merge && !parent.key.is_empty() && !needs_all(plan, index)
    })
}

fn owes(plan: &SyncPlan, index: SpecIndex) -> bool {
    is_driven_by_changes(plan, index) || plan.spec(index).parent().is_some_and(|parent| owes(plan, parent))
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
    plan: &str,
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
    if spec.has_cursor && !full_refresh {
        progress.cursors = cursor::at_start(conn, plan, &spec.name, run)?;
    }
    Ok(progress)
}
