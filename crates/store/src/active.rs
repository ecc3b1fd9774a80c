//! What commits need to know of a run and of its specs: read once, when the run begins or goes on.

use std::collections::{HashMap, HashSet};

use entities::{
    BeginRequest, Bindings, Child, Deleted, Foreach, Landing, Mode, Moment, Order, Over, Place, RunId,
    SchemaPolicy, SpecIndex, SyncPlan, TaskId, TaskSpec, TextPolicy,
};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};

use crate::columns::Shape;
use crate::drives::{needs_all, owes};
use crate::seam::TableOf;
use crate::trouble::Trouble;

/// A run under way.
#[derive(Debug)]
pub(crate) struct ActiveRun {
    /// The plan's name.
    pub plan: String,
    /// What `{{ now }}` stands for.
    pub now: Moment,
    /// No task of it has a lower id.
    pub first_task: i64,
    specs: Vec<Option<ActiveSpec>>,
    absent: HashMap<SpecIndex, AbsentSpec>,
    children: Vec<Vec<SpecIndex>>,
    tables: Vec<TableOf>,
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

    /// The table of a spec of the plan, in the run or not: a retry reads the rows of a parent that it
    /// leaves out.
    pub(crate) fn table(&self, index: SpecIndex) -> Option<&TableOf> {
        self.tables.get(index.0 as usize)
    }

    /// The run's specs.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &ActiveSpec> {
        self.specs.iter().flatten()
    }

    /// The specs whose heads are the records of one, in the plan's order, in the run or not.
    pub(crate) fn children_of(&self, index: SpecIndex) -> &[SpecIndex] {
        self.children.get(index.0 as usize).map_or(&[], Vec::as_slice)
    }
}

/// What commits need to know of a spec that the run leaves out.
#[derive(Debug)]
pub(crate) struct AbsentSpec {
    /// Its number in the ledger.
    pub number: i64,
    /// Every parent record drives it, also one that did not change.
    pub needs_all: bool,
    /// The bindings of first pages that are owed to the next run already: as in [`ActiveSpec::made_again`].
    pub owed: HashSet<String>,
}

impl AbsentSpec {
    /// Whether the next run asks for this child already.
    pub(crate) fn owes(&self, child: &Child) -> bool {
        contains(&self.owed, child)
    }
}

/// How a spec's cursors move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advance {
    /// To the greatest value landed, when the combination is settled.
    Greatest,
    /// To the end of the contiguous finished windows.
    Prefix,
    /// The same, but only when the spec ends: windows that are not opened yet may lie before those that are
    /// done. The slices of one head belong to several combinations, or their newest come first.
    PrefixAtEnd,
}

/// What commits need to know of a spec.
#[derive(Debug)]
pub(crate) struct ActiveSpec {
    /// Its number in the ledger.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Its request, as the plan has it: `GET /repos/{{ repo }}/issues`, and where that stands.
    pub request: (String, Place),
    /// Its table.
    pub table: TableOf,
    /// How its cursors move, if it has any.
    pub advance: Option<Advance>,
    /// The cursor's field, if records at the cursor must not be appended again.
    pub boundary: Option<String>,
    /// Every parent record drives it, also one that did not change.
    pub needs_all: bool,
    /// The name of the parent's records, and how many are bound together.
    pub batch: Option<(String, usize)>,
    /// The bindings, as the ledger holds them, of first pages that this run makes again because they
    /// were owed: a record that drives the same request drives nothing new.
    pub made_again: HashSet<String>,
    /// The records, likewise, that this run has drawn into batches before it was resumed. Some may have been carried over
    /// from a run that was undone: as long as they do not change they drive nothing more.
    pub drawn: HashSet<String>,
    /// This run makes requests of earlier ones again.
    pub repeats: bool,
    /// Combinations that wait for what an earlier run owed them.
    pub held_back: HashSet<String>,
    /// Its failed tasks are owed to the next run, which would not make them by itself.
    pub owes: bool,
    /// Rows of a mirror with a lower `_task` were not returned by the run.
    pub since: i64,
    names: Names,
}

/// What names a combination.
#[derive(Debug)]
struct Names {
    left_out: Vec<String>,
    parents: Vec<(String, Vec<String>)>,
}

impl ActiveSpec {
    /// The combination that bindings belong to.
    pub(crate) fn combination(&self, bindings: &Bindings) -> String {
        self.names.combination(bindings)
    }

    /// Whether the run asks for this child already, because it was owed.
    pub(crate) fn makes_again(&self, child: &Child) -> bool {
        contains(&self.made_again, child)
    }

    /// Whether the run has asked for this child, in a batch, before it was resumed.
    pub(crate) fn has_drawn(&self, child: &Child) -> bool {
        contains(&self.drawn, child)
    }
}

fn contains(first_pages: &HashSet<String>, child: &Child) -> bool {
    !first_pages.is_empty() && first_pages.contains(&Value::Object((*child.bindings.0).clone()).to_string())
}

impl Names {
    fn combination(&self, bindings: &Bindings) -> String {
        Landing::combination_of(bindings, &self.left_out, &self.parents)
    }
}

/// The combination that bindings of a spec belong to.
pub(crate) fn combination(plan: &SyncPlan, spec: &TaskSpec, bindings: &Bindings) -> Option<String> {
    spec.cursor.as_ref().map(|_| names_of(plan, spec).combination(bindings))
}

/// What the run's specs need, as the ledger has them.
pub(crate) fn activate(
    conn: &Connection,
    request: &BeginRequest<'_>,
    run: RunId,
) -> Result<ActiveRun, Trouble> {
    let plan = request.plan;
    let (first_task, now, full_refresh): (i64, i64, bool) = conn.query_row(
        "SELECT first_task, frozen_now, full_refresh FROM _sync_runs WHERE id = ?1",
        [run.0],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let mut active = ActiveRun {
        plan: plan.name.as_str().to_owned(),
        now: Moment(now),
        first_task,
        specs: Vec::new(),
        absent: HashMap::new(),
        children: plan.spec_indices().map(|index| plan.children_of(index)).collect(),
        tables: plan.spec_indices().map(|index| plan.spec(index)).map(|spec| table_of(spec, false)).collect(),
    };
    for index in plan.spec_indices() {
        let spec = plan.spec(index);
        if request.specs.contains(&index) {
            active.specs.push(Some(spec_of(conn, plan, run, index, full_refresh, first_task)?));
            continue;
        }
        let there = conn
            .query_row(
                "SELECT spec, every FROM _sync_specs WHERE run = ?1 AND name = ?2 AND absent",
                params![run.0, spec.name],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        if let Some((number, needs_all)) = there {
            let owed = owed_elsewhere(conn, plan, run, spec)?;
            active.absent.insert(index, AbsentSpec { number, needs_all, owed });
        }
        active.specs.push(None);
    }
    Ok(active)
}

fn spec_of(
    conn: &Connection,
    plan: &SyncPlan,
    run: RunId,
    index: SpecIndex,
    full_refresh: bool,
    first_task: i64,
) -> Result<ActiveSpec, Trouble> {
    let spec = plan.spec(index);
    let (number, every, frozen, since): (i64, bool, bool, Option<i64>) = conn.query_row(
        "SELECT spec, every, frozen, since FROM _sync_specs WHERE run = ?1 AND name = ?2",
        params![run.0, spec.name],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    let advance = advance_of(spec);
    let waits = advance == Some(Advance::Greatest) && !full_refresh;
    let held_back = if waits { held_back(conn, run, number)? } else { HashSet::new() };
    let batch = batch_of(spec);
    let records = spec.records().map(|foreach| foreach.name.as_str());
    let made_again = made_again(conn, run, number, records)?;
    let needs_all = full_refresh || every || needs_all(plan, index);
    let drawn =
        if batch.is_some() && needs_all { drawn(conn, run, number, records)? } else { HashSet::new() };
    let repeats: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM _sync_tasks WHERE id >= ?1 AND run = ?2 AND spec = ?3 AND origin IS NOT NULL)",
        params![first_task, run.0, number],
        |row| row.get(0),
    )?;
    Ok(ActiveSpec {
        number,
        name: spec.name.clone(),
        request: (format!("{} {}", spec.method.as_str(), spec.path.source), spec.path.at),
        table: table_of(spec, frozen && spec.schema == SchemaPolicy::Frozen),
        advance,
        boundary: spec
            .cursor
            .as_ref()
            .filter(|_| spec.mode == Mode::Append && advance == Some(Advance::Greatest))
            .map(|cursor| cursor.field.clone()),
        needs_all,
        batch,
        made_again,
        drawn,
        repeats,
        held_back,
        owes: owes(plan, index),
        since: since.unwrap_or(first_task),
        names: names_of(plan, spec),
    })
}

/// How the cursors of a spec move.
pub(crate) fn advance_of(spec: &TaskSpec) -> Option<Advance> {
    spec.cursor.as_ref()?;
    if !spec.windows_from_cursor() {
        return Some(Advance::Greatest);
    }
    let in_order = spec.order == Order::Given && spec.sliced().count() == 1;
    Some(if in_order { Advance::Prefix } else { Advance::PrefixAtEnd })
}

/// The name of the parent's records and how many are bound together.
pub(crate) fn batch_of(spec: &TaskSpec) -> Option<(String, usize)> {
    let name = spec.records()?.name.clone();
    Some((name, usize::try_from(spec.batch()?.max(1)).unwrap_or(usize::MAX)))
}

fn table_of(spec: &TaskSpec, frozen: bool) -> TableOf {
    TableOf {
        name: spec.table.clone(),
        mode: spec.mode,
        key: spec.key.clone(),
        shape: shape_of(spec),
        frozen,
        refuses_text: spec.text == TextPolicy::Fail,
        partition: spec.partition.clone(),
    }
}

/// What a spec's table must be like.
pub(crate) fn shape_of(spec: &TaskSpec) -> Shape {
    Shape {
        unique: if spec.mode == Mode::Append { Vec::new() } else { spec.key.clone() },
        types: spec.types.iter().map(|(field, kind)| (field.clone(), *kind)).collect(),
        marks: spec.mode == Mode::Mirror(Deleted::Mark),
    }
}

fn names_of(plan: &SyncPlan, spec: &TaskSpec) -> Names {
    let left_out = spec
        .foreach
        .iter()
        .filter(|foreach| match foreach.over {
            Over::Windows { .. } => true,
            Over::Records { batch, .. } => batch.is_some(),
            _ => false,
        })
        .map(|foreach| foreach.name.clone())
        .collect();
    let key = |foreach: &Foreach| Some((foreach.name.clone(), plan.spec(foreach.task()?).key.clone()));
    Names { left_out, parents: spec.foreach.iter().filter_map(key).collect() }
}

/// The combinations of which something that an earlier run owed is open.
pub(crate) fn held_back(conn: &Connection, run: RunId, number: i64) -> Result<HashSet<String>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT DISTINCT cursor_of FROM _sync_tasks WHERE run = ?1 AND spec = ?2 AND cursor_of IS NOT NULL
         AND state IN ('open', 'failed') AND state = 'open' AND origin IS NOT NULL",
    )?;
    let combinations = statement.query_map(params![run.0, number], |row| row.get(0))?;
    Ok(combinations.collect::<Result<_, _>>()?)
}

/// The open first pages of those combinations that are not what is owed, or were never sent: they begin
/// where it ends.
pub(crate) fn waiting(conn: &Connection, run: RunId, spec: &ActiveSpec) -> Result<Vec<TaskId>, Trouble> {
    if spec.held_back.is_empty() {
        return Ok(Vec::new());
    }
    let mut statement = conn.prepare_cached(
        "SELECT id, bindings FROM _sync_tasks WHERE run = ?1 AND spec = ?2 AND state = 'open'
         AND chain = id AND position IS NULL AND (origin IS NULL OR cursor_of IS NULL) ORDER BY id",
    )?;
    let found = statement
        .query_map(params![run.0, spec.number], |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?)))?;
    let mut waiting = Vec::new();
    for found in found {
        let (id, bindings) = found?;
        let bindings = bindings.map_or(Ok(Bindings::default()), |text| serde_json::from_str(&text))?;
        if spec.held_back.contains(&spec.combination(&bindings)) {
            waiting.push(TaskId(id));
        }
    }
    Ok(waiting)
}

fn made_again(
    conn: &Connection,
    run: RunId,
    number: i64,
    records: Option<&str>,
) -> Result<HashSet<String>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT bindings, slice IS NOT NULL AND json_extract(slice, '$.head') = id FROM _sync_tasks
         WHERE id >= (SELECT first_task FROM _sync_runs WHERE id = ?1) AND run = ?1 AND spec = ?2
         AND origin IS NOT NULL AND chain = id AND opened_by IS NULL AND position IS NULL
         AND bindings IS NOT NULL AND state <> 'undone'
         UNION ALL SELECT bindings, 0 FROM _sync_waiting WHERE run = ?1 AND spec = ?2",
    )?;
    let bindings = statement.query_map(params![run.0, number], |row| Ok((row.get(0)?, row.get(1)?)))?;
    first_pages(bindings.collect::<Result<_, _>>()?, records)
}

/// The records of the batches that a run has opened.
fn drawn(
    conn: &Connection,
    run: RunId,
    number: i64,
    records: Option<&str>,
) -> Result<HashSet<String>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT bindings FROM _sync_tasks WHERE run = ?1 AND spec = ?2 AND origin IS NULL AND chain = id
         AND opened_by IS NULL AND position IS NULL AND bindings IS NOT NULL AND state <> 'undone'",
    )?;
    let bindings = statement.query_map(params![run.0, number], |row| Ok((row.get(0)?, false)))?;
    first_pages(bindings.collect::<Result<_, _>>()?, records)
}

/// What earlier runs drove, and owe to the next that has the spec.
fn owed_elsewhere(
    conn: &Connection,
    plan: &SyncPlan,
    run: RunId,
    spec: &TaskSpec,
) -> Result<HashSet<String>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT t.bindings, t.slice IS NOT NULL AND json_extract(t.slice, '$.head') = t.id FROM _sync_tasks t
         JOIN _sync_runs r ON r.id = t.run JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
         WHERE t.owed IS NOT NULL AND r.plan = ?1 AND r.id <> ?2 AND s.name = ?3
         AND t.chain = t.id AND t.opened_by IS NULL AND t.position IS NULL AND t.bindings IS NOT NULL",
    )?;
    let bindings = statement
        .query_map(params![plan.name.as_str(), run.0, spec.name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let records = spec.records().map(|foreach| foreach.name.as_str());
    first_pages(bindings.collect::<Result<_, _>>()?, records)
}

/// The bindings of first pages, as a record that drives one has them; with each, whether it is a head.
fn first_pages(bindings: Vec<(String, bool)>, records: Option<&str>) -> Result<HashSet<String>, Trouble> {
    let mut made_again = HashSet::new();
    for (text, is_head) in bindings {
        let mut parsed: Map<String, Value> = serde_json::from_str(&text)?;
        match records.and_then(|name| Some((name, parsed.remove(name)?))) {
            // Each record of a batch, and the record of which a head has cut its slices meanwhile.
            Some((name, Value::Array(records))) => {
                made_again.extend(records.into_iter().map(|record| json!({ name: record }).to_string()));
            }
            Some((name, record)) if is_head => {
                made_again.insert(json!({ name: record }).to_string());
            }
            _ => {
                made_again.insert(text);
            }
        }
    }
    Ok(made_again)
}
