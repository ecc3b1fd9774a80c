//! Workers that do as a script says, and a pool of them with a clock.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use entities::{
    Bindings, Body, EndpointIndex, Execution, Failure, FailureClass, FailureKind, Job, Method, Mode, Moment,
    Outcome, Page, Phase, PhaseCell, Place, PlanName, Reading, Redirects, RunContext, RunId, SchemaPolicy,
    Secrets, SourceText, SpecIndex, StoreTarget, SyncPlan, Task, TaskId, TaskSpec, TemplateText, TextPolicy,
    Vars, Worker, WorkerFactory, WorkerId,
};
use supervisor::{Clock, Supervisor};

/// What a worker does with a task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Answers after so many milliseconds; `bytes` is the task's id.
    Answer(u64),
    /// Panics after an await.
    Panic,
    /// Panics before there is a future.
    PanicInTheCall,
    /// Panics, and once more when it is dropped.
    PanicTwice,
    /// Never answers.
    Hang,
    /// Waits for its turn for so many milliseconds, then never answers.
    Queue(u64),
}

/// A pool, its script (by task id; beyond it everything is answered at once) and its clock.
pub(crate) struct Scene {
    pub(crate) pool: Supervisor,
    shared: Arc<Shared>,
    clock: Clock,
}

struct Shared {
    script: Vec<Act>,
    made: AtomicUsize,
    dropped: AtomicUsize,
    broken: AtomicBool,
}

impl Scene {
    pub(crate) fn new(workers: u32, script: &[Act]) -> Self {
        let shared = Arc::new(Shared {
            script: script.to_vec(),
            made: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        });
        let clock = clock();
        let factory = Arc::new(Factory(Arc::clone(&shared)));
        Scene { pool: Supervisor::new(factory, workers, Arc::clone(&clock)), shared, clock }
    }

    pub(crate) fn assign(&mut self, task: i64) -> Result<WorkerId, Arc<Job>> {
        self.assign_to_run(task, 1)
    }

    pub(crate) fn assign_to_run(&mut self, task: i64, run: i64) -> Result<WorkerId, Arc<Job>> {
        let now = self.now();
        self.pool.assign(Arc::new(job(task, run)), now, super::TOTAL)
    }

    pub(crate) fn now(&self) -> Moment {
        (self.clock)()
    }

    /// Workers made so far.
    pub(crate) fn made(&self) -> usize {
        self.shared.made.load(SeqCst)
    }

    /// Workers dropped so far.
    pub(crate) fn dropped(&self) -> usize {
        self.shared.dropped.load(SeqCst)
    }

    pub(crate) fn break_factory(&self, broken: bool) {
        self.shared.broken.store(broken, SeqCst);
    }
}

/// Moments of tokio's clock, which stands still when it is paused.
fn clock() -> Clock {
    let start = tokio::time::Instant::now();
    Arc::new(move || Moment::from_millis(1_700_000_000_000) + start.elapsed())
}

struct Factory(Arc<Shared>);

impl WorkerFactory for Factory {
    fn worker(&self, _: WorkerId) -> Box<dyn Worker> {
        assert!(!self.0.broken.load(SeqCst), "the factory is broken on purpose");
        self.0.made.fetch_add(1, SeqCst);
        Box::new(Scripted { shared: Arc::clone(&self.0), clock: clock(), panics_when_dropped: false })
    }

    fn prepare(&self, _: &Arc<RunContext>) -> Result<(), Failure> {
        Ok(())
    }

    fn drive(
        &self,
        _: &Arc<RunContext>,
        _: SpecIndex,
        _: usize,
        _: Vars,
    ) -> Result<Option<Bindings>, Failure> {
        Ok(None)
    }

    fn forget(&self, _: &Arc<RunContext>) {}
}

struct Scripted {
    shared: Arc<Shared>,
    clock: Clock,
    panics_when_dropped: bool,
}

impl Worker for Scripted {
    fn execute<'a>(&'a mut self, job: &'a Job) -> Pin<Box<dyn Future<Output = Execution> + Send + 'a>> {
        let act = self.shared.script.get(job.task.id.0 as usize).copied().unwrap_or(Act::Answer(0));
        assert!(!matches!(act, Act::PanicInTheCall), "on purpose, in the call");
        Box::pin(async move {
            job.phase.set(Phase::Waiting);
            match act {
                Act::Answer(0) => {}
                Act::Answer(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
                Act::Hang => pending().await,
                Act::Queue(millis) => {
                    job.phase.set(Phase::Queued);
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    job.phase.set(Phase::Decoding);
                    pending().await
                }
                _ => {
                    tokio::task::yield_now().await;
                    self.panics_when_dropped = matches!(act, Act::PanicTwice);
                    panic!("on purpose, in task {}", job.task.id);
                }
            }
            let now = (self.clock)();
            let failure = Failure::new(FailureClass::Transient, FailureKind::Status, "503");
            let bytes = job.task.id.0.unsigned_abs();
            let outcome = Outcome::Retry { failure, after: None };
            Execution {
                outcome,
                sent: now,
                answered: now,
                finished: now,
                status: Some(503),
                bytes,
                news: None,
            }
        })
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.dropped.fetch_add(1, SeqCst);
        assert!(!self.panics_when_dropped, "on purpose, on the way out");
    }
}

fn job(task: i64, run: i64) -> Job {
    let spec = TaskSpec {
        name: "bars".to_owned(),
        endpoint: EndpointIndex(0),
        method: Method::Get,
        path: TemplateText::new("/bars"),
        query: vec![],
        headers: vec![],
        body: Body::Empty,
        auth: None,
        redirects: Redirects::None,
        idempotency: None,
        zone: None,
        foreach: vec![],
        paginate: None,
        reading: Reading::default(),
        on: vec![],
        table: "bars".to_owned(),
        key: vec![],
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
    };
    let plan = SyncPlan {
        name: PlanName("market".into()),
        description: None,
        source: Arc::new(SourceText { name: "market.toml".to_owned(), text: String::new() }),
        vars: Vars::default(),
        secrets: Default::default(),
        store: StoreTarget::Sqlite("market.db".into()),
        schedule: None,
        endpoints: vec![],
        tasks: vec![spec],
    };
    let context = RunContext {
        run: RunId(run),
        plan: Arc::new(plan),
        secrets: Secrets::default(),
        now: Moment(0),
        vars: Vars::default(),
    };
    Job {
        context: Arc::new(context),
        task: Task {
            id: TaskId(task),
            spec: SpecIndex(0),
            chain: TaskId(task),
            combination: Some(0),
            bindings: Bindings::default(),
            page: Page::first(),
            slice: None,
            cursor: None,
        },
        attempt: 1,
        hop: None,
        phase: PhaseCell::default(),
    }
}
