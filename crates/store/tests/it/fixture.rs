//! Plans, records and landings in few words, and a store in a temporary directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use entities::{
    BeginRequest, Begun, Bindings, Body, Cell, Committed, CursorSpec, CursorValue, EndpointIndex, Entry,
    Failure, FailureClass, FailureKind, Foreach, Frozen, Landing, Method, Mode, Moment, Over, Page, Place,
    PlanName, Reading, RecordBatch, Redirects, ResumeMode, RunEnd, RunId, SchemaPolicy, Secrets, SourceText,
    Span, SpecIndex, Step, Store, StoreError, StoreOpener, StoreTarget, SyncPlan, Task, TaskId, TaskSpec,
    TemplateText, TextPolicy, Which, Work,
};
use serde_json::{Map, Value, json};
use store::Stores;

pub(crate) fn spec(name: &str, mode: Mode, key: &[&str]) -> TaskSpec {
    TaskSpec {
        name: name.to_owned(),
        endpoint: EndpointIndex(0),
        method: Method::Get,
        path: TemplateText::new("/"),
        query: Vec::new(),
        headers: Vec::new(),
        body: Body::Empty,
        auth: None,
        redirects: Redirects::SameOrigin,
        idempotency: None,
        zone: None,
        foreach: Vec::new(),
        paginate: None,
        reading: Reading::default(),
        on: Vec::new(),
        table: name.to_owned(),
        key: key.iter().map(|k| (*k).to_owned()).collect(),
        mode,
        types: Vec::new(),
        schema: SchemaPolicy::default(),
        text: TextPolicy::default(),
        cursor: None,
        cost: None,
        weight: 1,
        order: entities::Order::Given,
        places: entities::KeyPlaces::default(),
        partition: None,
        fingerprint: "1".to_owned(),
        at: Place::default(),
    }
}

pub(crate) fn child_of(mut spec: TaskSpec, parent: u32) -> TaskSpec {
    let over = Over::Records { task: SpecIndex(parent), filter: None, batch: None, which: Which::Changed };
    spec.foreach.push(Foreach { name: "parent".to_owned(), over, at: Place::default() });
    spec
}

pub(crate) fn with_cursor(mut spec: TaskSpec) -> TaskSpec {
    spec.cursor = Some(CursorSpec {
        field: "at".to_owned(),
        start: TemplateText::new("0"),
        lookback: None,
        granularity: None,
        at: Place::default(),
    });
    spec
}

/// With a list `n`, a cursor, and windows `day` that go on from it.
pub(crate) fn windowed(spec: TaskSpec) -> TaskSpec {
    let mut spec = with_cursor(spec);
    let windows = Over::Windows {
        every: Step::Days(1),
        from: TemplateText::new("{{ cursor }}"),
        to: TemplateText::new("{{ now }}"),
        overlap: std::time::Duration::ZERO,
    };
    if spec.records().is_none() {
        let list = Over::Range { from: 0, to: 9, step: 1 };
        spec.foreach.push(Foreach { name: "n".to_owned(), over: list, at: Place::default() });
    }
    spec.foreach.push(Foreach { name: "day".to_owned(), over: windows, at: Place::default() });
    spec
}

pub(crate) fn batched(mut spec: TaskSpec, size: u32) -> TaskSpec {
    for foreach in &mut spec.foreach {
        if let Over::Records { batch, .. } = &mut foreach.over {
            *batch = Some(size);
        }
    }
    spec
}

pub(crate) fn plan(name: &str, tasks: Vec<TaskSpec>) -> SyncPlan {
    SyncPlan {
        schedule: None,
        name: PlanName(name.into()),
        description: None,
        source: Arc::new(SourceText { name: "plan.toml".to_owned(), text: String::new() }),
        vars: Map::new(),
        secrets: std::collections::BTreeMap::new(),
        store: StoreTarget::Sqlite("x.db".into()),
        endpoints: Vec::new(),
        tasks,
    }
}

/// A list of objects as a batch, numbers by the rules that workers follow.
pub(crate) fn batch(records: &Value) -> RecordBatch {
    let records = records.as_array().unwrap();
    let mut batch = RecordBatch { rows: records.len(), ..RecordBatch::default() };
    for record in records {
        for name in record.as_object().unwrap().keys() {
            if batch.column(name).is_none() {
                Arc::make_mut(&mut batch.columns).push(name.as_str().into());
            }
        }
    }
    for record in records {
        for name in Arc::clone(&batch.columns).iter() {
            let cell = cell(record.get(&**name).unwrap_or(&Value::Null), &mut batch.text);
            batch.cells.push(cell);
        }
    }
    batch
}

fn cell(value: &Value, text: &mut String) -> Cell {
    let mut span = |part: &str| {
        let start = u32::try_from(text.len()).unwrap();
        text.push_str(part);
        Span { start, len: u32::try_from(part.len()).unwrap() }
    };
    match value {
        Value::Null => Cell::Null,
        Value::Bool(b) => Cell::Bool(*b),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Cell::Int(i),
            (None, Some(f)) if format!("{f:?}") == n.as_str() => Cell::Float(f),
            _ => Cell::Number(span(n.as_str())),
        },
        Value::String(s) => Cell::Text(span(s)),
        other => Cell::Json(span(&other.to_string())),
    }
}

/// A run of everything.
pub(crate) fn begin_request(plan: &SyncPlan) -> BeginRequest<'_> {
    BeginRequest {
        plan,
        specs: plan.spec_indices().collect(),
        resume: ResumeMode::Auto,
        full_refresh: false,
        work: Work::All,
        frozen: Frozen { now: Moment(1_234_567_891), vars: Map::new() },
        now: Moment::from_millis(1_000),
    }
}

/// A store that can be dropped and opened again.
pub(crate) struct Fixture {
    _directory: Option<tempfile::TempDir>,
    path: PathBuf,
    pub store: Option<Box<dyn Store>>,
    pub next: i64,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        Fixture { _directory: Some(directory), ..Fixture::at(&path) }
    }

    /// A store that others know of.
    pub(crate) fn at(path: &Path) -> Fixture {
        let mut fixture = Fixture { _directory: None, path: path.to_owned(), store: None, next: 1 };
        fixture.open();
        fixture
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    pub(crate) fn open(&mut self) {
        self.store = None;
        let stores = Stores::new("syncctl run test.toml".to_owned());
        self.store = Some(stores.open(&StoreTarget::Sqlite(self.path()), &Secrets::default()).unwrap());
    }

    pub(crate) fn try_begin(&mut self, plan: &SyncPlan, resume: ResumeMode) -> Result<Begun, StoreError> {
        self.ask(&BeginRequest { resume, ..begin_request(plan) })
    }

    /// `syncctl retry`
    pub(crate) fn retry(&mut self, plan: &SyncPlan) -> Result<Begun, StoreError> {
        self.ask(&BeginRequest { work: Work::Failed, ..begin_request(plan) })
    }

    pub(crate) fn ask(&mut self, request: &BeginRequest<'_>) -> Result<Begun, StoreError> {
        let begun = self.store.as_mut().unwrap().begin(request)?;
        self.next = begun.next_task.0;
        Ok(begun)
    }

    /// Begins a run of some specs, or one that ignores cursors.
    pub(crate) fn begin_some(&mut self, plan: &SyncPlan, specs: &[u32], full_refresh: bool) -> RunId {
        self.begin_as(plan, specs, full_refresh, ResumeMode::Auto)
    }

    /// Resumes a run with some specs, whatever it had before.
    pub(crate) fn resume_some(&mut self, plan: &SyncPlan, specs: &[u32]) -> RunId {
        self.begin_as(plan, specs, false, ResumeMode::Resume)
    }

    /// Undoes the unfinished run and begins another with some specs.
    pub(crate) fn begin_some_afresh(&mut self, plan: &SyncPlan, specs: &[u32]) -> RunId {
        self.begin_as(plan, specs, false, ResumeMode::Fresh)
    }

    fn begin_as(&mut self, plan: &SyncPlan, specs: &[u32], full_refresh: bool, resume: ResumeMode) -> RunId {
        let specs = specs.iter().map(|spec| SpecIndex(*spec)).collect();
        self.ask(&BeginRequest { specs, resume, full_refresh, ..begin_request(plan) }).unwrap().run
    }

    pub(crate) fn begin(&mut self, plan: &SyncPlan) -> RunId {
        self.try_begin(plan, ResumeMode::Auto).unwrap().run
    }

    pub(crate) fn commit(&mut self, entries: Vec<Entry>) -> Vec<Committed> {
        self.store.as_mut().unwrap().commit(entries).unwrap()
    }

    /// Lands records as a new first page; gives its id.
    pub(crate) fn land(
        &mut self,
        run: RunId,
        spec: u32,
        combination: u64,
        records: Value,
    ) -> (i64, Committed) {
        let landing = self.landing(run, spec, combination, Ok(batch(&records)));
        let id = landing.task.id.0;
        (id, self.commit(vec![Entry::Land(Box::new(landing))]).remove(0))
    }

    pub(crate) fn fail(&mut self, run: RunId, spec: u32, combination: u64) -> i64 {
        let landing = self.landing(run, spec, combination, Err(failure()));
        let id = landing.task.id.0;
        self.commit(vec![Entry::Land(Box::new(landing))]);
        id
    }

    pub(crate) fn landing(
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

    pub(crate) fn id(&mut self) -> TaskId {
        self.next += 1;
        TaskId(self.next - 1)
    }

    pub(crate) fn end_spec(&mut self, run: RunId, spec: u32, failed: u64) -> Committed {
        let first_child = TaskId(self.next);
        self.next += 9;
        self.commit(vec![Entry::EndSpec { run, spec: SpecIndex(spec), failed, first_child }]).remove(0)
    }

    pub(crate) fn end(&mut self, run: RunId, specs: &[(u32, u64)], end: RunEnd) {
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
    }

    pub(crate) fn open_tasks(&mut self, run: RunId, spec: u32) -> Vec<Task> {
        self.store.as_mut().unwrap().open_tasks(run, SpecIndex(spec), TaskId(0), 1000).unwrap()
    }

    /// Every row of a query, one line each, cells with commas between.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        let conn = rusqlite::Connection::open(self.path()).unwrap();
        let mut statement = conn.prepare(sql).unwrap();
        let width = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells = (0..width).map(|at| match row.get_ref(at).unwrap() {
                rusqlite::types::ValueRef::Null => "null".to_owned(),
                rusqlite::types::ValueRef::Integer(i) => i.to_string(),
                rusqlite::types::ValueRef::Real(f) => format!("{f:?}"),
                rusqlite::types::ValueRef::Text(t) => format!("'{}'", String::from_utf8_lossy(t)),
                rusqlite::types::ValueRef::Blob(b) => format!("{b:?}"),
            });
            Ok(cells.collect::<Vec<_>>().join(","))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    pub(crate) fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

pub(crate) fn landing_of(run: RunId, task: Task, result: Result<RecordBatch, Failure>) -> Landing {
    Landing {
        run,
        task,
        attempt: 1,
        sent: Moment::from_millis(2_000),
        answered: Moment::from_millis(2_040),
        waited_ms: 5,
        status: Some(200),
        bytes: 100,
        result,
        skipped: false,
        next: Vec::new(),
        children: Vec::new(),
        first_child: TaskId(0),
        cursor: None,
        cursor_of: None,
        watermark: None,
    }
}

pub(crate) fn follow_up(of: &Task, id: TaskId) -> Task {
    let mut task = of.clone();
    task.id = id;
    task.page.number += 1;
    task.page.position = entities::Position::Token(json!(task.page.number));
    task
}

pub(crate) fn failure() -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Status, "404 Not Found")
}

pub(crate) fn cursor(value: Value) -> Option<CursorValue> {
    Some(CursorValue(value))
}
