//! Scenarios of the core, without a runtime, a store or a network: events in, actions out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use entities::{
    Begun, Child, Committed, EngineEvent, Entry, Execution, Failure, FailureClass, FailureKind, Frozen, Hop,
    Job, Landed, Landing, LimitNews, Moment, Next, Outcome, Page, PlanState, Position, RecordBatch,
    RunContext, RunEnd, RunId, RunReport, Secrets, SpecIndex, SpecProgress, SyncPlan, Task, TaskId, WorkerId,
};
use serde_json::json;
use supervisor::Done;

use super::{Action, Core, Event, GiveBack, LeaseGranted, MOST_LANDINGS, PlanSlot, StartedRun, StoreSlot};
use crate::foreach::Shared;
use crate::prepare::{Beginning, start_spec};

mod costs;
mod endings;
mod gates;
mod gone;
mod incremental;
mod life;
mod limits;
mod many;
mod products;
mod requests;
mod slices;

const SLOT: PlanSlot = PlanSlot(1);
const STORE: StoreSlot = StoreSlot(2);

struct NoLookup;

impl plan::Lookup for NoLookup {
    fn env(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }
    fn file(&self, _: &str) -> Result<String, String> {
        Err("no files here".to_owned())
    }
    fn command(&self, _: &[String]) -> Result<String, String> {
        Err("no commands here".to_owned())
    }
}

/// The world around a core: workers that never answer by themselves, a store that never commits by
/// itself.
struct World {
    core: Core,
    now: Moment,
    workers: usize,
    jobs: Vec<Job>,
    entries: VecDeque<Entry>,
    landings: Vec<(TaskId, Result<usize, FailureKind>)>,
    ends: Vec<RunEnd>,
    events: Vec<EngineEvent>,
    report: Option<RunReport>,
    loads: Vec<SpecIndex>,
    /// Children that want rows of their parents' tables, and the numbers they want them from.
    reads: Vec<(SpecIndex, u64)>,
    /// Closures to be remembered beyond the process.
    closures: Vec<Moment>,
    /// What was learned, by window key, and the gap.
    lessons: Vec<(String, Duration)>,
    /// Tokens given up for others, by window key: all, and those held of them.
    given: Vec<(String, u32, u32)>,
    /// What was given back since runs have ended.
    given_back: Vec<GiveBack>,
    /// Limits that leave less to others (or, none, are gone), by window key.
    restated: Vec<(String, Option<u32>)>,
    /// Other processes have all tokens but these.
    leasable: Option<u32>,
    plan: Arc<SyncPlan>,
}

impl World {
    fn new(tasks: &str, workers: usize) -> World {
        World::resumed(tasks, workers, |_| {})
    }

    fn resumed(tasks: &str, workers: usize, progress: impl Fn(&mut SpecProgress)) -> World {
        let text = format!("[plan]\nname = \"p\"\n{tasks}");
        let plan = plan::load("p.toml", &text, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan;
        let plan = Arc::new(plan);
        let now = Moment::from_millis(1_000_000);
        let mut world = World {
            core: Core::new(usize::MAX),
            now,
            workers,
            jobs: Vec::new(),
            entries: VecDeque::new(),
            landings: Vec::new(),
            ends: Vec::new(),
            events: Vec::new(),
            report: None,
            loads: Vec::new(),
            reads: Vec::new(),
            closures: Vec::new(),
            lessons: Vec::new(),
            given: Vec::new(),
            given_back: Vec::new(),
            restated: Vec::new(),
            leasable: None,
            plan: Arc::clone(&plan),
        };
        let run = started(&plan, STORE, now, progress);
        world.tell(Event::Begun { slot: SLOT, run: Box::new(run) });
        world
    }

    /// Begins a run of another plan.
    fn begin(&mut self, slot: PlanSlot, store: StoreSlot, tasks: &str) {
        let text = format!("[plan]\nname = \"p{}\"\n{tasks}", slot.0);
        let plan = plan::load("p.toml", &text, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan;
        let run = started(&Arc::new(plan), store, self.now, |_| {});
        self.tell(Event::Begun { slot, run: Box::new(run) });
    }

    fn tell(&mut self, event: Event) {
        self.core.on_event(event, self.now);
        self.settle();
    }

    /// Lets the core decide until it has nothing more to say.
    fn settle(&mut self) {
        loop {
            let actions = self.core.decide(self.workers - self.jobs.len(), self.now);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Assign { job, .. } => self.jobs.push(Arc::unwrap_or_clone(job)),
                    Action::Write { entry, .. } => self.entries.push_back(entry),
                    Action::Close { until, .. } => self.closures.push(until),
                    Action::Load { spec, .. } => self.loads.push(spec),
                    Action::ReadRows { child, after, .. } => self.reads.push((child, after)),
                    Action::Learn { key, learned, .. } => self.lessons.push((key, learned.gap)),
                    Action::GiveBack { all } => self.given_back.extend(all),
                    Action::Restate { key, limit } => {
                        self.restated.push((key, limit.map(|limit| limit.reserve)));
                    }
                    Action::GiveUp { key, given, .. } => {
                        let held = given.held.iter().map(|(_, tokens)| tokens).sum();
                        self.given.push((key, given.tokens, held));
                    }
                    Action::Lease { budget, window, want, .. } => {
                        let tokens = want.min(self.leasable.unwrap_or(want));
                        self.leasable = self.leasable.map(|left| left - tokens);
                        let retry_at = (tokens == 0).then(|| self.now + Duration::from_secs(30));
                        let granted = LeaseGranted { tokens, held: Vec::new(), retry_at, all_lack: false };
                        self.core.on_event(Event::Leased { budget, window, granted }, self.now);
                    }
                    Action::Emit(event) => self.events.push(event),
                    Action::Ended { report, .. } => self.report = Some(*report),
                    Action::Abort { slot } => {
                        let context = self.core.run(slot).map(|run| Arc::clone(&run.context));
                        self.jobs.retain(|job| {
                            !context.as_ref().is_some_and(|context| Arc::ptr_eq(context, &job.context))
                        });
                        self.core.on_event(Event::Aborted { slot }, self.now);
                    }
                }
            }
        }
    }

    /// A worker finishes the oldest job.
    fn answer(&mut self, outcome: Outcome) -> Task {
        self.answer_saying(outcome, None)
    }

    /// A worker finishes the oldest job of a task.
    fn answer_of(&mut self, task: &str, outcome: Outcome) -> Task {
        let of = |job: &Job| job.context.plan.spec(job.task.spec).name == task;
        let index = self.jobs.iter().position(of).unwrap();
        let job = self.jobs.remove(index);
        self.jobs.insert(0, job);
        self.answer(outcome)
    }

    /// A worker finishes the oldest job, and the answer says something about limits.
    fn answer_saying(&mut self, outcome: Outcome, news: Option<LimitNews>) -> Task {
        let job = self.jobs.remove(0);
        let task = job.task.clone();
        let execution = Execution {
            outcome,
            sent: self.now,
            answered: self.now,
            finished: self.now,
            status: Some(200),
            bytes: 10,
            news: news.map(Box::new),
        };
        let (job, execution) = (Arc::new(job), Box::new(execution));
        let done = Done { worker: WorkerId(0), job, execution, restarted: None };
        self.tell(Event::Finished(done));
        task
    }

    /// The store commits all it has, opening every child.
    fn commit(&mut self) {
        self.commit_to(STORE);
    }

    fn commit_to(&mut self, store: StoreSlot) {
        let mut results = Vec::new();
        for entry in self.entries.drain(..) {
            let mut committed = Committed::default();
            match entry {
                Entry::Land(landing) => {
                    for child in &landing.children {
                        committed.children.push((child.spec, 1));
                    }
                    let came =
                        landing.result.as_ref().map(|batch| batch.rows).map_err(|failure| failure.kind);
                    self.landings.push((landing.task.id, came));
                }
                Entry::EndSpec { .. } => {}
                Entry::EndRun { end, .. } => self.ends.push(end),
            }
            results.push(committed);
        }
        if !results.is_empty() {
            self.tell(Event::Committed { store, results });
        }
    }

    /// How many jobs of each task are in flight, in the plan's order.
    fn in_flight(&self) -> Vec<usize> {
        let of = |spec: SpecIndex| self.jobs.iter().filter(|job| job.task.spec == spec).count();
        self.plan.spec_indices().map(of).collect()
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.settle();
    }

    fn last_landing(&self) -> &Landing {
        match self.entries.iter().rev().find(|entry| matches!(entry, Entry::Land(_))) {
            Some(Entry::Land(landing)) => landing,
            _ => panic!("nothing was handed to the store"),
        }
    }
}

/// A run of all of a plan's specs, as the driver hands it over.
fn started(
    plan: &Arc<SyncPlan>,
    store: StoreSlot,
    now: Moment,
    progress: impl Fn(&mut SpecProgress),
) -> StartedRun {
    let specs = plan.spec_indices().map(|spec| {
        let mut fresh = SpecProgress {
            spec,
            ended: false,
            watermark: 0,
            beyond: Vec::new(),
            open: 0,
            done: 0,
            failed: 0,
            skipped: 0,
            records: 0,
            held_back: Vec::new(),
            waiting: Vec::new(),
            cursors: Vec::new(),
        };
        progress(&mut fresh);
        fresh
    });
    let begun = Begun {
        run: RunId(1),
        resumed: false,
        frozen: Frozen { now, vars: plan.vars.clone() },
        specs: specs.collect(),
        first_task: TaskId(1),
        next_task: TaskId(1),
        changed: Vec::new(),
    };
    let context = Arc::new(RunContext {
        run: begun.run,
        plan: Arc::clone(plan),
        secrets: Secrets::default(),
        now,
        vars: begun.frozen.vars,
    });
    let beginning = Beginning {
        shared: Shared::new(&context.vars, now),
        first_task: begun.first_task,
        fingerprint: &|credential| credential.to_owned(),
    };
    let specs = begun.specs.into_iter().map(|p| start_spec(&context, p, &beginning).unwrap()).collect();
    let wait = Duration::from_secs(7200);
    StartedRun { context, store, next_task: begun.next_task, wait, requests_per_task: None, specs }
}

fn page(rows: usize, next: Next) -> Outcome {
    let records = RecordBatch { rows, ..RecordBatch::default() };
    let received = rows as u64;
    Outcome::Landed(Box::new(Landed {
        records,
        received,
        next,
        children: Vec::new(),
        cursor: None,
        skipped: false,
    }))
}

fn token(number: u32, token: &str) -> Page {
    Page { number, position: Position::Token(json!(token)), ..Page::first() }
}

fn transient() -> Failure {
    Failure::new(FailureClass::Transient, FailureKind::Status, "HTTP 500")
}

fn limited() -> Failure {
    Failure::new(FailureClass::Limited, FailureKind::RateLimited, "HTTP 429")
}

const ONE: &str = r#"
[endpoints.e]
base_url = "http://h"
limits = []
[tasks.t]
get = "/t"
"#;

const TEN: &str = r#"
[endpoints.e]
base_url = "http://h"
limits = []
concurrency = 4
[tasks.t]
get = "/t/{{ n }}"
foreach = { n = { from = 1, to = 10 } }
"#;

const CHAIN: &str = r#"
[endpoints.e]
base_url = "http://h"
limits = []
[tasks.t]
get = "/t"
paginate = { by = "token", param = "c", next = ".next" }
"#;

const FAMILY: &str = r#"
[endpoints.e]
base_url = "http://h"
limits = []
[tasks.parents]
get = "/p"
key = ["id"]
[tasks.children]
get = "/p/{{ p.id }}"
foreach = { p = { task = "parents" } }
"#;

const TWO_HOSTS: &str = r#"
[endpoints.e]
base_url = "http://h"
limits = []
[endpoints.f]
base_url = "http://other"
limits = []
[tasks.parents]
endpoint = "e"
get = "/p"
key = ["id"]
paginate = { by = "token", param = "c", next = ".next" }
[tasks.children]
endpoint = "f"
get = "/p/{{ p.id }}"
foreach = { p = { task = "parents" } }
paginate = { by = "token", param = "c", next = ".next" }
"#;

fn parent_page(next: Next) -> Outcome {
    let child = Child { spec: SpecIndex(1), row: 0, bindings: entities::Bindings::default() };
    Outcome::Landed(Box::new(Landed {
        records: RecordBatch { rows: 1, ..RecordBatch::default() },
        received: 1,
        next,
        children: vec![child],
        cursor: None,
        skipped: false,
    }))
}

fn child_task(id: TaskId) -> Task {
    Task {
        id,
        spec: SpecIndex(1),
        chain: id,
        combination: None,
        bindings: entities::Bindings::default(),
        page: Page::first(),
        slice: None,
        cursor: None,
    }
}
