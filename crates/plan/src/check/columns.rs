//! The columns that a plan names, and those that a condition reads, must survive a `map` that says
//! plainly what it keeps.

use entities::{JqText, Over, Place, TaskSpec};

use crate::check::Whole;
use crate::findings::Findings;
use crate::names::span;
use crate::projection;
use crate::reader::closest;

pub(super) fn check(plan: Whole<'_>, task: &TaskSpec) {
    check_kept(plan.findings, task);
    if let (Some(map), Some(filter)) = (&task.reading.map, &task.reading.filter) {
        let kept = projection::fields(&map.source);
        check_read(
            plan.findings,
            filter,
            kept,
            &format!("`where` is asked after `map` of [tasks.{}]", task.name),
        );
    }
    for records in &task.foreach {
        let Over::Records { task: parent, filter: Some(filter), .. } = &records.over else { continue };
        let Some(Some(parent)) = plan.tasks.get(parent.0 as usize) else { continue };
        let Some(map) = &parent.reading.map else { continue };
        let kept = projection::fields(&map.source).map(|mut kept| {
            kept.extend(parent.reading.fields.iter().map(|(name, _)| name.clone()));
            kept
        });
        check_read(
            plan.findings,
            filter,
            kept,
            &format!("the records of [tasks.{}] are what its `map` makes", parent.name),
        );
    }
}

/// A condition on a field that is not there is never what was meant.
fn check_read(findings: &Findings, filter: &JqText, kept: Option<Vec<String>>, why: &str) {
    let (Some(kept), Some(read)) = (kept, projection::reads(&filter.source)) else { return };
    for at in read {
        let name = &filter.source[at.clone()];
        if kept.iter().any(|field| field == name) {
            continue;
        }
        let help = match closest(name, kept.iter().map(String::as_str)) {
            Some(field) => format!("did you mean `.{field}`? or add `{name}` to the map"),
            None => format!(
                "add `{name}` to that map, or choose before it: records = \".[] | select(.{name} …)\""
            ),
        };
        findings.push(
            findings
                .error(
                    "dropped-column",
                    findings.within(filter.at, &filter.source, Some(at)),
                    format!("{why}, which drops `{name}`"),
                )
                .label("always null")
                .help(help),
        );
    }
}

fn check_kept(findings: &Findings, task: &TaskSpec) {
    let Some(map) = &task.reading.map else { return };
    let Some(mut kept) = projection::fields(&map.source) else { return };
    kept.extend(task.reading.fields.iter().map(|(name, _)| name.clone()));
    // With windows the cursor is their end, whatever the records say.
    let cursor = task.cursor.as_ref().filter(|_| !task.windows_from_cursor());
    let needed = task.key.iter().map(|name| ("the key column", name.as_str()));
    let needed = needed.chain(cursor.map(|cursor| ("the cursor field", cursor.field.as_str())));
    let needed =
        needed.chain(task.types.iter().map(|(name, _)| ("the column that `types` names,", name.as_str())));
    for (what, name) in needed {
        if !name.is_empty() && !kept.iter().any(|field| field == name) {
            dropped(findings, task, map.at, what, name, &kept);
        }
    }
}

fn dropped(findings: &Findings, task: &TaskSpec, map: Place, what: &str, name: &str, kept: &[String]) {
    let help = match closest(name, kept.iter().map(String::as_str)) {
        Some(field) => format!("add `{name}` to the map, or did you mean `{field}`?"),
        None => format!("add `{name}` to the map"),
    };
    findings.push(
        findings
            .error(
                "dropped-column",
                span(map),
                format!("`map` of [tasks.{}] drops {what} `{name}`", task.name),
            )
            .label(format!("no `{name}` here"))
            .help(help),
    );
}
