//! Tasks that share a table must agree on what happens to it.

use entities::{Deleted, Mode, TaskSpec};

use crate::check::Whole;
use crate::names::span;

pub(super) fn check(plan: Whole<'_>) {
    let tasks: Vec<&TaskSpec> = plan.found().collect();
    for (index, task) in tasks.iter().enumerate() {
        let earlier = tasks[..index].iter().find(|other| other.table.eq_ignore_ascii_case(&task.table));
        if let Some(earlier) = earlier
            && let Some((message, label, help)) = clash(earlier, task)
        {
            plan.findings
                .push(plan.findings.error("table-clash", span(task.at), message).label(label).help(help));
        }
    }
}

/// What two tasks that write one table do not agree on.
fn clash(earlier: &TaskSpec, task: &TaskSpec) -> Option<(String, &'static str, String)> {
    let who = format!("[tasks.{}] and [tasks.{}]", earlier.name, task.name);
    let table = &task.table;
    if earlier.table != *table {
        return Some((
            format!("{who} write tables `{}` and `{table}`, which are the same name in SQL", earlier.table),
            "differs only in case",
            "write both the same, or choose another name".to_owned(),
        ));
    }
    if task.mode != earlier.mode {
        return Some((
            format!("{who} write table `{table}` with mode {} and {}", shown(earlier.mode), shown(task.mode)),
            "another mode",
            "give both the same `mode` and `key`, or this one its own `table`".to_owned(),
        ));
    }
    if task.partition != earlier.partition {
        return Some((
            format!("{who} write table `{table}` into different folders"),
            "another `partition`",
            match &earlier.partition {
                Some(partition) => {
                    format!("write partition = \"{partition}\" in both, or give this one its own `table`")
                }
                None => "write the same `partition` in both, or give this one its own `table`".to_owned(),
            },
        ));
    }
    if task.mode == Mode::Replace {
        return Some((
            format!("{who} both replace table `{table}`"),
            "would replace the other's rows",
            "give this one its own `table`, or both a `key` and mode = \"merge\"".to_owned(),
        ));
    }
    if matches!(task.mode, Mode::Mirror(_)) {
        return Some((
            format!("{who} both mirror into table `{table}`"),
            "would remove the other's rows",
            "give this one its own `table`, or use mode = \"merge\" in both".to_owned(),
        ));
    }
    if task.key != earlier.key {
        return Some((
            format!("{who} write table `{table}` with different keys"),
            "another key",
            format!("use the same key in both: key = {}", serde_json::Value::from(earlier.key.clone())),
        ));
    }
    if let Some((name, _)) = task.types.iter().find(|(name, kind)| {
        earlier.types.iter().any(|(other, was)| other.eq_ignore_ascii_case(name) && was != kind)
    }) {
        return Some((
            format!("{who} give column `{name}` of table `{table}` different types"),
            "another type",
            "write the same `types` in both".to_owned(),
        ));
    }
    (task.schema != earlier.schema).then(|| {
        (
            format!("{who} write table `{table}`, and only one of them lets it change"),
            "another `schema`",
            "write the same `schema` in both".to_owned(),
        )
    })
}

fn shown(mode: Mode) -> String {
    match mode {
        Mode::Mirror(Deleted::Mark) => "\"mirror\" (deleted = \"mark\")".to_owned(),
        other => format!("\"{}\"", other.as_str()),
    }
}
