//! How tasks hang together, and what nothing uses.

use entities::Over;

use crate::check::Whole;
use crate::names::span;

/// A task cannot be repeated over its own records, not even through others.
pub(super) fn check_cycles(plan: Whole<'_>) -> bool {
    let (findings, tasks) = (plan.findings, plan.tasks);
    let mut cyclic = false;
    for (index, task) in tasks.iter().enumerate() {
        let Some(task) = task else { continue };
        let mut path = vec![task.name.as_str()];
        let mut at = task;
        let mut members = vec![index];
        while let Some(parent) = at.parent() {
            let parent = parent.0 as usize;
            let Some(Some(next)) = tasks.get(parent) else { break };
            path.push(&next.name);
            if parent == index {
                cyclic = true;
                // Each circle is reported once, at its first task.
                if members.iter().min() == Some(&index) {
                    let foreach =
                        task.foreach.iter().find(|foreach| matches!(foreach.over, Over::Records { .. }));
                    let message = if path.len() == 2 {
                        format!("[tasks.{}] is repeated over its own records", task.name)
                    } else {
                        format!("tasks are repeated over each other's records: {}", path.join(" <- "))
                    };
                    findings.push(
                        findings
                            .error(
                                "cycle",
                                foreach.map_or(span(task.at), |foreach| span(foreach.at)),
                                message,
                            )
                            .label("goes in a circle")
                            .help("one task must begin without another's records"),
                    );
                }
                break;
            }
            if members.contains(&parent) {
                break;
            }
            members.push(parent);
            at = next;
        }
    }
    cyclic
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
