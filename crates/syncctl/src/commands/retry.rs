//! `syncctl retry`: a run of the requests that failed, and of nothing else.

use engine::RunOptions;
use entities::{ResumeMode, Work};

use crate::cli::RetryArgs;
use crate::compose;
use crate::context::Context;
use crate::exit::Outcome;
use crate::plan_file;
use crate::running::Running;

pub(super) fn retry(args: &RetryArgs, context: &Context) -> Outcome {
    // Else a store would be made only to say that nothing is in it.
    let plan = plan_file::load_quietly_with(&args.plan, &args.set, context)?;
    let secrets = plan_file::secrets_of_store(&plan, &args.plan, context)?;
    drop(compose::existing(&plan, &secrets, &plan_file::command_on("run", &args.plan, context))?);
    let running = Running {
        path: &args.plan,
        set: &args.set,
        options: RunOptions {
            tasks: Vec::new(),
            resume: ResumeMode::Auto,
            full_refresh: false,
            work: Work::Failed,
            requests_per_task: None,
            wait: args.wait,
        },
        workers: args.workers,
        progress: args.progress,
        output: args.output,
        command_line: format!("syncctl retry {}", args.plan.display()),
        resume_with: plan_file::command_on("retry", &args.plan, context),
    };
    running.run(context)
}
