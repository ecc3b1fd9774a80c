//! An engine in small, an API that grows, and a process that fails and dies at random: whatever happens,
//! every record lands once, and no cursor is beyond what has not landed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use entities::{
    BeginRequest, Begun, Bindings, Child, CursorValue, Deleted, Entry, Foreach, Landing, Mode, Over, Page,
    Place, Position, ResumeMode, RunEnd, Slice, SpecIndex, SyncPlan, Task, TaskId, Work,
};
use serde_json::{Value, json};

use crate::dice::{Dice, seeds};
use crate::fixture::Fixture;
use crate::kind::Kind;
use crate::plans::{
    batch, batched, begin_request, child_of, failure, landing_of, plan, spec, windowed, with_cursor,
};

const LOG: u32 = 0;
const DAYS: u32 = 1;
const PARENTS: u32 = 2;
const KIDS: u32 = 3;
const GROUPS: u32 = 4;
const MIRROR: u32 = 5;
/// Combinations of the specs that have any.
const LISTS: u64 = 2;
const STRIDE: u64 = 2;
const PAGE: usize = 2;

fn sim_plan() -> SyncPlan {
    let mut kids = child_of(spec("kids", Mode::Append, &[]), PARENTS);
    let list = Over::Range { from: 0, to: 2, step: 1 };
    kids.foreach.push(Foreach { name: "s".to_owned(), over: list, at: Place::default() });
    let groups = batched(child_of(spec("groups", Mode::Append, &[]), PARENTS), 3);
    plan(
        "p",
        vec![
            with_cursor(spec("log", Mode::Append, &[])),
            windowed(spec("days", Mode::Append, &[])),
            spec("parents", Mode::Merge, &["id"]),
            kids,
            groups,
            spec("mirror", Mode::Mirror(Deleted::Remove), &["id"]),
        ],
    )
}

/// What the API has.
#[derive(Default)]
struct Api {
    /// By list: (at, id), ascending by at.
    log: [Vec<(i64, i64)>; 2],
    /// By list: (hour, id).
    days: [Vec<(i64, i64)>; 2],
    /// Hours that are over.
    now: i64,
    /// id → version.
    parents: BTreeMap<i64, i64>,
    mirror: BTreeSet<i64>,
    next_id: i64,
}

impl Api {
    fn grow(&mut self, dice: &mut Dice) {
        let hours = 24 * dice.roll(4) as i64;
        for list in 0..2 {
            for _ in 0..dice.roll(6) {
                self.next_id += 1;
                let last = self.log[list].last().map_or(10, |(at, _)| *at);
                self.log[list].push((last + dice.roll(2) as i64, self.next_id));
            }
            for hour in self.now..self.now + hours {
                if dice.chance(12) {
                    self.next_id += 1;
                    self.days[list].push((hour, self.next_id));
                }
            }
        }
        self.now += hours;
        for _ in 0..dice.roll(5) {
            let id = dice.roll(7) as i64;
            *self.parents.entry(id).or_default() += 1;
        }
        for id in 0..8 {
            if dice.chance(30) && !self.mirror.remove(&id) {
                self.mirror.insert(id);
            }
        }
    }
}

fn instant(hour: i64) -> String {
    format!("2024-{:02}-{:02}T{:02}:00:00Z", 1 + hour / 24 / 28, 1 + hour / 24 % 28, hour % 24)
}

fn hour(instant: &Value) -> i64 {
    let text = instant.as_str().unwrap();
    let part = |at: usize| text[at..at + 2].parse::<i64>().unwrap();
    ((part(5) - 1) * 28 + part(8) - 1) * 24 + part(11)
}

fn with(bindings: &Bindings, name: &str, value: Value) -> Bindings {
    let mut names = (*bindings.0).clone();
    names.insert(name.to_owned(), value);
    Bindings(Arc::new(names))
}

fn window(start: i64, end: i64) -> Value {
    json!({"start": instant(start), "end": instant(end)})
}

fn combination(task: &Task) -> Option<String> {
    [LOG, DAYS]
        .contains(&task.spec.0)
        .then(|| Landing::combination_of(&task.bindings, &["day".to_owned()], &[]))
}

/// One process.
struct Process {
    begun: Begun,
    ready: VecDeque<Task>,
    written: Vec<Landing>,
    waiting: BTreeMap<String, Task>,
    cursors: Vec<BTreeMap<String, Value>>,
    loaded: [TaskId; 6],
    unloaded: [u64; 6],
    failed: [u64; 6],
    ended: [bool; 6],
}

struct World {
    f: Fixture,
    plan: SyncPlan,
    api: Api,
    dice: Dice,
    faults: u64,
}

impl World {
    fn begin(&mut self, request: &BeginRequest<'_>) -> Process {
        let begun = self.f.ask(request).unwrap();
        let mut process = Process {
            ready: VecDeque::new(),
            written: Vec::new(),
            waiting: BTreeMap::new(),
            cursors: vec![BTreeMap::new(); 6],
            loaded: [TaskId(0); 6],
            unloaded: [0; 6],
            failed: [0; 6],
            ended: [true; 6],
            begun,
        };
        for progress in std::mem::take(&mut process.begun.specs) {
            let at = progress.spec.0 as usize;
            process.failed[at] = progress.failed;
            process.ended[at] = progress.ended;
            process.unloaded[at] = progress.open;
            process.cursors[at] = progress.cursors.into_iter().collect();
            if progress.ended || [KIDS, GROUPS].contains(&progress.spec.0) {
                continue;
            }
            for n in (0..LISTS).filter(|n| *n >= progress.watermark && !progress.beyond.contains(n)) {
                let id = self.f.id();
                let bindings = Bindings(Arc::new(json!({"n": n}).as_object().unwrap().clone()));
                let mut task = Task {
                    id,
                    spec: progress.spec,
                    chain: id,
                    combination: Some(n),
                    bindings,
                    page: Page::first(),
                    slice: None,
                    cursor: None,
                };
                if let Some(combination) = combination(&task) {
                    task.cursor = process.cursors[at].get(&combination).cloned();
                    if progress.held_back.contains(&combination) {
                        process.waiting.insert(combination, task);
                        continue;
                    }
                }
                if progress.spec.0 == DAYS {
                    let start = task.cursor.as_ref().map_or(0, hour);
                    if start >= self.api.now {
                        continue;
                    }
                    task = self.day(&task, id, id, 0, start);
                }
                process.ready.push_back(task);
            }
        }
        process
    }

    /// Slice `index` of a head whose windows begin at `start`.
    fn day(&mut self, of: &Task, id: TaskId, head: TaskId, index: u64, start: i64) -> Task {
        let (from, to) = (start + 24 * index as i64, start + 24 * (index as i64 + 1));
        let slice = Slice {
            head,
            index,
            stride: STRIDE,
            start: Some(json!(instant(from))),
            end: Some(json!(instant(to))),
            half: false,
        };
        Task {
            id,
            chain: id,
            bindings: with(&of.bindings, "day", window(from, to)),
            page: Page::first(),
            slice: Some(slice),
            ..of.clone()
        }
    }

    fn load(&mut self, process: &mut Process) {
        for spec in 0..6 {
            if process.unloaded[spec] == 0 {
                continue;
            }
            let after = process.loaded[spec];
            let run = process.begun.run;
            let tasks = self.f.store().open_tasks(run, SpecIndex(spec as u32), after, 2).unwrap();
            for mut task in tasks {
                process.loaded[spec] = task.id;
                let known = process.ready.iter().any(|ready| ready.id == task.id)
                    || process
                        .written
                        .iter()
                        .any(|l| l.task.id == task.id || l.next.iter().any(|n| n.id == task.id));
                if known {
                    continue;
                }
                process.unloaded[spec] = process.unloaded[spec].saturating_sub(1);
                if spec as u32 == KIDS && task.slice.is_none() {
                    task.slice = Some(Slice {
                        head: task.id,
                        index: 0,
                        stride: STRIDE,
                        start: None,
                        end: None,
                        half: false,
                    });
                    task.bindings = with(&task.bindings, "s", json!(0));
                }
                process.ready.push_back(task);
            }
        }
    }

    fn execute(&mut self, process: &mut Process, task: Task) {
        let is_first = task.chain == task.id;
        let mut next = self.slices_behind(process, &task, is_first);
        let failed = self.dice.chance(self.faults);
        let mut children = Vec::new();
        let mut cursor = None;
        let result = if failed {
            Err(failure())
        } else if let Some(halves) = self.split(&task, is_first) {
            next.extend(halves);
            Ok(batch(&json!([])))
        } else {
            let all = self.answer(&task);
            let from = (task.page.number as usize - 1) * PAGE;
            let records: Vec<Value> = all.iter().skip(from).take(PAGE).cloned().collect();
            if all.len() > from + PAGE {
                let page = Page {
                    number: task.page.number + 1,
                    position: Position::Number(i64::from(task.page.number) + 1),
                    ..Page::first()
                };
                next.push(Task { id: self.f.id(), combination: None, page, ..task.clone() });
            }
            if task.spec.0 == LOG {
                cursor =
                    records.iter().map(|r| r["at"].as_i64().unwrap()).max().map(|at| CursorValue(json!(at)));
            }
            if task.spec.0 == PARENTS {
                for (row, record) in records.iter().enumerate() {
                    for child in [KIDS, GROUPS] {
                        let bindings = with(&Bindings::default(), "parent", record.clone());
                        children.push(Child { spec: SpecIndex(child), row: row as u32, bindings });
                    }
                }
            }
            Ok(batch(&Value::Array(records)))
        };
        process.ready.extend(next.iter().cloned());
        let mut landing = landing_of(process.begun.run, task, result);
        landing.cursor_of = combination(&landing.task);
        landing.cursor = cursor;
        landing.next = next;
        landing.first_child = TaskId(self.f.next);
        self.f.next += children.len() as i64;
        landing.children = children;
        process.failed[landing.task.spec.0 as usize] += u64::from(failed);
        process.written.push(landing);
    }

    fn slices_behind(&mut self, process: &Process, task: &Task, is_first: bool) -> Vec<Task> {
        let Some(slice) = task.slice.clone().filter(|slice| is_first && !slice.half) else {
            return Vec::new();
        };
        if slice.head < process.begun.first_task {
            return Vec::new();
        }
        let behind: Vec<u64> =
            if slice.index == 0 { (1..=STRIDE).collect() } else { vec![slice.index + STRIDE] };
        let mut tasks = Vec::new();
        for index in behind {
            let id = self.f.id();
            if task.spec.0 == DAYS {
                let start = hour(slice.start.as_ref().unwrap()) - 24 * slice.index as i64;
                if start + 24 * (index as i64) < self.api.now {
                    tasks.push(Task { combination: None, ..self.day(task, id, slice.head, index, start) });
                }
            } else if index < 3 {
                let slice = Slice { index, ..slice.clone() };
                let bindings = with(&task.bindings, "s", json!(index));
                tasks.push(Task {
                    id,
                    chain: id,
                    bindings,
                    page: Page::first(),
                    slice: Some(slice),
                    ..task.clone()
                });
            }
        }
        tasks
    }

    fn split(&mut self, task: &Task, is_first: bool) -> Option<Vec<Task>> {
        if task.spec.0 != DAYS || !is_first || task.page.number > 1 || !self.dice.chance(30) {
            return None;
        }
        let (start, end) = (hour(&task.bindings.0["day"]["start"]), hour(&task.bindings.0["day"]["end"]));
        let middle = (start + end) / 2;
        let halves = [(start, middle), (middle, end)].into_iter().filter(|(start, end)| start < end);
        let slice = task.slice.as_ref().unwrap();
        let halves: Vec<Task> = halves
            .map(|(start, end)| {
                let id = self.f.id();
                let slice = Slice {
                    start: Some(json!(instant(start))),
                    end: Some(json!(instant(end))),
                    half: true,
                    ..slice.clone()
                };
                let bindings = with(&task.bindings, "day", window(start, end));
                Task { id, chain: id, combination: None, bindings, slice: Some(slice), ..task.clone() }
            })
            .collect();
        (halves.len() == 2).then_some(halves)
    }

    fn answer(&self, task: &Task) -> Vec<Value> {
        let names = &task.bindings.0;
        let n = || names["n"].as_u64().unwrap() as usize;
        match task.spec.0 {
            LOG => {
                let since = task.cursor.as_ref().map_or(0, |cursor| cursor.as_i64().unwrap());
                let found = self.api.log[n()].iter().filter(|(at, _)| *at >= since);
                found.map(|(at, id)| json!({"at": at, "id": id})).collect()
            }
            DAYS => {
                let (start, end) = (hour(&names["day"]["start"]), hour(&names["day"]["end"]));
                let found = self.api.days[n()].iter().filter(|(hour, _)| (start..end).contains(hour));
                found.map(|(hour, id)| json!({"at": instant(*hour), "id": id})).collect()
            }
            PARENTS => {
                let found = self.api.parents.iter().filter(|(id, _)| **id % 2 == n() as i64);
                found.map(|(id, v)| json!({"id": id, "v": v})).collect()
            }
            KIDS => vec![json!({"p": names["parent"]["id"], "v": names["parent"]["v"], "s": names["s"]})],
            GROUPS => {
                let records = names["parent"].as_array().unwrap();
                assert!((1..=3).contains(&records.len()));
                records.iter().map(|parent| json!({"p": parent["id"], "v": parent["v"]})).collect()
            }
            _ => self
                .api
                .mirror
                .iter()
                .filter(|id| **id % 2 == n() as i64)
                .map(|id| json!({"id": id}))
                .collect(),
        }
    }

    /// Commits what has been executed.
    fn commit(&mut self, process: &mut Process) {
        let landings = std::mem::take(&mut process.written);
        for committed in self.f.commit(landings.into_iter().map(|l| Entry::Land(Box::new(l))).collect()) {
            assert_eq!(committed.failed, None);
            for (child, count) in committed.children {
                process.unloaded[child.0 as usize] += count;
            }
            let Some(settled) = committed.settled else { continue };
            let Some(mut task) = process.waiting.remove(&settled.combination) else { continue };
            if !settled.sits_out {
                task.cursor = settled.cursor;
                process.ready.push_back(task);
            }
        }
    }

    /// Ends specs and the run when nothing is left; false if something is.
    fn end(&mut self, process: &mut Process) -> bool {
        for spec in [LOG, DAYS, PARENTS, KIDS, GROUPS, MIRROR] {
            let at = spec as usize;
            if process.ended[at] {
                continue;
            }
            if process.unloaded[at] > 0 || process.ready.iter().any(|task| task.spec.0 == spec) {
                return false;
            }
            let above = if [KIDS, GROUPS].contains(&spec) { process.failed[PARENTS as usize] } else { 0 };
            let committed = self.f.end_spec(process.begun.run, spec, process.failed[at] + above);
            for (child, count) in committed.children {
                process.unloaded[child.0 as usize] += count;
            }
            process.ended[at] = true;
        }
        assert!(
            process.waiting.is_empty() || process.failed[0] > 0,
            "{:?} wait in vain",
            process.waiting.keys()
        );
        let end =
            if process.failed.iter().any(|failed| *failed > 0) { RunEnd::Failed } else { RunEnd::Complete };
        self.f.end(process.begun.run, &[], end);
        true
    }

    /// A run to its end, through deaths. `fresh`: may be undone instead of resumed.
    fn run(&mut self, work: Work, deaths: u64, fresh: u64) {
        let plan = self.plan.clone();
        let mut process = self.begin(&BeginRequest { work, ..begin_request(&plan) });
        loop {
            self.load(&mut process);
            if self.dice.chance(deaths) {
                self.f.open();
                let resume = if work == Work::All && self.dice.chance(fresh) {
                    ResumeMode::Fresh
                } else {
                    ResumeMode::Auto
                };
                process = self.begin(&BeginRequest { work, resume, ..begin_request(&plan) });
                continue;
            }
            if process.ready.is_empty() || self.dice.chance(25) {
                self.commit(&mut process);
                self.check_cursors();
                if process.ready.is_empty() && self.end(&mut process) {
                    return;
                }
                continue;
            }
            let at = self.dice.roll(process.ready.len() as u64) as usize;
            let task = process.ready.remove(at).unwrap();
            self.execute(&mut process, task);
        }
    }

    fn held(&self, table: &str, columns: &str) -> Vec<String> {
        let known = self.f.rows(&format!("SELECT name FROM _sync_columns WHERE target = '{table}'"));
        if known.len() < columns.split(", ").count() {
            return Vec::new();
        }
        let mut rows = self.f.rows(&format!("SELECT {columns} FROM {table}"));
        rows.sort();
        rows
    }

    /// Everything before a cursor has landed.
    fn check_cursors(&self) {
        let log = self.held("log", "at, id");
        let days = self.held("days", "id");
        for list in 0..2 {
            let value = |task: &str| {
                let sql = format!(
                    "SELECT json_extract(value, '$') FROM _sync_cursors
                     WHERE task = '{task}' AND combination = '{{\"n\":{list}}}' AND value IS NOT NULL"
                );
                self.f.rows(&sql).pop()
            };
            if let Some(value) = value("log") {
                let value: i64 = value.parse().unwrap();
                for (at, id) in self.api.log[list].iter().filter(|(at, _)| *at < value) {
                    assert!(
                        log.contains(&format!("{at},{id}")),
                        "log {list} is at {value}, {id} has not landed"
                    );
                }
            }
            if let Some(value) = value("days") {
                let value = hour(&json!(value));
                for (hour, id) in self.api.days[list].iter().filter(|(hour, _)| *hour < value) {
                    assert!(
                        days.contains(&id.to_string()),
                        "days {list} is at {value}, {id} of {hour} has not landed"
                    );
                }
            }
        }
    }

    fn check_end(&self, driven: &BTreeSet<(i64, i64)>) {
        let sorted = |mut rows: Vec<String>| {
            rows.sort();
            rows
        };
        let log = self.api.log.iter().flatten().map(|(at, id)| format!("{at},{id}")).collect();
        assert_eq!(self.held("log", "at, id"), sorted(log), "log");
        let days = self.api.days.iter().flatten().map(|(_, id)| id.to_string()).collect();
        assert_eq!(self.held("days", "id"), sorted(days), "days");
        let kids = driven.iter().flat_map(|(id, v)| (0..3).map(move |s| format!("{id},{v},{s}"))).collect();
        assert_eq!(self.held("kids", "p, v, s"), sorted(kids), "kids");
        let groups = driven.iter().map(|(id, v)| format!("{id},{v}")).collect();
        assert_eq!(self.held("groups", "p, v"), sorted(groups), "groups");
        let mirror = self.api.mirror.iter().map(ToString::to_string).collect();
        assert_eq!(self.held("mirror", "id"), sorted(mirror), "mirror");
        for left in ["_sync_waiting", "_sync_tasks WHERE owed IS NOT NULL OR state = 'open'"] {
            assert_eq!(self.f.rows(&format!("SELECT count(*) FROM {left}")), ["0"], "{left}");
        }
        for list in 0..2 {
            let reached = format!(
                "SELECT value, reached FROM _sync_cursors WHERE task = 'days' AND combination = '{{\"n\":{list}}}'"
            );
            let now = format!("\"{}\"", instant(self.api.now));
            if self.api.now > 0 {
                assert_eq!(self.f.rows(&reached), [format!("{now},{now}")]);
            }
        }
    }
}

pub fn every_record_lands_once(kind: &dyn Kind) {
    for seed in seeds(5) {
        println!("seed {seed}");
        check(kind, seed);
    }
}

fn check(kind: &dyn Kind, seed: u64) {
    let mut world = World {
        f: Fixture::new(kind),
        plan: sim_plan(),
        api: Api::default(),
        dice: Dice::new(seed),
        faults: 0,
    };
    let mut driven = BTreeSet::new();
    let runs = 2 + world.dice.roll(4);
    for run in 0..=runs {
        let last = run == runs;
        if world.dice.chance(70) {
            world.api.grow(&mut world.dice);
        }
        world.faults = if last { 0 } else { world.dice.roll(4) * 12 };
        let deaths = world.dice.roll(3) * 3;
        world.run(Work::All, deaths, 30);
        // What of the parents has landed, and drives.
        for row in world.held("parents", "id, v") {
            let (id, v) = row.split_once(',').unwrap();
            driven.insert((id.parse().unwrap(), v.parse().unwrap()));
        }
        if !last && world.dice.chance(30) && world.f.retry(&world.plan.clone()).is_ok() {
            world.run(Work::Failed, deaths, 0);
            for row in world.held("parents", "id, v") {
                let (id, v) = row.split_once(',').unwrap();
                driven.insert((id.parse().unwrap(), v.parse().unwrap()));
            }
        }
    }
    // Combinations that sat out, and what failed last.
    world.faults = 0;
    world.run(Work::All, 0, 0);
    world.check_end(&driven);
}
