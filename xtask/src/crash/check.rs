//! Looks for what must not be: what is lost, there twice, foreign, of other content, out of order, left over, and a
//! ledger that does not agree with the tables. It knows the records and the ledger, and no kind of store.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::content::Content;
use super::findings::Findings;
use super::site::Kind;
use super::workload::{self, Holds, Number, ON_PAGE, Size, TABLES};

/// How far the runs are that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The n-th run is under way, or killed.
    Under(u64),
    /// So many runs are complete.
    Complete(u64),
}

/// A row that says which record it is.
struct Known<'r> {
    number: Number,
    row: &'r Map<String, Value>,
}

/// Looks at a store.
pub(crate) fn check(content: &Content, kind: Kind, size: Size, stage: Stage) -> Findings {
    let mut found = Findings::default();
    for damage in &content.damage {
        found.disagree(damage.clone());
    }
    let done: BTreeMap<i64, &str> = content
        .requests
        .iter()
        .filter(|request| request.state == "done")
        .map(|request| (request.id, request.task.as_str()))
        .collect();
    for (table, holds) in TABLES {
        let rows = content.tables.get(table).map(Vec::as_slice).unwrap_or_default();
        let known = check_rows(table, holds, rows, size, &done, &mut found);
        check_twice(table, holds, &known, &mut found);
        check_there(table, holds, &known, size, stage, &mut found);
        check_pages(table, holds, &known, stage, &mut found);
        if matches!(holds, Holds::EveryRound | Holds::News) {
            check_order(table, kind, &known, &mut found);
            // The rows of an unfinished file are not to be seen yet.
            if !kind.is_files() || matches!(stage, Stage::Complete(_)) {
                check_requests(table, content, rows, &mut found);
            }
        }
    }
    if let Stage::Complete(rounds) = stage {
        check_ended(content, rounds, size, &mut found);
    }
    found
}

/// Every row is of a record, as the server told it, and of a request that is done.
fn check_rows<'r>(
    table: &str,
    holds: Holds,
    rows: &'r [Map<String, Value>],
    size: Size,
    done: &BTreeMap<i64, &str>,
    found: &mut Findings,
) -> Vec<Known<'r>> {
    let mut known = Vec::new();
    for row in rows {
        let Some(number) = number(row).filter(|number| number.task == table) else {
            found.foreign += 1;
            found.say(format!("{table} has a row that nobody sent: {}", brief(row)));
            continue;
        };
        let record = number.record(size);
        let differs =
            record.iter().find(|(name, value)| !is_same(value, row.get(*name).unwrap_or(&Value::Null)));
        if let Some((name, value)) = differs {
            found.wrong += 1;
            let there = row.get(name).unwrap_or(&Value::Null);
            found.say(format!("{table}: {name} of {} is {there}, not {value}", told(&number)));
        }
        // A table that is replaced keeps the rows of its last run, whatever became of later ones.
        if done.get(&task_of(row)) != Some(&table) && holds != Holds::Replaced {
            found.foreign += 1;
            found.say(format!(
                "{table}: {} is of request {}, which is not done",
                told(&number),
                task_of(row)
            ));
        }
        known.push(Known { number, row });
    }
    known
}

/// No record twice, and in a table with a key no key.
fn check_twice(table: &str, holds: Holds, known: &[Known<'_>], found: &mut Findings) {
    let mut seen = BTreeMap::new();
    for Known { number, .. } in known {
        let identity = match holds {
            Holds::Merged | Holds::Mirrored => format!("n = {}", number.n()),
            Holds::EveryRound | Holds::News | Holds::Replaced => told(number),
        };
        *seen.entry(identity).or_insert(0_u64) += 1;
    }
    for (identity, times) in seen.iter().filter(|(_, times)| **times > 1) {
        found.twice += times - 1;
        found.say(format!("{table} has {identity} {times} times"));
    }
}

/// What earlier runs landed is there; when a run is complete, all of its records, and no other.
fn check_there(
    table: &str,
    holds: Holds,
    known: &[Known<'_>],
    size: Size,
    stage: Stage,
    found: &mut Findings,
) {
    let there: BTreeSet<&Number> = known.iter().map(|known| &known.number).collect();
    let all = |rounds| workload::expected(table, rounds, size);
    let rounds = match stage {
        Stage::Complete(rounds) | Stage::Under(rounds) => rounds,
    };
    let new = all(rounds);
    let is_new = there.len() == new.len() && new.iter().all(|number| there.contains(number));
    if is_new {
        return;
    }
    let old = all(rounds - 1);
    let keys: BTreeSet<u64> = there.iter().map(|number| number.n()).collect();
    let must: Vec<&Number> = match (stage, holds) {
        (Stage::Complete(_), _) => new.iter().collect(),
        // Another version of the same key has taken its place.
        (Stage::Under(_), Holds::Merged | Holds::Mirrored) => {
            old.iter().filter(|number| !keys.contains(&number.n())).collect()
        }
        (Stage::Under(_), Holds::Replaced | Holds::EveryRound | Holds::News) => old.iter().collect(),
    };
    let may = |number: &Number| match (stage, holds) {
        (Stage::Complete(_), _) => new.contains(number),
        (Stage::Under(_), Holds::Replaced) => old.contains(number),
        (Stage::Under(_), Holds::EveryRound | Holds::News) => old.contains(number) || new.contains(number),
        (Stage::Under(_), Holds::Merged | Holds::Mirrored) => old.contains(number) || number.round == rounds,
    };
    let lost: Vec<String> =
        must.iter().filter(|number| !there.contains(**number)).map(|number| told(number)).collect();
    if !lost.is_empty() {
        found.lost += lost.len() as u64;
        found.say(format!("{table} lost {}: {}", lost.len(), lost.join(", ")));
    }
    let foreign: Vec<String> =
        there.iter().filter(|number| !may(number)).map(|number| told(number)).collect();
    if !foreign.is_empty() {
        found.foreign += foreign.len() as u64;
        found.say(format!("{table} has {}, which {stage:?} should not have", foreign.join(", ")));
    }
}

/// Nobody sees half a page.
fn check_pages(table: &str, holds: Holds, known: &[Known<'_>], stage: Stage, found: &mut Findings) {
    let Stage::Under(round) = stage else { return };
    let mut pages: BTreeMap<(&str, u64), BTreeSet<u64>> = BTreeMap::new();
    for Known { number, .. } in known.iter().filter(|known| known.number.round == round) {
        pages.entry((&number.lane, number.page)).or_default().insert(number.index);
    }
    for ((lane, page), there) in pages {
        let whole = workload::records_on_page(table);
        // The last record of a page of `merged` is the first of the next.
        let least = if holds == Holds::Merged { ON_PAGE - 1 } else { whole };
        if (there.len() as u64) < least {
            found.foreign += there.len() as u64;
            found.say(format!("{table} shows {} of {whole} records of page {page} of {lane}", there.len()));
        }
    }
}

/// The pages of a chain landed in their order, and their records, too.
fn check_order(table: &str, kind: Kind, known: &[Known<'_>], found: &mut Findings) {
    let mut last: BTreeMap<(&str, u64), (&Number, i64)> = BTreeMap::new();
    for Known { number, row } in known {
        let task = task_of(row);
        let before = last.insert((&number.lane, number.round), (number, task));
        let Some((before, task_before)) = before else { continue };
        // PostgreSQL keeps no order of rows.
        let in_order = match kind {
            Kind::Postgres => before.page <= number.page,
            _ => (before.page, before.index) <= (number.page, number.index),
        };
        let tasks_agree = task_before.cmp(&task) == before.page.cmp(&number.page);
        if !in_order || !tasks_agree {
            found.disorder += 1;
            let (first, second) = (told(before), told(number));
            found
                .say(format!("{table}: {second} of request {task} follows {first} of request {task_before}"));
        }
    }
}

/// Every request that is done has all the rows that the ledger says it brought.
fn check_requests(table: &str, content: &Content, rows: &[Map<String, Value>], found: &mut Findings) {
    let mut there: BTreeMap<i64, i64> = BTreeMap::new();
    for row in rows {
        *there.entry(task_of(row)).or_default() += 1;
    }
    for request in content.requests.iter().filter(|request| request.task == table && request.state == "done")
    {
        let rows = there.get(&request.id).copied().unwrap_or(0);
        if rows != request.rows {
            found.disagree(format!(
                "request {} of {table} brought {} rows by the ledger, and {rows} are there",
                request.id, request.rows
            ));
        }
    }
}

/// The ledger says that all is done, made as many requests as there are pages, and nothing is left over.
fn check_ended(content: &Content, rounds: u64, size: Size, found: &mut Findings) {
    let complete = content.runs.iter().filter(|state| *state == "complete").count() as u64;
    if complete != rounds || content.runs.len() as u64 != rounds {
        found.disagree(format!("{rounds} runs are complete, but the ledger has {}", content.runs.join(", ")));
    }
    let open = content.requests.iter().filter(|request| request.state != "done").count();
    if open > 0 {
        found.disagree(format!("{open} requests are not done"));
    }
    for (task, _) in TABLES {
        let of_run = |request: &&super::content::Request| request.task == task && request.nth_run == rounds;
        let made = content.requests.iter().filter(of_run).count() as u64;
        let asked = workload::requests(task, rounds, size);
        if made != asked {
            found.disagree(format!("{task} made {made} requests, and {asked} it takes"));
        }
    }
    for name in &content.leftovers {
        found.leftover += 1;
        found.say(format!("`{name}` is left over"));
    }
}

/// The record that a row says to be.
pub(crate) fn number(row: &Map<String, Value>) -> Option<Number> {
    let text = |name: &str| Some(row.get(name)?.as_str()?.to_owned());
    let whole = |name: &str| row.get(name)?.as_u64();
    Some(Number {
        task: text("task")?,
        lane: text("lane")?,
        round: whole("round")?,
        page: whole("page")?,
        index: whole("index")?,
    })
}

fn task_of(row: &Map<String, Value>) -> i64 {
    row.get("_task").and_then(Value::as_i64).unwrap_or(-1)
}

/// Whether a store holds what the server said: numbers and truth as their kind of store writes them, times to the
/// second, nested values as JSON or its text.
fn is_same(said: &Value, there: &Value) -> bool {
    match (said, there) {
        (Value::Bool(said), Value::Number(there)) => there.as_i64() == Some(i64::from(*said)),
        (Value::Number(said), Value::Number(there)) => {
            said.as_u64() == there.as_u64() && (said.is_u64() || said.as_f64() == there.as_f64())
        }
        (Value::Array(_) | Value::Object(_), Value::String(text)) => {
            serde_json::from_str::<Value>(text).is_ok_and(|there| there == *said)
        }
        (Value::String(said), Value::String(there)) if said.starts_with("2024-01-01T") => {
            there.replace(' ', "T").get(..19) == said.get(..19)
        }
        _ => said == there,
    }
}

fn told(number: &Number) -> String {
    let Number { lane, round, page, index, .. } = number;
    format!("{lane}/{round}/{page}/{index}")
}

fn brief(row: &Map<String, Value>) -> String {
    Value::Object(row.clone()).to_string().chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::content::Request;

    const SIZE: Size = Size { pages: 3, bulk: 0 };

    /// A store as it is after one run that nothing disturbed.
    fn store() -> Content {
        let mut content = Content { runs: vec!["complete".to_owned()], ..Content::default() };
        for (table, holds) in TABLES {
            let mut records = workload::expected(table, 1, SIZE);
            records.sort();
            let mut rows: Vec<Map<String, Value>> = Vec::new();
            let mut last: Option<(String, u64)> = None;
            for record in records {
                let page = (record.lane.clone(), record.page);
                if last.as_ref() != Some(&page) {
                    last = Some(page);
                    let id = content.requests.len() as i64 + 1;
                    let (task, state) = (table.to_owned(), "done".to_owned());
                    content.requests.push(Request { id, nth_run: 1, task, state, rows: 0 });
                }
                let mut row = record.record(SIZE);
                row.insert("_task".to_owned(), (content.requests.len() as i64).into());
                // Whoever merges counts what it was told, not what stayed.
                if let Some(request) = content.requests.last_mut().filter(|_| holds != Holds::Merged) {
                    request.rows += 1;
                }
                rows.push(row);
            }
            content.tables.insert(table.to_owned(), rows);
        }
        content
    }

    #[track_caller]
    fn finds(tamper: impl Fn(&mut Content), stage: Stage, expected: &[(&str, u64)]) {
        let mut content = store();
        tamper(&mut content);
        let found = check(&content, Kind::Sqlite, SIZE, stage);
        let counts: Vec<(&str, u64)> = found.counts().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, expected, "{:#?}", found.messages);
    }

    fn rows<'c>(content: &'c mut Content, table: &str) -> &'c mut Vec<Map<String, Value>> {
        content.tables.get_mut(table).unwrap()
    }

    #[test]
    fn it_sees_what_was_done_to_a_store() {
        let whole = Stage::Complete(1);
        finds(|_| {}, whole, &[]);
        finds(|content| drop(rows(content, "merged").remove(3)), whole, &[("lost", 1)]);
        finds(|content| drop(rows(content, "newest").remove(3)), whole, &[("lost", 1), ("ledger", 1)]);
        finds(
            |content| {
                let again = rows(content, "replaced")[2].clone();
                rows(content, "replaced").push(again);
            },
            whole,
            &[("twice", 1)],
        );
        finds(|content| rows(content, "appended").swap(0, 1), whole, &[("disorder", 1)]);
        finds(
            |content| drop(rows(content, "mirrored")[0].insert("text".to_owned(), "x".into())),
            whole,
            &[("wrong", 1)],
        );
        finds(
            |content| drop(rows(content, "merged")[0].insert("_task".to_owned(), 4_711.into())),
            whole,
            &[("foreign", 1)],
        );
        finds(|content| rows(content, "merged").push(Map::new()), whole, &[("foreign", 1)]);
        finds(|content| content.leftovers.push("out/.part-1.open".to_owned()), whole, &[("leftover", 1)]);
        finds(|content| content.runs.push("running".to_owned()), whole, &[("ledger", 1)]);
        finds(|content| content.damage.push("torn".to_owned()), whole, &[("ledger", 1)]);
        finds(|content| drop(content.requests.pop()), whole, &[("foreign", 4), ("ledger", 1)]);
    }

    #[test]
    fn it_sees_half_a_page() {
        let under = Stage::Under(1);
        finds(|_| {}, under, &[]);
        finds(|content| rows(content, "mirrored").truncate(8), under, &[]);
        finds(|content| rows(content, "mirrored").truncate(7), under, &[("foreign", 3)]);
        // Of a table that is replaced nothing is seen before all of it.
        finds(|content| rows(content, "replaced").truncate(8), under, &[("foreign", 8)]);
        finds(|content| rows(content, "replaced").clear(), under, &[]);
        // What the first run landed the second must not lose.
        finds(
            |content| rows(content, "appended").truncate(12),
            Stage::Under(2),
            &[("lost", 12), ("ledger", 3)],
        );
    }
}
