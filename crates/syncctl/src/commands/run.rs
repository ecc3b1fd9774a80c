//! `syncctl run`: one run of one plan.

use engine::RunOptions;
use entities::{ResumeMode, Work};

use crate::cli::RunArgs;
use crate::context::Context;
use crate::exit::Outcome;
use crate::plan_file;
use crate::report;
use crate::running::Running;

pub(super) fn run(args: &RunArgs, context: &Context) -> Outcome {
    let resume = match (args.fresh, args.resume) {
        (true, _) => ResumeMode::Fresh,
        (_, true) => ResumeMode::Resume,
        _ => ResumeMode::Auto,
    };
    let mut words = vec![plan_file::command_on("run", &args.plan, context)];
    words.extend(args.tasks.iter().map(|task| report::quoted(task).into_owned()));
    let running = Running {
        path: &args.plan,
        set: &args.set,
        options: RunOptions {
            tasks: args.tasks.clone(),
            resume,
            full_refresh: args.full_refresh,
            work: Work::All,
            requests_per_task: None,
            wait: args.wait,
        },
        workers: args.workers,
        progress: args.progress,
        output: args.output,
        command_line: format!("syncctl run {}", args.plan.display()),
        resume_with: words.join(" "),
    };
    running.run(context)
}
