//! Plans, records and landings in few words.

use std::sync::Arc;

use entities::{
    BeginRequest, Body, Cell, CursorSpec, CursorValue, EndpointIndex, Failure, FailureClass, FailureKind,
    Foreach, Frozen, Landing, Method, Mode, Moment, Over, Place, PlanName, Reading, RecordBatch, Redirects,
    ResumeMode, RunId, SchemaPolicy, SourceText, Span, SpecIndex, Step, StoreTarget, SyncPlan, Task, TaskId,
    TaskSpec, TemplateText, TextPolicy, Which, Work,
};
use serde_json::{Map, Value, json};

/// A task spec whose table has its name.
pub fn spec(name: &str, mode: Mode, key: &[&str]) -> TaskSpec {
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

/// Driven by the records of spec `parent`, bound as `parent`.
pub fn child_of(mut spec: TaskSpec, parent: u32) -> TaskSpec {
    let over = Over::Records { task: SpecIndex(parent), filter: None, batch: None, which: Which::Changed };
    spec.foreach.push(Foreach { name: "parent".to_owned(), over, at: Place::default() });
    spec
}

/// With a cursor on `at`.
pub fn with_cursor(mut spec: TaskSpec) -> TaskSpec {
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
pub fn windowed(spec: TaskSpec) -> TaskSpec {
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

/// Its parent's records in batches.
pub fn batched(mut spec: TaskSpec, size: u32) -> TaskSpec {
    for foreach in &mut spec.foreach {
        if let Over::Records { batch, .. } = &mut foreach.over {
            *batch = Some(size);
        }
    }
    spec
}

/// A plan of these specs.
pub fn plan(name: &str, tasks: Vec<TaskSpec>) -> SyncPlan {
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
pub fn batch(records: &Value) -> RecordBatch {
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
            (None, Some(f)) if format!("{f:?}") == n.as_str().replace("e+", "e") => Cell::Float(f),
            _ => Cell::Number(span(n.as_str())),
        },
        Value::String(s) => Cell::Text(span(s)),
        other => Cell::Json(span(&other.to_string())),
    }
}

/// A run of everything.
pub fn begin_request(plan: &SyncPlan) -> BeginRequest<'_> {
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

/// The Landing of an executed task.
pub fn landing_of(run: RunId, task: Task, result: Result<RecordBatch, Failure>) -> Landing {
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

/// The page behind a task's.
pub fn follow_up(of: &Task, id: TaskId) -> Task {
    let mut task = of.clone();
    task.id = id;
    task.page.number += 1;
    task.page.position = entities::Position::Token(json!(task.page.number));
    task
}

/// A failure for good.
pub fn failure() -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Status, "404 Not Found")
}

/// A cursor value.
pub fn cursor(value: Value) -> Option<CursorValue> {
    Some(CursorValue(value))
}
