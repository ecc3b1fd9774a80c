//! The report for people at the end of a run: what came of it, what failed and where in the plan,
//! how the limits were used, where the rows are. (The report for programs is `RunReport` itself.)

mod limits;

use std::borrow::Cow;
use std::time::Duration;

use engine::EngineError;
use entities::{
    Failure, Mode, Place, PlanState, RunReport, Secret, SecretSource, Secrets, StoreTarget, SyncPlan,
    TaskSpec,
};

use crate::causes::{self, Cause};
use crate::exit::Problem;
use crate::terminal::{Paint, bytes, clean, count, counted, duration, shorten, table};

/// A request that failed for good.
pub(crate) struct FailedRequest {
    /// Its task.
    pub(crate) task: String,
    /// Why.
    pub(crate) failure: Failure,
}

/// What is shown.
pub(crate) struct Shown<'a> {
    /// What came of the run.
    pub(crate) report: &'a RunReport,
    /// Its plan.
    pub(crate) plan: &'a SyncPlan,
    /// Why requests failed.
    pub(crate) causes: &'a [Cause],
    /// Not to be shown, also where the plan's own text holds one.
    pub(crate) secrets: &'a Secrets,
    /// The command that looks at the run again.
    pub(crate) look: &'a str,
    /// The command that shows all failures.
    pub(crate) failures_command: &'a str,
    /// The command that exports.
    pub(crate) export_command: &'a str,
    /// Colours.
    pub(crate) colour: bool,
}

impl Shown<'_> {
    /// The whole report.
    pub(crate) fn text(&self) -> String {
        let mut out = self.head();
        out.push_str(&self.tasks());
        out.push_str(&limits::text(self.report));
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
        let replaced: u64 = self.report.tasks.values().map(|task| task.replaced).sum();
        let note = match replaced {
            0 => String::new(),
            _ => format!(
                "\n{} that no text can hold (half a surrogate pair) became U+FFFD; text = \"fail\" in a task refuses them\n",
                counted(replaced, "character")
            ),
        };
        format!("\n{}{note}", table(&rows, &[false, true, true, true, true]))
    }

    fn failed(&self) -> String {
        let total = self.report.tasks.values().map(|task| task.failed).sum();
        let excerpt = Excerpt { plan: self.plan, secrets: self.secrets, paint: self.paint() };
        causes::failed(self.causes, total, &excerpt, self.failures_command)
    }

    fn where_the_rows_are(&self) -> String {
        if self.report.records == 0 {
            return String::new();
        }
        let Some(most) = self.largest() else { return String::new() };
        let look = match &self.plan.store {
            StoreTarget::Sqlite(_) => {
                let select = format!("select * from {} limit 5", identifier(&most.table));
                format!("sqlite3 {} {}", store(self.plan), quoted(&select))
            }
            StoreTarget::Postgres(_) | StoreTarget::Jsonl(_) | StoreTarget::Parquet(_) => {
                format!("{} {} --to - | head -n 5", self.export_command, quoted(&most.table))
            }
        };
        let place = self.paint().bold(&store(self.plan));
        format!("\nThe rows are in {place}. Look at them:\n  {look}\n  {}\n", self.look)
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

/// The secrets that a plan holds itself: for commands that read no others and show its lines.
pub(crate) fn literals(plan: &SyncPlan) -> Secrets {
    let literal = |(name, source): (&String, &SecretSource)| match source {
        SecretSource::Literal(text) => Some((name.clone(), Secret::new(text.source.to_string()))),
        _ => None,
    };
    Secrets(plan.secrets.iter().filter_map(literal).collect())
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
    /// One failure: what, which request, where in the plan, the way out.
    pub(crate) fn failure(&self, number: usize, FailedRequest { task, failure }: &FailedRequest) -> String {
        let mut out = self.what(number, task, failure, "");
        // Failures that no worker made (a record that the table cannot hold) know their task only.
        let template = || {
            let spec = self.plan.spec(self.plan.spec_named(task)?);
            Some(format!("{} {}", spec.method.as_str(), spec.path.source))
        };
        if let Some(request) = failure.request.clone().or_else(template) {
            let status = failure.status.map(|status| format!(" → {status}")).unwrap_or_default();
            out.push_str(&self.line(&format!("{request}{status}")));
        }
        out.push_str(&self.answer(failure));
        out.push_str(&self.place(task, failure));
        out.push_str(&self.way_out(failure));
        out
    }

    /// `  1. issues: status: 404`; `how_many` goes behind it.
    pub(crate) fn what(&self, number: usize, task: &str, failure: &Failure, how_many: &str) -> String {
        let what = format!("{}: {}", failure.kind.as_str(), failure.message);
        let what = self.secrets.redact(&what);
        let (task, what) = (clean(task), clean(&what));
        format!("  {number}. {}: {}{how_many}\n", self.paint.bold(&task), shorten(&what, 500))
    }

    /// The beginning of the answer, if there was one.
    pub(crate) fn answer(&self, failure: &Failure) -> String {
        let body = failure.body.as_deref().filter(|body| !body.trim().is_empty());
        body.map(|body| self.line(&format!("answer: {body}"))).unwrap_or_default()
    }

    /// Where in the plan: what the failure points at, else its task.
    pub(crate) fn place(&self, task: &str, failure: &Failure) -> String {
        let of_task = || self.plan.spec_named(task).map(|index| self.plan.spec(index).at);
        let place = failure.place.or_else(of_task).filter(|place| place.line > 0);
        place.map(|place| self.snippet(place)).unwrap_or_default()
    }

    /// The way out, if there is one.
    pub(crate) fn way_out(&self, failure: &Failure) -> String {
        failure.help.as_deref().map(|help| self.line(&format!("help: {help}"))).unwrap_or_default()
    }

    /// A line about a failure.
    pub(crate) fn line(&self, text: &str) -> String {
        format!("     {}\n", shorten(&clean(&self.secrets.redact(text)), 500))
    }

    /// The plan's line with a caret below what asked for the request.
    pub(crate) fn snippet(&self, place: Place) -> String {
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
    match &plan.store {
        StoreTarget::Postgres(_) => clean(&plan.store.to_string()).into_owned(),
        StoreTarget::Sqlite(_) | StoreTarget::Jsonl(_) | StoreTarget::Parquet(_) => {
            clean(&quoted(&plan.store.to_string())).into_owned()
        }
    }
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
