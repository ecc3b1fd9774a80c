//! The SyncPlan: a validated plan, as data. Text → SyncPlan is the plan crate's work.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    Endpoint, Mode, PlanName, Schedule, SchemaPolicy, SecretSource, SourceText, SpecIndex, StoreTarget,
    TaskSpec,
};

/// `[vars]`, resolved.
pub type Vars = Map<String, Value>;

/// A plan that has passed every check that needs no network.
#[derive(Clone, Debug)]
pub struct SyncPlan {
    /// `[plan].name`
    pub name: PlanName,
    /// `[plan].description`
    pub description: Option<String>,
    /// The text it was read from.
    pub source: Arc<SourceText>,
    /// `[vars]` with `--set` and the environment applied.
    pub vars: Vars,
    /// `[secrets]`, not yet resolved.
    pub secrets: BTreeMap<String, SecretSource>,
    /// `[store]`
    pub store: StoreTarget,
    /// `[schedule]`, for servers.
    pub schedule: Option<Schedule>,
    /// `[endpoints.*]` in the plan's order.
    pub endpoints: Vec<Endpoint>,
    /// `[tasks.*]` in the plan's order.
    pub tasks: Vec<TaskSpec>,
}

impl SyncPlan {
    /// The spec at `index`. Panics on an index of another plan: indices come from this plan only.
    pub fn spec(&self, index: SpecIndex) -> &TaskSpec {
        &self.tasks[index.0 as usize]
    }

    /// The endpoint that a spec's requests go to.
    pub fn endpoint_of(&self, index: SpecIndex) -> &Endpoint {
        &self.endpoints[self.spec(index).endpoint.0 as usize]
    }

    /// Every spec's index, in the plan's order.
    pub fn spec_indices(&self) -> impl Iterator<Item = SpecIndex> + use<> {
        (0..u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)).map(SpecIndex)
    }

    /// The index of the task spec called `name`.
    pub fn spec_named(&self, name: &str) -> Option<SpecIndex> {
        self.spec_indices().find(|index| self.spec(*index).name == name)
    }

    /// The specs whose heads are the records of `parent`.
    pub fn children_of(&self, parent: SpecIndex) -> Vec<SpecIndex> {
        self.spec_indices().filter(|index| self.spec(*index).parent() == Some(parent)).collect()
    }

    /// The specs that fill the tables whose rows are lists of `index`: those must have ended before the lists
    /// are read.
    pub fn fillers_of_lists(&self, index: SpecIndex) -> Vec<SpecIndex> {
        let tables: Vec<&str> =
            self.spec(index).list_places().map(|(_, task)| self.spec(task).table.as_str()).collect();
        let fills = |other: &SpecIndex| {
            let table = &self.spec(*other).table;
            *other != index && tables.iter().any(|of| of.eq_ignore_ascii_case(table))
        };
        self.spec_indices().filter(fills).collect()
    }

    /// Whether the records of a spec may land as the bytes that came ([`RecordBatch::lines`](crate::RecordBatch)):
    /// the store keeps lines of JSON, and nothing in the plan changes, compares or reads the records' fields.
    pub fn takes_lines(&self, index: SpecIndex) -> bool {
        let spec = self.spec(index);
        let reading = &spec.reading;
        matches!(self.store, StoreTarget::Jsonl(_))
            && spec.mode == Mode::Append
            && spec.key.is_empty()
            && spec.cursor.is_none()
            && spec.types.is_empty()
            && spec.schema == SchemaPolicy::Evolve
            && reading.columns.is_none()
            && reading.map.is_none()
            && reading.filter.is_none()
            && reading.fields.is_empty()
            && self.repeated_over(index).is_empty()
    }

    /// The specs that are repeated over the records of `parent`: over those as heads, or over a list of all rows
    /// of a table that it fills, if need be with others.
    pub fn repeated_over(&self, parent: SpecIndex) -> Vec<SpecIndex> {
        let reads = |index: &SpecIndex| {
            self.spec(*index).parent() == Some(parent) || self.fillers_of_lists(*index).contains(&parent)
        };
        self.spec_indices().filter(reads).collect()
    }
}
