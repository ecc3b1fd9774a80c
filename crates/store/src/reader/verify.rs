//! Whether a store holds what its ledger says: row by row counts per request, keys, counters, cursors, and what each
//! kind of store can check of itself.
//!
//! Rows and requests are joined in the order of requests, so that memory does not grow with either: what the tables
//! hold is counted per request into a database of its own, which SQLite keeps on disk when it grows.
//!
//! What is expected of a table goes by its mode:
//!
//! | mode | rows of a request |
//! |---|---|
//! | append | as many as it landed, if it is done; else none. What its run was asked for otherwise: at most that |
//! | merge, mirror | at most as many as it landed: a later request may have returned them again. What was undone stays |
//! | replace | as many as it landed (with a key at most), all of one run, the last that completed |

use std::collections::HashMap;

use entities::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

use super::Reader;
use super::source::{View, Wanted};
use crate::answers::{Finding, Verified, VerifiedTable};
use crate::trouble::Trouble;

/// Rows after which it is said how far the counting is.
const TOLD_EVERY: u64 = 100_000;

/// How far a verification is: the table that is counted, and its rows so far.
pub type Told<'t> = &'t mut dyn FnMut(&str, u64);

impl Reader {
    /// Looks for anything in the tables of a plan that is not as the ledger says, at one moment. Of the findings the
    /// first `most` are kept, the others are counted.
    pub fn verify(&self, plan: &str, most: usize, told: Told<'_>) -> Result<Verified, StoreError> {
        self.read(Wanted::ALL, |view| {
            let mut found = Verified::new(most);
            let tables = tables(view, plan)?;
            let names: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
            let audited = view.rows.audit(&names, &mut |finding| {
                found.note(finding);
                Ok(())
            });
            match audited {
                Err(trouble) if !trouble.is_damage() => return Err(trouble),
                Err(trouble) => found.note(Finding::of_store("unreadable", trouble.words())),
                Ok(()) => {}
            }
            let mut verifier =
                Verifier { view, scratch: scratch()?, specs: specs(view, plan, &tables)?, tables, found };
            verifier.count(told)?;
            verifier.keys()?;
            verifier.runs_of_replaced()?;
            verifier.requests()?;
            verifier.counters();
            verifier.cursors(plan)?;
            Ok(verifier.ended())
        })
    }
}

/// A table of the plan.
struct Table {
    name: String,
    mode: String,
    /// The key's columns.
    key: Vec<String>,
    rows: u64,
    requests: u64,
    /// Its rows cannot be read, which has been said.
    unreadable: bool,
    /// `replace`: the run whose rows it must hold.
    run: Option<i64>,
}

/// A task spec of a run.
struct Spec {
    name: String,
    table: Option<usize>,
    fingerprint: String,
    /// It is as the plan's last run had it, and so was the table's mode.
    as_last: bool,
    /// Its counters are to be those of its requests.
    counts: bool,
    counted: Counters,
    seen: Counters,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Counters {
    done: i64,
    failed: i64,
    skipped: i64,
    records: i64,
}

/// A request, as the ledger has it.
struct Request {
    id: i64,
    run: i64,
    spec: i64,
    state: String,
    /// Landed.
    rows: u64,
    /// It may have been made twice under the same number: its task began anew.
    again: bool,
}

struct Verifier<'v> {
    view: &'v View<'v>,
    scratch: Connection,
    specs: HashMap<(i64, i64), Spec>,
    tables: Vec<Table>,
    found: Verified,
}

impl Verifier<'_> {
    /// Counts the rows of each request in each table.
    fn count(&mut self, told: Told<'_>) -> Result<(), Trouble> {
        for (at, table) in self.tables.iter_mut().enumerate() {
            let place = i64::try_from(at).unwrap_or(i64::MAX);
            let mut add = self.scratch.prepare("INSERT INTO held (task, place, rows) VALUES (?1, ?2, ?3)")?;
            let (mut nobody, mut next) = (0, TOLD_EVERY);
            let counted = self.view.rows.tallies(&table.name, &mut |task, rows| {
                table.rows += rows;
                if table.rows >= next {
                    told(&table.name, table.rows);
                    next = table.rows + TOLD_EVERY;
                }
                match task {
                    Some(task) => drop(add.execute(params![task, place, natural(rows)])?),
                    None => nobody += rows,
                }
                Ok(())
            });
            if let Err(trouble) = counted {
                if !trouble.is_damage() {
                    return Err(trouble);
                }
                table.unreadable = true;
                let text = format!("its rows cannot be read: {}", trouble.words());
                self.found.note(Finding::of_table("unreadable", &table.name, text));
            }
            if nobody > 0 {
                let text = format!("{} without a request (`_task` is empty)", rows_of(nobody));
                self.found.note(Finding::of_table("no_request", &table.name, text));
            }
        }
        Ok(())
    }

    /// Keys are unique.
    fn keys(&mut self) -> Result<(), Trouble> {
        let Verifier { view, tables, found, .. } = self;
        for table in tables.iter_mut().filter(|table| table.mode != "append" && !table.unreadable) {
            let looked = view.rows.repeated(&table.name, &table.key, &mut |repeated| {
                let text = format!("the key ({}) is there {} times", repeated.key, repeated.rows);
                found.note(Finding::of_table("repeated_key", &table.name, text));
                Ok(())
            });
            match looked {
                Err(trouble) if !trouble.is_damage() => return Err(trouble),
                Err(trouble) => {
                    let text = format!("its rows cannot be read: {}", trouble.words());
                    found.note(Finding::of_table("unreadable", &table.name, text));
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Which run the rows of a table are to be of that is replaced as a whole.
    fn runs_of_replaced(&mut self) -> Result<(), Trouble> {
        for (at, table) in self.tables.iter_mut().enumerate().filter(|(_, table)| table.mode == "replace") {
            let newest: Option<i64> = self.scratch.query_row(
                "SELECT max(task) FROM held WHERE place = ?1",
                [i64::try_from(at).unwrap_or(i64::MAX)],
                |row| row.get(0),
            )?;
            let held: Option<i64> = match newest {
                Some(task) => self
                    .view
                    .ledger
                    .query_row("SELECT run FROM _sync_tasks WHERE id = ?1", [task], |row| row.get(0))
                    .optional()?,
                None => None,
            };
            let completed: Option<i64> = self.view.ledger.query_row(
                "SELECT max(s.run) FROM _sync_specs s JOIN _sync_runs r ON r.id = s.run
                 WHERE s.target = ?1 COLLATE NOCASE AND r.state = 'complete' AND s.ended AND NOT s.absent",
                [&table.name],
                |row| row.get(0),
            )?;
            if let (Some(held), Some(completed)) = (held, completed)
                && held < completed
            {
                let text = format!("it holds rows of run {held}, although run {completed} completed");
                self.found.note(Finding::of_table("stale", &table.name, text));
            }
            table.run = held.or(completed);
        }
        Ok(())
    }

    /// Joins what is held with what was landed, request by request.
    fn requests(&mut self) -> Result<(), Trouble> {
        let Verifier { view, scratch, specs, tables, found } = self;
        let mut statement = scratch
            .prepare("SELECT task, place, sum(rows) FROM held GROUP BY task, place ORDER BY task, place")?;
        let mut rows = statement.query([])?;
        let mut next = || -> Result<Option<(i64, usize, u64)>, Trouble> {
            let Some(row) = rows.next()? else { return Ok(None) };
            let place: i64 = row.get(1)?;
            let count: i64 = row.get(2)?;
            Ok(Some((row.get(0)?, usize::try_from(place).unwrap_or(0), count.unsigned_abs())))
        };
        let mut held = next()?;
        let again = match view.version {
            1 => "chain = id",
            _ => "chain = id AND opened_by IS NULL AND (combination IS NULL OR origin IS NOT NULL)",
        };
        let mut statement = view.ledger.prepare(&format!(
            "SELECT id, run, spec, state, ifnull(rows, 0), {again} FROM _sync_tasks ORDER BY id"
        ))?;
        let mut ledger = statement.query([])?;
        let unknown = |found: &mut Verified, tables: &mut [Table], (task, at, rows): (i64, usize, u64)| {
            let table = &mut tables[at];
            table.requests += 1;
            let text = format!("{} of request {task}, which the ledger does not know", rows_of(rows));
            found.note(Finding::of_table("unknown_request", &table.name, text).request(task));
        };
        while let Some(row) = ledger.next()? {
            let landed: i64 = row.get(4)?;
            let request = Request {
                id: row.get(0)?,
                run: row.get(1)?,
                spec: row.get(2)?,
                state: row.get(3)?,
                rows: landed.max(0).unsigned_abs(),
                again: row.get(5)?,
            };
            while let Some(before) = held.filter(|(task, ..)| *task < request.id) {
                unknown(found, tables, before);
                held = next()?;
            }
            let spec = specs.get_mut(&(request.run, request.spec));
            let own = spec.as_ref().and_then(|spec| spec.table);
            let mut rows_in_own = 0;
            while let Some((_, at, rows)) = held.filter(|(task, ..)| *task == request.id) {
                tables[at].requests += 1;
                if Some(at) == own {
                    rows_in_own = rows;
                } else if request.state != "undone" {
                    let text =
                        format!("{} of request {}, which is not of this table", rows_of(rows), request.id);
                    found.note(Finding::of_table("other_table", &tables[at].name, text).request(request.id));
                }
                held = next()?;
            }
            let Some(spec) = spec else { continue };
            spec.saw(&request);
            if let Some(table) = own.map(|at| &tables[at]).filter(|table| !table.unreadable)
                && let Some((kind, why)) = judge(table, spec, &request, rows_in_own)
            {
                let whole =
                    format!("request {} of task {} (run {}) {why}", request.id, spec.name, request.run);
                found.note(Finding::of_table(kind, &table.name, whole).request(request.id));
            }
        }
        while let Some(left) = held {
            unknown(found, tables, left);
            held = next()?;
        }
        Ok(())
    }

    /// What the ledger counts of each task is what its requests say.
    fn counters(&mut self) {
        let mut specs: Vec<(&(i64, i64), &Spec)> = self.specs.iter().collect();
        specs.sort_by_key(|(key, _)| **key);
        for ((run, _), spec) in specs.into_iter().filter(|(_, spec)| spec.counts) {
            let (counted, seen) = (spec.counted, spec.seen);
            let of = |what: &str, counted: i64, seen: i64| {
                format!(
                    "task {} of run {run}: the ledger counts {counted} {what}, its requests are {seen}",
                    spec.name
                )
            };
            let table = spec.table.map(|at| self.tables[at].name.clone());
            let mut note = |text: String| {
                let finding = Finding { table: table.clone(), ..Finding::of_store("counters", text) };
                self.found.note(finding);
            };
            if counted.done != seen.done {
                note(of("requests done", counted.done, seen.done));
            }
            if counted.failed != seen.failed {
                note(of("failed", counted.failed, seen.failed));
            }
            if counted.skipped != seen.skipped {
                note(of("skipped", counted.skipped, seen.skipped));
            }
            // Rows that were taken back, since their request began anew, are no longer the request's.
            if counted.records < seen.records {
                note(of("rows landed", counted.records, seen.records));
            }
        }
    }

    /// Cursors are of tasks that have run.
    fn cursors(&mut self, plan: &str) -> Result<(), Trouble> {
        let mut statement = self.view.ledger.prepare(
            "SELECT DISTINCT c.task FROM _sync_cursors c WHERE c.plan = ?1 AND NOT EXISTS (
                 SELECT 1 FROM _sync_specs s JOIN _sync_runs r ON r.id = s.run WHERE r.plan = c.plan AND s.name = c.task)",
        )?;
        let mut rows = statement.query([plan])?;
        while let Some(row) = rows.next()? {
            let task: String = row.get(0)?;
            let text = format!("there is a cursor of task {task}, which no run has had");
            self.found.note(Finding::of_store("cursor", text));
        }
        Ok(())
    }

    fn ended(mut self) -> Verified {
        let tables = self.tables.into_iter().map(|table| VerifiedTable {
            name: table.name,
            mode: table.mode,
            rows: table.rows,
            requests: table.requests,
        });
        self.found.tables = tables.collect();
        self.found
    }
}

impl Spec {
    fn saw(&mut self, request: &Request) {
        match request.state.as_str() {
            "done" => self.seen.records += natural(request.rows),
            "failed" => self.seen.failed += 1,
            "skipped" => {
                self.seen.skipped += 1;
                self.seen.records += natural(request.rows);
            }
            _ => return,
        }
        self.seen.done += 1;
    }
}

/// What is wrong with the rows of a request in its table.
fn judge(table: &Table, spec: &Spec, request: &Request, held: u64) -> Option<(&'static str, String)> {
    let landed = match request.state.as_str() {
        "done" | "skipped" => request.rows,
        _ => 0,
    };
    let missing = || Some(("rows_missing", differs(landed, held)));
    let too_many = || match request.state.as_str() {
        "done" | "skipped" => Some(("rows_too_many", differs(landed, held))),
        state => Some(("unfinished_request", format!("is {state}, and {} of it are there", rows_of(held)))),
    };
    match table.mode.as_str() {
        "append" if held > landed => too_many(),
        "append" if held < landed && spec.as_last => missing(),
        "append" => None,
        "replace" if table.run == Some(request.run) => match request.state.as_str() {
            // A task that began anew has gathered again; what an undone run had put in place stays.
            "undone" => None,
            _ if held > landed => too_many(),
            _ if held < landed && table.key.is_empty() && spec.as_last => missing(),
            _ => None,
        },
        "replace" if held > 0 => {
            let run = table.run.map_or_else(|| "none".to_owned(), |run| run.to_string());
            Some(("mixed_runs", format!("has {} there, among those of run {run}", rows_of(held))))
        }
        "replace" => None,
        _ if request.again || request.state == "undone" => None,
        _ if held > landed => too_many(),
        _ => None,
    }
}

fn differs(landed: u64, held: u64) -> String {
    let (by, how) = if held < landed { (landed - held, "missing") } else { (held - landed, "too many") };
    format!("landed {}, {held} are there: {by} {how}", rows_of(landed))
}

fn rows_of(number: u64) -> String {
    format!("{number} row{}", if number == 1 { "" } else { "s" })
}

fn tables(view: &View<'_>, plan: &str) -> Result<Vec<Table>, Trouble> {
    let mut statement =
        view.ledger.prepare("SELECT name, mode, key FROM _sync_tables WHERE plan = ?1 ORDER BY name")?;
    let mut rows = statement.query([plan])?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let fields: Vec<String> = serde_json::from_str(&row.get::<_, String>(2)?)?;
        let columns = super::columns(view.ledger, &name)?;
        let column =
            |field: &String| columns.iter().find(|(source, _)| source == field).map(|(_, name)| name.clone());
        tables.push(Table {
            key: fields.iter().filter_map(column).collect(),
            name,
            mode: row.get(1)?,
            rows: 0,
            requests: 0,
            unreadable: false,
            run: None,
        });
    }
    Ok(tables)
}

fn specs(view: &View<'_>, plan: &str, tables: &[Table]) -> Result<HashMap<(i64, i64), Spec>, Trouble> {
    let mut statement = view.ledger.prepare(
        "SELECT s.run, s.spec, s.name, s.target, s.fingerprint, s.done, s.failed, s.skipped, s.records,
         NOT s.absent AND r.state <> 'undone'
         FROM _sync_specs s JOIN _sync_runs r ON r.id = s.run WHERE r.plan = ?1 ORDER BY s.run",
    )?;
    let mut rows = statement.query([plan])?;
    let mut specs = HashMap::new();
    let mut last: HashMap<String, String> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (name, target, fingerprint): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
        last.insert(name.clone(), fingerprint.clone());
        specs.insert(
            (row.get(0)?, row.get(1)?),
            Spec {
                table: tables.iter().position(|table| table.name.eq_ignore_ascii_case(&target)),
                name,
                fingerprint,
                as_last: false,
                counts: row.get(9)?,
                counted: Counters {
                    done: row.get(5)?,
                    failed: row.get(6)?,
                    skipped: row.get(7)?,
                    records: row.get(8)?,
                },
                seen: Counters::default(),
            },
        );
    }
    for spec in specs.values_mut() {
        spec.as_last = last.get(&spec.name) == Some(&spec.fingerprint);
    }
    Ok(specs)
}

/// Kept in memory as long as it is small, else in a temporary file that has no name.
fn scratch() -> Result<Connection, Trouble> {
    let conn = Connection::open("")?;
    conn.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; PRAGMA cache_size = -16000; PRAGMA temp_store = FILE;
         CREATE TABLE held (task INTEGER NOT NULL, place INTEGER NOT NULL, rows INTEGER NOT NULL);
         BEGIN;",
    )?;
    Ok(conn)
}

fn natural(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
