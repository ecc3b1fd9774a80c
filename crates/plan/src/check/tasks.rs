//! How tasks hang together, and what nothing uses.

use std::collections::VecDeque;

use entities::{Foreach, Place, TaskSpec};

use crate::check::Whole;
use crate::names::span;

/// A task cannot be repeated over its own records, not even through others; and a list of
/// rows is read when all that fill its table have ended, so that none of those may wait for it.
pub(super) fn check_cycles(plan: Whole<'_>) -> bool {
    let findings = plan.findings;
    let mut cyclic = false;
    for (index, task) in plan.tasks.iter().enumerate() {
        let Some(task) = task else { continue };
        let Some(circle) = circle_of(plan, index) else { continue };
        cyclic = true;
        let by_records = circle.iter().all(|step| step.by_records);
        let mut path = vec![task.name.as_str()];
        path.extend(circle.iter().filter_map(|step| Some(plan.tasks.get(step.to)?.as_ref()?.name.as_str())));
        let (message, help) = match (by_records, path.len()) {
            (true, 2) => (
                format!("[tasks.{}] is repeated over its own records", task.name),
                "one task must begin without another's records",
            ),
            (true, _) => (
                format!("tasks are repeated over each other's records: {}", path.join(" <- ")),
                "one task must begin without another's records",
            ),
            (false, 2) => (
                format!("[tasks.{}] reads all rows of a table that it fills itself", task.name),
                "fill a table of its own: table = \"…\"",
            ),
            (false, _) => (
                format!("tasks wait for each other to fill their tables: {}", path.join(" <- ")),
                "all rows of a table are read when every task that fills it has ended: let one of them fill another table",
            ),
        };
        let at = circle.first().map_or(task.at, |step| step.at);
        findings.push(findings.error("cycle", span(at), message).label("goes in a circle").help(help));
    }
    cyclic
}

/// One task waits for another.
#[derive(Clone, Copy)]
struct Step {
    to: usize,
    /// The `foreach` name because of which it does.
    at: Place,
    /// It runs over the other's records; else over rows of a table that the other fills, too.
    by_records: bool,
}

/// The shortest way from a task back to itself. Each circle is found at its first task only.
fn circle_of(plan: Whole<'_>, first: usize) -> Option<Vec<Step>> {
    // By task: the step that first led to it, and from where.
    let mut came: Vec<Option<(usize, Step)>> = vec![None; plan.tasks.len()];
    let mut next = VecDeque::from([first]);
    while let Some(mut at) = next.pop_front() {
        for step in steps(plan, at).into_iter().filter(|step| step.to >= first) {
            if step.to == first {
                let mut way = vec![step];
                while at != first {
                    let (from, step) = (*came.get(at)?)?;
                    way.push(step);
                    at = from;
                }
                way.reverse();
                return Some(way);
            }
            let way = came.get_mut(step.to)?;
            if way.is_none() {
                *way = Some((at, step));
                next.push_back(step.to);
            }
        }
    }
    None
}

/// Whom a task waits for: first those whose records it is repeated over.
fn steps(plan: Whole<'_>, index: usize) -> Vec<Step> {
    let Some(Some(task)) = plan.tasks.get(index) else { return Vec::new() };
    let to = |foreach: &Foreach| Some((foreach.task()?.0 as usize, foreach.at));
    let records = task.foreach.iter().filter_map(to);
    let mut steps: Vec<Step> = records.map(|(to, at)| Step { to, at, by_records: true }).collect();
    for (of, at) in task.lists().filter_map(to) {
        let Some(Some(of)) = plan.tasks.get(of) else { continue };
        let fills = |other: &Option<TaskSpec>| {
            other.as_ref().is_some_and(|other| other.table.eq_ignore_ascii_case(&of.table))
        };
        let others = plan.tasks.iter().enumerate().filter(|(_, other)| fills(other));
        steps.extend(others.map(|(to, _)| Step { to, at, by_records: false }));
    }
    steps
}

pub(super) fn check_unused_endpoints(plan: Whole<'_>) {
    let (findings, endpoints) = (plan.findings, plan.endpoints);
    if findings.has_errors() || endpoints.len() < 2 {
        return;
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let Some(endpoint) = endpoint else { continue };
        if !plan.found().any(|task| task.endpoint.0 as usize == index) {
            findings.push(
                findings
                    .error("unused", span(endpoint.at), format!("endpoint `{}` is never used", endpoint.name))
                    .warning()
                    .label("never used")
                    .help(format!("remove it, or write endpoint = \"{}\" in a task", endpoint.name)),
            );
        }
    }
}
