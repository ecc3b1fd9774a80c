//! `foreach`: what a task is repeated over.

use std::time::Duration;

use entities::{Foreach, Over, SpecIndex, TemplateText, ValueTemplate};
use serde_json::Value;
use toml::de::DeValue;

use crate::item::Item;
use crate::reader::{Section, suggest_or_list};
use crate::units;
use crate::vars::check_name;

/// Names that already stand for something in templates or jq.
const RESERVED: [&str; 11] =
    ["vars", "secrets", "cursor", "now", "today", "page", "record", "status", "headers", "loop", "ENV"];

/// Reads `foreach`; `tasks` are the names of all tasks of the plan, in order.
pub(crate) fn foreach(item: &Item<'_>, tasks: &[String]) -> Vec<Foreach> {
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
        let over = over(&item, tasks).unwrap_or(Over::List(ValueTemplate::Plain(Value::Null)));
        let at = item.findings.place(item.key_span.clone());
        names.push((Foreach { name: name.to_owned(), over, at }, item));
    }
    if names.len() > 1
        && let Some((_, item)) = names.iter().find(|(name, _)| matches!(name.over, Over::Records { .. }))
    {
        let several = names.iter().filter(|(name, _)| matches!(name.over, Over::Records { .. })).count() > 1;
        item.not_built(
            if several {
                "a product of the records of two tasks"
            } else {
                "the product of another task's records and other names"
            },
            Some("keep the `task` name alone in this foreach"),
        );
    }
    names.into_iter().map(|(name, _)| name).collect()
}

fn over(item: &Item<'_>, tasks: &[String]) -> Option<Over> {
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
                windows(section)
            } else if section.has("file") {
                item.not_built("foreach over a file", Some("put the values into [vars] as a list for now"));
                None
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

fn windows(mut section: Section<'_>) -> Option<Over> {
    let every = section.take("every");
    let from = section.need("from", "\"2024-01-01\"");
    let to = section.need("to", "\"{{ now }}\"");
    section.not_built(&[
        ("overlap", "windows meet exactly; make `every` longer if the source is late"),
        ("zone", "windows are cut in UTC for now"),
    ]);
    section.finish();
    let every = every?;
    let text = every.string()?;
    let step = units::step(text);
    match step {
        None => every.wrong(
            "bad-step",
            format!("`{text}` is not a step of time"),
            "expected NUMBER and UNIT",
            units::STEP_EXAMPLES,
        ),
        Some(step) if units::is_zero(step) => {
            every.wrong(
                "zero-step",
                format!("a window of `{text}` has no length"),
                "must be above zero",
                units::STEP_EXAMPLES,
            );
        }
        Some(_) => {}
    }
    let from = bound(&from?);
    let to = bound(&to?);
    Some(Over::Windows {
        every: step.filter(|step| !units::is_zero(*step))?,
        from: from?,
        to: to?,
        overlap: Duration::ZERO,
    })
}

/// One end of the windows: a date, a timestamp, or a template that gives one.
fn bound(item: &Item<'_>) -> Option<TemplateText> {
    let text = item.date_text()?;
    if text.contains("cursor") && text.contains("{{") {
        item.not_built(
            "windows that begin at the cursor",
            Some("use windows from a fixed date, or a `cursor` without windows"),
        );
        return None;
    }
    if !text.contains("{{") && instant(&text).is_none() {
        item.wrong(
            "bad-date",
            format!("`{text}` is not a date or timestamp"),
            "expected a date",
            "write \"2024-01-01\", \"2024-01-01T00:00:00Z\" or a template such as \"{{ now }}\"",
        );
        return None;
    }
    Some(TemplateText { source: text.into(), at: item.findings.place(item.span()) })
}

/// A date (its start in UTC) or a timestamp; a timestamp without an offset is in UTC.
pub(crate) fn instant(text: &str) -> Option<jiff::Timestamp> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at);
    }
    let at = text.parse::<jiff::civil::DateTime>().ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

fn records(mut section: Section<'_>, tasks: &[String]) -> Option<Over> {
    let task = section.take("task")?;
    let filter = section.take("where");
    section.not_built(&[
        ("batch", "remove it: each record drives one request"),
        ("all", "remove it: new and changed records drive their children"),
    ]);
    section.finish();
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
        batch: None,
        which: entities::Which::Changed,
    })
}
