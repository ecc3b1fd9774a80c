//! Scenarios of the core, without a runtime, a store or a network: events in, actions out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use entities::{
    Begun, Child, Committed, EngineEvent, Entry, Execution, Failure, FailureClass, FailureKind, Frozen, Hop,
    Job, Landed, Landing, Moment, Next, Outcome, Page, PlanState, Position, RecordBatch, RunContext, RunEnd,
    RunId, RunReport, Secrets, SpecIndex, SpecProgress, SyncPlan, Task, TaskId, WorkerId,
};
use serde_json::json;
use supervisor::Done;

use super::{Action, Core, Event, LeaseGranted, MOST_LANDINGS, PlanSlot, StartedRun, StoreSlot};
use crate::prepare::start_spec;

const SLOT: PlanSlot = PlanSlot(1);
const STORE: StoreSlot = StoreSlot(2);

struct NoLookup;

impl plan::Lookup for NoLookup {
    fn env(&self, _: &str) -> Option<String> {
        None
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
            core: Core::new(),
            now,
            workers,
            jobs: Vec::new(),
            entries: VecDeque::new(),
            landings: Vec::new(),
            ends: Vec::new(),
            events: Vec::new(),
            report: None,
            loads: Vec::new(),
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
                    Action::Assign { job, .. } => self.jobs.push(*job),
                    Action::Write { entry, .. } => self.entries.push_back(entry),
                    Action::Load { spec, .. } => self.loads.push(spec),
                    Action::Lease { budget, window, want, .. } => {
                        let granted = LeaseGranted { tokens: want, held: Vec::new(), retry_at: None };
                        self.core.on_event(Event::Leased { budget, window, granted }, self.now);
                    }
                    Action::Emit(event) => self.events.push(event),
                    Action::Ended { report, .. } => self.report = Some(*report),
                    Action::Abort { slot } => {
                        let jobs = std::mem::take(&mut self.jobs);
                        self.core.on_event(Event::Aborted { slot, jobs }, self.now);
                    }
                }
            }
        }
    }

    /// A worker finishes the oldest job.
    fn answer(&mut self, outcome: Outcome) -> Task {
        let job = self.jobs.remove(0);
        let task = job.task.clone();
        let execution = Execution {
            outcome,
            sent: self.now,
            answered: self.now,
            finished: self.now,
            status: Some(200),
            bytes: 10,
        };
        let done = Done { worker: WorkerId(0), job, execution, restarted: None };
        self.tell(Event::Finished(Box::new(done)));
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
    let specs =
        begun.specs.into_iter().map(|p| start_spec(&context, p, &|c| c.to_owned()).unwrap()).collect();
    StartedRun { context, store, next_task: begun.next_task, wait: Duration::from_secs(7200), specs }
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

#[test]
fn one_request_one_landing_one_end() {
    let mut world = World::new(ONE, 4);
    assert_eq!(world.jobs.len(), 1);
    world.answer(page(3, Next::End));
    assert_eq!(world.last_landing().watermark, Some(1));
    assert!(world.ends.is_empty(), "nothing has committed yet");
    world.commit();
    world.commit();
    world.commit();
    let report = world.report.unwrap();
    assert_eq!((report.state, report.records, report.requests), (PlanState::Complete, 3, 1));
    assert_eq!(world.ends, [RunEnd::Complete]);
}

#[test]
fn concurrency_is_never_exceeded_and_always_used() {
    let mut world = World::new(TEN, 64);
    for _ in 0..10 {
        assert!(world.jobs.len() <= 4);
        world.answer(page(1, Next::End));
    }
    assert!(world.jobs.is_empty());
    assert_eq!(world.last_landing().watermark, Some(10));
}

#[test]
fn a_follow_up_goes_out_before_its_origin_has_committed() {
    let mut world = World::new(CHAIN, 4);
    let first = world.answer(page(5, Next::Pages(vec![token(2, "b")])));
    assert_eq!(world.jobs.len(), 1, "no commit was needed");
    assert_eq!(world.jobs[0].task.chain, first.id);
    assert_eq!(world.last_landing().next[0].id, world.jobs[0].task.id);
    world.answer(page(5, Next::End));
    for _ in 0..3 {
        world.commit();
    }
    assert_eq!(world.report.unwrap().records, 10);
}

#[test]
fn going_round_in_circles_is_an_error() {
    let mut world = World::new(CHAIN, 4);
    world.answer(page(5, Next::Pages(vec![token(2, "b")])));
    world.answer(page(5, Next::Pages(vec![token(3, "c")])));
    world.answer(page(5, Next::Pages(vec![token(4, "b")])));
    assert!(world.jobs.is_empty());
    for _ in 0..3 {
        world.commit();
    }
    let report = world.report.unwrap();
    assert_eq!((report.state, report.records), (PlanState::Failed, 15));
    let kinds: Vec<_> = world.landings.iter().filter_map(|(_, came)| came.err()).collect();
    assert_eq!(kinds, [FailureKind::PageLoop]);
}

#[test]
fn transient_failures_are_tried_again_and_then_fail() {
    let mut world = World::new(ONE, 4);
    for attempt in 1..=5 {
        assert_eq!(world.jobs.len(), 1, "attempt {attempt}");
        assert_eq!(world.jobs[0].attempt, attempt);
        world.answer(Outcome::Retry { failure: transient(), after: None });
        assert!(world.jobs.is_empty(), "it waits before it tries again");
        world.pass(Duration::from_secs(70));
    }
    for _ in 0..3 {
        world.commit();
    }
    let report = world.report.unwrap();
    assert_eq!((report.state, report.tasks["t"].failed), (PlanState::Failed, 1));
}

#[test]
fn a_limit_stops_everyone_on_the_budget_and_costs_no_attempt() {
    let mut world = World::new(TEN, 64);
    assert_eq!(world.jobs.len(), 4);
    let how_long = Some(Duration::from_secs(2));
    world.answer(Outcome::Wait { failure: limited(), how_long });
    world.answer(Outcome::Wait { failure: limited(), how_long });
    assert_eq!(world.jobs.len(), 2, "two are still in flight, none is sent");
    world.pass(Duration::from_millis(1_999));
    assert_eq!(world.jobs.len(), 2);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.jobs.len(), 4);
    assert!(world.jobs.iter().all(|job| job.attempt == 1));
    let waiting = world.events.iter().filter(|event| matches!(event, EngineEvent::Waiting { .. })).count();
    assert_eq!(waiting, 1, "one refusal, echoed by those in flight");
}

#[test]
fn ten_refusals_in_a_row_fail_the_request() {
    let mut world = World::new(ONE, 4);
    for _ in 0..11 {
        assert_eq!(world.jobs.len(), 1);
        world.answer(Outcome::Wait { failure: limited(), how_long: None });
        world.pass(Duration::from_secs(61));
    }
    assert!(world.jobs.is_empty());
    for _ in 0..3 {
        world.commit();
    }
    assert_eq!(world.report.unwrap().state, PlanState::Failed);
}

#[test]
fn a_wait_beyond_what_is_allowed_pauses_the_run() {
    let mut world = World::new(ONE, 4);
    world.answer(Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(86_400)) });
    world.commit();
    let report = world.report.unwrap();
    assert_eq!(report.state, PlanState::Waiting);
    assert!(report.resumes_at.is_some());
    assert_eq!(world.ends, [RunEnd::Paused]);
}

#[test]
fn a_redirect_takes_another_grant_and_no_attempt() {
    let mut world = World::new(ONE, 4);
    let hop = Hop::Redirect { url: "http://h/there".to_owned(), count: 1, get: true };
    world.answer(Outcome::Hop(hop.clone()));
    assert_eq!((world.jobs[0].hop.as_ref(), world.jobs[0].attempt), (Some(&hop), 1));
    assert_eq!(world.core.run(SLOT).unwrap().requests, 2);
}

#[test]
fn children_start_while_their_parent_still_has_requests_and_end_after_it() {
    let mut world = World::new(FAMILY, 4);
    assert_eq!(world.jobs.len(), 1);
    let child = |row| Child { spec: SpecIndex(1), row, bindings: entities::Bindings::default() };
    let records = RecordBatch { rows: 2, ..RecordBatch::default() };
    world.answer(Outcome::Landed(Box::new(Landed {
        records,
        received: 2,
        next: Next::End,
        children: vec![child(0), child(1)],
        cursor: None,
        skipped: false,
    })));
    let first = world.last_landing().first_child;
    world.commit();
    assert_eq!(world.loads, [SpecIndex(1)]);
    let task = |id| Task {
        id,
        spec: SpecIndex(1),
        chain: id,
        combination: None,
        bindings: entities::Bindings::default(),
        page: Page::first(),
        cursor: None,
    };
    let tasks = vec![task(first), task(TaskId(first.0 + 1))];
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains: Vec::new() });
    assert_eq!(world.jobs.len(), 2);
    world.answer(page(1, Next::End));
    world.answer(page(1, Next::End));
    for _ in 0..4 {
        world.commit();
    }
    let report = world.report.unwrap();
    assert_eq!((report.state, report.tasks["children"].done), (PlanState::Complete, 2));
}

#[test]
fn pause_sends_nothing_new_and_resume_goes_on() {
    let mut world = World::new(TEN, 64);
    world.tell(Event::Pause { slot: SLOT });
    for _ in 0..4 {
        world.answer(page(1, Next::End));
    }
    assert!(world.jobs.is_empty());
    world.commit();
    assert!(world.report.is_none());
    world.tell(Event::Resume { slot: SLOT });
    assert_eq!(world.jobs.len(), 4);
}

#[test]
fn drain_lands_what_is_in_flight_and_leaves_the_rest() {
    let mut world = World::new(TEN, 64);
    world.tell(Event::Drain { slot: SLOT });
    assert!(world.entries.is_empty());
    for _ in 0..4 {
        world.answer(page(1, Next::End));
    }
    world.commit();
    assert_eq!(world.landings.len(), 4);
    assert_eq!(world.report.unwrap().state, PlanState::Interrupted);
}

#[test]
fn after_cancel_nothing_lands_behind_the_barrier() {
    let mut world = World::new(TEN, 64);
    world.answer(page(1, Next::End));
    world.tell(Event::Cancel { slot: SLOT });
    assert!(world.jobs.is_empty(), "what was in flight is aborted");
    assert!(matches!(world.entries.back(), Some(Entry::EndRun { .. })));
    world.commit();
    assert_eq!(world.landings.len(), 1, "it was handed over before");
    assert_eq!(world.ends, [RunEnd::Interrupted]);
    assert_eq!(world.report.as_ref().unwrap().state, PlanState::Interrupted);
    world.pass(Duration::from_secs(60));
    assert!(world.entries.is_empty());
}

#[test]
fn a_resumed_run_asks_only_for_what_is_missing() {
    let world = World::resumed(TEN, 64, |progress| {
        progress.watermark = 6;
        progress.beyond = vec![7, 8];
        progress.done = 8;
    });
    let asked: Vec<_> = world.jobs.iter().map(|job| job.task.combination.unwrap()).collect();
    assert_eq!(asked, [6, 9]);
}

#[test]
fn a_slow_store_holds_up_new_requests() {
    let many = TEN.replace("to = 10", "to = 9999").replace("concurrency = 4", "concurrency = 9999");
    let mut world = World::new(&many, MOST_LANDINGS);
    for _ in 0..MOST_LANDINGS {
        world.answer(page(1, Next::End));
    }
    let handed = world.entries.len();
    assert!(world.jobs.len() < MOST_LANDINGS, "{handed} entries wait, and still requests went out");
    world.commit();
    assert!(!world.jobs.is_empty());
}

#[test]
fn a_broken_store_ends_its_runs_with_the_reason() {
    let mut world = World::new(TEN, 64);
    world.tell(Event::Broken { store: STORE, why: "cannot write to x.db: disk full".to_owned() });
    let report = world.report.unwrap();
    assert_eq!(report.state, PlanState::Broken);
    assert!(report.reason.unwrap().contains("disk full"));
    assert!(world.jobs.is_empty());
}

#[test]
fn two_specs_of_one_origin_share_one_budget() {
    let plan = r#"
[endpoints.e]
base_url = "http://h"
limits = ["5/s"]
concurrency = 100
[tasks.a]
get = "/a/{{ n }}"
foreach = { n = { from = 1, to = 10 } }
[tasks.b]
get = "/b/{{ n }}"
foreach = { n = { from = 1, to = 10 } }
"#;
    let mut world = World::new(plan, 64);
    let mut sent = world.jobs.len();
    for _ in 0..900 {
        world.pass(Duration::from_millis(1));
        sent = sent.max(world.jobs.len());
    }
    assert_eq!(sent, 5, "five in the first second, of both together");
    let names: std::collections::BTreeSet<_> = world.jobs.iter().map(|job| job.task.spec.0).collect();
    assert_eq!(names.len(), 2, "in turns");
    assert_eq!(world.plan.tasks.len(), 2);
}

#[test]
fn what_becomes_of_a_store_does_not_concern_runs_that_have_ended() {
    let mut world = World::new(ONE, 64);
    world.answer(page(1, Next::End));
    for _ in 0..3 {
        world.commit();
    }
    assert_eq!(world.report.take().unwrap().state, PlanState::Complete);
    // Another plan's run, in another store, gets the lane that is free now.
    let (slot, store) = (PlanSlot(3), StoreSlot(4));
    world.begin(slot, store, TEN);
    assert_eq!(world.core.status(SLOT, world.now).unwrap().tasks[0].known, 1);
    world.tell(Event::Broken { store: STORE, why: "disk full".to_owned() });
    assert!(world.report.is_none(), "the first run has had its report");
    assert_eq!(world.core.run(SLOT).unwrap().state, PlanState::Complete);
    for _ in 0..10 {
        world.answer(page(1, Next::End));
    }
    for _ in 0..3 {
        world.commit_to(store);
    }
    let report = world.report.unwrap();
    assert_eq!((report.state, report.records), (PlanState::Complete, 10));
}

#[test]
fn a_store_that_breaks_before_the_barrier_of_a_cancel_ends_the_run_all_the_same() {
    let mut world = World::new(TEN, 64);
    world.core.on_event(Event::Cancel { slot: SLOT }, world.now);
    world.tell(Event::Broken { store: STORE, why: "disk full".to_owned() });
    assert_eq!(world.report.unwrap().state, PlanState::Broken);
}

#[test]
fn a_task_that_is_due_while_all_workers_are_busy_does_not_keep_the_driver_awake() {
    let mut world = World::new(TEN, 1);
    world.answer(Outcome::Retry { failure: transient(), after: None });
    world.pass(Duration::from_secs(70));
    assert_eq!(world.core.wake(), None, "nothing can go before the worker is free");
    world.answer(page(1, Next::End));
    assert_eq!((world.jobs.len(), world.jobs[0].attempt), (1, 2));
}

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
        cursor: None,
    }
}

#[test]
fn a_long_wait_of_one_endpoint_does_not_pause_a_run_whose_children_are_being_loaded() {
    let mut world = World::new(TWO_HOSTS, 4);
    world.answer(parent_page(Next::Pages(vec![token(2, "b")])));
    let child = world.last_landing().first_child;
    world.answer(Outcome::Wait { failure: limited(), how_long: Some(Duration::from_secs(86_400)) });
    world.commit();
    assert_eq!(world.loads, [SpecIndex(1)]);
    assert!(world.entries.is_empty(), "the other endpoint has work");
    let tasks = vec![child_task(child)];
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains: Vec::new() });
    world.answer(page(1, Next::End));
    world.commit();
    world.commit();
    assert_eq!(world.report.unwrap().state, PlanState::Waiting);
}

#[test]
fn the_guard_against_loops_forgets_a_chain_that_ended_while_it_was_loaded() {
    let mut world = World::new(TWO_HOSTS, 4);
    world.answer(parent_page(Next::Pages(vec![token(2, "b")])));
    let child = world.last_landing().first_child;
    world.commit();
    let tasks = vec![child_task(child)];
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains: Vec::new() });
    // The child's second page is ours and open in the ledger when more children are loaded …
    world.jobs.swap(0, 1);
    world.answer(page(1, Next::Pages(vec![token(2, "x")])));
    let ours = world.last_landing().next[0].clone();
    world.commit();
    world.answer(parent_page(Next::End));
    let other = world.last_landing().first_child;
    world.commit();
    assert_eq!(world.loads.len(), 2);
    // … and has landed by the time they come.
    world.answer(page(1, Next::End));
    let positions = vec![Position::First, Position::Token(json!("x"))];
    let (chains, tasks) = (vec![(child, positions)], vec![ours, child_task(other)]);
    world.tell(Event::Loaded { slot: SLOT, spec: SpecIndex(1), tasks, chains });
    let asked = &world.core.run(SLOT).unwrap().spec_state(SpecIndex(1)).unwrap().asked;
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn an_origin_is_the_same_with_and_without_its_usual_port() {
    let plan = r#"
[endpoints.e]
base_url = "http://h"
limits = ["5/s"]
concurrency = 100
[endpoints.f]
base_url = "http://H:80/v2"
limits = ["5/s"]
concurrency = 100
[tasks.a]
endpoint = "e"
get = "/a/{{ n }}"
foreach = { n = { from = 1, to = 10 } }
[tasks.b]
endpoint = "f"
get = "/b/{{ n }}"
foreach = { n = { from = 1, to = 10 } }
"#;
    let mut world = World::new(plan, 64);
    world.pass(Duration::from_millis(900));
    assert!(world.jobs.len() <= 5, "{} requests of one limit of 5", world.jobs.len());
}
