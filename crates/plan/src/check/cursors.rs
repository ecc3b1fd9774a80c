//! Cursors: what a run that fetches only what changed may do to a table, and how windows go on.

use entities::{Mode, Over, TaskSpec, TemplateText, Which};
use expr::Template;

use crate::check::Whole;
use crate::findings::Findings;
use crate::names::span;

pub(super) fn check(findings: &Findings, task: &TaskSpec) {
    check_windows(findings, task);
    check_overlap(findings, task);
    check_append(findings, task);
}

/// Windows of a task with a cursor go on where the last run ended.
fn check_windows(findings: &Findings, task: &TaskSpec) {
    let Some(cursor) = &task.cursor else { return };
    let mut windows = task.foreach.iter().filter_map(|foreach| match &foreach.over {
        Over::Windows { from, .. } => Some((foreach, from)),
        _ => None,
    });
    let Some((first, from)) = windows.next() else {
        if cursor.granularity.is_some() {
            findings.push(
                findings
                    .error(
                        "unused-granularity",
                        span(cursor.at),
                        format!(
                            "the cursor of [tasks.{}] has a `granularity` and no windows that need it",
                            task.name
                        ),
                    )
                    .warning()
                    .label("has no effect")
                    .help("remove `granularity`: it is the step between the end of a window and its `last`"),
            );
        }
        return;
    };
    if let Some((second, _)) = windows.next() {
        findings.push(
            findings
                .error(
                    "two-windows",
                    span(second.at),
                    format!("[tasks.{}] has a cursor, and windows over two names", task.name),
                )
                .label(format!("`{}` already goes on from the cursor", first.name))
                .help("keep one of them, or remove the cursor"),
        );
    }
    if !reads_cursor(from) {
        findings.push(
            findings
                .error("windows-without-cursor", span(from.at), format!("[tasks.{}] has a cursor, but its windows do not begin there", task.name))
                .label("every run would begin here again")
                .help("write from = \"{{ cursor }}\" (the cursor's `start` is where the first run begins), or remove the cursor"),
        );
    }
}

/// One that does not compile is reported where templates are checked.
fn reads_cursor(text: &TemplateText) -> bool {
    Template::compile(text).map_or(true, |template| {
        template.names().iter().any(|name| name == "cursor" || name.starts_with("cursor."))
    })
}

/// What lies in two windows arrives twice; only a key makes one row of it.
fn check_overlap(findings: &Findings, task: &TaskSpec) {
    if task.mode.merges() || (task.mode == Mode::Replace && !task.key.is_empty()) {
        return;
    }
    for foreach in &task.foreach {
        if let Over::Windows { overlap, .. } = &foreach.over
            && !overlap.is_zero()
        {
            findings.push(
                findings
                    .error("overlap-without-key", span(foreach.at), format!("windows of `{}` overlap, and mode = \"{}\" of [tasks.{}] would land what lies in two of them twice", foreach.name, task.mode.as_str(), task.name))
                    .label("overlaps")
                    .help(if task.key.is_empty() {
                        "add key = [\"id\"] and use mode = \"merge\", or remove `overlap`"
                    } else {
                        "use mode = \"merge\", or remove `overlap`"
                    }),
            );
        }
    }
}

/// Appending again what was appended doubles it.
fn check_append(findings: &Findings, task: &TaskSpec) {
    if task.mode == Mode::Append
        && let Some(cursor) = &task.cursor
        && cursor.lookback.is_some()
        // A broken cursor has been reported.
        && !cursor.field.is_empty()
    {
        findings.push(
            findings
                .error("lookback-with-append", span(cursor.at), format!("`lookback` asks for records again, and mode = \"append\" of [tasks.{}] would add them again", task.name))
                .label("would double what it looks back at")
                .help("add key = [\"id\"] and use mode = \"merge\", or remove `lookback`"),
        );
    }
}

/// `replace` and `mirror` show a whole copy, which a task that fetches only what changed does not make.
pub(super) fn check_whole_copy(plan: Whole<'_>, task: &TaskSpec) {
    let (does, label, instead) = match task.mode {
        Mode::Replace => (
            "replaces its table",
            "would lose the rows that did not change",
            "add key = [\"id\"] (then the mode is \"merge\"), or mode = \"append\"",
        ),
        Mode::Mirror(_) => (
            "mirrors its source",
            "would remove the rows that did not change",
            "use mode = \"merge\", which keeps what the source deleted",
        ),
        Mode::Append | Mode::Merge => return,
    };
    let mut at = task;
    loop {
        if let Some(cursor) = &at.cursor {
            let (whose, help) = if std::ptr::eq(at, task) {
                ("its own cursor".to_owned(), format!("{instead}, or remove the cursor"))
            } else {
                let records = task.records().map_or("x", |foreach| &foreach.name);
                let parent = plan.parent(task).map_or("", |parent| &parent.name);
                (
                    format!("the cursor of [tasks.{}] in line {}", at.name, cursor.at.line),
                    format!(
                        "{instead}, or ask for every row each time: {records} = {{ task = \"{parent}\", all = true }}"
                    ),
                )
            };
            plan.findings.push(
                plan.findings
                    .error(
                        "replace-with-cursor",
                        span(task.at),
                        format!(
                            "[tasks.{}] {does}, but {whose} lets a run fetch only what changed",
                            task.name
                        ),
                    )
                    .label(label)
                    .help(help),
            );
            return;
        }
        // Every row of the parent's table drives it, however few of them are new.
        if at.which() == Some(Which::All) {
            return;
        }
        let Some(parent) = plan.parent(at) else { return };
        at = parent;
    }
}
