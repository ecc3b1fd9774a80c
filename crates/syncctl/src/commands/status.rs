//! `syncctl status`: the last runs of a plan, from its ledger, and how its limits stand, from the budgets.
//! Reads beside a run that writes.

use std::time::Duration;

use engine::Standing;
use entities::{LimitStatus, Moment, SyncPlan};
use jiff::tz::TimeZone;
use serde_json::json;
use store::RunRow;

use crate::causes::{self, Cause, Causes};
use crate::cli::{OutputKind, StatusArgs};
use crate::compose;
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::plan_file;
use crate::report;
use crate::terminal::{Paint, clean, clock_time, count, counted, duration, rate_words, table, to_stdout};

/// Failures that programs get.
const MOST_FAILURES: usize = 100_000;

pub(super) fn status(args: &StatusArgs, context: &Context) -> Outcome {
    let plan = plan_file::load_quietly(&args.plan, context)?;
    let run_it = plan_file::command_on("run", &args.plan, context);
    let secrets = plan_file::secrets_of_store(&plan, &args.plan, context)?;
    let reader = compose::existing(&plan, &secrets, &run_it)?;
    let runs = reader.runs(Some(plan.name.as_str()), args.runs.max(1))?;
    let Some(newest) = runs.first() else {
        let text = format!("plan {} has never run into `{}`", plan.name, plan.store);
        return Err(Problem::no(text).help(format!("run it first: {run_it}")));
    };
    // A run that says it is running is, if somebody holds the store's lock; else its process died.
    let holder = if newest.state == "running" { compose::holder(&plan, &secrets) } else { None };
    // Runs can be told of without them.
    let (standing, no_budgets) = match compose::standing(&plan, &args.plan, context) {
        Ok(standing) => (standing.unwrap_or_default(), None),
        Err(problem) => (Standing::default(), Some(problem.text)),
    };
    match args.output {
        OutputKind::Human => {
            let shown = Shown {
                plan: &plan,
                runs: &runs,
                holder: holder.as_deref(),
                causes: Causes::of_run(&plan, &secrets, newest.run),
                limits: Limits {
                    standing: &standing,
                    unreadable: no_budgets.as_deref(),
                    now: context.now(),
                    zone: &context.zone,
                },
                run_it: &run_it,
                failures_command: &plan_file::command_on("failures", &args.plan, context),
                paint: Paint(context.stdout_colour),
            };
            to_stdout(&shown.text());
        }
        OutputKind::Json => {
            let object = json!({
                "plan": plan.name,
                "store": plan.store.to_string(),
                "running": holder,
                "runs": runs,
                "failures": reader.failures(newest.run, MOST_FAILURES)?,
                "limits": standing.limits,
                "limits_unknown": standing.unknown,
                "limits_unreadable": no_budgets,
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
    causes: Vec<Cause>,
    limits: Limits<'a>,
    run_it: &'a str,
    failures_command: &'a str,
    paint: Paint,
}

impl Shown<'_> {
    fn text(self) -> String {
        let store = self.plan.store.to_string();
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
        out.push_str(&self.limits.text(self.paint));
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
        let secrets = report::literals(self.plan);
        let excerpt = report::Excerpt { plan: self.plan, secrets: &secrets, paint: self.paint };
        causes::failed(&self.causes, natural(total), &excerpt, self.failures_command)
    }
}

/// How the plan's limits stand, for every process of this user.
struct Limits<'a> {
    standing: &'a Standing,
    /// Why the budgets cannot be read.
    unreadable: Option<&'a str>,
    now: Moment,
    zone: &'a TimeZone,
}

impl Limits<'_> {
    fn text(&self, paint: Paint) -> String {
        let Limits { standing, unreadable, .. } = self;
        let mut rows: Vec<Vec<String>> = standing.limits.iter().map(|limit| self.row(limit)).collect();
        for endpoint in &standing.unknown {
            let why = "not known: the budget goes by its credential, which is not at hand".to_owned();
            rows.push(vec![clean(endpoint).into_owned(), String::new(), why]);
        }
        if let Some(why) = unreadable {
            rows.push(vec![String::new(), String::new(), clean(why).into_owned()]);
        }
        match rows.is_empty() {
            true => String::new(),
            false => format!("\n{}\n{}", paint.bold("limits, now"), table(&rows, &[false; 3])),
        }
    }

    fn row(&self, limit: &LimitStatus) -> Vec<String> {
        let LimitStatus { allowed, used, elsewhere, closed, next, learned_rate, .. } = limit;
        let left = allowed.saturating_sub(*used).saturating_sub(*elsewhere);
        let at = |after| clock_time(self.now + after, self.now, self.zone);
        let mut parts = vec![format!("{} of {} left", count(left.into()), count((*allowed).into()))];
        if *used > 0 {
            let soon = Duration::from_secs(60);
            let back = match next {
                Some(next) if *next <= soon => format!(" (the next comes back in {})", duration(*next)),
                Some(next) => format!(" (the next comes back at {})", at(*next)),
                None => String::new(),
            };
            parts.push(format!("{} used by runs that have ended{back}", count((*used).into())));
        }
        if *elsewhere > 0 {
            parts.push(format!("{} with running processes", count((*elsewhere).into())));
        }
        if let Some(closed) = closed {
            parts.push(format!("closed by the server until {} (for {})", at(*closed), duration(*closed)));
        }
        if let Some(rate) = learned_rate {
            parts.push(format!("refusals have taught: {} gets through", rate_words(*rate)));
        }
        vec![clean(&limit.endpoint).into_owned(), clean(&limit.limit).into_owned(), parts.join("; ")]
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
