//! Where the tasks of a lane come from.

use std::sync::Arc;

use entities::{SpecIndex, SpecProgress, TaskId};

use crate::{Expansion, ListName, Rules};

/// Where the tasks of one lane come from.
#[derive(Debug)]
pub struct Feed {
    /// The spec.
    pub spec: SpecIndex,
    /// What it begins from by itself.
    pub roots: Roots,
    /// How far it is.
    pub progress: SpecProgress,
    /// What is evaluated for each head, if anything is.
    pub rules: Option<Arc<dyn Rules>>,
    /// The names that run over lists: they are read before the first head is begun.
    pub lists: Vec<ListName>,
    /// How the combinations are named that its cursors belong to; none for specs without cursor.
    pub cursors: Option<CombinationNames>,
    /// It appends: what an earlier run owes and what this one asks for must not both land.
    pub appends: bool,
    /// Its share of the turns.
    pub weight: u32,
    /// How many strands the slices of a head go on in.
    pub strands: u64,
    /// Slices wait for those before them, of whatever strand and head: what comes first must be asked for first.
    pub in_turn: bool,
    /// The first task of the run. A slice whose head is older is owed by an earlier run, which has
    /// opened the slices behind it.
    pub first_task: TaskId,
}

/// What a spec begins from by itself.
#[derive(Debug)]
pub enum Roots {
    /// Nothing: its tasks are driven by records as they land.
    None,
    /// The combinations of its names.
    Product(Expansion),
    /// The rows that its parent's table holds when the parent has ended. Their numbers are the
    /// combinations' numbers.
    Rows {
        /// Lists of up to this many rows are bound instead of one; the number of the first counts.
        batch: Option<u32>,
    },
}

/// How a combination is named: see [`Landing::combination_of`](entities::Landing::combination_of).
#[derive(Clone, Debug, Default)]
pub struct CombinationNames {
    /// The windows' and the batches' names.
    pub left_out: Vec<String>,
    /// The `foreach` names of other tasks' records, and the keys of those tasks.
    pub parents: Vec<(String, Vec<String>)>,
}
