//! Commit: the one operation that changes ledger and tables together.

use std::collections::{BTreeMap, HashMap};

use entities::{
    Committed, Entry, Failure, FailureClass, FailureKind, Landing, Mode, RunEnd, RunId, Settled, SpecIndex,
    TaskId,
};
use rusqlite::{Connection, params};

use crate::active::{ActiveRun, ActiveSpec};
use crate::cursor::Came;
use crate::landing::{self, Written};
use crate::modes::{mirror, replace};
use crate::statements::Statements;
use crate::tables::Tables;
use crate::tasks::{self, Ended};
use crate::trouble::{Trouble, words};
use crate::{boundary, cursor, waiting};

/// How to treat a record that SQLite itself refuses.
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
    tables: &mut Tables,
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
    tables: &'a mut Tables,
    runs: &'a HashMap<RunId, ActiveRun>,
    statements: Statements<'a>,
    tallies: BTreeMap<(RunId, i64), Tally>,
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
        let committed = match (&landing.result, care) {
            (Err(failure), _) => self.fail(spec, landing, failure, None)?,
            (Ok(_), Care::Quick) => self.land_records(spec, landing)?,
            (Ok(_), Care::LandingByLanding) => {
                self.conn.execute_batch("SAVEPOINT landing")?;
                match self.land_records(spec, landing) {
                    Ok(committed) => {
                        self.conn.execute_batch("RELEASE landing")?;
                        committed
                    }
                    Err(trouble) if trouble.is_about_a_record() => {
                        self.conn.execute_batch("ROLLBACK TO landing; RELEASE landing")?;
                        self.tables.forget_all();
                        let failure = asked_by(spec, landing, refused(spec, trouble));
                        self.fail(spec, landing, &failure, Some(failure.clone()))?
                    }
                    Err(trouble) => return Err(trouble),
                }
            }
        };
        Ok(committed)
    }

    fn land_records(&mut self, spec: &ActiveSpec, landing: &Landing) -> Result<Committed, Trouble> {
        let Ok(batch) = &landing.result else {
            return Err(Trouble::Ledger("a failure has no records".to_owned()));
        };
        let drives = !landing.children.is_empty();
        let known = match (&spec.boundary, &landing.cursor_of) {
            (Some(field), Some(combination)) => {
                let plan = &self.run(landing.run)?.plan;
                let key = cursor::CursorKey { plan, task: &spec.name, combination };
                boundary::known(self.conn, &key, field, landing, batch)?
            }
            _ => None,
        };
        let written = landing::write(
            &mut self.statements,
            self.tables,
            spec,
            batch,
            landing.task.id,
            drives,
            known.as_deref(),
        )?;
        let (rows, differs) = match written {
            Written::Rows { rows, differs } => (rows, differs),
            Written::Refused(failure) => {
                let failure = asked_by(spec, landing, failure);
                return self.fail(spec, landing, &failure, Some(failure.clone()));
            }
        };
        let ended = if landing.skipped { Ended::Skipped } else { Ended::Done };
        let origin = self.origin(spec, landing)?;
        let dropped = known.map_or(0, |known| known.iter().filter(|known| **known).count());
        let landed = batch.rows - dropped;
        tasks::finish(&mut self.statements, spec, landing, landed, &ended)?;
        self.open_next(landing, origin)?;
        let children = self.open_children(landing, differs.as_deref())?;
        let settled = self.land_cursor(spec, landing, Came::Well, origin)?;
        let tally = self.tally(spec, landing);
        tally.records += i64::try_from(landed).unwrap_or(i64::MAX);
        tally.skipped += i64::from(landing.skipped);
        Ok(Committed { children, rows, dropped: dropped as u64, settled, ..Committed::default() })
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
        let settled = self.land_cursor(spec, landing, Came::Failed, origin)?;
        self.tally(spec, landing).failed += 1;
        Ok(Committed { failed: turned, settled, ..Committed::default() })
    }

    fn open_children(
        &self,
        landing: &Landing,
        differs: Option<&[bool]>,
    ) -> Result<Vec<(SpecIndex, u64)>, Trouble> {
        let mut opened: BTreeMap<SpecIndex, u64> = BTreeMap::new();
        let run = self.run(landing.run)?;
        for (child, id) in landing.children.iter().zip(landing.first_child.0..) {
            let differs =
                differs.is_none_or(|differs| differs.get(child.row as usize).copied().unwrap_or(true));
            let Some(spec) = run.spec(child.spec) else {
                // A spec that this run leaves out.
                if let Some(absent) = run.absent(child.spec)
                    && (differs || absent.needs_all)
                    && !absent.owes(child)
                {
                    tasks::owe_child(self.conn, landing.run, absent.number, TaskId(id), child)?;
                }
                continue;
            };
            if !(differs || spec.needs_all) || spec.makes_again(child) {
                continue;
            }
            *opened.entry(child.spec).or_default() += match &spec.batch {
                Some((name, size)) => {
                    waiting::add(self.conn, landing.run, spec.number, TaskId(id), child)?;
                    waiting::draw_full(self.conn, landing.run, spec.number, (name, *size))?
                }
                None => {
                    let bindings = tasks::bindings_text(&child.bindings)?;
                    tasks::open_child(self.conn, landing.run, spec.number, id, bindings.as_deref())?;
                    1
                }
            };
        }
        opened.retain(|_, count| *count > 0);
        Ok(opened.into_iter().collect())
    }

    /// Moves the landing's cursor. Says when nothing of a combination that waited for what it was owed is
    /// open any more.
    fn land_cursor(
        &self,
        spec: &ActiveSpec,
        landing: &Landing,
        came: Came,
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
            sits_out: failed > 0 && spec.mode == Mode::Append,
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
        match spec.mode {
            Mode::Replace if failed == 0 => replace::swap(self.conn, self.tables, &spec.table, &spec.shape)?,
            Mode::Replace => {}
            Mode::Append | Mode::Merge | Mode::Mirror(_) => {
                self.tables.load(self.conn, &spec.table, &spec.shape)?.ensure(self.conn)?;
            }
        }
        if let (Mode::Mirror(deleted), 0) = (spec.mode, failed) {
            mirror::sweep(self.conn, &spec.table, deleted, spec.since, active.now)?;
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
        if matches!(end, RunEnd::Complete | RunEnd::Failed) {
            for spec in run.specs().filter(|spec| spec.mode == Mode::Replace) {
                replace::drop_stage(self.conn, self.tables, &spec.table)?;
            }
        }
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
    let why = match trouble {
        Trouble::Sql(error) => words(&error),
        other => format!("{other:?}"),
    };
    let message = format!("table `{}` does not take a record: {why}", spec.table);
    Failure::new(FailureClass::Permanent, FailureKind::Record, message)
        .help("an index, trigger or constraint that was added to the table refuses it")
}
