//! `partition`: the folders in which a file store keeps the records of a task.

use entities::{Foreach, Mode, Over, StoreTarget, TaskSpec, ValueTemplate, Which};

use crate::check::Whole;
use crate::diagnostic::Diagnostic;
use crate::reader::suggest_or_list;

pub(super) fn check(plan: Whole<'_>, task: &TaskSpec) {
    let Some(partition) = &task.partition else { return };
    let name = task.foreach.iter().find(|foreach| foreach.name == *partition);
    if let Some(error) = wrong_name(plan, task, partition, name)
        .or_else(|| wrong_table(plan, task))
        .or_else(|| no_files(plan, task))
    {
        plan.findings.push(error);
    }
}

/// It must be a name whose values can be the name of a folder.
fn wrong_name(
    plan: Whole<'_>,
    task: &TaskSpec,
    partition: &str,
    name: Option<&Foreach>,
) -> Option<Diagnostic> {
    let error =
        |message: String| plan.findings.error("bad-partition", plan.value(task, "partition"), message);
    let Some(name) = name else {
        let names = task.foreach.iter().map(|foreach| foreach.name.as_str());
        let help = match task.foreach.is_empty() {
            true => "add foreach = { day = { every = \"1 day\", from = …, to = … } }, or remove `partition`"
                .to_owned(),
            false => suggest_or_list(partition, names, "`foreach` names"),
        };
        let message = format!("[tasks.{}] is not repeated over a `{partition}`", task.name);
        return Some(error(message).label("not a `foreach` name of the task").help(help));
    };
    let what = match &name.over {
        Over::Records { .. } => "runs over records",
        Over::Rows { .. } => "runs over rows of a file",
        Over::List(ValueTemplate::List(items)) => {
            let is_plain = |item: &ValueTemplate| match item {
                ValueTemplate::Text(_) => true,
                ValueTemplate::Plain(value) => !value.is_null(),
                ValueTemplate::List(_) | ValueTemplate::Map(_) => false,
            };
            if items.iter().all(is_plain) {
                return None;
            }
            "runs over tables and lists"
        }
        Over::List(_) | Over::Range { .. } | Over::Windows { .. } => return None,
    };
    Some(
        error(format!("`{partition}` of [tasks.{}] {what}, which cannot be the name of a folder", task.name))
            .label("not a plain value")
            .also(name.at, "what it runs over")
            .help(
                "partition by a name that runs over plain values, a range or windows, or remove `partition`",
            ),
    )
}

/// A table that is written as a whole at the end of a run has no folders.
fn wrong_table(plan: Whole<'_>, task: &TaskSpec) -> Option<Diagnostic> {
    let at = plan.key(task, "partition");
    if task.mode != Mode::Append {
        let message = format!(
            "`partition` goes with mode = \"append\", and the mode of [tasks.{}] is \"{}\"",
            task.name,
            task.mode.as_str()
        );
        return Some(
            plan.findings
                .error("partition-of-a-whole", at, message)
                .label("the table is one file, rewritten at the end of a run")
                .help("write mode = \"append\" if records are only ever added, or remove `partition`"),
        );
    }
    let is_own = |other: &TaskSpec| other.table.eq_ignore_ascii_case(&task.table);
    let reads = |foreach: &&Foreach| match foreach.over {
        Over::Records { task, which: Which::All, .. } => {
            plan.tasks.get(task.0 as usize).and_then(Option::as_ref).is_some_and(is_own)
        }
        _ => false,
    };
    let reader = plan.found().find_map(|other| Some((other, other.foreach.iter().find(reads)?)));
    let (reader, name) = reader.filter(|_| is_files(plan))?;
    let message = format!(
        "[tasks.{}] reads all rows of table `{}`, which therefore has no parts",
        reader.name, task.table
    );
    Some(
        plan.findings
            .error("partition-of-a-whole", at, message)
            .label("the table is one file, rewritten at the end of a run")
            .also(name.at, "reads all rows")
            .help("remove `partition`, or `all = true` there"),
    )
}

fn no_files(plan: Whole<'_>, task: &TaskSpec) -> Option<Diagnostic> {
    let store = match plan.store {
        StoreTarget::Sqlite(_) => "SQLite",
        StoreTarget::Postgres(_) => "PostgreSQL",
        StoreTarget::Jsonl(_) | StoreTarget::Parquet(_) => return None,
    };
    Some(
        plan.findings
            .error(
                "unused-partition",
                plan.key(task, "partition"),
                format!("a table of {store} has no folders"),
            )
            .warning()
            .label("has no effect")
            .help("remove `partition`, or keep files: [store] with jsonl = \"out/\" or parquet = \"out/\""),
    )
}

fn is_files(plan: Whole<'_>) -> bool {
    matches!(plan.store, StoreTarget::Jsonl(_) | StoreTarget::Parquet(_))
}
