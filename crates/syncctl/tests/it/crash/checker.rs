//! Looks for what must not be: rows that are lost, there twice, or foreign, and a ledger that does
//! not agree with the tables. It knows the ledger's tables and nothing of the code that writes them.

use std::collections::{BTreeMap, BTreeSet};

use super::snapshot::Snapshot;
use super::workload::{Holds, Table, Workload};

/// More messages than this help nobody.
const MOST_MESSAGES: usize = 20;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Records without a row.
    pub(super) lost: u64,
    /// Rows too many.
    pub(super) twice: u64,
    /// Rows that no record stands for, or whose request never finished.
    pub(super) foreign: u64,
    /// Disagreements of the ledger with itself or with the tables.
    pub(super) ledger: u64,
    /// All of it in words.
    pub(super) messages: Vec<String>,
}

impl Findings {
    pub(super) fn none(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn add(&mut self, other: Findings) {
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

impl Snapshot {
    /// What must hold at any instant.
    pub(super) fn check_always(&self, workload: &Workload) -> Findings {
        let mut found = Findings::default();
        let integrity = self.all("PRAGMA integrity_check", [], |row| row.get::<_, String>(0).unwrap());
        if integrity != ["ok"] {
            found.disagree(format!("integrity_check: {}", integrity.join("; ")));
        }
        for table in &workload.tables {
            self.check_rows(table, &mut found);
        }
        self.check_counters(&mut found);
        self.check_children(&mut found);
        self.check_cursors(workload, &mut found);
        found
    }

    /// What must hold when a run has completed; `requests` is what an undisturbed one made.
    pub(super) fn check_complete(
        &self,
        workload: &Workload,
        run: i64,
        requests: &BTreeMap<String, i64>,
    ) -> Findings {
        let mut found = self.check_always(workload);
        for table in &workload.tables {
            self.check_table(table, run, &mut found);
        }
        let state = self.progress(run - 1).state;
        if state != "complete" {
            found.disagree(format!("run {run} is {state}"));
        }
        let unfinished = self.number("SELECT count(*) FROM _sync_tasks WHERE state <> 'done'", []);
        if unfinished > 0 {
            found.disagree(format!("run {run} is complete, but {unfinished} requests are not done"));
        }
        let unended =
            self.number("SELECT count(*) FROM _sync_specs WHERE NOT ended OR failed > 0 OR skipped > 0", []);
        if unended > 0 {
            found.disagree(format!("run {run} is complete, but {unended} of its specs are not"));
        }
        if self.requests(run) != *requests {
            found.disagree(format!("run {run} made {:?}, undisturbed {requests:?}", self.requests(run)));
        }
        let left = "SELECT name FROM sqlite_schema WHERE name LIKE '\\_sync\\_stage%' ESCAPE '\\' OR name = '_sync_rebuild'";
        for name in self.all(left, [], |row| row.get::<_, String>(0).unwrap()) {
            found.disagree(format!("`{name}` is left over"));
        }
        found
    }

    /// Every number as often as it should be there.
    fn check_table(&self, table: &Table, run: i64, found: &mut Findings) {
        let name = table.name;
        if !self.has(name) {
            found.lost += table.numbers.len() as u64;
            found.say(format!("{name}: there is no such table"));
            return;
        }
        let runs: Vec<(String, i64)> = match table.holds {
            Holds::EveryRun => (1..=run).map(|run| (format!("run {run} of {name}"), run)).collect(),
            Holds::FirstRun => vec![(format!("run 1 of {name}"), 1)],
            Holds::Merged | Holds::Replaced => vec![(name.to_owned(), 0)],
        };
        for (what, run) in runs {
            let there: BTreeSet<i64> = self.counts(name, table.column, run).into_keys().collect();
            let lost: Vec<&i64> = table.numbers.difference(&there).collect();
            if !lost.is_empty() {
                found.lost += lost.len() as u64;
                found.say(format!("{what} lost {}: {lost:?}", lost.len()));
            }
            let foreign: Vec<&i64> = there.difference(&table.numbers).collect();
            if !foreign.is_empty() {
                found.foreign += foreign.len() as u64;
                found.say(format!("{what} has {} that nobody sent: {foreign:?}", foreign.len()));
            }
        }
        if table.holds == Holds::Replaced
            && self.number(&format!("SELECT count(*) FROM {name} x JOIN _sync_tasks t ON t.id = x._task WHERE t.run <> ?1"), [run]) > 0
        {
            found.disagree(format!("{name} still has rows of the run before"));
        }
    }

    /// Of a table and its staging: nothing twice, nothing of a request that is not done, and of
    /// every request that is done all its rows.
    fn check_rows(&self, table: &Table, found: &mut Findings) {
        let Some(spec) = self.first(
            "SELECT spec FROM _sync_specs WHERE name = ?1 ORDER BY run DESC LIMIT 1",
            [table.name],
        ) else {
            return;
        };
        let stage = format!("_sync_stage_{}", table.name);
        for name in [table.name, &stage].into_iter().filter(|name| self.has(name)) {
            let orphans = format!(
                "SELECT count(*) FROM {name} WHERE _task NOT IN
                 (SELECT id FROM _sync_tasks WHERE state = 'done' AND spec = ?1)"
            );
            let orphans = self.number(&orphans, [spec]);
            if orphans > 0 {
                found.foreign += orphans.cast_unsigned();
                found.say(format!("{name} has {orphans} rows of requests that are not done"));
            }
            for (number, times) in self.twice(name, table) {
                found.twice += times.cast_unsigned() - 1;
                found.say(format!("{name} has {number} {times} times"));
            }
        }
        let rows_of_requests = |condition: &str, name: &str| {
            format!(
                "SELECT count(*) FROM (
                   SELECT t.rows AS wanted, count(x._task) AS there FROM _sync_tasks t
                   LEFT JOIN {name} x ON x._task = t.id
                   WHERE t.spec = ?1 AND t.state = 'done' AND {condition} GROUP BY t.id
                 ) WHERE wanted <> there"
            )
        };
        let torn = match table.holds {
            Holds::EveryRun | Holds::FirstRun if self.has(table.name) => {
                self.number(&rows_of_requests("1", table.name), [spec])
            }
            // Once it has been swapped in, the rows are in the table.
            Holds::Replaced => {
                let ended = "(SELECT ended FROM _sync_specs s WHERE s.run = t.run AND s.spec = t.spec)";
                let newest = "t.run = (SELECT max(id) FROM _sync_runs)";
                let staged = match self.has(&stage) {
                    true => self.number(&rows_of_requests(&format!("NOT {ended} AND {newest}"), &stage), [spec]),
                    false => 0,
                };
                let swapped = match self.has(table.name) {
                    true => self.number(&rows_of_requests(&format!("{ended} AND {newest}"), table.name), [spec]),
                    false => 0,
                };
                staged + swapped
            }
            _ => 0,
        };
        if torn > 0 {
            found.disagree(format!("{torn} requests of {} do not have the rows the ledger says", table.name));
        }
        if table.holds == Holds::Replaced && self.has(table.name) {
            let there = self.number(&format!("SELECT count(*) FROM {}", table.name), []);
            if there != 0 && there != table.numbers.len() as i64 {
                found.disagree(format!("{} shows {there} rows: a copy that is not whole", table.name));
            }
        }
    }

    /// The ledger's counters are what its rows add up to.
    fn check_counters(&self, found: &mut Findings) {
        let sql = "SELECT s.run, s.name, s.done, s.records, s.ended,
                     (SELECT count(*) FROM _sync_tasks t WHERE t.run = s.run AND t.spec = s.spec AND t.state <> 'open'),
                     (SELECT ifnull(sum(rows), 0) FROM _sync_tasks t WHERE t.run = s.run AND t.spec = s.spec),
                     (SELECT count(*) FROM _sync_tasks t WHERE t.run = s.run AND t.spec = s.spec AND t.state = 'open'),
                     (SELECT count(*) FROM _sync_tasks t WHERE t.run = s.run AND t.spec = s.spec
                      AND t.combination < s.watermark AND t.chain = t.id), s.watermark
                   FROM _sync_specs s";
        let specs = self.all(sql, [], |row| {
            let name: String = row.get(1).unwrap();
            let number = |at: usize| row.get::<_, i64>(at).unwrap();
            (format!("run {}, {name}", number(0)), [2, 3, 4, 5, 6, 7, 8, 9].map(number))
        });
        for (name, [done, records, ended, have_done, have_records, open, below, watermark]) in specs {
            if (done, records) != (have_done, have_records) {
                found.disagree(format!("{name}: {done} done and {records} records, of {have_done} and {have_records}"));
            }
            if ended != 0 && open > 0 {
                found.disagree(format!("{name} has ended with {open} open requests"));
            }
            if below != watermark {
                found.disagree(format!("{name}: {below} combinations are done below the watermark {watermark}"));
            }
        }
    }

    /// A parent's row and its children commit together.
    fn check_children(&self, found: &mut Findings) {
        let opened = |child: &str| {
            self.number(
                "SELECT count(*) FROM _sync_tasks t JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
                 WHERE t.run = 1 AND s.name = ?1 AND t.page = 1",
                [child],
            )
        };
        for (parent, child, wanted) in [
            ("issues", "comments", "comments > 1"),
            ("issues", "latest_comments", "comments = 3"),
            ("by_token", "details", "number % 5 = 0 AND _task < (SELECT ifnull(min(first_task), 1 << 62) FROM _sync_runs WHERE id = 2)"),
        ] {
            if self.has(parent) {
                let parents = self.number(&format!("SELECT count(*) FROM {parent} WHERE {wanted}"), []);
                if parents != opened(child) {
                    found.disagree(format!("{parents} rows of {parent} drive {} of {child}", opened(child)));
                }
            }
        }
    }

    /// A cursor that is published has all its records behind it.
    fn check_cursors(&self, workload: &Workload, found: &mut Findings) {
        let published = "SELECT json_extract(combination, '$.project'), json_extract(value, '$')
                         FROM _sync_cursors WHERE value IS NOT NULL";
        for (project, value) in self.all(published, [], |row| {
            (row.get::<_, String>(0).unwrap(), row.get::<_, String>(1).unwrap())
        }) {
            let landed = self.number("SELECT count(DISTINCT number) FROM recent WHERE project = ?1", [&project]);
            if workload.cursors.get(&project) != Some(&(value.clone(), landed)) {
                found.disagree(format!("the cursor of {project} is {value} with {landed} records landed"));
            }
        }
    }

    /// How often each number is there, in one run or (0) in all.
    fn counts(&self, name: &str, column: &str, run: i64) -> BTreeMap<i64, i64> {
        let sql = format!(
            "SELECT x.{column}, count(*) FROM {name} x LEFT JOIN _sync_tasks t ON t.id = x._task
             WHERE ?1 = 0 OR t.run = ?1 GROUP BY 1"
        );
        self.all(&sql, [run], |row| (row.get(0).unwrap(), row.get(1).unwrap())).into_iter().collect()
    }

    /// Numbers that one run has more than once, or the whole table where runs do not add up.
    fn twice(&self, name: &str, table: &Table) -> Vec<(i64, i64)> {
        let run = match table.holds {
            Holds::EveryRun | Holds::FirstRun => "t.run",
            Holds::Merged | Holds::Replaced => "0",
        };
        let sql = format!(
            "SELECT x.{}, count(*) FROM {name} x LEFT JOIN _sync_tasks t ON t.id = x._task
             GROUP BY x.{}, {run} HAVING count(*) > 1",
            table.column, table.column
        );
        self.all(&sql, [], |row| (row.get(0).unwrap(), row.get(1).unwrap()))
    }
}
