//! The manager: keeps the lanes of a queue filled, in bounded chunks, from the specs' expansions
//! and from the tasks open in the ledger; takes follow-ups; knows what has been handed out.

use std::collections::{BTreeMap, HashMap, HashSet};

use entities::{Bindings, Landing, Moment, Page, SpecIndex, SpecProgress, Task, TaskId};
use serde_json::Value;

use crate::{Expansion, LaneId, Progress, Queued, TaskQueue};

/// A lane is filled up to this many ready tasks, and again when half of them are gone.
const CHUNK: usize = 128;

/// Where the tasks of one lane come from.
#[derive(Debug)]
pub struct Feed {
    /// The spec.
    pub spec: SpecIndex,
    /// Its combinations; none for a spec whose tasks are children of records.
    pub expansion: Option<Expansion>,
    /// How far it is.
    pub progress: SpecProgress,
    /// The parent's `foreach` name and key, for the names of the cursor's combinations.
    pub parent: Option<(String, Vec<String>)>,
    /// It has a cursor.
    pub incremental: bool,
}

/// Fills the lanes.
#[derive(Debug)]
pub struct TaskManager {
    queue: TaskQueue,
    /// A handful, asked several times for every request: a tree is cheaper than a hash.
    sources: BTreeMap<LaneId, Source>,
    next_task: TaskId,
}

#[derive(Debug)]
struct Source {
    feed: Feed,
    /// The next combination to look at.
    next: u64,
    /// Combinations that are done (their Landing has been handed to the store).
    done: Progress,
    /// Combinations that were done or open in the ledger at the start: not to be expanded again.
    skip: HashSet<u64>,
    cursors: HashMap<String, Value>,
    /// Tasks open in the ledger and not loaded yet.
    unloaded: u64,
    /// Ledger tasks up to this id have been loaded.
    loaded_up_to: TaskId,
    loading: bool,
    /// Follow-ups that are in memory: they are open in the ledger too and must not be loaded again.
    ours: HashSet<TaskId>,
}

impl TaskManager {
    /// A manager that gives out task ids from `first` on.
    pub fn new(first: TaskId) -> Self {
        TaskManager { queue: TaskQueue::default(), sources: BTreeMap::new(), next_task: first }
    }

    /// Opens the lane of a spec.
    pub fn open(&mut self, mut feed: Feed) -> LaneId {
        let lane = self.queue.open_lane();
        let done = Progress::new(feed.progress.watermark, &feed.progress.beyond);
        // Taken: these may be long, and are not needed twice for the length of a run.
        let skip = std::mem::take(&mut feed.progress.beyond).into_iter().collect();
        let cursors = std::mem::take(&mut feed.progress.cursors).into_iter().collect();
        self.sources.insert(
            lane,
            Source {
                next: feed.progress.watermark,
                done,
                skip,
                cursors,
                unloaded: feed.progress.open,
                loaded_up_to: TaskId(0),
                loading: false,
                ours: HashSet::new(),
                feed,
            },
        );
        lane
    }

    /// Closes a lane: its tasks are forgotten here, not in the ledger.
    pub fn close(&mut self, lane: LaneId) {
        self.queue.close_lane(lane);
        self.sources.remove(&lane);
    }

    /// Makes sure that ids are given out from `first` on.
    pub fn reserve_from(&mut self, first: TaskId) {
        self.next_task = self.next_task.max(first);
    }

    /// Sets `count` ids aside and returns the first.
    pub fn set_aside(&mut self, count: usize) -> TaskId {
        let first = self.next_task;
        self.next_task.0 += i64::try_from(count).unwrap_or(i64::MAX);
        first
    }

    /// Takes a task of the next lane in turn whose gate is open (see [`TaskQueue::take`]).
    pub fn take(&mut self, now: Moment, open: impl FnMut(LaneId) -> bool) -> Option<(LaneId, Queued)> {
        let (lane, queued) = self.queue.take(now, open)?;
        if self.queue.ready(lane) < CHUNK / 2 {
            self.expand(lane, now);
        }
        Some((lane, queued))
    }

    /// Fills a lane from its expansion. Cheap when there is nothing to do.
    pub fn expand(&mut self, lane: LaneId, now: Moment) {
        let Some(source) = self.sources.get_mut(&lane) else { return };
        let Some(expansion) = &source.feed.expansion else { return };
        while self.queue.ready(lane) < CHUNK && source.next < expansion.count() {
            let combination = source.next;
            source.next += 1;
            if source.skip.remove(&combination) {
                continue;
            }
            let bindings = expansion.bindings(combination);
            let id = self.next_task;
            self.next_task.0 += 1;
            let task = Task {
                id,
                spec: source.feed.spec,
                chain: id,
                combination: Some(combination),
                cursor: source.cursor(&bindings),
                bindings,
                page: Page::first(),
                slice: None,
            };
            self.queue.push_back(lane, Queued::new(task, now));
        }
    }

    /// What to load from the ledger for a lane: tasks with ids above the first, at most the second
    /// many. None while nothing is open there, a load is under way, or the lane is full.
    pub fn wants_load(&mut self, lane: LaneId) -> Option<(TaskId, usize)> {
        let ready = self.queue.ready(lane);
        let source = self.sources.get_mut(&lane)?;
        if source.unloaded == 0 || source.loading || ready >= CHUNK / 2 {
            return None;
        }
        source.loading = true;
        // Our own follow-ups may be among them, and are passed over.
        Some((source.loaded_up_to, CHUNK + source.ours.len()))
    }

    /// Takes tasks loaded from the ledger, ascending by id. Returns false if the ledger had none
    /// although it should have: the account is wrong, and the run must not look complete.
    #[must_use]
    pub fn loaded(&mut self, lane: LaneId, tasks: Vec<Task>, now: Moment) -> bool {
        let Some(source) = self.sources.get_mut(&lane) else { return true };
        source.loading = false;
        let any = !tasks.is_empty();
        for mut task in tasks {
            source.loaded_up_to = task.id;
            if source.ours.contains(&task.id) {
                continue;
            }
            source.unloaded = source.unloaded.saturating_sub(1);
            task.cursor = source.cursor(&task.bindings);
            self.queue.push_back(lane, Queued::new(task, now));
        }
        any || source.unloaded == 0
    }

    /// Makes the follow-up tasks of `task` and puts them at the front of its lane.
    pub fn follow_up(&mut self, lane: LaneId, task: &Task, pages: Vec<Page>, now: Moment) -> Vec<Task> {
        let tasks: Vec<Task> = pages
            .into_iter()
            .map(|page| {
                let id = self.set_aside(1);
                Task { id, combination: None, page, ..task.clone() }
            })
            .collect();
        if let Some(source) = self.sources.get_mut(&lane) {
            source.ours.extend(tasks.iter().map(|task| task.id));
        }
        for task in tasks.iter().rev() {
            self.queue.push_front(lane, Queued::new(task.clone(), now));
        }
        tasks
    }

    /// Makes a follow-up task that is never sent: it fails as soon as it is opened.
    pub fn stillborn(&mut self, lane: LaneId, task: &Task, page: Page) -> Task {
        let id = self.set_aside(1);
        if let Some(source) = self.sources.get_mut(&lane) {
            source.ours.insert(id);
        }
        Task { id, combination: None, page, ..task.clone() }
    }

    /// Puts a task back: before the others of its lane, now or at `until`.
    pub fn put_back(&mut self, lane: LaneId, queued: Queued, until: Option<Moment>) {
        match until {
            Some(until) => self.queue.delay(lane, queued, until),
            None => self.queue.push_front(lane, queued),
        }
    }

    /// Notes that a task's Landing is handed to the store; returns the watermark to send along.
    pub fn landed(&mut self, lane: LaneId, task: &Task) -> Option<u64> {
        let source = self.sources.get_mut(&lane)?;
        source.done.insert(task.combination?);
        Some(source.done.watermark())
    }

    /// Notes that a task's Landing has committed.
    pub fn committed(&mut self, lane: LaneId, task: TaskId) {
        if let Some(source) = self.sources.get_mut(&lane) {
            source.ours.remove(&task);
        }
    }

    /// Notes that `count` tasks of the lane's spec have been opened in the ledger.
    pub fn opened(&mut self, lane: LaneId, count: u64) {
        if let Some(source) = self.sources.get_mut(&lane) {
            source.unloaded += count;
        }
    }

    /// Whether a task is a follow-up that is in memory, or on its way to the store.
    pub fn is_ours(&self, lane: LaneId, task: TaskId) -> bool {
        self.sources.get(&lane).is_some_and(|source| source.ours.contains(&task))
    }

    /// Whether the ledger has open tasks of the lane that have not been loaded.
    pub fn awaits_ledger(&self, lane: LaneId) -> bool {
        self.sources.get(&lane).is_some_and(|source| source.unloaded > 0)
    }

    /// The name of the combination a task's cursor belongs to, for specs that have one.
    pub fn cursor_of(&self, lane: LaneId, task: &Task) -> Option<String> {
        let source = self.sources.get(&lane)?;
        source.feed.incremental.then(|| source.combination(&task.bindings))
    }

    /// Whether the lane has nothing left: not in memory, not in its expansion, not in the ledger.
    pub fn is_exhausted(&self, lane: LaneId) -> bool {
        let Some(source) = self.sources.get(&lane) else { return true };
        self.queue.len(lane) == 0
            && source.unloaded == 0
            && source.feed.expansion.as_ref().is_none_or(|expansion| source.next >= expansion.count())
    }

    /// Requests of a lane still to be handed out, as far as they are known.
    pub fn remaining(&self, lane: LaneId) -> u64 {
        let Some(source) = self.sources.get(&lane) else { return 0 };
        let unexpanded = source
            .feed
            .expansion
            .as_ref()
            .map_or(0, |expansion| expansion.count().saturating_sub(source.next));
        self.queue.len(lane) as u64 + source.unloaded + unexpanded.saturating_sub(source.skip.len() as u64)
    }

    /// Whether the lane has a task ready.
    pub fn has_ready(&self, lane: LaneId) -> bool {
        self.queue.ready(lane) > 0
    }

    /// When the next delayed task of any lane, or of one, is ready.
    pub fn next_due(&self, lane: Option<LaneId>) -> Option<Moment> {
        match lane {
            Some(lane) => self.queue.next_due_of(lane),
            None => self.queue.next_due(),
        }
    }
}

impl Source {
    fn cursor(&self, bindings: &Bindings) -> Option<Value> {
        if self.cursors.is_empty() {
            return None;
        }
        self.cursors.get(&self.combination(bindings)).cloned()
    }

    fn combination(&self, bindings: &Bindings) -> String {
        let parent = self.feed.parent.as_ref().map(|(name, key)| (name.as_str(), key.as_slice()));
        Landing::combination_of(bindings, parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dimension, Values};

    fn feed(count: i64, watermark: u64, beyond: Vec<u64>, open: u64) -> Feed {
        let values = Values::Range { from: 0, to: count - 1, step: 1 };
        Feed {
            spec: SpecIndex(0),
            expansion: Some(Expansion::new(vec![Dimension { name: "n".to_owned(), values }]).unwrap()),
            progress: SpecProgress {
                spec: SpecIndex(0),
                ended: false,
                watermark,
                beyond,
                open,
                done: 0,
                failed: 0,
                skipped: 0,
                records: 0,
                held_back: Vec::new(),
                cursors: Vec::new(),
            },
            parent: None,
            incremental: false,
        }
    }

    fn all(manager: &mut TaskManager) -> Vec<Option<u64>> {
        std::iter::from_fn(|| manager.take(Moment(0), |_| true)).map(|(_, q)| q.task.combination).collect()
    }

    #[test]
    fn ten_million_combinations_cost_a_chunk() {
        let mut manager = TaskManager::new(TaskId(1));
        let lane = manager.open(feed(10_000_000, 0, vec![], 0));
        manager.expand(lane, Moment(0));
        assert_eq!(manager.queue.len(lane), CHUNK);
        assert_eq!(manager.remaining(lane), 10_000_000);
        for _ in 0..1_000 {
            let (_, queued) = manager.take(Moment(0), |_| true).unwrap();
            manager.landed(lane, &queued.task);
        }
        assert!(manager.queue.len(lane) <= CHUNK);
        assert_eq!(manager.remaining(lane), 10_000_000 - 1_000);
    }

    #[test]
    fn a_resumed_expansion_leaves_out_what_is_done() {
        let mut manager = TaskManager::new(TaskId(50));
        let lane = manager.open(feed(10, 3, vec![4, 7], 0));
        manager.expand(lane, Moment(0));
        assert_eq!(manager.remaining(lane), 5);
        assert_eq!(all(&mut manager), [3, 5, 6, 8, 9].map(Some));
        assert!(manager.is_exhausted(lane));
    }

    #[test]
    fn the_watermark_follows_the_slowest() {
        let mut manager = TaskManager::new(TaskId(1));
        let lane = manager.open(feed(4, 0, vec![], 0));
        manager.expand(lane, Moment(0));
        let tasks: Vec<Task> =
            std::iter::from_fn(|| manager.take(Moment(0), |_| true)).map(|(_, q)| q.task).collect();
        assert_eq!(manager.landed(lane, &tasks[1]), Some(0));
        assert_eq!(manager.landed(lane, &tasks[0]), Some(2));
        assert_eq!(manager.landed(lane, &tasks[3]), Some(2));
        assert_eq!(manager.landed(lane, &tasks[2]), Some(4));
    }

    #[test]
    fn follow_ups_go_first_and_are_not_loaded_again() {
        let mut manager = TaskManager::new(TaskId(1));
        let lane = manager.open(feed(2, 0, vec![], 0));
        manager.expand(lane, Moment(0));
        let (_, first) = manager.take(Moment(0), |_| true).unwrap();
        let next = manager.follow_up(lane, &first.task, vec![Page { number: 2, ..Page::first() }], Moment(0));
        assert_eq!(next[0].chain, first.task.id);
        // A child appears in the ledger beside our own follow-up.
        manager.opened(lane, 1);
        let (after, _) = manager.wants_load(lane).unwrap();
        assert!(manager.wants_load(lane).is_none(), "one load at a time");
        assert_eq!(after, TaskId(0));
        let child = Task { id: TaskId(99), chain: TaskId(99), ..first.task.clone() };
        assert!(manager.loaded(lane, vec![next[0].clone(), child], Moment(0)));
        let got: Vec<i64> =
            std::iter::from_fn(|| manager.take(Moment(0), |_| true)).map(|(_, q)| q.task.id.0).collect();
        assert_eq!(got, [next[0].id.0, 2, 99]);
        assert!(manager.is_exhausted(lane));
    }

    #[test]
    fn a_ledger_that_lacks_what_it_promised_is_noticed() {
        let mut manager = TaskManager::new(TaskId(1));
        let lane = manager.open(feed(0, 0, vec![], 1));
        assert!(manager.wants_load(lane).is_some());
        assert!(!manager.loaded(lane, vec![], Moment(0)));
    }
}
