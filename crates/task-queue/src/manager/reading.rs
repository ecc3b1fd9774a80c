//! What is read for the lanes, in chunks: tasks that are open in the ledger, rows of a parent's table, lists.

use entities::{Bindings, Failure, Moment, Task, TaskId};

use super::source::{Head, Rows};
use super::{CHUNK, TaskManager};
use crate::LaneId;

/// So many rows of a parent's table are asked for at once.
const ROWS: usize = 512;

impl TaskManager {
    /// What to load from the ledger for a lane: tasks with ids above the first, at most the second
    /// many. None while nothing is open there, a load is under way, or the lane is full.
    pub fn wants_load(&mut self, lane: LaneId) -> Option<(TaskId, usize)> {
        let ready = self.queue.ready(lane);
        let source = self.sources.get_mut(&lane)?;
        if source.unloaded == 0 || source.loading || source.sealed || ready >= CHUNK / 2 {
            return None;
        }
        if !source.listings.is_empty() {
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
        if source.sealed {
            return true;
        }
        let any = !tasks.is_empty();
        for task in tasks {
            let Some(source) = self.sources.get_mut(&lane) else { return true };
            source.loaded_up_to = task.id;
            if source.ours.contains(&task.id) {
                continue;
            }
            source.unloaded = source.unloaded.saturating_sub(1);
            let head = source.loaded(task);
            self.start(lane, head, now);
        }
        any || self.sources.get(&lane).is_none_or(|source| source.unloaded == 0)
    }

    /// The parent has ended: a lane that is repeated over all rows of its table may read them.
    pub fn open_rows(&mut self, lane: LaneId) {
        if let Some(source) = self.sources.get_mut(&lane)
            && source.rows == Rows::Awaited
        {
            source.rows = Rows::Open;
        }
    }

    /// Which rows of the parent's table to read for a lane: those above the first number, at most the
    /// second many. None while there are none to read, they are being read, or the lane is full.
    pub fn wants_rows(&mut self, lane: LaneId) -> Option<(u64, usize)> {
        let ready = self.queue.ready(lane);
        let source = self.sources.get_mut(&lane)?;
        if source.rows != Rows::Open || source.sealed || source.unloaded > 0 || ready >= CHUNK / 2 {
            return None;
        }
        if !source.listings.is_empty() {
            return None;
        }
        source.rows = Rows::Loading;
        Some((source.next.saturating_sub(1), ROWS))
    }

    /// The tasks whose rows a lane's lists are have ended: they may be read, unless rows are known to be missing.
    pub fn open_lists(&mut self, lane: LaneId, fall_short: Option<Failure>) {
        let Some(source) = self.sources.get_mut(&lane) else { return };
        source.lists_are_open = true;
        if let Some(failure) = fall_short {
            source.listings.iter_mut().for_each(|listing| listing.fall_short(failure.clone()));
            source.take_lists();
        }
    }

    /// Which of a lane's lists to read on, and which rows of it: those above the first number, at most the
    /// second many. None while nothing needs them, there is none to read, or one is being read.
    pub fn wants_list(&mut self, lane: LaneId) -> Option<(usize, u64, usize)> {
        let source = self.sources.get_mut(&lane)?;
        let is_needed = source.unloaded > 0 || source.rows == Rows::Open;
        if !source.lists_are_open || !is_needed || source.sealed {
            return None;
        }
        let at = source.listings.iter().position(|listing| !listing.is_complete)?;
        let listing = &mut source.listings[at];
        if listing.is_loading {
            return None;
        }
        listing.is_loading = true;
        Some((at, listing.after, ROWS))
    }

    /// Takes rows of one of a lane's lists, ascending by their number, and what each binds: nothing if its
    /// `where` leaves it out.
    pub fn list_rows(
        &mut self,
        lane: LaneId,
        list: usize,
        rows: Vec<(u64, Result<Option<Bindings>, Failure>)>,
    ) {
        let Some(source) = self.sources.get_mut(&lane) else { return };
        let Some(listing) = source.listings.get_mut(list) else { return };
        listing.is_loading = false;
        listing.is_complete = rows.len() < ROWS;
        for (row, driven) in rows {
            listing.add(row, driven);
        }
        listing.is_complete |= listing.has_failed();
        source.take_lists();
    }

    /// Takes rows of the parent's table, ascending by their number, and what each binds: nothing if its
    /// `where` leaves it out.
    pub fn rows(&mut self, lane: LaneId, rows: Vec<(u64, Result<Option<Bindings>, Failure>)>, now: Moment) {
        let Some(source) = self.sources.get_mut(&lane) else { return };
        source.rows = if rows.len() < ROWS { Rows::Finished } else { Rows::Open };
        if source.sealed {
            return;
        }
        for (row, driven) in rows {
            let Some(source) = self.sources.get_mut(&lane) else { return };
            // Numbers without a row are done, and so are rows that drive nothing.
            source.done.insert_run(source.next, row);
            source.next = row.saturating_add(1);
            match driven {
                Ok(None) => source.done.insert(row),
                Ok(Some(bindings)) => {
                    if let Some((number, bindings)) = source.gather(row, bindings) {
                        self.start_row(lane, number, Ok(bindings), now);
                    }
                }
                Err(failure) => self.start_row(lane, row, Err(failure), now),
            }
        }
        let Some(source) = self.sources.get_mut(&lane).filter(|source| source.rows == Rows::Finished) else {
            return;
        };
        if let Some((number, bindings)) = source.rest() {
            self.start_row(lane, number, Ok(bindings), now);
        }
    }

    /// Begins what a row, or a batch of them, drives; unless the ledger has it already.
    fn start_row(&mut self, lane: LaneId, number: u64, driven: Result<Bindings, Failure>, now: Moment) {
        let Some(source) = self.sources.get_mut(&lane) else { return };
        if source.skip.remove(&number) {
            return;
        }
        self.next_task.0 += 1;
        let task = source.root(TaskId(self.next_task.0 - 1), number, Bindings::default());
        let head = match driven {
            Ok(bindings) => source.begin(Task { bindings, ..task }),
            Err(failure) => Head::Failed(task, failure),
        };
        self.start(lane, head, now);
    }
}
