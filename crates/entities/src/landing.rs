//! The Landing: what one executed task amounts to. It commits as a whole.

use serde_json::Value;

use crate::{Bindings, CursorValue, Failure, Moment, Page, RecordBatch, RunId, SpecIndex, Task, TaskId};

/// What a worker read from one good answer.
#[derive(Debug)]
pub struct Landed {
    /// The records, final: after columns, map, where and fields.
    pub records: RecordBatch,
    /// How many records the answer had, before `where`.
    pub received: u64,
    /// How the paging goes on.
    pub next: Next,
    /// Tasks that the records drive.
    pub children: Vec<Child>,
    /// The greatest value of the cursor field among the records.
    pub cursor: Option<CursorValue>,
    /// A rule of `on` made it an empty answer.
    pub skipped: bool,
}

/// How the paging goes on.
#[derive(Debug)]
pub enum Next {
    /// This was the last page of its strand.
    End,
    /// These pages follow.
    Pages(Vec<Page>),
    /// A page should follow but cannot be asked for: the page before lands, and the page itself
    /// is recorded as failed, so that the run is not quietly short.
    Broken(Page, Failure),
    /// The answer was cut off and nothing of it lands: first pages with these bindings take its place.
    Split(Vec<Bindings>),
}

/// A task that a record drives.
#[derive(Debug)]
pub struct Child {
    /// The child's spec.
    pub spec: SpecIndex,
    /// The record's row in the batch.
    pub row: u32,
    /// The child's bindings.
    pub bindings: Bindings,
}

/// An executed task with all that commits together with it.
#[derive(Debug)]
pub struct Landing {
    /// The run it belongs to.
    pub run: RunId,
    /// The executed task.
    pub task: Task,
    /// Which attempt this was, from 1.
    pub attempt: u32,
    /// When the request was sent.
    pub sent: Moment,
    /// When its answer was complete.
    pub answered: Moment,
    /// How long the task had waited for limits and back-off, in milliseconds.
    pub waited_ms: u64,
    /// The answer's status.
    pub status: Option<u16>,
    /// Bytes received, as they came over the wire.
    pub bytes: u64,
    /// Records, or the failure that ended the task.
    pub result: Result<RecordBatch, Failure>,
    /// A rule of `on` made it an empty answer.
    pub skipped: bool,
    /// Follow-up tasks, opened by the same transaction.
    pub next: Vec<Task>,
    /// Children, opened by the same transaction if their record is new or differs (see
    /// [`Store::commit`](crate::Store::commit)); the `i`-th gets id `first_child + i`.
    pub children: Vec<Child>,
    /// The id set aside for the first child.
    pub first_child: TaskId,
    /// The greatest cursor value of the records.
    pub cursor: Option<CursorValue>,
    /// The combination the cursor belongs to, for specs that have one: see
    /// [`Landing::combination_of`].
    pub cursor_of: Option<String>,
    /// Every combination of the spec's expansion below this one is done, counting this Landing and
    /// all that were handed to the store before it.
    pub watermark: Option<u64>,
}

impl Landing {
    /// The name of the combination of `foreach` names that a cursor belongs to: the bindings as
    /// compact JSON without those `left_out` (windows and batches), parent records reduced to their key.
    /// `parents`: the names that run over records, and the key of each.
    pub fn combination_of(
        bindings: &Bindings,
        left_out: &[String],
        parents: &[(String, Vec<String>)],
    ) -> String {
        let mut names = (*bindings.0).clone();
        names.retain(|name, _| !left_out.contains(name));
        for (name, key) in parents.iter().filter(|(_, key)| !key.is_empty()) {
            if let Some(Value::Object(record)) = names.get_mut(name) {
                record.retain(|field, _| key.contains(field));
            }
        }
        Value::Object(names).to_string()
    }
}
