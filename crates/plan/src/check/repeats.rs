//! What a task is repeated over: how often, in which zone, and what can be split.

use entities::{OnAction, Over, Step, TaskSpec, ValueTemplate};

use crate::check::Whole;
use crate::findings::Findings;
use crate::names::span;

pub(super) fn check(plan: Whole<'_>, task: &TaskSpec) {
    check_size(plan.findings, task);
    check_zone(plan, task);
    check_split(plan, task);
}

/// Combinations are numbered; their number must fit comfortably.
fn check_size(findings: &Findings, task: &TaskSpec) {
    const MOST: u128 = 1_000_000_000_000_000;
    let mut product: u128 = 1;
    for foreach in &task.foreach {
        let count = match &foreach.over {
            Over::Range { from, to, step } => {
                from.abs_diff(*to) as u128 / u128::from(step.unsigned_abs().max(1)) + 1
            }
            Over::List(ValueTemplate::List(items)) => items.len() as u128,
            Over::Rows { rows, .. } => rows.len().max(1) as u128,
            _ => 1,
        };
        product = product.saturating_mul(count);
        if product > MOST {
            findings.push(
                findings
                    .error(
                        "too-many",
                        span(foreach.at),
                        format!("`foreach` of [tasks.{}] has more than 10^15 combinations", task.name),
                    )
                    .label("too many")
                    .help("make the range or lists smaller"),
            );
            return;
        }
    }
}

/// A zone says where days begin: without windows there is no day, and 24 hours are not always one.
fn check_zone(plan: Whole<'_>, task: &TaskSpec) {
    let findings = plan.findings;
    let Some(zone) = &task.zone else { return };
    let mut windows = task.foreach.iter().filter_map(|foreach| match &foreach.over {
        Over::Windows { every, .. } => Some((foreach, *every)),
        _ => None,
    });
    let Some(first) = windows.next() else {
        findings.push(
            findings
                .error("unused-zone", plan.key(task, "zone"), format!("[tasks.{}] has a `zone` and no windows that are cut in it", task.name))
                .warning()
                .label("has no effect")
                .help("remove `zone`, or repeat the task over windows: foreach = { day = { every = \"1 day\", from = …, to = … } }"),
        );
        return;
    };
    for (foreach, every) in std::iter::once(first).chain(windows) {
        const DAY: u64 = 86_400;
        if let Step::Fixed(length) = every
            && zone != "UTC"
            && length.as_secs() >= DAY
            && length.as_secs() % DAY == 0
        {
            let days = length.as_secs() / DAY;
            findings.push(
                findings
                    .error(
                        "not-a-day",
                        span(foreach.at),
                        format!(
                            "`{}` steps by {} hours, which are not {days} day(s) where clocks change",
                            foreach.name,
                            days * 24
                        ),
                    )
                    .warning()
                    .label("leaves midnight twice a year")
                    .help(format!("write every = \"{days} day{}\"", if days == 1 { "" } else { "s" })),
            );
        }
    }
}

/// Whether there is a window or a batch to halve.
pub(super) fn can_split(task: &TaskSpec) -> bool {
    task.batch().is_some() || task.foreach.iter().any(|foreach| matches!(foreach.over, Over::Windows { .. }))
}

/// An answer that was cut off can only fail where nothing can be halved.
fn check_split(plan: Whole<'_>, task: &TaskSpec) {
    let findings = plan.findings;
    if can_split(task) {
        return;
    }
    let help = "repeat the task over windows of time, or over batches of records, which can be halved";
    let why = format!("[tasks.{}] has no window and no batch to halve", task.name);
    for rule in task.on.iter().filter(|rule| rule.action == OnAction::Split) {
        findings.push(
            findings
                .error("cannot-split", span(rule.at), format!("{why}: this rule can only fail"))
                .warning()
                .label("nothing to split")
                .help(help),
        );
    }
    if task.reading.cap.is_some() {
        findings.push(
            findings
                .error(
                    "cannot-split",
                    plan.key(task, "cap"),
                    format!("{why}: an answer of `cap` records can only fail"),
                )
                .warning()
                .label("nothing to split")
                .help(help),
        );
    }
}
