//! `syncctl failures`: the requests that failed for good, by cause, and what to do about them. From the
//! ledger: no network.

use entities::SyncPlan;
use serde_json::{Value, json};
use store::{FailureRow, Reader};

use crate::causes::{Cause, Causes};
use crate::cli::{FailuresArgs, OutputKind};
use crate::compose;
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::plan_file;
use crate::report::{self, Excerpt};
use crate::terminal::{Paint, counted, to_stdout};

/// Requests of one cause that people are shown at most.
const SHOWN_EACH: usize = 10;

pub(super) fn failures(args: &FailuresArgs, context: &Context) -> Outcome {
    let plan = plan_file::load_quietly(&args.plan, context)?;
    plan_file::check_tasks(&plan, args.task.as_slice())?;
    let command = |verb| plan_file::command_on(verb, &args.plan, context);
    let secrets = plan_file::secrets_of_store(&plan, &args.plan, context)?;
    let reader = compose::existing(&plan, &secrets, &command("run"))?;
    let newest = newest(&reader, &plan, args.run)?.ok_or_else(|| {
        Problem::no(match args.run {
            Some(run) => format!("plan {} has no run {run} in `{}`", plan.name, plan.store),
            None => format!("plan {} has never run into `{}`", plan.name, plan.store),
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
fn newest(reader: &Reader, plan: &SyncPlan, run: Option<i64>) -> Result<Option<(i64, String)>, Problem> {
    let most = if run.is_some() { usize::MAX } else { 1 };
    let runs = reader.runs(Some(plan.name.as_str()), most)?;
    let found = runs.into_iter().find(|row| run.is_none_or(|run| row.run == run));
    Ok(found.map(|row| (row.run, row.state)))
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
            out.push_str(&cause.text(index + 1, &excerpt, SHOWN_EACH));
            out.push('\n');
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
            "store": self.plan.store.to_string(),
            "run": self.run,
            "unfinished": self.unfinished.then_some(self.newest),
            "failed": self.total(),
            "causes": self.causes.iter().map(cause).collect::<Vec<_>>(),
            "retry": (!self.causes.is_empty() && !self.unfinished).then_some(&self.retry),
        })
    }
}
