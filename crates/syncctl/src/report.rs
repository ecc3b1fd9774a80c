//! The report for people at the end of a run: what came of it, what failed and where in the plan,
//! how the limits were used, where the rows are. (The report for programs is `RunReport` itself.)

use std::borrow::Cow;
use std::time::Duration;

use engine::EngineError;
use entities::{Failure, Mode, Place, PlanState, RunId, RunReport, Secrets, StoreTarget, SyncPlan, TaskSpec};
use store::FailureRow;

use crate::exit::Problem;
use crate::terminal::{Paint, bytes, clean, count, counted, duration, shorten, table};

/// A request that failed for good.
pub(crate) struct FailedRequest {
    /// Its task.
    pub(crate) task: String,
    /// Why.
    pub(crate) failure: Failure,
}

impl FailedRequest {
    /// A row of the ledger; none if it was written by a version that keeps failures in another way.
    pub(crate) fn of_row(row: &FailureRow) -> Option<FailedRequest> {
        let failure = serde_json::from_value(row.failure.clone()).ok()?;
        Some(FailedRequest { task: row.request.task.clone(), failure })
    }
}

/// What is shown.
pub(crate) struct Shown<'a> {
    /// What came of the run.
    pub(crate) report: &'a RunReport,
    /// Its plan.
    pub(crate) plan: &'a SyncPlan,
    /// The first failures.
    pub(crate) failures: &'a [FailedRequest],
    /// How many more there are.
    pub(crate) hidden: u64,
    /// Not to be shown, also where the plan's own text holds one.
    pub(crate) secrets: &'a Secrets,
    /// The command that looks at the run again.
    pub(crate) look: &'a str,
    /// Colours.
    pub(crate) colour: bool,
}

impl Shown<'_> {
    /// The whole report.
    pub(crate) fn text(&self) -> String {
        let mut out = self.head();
        out.push_str(&self.tasks());
        out.push_str(&self.limits());
        out.push_str(&self.failed());
        out.push_str(&self.where_the_rows_are());
        out
    }

    fn paint(&self) -> Paint {
        Paint(self.colour)
    }

    fn head(&self) -> String {
        let report = self.report;
        let state = match report.state {
            PlanState::Complete => self.paint().green("complete"),
            PlanState::Failed => self.paint().red("some requests failed"),
            PlanState::Broken => self.paint().red("broken off"),
            other => self.paint().yellow(other.as_str()),
        };
        format!(
            "{} run {}: {state} in {}: {}, {}, {}\n",
            self.paint().bold(report.plan.as_str()),
            report.run,
            duration(Duration::try_from_secs_f64(report.seconds).unwrap_or_default()),
            counted(report.requests, "request"),
            counted(report.records, "row"),
            bytes(report.bytes),
        )
    }

    fn tasks(&self) -> String {
        let skipped = self.report.tasks.values().any(|task| task.skipped > 0);
        let mut head = ["table", "rows", "requests", "failed"].map(str::to_owned).to_vec();
        if skipped {
            head.push("skipped".to_owned());
        }
        let mut rows = vec![head];
        // In the plan's order.
        for spec in &self.plan.tasks {
            let Some(task) = self.report.tasks.get(&spec.name) else { continue };
            let name = if spec.table == spec.name {
                clean(&spec.table).into_owned()
            } else {
                format!("{} (task {})", clean(&spec.table), clean(&spec.name))
            };
            let mut row = vec![name, count(task.records), count(task.done + task.failed), count(task.failed)];
            if skipped {
                row.push(count(task.skipped));
            }
            rows.push(row);
        }
        format!("\n{}", table(&rows, &[false, true, true, true, true]))
    }

    fn limits(&self) -> String {
        if self.report.limits.is_empty() {
            return String::new();
        }
        let mut rows = vec![["limit", "", "peak", "waited", "refused"].map(str::to_owned).to_vec()];
        for limit in &self.report.limits {
            rows.push(vec![
                clean(&limit.endpoint).into_owned(),
                clean(&limit.limit).into_owned(),
                count(limit.peak),
                duration(Duration::try_from_secs_f64(limit.waited_seconds).unwrap_or_default()),
                count(limit.refused),
            ]);
        }
        format!("\n{}", table(&rows, &[false, false, true, true, true]))
    }

    fn failed(&self) -> String {
        if self.failures.is_empty() && self.hidden == 0 {
            return String::new();
        }
        let total = self.failures.len() as u64 + self.hidden;
        let mut out = format!("\n{}\n", self.paint().red(&format!("{} failed", counted(total, "request"))));
        let excerpt = Excerpt { plan: self.plan, secrets: self.secrets, paint: self.paint() };
        for (index, failed) in self.failures.iter().enumerate() {
            out.push_str(&excerpt.failure(index + 1, failed));
        }
        if self.hidden > 0 {
            out.push_str(&excerpt.more(self.hidden, self.report.run));
        }
        out
    }

    fn where_the_rows_are(&self) -> String {
        if self.report.records == 0 {
            return String::new();
        }
        let Some(most) = self.largest() else { return String::new() };
        let select = format!("select * from {} limit 5", identifier(&most.table));
        format!(
            "\nThe rows are in {}. Look at them:\n  sqlite3 {} {}\n  {}\n",
            self.paint().bold(&store(self.plan)),
            store(self.plan),
            quoted(&select),
            self.look,
        )
    }

    /// The task that landed most in a table that can be looked at: a copy that is to replace another
    /// is not there before it is complete.
    fn largest(&self) -> Option<&TaskSpec> {
        let landed = |spec: &&TaskSpec| self.report.tasks.get(&spec.name).map_or(0, |task| task.records);
        let ended = matches!(self.report.state, PlanState::Complete | PlanState::Failed);
        let there = |spec: &&TaskSpec| {
            let failed = self.report.tasks.get(&spec.name).is_some_and(|task| task.failed > 0);
            spec.mode != Mode::Replace || (ended && !failed)
        };
        self.plan.tasks.iter().filter(there).max_by_key(landed).filter(|spec| landed(spec) > 0)
    }
}

/// A problem with a plan that turned out to be wrong only as it began, with the part of it that is.
pub(crate) fn problem_of(error: EngineError, plan: &SyncPlan, secrets: &Secrets, colour: bool) -> Problem {
    let place = match &error {
        EngineError::Plan(failure) => failure.place.filter(|place| place.line > 0),
        _ => None,
    };
    let excerpt = Excerpt { plan, secrets, paint: Paint(colour) };
    Problem { excerpt: place.map(|place| excerpt.snippet(place)), ..Problem::from(error) }
}

/// Failures in words, with the part of the plan that asked for each.
pub(crate) struct Excerpt<'a> {
    /// The plan.
    pub(crate) plan: &'a SyncPlan,
    /// Not to be shown, also where the plan's own text holds one.
    pub(crate) secrets: &'a Secrets,
    /// Colours.
    pub(crate) paint: Paint,
}

impl Excerpt<'_> {
    /// How to see the failures that are not shown.
    pub(crate) fn more(&self, hidden: u64, run: RunId) -> String {
        let select = format!("select * from _sync_requests where state = 'failed' and run = {run}");
        format!(
            "  and {} more; all of them: sqlite3 {} {}\n",
            count(hidden),
            store(self.plan),
            quoted_double(&select)
        )
    }

    /// One failure: what, which request, where in the plan, the way out.
    pub(crate) fn failure(&self, number: usize, FailedRequest { task, failure }: &FailedRequest) -> String {
        let line = |text: &str| format!("     {}\n", shorten(&clean(&self.secrets.redact(text)), 500));
        let what = format!("{}: {}", failure.kind.as_str(), failure.message);
        let what = self.secrets.redact(&what);
        let mut out =
            format!("  {number}. {}: {}\n", self.paint.bold(&clean(task)), shorten(&clean(&what), 500));
        // Failures that no worker made (a record that the table cannot hold) know their task only.
        let spec = self.plan.spec_named(task).map(|index| self.plan.spec(index));
        let template = || spec.map(|spec| format!("{} {}", spec.method.as_str(), spec.path.source));
        if let Some(request) = failure.request.clone().or_else(template) {
            let status = failure.status.map(|status| format!(" → {status}")).unwrap_or_default();
            out.push_str(&line(&format!("{request}{status}")));
        }
        if let Some(body) = failure.body.as_deref().filter(|body| !body.trim().is_empty()) {
            out.push_str(&line(&format!("answer: {body}")));
        }
        if let Some(place) = failure.place.or(spec.map(|spec| spec.at)).filter(|place| place.line > 0) {
            out.push_str(&self.snippet(place));
        }
        if let Some(help) = &failure.help {
            out.push_str(&line(&format!("help: {help}")));
        }
        out
    }

    /// The plan's line with a caret below what asked for the request.
    fn snippet(&self, place: Place) -> String {
        let source = &self.plan.source;
        let before = source.line(place);
        let number = place.line.to_string();
        let gutter = " ".repeat(number.len());
        let head = format!("     {gutter}--> {}\n", clean(&source.locate(place)));
        let redacted = self.secrets.redact(before);
        if redacted != before {
            // Carets would point at the wrong characters.
            return format!("{head}     {number} | {}\n", clean(&redacted));
        }
        let column = place.column.saturating_sub(1) as usize;
        let rest = before.chars().count().saturating_sub(column).max(1);
        let marked = source.text.get(place.start as usize..place.end as usize).unwrap_or("");
        let marked = marked.lines().next().unwrap_or("").chars().count().clamp(1, rest);
        // A tab is one character here and in `clean`, so carets stay below what they mark.
        format!(
            "{head}     {number} | {}\n     {gutter} | {}{}\n",
            clean(before),
            " ".repeat(column),
            self.paint.red(&"^".repeat(marked)),
        )
    }
}

fn store(plan: &SyncPlan) -> String {
    let StoreTarget::Sqlite(path) = &plan.store;
    clean(&quoted(&path.to_string_lossy())).into_owned()
}

/// Text in double quotes for a shell: for SQL, which has quotes of its own.
fn quoted_double(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('`', "\\`"))
}

/// What SQLite does not take for a table's name without quotes (<https://sqlite.org/lang_keywords.html>),
/// as far as tables are called so.
const KEYWORDS: [&str; 34] = [
    "add",
    "all",
    "alter",
    "and",
    "as",
    "between",
    "case",
    "check",
    "commit",
    "constraint",
    "create",
    "default",
    "delete",
    "distinct",
    "exists",
    "from",
    "group",
    "having",
    "in",
    "index",
    "insert",
    "into",
    "is",
    "join",
    "limit",
    "on",
    "order",
    "references",
    "select",
    "set",
    "table",
    "transaction",
    "values",
    "where",
];

/// A name as SQL takes it, quoted only where it must be.
fn identifier(name: &str) -> Cow<'_, str> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !KEYWORDS.contains(&name.to_ascii_lowercase().as_str());
    if plain { Cow::Borrowed(name) } else { Cow::Owned(format!("\"{}\"", name.replace('"', "\"\""))) }
}

/// A word as a shell takes it, quoted only where it must be.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./:@%+,=".contains(c));
    if plain { Cow::Borrowed(word) } else { Cow::Owned(format!("'{}'", word.replace('\'', "'\\''"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_the_shell_and_names_for_sql() {
        assert_eq!(quoted("plans/x.toml"), "plans/x.toml");
        assert_eq!(quoted("my plan's.toml"), "'my plan'\\''s.toml'");
        assert_eq!(quoted(""), "''");
        assert_eq!(identifier("bars"), "bars");
        assert_eq!(identifier("daily-bars"), "\"daily-bars\"");
        assert_eq!(identifier("Order"), "\"Order\"");
    }
}
