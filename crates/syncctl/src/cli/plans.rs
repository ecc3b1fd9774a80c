//! `syncctl plans …` as it is typed: a server's plans, over its API.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::OutputKind;

/// The plans of a server that runs (`syncctl serve`), over its API.
///
/// Which server: --server, or SYNCCTL_SERVER, or the one on this machine. Its token: --token-file, or
/// SYNCCTL_TOKEN, or, for a server on this machine, the one that it keeps for itself.
///
/// Exit codes: 0 done, 1 the server says no, 2 the plan or the arguments are wrong, 4 no server answers.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl plans add plans/quickstart.toml
  syncctl plans start quickstart
  syncctl plans list
  syncctl plans watch quickstart
  syncctl plans list --server https://sync.example.com --token-file token")]
pub(crate) struct PlansArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: PlansCommand,
}

/// What can be done to the plans of a server.
#[derive(Debug, Subcommand)]
pub(crate) enum PlansCommand {
    Add(AddArgs),
    List(ListArgs),
    Show(ShowArgs),
    Start(StartArgs),
    /// Send nothing new for these plans, until they are resumed; what is in flight lands, their schedules rest.
    Pause(NamesArgs),
    /// Let paused plans go on.
    Resume(NamesArgs),
    /// Stop the runs of these plans; they can be started again and go on where they stopped.
    Cancel(NamesArgs),
    /// Make the requests again that failed in the last run of these plans, and no others.
    Retry(NamesArgs),
    Remove(RemoveArgs),
    Watch(WatchArgs),
    Ping(PingArgs),
}

/// Which server, its token, and how the answer is shown: options of every subcommand.
#[derive(Args, Debug)]
pub(crate) struct ServerArgs {
    /// The server [default: SYNCCTL_SERVER, else http://127.0.0.1:8787].
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The file whose first line is the server's token [default: SYNCCTL_TOKEN, else the local server's own].
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = OutputKind::Human, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Give plans to the server.
///
/// It keeps their texts: the files can change or go. A plan with a schedule starts by itself, another with
/// `syncctl plans start`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl plans add plans/*.toml
  syncctl plans add --start plans/quickstart.toml
  syncctl plans add --replace plan.toml                  a new text for a plan that is there; says what changed
  syncctl plans add --replace --dry-run plan.toml        what would change?")]
pub(crate) struct AddArgs {
    /// The plans' files.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Replace the text of a plan that is there already. If it runs it goes on with the new one.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Start them at once.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) start: bool,
    /// Only say whether the server would take them, and what would change.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// List the server's plans: what they do, and when they run next.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl plans list
  syncctl plans list --output json | jq -r '.plans[] | select(.state == \"failed\") | .name'")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Show one plan of the server: its tasks, its limits, what came of its last run.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl plans show quickstart
  syncctl plans show quickstart --text > quickstart.toml   its text; secrets in it read ***")]
pub(crate) struct ShowArgs {
    /// The plan's name.
    pub(crate) name: String,
    /// Only its text, as the server has it.
    #[arg(long, conflicts_with = "output")]
    pub(crate) text: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Start runs of plans, or go on with unfinished ones.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl plans start quickstart
  syncctl plans start github --tasks issues,comments      only these tasks and what they depend on
  syncctl plans start github --fresh                      undo an unfinished run and begin anew
  syncctl plans start --all")]
pub(crate) struct StartArgs {
    /// The plans' names; or --all.
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) names: Vec<String>,
    /// Every plan that does not run and is not paused.
    #[arg(long, conflicts_with_all = ["tasks", "fresh", "full_refresh"])]
    pub(crate) all: bool,
    /// Only these tasks and the tasks they depend on [default: all].
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// Undo an unfinished run first and begin anew.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Ignore cursors: fetch everything again (cursors are kept and move on).
    #[arg(long)]
    pub(crate) full_refresh: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Names of plans.
#[derive(Args, Debug)]
pub(crate) struct NamesArgs {
    /// The plans' names; or --all.
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) names: Vec<String>,
    /// Every plan.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Take plans off the server. Runs stop first; what has landed stays in their stores.
#[derive(Args, Debug)]
pub(crate) struct RemoveArgs {
    /// The plans' names.
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Show what happens on the server as it happens, until Ctrl-C.
///
/// When the server restarts or the line breaks it goes on by itself and says what it missed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl plans watch                             every plan
  syncctl plans watch quickstart --until-end      ends with the run; its exit code is the run's
  syncctl plans watch --output json | jq -c 'select(.event == \"failed\")'")]
pub(crate) struct WatchArgs {
    /// Only this plan.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// End when the plan does not run any more, with the exit code of its run (0 complete, 1 requests failed, …).
    #[arg(long, requires = "name")]
    pub(crate) until_end: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Ask whether the server is there and takes the token; for health checks.
#[derive(Args, Debug)]
pub(crate) struct PingArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}
