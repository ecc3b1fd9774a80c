//! The manager: keeps the lanes of a queue filled, in bounded chunks, from the specs' expansions
//! and from the tasks open in the ledger; takes follow-ups; knows what has been handed out.

mod reading;
mod source;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use entities::{Bindings, Failure, Moment, Page, Settled, Slice, Task, TaskId};

use crate::slices::edges_of_parts;
use crate::{Feed, LaneId, Queued, TaskQueue};
use source::{Head, Place, Rows, Source};

/// A lane is filled up to this many ready tasks, and again when half of them are gone.
const CHUNK: usize = 128;
/// So many combinations are begun in one go, since those that need no request fill no lane.
const LOOKS: usize = 1024;

/// Fills the lanes.
#[derive(Debug)]
pub struct TaskManager {
    queue: TaskQueue,
    /// A handful, asked several times for every request: a tree is cheaper than a hash.
    sources: BTreeMap<LaneId, Source>,
    next_task: TaskId,
    unsent: Vec<Unsent>,
}

/// A task that ends without a request.
#[derive(Debug)]
pub struct Unsent {
    /// Its lane.
    pub lane: LaneId,
    /// The task.
    pub task: Task,
    /// Why nothing is sent.
    pub why: Why,
}

/// Why nothing is sent for a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// There is nothing below the head: the product is empty.
    Empty,
    /// What an earlier run owed for its combination failed again, and it would append twice.
    SitsOut,
    /// What it is repeated over cannot be evaluated.
    Failed(Failure),
}

impl TaskManager {
    /// A manager that gives out task ids from `first` on.
    pub fn new(first: TaskId) -> Self {
        TaskManager {
            queue: TaskQueue::default(),
            sources: BTreeMap::new(),
            next_task: first,
            unsent: Vec::new(),
        }
    }

    /// Opens the lane of a spec. Tasks that are open in the ledger now go before all others.
    pub fn open(&mut self, feed: Feed) -> LaneId {
        let lane = self.queue.open_lane(feed.weight);
        self.sources.insert(lane, Source::new(feed, self.next_task));
        lane
    }

    /// What a request of a lane costs, if not 1: the lane gets the fewer turns.
    pub fn set_cost(&mut self, lane: LaneId, cost: u32) {
        self.queue.set_cost(lane, cost);
    }

    /// Closes a lane: its tasks are forgotten here, not in the ledger.
    pub fn close(&mut self, lane: LaneId) {
        self.queue.close_lane(lane);
        self.sources.remove(&lane);
        self.unsent.retain(|unsent| unsent.lane != lane);
    }

    /// Nothing new is begun in the lane; only what has been taken from it may come back. For runs that
    /// send so many requests and no more.
    pub fn seal(&mut self, lane: LaneId) {
        if let Some(source) = self.sources.get_mut(&lane) {
            source.sealed = true;
            self.queue.clear_ready(lane);
        }
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

    /// Takes the tasks that end without a request.
    pub fn take_unsent(&mut self) -> Vec<Unsent> {
        std::mem::take(&mut self.unsent)
    }

    /// Fills a lane from its expansion if it runs low. True if there is more to be looked at.
    pub fn fill(&mut self, lane: LaneId, now: Moment) -> bool {
        self.queue.ready(lane) < CHUNK / 2 && self.expand(lane, now)
    }

    /// Fills a lane from its expansion. True if it has looked at as much as it does in one go and the
    /// lane is not full yet.
    pub fn expand(&mut self, lane: LaneId, now: Moment) -> bool {
        // What an earlier run owes, and what this one had begun, goes first.
        for _ in 0..LOOKS {
            let Some(source) = self.sources.get_mut(&lane) else { return false };
            if source.sealed || source.unloaded > 0 || self.queue.ready(lane) >= CHUNK {
                return false;
            }
            let Some((combination, bindings)) = source.next_combination() else { return false };
            self.next_task.0 += 1;
            let task = source.root(TaskId(self.next_task.0 - 1), combination, bindings);
            let head = source.begin(task);
            self.start(lane, head, now);
        }
        true
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
        self.put_first(lane, &tasks, now);
        tasks
    }

    /// Makes the tasks of the slices that the end of `task` opens, and puts them at the front of its
    /// lane (at its end, where they go in turn). None for all but the first pages of slices.
    pub fn next_slices(&mut self, lane: LaneId, task: &Task, now: Moment) -> Result<Vec<Task>, Failure> {
        let Some(source) = self.sources.get_mut(&lane) else { return Ok(Vec::new()) };
        let opened = source.opened_by(task)?;
        let mut tasks = Vec::with_capacity(opened.len());
        for (slice, bindings) in opened {
            let cursor = source.cursor(&bindings);
            let id = self.next_task;
            self.next_task.0 += 1;
            tasks.push(Task {
                id,
                spec: task.spec,
                chain: id,
                combination: None,
                bindings,
                page: Page::first(),
                slice: Some(slice),
                cursor,
            });
        }
        // A slice may be of another combination than its head.
        let mut free = Vec::with_capacity(tasks.len());
        for task in &tasks {
            match source.place(task.clone()) {
                Place::Lane(task) => free.push(task),
                Place::Held => {}
                Place::SitsOut(task) => self.unsent.push(Unsent { lane, task, why: Why::SitsOut }),
            }
        }
        source.ours.extend(tasks.iter().map(|task| task.id));
        if !source.feed.in_turn {
            self.put_first(lane, &free, now);
        } else if !source.sealed {
            free.into_iter().for_each(|task| self.queue.push_back(lane, Queued::new(task, now)));
        }
        Ok(tasks)
    }

    /// Makes the tasks that take the place of one whose answer was cut off, and puts them at the front
    /// of its lane: first pages, each with a chain of its own.
    pub fn split(&mut self, lane: LaneId, task: &Task, parts: Vec<Bindings>, now: Moment) -> Vec<Task> {
        let windows = self.sources.get(&lane).and_then(|source| source.feed.rules.as_ref()?.windows());
        let edges = task.slice.as_ref().map(|whole| edges_of_parts(whole, windows, &task.bindings, &parts));
        let mut tasks = Vec::with_capacity(parts.len());
        for (number, bindings) in parts.into_iter().enumerate() {
            let slice = task.slice.as_ref().map(|whole| {
                let (start, end) =
                    edges.as_ref().and_then(|edges| edges.get(number).cloned()).unwrap_or_default();
                Slice { start, end, half: true, ..whole.clone() }
            });
            let id = self.next_task;
            self.next_task.0 += 1;
            tasks.push(Task {
                id,
                chain: id,
                combination: None,
                bindings,
                page: Page::first(),
                slice,
                ..task.clone()
            });
        }
        self.put_first(lane, &tasks, now);
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

    /// Notes what became of what an earlier run owed for a combination: its own task goes on from where
    /// the cursor is now, or sits this run out.
    pub fn settled(&mut self, lane: LaneId, settled: &Settled, now: Moment) {
        let Some(source) = self.sources.get_mut(&lane) else { return };
        let tasks = source.settled(settled);
        let enough = if source.one_is_enough() { tasks.len().saturating_sub(1) } else { 0 };
        for (at, task) in tasks.into_iter().enumerate() {
            match settled.sits_out {
                true => self.unsent.push(Unsent { lane, task, why: Why::SitsOut }),
                // The last of them has the record as it is now.
                false if at < enough => self.unsent.push(Unsent { lane, task, why: Why::Empty }),
                false => self.queue.push_front(lane, Queued::new(task, now)),
            }
        }
    }

    /// Nothing is left that tasks could be held back for. Where that would append twice they sit the run
    /// out; else they go. True if there were any.
    pub fn release(&mut self, lane: LaneId, now: Moment) -> bool {
        let Some(source) = self.sources.get_mut(&lane) else { return false };
        let tasks = source.release();
        let (any, appends) = (!tasks.is_empty(), source.feed.appends);
        for task in tasks {
            // A child would come to nothing for good: nothing drives it again.
            match appends && task.combination.is_some() {
                true => self.unsent.push(Unsent { lane, task, why: Why::SitsOut }),
                false => self.queue.push_back(lane, Queued::new(task, now)),
            }
        }
        any
    }

    /// Whether a task is a follow-up that is in memory, or on its way to the store.
    pub fn is_ours(&self, lane: LaneId, task: TaskId) -> bool {
        self.sources.get(&lane).is_some_and(|source| source.ours.contains(&task))
    }

    /// Whether the lane is going to have more: from its expansion, from open tasks in the ledger, from
    /// rows of the parent's table.
    pub fn awaits_more(&self, lane: LaneId) -> bool {
        let more = |source: &Source| {
            source.unloaded > 0
                || matches!(source.rows, Rows::Open | Rows::Loading)
                || source.next < source.combinations()
        };
        self.sources.get(&lane).is_some_and(|source| !source.sealed && more(source))
    }

    /// The name of the combination a task's cursor belongs to, for specs that have one.
    pub fn cursor_of(&self, lane: LaneId, task: &Task) -> Option<String> {
        let source = self.sources.get(&lane)?;
        source.feed.cursors.as_ref().map(|_| source.combination(&task.bindings))
    }

    /// Whether the lane has nothing left but what is held back: not in memory, not in its expansion,
    /// not in the ledger.
    pub fn is_exhausted(&self, lane: LaneId) -> bool {
        let Some(source) = self.sources.get(&lane) else { return true };
        self.queue.len(lane) == 0
            && (source.sealed
                || source.unloaded == 0
                    && source.rows == Rows::Finished
                    && source.next >= source.combinations())
            && !self.unsent.iter().any(|unsent| unsent.lane == lane)
    }

    /// Requests of a lane still to be handed out, as far as they are known.
    pub fn remaining(&self, lane: LaneId) -> u64 {
        let Some(source) = self.sources.get(&lane) else { return 0 };
        let queued = self.queue.len(lane) as u64;
        if source.sealed {
            return queued;
        }
        let unexpanded = source.combinations().saturating_sub(source.next);
        let skipped = unexpanded.min(source.skip.len() as u64);
        queued + source.unloaded + source.held() + source.ahead + (unexpanded - skipped)
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

    /// Brings a task at the beginning of a chain to where it belongs.
    fn start(&mut self, lane: LaneId, head: Head, now: Moment) {
        let Some(source) = self.sources.get_mut(&lane) else { return };
        let (task, why) = match head {
            Head::Ready(task) => match source.place(task) {
                Place::Lane(task) => return self.queue.push_back(lane, Queued::new(task, now)),
                Place::Held => return,
                Place::SitsOut(task) => (task, Why::SitsOut),
            },
            // A combination has no row, and needs none: it would come to nothing again.
            Head::Empty(Task { combination: Some(combination), .. }) => {
                return source.done.insert(combination);
            }
            Head::Empty(task) => (task, Why::Empty),
            Head::Failed(task, failure) => (task, Why::Failed(failure)),
        };
        self.unsent.push(Unsent { lane, task, why });
    }

    /// Puts follow-ups at the front of their lane, in their order.
    fn put_first(&mut self, lane: LaneId, tasks: &[Task], now: Moment) {
        let Some(source) = self.sources.get_mut(&lane) else { return };
        source.ours.extend(tasks.iter().map(|task| task.id));
        if source.sealed {
            return;
        }
        for task in tasks.iter().rev() {
            self.queue.push_front(lane, Queued::new(task.clone(), now));
        }
    }
}
