//! A store that tears, for the control of the crash test: rows commit first, and the completion of
//! the task that brought them later. Whoever kills the process in between doubles rows. Only in
//! debug builds, and only when the environment asks for it.

use std::thread::sleep;
use std::time::Duration;

use entities::{
    BeginRequest, Begun, Committed, Entry, Landing, NumberedRow, Position, RunId, Secrets, SpecIndex, Store,
    StoreError, StoreOpener, StoreTarget, Task, TaskId,
};

/// Between the two halves, so that kills hit.
const GAP: Duration = Duration::from_millis(5);
/// Ids of first halves are so far above all others.
const FAR: i64 = 1 << 40;

/// Opens stores that tear.
pub(crate) struct TornStores<O>(pub(crate) O);

struct TornStore {
    whole: Box<dyn Store>,
    /// For the next first half. Never one that an earlier process used: those are below
    /// [`Begun::next_task`].
    next: TaskId,
}

impl<O: StoreOpener> StoreOpener for TornStores<O> {
    fn open(&self, target: &StoreTarget, secrets: &Secrets) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(TornStore { whole: self.0.open(target, secrets)?, next: TaskId(FAR) }))
    }
}

impl TornStore {
    /// Takes the rows out of a landing, as a landing of their own that completes nothing.
    fn tear(&mut self, landing: &mut Landing) -> Option<Entry> {
        let Ok(records) = &mut landing.result else { return None };
        if records.rows == 0 {
            return None;
        }
        let records = std::mem::take(records);
        self.next.0 += 1;
        // No slice: nothing may go on from it.
        let task =
            Task { id: self.next, chain: self.next, combination: None, slice: None, ..landing.task.clone() };
        Some(Entry::Land(Box::new(Landing {
            run: landing.run,
            task,
            attempt: landing.attempt,
            sent: landing.sent,
            answered: landing.answered,
            waited_ms: landing.waited_ms,
            status: landing.status,
            bytes: landing.bytes,
            result: Ok(records),
            skipped: false,
            next: Vec::new(),
            children: Vec::new(),
            first_child: self.next,
            cursor: None,
            cursor_of: None,
            watermark: None,
        })))
    }
}

impl Store for TornStore {
    fn begin(&mut self, request: &BeginRequest<'_>) -> Result<Begun, StoreError> {
        let begun = self.whole.begin(request)?;
        self.next = self.next.max(TaskId(begun.next_task.0 + FAR));
        Ok(begun)
    }

    fn commit(&mut self, mut entries: Vec<Entry>) -> Result<Vec<Committed>, StoreError> {
        let rows = entries.iter_mut().filter_map(|entry| match entry {
            Entry::Land(landing) => self.tear(landing),
            Entry::EndSpec { .. } | Entry::EndRun { .. } => None,
        });
        let rows: Vec<Entry> = rows.collect();
        if !rows.is_empty() {
            self.whole.commit(rows)?;
            sleep(GAP);
        }
        self.whole.commit(entries)
    }

    fn rows(
        &mut self,
        run: RunId,
        spec: SpecIndex,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedRow>, StoreError> {
        self.whole.rows(run, spec, after, limit)
    }

    fn open_tasks(
        &mut self,
        run: RunId,
        spec: SpecIndex,
        after: TaskId,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.whole.open_tasks(run, spec, after, limit)
    }

    fn chain_positions(&mut self, run: RunId, chain: TaskId) -> Result<Vec<Position>, StoreError> {
        self.whole.chain_positions(run, chain)
    }
}
