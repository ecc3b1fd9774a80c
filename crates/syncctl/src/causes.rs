//! Failed requests by their causes: ten thousand equal failures are one block with a count and examples.

use std::collections::{BTreeSet, HashMap};

use entities::{Failure, FailureClass, FailureKind, Secrets, SyncPlan};
use serde_json::Value;
use store::{FailureRow, RequestRow};

use crate::compose;
use crate::report::Excerpt;
use crate::terminal::{clean, count, counted, shorten};

/// Causes that a report shows, and requests of each.
const SHOWN: (usize, usize) = (10, 3);

/// Failures of one cause: the same task, kind, status and place in the plan, and messages that differ in
/// nothing but numbers.
pub(crate) struct Cause {
    pub(crate) task: String,
    /// The first; none: these were not made yet.
    pub(crate) failure: Option<Failure>,
    /// How many.
    pub(crate) count: u64,
    /// In which runs.
    pub(crate) runs: BTreeSet<i64>,
    /// The first requests, and as what each went out.
    pub(crate) examples: Vec<(RequestRow, Option<String>)>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    task: String,
    kind: Option<FailureKind>,
    status: Option<u16>,
    place: Option<u32>,
    message: String,
}

/// Causes as they are found; memory goes with them and not with the failures.
pub(crate) struct Causes {
    limit: usize,
    known: HashMap<Key, usize>,
    list: Vec<Cause>,
}

impl Causes {
    /// Those of a run, for a report. A ledger that cannot be read now takes nothing from a report but this.
    pub(crate) fn of_run(plan: &SyncPlan, secrets: &Secrets, run: i64) -> Vec<Cause> {
        let mut causes = Causes::new(SHOWN.0 * SHOWN.1);
        let Ok(Some(reader)) = compose::reader(plan, secrets) else { return Vec::new() };
        match reader.each_failure_of(run, |row| causes.note(row)) {
            Ok(()) => causes.into_list(),
            Err(_) => Vec::new(),
        }
    }

    /// At most `limit` requests are kept, shared among the causes.
    pub(crate) fn new(limit: usize) -> Causes {
        Causes { limit, known: HashMap::new(), list: Vec::new() }
    }

    /// Counts a failure.
    pub(crate) fn note(&mut self, row: FailureRow) {
        let FailureRow { request, failure } = row;
        let failure: Option<Failure> = match failure {
            Value::Null => None,
            // Written by a version that keeps failures in another way.
            other => Some(serde_json::from_value(other).unwrap_or_else(|_| {
                let message = "it cannot be read by this version of syncctl";
                Failure::new(FailureClass::Bug, FailureKind::Record, message)
            })),
        };
        let key = Key {
            task: request.task.clone(),
            kind: failure.as_ref().map(|failure| failure.kind),
            status: failure.as_ref().and_then(|failure| failure.status),
            place: failure.as_ref().and_then(|failure| failure.place).map(|place| place.start),
            message: failure.as_ref().map(|failure| without_numbers(&failure.message)).unwrap_or_default(),
        };
        let sent = failure.as_ref().and_then(|failure| failure.request.clone());
        let at = *self.known.entry(key).or_insert_with(|| {
            self.list.push(Cause {
                task: request.task.clone(),
                failure,
                count: 0,
                runs: BTreeSet::new(),
                examples: Vec::new(),
            });
            self.list.len() - 1
        });
        let cause = &mut self.list[at];
        cause.count += 1;
        cause.runs.insert(request.run);
        if cause.examples.len() < self.limit.max(1) {
            cause.examples.push((request, sent));
        }
    }

    /// The most frequent first; the limit is shared out among them.
    pub(crate) fn into_list(mut self) -> Vec<Cause> {
        self.list.sort_by_key(|cause| std::cmp::Reverse(cause.count));
        let each = (self.limit / self.list.len().max(1)).max(1);
        for cause in &mut self.list {
            cause.examples.truncate(each);
        }
        self.list
    }
}

/// `ended after 312 of 1,000 bytes` → `ended after # of # bytes`
fn without_numbers(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut in_number = false;
    for c in message.chars() {
        let digit = c.is_ascii_digit() || (in_number && matches!(c, ',' | '.'));
        if !digit {
            out.push(c);
        } else if !in_number {
            out.push('#');
        }
        in_number = digit;
    }
    out
}

/// A report's part on failures: `total` requests, the most frequent causes first, and the command that shows
/// the others; nothing if none failed.
pub(crate) fn failed(causes: &[Cause], total: u64, excerpt: &Excerpt<'_>, more: &str) -> String {
    if total == 0 {
        return String::new();
    }
    let mut out = format!("\n{}\n", excerpt.paint.red(&format!("{} failed", counted(total, "request"))));
    let (most_causes, most_requests) = SHOWN;
    for (index, cause) in causes.iter().take(most_causes).enumerate() {
        out.push_str(&cause.text(index + 1, excerpt, most_requests));
    }
    let shown: usize =
        causes.iter().take(most_causes).map(|cause| cause.examples.len().min(most_requests)).sum();
    if (shown as u64) < total {
        out.push_str(&format!("  all of them, by their causes: {more}\n"));
    }
    out
}

impl Cause {
    /// What, where, which requests (`most` of them), the answer, the way out.
    pub(crate) fn text(&self, number: usize, excerpt: &Excerpt<'_>, most: usize) -> String {
        let runs: Vec<String> = self.runs.iter().map(i64::to_string).collect();
        let runs = format!("run{} {}", if runs.len() == 1 { "" } else { "s" }, runs.join(", "));
        let how_many = format!(" ({}, {runs})", counted(self.count, "request"));
        let mut out = match &self.failure {
            Some(failure) => excerpt.what(number, &self.task, failure, &excerpt.paint.dim(&how_many)),
            None => format!(
                "  {number}. {}: not made yet, owed by an earlier run{}\n",
                excerpt.paint.bold(&clean(&self.task)),
                excerpt.paint.dim(&how_many)
            ),
        };
        if let Some(failure) = &self.failure {
            out.push_str(&excerpt.place(&self.task, failure));
        }
        for (request, sent) in self.examples.iter().take(most) {
            let status = self.failure.as_ref().and_then(|failure| failure.status);
            out.push_str(&excerpt.line(&example(request, sent.as_deref(), status, excerpt.plan)));
        }
        let hidden = self.count.saturating_sub(self.examples.len().min(most) as u64);
        if hidden > 0 {
            out.push_str(&excerpt.line(&format!("and {} more", count(hidden))));
        }
        if let Some(failure) = &self.failure {
            out.push_str(&excerpt.answer(failure));
            out.push_str(&excerpt.way_out(failure));
        }
        out
    }
}

/// `GET https://…/things/1 → 404 (n = 1, page 2, 5 attempts)`
fn example(request: &RequestRow, sent: Option<&str>, status: Option<u16>, plan: &SyncPlan) -> String {
    let mut with: Vec<String> = Vec::new();
    for (name, value) in request.bindings.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        with.push(format!("{name} = {}", shorten(&value, 80)));
    }
    if request.page > 1 {
        with.push(format!("page {}", request.page));
    }
    if let Some(attempts) = request.attempt.filter(|attempts| *attempts > 1) {
        with.push(format!("{attempts} attempts"));
    }
    let template = || {
        let spec = plan.spec(plan.spec_named(&request.task)?);
        Some(format!("{} {}", spec.method.as_str(), spec.path.source))
    };
    let status = status.map(|status| format!(" → {status}")).unwrap_or_default();
    let sent = format!("{}{status}", sent.map(str::to_owned).or_else(template).unwrap_or_default());
    if with.is_empty() { sent } else { format!("{sent} ({})", with.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::without_numbers;

    #[test]
    fn messages_that_differ_in_numbers_only_are_one_cause() {
        for (message, expected) in [
            ("ended after 312 of 1,000 bytes", "ended after # of # bytes"),
            ("404", "#"),
            ("field `a1` is 1.5, not 2.", "field `a#` is # not #"),
            ("no number", "no number"),
        ] {
            assert_eq!(without_numbers(message), expected);
        }
    }
}
