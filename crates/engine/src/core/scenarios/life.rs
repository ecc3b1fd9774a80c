//! A core with a ledger in memory that may be killed at any instant and resumed: what has committed is
//! there, nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use entities::{Bindings, Settled};
use serde_json::{Map, Value};

use super::*;

/// What an API answers.
pub(super) type Api = fn(&Task) -> Outcome;

/// The ledger: what has committed.
#[derive(Default)]
pub(super) struct Ledger {
    open: BTreeMap<(u32, TaskId), Task>,
    /// Combinations that have a row, by spec.
    done: BTreeMap<u32, BTreeSet<u64>>,
    ended: BTreeSet<u32>,
    last_id: i64,
    /// Every request that landed or failed, as `task {names} page`, in the order of their commits.
    pub(super) requests: Vec<String>,
    pub(super) failed: Vec<String>,
    /// Slices that landed: the combination's name, start and end.
    pub(super) edges: Vec<(String, String, String)>,
    pub(super) cursors: Vec<(u32, String, Value)>,
    pub(super) held_back: Vec<String>,
    /// Said with the commit of the last open task.
    pub(super) settles: Option<Settled>,
    /// The rows of the tables that children want all of.
    pub(super) rows: Vec<(u64, Map<String, Value>)>,
    /// Specs that ended with failures of theirs or their ancestors, and how many.
    pub(super) ended_with_failures: Vec<(u32, u64)>,
    pub(super) is_thrown_away: bool,
    /// The most tasks that were ever open.
    pub(super) most_open: usize,
}

pub(super) struct Life {
    pub(super) ledger: Ledger,
    plan: Arc<SyncPlan>,
    api: Api,
    now: Moment,
    seed: u64,
    workers: usize,
    pub(super) first_task: TaskId,
    pub(super) requests_per_task: Option<u64>,
    /// A spec that is none of the run's.
    pub(super) left_out: Option<SpecIndex>,
    /// What was sent, in order, by all processes.
    pub(super) sent: Vec<Task>,
}

/// What dies with a process.
struct Process {
    core: Core,
    jobs: Vec<Job>,
    entries: VecDeque<Entry>,
    report: Option<RunReport>,
}

impl Life {
    pub(super) fn new(tasks: &str, api: Api, now: &str, seed: u64) -> Life {
        let text = format!("[plan]\nname = \"p\"\n{tasks}");
        let plan = plan::load("p.toml", &text, &NoLookup, &[]).map_err(|d| d.render(false)).unwrap().plan;
        let now: jiff::Timestamp = now.parse().unwrap();
        Life {
            ledger: Ledger::default(),
            plan: Arc::new(plan),
            api,
            now: Moment::from_millis(now.as_millisecond()),
            seed: seed | 1,
            workers: 8,
            first_task: TaskId(1),
            requests_per_task: None,
            left_out: None,
            sent: Vec::new(),
        }
    }

    /// Runs until the end, or until it is killed after so many steps. Gives the report, if it ended.
    pub(super) fn run(&mut self, killed_after: usize) -> Option<RunReport> {
        let mut process = self.start();
        for _ in 0..killed_after {
            self.settle(&mut process);
            if process.report.is_some() {
                return process.report;
            }
            self.step(&mut process);
        }
        None
    }

    /// Runs to the end.
    pub(super) fn finish(&mut self) -> RunReport {
        self.run(100_000).unwrap()
    }

    fn start(&mut self) -> Process {
        let ledger = &self.ledger;
        let mut run = started(&self.plan, STORE, self.now, |progress| {
            let spec = progress.spec.0;
            let done = ledger.done.get(&spec).cloned().unwrap_or_default();
            progress.watermark = (0..).find(|number| !done.contains(number)).unwrap();
            progress.beyond = done.range(progress.watermark..).copied().collect();
            progress.open = ledger.open.range((spec, TaskId(0))..(spec + 1, TaskId(0))).count() as u64;
            progress.ended = ledger.ended.contains(&spec);
            progress.cursors = ledger
                .cursors
                .iter()
                .filter(|(of, _, _)| *of == spec)
                .map(|(_, c, v)| (c.clone(), v.clone()))
                .collect();
            progress.held_back = ledger.held_back.clone();
        });
        run.next_task = TaskId(self.ledger.last_id + 1);
        run.requests_per_task = self.requests_per_task;
        run.specs.retain(|spec| Some(spec.feed.spec) != self.left_out);
        for spec in &mut run.specs {
            spec.feed.first_task = self.first_task;
        }
        let mut core = Core::new(usize::MAX);
        core.on_event(Event::Begun { slot: SLOT, run: Box::new(run) }, self.now);
        Process { core, jobs: Vec::new(), entries: VecDeque::new(), report: None }
    }

    /// Lets the core decide until it has nothing more to say, and has no more to look at.
    fn settle(&mut self, process: &mut Process) {
        loop {
            let idle = self.workers - process.jobs.len();
            let actions = process.core.decide(idle, self.now);
            if actions.is_empty() && process.core.wake() != Some(self.now) {
                return;
            }
            for action in actions {
                self.act(process, action);
            }
        }
    }

    fn act(&mut self, process: &mut Process, action: Action) {
        match action {
            Action::Assign { job, .. } => {
                self.sent.push(job.task.clone());
                process.jobs.push(Arc::unwrap_or_clone(job));
            }
            Action::Write { entry, .. } => process.entries.push_back(entry),
            Action::Load { slot, spec, after, limit, .. } => {
                // What was decided before is true before it is read.
                self.commit(process, usize::MAX);
                let from = (spec.0, TaskId(after.0 + 1));
                let open = self.ledger.open.range(from..(spec.0 + 1, TaskId(0)));
                let tasks = open.map(|(_, task)| task.clone()).take(limit).collect();
                process.core.on_event(Event::Loaded { slot, spec, tasks, chains: Vec::new() }, self.now);
            }
            Action::ReadRows { slot, parent, child, foreach, after, limit, .. } => {
                self.commit(process, usize::MAX);
                let is_left_out = self.left_out == Some(parent);
                assert!(
                    is_left_out || self.ledger.ended.contains(&parent.0),
                    "read before its task has ended"
                );
                let name = self.plan.spec(child).foreach[foreach].name.clone();
                let drive = |(number, row): &(u64, Map<String, Value>)| {
                    let bindings = Map::from_iter([(name.clone(), Value::Object(row.clone()))]);
                    let is_driven = row.get("skip").is_none();
                    (*number, Ok(is_driven.then(|| Bindings(Arc::new(bindings)))))
                };
                let above = self.ledger.rows.iter().filter(|(number, _)| *number > after);
                let rows = above.take(limit).map(drive).collect();
                process.core.on_event(Event::Rows { slot, child, foreach, rows }, self.now);
            }
            Action::Ended { report, .. } => process.report = Some(*report),
            Action::Emit(_) | Action::Close { .. } | Action::GiveBack { .. } | Action::Restate { .. } => {}
            Action::Lease { .. } | Action::GiveUp { .. } | Action::Learn { .. } | Action::Abort { .. } => {
                panic!("not in these plans")
            }
        }
    }

    /// A worker answers, or the store commits some of what it was handed.
    fn step(&mut self, process: &mut Process) {
        let choice = self.random();
        let answers = !process.jobs.is_empty() && (process.entries.is_empty() || !choice.is_multiple_of(3));
        if !answers {
            assert!(!process.entries.is_empty(), "nothing is under way, and the run has not ended");
            let some = 1 + usize::try_from(choice).unwrap() % process.entries.len();
            return self.commit(process, some);
        }
        let job = process.jobs.swap_remove(usize::try_from(choice).unwrap() % process.jobs.len());
        let outcome = (self.api)(&job.task);
        let execution = Execution {
            outcome,
            sent: self.now,
            answered: self.now,
            finished: self.now,
            status: Some(200),
            bytes: 10,
            news: None,
        };
        let (job, execution) = (Arc::new(job), Box::new(execution));
        let done = Done { worker: WorkerId(0), job, execution, restarted: None };
        process.core.on_event(Event::Finished(done), self.now);
    }

    fn commit(&mut self, process: &mut Process, most: usize) {
        let count = process.entries.len().min(most);
        let results: Vec<Committed> =
            process.entries.drain(..count).map(|entry| self.ledger.write(&self.plan, entry)).collect();
        if !results.is_empty() {
            process.core.on_event(Event::Committed { store: STORE, results }, self.now);
        }
    }

    /// xorshift
    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }
}

impl Ledger {
    /// Adds a task that is open, as `begin` does with what is owed.
    pub(super) fn owe(&mut self, task: Task) {
        self.last_id = self.last_id.max(task.id.0);
        self.open.insert((task.spec.0, task.id), task);
    }

    fn write(&mut self, plan: &SyncPlan, entry: Entry) -> Committed {
        let mut committed = Committed::default();
        match entry {
            Entry::Land(landing) => self.land(plan, *landing, &mut committed),
            Entry::EndSpec { spec, failed, .. } => {
                if failed > 0 {
                    self.ended_with_failures.push((spec.0, failed));
                }
                let open = self.open.range((spec.0, TaskId(0))..(spec.0 + 1, TaskId(0))).count();
                assert!(open == 0 || self.is_thrown_away, "a spec ended with open tasks");
                self.ended.insert(spec.0);
            }
            Entry::EndRun { .. } => {}
        }
        committed
    }

    fn land(&mut self, plan: &SyncPlan, landing: Landing, committed: &mut Committed) {
        let task = &landing.task;
        let spec = task.spec.0;
        self.last_id = self.last_id.max(task.id.0);
        let was_open = self.open.remove(&(spec, task.id)).is_some();
        match task.combination {
            Some(combination) => {
                assert!(self.done.entry(spec).or_default().insert(combination), "{combination} landed twice");
            }
            None => assert!(was_open, "{task:?} has no row"),
        }
        if let Some(watermark) = landing.watermark {
            self.done.entry(spec).or_default().extend(0..watermark);
        }
        let shown = shown(plan, task);
        match &landing.result {
            Ok(_) if landing.attempt > 0 => self.requests.push(shown),
            Ok(_) => {}
            Err(_) => self.failed.push(shown),
        }
        let is_half =
            |next: &Task| next.id == next.chain && next.slice.as_ref().is_some_and(|slice| slice.half);
        let is_split = landing.next.iter().any(is_half);
        if let Some(slice) = task.slice.as_ref().filter(|_| task.page.number == 1 && !is_split)
            && let (Some(start), Some(end)) = (&slice.start, &slice.end)
        {
            let edge = |value: &Value| value.as_str().unwrap().to_owned();
            let (start, end) = (edge(start), edge(end));
            self.edges.push((landing.cursor_of.clone().unwrap(), start, end));
        }
        for next in landing.next {
            self.last_id = self.last_id.max(next.id.0);
            assert!(self.open.insert((spec, next.id), next).is_none(), "opened twice");
        }
        for (id, child) in (landing.first_child.0..).zip(landing.children) {
            self.last_id = self.last_id.max(id);
            let task = Task {
                id: TaskId(id),
                spec: child.spec,
                chain: TaskId(id),
                combination: None,
                bindings: child.bindings,
                page: Page::first(),
                slice: None,
                cursor: None,
            };
            self.open.insert((child.spec.0, task.id), task);
            committed.children.push((child.spec, 1));
        }
        self.most_open = self.most_open.max(self.open.len());
        if self.open.is_empty() {
            committed.settled = self.settles.take();
        }
    }
}

/// `task name=value … page`: windows as their bounds.
pub(super) fn shown(plan: &SyncPlan, task: &Task) -> String {
    let names = task.bindings.0.iter().map(|(name, value)| match value.get("end") {
        Some(end) => format!("{name}={}..{}", day(&value["start"]), day(end)),
        None => format!("{name}={value}"),
    });
    let names: Vec<String> = names.collect();
    format!("{} {} {}", plan.spec(task.spec).name, names.join(" "), task.page.number)
}

fn day(value: &Value) -> String {
    let text = value.as_str().unwrap();
    text.strip_suffix("T00:00:00Z").unwrap_or(text).to_owned()
}
