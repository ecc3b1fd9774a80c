//! Runs a plan to its end: composes an engine, watches it, and reports. What `run` and `retry` share;
//! which of them it is stands in the options.

use std::io::BufRead as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use engine::{EngineError, RunOptions, SyncEngine};
use entities::{Moment, PlanName, ResumeMode, RunReport, Secrets, StoreError, SyncPlan};
use jiff::Timestamp;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::causes::Causes;
use crate::cli::{OutputKind, ProgressKind};
use crate::compose::{self, Composition};
use crate::context::Context;
use crate::exit::{Exit, Outcome, Problem};
use crate::plan_file;
use crate::progress::{self, Progress};
use crate::report;
use crate::signals::{HangUp, Interrupts};
use crate::terminal::{clean, clock_time, complain, duration, say, to_stderr, to_stdout};

/// After the second Ctrl-C the process is gone within about a second, whatever hangs.
const ABORT_WITHIN: Duration = Duration::from_millis(500);
/// Closing the store and giving budgets back takes milliseconds; a disk that hangs must not hold the report.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// What to run, and how to show it.
pub(crate) struct Running<'a> {
    /// The plan's file.
    pub(crate) path: &'a Path,
    /// `--set`
    pub(crate) set: &'a [(String, String)],
    /// What of it, and how.
    pub(crate) options: RunOptions,
    /// `--workers`
    pub(crate) workers: Option<u32>,
    /// `--progress`
    pub(crate) progress: ProgressKind,
    /// `--output`
    pub(crate) output: OutputKind,
    /// What another process is told that finds the store locked.
    pub(crate) command_line: String,
    /// The command that goes on where this one stopped. Variables are frozen in the run: no `--set`.
    pub(crate) resume_with: String,
}

impl Running<'_> {
    /// Runs it.
    pub(crate) fn run(&self, context: &Context) -> Outcome {
        let plan = plan_file::load(self.path, self.set, context)?;
        plan_file::check_tasks(&plan, &self.options.tasks)?;
        let secrets = plan::resolve_secrets(&plan, &context.lookup_for(self.path))
            .map_err(|diagnostics| Problem::diagnosed(diagnostics.render(context.colour)))?;
        let runtime = runtime()?;
        let outcome = runtime.block_on(Box::pin(watched(self, &plan, secrets, context)));
        // Whatever still runs now (an aborted run's requests, a question nobody answers) is not waited for.
        runtime.shutdown_timeout(Duration::from_millis(100));
        outcome
    }
}

/// One thread: waking another for each request costs more than it brings. What takes long (reading a
/// large answer, landing) has threads of its own.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

/// The whole of a run, from composing the engine to the report.
async fn watched(args: &Running<'_>, plan: &SyncPlan, secrets: Secrets, context: &Context) -> Outcome {
    let mut interrupts = Interrupts::listen(HangUp::Ends)?;
    let resume_with = &args.resume_with;
    let Composition { engine, practice: _practice } =
        compose::compose(plan, args.workers, args.command_line.clone(), context).await?;

    let mut events = engine.subscribe();
    let name = tokio::select! {
        started = start(&engine, args, plan, &secrets, context) => match started? {
            Some(name) => name,
            None => return Ok(nothing_to_do(plan, args.output)),
        },
        () = interrupts.next() => {
            return Err(Problem::interrupted("interrupted before the run began").help(format!("run it again: {resume_with}")));
        }
    };
    // Not before: a question may have been asked.
    let mut progress = progress::choose(args.progress, plan, context);
    let watched = watch(&engine, &name, &mut events, &mut interrupts, progress.as_mut(), context).await;
    progress.finish(context.now());
    let ended = watched?;
    // Read while the store is open: its writer closes last and takes the WAL with it.
    let failed = |report: &RunReport| report.tasks.values().any(|task| task.failed > 0);
    let of_run = ended.report.as_ref().filter(|report| failed(report));
    let causes = match of_run.map(|report| report.run.0) {
        Some(run) => {
            let (plan, secrets) = (plan.clone(), secrets.clone());
            let read = tokio::task::spawn_blocking(move || Causes::of_run(&plan, &secrets, run));
            read.await.unwrap_or_default()
        }
        None => Vec::new(),
    };
    if ended.aborted {
        drop(engine);
    } else {
        tokio::select! {
            // Too slow a close loses nothing: what was committed is durable.
            _ = timeout(CLOSE_WITHIN, engine.shutdown()) => {}
            () = interrupts.next() => {}
        }
    }
    let Some(report) = ended.report else {
        return Err(Problem::interrupted("aborted").help(format!("resume it with {resume_with}")));
    };
    if args.output == OutputKind::Human {
        let shown = report::Shown {
            report: &report,
            plan,
            causes: &causes,
            secrets: &secrets,
            look: &plan_file::command_on("status", args.path, context),
            failures_command: &plan_file::command_on("failures", args.path, context),
            export_command: &plan_file::command_on("export", args.path, context),
            colour: context.stdout_colour,
        };
        to_stdout(&shown.text());
    }
    say_how_to_go_on(&report, resume_with, context);
    if args.output == OutputKind::Json
        && let Ok(object) = serde_json::to_string(&report)
    {
        to_stdout(&format!("{object}\n"));
    }
    Ok(Exit::of(report.state))
}

/// Adds the plan and starts it; asks what to do about a plan that has changed, if anybody is there. None: there
/// is nothing to retry.
async fn start(
    engine: &SyncEngine,
    args: &Running<'_>,
    plan: &SyncPlan,
    secrets: &Secrets,
    context: &Context,
) -> Result<Option<PlanName>, Problem> {
    let mut options = args.options.clone();
    loop {
        let name = engine.add_plan(plan.clone(), secrets.clone(), options.clone()).await?;
        let error = match engine.start(&name).await {
            Ok(()) => return Ok(Some(name)),
            Err(EngineError::Store(error @ StoreError::NothingToRetry { .. })) => {
                say(&clean(&error.to_string()), context);
                return Ok(None);
            }
            Err(error) => error,
        };
        if !matches!(error, EngineError::Store(StoreError::PlanChanged { .. })) || !context.can_ask {
            return Err(report::problem_of(error, plan, secrets, context.colour));
        }
        to_stderr(&clean(&error.to_string()));
        options.resume = ask().await?.ok_or_else(|| Problem::from(error))?;
        engine.remove_plan(&name).await?;
    }
}

/// The report of no run: programs read one object whatever happens.
fn nothing_to_do(plan: &SyncPlan, output: OutputKind) -> Exit {
    if output == OutputKind::Json {
        let object = json!({
            "run": null, "plan": plan.name, "state": "complete", "requests": 0, "records": 0, "bytes": 0,
            "seconds": 0.0, "tasks": {}, "limits": [],
        });
        to_stdout(&format!("{object}\n"));
    }
    Exit::Complete
}

/// Resume, fresh, or none: quit.
async fn ask() -> Result<Option<ResumeMode>, Problem> {
    loop {
        to_stderr("[r]esume it (what changed starts over), begin a [f]resh one, or [q]uit? ");
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        let line = answer.await.context("cannot ask")?.context("cannot read the answer")?;
        match line.trim().to_lowercase().as_str() {
            "r" | "resume" => return Ok(Some(ResumeMode::Resume)),
            "f" | "fresh" => return Ok(Some(ResumeMode::Fresh)),
            "q" | "quit" => return Ok(None),
            // End of input: nobody is there after all.
            _ if line.is_empty() => return Ok(None),
            _ => {}
        }
    }
}

/// How watching ended.
struct Ended {
    /// What came of the run; none if it was aborted before anybody could say.
    report: Option<RunReport>,
    /// By a second Ctrl-C: nothing is waited for any more.
    aborted: bool,
}

/// Shows progress until the run has ended. The first interrupt drains, the second aborts.
async fn watch(
    engine: &SyncEngine,
    name: &PlanName,
    events: &mut tokio::sync::broadcast::Receiver<entities::EngineEvent>,
    interrupts: &mut Interrupts,
    progress: &mut dyn Progress,
    context: &Context,
) -> Result<Ended, Problem> {
    let mut ticks = interval(progress.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut draining = false;
    let mut open = true;
    let wait = engine.wait(name);
    let mut wait = std::pin::pin!(wait);
    loop {
        tokio::select! {
            report = &mut wait => {
                while let Ok(event) = events.try_recv() {
                    progress.event(&event, context.now());
                }
                return Ok(Ended { report: Some(report?), aborted: false });
            }
            () = interrupts.next() => {
                if draining {
                    progress.say("aborting");
                    let cancelled = timeout(ABORT_WITHIN, engine.cancel(name)).await;
                    let report = match cancelled {
                        Ok(Ok(())) => timeout(ABORT_WITHIN / 2, &mut wait).await.ok().and_then(Result::ok),
                        _ => None,
                    };
                    return Ok(Ended { report, aborted: true });
                }
                draining = true;
                progress.say("draining: what is in flight lands, nothing new is sent; Ctrl-C again aborts (both can be resumed)");
                match engine.drain(name).await {
                    // It has just ended: its report is on its way.
                    Ok(()) | Err(EngineError::WrongState { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            event = events.recv(), if open => match event {
                Ok(event) => progress.event(&event, context.now()),
                Err(RecvError::Lagged(missed)) => progress.say(&format!("{missed} events were too many to show")),
                Err(RecvError::Closed) => open = false,
            },
            _ = ticks.tick() => {
                let status = engine.status().await?;
                if let Some(status) = status.plans.iter().find(|status| status.plan == *name) {
                    progress.status(status, context.now());
                }
            }
        }
    }
}

/// On stderr: how to go on, if there is something to go on with.
fn say_how_to_go_on(report: &RunReport, resume_with: &str, context: &Context) {
    match Exit::of(report.state) {
        Exit::Interrupted => say(&format!("interrupted; resume it with {resume_with}"), context),
        Exit::LongWait => say(&paused(report, resume_with, context), context),
        Exit::Broken => {
            let why = report.reason.as_deref().unwrap_or("the store or the system failed");
            let problem = Problem { exit: Exit::Broken, ..Problem::wrong(clean(why)) };
            let help = format!("nothing that had landed is lost; resume it with {resume_with}");
            complain(&problem.help(help), context);
        }
        Exit::Complete | Exit::No | Exit::Wrong => {}
    }
}

/// Which limit paused the run, when and how it goes on, and how it could have waited.
fn paused(report: &RunReport, resume_with: &str, context: &Context) -> String {
    let why = report.reason.as_deref().unwrap_or("a limit asks for a longer wait than --wait allows");
    let now = context.now();
    let until = report.resumes_at.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
    let Some(until) = until.map(|at| Moment::from_millis(at.as_millisecond())) else {
        return format!("paused: {}; resume it with {resume_with}", clean(why));
    };
    let left = until.since(now);
    format!(
        "paused: {}; resume it with {resume_with} at {} (in {}), or let it wait: --wait {}",
        clean(why),
        clock_time(until, now, &context.zone),
        duration(left),
        enough(left),
    )
}

/// A `--wait` that is long enough, in words that can be remembered.
fn enough(wait: Duration) -> String {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let seconds = wait.as_secs() + 1;
    // The largest unit that is shorter.
    let (unit, length) = units.into_iter().rev().find(|(_, length)| seconds > *length).unwrap_or(units[0]);
    format!("{}{unit}", seconds.div_ceil(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_enough() {
        for (millis, expected) in [
            (0, "1s"),
            (400, "1s"),
            (4_999, "5s"),
            (59_000, "60s"),
            (60_000, "2m"),
            (3_540_000, "60m"),
            (3_600_000, "2h"),
            (50_400_000, "15h"),
            (86_400_000, "2d"),
            (950_400_000, "12d"),
        ] {
            assert_eq!(enough(Duration::from_millis(millis)), expected, "{millis}");
        }
    }
}
