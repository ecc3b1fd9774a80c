//! `foreach`: what a task is repeated over.

use entities::{Foreach, Over, SpecIndex, ValueTemplate, Which};
use serde_json::Value;
use toml::de::DeValue;

use crate::item::Item;
use crate::load::Lookup;
use crate::reader::{Section, suggest_or_list};
use crate::vars::check_name;

mod file;
mod windows;

pub(crate) use windows::instant;

/// Names that already stand for something in templates or jq.
const RESERVED: [&str; 26] = [
    "vars",
    "secrets",
    "cursor",
    "now",
    "today",
    "page",
    "record",
    "status",
    "headers",
    "loop",
    "ENV",
    "true",
    "false",
    "none",
    "not",
    "and",
    "or",
    "in",
    "is",
    "if",
    "else",
    "self",
    "range",
    "dict",
    "namespace",
    "duration",
];

/// Reads `foreach`; `tasks` are the names of all tasks of the plan, in order; files come from `lookup`.
pub(crate) fn foreach(item: &Item<'_>, tasks: &[String], lookup: &dyn Lookup) -> Vec<Foreach> {
    let mut names = Vec::new();
    for (name, item) in item.entries("foreach = { symbol = [\"A\", \"B\"] }").unwrap_or_default() {
        check_name("`foreach` name", name, &item);
        if RESERVED.contains(&name) {
            item.findings.push(
                item.findings
                    .error(
                        "reserved-name",
                        item.key_span.clone(),
                        format!("`{name}` already stands for something in templates and jq"),
                    )
                    .label("reserved")
                    .help(format!("call it something else: `{name}_` or `the_{name}`")),
            );
        }
        // A name whose list is wrong is still bound: templates that use it are right.
        let over = over(&item, tasks, lookup).unwrap_or(Over::List(ValueTemplate::Plain(Value::Null)));
        let at = item.findings.place(item.key_span.clone());
        names.push((Foreach { name: name.to_owned(), over, at }, item));
    }
    let is_driven = |name: &Foreach| matches!(name.over, Over::Records { which: Which::Changed, .. });
    let mut driven = names.iter().filter(|(name, _)| is_driven(name));
    let Some((first, _)) = driven.next() else { return names.into_iter().map(|(name, _)| name).collect() };
    for (name, item) in driven {
        item.findings.push(
            item.findings
                .error(
                    "two-parents",
                    item.key_span.clone(),
                    "a task can be driven by the changed records of one other task only",
                )
                .label(format!("`{}` already runs over changed records", first.name))
                .help(format!(
                    "multiply with all rows of the one that changes less: {} = {{ task = …, all = true }}",
                    name.name
                )),
        );
    }
    names.into_iter().map(|(name, _)| name).collect()
}

fn over(item: &Item<'_>, tasks: &[String], lookup: &dyn Lookup) -> Option<Over> {
    match item.get() {
        DeValue::Array(items) => {
            if items.is_empty() {
                item.wrong(
                    "empty",
                    format!("{} is an empty list", item.what),
                    "no request would ever be sent",
                    "list what the task is to be repeated over",
                );
                return None;
            }
            item.value_template().map(Over::List)
        }
        DeValue::String(text) => {
            if !text.contains("{{") {
                item.wrong(
                    "wrong-type",
                    format!("{} must be a list, not a string", item.what),
                    "expected a list",
                    format!(
                        "write [\"{}\"], or a template that yields a list: \"{{{{ vars.list }}}}\"",
                        text.escape_debug()
                    ),
                );
                return None;
            }
            item.template().map(|text| Over::List(ValueTemplate::Text(text)))
        }
        DeValue::Table(table) => {
            let section = Section::new(item.findings, item.what.clone(), item.span(), table);
            if section.has("task") {
                records(section, tasks)
            } else if section.has("every") {
                windows::windows(section)
            } else if section.has("file") {
                file::rows(section, lookup)
            } else if section.has("from") || section.has("to") {
                range(section)
            } else {
                let example =
                    "write { from = 1, to = 9 }, { every = \"1 day\", from = …, to = … } or { task = \"…\" }";
                match table.iter().next() {
                    Some((key, _)) => {
                        let key: &str = key.get_ref();
                        let keys = ["task", "every", "from", "to", "file"];
                        let help = match crate::reader::closest(key, keys.into_iter()) {
                            Some(meant) => format!("did you mean `{meant}`?"),
                            None => example.to_owned(),
                        };
                        item.wrong(
                            "bad-foreach",
                            format!("{} says nothing to repeat over", item.what),
                            "not a kind of foreach",
                            help,
                        );
                    }
                    None => {
                        item.wrong("bad-foreach", format!("{} is empty", item.what), "over what?", example)
                    }
                }
                None
            }
        }
        _ => {
            item.expected(
                "a list, a template or a table",
                Some("write [\"A\", \"B\"], \"{{ vars.list }}\" or { from = 1, to = 9 }".to_owned()),
            );
            None
        }
    }
}

fn range(mut section: Section<'_>) -> Option<Over> {
    let (from, to) = (section.need("from", "1"), section.need("to", "500"));
    let step_item = section.take("step");
    section.finish();
    let step = match &step_item {
        Some(item) => item.integer()?,
        None => 1,
    };
    let (from, to_item) = (from?.integer()?, to?);
    let to = to_item.integer()?;
    if let Some(item) = &step_item
        && step == 0
    {
        item.wrong("zero-step", "a step of 0 never arrives", "must not be 0", "write step = 1");
        return None;
    }
    if (step > 0 && from > to) || (step < 0 && from < to) {
        to_item.wrong(
            "empty-range",
            format!("from {from} to {to} in steps of {step} holds no number"),
            "no request would ever be sent",
            if step == 1 && from > to {
                format!("swap them, or write step = -1 to count down to {to}")
            } else {
                "change the sign of `step`".to_owned()
            },
        );
        return None;
    }
    Some(Over::Range { from, to, step })
}

fn records(mut section: Section<'_>, tasks: &[String]) -> Option<Over> {
    let task = section.take("task")?;
    let filter = section.take("where");
    let (batch, all) = (section.take("batch"), section.take("all"));
    section.finish();
    let batch = batch.and_then(|item| item.integer_in(1, 10_000)).and_then(|size| u32::try_from(size).ok());
    let all = all.as_ref().and_then(Item::boolean).unwrap_or(false);
    let name = task.string()?;
    let Some(index) = tasks.iter().position(|task| task == name) else {
        task.wrong(
            "unknown-task",
            format!("the plan has no task `{name}`"),
            "unknown task",
            suggest_or_list(name, tasks.iter().map(String::as_str), "tasks"),
        );
        return None;
    };
    let index = SpecIndex(u32::try_from(index).ok()?);
    Some(Over::Records {
        task: index,
        filter: filter.and_then(|item| item.jq()),
        // One at a time is the record itself, as without the key.
        batch: batch.filter(|size| *size > 1),
        which: if all { Which::All } else { Which::Changed },
    })
}
