//! Where the tasks of one lane come from, and how far each source is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use entities::{Bindings, Failure, Landing, Page, Settled, Slice, Task, TaskId};
use serde_json::{Map, Value};

use crate::lists::Listing;
use crate::{Feed, Lists, Progress, Roots, Slices};

/// So many heads' slices are kept; those of others are evaluated again when they are needed …
const HEADS: usize = 512;
/// … and so many parts of them in all.
const PARTS: usize = 200_000;

#[derive(Debug)]
pub(super) struct Source {
    pub(super) feed: Feed,
    /// The next combination to look at.
    pub(super) next: u64,
    /// Combinations that are done (their Landing has been handed to the store).
    pub(super) done: Progress,
    /// Combinations that were done or open in the ledger at the start: not to be expanded again.
    pub(super) skip: HashSet<u64>,
    /// The values landed so far.
    cursors: HashMap<String, Value>,
    /// Tasks that wait until what an earlier run owes for their combination is settled.
    held_back: HashMap<String, Vec<Task>>,
    sits_out: HashSet<String>,
    /// Of the tasks that are open in the ledger, those that wait as well.
    waiting: HashSet<TaskId>,
    /// Tasks open in the ledger and not loaded yet.
    pub(super) unloaded: u64,
    /// Ledger tasks up to this id have been loaded.
    pub(super) loaded_up_to: TaskId,
    pub(super) loading: bool,
    /// Tasks with lower ids were open in the ledger when the lane was opened.
    opened_before: TaskId,
    /// Follow-ups that are in memory: they are open in the ledger too and must not be loaded again.
    pub(super) ours: HashSet<TaskId>,
    /// The slices of heads that are under way.
    heads: HashMap<TaskId, Arc<Slices>>,
    parts: usize,
    /// Slices of begun heads that have not been opened, as far as they are known.
    pub(super) ahead: u64,
    pub(super) rows: Rows,
    /// The lists that are to be read before anything is begun; none when all have been.
    pub(super) listings: Vec<Listing>,
    /// The tasks whose rows they are have ended.
    pub(super) lists_are_open: bool,
    lists: Lists,
    /// Rows that wait until a batch is full.
    pub(super) gathered: Option<Gathered>,
    pub(super) sealed: bool,
}

/// How far the rows of the parent's table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// The parent has not ended.
    Awaited,
    /// There may be more to read.
    Open,
    /// They are being read.
    Loading,
    /// All have been read.
    Finished,
}

/// The beginning of a batch of rows.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The number of its first row.
    first: u64,
    /// The name it is bound to, and what has come so far.
    names: Map<String, Value>,
    count: u32,
}

/// What comes of a task at the beginning of a chain.
pub(super) enum Head {
    /// It is to be sent.
    Ready(Task),
    /// There is nothing below it.
    Empty(Task),
    /// What is below it cannot be evaluated.
    Failed(Task, Failure),
}

/// Where a first page goes.
pub(super) enum Place {
    /// Into the lane.
    Lane(Task),
    /// It waits here.
    Held,
    /// It is not sent in this run.
    SitsOut(Task),
}

impl Source {
    pub(super) fn new(mut feed: Feed, opened_before: TaskId) -> Source {
        let progress = &mut feed.progress;
        let done = Progress::new(progress.watermark, &progress.beyond);
        // Taken: these may be long, and are not needed twice for the length of a run.
        let skip = std::mem::take(&mut progress.beyond).into_iter().collect();
        let cursors = std::mem::take(&mut progress.cursors).into_iter().collect();
        let held = std::mem::take(&mut progress.held_back);
        Source {
            next: progress.watermark,
            done,
            skip,
            cursors,
            held_back: held.into_iter().map(|combination| (combination, Vec::new())).collect(),
            sits_out: HashSet::new(),
            waiting: std::mem::take(&mut progress.waiting).into_iter().collect(),
            unloaded: progress.open,
            loaded_up_to: TaskId(0),
            loading: false,
            opened_before,
            ours: HashSet::new(),
            heads: HashMap::new(),
            parts: 0,
            ahead: 0,
            rows: if matches!(feed.roots, Roots::Rows { .. }) { Rows::Awaited } else { Rows::Finished },
            listings: feed.lists.iter().cloned().map(Listing::new).collect(),
            lists_are_open: false,
            lists: Lists::default(),
            gathered: None,
            sealed: false,
            feed,
        }
    }

    /// Combinations in all; 0 where they are not numbered beforehand.
    pub(super) fn combinations(&self) -> u64 {
        match &self.feed.roots {
            Roots::Product(expansion) => expansion.count(),
            Roots::None | Roots::Rows { .. } => 0,
        }
    }

    /// The next combination that has not been begun.
    pub(super) fn next_combination(&mut self) -> Option<(u64, Bindings)> {
        let Roots::Product(expansion) = &self.feed.roots else { return None };
        while self.next < expansion.count() {
            let combination = self.next;
            self.next += 1;
            if !self.skip.remove(&combination) {
                return Some((combination, expansion.bindings(combination)));
            }
        }
        None
    }

    /// Takes a row that drives something. Gives out what is complete with it: the row itself, or its batch,
    /// by the number of the first row. The rows behind the first have no number of their own: they are done
    /// when it is. Batches end where they ended before a resume, since reading goes on behind one or at
    /// the first row of one.
    pub(super) fn gather(&mut self, row: u64, bindings: Bindings) -> Option<(u64, Bindings)> {
        let Roots::Rows { batch: Some(size) } = self.feed.roots else { return Some((row, bindings)) };
        if self.gathered.is_some() {
            self.done.insert(row);
        }
        let gathered =
            self.gathered.get_or_insert_with(|| Gathered { first: row, names: Map::new(), count: 0 });
        gathered.count += 1;
        for (name, record) in &*bindings.0 {
            match gathered.names.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(records) => records.push(record.clone()),
                other => *other = Value::Array(vec![record.clone()]),
            }
        }
        if gathered.count >= size { self.rest() } else { None }
    }

    /// The batch that is not full, when no row follows.
    pub(super) fn rest(&mut self) -> Option<(u64, Bindings)> {
        let Gathered { first, names, .. } = self.gathered.take()?;
        Some((first, Bindings(Arc::new(names))))
    }

    /// Takes the lists, if all have been read.
    pub(super) fn take_lists(&mut self) {
        if self.listings.iter().any(|listing| !listing.is_complete) {
            return;
        }
        for mut listing in std::mem::take(&mut self.listings) {
            let values = listing.values();
            self.lists.insert(listing.of.name, values);
        }
    }

    /// The first task of a combination.
    pub(super) fn root(&self, id: TaskId, combination: u64, bindings: Bindings) -> Task {
        Task {
            id,
            spec: self.feed.spec,
            chain: id,
            combination: Some(combination),
            bindings,
            page: Page::first(),
            slice: None,
            cursor: None,
        }
    }

    /// Makes slice 0 of a head (or leaves a task as it is, in specs without slices), with its cursor.
    pub(super) fn begin(&mut self, mut task: Task) -> Head {
        if let Some(rules) = self.feed.rules.as_ref().filter(|rules| rules.slices_heads()) {
            let slices = match rules.slices(&task.bindings, &self.lists, &|names| self.landed(names).cloned())
            {
                Ok(slices) => slices,
                Err(failure) => return Head::Failed(task, failure),
            };
            let Some(first) = slices.get(0) else { return Head::Empty(task) };
            task.bindings = first.bindings;
            let (start, end) = (first.start, first.end);
            task.slice = Some(Slice {
                head: task.id,
                index: 0,
                stride: self.feed.strands.max(1),
                start,
                end,
                half: false,
            });
            self.ahead = self.ahead.saturating_add(slices.count() - 1);
            if slices.count() > 1 {
                self.remember(task.id, Arc::new(slices));
            }
        }
        task.cursor = self.cursor(&task.bindings);
        Head::Ready(task)
    }

    /// A task from the ledger as it is to go on.
    pub(super) fn loaded(&mut self, mut task: Task) -> Head {
        // It has a row of its own, and is none of this run's combinations.
        task.combination = None;
        let is_first = task.page.number == 1;
        let slices = self.feed.rules.as_ref().is_some_and(|rules| rules.slices_heads());
        if is_first && slices && task.slice.is_none() {
            return self.begin(task);
        }
        // What has a cursor goes on with it; so does what an earlier run owes, also from none.
        let is_child = task.slice.is_none() && task.cursor.is_none();
        let is_slice = task.slice.is_some() && !self.is_owed(&task);
        if is_first && (is_child || is_slice || self.waiting.contains(&task.id)) {
            task.cursor = self.cursor(&task.bindings);
        }
        Head::Ready(task)
    }

    fn is_owed(&self, task: &Task) -> bool {
        task.slice.as_ref().is_some_and(|slice| slice.head < self.feed.first_task)
    }

    /// Decides where a first page goes.
    pub(super) fn place(&mut self, task: Task) -> Place {
        let none = self.held_back.is_empty() && self.sits_out.is_empty();
        // What was open when the lane was opened may be what the others wait for.
        if none || task.id < self.opened_before && !self.waiting.contains(&task.id) {
            return Place::Lane(task);
        }
        let combination = self.combination(&task.bindings);
        if self.sits_out.contains(&combination) {
            return Place::SitsOut(task);
        }
        match self.held_back.get_mut(&combination) {
            Some(held) => {
                held.push(task);
                Place::Held
            }
            None => Place::Lane(task),
        }
    }

    /// How many tasks are held back.
    pub(super) fn held(&self) -> u64 {
        self.held_back.values().map(|held| held.len() as u64).sum()
    }

    /// Takes note of what became of what was owed, and gives out the tasks that waited for it.
    pub(super) fn settled(&mut self, settled: &Settled) -> Vec<Task> {
        if let Some(value) = &settled.cursor {
            self.cursors.insert(settled.combination.clone(), value.clone());
        }
        self.forget_heads();
        if settled.sits_out {
            self.sits_out.insert(settled.combination.clone());
        }
        let mut tasks = self.held_back.remove(&settled.combination).unwrap_or_default();
        for task in &mut tasks {
            task.cursor = self.cursor(&task.bindings);
        }
        tasks
    }

    /// Of tasks that begin at one cursor, whether one gets what the others would: children of a record that
    /// changed in several runs, not several batches.
    pub(super) fn one_is_enough(&self) -> bool {
        self.feed.appends && self.feed.cursors.as_ref().is_some_and(|names| names.left_out.is_empty())
    }

    /// Gives out all tasks that are held back.
    pub(super) fn release(&mut self) -> Vec<Task> {
        self.held_back.drain().flat_map(|(_, tasks)| tasks).collect()
    }

    /// The slices that the first page of a slice opens when it has ended: their numbers and names.
    pub(super) fn opened_by(&mut self, task: &Task) -> Result<Vec<(Slice, Bindings)>, Failure> {
        let Some(slice) = task
            .slice
            .as_ref()
            .filter(|slice| task.page.number == 1 && !slice.half && slice.head >= self.feed.first_task)
        else {
            return Ok(Vec::new());
        };
        let slices = self.slices_of(slice.head, &task.bindings)?;
        let stride = slice.stride.max(1);
        let opened = match slice.index {
            0 => 1..slices.count().min(stride.saturating_add(1)),
            index => {
                let next = index.saturating_add(stride);
                next..slices.count().min(next.saturating_add(1))
            }
        };
        self.ahead = self.ahead.saturating_sub(opened.end.saturating_sub(opened.start));
        if slice.index == 0 && opened.end == slices.count() {
            self.heads.remove(&slice.head);
            self.parts = self.parts.saturating_sub(slices.parts());
        }
        let names = |index| {
            let names = slices.get(index)?;
            let (start, end) = (names.start, names.end);
            Some((Slice { index, start, end, ..slice.clone() }, names.bindings))
        };
        Ok(opened.filter_map(names).collect())
    }

    fn slices_of(&mut self, head: TaskId, bindings: &Bindings) -> Result<Arc<Slices>, Failure> {
        if let Some(slices) = self.heads.get(&head) {
            return Ok(Arc::clone(slices));
        }
        // The same as when the head began: what they are evaluated from is frozen, or in the ledger.
        let Some(rules) = &self.feed.rules else { return Ok(Arc::new(Slices::none())) };
        let slices =
            rules.slices(&rules.head(bindings), &self.lists, &|names| self.landed(names).cloned())?;
        let slices = Arc::new(slices);
        self.remember(head, Arc::clone(&slices));
        Ok(slices)
    }

    fn remember(&mut self, head: TaskId, slices: Arc<Slices>) {
        if self.heads.len() >= HEADS || self.parts + slices.parts() > PARTS {
            self.forget_heads();
        }
        self.parts += slices.parts();
        self.heads.insert(head, slices);
    }

    fn forget_heads(&mut self) {
        self.heads.clear();
        self.parts = 0;
    }

    /// What `{{ cursor }}` stands for in a task with these names.
    pub(super) fn cursor(&self, bindings: &Bindings) -> Option<Value> {
        if self.cursors.is_empty() {
            return None;
        }
        let landed = self.landed(bindings)?;
        Some(match &self.feed.rules {
            Some(rules) => rules.cursor(landed, bindings),
            None => landed.clone(),
        })
    }

    fn landed(&self, bindings: &Bindings) -> Option<&Value> {
        if self.cursors.is_empty() {
            return None;
        }
        self.cursors.get(&self.combination(bindings))
    }

    pub(super) fn combination(&self, bindings: &Bindings) -> String {
        let Some(names) = &self.feed.cursors else { return String::new() };
        Landing::combination_of(bindings, &names.left_out, &names.parents)
    }
}
