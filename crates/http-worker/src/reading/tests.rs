//! Whole answers through a [`Reader`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use entities::{
    Auth, Body, Cell, CursorSpec, Endpoint, EndpointIndex, Foreach, JqText, Limits, Method, Mode, Moment,
    OnAction, OnRule, Over, Page, Paginate, PaginateBy, ParamPlace, PhaseCell, Place, PlanName, Position,
    Reading, Redirects, RetryPolicy, RunContext, RunId, SchemaPolicy, Secrets, SourceText, StoreTarget, Task,
    TaskId, TaskSpec, TemplateText, TimeOuts, ValueTemplate, Which,
};
use serde_json::{Value, json};

use super::*;

mod chains;
mod costs;
mod formats;
mod lines;
mod pages;
mod records;
mod streams;
mod values;
mod verdicts;

fn jq(source: &str) -> Option<JqText> {
    Some(JqText::new(source))
}

fn text(source: &str) -> ValueTemplate {
    ValueTemplate::Text(TemplateText::new(source))
}

fn spec(name: &str) -> TaskSpec {
    TaskSpec {
        name: name.into(),
        endpoint: EndpointIndex(0),
        method: Method::Get,
        path: TemplateText::new("/x"),
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
        table: name.into(),
        key: Vec::new(),
        mode: Mode::Append,
        types: Vec::new(),
        schema: SchemaPolicy::Evolve,
        text: TextPolicy::Replace,
        cursor: None,
        cost: None,
        weight: 1,
        order: entities::Order::Given,
        places: entities::KeyPlaces::default(),
        partition: None,
        fingerprint: String::new(),
        at: Place::default(),
    }
}

fn rule(status: Vec<(u16, u16)>, when: Option<JqText>, action: OnAction) -> OnRule {
    OnRule { status, when, action, message: None, at: Place::default() }
}

fn cursor(field: &str, start: &str) -> CursorSpec {
    CursorSpec {
        field: field.into(),
        start: TemplateText::new(start),
        lookback: None,
        granularity: None,
        at: Place::default(),
    }
}

fn foreach(name: &str, over: Over) -> Foreach {
    Foreach { name: name.into(), over, at: Place::default() }
}

fn paginate(by: PaginateBy) -> Option<Paginate> {
    Some(Paginate { by, until: None, max_pages: None, at: Place::default() })
}

fn endpoint(on: Vec<OnRule>, limits: Vec<entities::Limit>) -> Endpoint {
    Endpoint {
        name: "x".into(),
        base_url: TemplateText::new("https://api.example.com"),
        headers: Vec::new(),
        query: Vec::new(),
        auth: Auth::None,
        limits: Limits::Declared(limits),
        concurrency: 2,
        timeout: TimeOuts::default(),
        retry: RetryPolicy::default(),
        max_body: 1 << 20,
        on,
        at: Place::default(),
    }
}

/// Reads an answer for the first of `tasks`.
struct Case {
    store: StoreTarget,
    tasks: Vec<TaskSpec>,
    on: Vec<OnRule>,
    limits: Vec<entities::Limit>,
    bindings: Value,
    page: Page,
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: Bytes,
}

impl Case {
    fn new(task: TaskSpec, body: &str) -> Case {
        Case {
            store: StoreTarget::Sqlite("p.db".into()),
            tasks: vec![task],
            on: Vec::new(),
            limits: Vec::new(),
            bindings: json!({}),
            page: Page::first(),
            status: 200,
            headers: Vec::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn status(mut self, status: u16) -> Case {
        self.status = status;
        self
    }

    fn plan(&self) -> SyncPlan {
        SyncPlan {
            name: PlanName("p".into()),
            description: None,
            source: Arc::new(SourceText { name: "p.toml".into(), text: String::new() }),
            vars: json!({ "since": "2024", "least": 0 }).as_object().unwrap().clone(),
            secrets: BTreeMap::new(),
            store: self.store.clone(),
            schedule: None,
            endpoints: vec![endpoint(self.on.clone(), self.limits.clone())],
            tasks: self.tasks.clone(),
        }
    }

    fn reader(&self, spec: SpecIndex) -> Reader {
        Reader::compile(&self.plan(), spec).unwrap()
    }

    fn read(self) -> Outcome {
        self.read_with_costs().0
    }

    fn read_with_costs(self) -> (Outcome, Vec<(usize, u32)>) {
        let reader = self.reader(SpecIndex(0));
        let (job, globals, answer) = self.job();
        reader.read(&job, &globals, &answer)
    }

    /// What a reader is given.
    fn job(self) -> (Job, expr::Globals, Answer) {
        let plan = self.plan();
        let vars = plan.vars.clone();
        let globals = expr::Globals::new(&vars, &Secrets::default(), Moment(0));
        let context = RunContext {
            run: RunId(1),
            plan: Arc::new(plan),
            secrets: Secrets::default(),
            now: Moment(0),
            vars,
        };
        let task = Task {
            id: TaskId(1),
            spec: SpecIndex(0),
            chain: TaskId(1),
            combination: Some(0),
            bindings: Bindings(Arc::new(self.bindings.as_object().unwrap().clone())),
            page: self.page,
            slice: None,
            cursor: None,
        };
        let job =
            Job { context: Arc::new(context), task, attempt: 1, hop: None, phase: PhaseCell::default() };
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        let answer = Answer {
            status: self.status,
            headers: headers.collect(),
            body: self.body,
            name: None,
            url: http::Uri::from_static("https://api.example.com/x?page=1"),
            secrets: None,
            received: Moment(0),
            leash: None,
        };
        (job, globals, answer)
    }

    fn landed(self) -> Landed {
        match self.read() {
            Outcome::Landed(landed) => *landed,
            other => panic!("{other:?}"),
        }
    }

    fn failed(self) -> Failure {
        match self.read() {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }
}

fn rows(batch: &RecordBatch) -> Value {
    (0..batch.rows).map(|row| Value::Object(cells::record_of(batch, row))).collect()
}
