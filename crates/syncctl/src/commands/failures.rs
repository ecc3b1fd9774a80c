//! `syncctl failures`: the requests that failed for good, by cause, and what to do about them. From the
//! ledger: no network.

use std::collections::{BTreeSet, HashMap};

use entities::{Failure, FailureClass, FailureKind, SyncPlan};
use serde_json::{Value, json};
use store::{FailureRow, RequestRow, SqliteReader};

use crate::cli::{FailuresArgs, OutputKind};
use crate::compose;
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::plan_file;
use crate::report::{self, Excerpt};
use crate::terminal::{Paint, clean, count, counted, shorten, to_stdout};

/// Requests of one cause that people are shown at most.
const SHOWN_EACH: usize = 10;

pub(super) fn failures(args: &FailuresArgs, context: &Context) -> Outcome {
    let plan = plan_file::load_quietly(&args.plan, context)?;
    plan_file::check_tasks(&plan, args.task.as_slice())?;
    let command = |verb| plan_file::command_on(verb, &args.plan, context);
    compose::store_exists(&plan, &command("run"))?;
    let reader = compose::reader(&plan)?;
    let newest = newest(&reader, &plan, args.run)?.ok_or_else(|| {
        Problem::no(match args.run {
            Some(run) => {
                format!("plan {} has no run {run} in `{}`", plan.name, compose::store_path(&plan).display())
            }
            None => {
                format!("plan {} has never run into `{}`", plan.name, compose::store_path(&plan).display())
            }
        })
        .help(match args.run {
            Some(_) => format!("its runs: {}", command("status")),
            None => format!("run it first: {}", command("run")),
        })
    })?;
    let mut causes = Causes::new(args.limit);
    let mut note = |row: FailureRow| {
        if args.task.as_ref().is_none_or(|task| *task == row.request.task) {
            causes.note(row);
        }
    };
    match args.run {
        Some(run) => reader.each_failure_of(run, &mut note)?,
        None => reader.each_failure(plan.name.as_str(), &mut note)?,
    }
    let shown = Shown {
        plan: &plan,
        run: args.run,
        unfinished: !matches!(newest.1.as_str(), "complete" | "failed" | "undone"),
        newest: newest.0,
        causes: causes.into_list(),
        limit: args.limit,
        retry: command("retry"),
        resume: command("run"),
        paint: Paint(context.stdout_colour),
    };
    match args.output {
        OutputKind::Human => to_stdout(&shown.text()),
        OutputKind::Json => to_stdout(&format!("{:#}\n", shown.object())),
    }
    Ok(Exit::Complete)
}

/// The number and state of the run that was asked for, or of the newest.
fn newest(
    reader: &SqliteReader,
    plan: &SyncPlan,
    run: Option<i64>,
) -> Result<Option<(i64, String)>, Problem> {
    let most = if run.is_some() { usize::MAX } else { 1 };
    let runs = reader.runs(Some(plan.name.as_str()), most)?;
    let found = runs.into_iter().find(|row| run.is_none_or(|run| row.run == run));
    Ok(found.map(|row| (row.run, row.state)))
}

/// Failures of one cause: the same task, kind, status and place in the plan, and messages that differ in
/// nothing but numbers.
struct Cause {
    task: String,
    /// The first; none: these were not made yet.
    failure: Option<Failure>,
    count: u64,
    runs: BTreeSet<i64>,
    /// The first requests, and as what each went out.
    examples: Vec<(RequestRow, Option<String>)>,
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
struct Causes {
    limit: usize,
    known: HashMap<Key, usize>,
    list: Vec<Cause>,
}

impl Causes {
    fn new(limit: usize) -> Causes {
        Causes { limit, known: HashMap::new(), list: Vec::new() }
    }

    fn note(&mut self, row: FailureRow) {
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
    fn into_list(mut self) -> Vec<Cause> {
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

struct Shown<'a> {
    plan: &'a SyncPlan,
    /// The run that was asked for.
    run: Option<i64>,
    /// That run, or the newest, …
    newest: i64,
    /// … has not ended.
    unfinished: bool,
    causes: Vec<Cause>,
    limit: usize,
    retry: String,
    resume: String,
    paint: Paint,
}

impl Shown<'_> {
    fn total(&self) -> u64 {
        self.causes.iter().map(|cause| cause.count).sum()
    }

    fn text(&self) -> String {
        let name = self.paint.bold(self.plan.name.as_str());
        let mut out = String::new();
        if self.causes.is_empty() {
            let of = match self.run {
                Some(run) => format!("in run {run}"),
                None => "in its last run, and none is owed by an earlier one".to_owned(),
            };
            out.push_str(&format!("{name}: no request has failed {of}\n"));
        } else {
            let head = format!("{} failed", counted(self.total(), "request"));
            let causes = counted(self.causes.len() as u64, "cause");
            out.push_str(&format!("{name}: {}, {causes}\n\n", self.paint.red(&head)));
        }
        let secrets = report::literals(self.plan);
        let excerpt = Excerpt { plan: self.plan, secrets: &secrets, paint: self.paint };
        // Each cause has an example at least.
        for (index, cause) in self.causes.iter().take(self.limit.max(1)).enumerate() {
            out.push_str(&self.cause(index + 1, cause, &excerpt));
        }
        let hidden = self.causes.len().saturating_sub(self.limit.max(1));
        if hidden > 0 {
            out.push_str(&format!("  and {}; --limit shows more\n", counted(hidden as u64, "more cause")));
        }
        match (self.causes.is_empty(), self.unfinished) {
            (_, true) => {
                out.push_str(&format!("Run {} is unfinished; it goes on with {}\n", self.newest, self.resume))
            }
            (false, false) => out.push_str(&format!("Make them again: {}\n", self.retry)),
            (true, false) => {}
        }
        out
    }

    fn cause(&self, number: usize, cause: &Cause, excerpt: &Excerpt<'_>) -> String {
        let runs: Vec<String> = cause.runs.iter().map(i64::to_string).collect();
        let runs = format!("run{} {}", if runs.len() == 1 { "" } else { "s" }, runs.join(", "));
        let how_many = format!(" ({}, {runs})", counted(cause.count, "request"));
        let mut out = match &cause.failure {
            Some(failure) => excerpt.what(number, &cause.task, failure, &self.paint.dim(&how_many)),
            None => format!(
                "  {number}. {}: not made yet, owed by an earlier run{}\n",
                self.paint.bold(&clean(&cause.task)),
                self.paint.dim(&how_many)
            ),
        };
        if let Some(failure) = &cause.failure {
            out.push_str(&excerpt.place(&cause.task, failure));
        }
        for (request, sent) in cause.examples.iter().take(SHOWN_EACH) {
            out.push_str(&excerpt.line(&example(request, sent.as_deref(), self.plan)));
        }
        let hidden = cause.count.saturating_sub(cause.examples.len().min(SHOWN_EACH) as u64);
        if hidden > 0 {
            out.push_str(&excerpt.line(&format!("and {} more", count(hidden))));
        }
        if let Some(failure) = &cause.failure {
            out.push_str(&excerpt.answer(failure));
            out.push_str(&excerpt.way_out(failure));
        }
        out.push('\n');
        out
    }

    fn object(&self) -> Value {
        let secrets = report::literals(self.plan);
        let cause = |cause: &Cause| {
            let failure = cause.failure.as_ref();
            let at = failure.and_then(|failure| failure.place).filter(|place| place.line > 0);
            json!({
                "task": cause.task,
                "kind": failure.map(|failure| failure.kind.as_str()),
                "message": failure.map(|failure| &failure.message),
                "status": failure.and_then(|failure| failure.status),
                "count": cause.count,
                "runs": cause.runs,
                "at": at.map(|place| self.plan.source.locate(place)),
                "line": at.map(|place| secrets.redact(self.plan.source.line(place))),
                "answer": failure.and_then(|failure| failure.body.as_ref()),
                "help": failure.and_then(|failure| failure.help.as_ref()),
                "requests": cause.examples.iter().map(|(request, sent)| json!({
                    "id": request.id,
                    "run": request.run,
                    "request": sent,
                    "page": request.page,
                    "bindings": request.bindings,
                    "attempt": request.attempt,
                    "sent": request.sent,
                })).collect::<Vec<_>>(),
            })
        };
        json!({
            "plan": self.plan.name,
            "store": compose::store_path(self.plan).to_string_lossy(),
            "run": self.run,
            "unfinished": self.unfinished.then_some(self.newest),
            "failed": self.total(),
            "causes": self.causes.iter().map(cause).collect::<Vec<_>>(),
            "retry": (!self.causes.is_empty() && !self.unfinished).then_some(&self.retry),
        })
    }
}

/// `GET https://…/things/1 (n = 1, page 2, 5 attempts)`
fn example(request: &RequestRow, sent: Option<&str>, plan: &SyncPlan) -> String {
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
    let sent = sent.map(str::to_owned).or_else(template).unwrap_or_default();
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
