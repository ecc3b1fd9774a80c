//! Looks for what must not be: rows that are lost, there twice, or foreign, and a ledger that does
//! not agree with the tables. It knows the ledger's tables and nothing of the code that writes them.

use std::collections::{BTreeMap, BTreeSet};

use super::snapshot::Snapshot;
use super::workload::{Holds, Table, Workload};

/// More messages than this help nobody.
const MOST_MESSAGES: usize = 20;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Records without a row.
    pub(crate) lost: u64,
    /// Rows too many.
    pub(crate) twice: u64,
    /// Rows that no record stands for, or whose request never finished.
    pub(crate) foreign: u64,
    /// Disagreements of the ledger with itself or with the tables.
    pub(crate) ledger: u64,
    /// All of it in words.
    pub(crate) messages: Vec<String>,
}

impl Findings {
    pub(crate) fn none(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn add(&mut self, other: Findings) {
        self.lost += other.lost;
        self.twice += other.twice;
        self.foreign += other.foreign;
        self.ledger += other.ledger;
        let room = MOST_MESSAGES.saturating_sub(self.messages.len());
        self.messages.extend(other.messages.into_iter().take(room));
    }

    fn say(&mut self, message: String) {
        self.messages.push(message);
    }

    fn disagree(&mut self, message: String) {
        self.ledger += 1;
        self.say(message);
    }
}

/// What must hold at any instant.
pub(crate) fn check_always(store: &Snapshot, workload: &Workload) -> Findings {
    let mut found = Findings::default();
    let integrity = store.all("PRAGMA integrity_check", [], |row| row.get::<_, String>(0).unwrap());
    if integrity != ["ok"] {
        found.disagree(format!("integrity_check: {}", integrity.join("; ")));
    }
    for table in &workload.tables {
        check_rows(store, table, &mut found);
        check_requests(store, table, &mut found);
    }
    check_counters(store, &mut found);
    check_children(store, &mut found);
    check_cursors(store, workload, &mut found);
    found
}

/// What must hold when a run has completed; `requests` is what an undisturbed one made.
pub(crate) fn check_complete(
    store: &Snapshot,
    workload: &Workload,
    run: i64,
    requests: &BTreeMap<String, i64>,
) -> Findings {
    let mut found = check_always(store, workload);
    for table in &workload.tables {
        check_table(store, table, run, &mut found);
    }
    let state = store.progress(run).state;
    if state != "complete" {
        found.disagree(format!("run {run} has ended and is {state:?}"));
    }
    let unfinished = store.number("SELECT count(*) FROM requests WHERE state <> 'done'", []);
    if unfinished > 0 {
        found.disagree(format!("run {run} is complete, but {unfinished} requests are not done"));
    }
    let unended = "SELECT count(*) FROM _sync_specs WHERE run IN (SELECT id FROM live)
                   AND (NOT ended OR failed > 0 OR skipped > 0)";
    let unended = store.number(unended, []);
    if unended > 0 {
        found.disagree(format!("run {run} is complete, but {unended} of its specs are not"));
    }
    let made = store.requests(run);
    if made != *requests {
        found.disagree(format!("run {run} made {made:?}, undisturbed {requests:?}"));
    }
    let left = "SELECT name FROM sqlite_schema WHERE name LIKE '\\_sync\\_stage%' ESCAPE '\\' OR name = '_sync_rebuild'";
    for name in store.all(left, [], |row| row.get::<_, String>(0).unwrap()) {
        found.disagree(format!("`{name}` is left over"));
    }
    found
}

/// Every number is there, in every run that should have brought it, and no other.
fn check_table(store: &Snapshot, table: &Table, newest: i64, found: &mut Findings) {
    let name = table.name;
    if !store.has(name) {
        found.lost += table.numbers.len() as u64;
        return found.say(format!("{name}: there is no such table"));
    }
    let runs = match table.holds {
        Holds::EveryRun => (1..=newest).collect(),
        Holds::FirstRun => vec![1],
        Holds::Replaced => vec![newest],
        Holds::Merged => vec![0],
    };
    let sql = format!(
        "SELECT DISTINCT x.{} FROM {name} x LEFT JOIN requests t ON t.id = x._task WHERE ?1 IN (0, t.nth)",
        table.column
    );
    for run in runs {
        let there: BTreeSet<i64> = store.all(&sql, [run], |row| row.get(0).unwrap()).into_iter().collect();
        let lost: Vec<&i64> = table.numbers.difference(&there).collect();
        if !lost.is_empty() {
            found.lost += lost.len() as u64;
            found.say(format!("{name} of run {run} lost {}: {lost:?}", lost.len()));
        }
        let foreign: Vec<&i64> = there.difference(&table.numbers).collect();
        if !foreign.is_empty() {
            found.foreign += foreign.len() as u64;
            found.say(format!("{name} of run {run} has {foreign:?}, which nobody sent"));
        }
    }
}

/// Of a table and its staging: nothing twice in a run, nothing of a request that is not done, and a
/// replaced table is never seen in parts.
fn check_rows(store: &Snapshot, table: &Table, found: &mut Findings) {
    let stage = stage_of(table);
    for name in [table.name, &stage].into_iter().filter(|name| store.has(name)) {
        let done = match table.holds {
            // What was merged or swapped in stays when its run is undone, or its spec starts over.
            Holds::Merged => "SELECT id FROM _sync_tasks WHERE state IN ('done', 'undone')",
            Holds::Replaced if name == table.name => "SELECT id FROM _sync_tasks",
            _ => "SELECT id FROM requests WHERE state = 'done' AND task = ?1",
        };
        let orphans = format!("SELECT count(*) FROM {name} WHERE _task NOT IN ({done}) AND ?1 <> ''");
        let orphans = store.number(&orphans, [table.name]);
        if orphans > 0 {
            found.foreign += orphans.cast_unsigned();
            found.say(format!("{name} has {orphans} rows of requests that are not done"));
        }
        let run = match table.holds {
            Holds::EveryRun => "t.nth",
            Holds::FirstRun | Holds::Merged | Holds::Replaced => "NULL",
        };
        let twice = format!(
            "SELECT x.{0}, count(*) FROM {name} x LEFT JOIN requests t ON t.id = x._task
             GROUP BY x.{0}, {run} HAVING count(*) > 1",
            table.column
        );
        let twice: Vec<(i64, i64)> = store.all(&twice, [], |row| (row.get(0).unwrap(), row.get(1).unwrap()));
        if !twice.is_empty() {
            let more: i64 = twice.iter().map(|(_, times)| times - 1).sum();
            found.twice += more.cast_unsigned();
            found.say(format!("{name} has rows too many (number, times): {twice:?}"));
        }
    }
    if table.holds == Holds::Replaced && store.has(table.name) {
        let sql = format!(
            "SELECT count(*), count(DISTINCT t.nth) FROM {} x LEFT JOIN requests t ON t.id = x._task",
            table.name
        );
        let (rows, runs): (i64, i64) =
            store.all(&sql, [], |row| (row.get(0).unwrap(), row.get(1).unwrap()))[0];
        if rows != 0 && (rows != table.numbers.len() as i64 || runs > 1) {
            found.disagree(format!(
                "{} shows {rows} rows of {runs} runs: a copy that is not whole",
                table.name
            ));
        }
    }
}

/// Every request that is done has all the rows that the ledger says it brought.
fn check_requests(store: &Snapshot, table: &Table, found: &mut Findings) {
    let stage = stage_of(table);
    let newest = "t.nth = (SELECT max(nth) FROM live)";
    let places = match table.holds {
        Holds::EveryRun => vec![(table.name, "1".to_owned())],
        // Later runs leave out what is there.
        Holds::FirstRun => vec![(table.name, "t.nth = 1".to_owned())],
        // Rows wait in the staging table until the spec ends.
        Holds::Replaced => {
            vec![
                (table.name, format!("t.ended AND {newest}")),
                (&*stage, format!("NOT t.ended AND {newest}")),
            ]
        }
        // A row names the last request that returned it.
        Holds::Merged => Vec::new(),
    };
    for (name, condition) in places {
        let there = match store.has(name) {
            true => format!("(SELECT count(*) FROM {name} x WHERE x._task = t.id)"),
            false => "0".to_owned(),
        };
        let sql = format!(
            "SELECT count(*) FROM requests t WHERE task = ?1 AND state = 'done' AND {condition} AND rows <> {there}"
        );
        let torn = store.number(&sql, [table.name]);
        if torn > 0 {
            found.disagree(format!(
                "{torn} requests of {} have not the rows the ledger says in {name}",
                table.name
            ));
        }
    }
}

/// The ledger's counters are what its rows add up to.
fn check_counters(store: &Snapshot, found: &mut Findings) {
    let sql = "SELECT s.run, s.name, s.done, s.records, s.watermark,
                 count(t.id) FILTER (WHERE t.state <> 'open'), ifnull(sum(t.rows), 0),
                 count(t.id) FILTER (WHERE t.combination < s.watermark AND t.chain = t.id),
                 count(t.id) FILTER (WHERE t.state = 'open' AND s.ended)
               FROM _sync_specs s JOIN live ON live.id = s.run
               LEFT JOIN _sync_tasks t ON t.run = s.run AND t.spec = s.spec AND t.state <> 'undone'
               GROUP BY s.run, s.spec";
    let specs = store.all(sql, [], |row| {
        let number = |at: usize| row.get::<_, i64>(at).unwrap();
        let name = format!("run {}, {}", number(0), row.get::<_, String>(1).unwrap());
        (name, [2, 3, 4].map(number), [5, 6, 7].map(number), number(8))
    });
    for (name, says, has, open) in specs {
        if says != has {
            found.disagree(format!(
                "{name}: [done, records, watermark] is {says:?}, its requests say {has:?}"
            ));
        }
        if open > 0 {
            found.disagree(format!("{name} has ended with {open} open requests"));
        }
    }
}

/// A parent's rows and their children commit together.
fn check_children(store: &Snapshot, found: &mut Findings) {
    let newest = "(SELECT max(nth) FROM live)";
    let landed = format!("_task IN (SELECT id FROM requests WHERE nth = {newest})");
    for (parent, child, drives, nth) in [
        ("issues", "comments", "comments > 1", "1"),
        ("issues", "latest_comments", "comments = 3", newest),
        ("by_token", "details", "number % 5 = 0", newest),
    ] {
        let opened = format!("SELECT count(*) FROM requests WHERE task = ?1 AND page = 1 AND nth = {nth}");
        let opened = store.number(&opened, [child]);
        let rows = |condition: &str| match store.has(parent) {
            true => {
                store.number(&format!("SELECT count(*) FROM {parent} WHERE {drives} AND {condition}"), [])
            }
            false => 0,
        };
        // A child of what is new has had all rows, also those of a run that was undone: their children
        // are owed to the next one, or driven again as they land again.
        let good = match child {
            "comments" => {
                opened == rows("1") || (opened == rows(&landed) && store.progress(2).state.is_empty())
            }
            _ => opened == rows(&landed),
        };
        if !good {
            let (rows, landed) = (rows("1"), rows(&landed));
            found.disagree(format!(
                "{rows} rows of {parent}, {landed} landed now, have {opened} children in {child}"
            ));
        }
    }
}

/// A cursor that is published has all its records behind it.
fn check_cursors(store: &Snapshot, workload: &Workload, found: &mut Findings) {
    let sql = "SELECT json_extract(combination, '$.project'), json_extract(value, '$')
               FROM _sync_cursors WHERE value IS NOT NULL";
    let published: Vec<(String, String)> =
        store.all(sql, [], |row| (row.get(0).unwrap(), row.get(1).unwrap()));
    for (project, value) in published {
        let landed = match store.has("recent") {
            true => store.number("SELECT count(DISTINCT number) FROM recent WHERE project = ?1", [&project]),
            false => 0,
        };
        if workload.cursors.get(&project) != Some(&(value.clone(), landed)) {
            found.disagree(format!("the cursor of {project} is {value} with {landed} records landed"));
        }
    }
}

fn stage_of(table: &Table) -> String {
    format!("_sync_stage_{}", table.name)
}
