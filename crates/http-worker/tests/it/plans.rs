//! Plans of one endpoint and one task, and how to run one request of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use entities::{
    Auth, Bindings, Body, Endpoint, EndpointIndex, Execution, Failure, Hop, Job, Limits, Method, Mode,
    Moment, Outcome, Page, PhaseCell, Place, PlanName, Position, Reading, Redirects, RetryPolicy, RunContext,
    RunId, SchemaPolicy, Secret, Secrets, SourceText, SpecIndex, StoreTarget, SyncPlan, Task, TaskId,
    TaskSpec, TemplateText, TextPolicy, TimeOuts, ValueTemplate, Worker, WorkerFactory, WorkerId,
};
use http_worker::{Clock, HttpConfig, HttpWorkers, ProxySettings, Reach};
use serde_json::{Map, Value};

/// In every plan: `{{ secrets.canary }}`.
pub(crate) const CANARY: &str = "c4n4ry/+ \"key\"";

/// One request to be.
pub(crate) struct Case {
    pub(crate) endpoint: Endpoint,
    pub(crate) spec: TaskSpec,
    pub(crate) bindings: Value,
    pub(crate) position: Position,
    pub(crate) cursor: Option<Value>,
    pub(crate) hop: Option<Hop>,
    pub(crate) proxy: ProxySettings,
    pub(crate) reach: Reach,
    pub(crate) sandbox: Option<String>,
    pub(crate) roots: Option<Vec<u8>>,
    pub(crate) canary: String,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) spool_dir: Option<PathBuf>,
    pub(crate) clock: Clock,
}

pub(crate) fn template(source: &str) -> TemplateText {
    TemplateText::new(source)
}

pub(crate) fn text(source: &str) -> ValueTemplate {
    ValueTemplate::Text(template(source))
}

impl Case {
    /// GET `path` of `base`, with an edit.
    pub(crate) fn get(base: &str, path: &str, edit: impl FnOnce(&mut Case)) -> Case {
        let mut case = Case {
            endpoint: Endpoint {
                name: "api".to_owned(),
                base_url: template(base),
                headers: Vec::new(),
                query: Vec::new(),
                auth: Auth::None,
                limits: Limits::Declared(Vec::new()),
                concurrency: 8,
                timeout: TimeOuts {
                    connect: Duration::from_secs(2),
                    idle: Duration::from_millis(300),
                    total: Duration::from_secs(5),
                },
                retry: RetryPolicy::default(),
                max_body: 1024 * 1024,
                on: Vec::new(),
                at: Place::default(),
            },
            spec: TaskSpec {
                name: "things".to_owned(),
                endpoint: EndpointIndex(0),
                method: Method::Get,
                path: TemplateText {
                    source: path.into(),
                    at: Place { start: 0, end: 1, line: 7, column: 3 },
                },
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
                table: "things".to_owned(),
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
            },
            bindings: Value::Object(Map::new()),
            position: Position::First,
            cursor: None,
            hop: None,
            proxy: ProxySettings::default(),
            reach: Reach::Anywhere,
            sandbox: None,
            roots: None,
            canary: CANARY.to_owned(),
            state_dir: None,
            spool_dir: Some(std::env::temp_dir()),
            clock: Arc::new(now),
        };
        edit(&mut case);
        case
    }

    pub(crate) fn post(base: &str, path: &str, edit: impl FnOnce(&mut Case)) -> Case {
        Case::get(base, path, |case| {
            case.spec.method = Method::Post;
            edit(case);
        })
    }

    /// A factory for it.
    pub(crate) fn workers(&self) -> HttpWorkers {
        HttpWorkers::new(HttpConfig {
            sandbox_origin: self.sandbox.clone(),
            proxy: self.proxy.clone(),
            reach: self.reach.clone(),
            user_agent: "syncctl/test".to_owned(),
            clock: self.clock.clone(),
            extra_roots: self.roots.clone(),
            state_dir: self.state_dir.clone(),
            spool_dir: self.spool_dir.clone(),
        })
        .unwrap()
    }

    /// A job for it.
    pub(crate) fn job(&self) -> Job {
        let plan = SyncPlan {
            name: PlanName("test".into()),
            description: None,
            source: Arc::new(SourceText { name: "test.toml".to_owned(), text: String::new() }),
            vars: Map::new(),
            secrets: BTreeMap::new(),
            store: StoreTarget::Sqlite("test.db".into()),
            schedule: None,
            endpoints: vec![self.endpoint.clone()],
            tasks: vec![self.spec.clone()],
        };
        let mut secrets = Secrets::default();
        secrets.0.insert("canary".to_owned(), Secret::new(self.canary.clone()));
        let context = RunContext {
            run: RunId(1),
            plan: Arc::new(plan),
            secrets,
            now: (self.clock)(),
            vars: Map::new(),
        };
        let bindings = self.bindings.as_object().cloned().unwrap_or_default();
        Job {
            context: Arc::new(context),
            task: Task {
                id: TaskId(1),
                spec: SpecIndex(0),
                chain: TaskId(1),
                combination: Some(0),
                bindings: Bindings(Arc::new(bindings)),
                page: Page { position: self.position.clone(), ..Page::first() },
                slice: None,
                cursor: self.cursor.clone(),
            },
            attempt: 1,
            hop: self.hop.clone(),
            phase: PhaseCell::default(),
        }
    }

    /// Prepares and executes it.
    pub(crate) async fn run(&self) -> Result<Execution, Failure> {
        let (workers, job) = (self.workers(), self.job());
        workers.prepare(&job.context)?;
        let mut worker: Box<dyn Worker> = workers.worker(WorkerId(0));
        Ok(worker.execute(&job).await)
    }

    /// The failure it ends in.
    pub(crate) async fn failure(&self) -> Failure {
        match self.run().await {
            Err(failure) => failure,
            Ok(execution) => failure_of(execution),
        }
    }
}

/// Executes a job as the engine does: each hop takes another grant. The outcome, and how many grants it took.
pub(crate) async fn drive(workers: &HttpWorkers, job: &Job) -> (Outcome, u32) {
    let (mut worker, mut job) = (workers.worker(WorkerId(0)), job.clone());
    for grants in 1..20 {
        match worker.execute(&job).await.outcome {
            Outcome::Hop(hop) => job.hop = Some(hop),
            outcome => return (outcome, grants),
        }
    }
    panic!("hops without end: {:?}", job.hop);
}

/// A clock that stands still until it is set, in milliseconds since the Unix epoch.
pub(crate) fn standing_clock(millis: i64) -> (Clock, Arc<AtomicI64>) {
    let time = Arc::new(AtomicI64::new(millis));
    let read = time.clone();
    (Arc::new(move || Moment::from_millis(read.load(Ordering::Relaxed))), time)
}

/// The failure that an execution ended in.
pub(crate) fn failure_of(execution: Execution) -> Failure {
    match execution.outcome {
        Outcome::Failed(failure) | Outcome::Retry { failure, .. } | Outcome::Wait { failure, .. } => failure,
        other => panic!("no failure: {other:?}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the test is the driver")]
fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Moment(i64::try_from(since.as_nanos()).unwrap())
}
