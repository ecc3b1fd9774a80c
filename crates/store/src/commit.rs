//! Commit: the one operation that changes ledger and tables together.

use std::collections::{BTreeMap, HashMap};

use entities::{
    Child, Committed, Entry, Failure, FailureClass, FailureKind, Landing, Mode, RecordBatch, RunEnd, RunId,
    Settled, SpecIndex, TaskId,
};
use rusqlite::{Connection, params};

use crate::active::{ActiveRun, ActiveSpec};
use crate::seam::{TableOf, Tables, Write, Written};
use crate::statements::Statements;
use crate::tasks::{self, Ended};
use crate::trouble::Trouble;
use crate::{boundary, cursor, waiting};

/// How to treat a record that the database itself refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Give up the whole transaction: the caller tries again with more care.
    Quick,
    /// A savepoint around each landing, so that only that landing fails.
    LandingByLanding,
}

/// Writes entries, in order, inside the caller's transaction.
pub(crate) fn commit(
    conn: &Connection,
    tables: &mut dyn Tables,
    runs: &HashMap<RunId, ActiveRun>,
    entries: &[Entry],
    care: Care,
) -> Result<Vec<Committed>, Trouble> {
    let statements = Statements::new(conn);
    let mut commit = Commit { conn, tables, runs, statements, tallies: BTreeMap::new() };
    let mut committed = Vec::with_capacity(entries.len());
    for entry in entries {
        committed.push(match entry {
            Entry::Land(landing) => commit.land(landing, care)?,
            Entry::EndSpec { run, spec, failed, first_child } => {
                commit.end_spec(*run, *spec, *failed, *first_child)?
            }
            Entry::EndRun { run, end, at } => {
                commit.end_run(*run, *end, at.as_millis())?;
                Committed::default()
            }
        });
    }
    commit.write_tallies()?;
    Ok(committed)
}

struct Commit<'a> {
    conn: &'a Connection,
    tables: &'a mut dyn Tables,
    runs: &'a HashMap<RunId, ActiveRun>,
    statements: Statements<'a>,
    tallies: BTreeMap<(RunId, i64), Tally>,
}

/// Some of a landing's records, and what they drive.
struct Part<'l> {
    batch: &'l RecordBatch,
    children: &'l [Child],
    /// The id set aside for the first of them.
    first_child: i64,
}

impl Part<'_> {
    /// The id behind those of its children.
    fn behind(&self) -> i64 {
        self.first_child + i64::try_from(self.children.len()).unwrap_or(i64::MAX)
    }
}

/// What came of the parts of a landing.
#[derive(Default)]
struct Came {
    rows: u64,
    dropped: u64,
    landed: usize,
    children: BTreeMap<SpecIndex, u64>,
}

/// What became of a landing's records.
enum Landed {
    Well(Committed),
    Refused(Failure),
}

/// What a transaction adds to a spec's counters: one UPDATE per spec, not per landing.
#[derive(Default)]
struct Tally {
    watermark: u64,
    done: i64,
    failed: i64,
    skipped: i64,
    records: i64,
}

impl<'a> Commit<'a> {
    fn run(&self, run: RunId) -> Result<&'a ActiveRun, Trouble> {
        self.runs
            .get(&run)
            .ok_or_else(|| Trouble::Ledger(format!("run {run} was not begun here, or has ended")))
    }

    fn spec(&self, run: RunId, spec: SpecIndex) -> Result<&'a ActiveSpec, Trouble> {
        self.run(run)?.spec(spec).ok_or_else(|| Trouble::Ledger(format!("run {run} has no task spec {spec}")))
    }

    fn land(&mut self, landing: &Landing, care: Care) -> Result<Committed, Trouble> {
        let spec = self.spec(landing.run, landing.task.spec)?;
        let batch = match &landing.result {
            Err(failure) => return self.fail(spec, landing, failure, None),
            Ok(batch) => batch,
        };
        // Of spooled records a later part may be refused when earlier ones are written.
        if care == Care::Quick && batch.spooled.is_none() {
            return match self.land_records(spec, landing, batch)? {
                Landed::Well(committed) => Ok(committed),
                Landed::Refused(failure) => self.turn(spec, landing, failure),
            };
        }
        self.conn.execute_batch("SAVEPOINT landing")?;
        self.tables.savepoint()?;
        let landed = self.land_records(spec, landing, batch).and_then(|landed| {
            if matches!(landed, Landed::Well(_)) {
                self.tables.end_savepoint(true)?;
            }
            Ok(landed)
        });
        let failure = match landed {
            Ok(Landed::Well(committed)) => {
                self.conn.execute_batch("RELEASE landing")?;
                return Ok(committed);
            }
            Ok(Landed::Refused(failure)) => failure,
            Err(trouble) if care == Care::LandingByLanding && trouble.is_about_a_record() => {
                refused(spec, trouble)
            }
            Err(trouble) => return Err(trouble),
        };
        self.conn.execute_batch("ROLLBACK TO landing; RELEASE landing")?;
        self.tables.end_savepoint(false)?;
        self.turn(spec, landing, failure)
    }

    /// A landing that the store cannot hold.
    fn turn(&mut self, spec: &ActiveSpec, landing: &Landing, failure: Failure) -> Result<Committed, Trouble> {
        let failure = asked_by(spec, landing, failure);
        self.fail(spec, landing, &failure, Some(failure.clone()))
    }

    fn land_records(
        &mut self,
        spec: &ActiveSpec,
        landing: &Landing,
        batch: &RecordBatch,
    ) -> Result<Landed, Trouble> {
        let mut came = Came::default();
        let first = Part { batch, children: &landing.children, first_child: landing.first_child.0 };
        if let Some(failure) = self.land_part(spec, landing, &first, &mut came)? {
            return Ok(Landed::Refused(failure));
        }
        let mut first_child = first.behind();
        for part in batch.spooled.iter().flat_map(|spooled| spooled.parts()) {
            let part = match part {
                Ok(part) => part,
                Err(failure) => return Ok(Landed::Refused(failure)),
            };
            let part = Part { batch: &part.records, children: &part.children, first_child };
            first_child = part.behind();
            if let Some(failure) = self.land_part(spec, landing, &part, &mut came)? {
                return Ok(Landed::Refused(failure));
            }
        }
        let ended = if landing.skipped { Ended::Skipped } else { Ended::Done };
        let origin = self.origin(spec, landing)?;
        tasks::finish(&mut self.statements, spec, landing, came.landed, &ended)?;
        self.open_next(landing, origin)?;
        let settled = self.land_cursor(spec, landing, cursor::Came::Well, origin)?;
        let tally = self.tally(spec, landing);
        tally.records += i64::try_from(came.landed).unwrap_or(i64::MAX);
        tally.skipped += i64::from(landing.skipped);
        let children = came.children.into_iter().collect();
        Ok(Landed::Well(Committed {
            children,
            rows: came.rows,
            dropped: came.dropped,
            settled,
            ..Committed::default()
        }))
    }

    /// Writes some of a landing's records and opens what they drive; or says why the table cannot hold them.
    fn land_part(
        &mut self,
        spec: &ActiveSpec,
        landing: &Landing,
        part: &Part<'_>,
        came: &mut Came,
    ) -> Result<Option<Failure>, Trouble> {
        let known = match (&spec.boundary, &landing.cursor_of) {
            (Some(field), Some(combination)) => {
                let plan = &self.run(landing.run)?.plan;
                let key = cursor::CursorKey { plan, task: &spec.name, combination };
                boundary::known(self.conn, &key, field, landing, part.batch)?
            }
            _ => None,
        };
        let write = Write {
            run: landing.run,
            table: &spec.table,
            task: landing.task.id,
            bindings: &landing.task.bindings,
            batch: part.batch,
            drives: !part.children.is_empty(),
            known: known.as_deref(),
        };
        let (rows, differs) = match self.tables.write(&mut self.statements, &write)? {
            Written::Rows { rows, differs } => (rows, differs),
            Written::Refused(failure) => return Ok(Some(failure)),
        };
        let dropped = known.map_or(0, |known| known.iter().filter(|known| **known).count());
        came.rows += rows;
        came.dropped += dropped as u64;
        came.landed += part.batch.rows - dropped;
        for (spec, opened) in self.open_children(landing.run, part, differs.as_deref())? {
            *came.children.entry(spec).or_default() += opened;
        }
        Ok(None)
    }

    fn origin(&self, spec: &ActiveSpec, landing: &Landing) -> Result<Option<i64>, Trouble> {
        if spec.repeats { tasks::origin(self.conn, landing.task.id) } else { Ok(None) }
    }

    fn open_next(&self, landing: &Landing, origin: Option<i64>) -> Result<(), Trouble> {
        for task in &landing.next {
            let spec = self.spec(landing.run, task.spec)?;
            tasks::open_next(self.conn, spec, landing, task, origin)?;
        }
        Ok(())
    }

    /// Writes a failure and, of the rest of the landing, only the pages that follow: they may be in
    /// flight already. `turned`: the store's own doing.
    fn fail(
        &mut self,
        spec: &ActiveSpec,
        landing: &Landing,
        failure: &Failure,
        turned: Option<Failure>,
    ) -> Result<Committed, Trouble> {
        let origin = self.origin(spec, landing)?;
        tasks::finish(&mut self.statements, spec, landing, 0, &Ended::Failed(failure))?;
        self.open_next(landing, origin)?;
        let settled = self.land_cursor(spec, landing, cursor::Came::Failed, origin)?;
        self.tally(spec, landing).failed += 1;
        Ok(Committed { failed: turned, settled, ..Committed::default() })
    }

    fn open_children(
        &self,
        id: RunId,
        part: &Part<'_>,
        differs: Option<&[bool]>,
    ) -> Result<BTreeMap<SpecIndex, u64>, Trouble> {
        let mut opened: BTreeMap<SpecIndex, u64> = BTreeMap::new();
        let run = self.run(id)?;
        for (child, task) in part.children.iter().zip(part.first_child..) {
            let differs =
                differs.is_none_or(|differs| differs.get(child.row as usize).copied().unwrap_or(true));
            let Some(spec) = run.spec(child.spec) else {
                // A spec that this run leaves out.
                if let Some(absent) = run.absent(child.spec)
                    && (differs || absent.needs_all)
                    && !absent.owes(child)
                {
                    tasks::owe_child(self.conn, id, absent.number, TaskId(task), child)?;
                }
                continue;
            };
            let drives = differs || spec.needs_all && !spec.has_drawn(child);
            if !drives || spec.makes_again(child) {
                continue;
            }
            *opened.entry(child.spec).or_default() += match &spec.batch {
                Some((name, size)) => {
                    waiting::add(self.conn, id, spec.number, TaskId(task), child)?;
                    waiting::draw_full(self.conn, id, spec.number, (name, *size))?
                }
                None => {
                    let bindings = tasks::bindings_text(&child.bindings)?;
                    tasks::open_child(self.conn, id, spec.number, task, bindings.as_deref())?;
                    1
                }
            };
        }
        opened.retain(|_, count| *count > 0);
        Ok(opened)
    }

    /// Moves the landing's cursor. Says when nothing of a combination that waited for what it was owed is
    /// open any more.
    fn land_cursor(
        &self,
        spec: &ActiveSpec,
        landing: &Landing,
        came: cursor::Came,
        origin: Option<i64>,
    ) -> Result<Option<Settled>, Trouble> {
        let Some(combination) = &landing.cursor_of else { return Ok(None) };
        let plan = &self.run(landing.run)?.plan;
        let key = cursor::CursorKey { plan, task: &spec.name, combination };
        cursor::land(self.conn, &key, spec, landing, came, origin.is_some())?;
        if origin.is_none() || !spec.held_back.contains(combination) {
            return Ok(None);
        }
        let (open, failed) = tasks::made_again(self.conn, landing.run, spec.number, combination)?;
        Ok((open == 0).then_some(Settled {
            combination: combination.clone(),
            cursor: cursor::value(self.conn, &key, landing.run)?,
            sits_out: failed > 0 && spec.table.mode == Mode::Append,
        }))
    }

    fn tally(&mut self, spec: &ActiveSpec, landing: &Landing) -> &mut Tally {
        let tally = self.tallies.entry((landing.run, spec.number)).or_default();
        tally.done += 1;
        tally.watermark = tally.watermark.max(landing.watermark.unwrap_or(0));
        tally
    }

    fn write_tallies(&mut self) -> Result<(), Trouble> {
        for ((run, number), tally) in std::mem::take(&mut self.tallies) {
            self.conn
                .prepare_cached(
                    "UPDATE _sync_specs SET watermark = max(watermark, ?3), done = done + ?4, failed = failed + ?5,
                     skipped = skipped + ?6, records = records + ?7 WHERE run = ?1 AND spec = ?2",
                )?
                .execute(params![
                    run.0,
                    number,
                    i64::try_from(tally.watermark).unwrap_or(i64::MAX),
                    tally.done,
                    tally.failed,
                    tally.skipped,
                    tally.records
                ])?;
        }
        Ok(())
    }

    fn end_spec(
        &mut self,
        run: RunId,
        index: SpecIndex,
        failed: u64,
        first_child: TaskId,
    ) -> Result<Committed, Trouble> {
        let (active, spec) = (self.run(run)?, self.spec(run, index)?);
        match spec.table.mode {
            Mode::Replace if failed == 0 => self.tables.swap(self.conn, &spec.table)?,
            Mode::Replace => {}
            Mode::Append | Mode::Merge | Mode::Mirror(_) => self.tables.ensure(self.conn, &spec.table)?,
        }
        if let (Mode::Mirror(deleted), 0) = (spec.table.mode, failed) {
            self.tables.sweep(self.conn, &spec.table, deleted, spec.since, active.now)?;
        }
        cursor::end_spec(self.conn, &active.plan, run, spec)?;
        self.conn.execute(
            "UPDATE _sync_specs SET ended = 1 WHERE run = ?1 AND spec = ?2",
            params![run.0, spec.number],
        )?;
        let mut committed = Committed::default();
        for (child, id) in active.children_of(index).iter().zip(first_child.0..) {
            let Some((spec, (name, size))) =
                active.spec(*child).and_then(|spec| Some((spec, spec.batch.as_ref()?)))
            else {
                continue;
            };
            let opened = waiting::draw_rest(self.conn, run, spec.number, (name, *size), TaskId(id))?;
            if opened > 0 {
                committed.children.push((*child, opened));
            }
        }
        Ok(committed)
    }

    fn end_run(&mut self, id: RunId, end: RunEnd, at: i64) -> Result<(), Trouble> {
        let run = self.run(id)?;
        let finished = matches!(end, RunEnd::Complete | RunEnd::Failed);
        if finished {
            for spec in run.specs().filter(|spec| spec.table.mode == Mode::Replace) {
                self.tables.drop_stage(self.conn, &spec.table.name)?;
            }
        }
        let tables: Vec<&TableOf> = run.specs().map(|spec| &spec.table).collect();
        self.tables.end_run(self.conn, id, &tables, finished)?;
        self.conn.execute(
            "UPDATE _sync_runs SET state = ?2, ended_at = ?3 WHERE id = ?1",
            params![id.0, end.as_str(), at],
        )?;
        Ok(())
    }
}

/// A failure of the store's with the request whose records it is about: as the plan has it, and what it was
/// asked for with. The answer is gone by now; its page and record numbers find it again.
fn asked_by(spec: &ActiveSpec, landing: &Landing, mut failure: Failure) -> Failure {
    const SHOWN: usize = 200;
    let (request, at) = &spec.request;
    let mut shown = request.clone();
    if landing.task.page.number > 1 {
        shown.push_str(&format!(" page {}", landing.task.page.number));
    }
    if !landing.task.bindings.0.is_empty() {
        let names = serde_json::Value::Object((*landing.task.bindings.0).clone()).to_string();
        let cut = names.char_indices().nth(SHOWN).map_or(names.len(), |(at, _)| at);
        let more = if cut < names.len() { "…" } else { "" };
        shown.push_str(&format!(" with {}{more}", &names[..cut]));
    }
    failure.request.get_or_insert(shown);
    failure.place.get_or_insert(*at);
    failure.status = failure.status.or(landing.status);
    failure
}

fn refused(spec: &ActiveSpec, trouble: Trouble) -> Failure {
    let message = format!("table `{}` does not take a record: {}", spec.table.name, trouble.words());
    Failure::new(FailureClass::Permanent, FailureKind::Record, message)
        .help("it is an index, a trigger or a constraint that was added to the table, or more than a column can hold")
}
