//! `syncctl status`: the last runs of a plan, from its ledger. Reads beside a run that writes.

use entities::SyncPlan;
use serde_json::json;
use store::{FailureRow, RunRow};

use crate::cli::{OutputKind, StatusArgs};
use crate::compose;
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::plan_file;
use crate::report::{self, FailedRequest};
use crate::terminal::{Paint, clean, count, counted, table, to_stdout};

/// Failures shown to people; programs get [`MOST_FAILURES`].
const SHOWN_FAILURES: usize = 10;
const MOST_FAILURES: usize = 100_000;

pub(super) fn status(args: &StatusArgs, context: &Context) -> Outcome {
    let plan = plan_file::load_quietly(&args.plan, context)?;
    let run_it = plan_file::command_on("run", &args.plan, context);
    compose::store_exists(&plan, &run_it)?;
    let reader = compose::reader(&plan)?;
    let runs = reader.runs(Some(plan.name.as_str()), args.runs.max(1))?;
    let Some(newest) = runs.first() else {
        let text =
            format!("plan {} has never run into `{}`", plan.name, compose::store_path(&plan).display());
        return Err(Problem::no(text).help(format!("run it first: {run_it}")));
    };
    // A run that says it is running is, if somebody holds the store's lock; else its process died.
    let holder = if newest.state == "running" { compose::holder(&plan) } else { None };
    let most = if args.output == OutputKind::Json { MOST_FAILURES } else { SHOWN_FAILURES };
    let failures = reader.failures(newest.run, most)?;
    match args.output {
        OutputKind::Human => {
            let shown = Shown {
                plan: &plan,
                runs: &runs,
                holder: holder.as_deref(),
                failures,
                run_it: &run_it,
                failures_command: &plan_file::command_on("failures", &args.plan, context),
                paint: Paint(context.stdout_colour),
            };
            to_stdout(&shown.text());
        }
        OutputKind::Json => {
            let object = json!({
                "plan": plan.name,
                "store": compose::store_path(&plan).to_string_lossy(),
                "running": holder,
                "runs": runs,
                "failures": failures,
            });
            to_stdout(&format!("{object:#}\n"));
        }
    }
    Ok(Exit::Complete)
}

struct Shown<'a> {
    plan: &'a SyncPlan,
    /// Newest first; at least one.
    runs: &'a [RunRow],
    holder: Option<&'a str>,
    failures: Vec<FailureRow>,
    run_it: &'a str,
    failures_command: &'a str,
    paint: Paint,
}

impl Shown<'_> {
    fn text(self) -> String {
        let store = compose::store_path(self.plan).to_string_lossy();
        let mut out = format!("{} in {}\n", self.paint.bold(self.plan.name.as_str()), clean(&store));
        let [newest, older @ ..] = self.runs else { return out };
        out.push_str(&format!("\n{}\n", self.run(newest)));
        out.push_str(&tasks(newest));
        match (newest.state.as_str(), self.holder) {
            ("running", Some(holder)) => out.push_str(&format!("\nIt is running now: {}\n", clean(holder))),
            ("running", None) => {
                out.push_str(&format!("\nIts process has ended. It goes on with {}\n", self.run_it));
            }
            ("interrupted" | "paused", _) => out.push_str(&format!("\nIt goes on with {}\n", self.run_it)),
            _ => {}
        }
        if !older.is_empty() {
            out.push('\n');
            for run in older {
                out.push_str(&format!("{}\n", self.run(run)));
            }
        }
        out.push_str(&self.failed(newest));
        out
    }

    fn run(&self, run: &RunRow) -> String {
        let state = match (run.state.as_str(), self.holder) {
            ("complete", _) => self.paint.green("complete"),
            ("failed", _) => self.paint.red("some requests failed"),
            ("running", None) => self.paint.yellow("unfinished"),
            (other, _) => self.paint.yellow(&clean(other)),
        };
        let ended = run.ended.as_deref().map(|ended| format!(", ended {ended}")).unwrap_or_default();
        let records: i64 = run.tasks.iter().map(|task| task.records).sum();
        let rows = counted(natural(records), "row");
        format!(
            "{}: {state}, {rows}, began {}{ended}",
            self.paint.bold(&format!("run {}", run.run)),
            run.started
        )
    }

    fn failed(&self, newest: &RunRow) -> String {
        let total: i64 = newest.tasks.iter().map(|task| task.failed).sum();
        if total == 0 {
            return String::new();
        }
        let mut out =
            format!("\n{}\n", self.paint.red(&format!("{} failed", counted(natural(total), "request"))));
        let failures: Vec<FailedRequest> = self.failures.iter().filter_map(FailedRequest::of_row).collect();
        let secrets = report::literals(self.plan);
        let excerpt = report::Excerpt { plan: self.plan, secrets: &secrets, paint: self.paint };
        for (index, failed) in failures.iter().enumerate() {
            out.push_str(&excerpt.failure(index + 1, failed));
        }
        let hidden = natural(total).saturating_sub(failures.len() as u64);
        if hidden > 0 {
            out.push_str(&report::Excerpt::more(hidden, self.failures_command));
        }
        out
    }
}

fn tasks(run: &RunRow) -> String {
    let mut rows =
        vec![["table", "rows", "requests", "failed", "skipped", "open", ""].map(str::to_owned).to_vec()];
    for task in &run.tasks {
        let name = if task.table == task.task {
            clean(&task.table).into_owned()
        } else {
            format!("{} (task {})", clean(&task.table), clean(&task.task))
        };
        let counts = [task.records, task.done, task.failed, task.skipped, task.open];
        let mut row = vec![name];
        row.extend(counts.map(|number| count(natural(number))));
        row.push(if task.ended { String::new() } else { "not ended".to_owned() });
        rows.push(row);
    }
    table(&rows, &[false, true, true, true, true, true, false])
}

fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
