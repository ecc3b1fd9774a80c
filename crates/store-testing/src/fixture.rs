//! A store of some kind that can be dropped and opened again, with what a case does to it.

use std::fmt::Write;
use std::sync::Arc;

use entities::{
    BeginRequest, Begun, Bindings, Committed, Entry, Failure, Landing, Moment, Page, RecordBatch, ResumeMode,
    RunEnd, RunId, SpecIndex, Store, StoreError, SyncPlan, Task, TaskId, Work,
};
use serde_json::{Value, json};

use crate::image;
use crate::kind::{Contents, Kind, Place};
use crate::plans::{batch, begin_request, failure, landing_of};

/// A store of some kind, open.
pub struct Fixture {
    /// Where it is.
    pub place: Box<dyn Place>,
    /// The store; none while it is closed.
    pub store: Option<Box<dyn Store>>,
    /// The next free id.
    pub next: i64,
    /// The tables of the plans that were begun.
    tables: Vec<String>,
}

impl Fixture {
    /// A new store of a kind.
    pub fn new(kind: &dyn Kind) -> Fixture {
        Fixture::at(kind.place())
    }

    /// A store at a place that others may know of.
    pub fn at(place: Box<dyn Place>) -> Fixture {
        let mut fixture = Fixture { place, store: None, next: 1, tables: Vec::new() };
        fixture.open();
        fixture
    }

    /// Drops the store, if it is open, as a crash between two commits does, and opens it again.
    pub fn open(&mut self) {
        self.store = None;
        self.store = Some(self.place.open().unwrap());
    }

    /// The store.
    pub fn store(&mut self) -> &mut dyn Store {
        &mut **self.store.as_mut().unwrap()
    }

    /// Begins a run of everything.
    pub fn try_begin(&mut self, plan: &SyncPlan, resume: ResumeMode) -> Result<Begun, StoreError> {
        self.ask(&BeginRequest { resume, ..begin_request(plan) })
    }

    /// `syncctl retry`
    pub fn retry(&mut self, plan: &SyncPlan) -> Result<Begun, StoreError> {
        self.ask(&BeginRequest { work: Work::Failed, ..begin_request(plan) })
    }

    /// Begins a run.
    pub fn ask(&mut self, request: &BeginRequest<'_>) -> Result<Begun, StoreError> {
        let begun = self.store().begin(request)?;
        self.next = begun.next_task.0;
        for spec in &request.plan.tasks {
            if !self.tables.contains(&spec.table) {
                self.tables.push(spec.table.clone());
            }
        }
        Ok(begun)
    }

    /// Begins a run of some specs, or one that ignores cursors.
    pub fn begin_some(&mut self, plan: &SyncPlan, specs: &[u32], full_refresh: bool) -> RunId {
        self.begin_as(plan, specs, full_refresh, ResumeMode::Auto)
    }

    /// Resumes a run with some specs, whatever it had before.
    pub fn resume_some(&mut self, plan: &SyncPlan, specs: &[u32]) -> RunId {
        self.begin_as(plan, specs, false, ResumeMode::Resume)
    }

    /// Undoes the unfinished run and begins another with some specs.
    pub fn begin_some_afresh(&mut self, plan: &SyncPlan, specs: &[u32]) -> RunId {
        self.begin_as(plan, specs, false, ResumeMode::Fresh)
    }

    fn begin_as(&mut self, plan: &SyncPlan, specs: &[u32], full_refresh: bool, resume: ResumeMode) -> RunId {
        let specs = specs.iter().map(|spec| SpecIndex(*spec)).collect();
        self.ask(&BeginRequest { specs, resume, full_refresh, ..begin_request(plan) }).unwrap().run
    }

    /// Begins a run of everything, or resumes the unfinished one.
    pub fn begin(&mut self, plan: &SyncPlan) -> RunId {
        self.try_begin(plan, ResumeMode::Auto).unwrap().run
    }

    /// Commits.
    pub fn commit(&mut self, entries: Vec<Entry>) -> Vec<Committed> {
        self.store().commit(entries).unwrap()
    }

    /// Commits one Landing.
    pub fn commit_one(&mut self, landing: Landing) -> Committed {
        self.commit(vec![Entry::Land(Box::new(landing))]).remove(0)
    }

    /// Lands records as a new first page; gives its id.
    pub fn land(&mut self, run: RunId, spec: u32, combination: u64, records: Value) -> (i64, Committed) {
        self.land_batch(run, spec, combination, batch(&records))
    }

    /// Lands a batch as a new first page; gives its id.
    pub fn land_batch(
        &mut self,
        run: RunId,
        spec: u32,
        combination: u64,
        records: RecordBatch,
    ) -> (i64, Committed) {
        let landing = self.landing(run, spec, combination, Ok(records));
        let id = landing.task.id.0;
        (id, self.commit_one(landing))
    }

    /// A first page that fails for good; gives its id.
    pub fn fail(&mut self, run: RunId, spec: u32, combination: u64) -> i64 {
        let landing = self.landing(run, spec, combination, Err(failure()));
        let id = landing.task.id.0;
        self.commit_one(landing);
        id
    }

    /// The Landing of a new first page.
    pub fn landing(
        &mut self,
        run: RunId,
        spec: u32,
        combination: u64,
        result: Result<RecordBatch, Failure>,
    ) -> Landing {
        let id = self.id();
        let task = Task {
            id,
            spec: SpecIndex(spec),
            chain: id,
            combination: Some(combination),
            bindings: Bindings(Arc::new(json!({"n": combination}).as_object().unwrap().clone())),
            page: Page::first(),
            slice: None,
            cursor: None,
        };
        landing_of(run, task, result)
    }

    /// A new id.
    pub fn id(&mut self) -> TaskId {
        self.next += 1;
        TaskId(self.next - 1)
    }

    /// Lands every open task of these specs with no records.
    pub fn settle(&mut self, run: RunId, specs: &[u32]) {
        for spec in specs {
            for task in self.open_tasks(run, *spec) {
                self.commit_one(landing_of(run, task, Ok(RecordBatch::default())));
            }
        }
    }

    /// Ends a spec.
    pub fn end_spec(&mut self, run: RunId, spec: u32, failed: u64) -> Committed {
        let first_child = TaskId(self.next);
        self.next += 9;
        self.commit(vec![Entry::EndSpec { run, spec: SpecIndex(spec), failed, first_child }]).remove(0)
    }

    /// Ends specs, with so many failed tasks each, and the run. A run that is finished shows readers what has landed.
    pub fn end(&mut self, run: RunId, specs: &[(u32, u64)], end: RunEnd) {
        let first_child = TaskId(self.next);
        self.next += 9;
        let mut entries: Vec<Entry> = specs
            .iter()
            .map(|(spec, failed)| Entry::EndSpec {
                run,
                spec: SpecIndex(*spec),
                failed: *failed,
                first_child,
            })
            .collect();
        entries.push(Entry::EndRun { run, end, at: Moment::from_millis(9_000) });
        self.commit(entries);
        if matches!(end, RunEnd::Complete | RunEnd::Failed) {
            self.check_seen();
        }
    }

    fn check_seen(&self) {
        for table in &self.tables {
            let of = |contents: Option<Contents>| contents.unwrap_or_default().canonical();
            assert_eq!(
                of(self.place.seen(table)),
                of(self.place.landed(table)),
                "what readers see of {table}"
            );
        }
    }

    /// Open tasks of a spec.
    pub fn open_tasks(&mut self, run: RunId, spec: u32) -> Vec<Task> {
        self.store().open_tasks(run, SpecIndex(spec), TaskId(0), 1000).unwrap()
    }

    /// What has landed in a table, each row as its fields, sorted.
    pub fn held(&self, table: &str) -> Vec<std::collections::BTreeMap<String, String>> {
        self.place.landed(table).unwrap_or_default().canonical()
    }

    /// As [`held`](Self::held), one line each, without `_task`.
    pub fn lines(&self, table: &str) -> Vec<String> {
        let line = |row: std::collections::BTreeMap<String, String>| {
            row.iter().filter(|(name, _)| *name != "_task").fold(String::new(), |mut line, (name, value)| {
                let gap = if line.is_empty() { "" } else { " " };
                let _ = write!(line, "{gap}{name}={value}");
                line
            })
        };
        let mut lines: Vec<String> = self.held(table).into_iter().map(line).collect();
        lines.sort();
        lines
    }

    /// Every row of a query over what has landed and the ledger, one line each, cells with commas between. Values are
    /// as [`canonical`](crate::canonical) has them.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        let mut asked: Vec<(String, Contents)> = Vec::new();
        let words = sql.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        for word in words {
            if asked.iter().any(|(name, _)| name == word) {
                continue;
            }
            let contents = if word.starts_with("_sync_") {
                self.place.ledger(word)
            } else if self.tables.iter().any(|table| table == word) {
                Some(self.with_every_column(word))
            } else {
                None
            };
            asked.extend(contents.map(|contents| (word.to_owned(), contents)));
        }
        image::query(&asked, sql)
    }

    /// Also those that no row that is there has a value in.
    fn with_every_column(&self, table: &str) -> Contents {
        let mut contents = self.place.landed(table).unwrap_or_default();
        let account = self.place.ledger("_sync_columns").unwrap_or_default();
        let place = |column: &str| account.columns.iter().position(|name| name == column);
        if let (Some(target), Some(name)) = (place("target"), place("name")) {
            let of_table = account.rows.iter().filter(|row| row[target] == table);
            let names = of_table.filter_map(|row| row[name].as_str()).chain(["_task"]);
            for name in names {
                if !contents.columns.iter().any(|column| column == name) {
                    contents.columns.push(name.to_owned());
                    contents.rows.iter_mut().for_each(|row| row.push(Value::Null));
                }
            }
        }
        contents
    }

    /// Closes the store, changes the ledger, opens it.
    pub fn change_ledger(&mut self, sql: &str) {
        self.store = None;
        self.place.change_ledger(sql);
        self.open();
    }

    /// Staging and temporary files that are there.
    pub fn leftovers(&mut self) -> Vec<String> {
        self.store = None;
        let found = self.place.leftovers();
        self.open();
        found
    }
}
