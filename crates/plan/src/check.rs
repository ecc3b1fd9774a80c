//! What only shows when the parts of a plan are looked at together.

use std::ops::Range;

use entities::{Auth, Endpoint, StoreTarget, TaskSpec};

use crate::findings::Findings;
use crate::item::Item;
use crate::names::span;

mod columns;
mod cursors;
mod limits;
mod paging;
mod partition;
mod repeats;
mod requests;
mod rules;
mod tables;
mod tasks;

/// The parts of a plan, as far as they could be read.
#[derive(Clone, Copy)]
pub(crate) struct Whole<'a> {
    pub(crate) findings: &'a Findings,
    pub(crate) store: &'a StoreTarget,
    pub(crate) endpoints: &'a [Option<Endpoint>],
    pub(crate) tasks: &'a [Option<TaskSpec>],
    /// The tasks as they were written.
    pub(crate) items: &'a [(&'a str, Item<'a>)],
    /// The endpoints as they were written.
    pub(crate) endpoint_items: &'a [(&'a str, Item<'a>)],
}

impl<'a> Whole<'a> {
    fn found(&self) -> impl Iterator<Item = &'a TaskSpec> + use<'a> {
        self.tasks.iter().flatten()
    }

    /// The endpoint that a task asks.
    pub(crate) fn endpoint(&self, task: &TaskSpec) -> Option<&'a Endpoint> {
        self.endpoints.get(task.endpoint.0 as usize)?.as_ref()
    }

    /// The task over whose records a task is repeated.
    pub(crate) fn parent(&self, task: &TaskSpec) -> Option<&'a TaskSpec> {
        self.tasks.get(task.parent()?.0 as usize)?.as_ref()
    }

    /// Where a task says `key`, else its header.
    fn key(&self, task: &TaskSpec, key: &str) -> Range<usize> {
        self.entry(task, key).map_or_else(|| span(task.at), |(name, _)| name)
    }

    /// Where what a task says under `key` stands, else its header.
    fn value(&self, task: &TaskSpec, key: &str) -> Range<usize> {
        self.entry(task, key).map_or_else(|| span(task.at), |(_, value)| value)
    }

    fn entry(&self, task: &TaskSpec, key: &str) -> Option<(Range<usize>, Range<usize>)> {
        let (_, item) = self.items.iter().find(|(name, _)| *name == task.name)?;
        item.get().as_table()?.get_key_value(key).map(|(name, value)| (name.span(), value.span()))
    }

    /// What a task's requests are sent with.
    fn auth<'t>(&self, task: &'t TaskSpec) -> Option<&'t Auth>
    where
        'a: 't,
    {
        task.auth.as_ref().or(self.endpoint(task).map(|endpoint| &endpoint.auth))
    }
}

/// Checks what concerns several keys, tasks or sections.
pub(crate) fn check(plan: Whole<'_>) {
    for task in plan.found() {
        paging::check(plan.findings, task);
        columns::check(plan, task);
        requests::check(plan, task);
        repeats::check(plan, task);
        cursors::check(plan.findings, task);
        rules::check_task(plan, task);
        partition::check(plan, task);
    }
    rules::check_endpoints(plan);
    limits::check(plan);
    if !tasks::check_cycles(plan) {
        for task in plan.found() {
            cursors::check_whole_copy(plan, task);
        }
    }
    tables::check(plan);
    tasks::check_unused_endpoints(plan);
}
