//! The command line as it is typed: subcommands, flags and their help. The doc comments are what
//! `--help` and the manual say. Not what the commands do: one file each under `commands/`.

mod landed;
mod plans;
mod serve;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(crate) use landed::{ExportArgs, VerifyArgs};
pub(crate) use plans::{
    AddArgs, ListArgs, NamesArgs, PlansArgs, PlansCommand, RemoveArgs, ServerArgs, ShowArgs, StartArgs,
    WatchArgs,
};
pub(crate) use serve::{LogKind, ServeArgs};
pub(crate) use values::{ExportFormat, FormatKind, OutputKind, ProgressKind};
use values::{parse_assignment, parse_duration};

/// Keeps a local copy of what HTTP APIs hold, exactly once.
///
/// A plan (TOML) says what to fetch and how fast; syncctl fetches it with a pool of workers and lands
/// every record in a store. Kill it at any instant: the next run goes on, with no record lost and none twice.
#[derive(Debug, Parser)]
#[command(name = "syncctl", version, arg_required_else_help = true, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
In this order, with a plan of your own:
  syncctl init                    writes plan.toml, which runs at once on the built-in practice API
  syncctl validate plan.toml      is it right? No network
  syncctl doctor plan.toml        do network, credentials and store work?
  syncctl preview plan.toml       the first rows of each task; nothing is landed
  syncctl explain plan.toml       how many requests, how long, which limit
  syncctl run plan.toml           fetch; again, and it asks for what is new
  syncctl failures plan.toml      what failed, why, and where in the plan
  syncctl retry plan.toml         just that once more
  syncctl verify plan.toml        does the store hold what its ledger says?

Examples:
  syncctl run plans/quickstart.toml         run a plan on the built-in practice API
  syncctl explain plans/github-issues.toml  what it would request, and how long that takes
  syncctl validate                          check every plan in plans/
  syncctl serve                             leave it running: schedules, a page to watch, an API
  syncctl plans add plans/quickstart.toml   give a plan to that server

Exit codes:
  0    complete
  1    it ran and the answer is no: requests failed for good, it does not fit, the server refuses
  2    the plan or the arguments are wrong
  3    a limit asks for a wait longer than --wait; resumable
  4    the store or the system failed, no server answers
  130  interrupted; resumable";

/// The subcommands, in the order in which a newcomer needs them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(InitArgs),
    Validate(ValidateArgs),
    Doctor(DoctorArgs),
    Preview(PreviewArgs),
    Explain(ExplainArgs),
    Run(RunArgs),
    Status(StatusArgs),
    Failures(FailuresArgs),
    Retry(RetryArgs),
    Trace(TraceArgs),
    Verify(VerifyArgs),
    Export(ExportArgs),
    Serve(ServeArgs),
    Plans(PlansArgs),
    Schema(SchemaArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

impl Command {
    /// Whether a program reads its stderr.
    pub(crate) fn speaks_json(&self) -> bool {
        let progress = match self {
            Command::Run(args) => args.progress,
            Command::Retry(args) => args.progress,
            Command::Serve(args) => return args.log == LogKind::Json,
            _ => return false,
        };
        progress == ProgressKind::Json
    }
}

/// Write a plan to begin with.
///
/// It is commented, and runs at once against the built-in practice API. Or it is made from a curl command
/// that works, as browsers and API documents have them: credentials do not get into the plan, it says which
/// environment variables they are to come from.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl init                                         writes plan.toml
  syncctl init github.toml --from-curl 'curl https://api.github.com/user/repos -H \"Authorization: Bearer …\"'
  xclip -o | syncctl init github.toml --from-curl -    what a browser copied as cURL (bash)")]
pub(crate) struct InitArgs {
    /// The file to write; the plan is named after it.
    #[arg(value_name = "FILE", default_value = "plan.toml")]
    pub(crate) file: PathBuf,
    /// Make the plan from this curl command; - reads it from stdin.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) from_curl: Option<String>,
    /// Overwrite the file.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Run a plan: fetch what it asks for and land it in its store.
///
/// An unfinished run (interrupted, killed, out of power) is resumed. Ctrl-C once lets the requests in
/// flight land and stops; twice stops at once. Both leave a run that can be resumed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl run plans/quickstart.toml
  syncctl run plans/github-issues.toml comments       only this task and what it depends on
  syncctl run plans/binance-candles.toml --set 'symbols=[\"ETHUSDT\"]'
  syncctl run plan.toml --fresh                       undo an unfinished run and begin anew
  syncctl run plan.toml --wait 10m                    give up (resumable) if a limit asks for more
  syncctl run plan.toml --progress json 2> events.jsonl
  syncctl run plan.toml --output json | jq .records")]
pub(crate) struct RunArgs {
    /// The plan's file.
    pub(crate) plan: PathBuf,
    /// Only these tasks and the tasks they depend on [default: all].
    #[arg(value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// Set a variable of the plan; may be given several times. V is of the type the plan's value has:
    /// text as it is, a number, true or false, a list as ["a", "b"] or a,b.
    #[arg(long, value_name = "K=V", value_parser = parse_assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// Undo an unfinished run first and begin anew.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) fresh: bool,
    /// Resume an unfinished run even though the plan has changed; tasks that changed start over.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Ignore cursors: fetch everything again (cursors are kept and move on).
    #[arg(long)]
    pub(crate) full_refresh: bool,
    /// Requests in flight at most, over all endpoints [default: what the plan's endpoints allow together].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) workers: Option<u32>,
    /// The longest wait that a limit may ask for; a longer one ends the run with exit code 3, resumable.
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = parse_duration)]
    pub(crate) wait: Duration,
    /// How progress is shown on stderr.
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto, value_name = "KIND")]
    pub(crate) progress: ProgressKind,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = OutputKind::Human, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Make the requests again that failed, and no others.
///
/// Those are what `syncctl failures` lists: the failed requests of the last run of each task, and what earlier
/// runs owe. A task that replaces its table is done as a whole. Children of the records that land come along.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl retry plan.toml
  syncctl retry plan.toml --output json | jq .state")]
pub(crate) struct RetryArgs {
    /// The plan's file.
    pub(crate) plan: PathBuf,
    /// Set a variable of the plan; may be given several times.
    #[arg(long, value_name = "K=V", value_parser = parse_assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// Requests in flight at most, over all endpoints [default: what the plan's endpoints allow together].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) workers: Option<u32>,
    /// The longest wait that a limit may ask for; a longer one ends the run with exit code 3, resumable.
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = parse_duration)]
    pub(crate) wait: Duration,
    /// How progress is shown on stderr.
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto, value_name = "KIND")]
    pub(crate) progress: ProgressKind,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = OutputKind::Human, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Show which requests failed, why, and where in the plan they were asked for.
///
/// Of the last finished run of each task, and of earlier runs as far as nothing has made up for them. Equal
/// failures are one block with a count. `syncctl retry` makes them again.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl failures plan.toml
  syncctl failures plan.toml --task comments
  syncctl failures plan.toml --run 7 --output json | jq '.causes[].message'")]
pub(crate) struct FailuresArgs {
    /// The plan's file.
    pub(crate) plan: PathBuf,
    /// The failures of this run, whatever came of them later.
    #[arg(long, value_name = "N")]
    pub(crate) run: Option<i64>,
    /// Only of this task.
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// How many requests to list, shared among the causes; people are shown ten for each at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = OutputKind::Human, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Fetch one page of each task and show its rows; nothing is landed.
///
/// Real requests, with the plan's limits and credentials: one for each task at most, from the `start` of each
/// cursor. Children are asked for the first records of their parents. The plan's store is not touched: neither
/// rows nor cursors nor its ledger.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl preview plan.toml
  syncctl preview plan.toml comments --rows 3            this task and what it depends on
  syncctl preview plan.toml --set 'repos=[\"me/mine\"]'
  syncctl preview plan.toml --output json | jq '.tasks[0].columns'")]
pub(crate) struct PreviewArgs {
    /// The plan's file.
    pub(crate) plan: PathBuf,
    /// Only these tasks and the tasks they depend on [default: all].
    #[arg(value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// How many rows of each task to show.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) rows: usize,
    /// Set a variable of the plan; may be given several times.
    #[arg(long, value_name = "K=V", value_parser = parse_assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = OutputKind::Human, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Check what a plan needs: network, certificates, credentials, limits, clock, store.
///
/// Makes one real request to each endpoint. Each red line says what to do about it; exit code 1 if there is
/// one.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl doctor plan.toml
  syncctl doctor plan.toml --output json | jq '.checks[] | select(.state == \"bad\")'")]
pub(crate) struct DoctorArgs {
    /// The plan's file.
    pub(crate) plan: PathBuf,
    /// Set a variable of the plan; may be given several times.
    #[arg(long, value_name = "K=V", value_parser = parse_assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = OutputKind::Human, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Check plans without running them: no network, no secret is read.
///
/// Every error of a file is reported in one go, with its line and a way to fix it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl validate                            every plans/*.toml here
  syncctl validate plans/github-issues.toml
  syncctl validate --format github            annotations for GitHub Actions")]
pub(crate) struct ValidateArgs {
    /// The plans' files [default: every plans/*.toml here].
    #[arg(value_name = "PLAN")]
    pub(crate) plans: Vec<PathBuf>,
    /// How the diagnostics are written to stdout.
    #[arg(long, value_enum, default_value_t = FormatKind::Human, value_name = "FORMAT")]
    pub(crate) format: FormatKind,
}

/// Say what a run would do: requests, time, limits, hosts. No network.
///
/// What is known before the first answer is told apart from what is estimated from earlier runs, and from
/// what nobody can know yet. Cursors are taken into account, and so is what is used of the limits already:
/// to find that, secrets are looked up in the environment and in files, and sent nowhere; commands are not run.
/// A store in PostgreSQL is the one exception: it is asked what earlier runs were like.
///
/// With --within, exit code 1 says that it will not fit.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl explain plans/tushare-daily.toml
  syncctl explain --within 2h plans/tushare-daily.toml && syncctl run plans/tushare-daily.toml
  syncctl explain plans/tushare-daily.toml --wait 1d   waiting a day for a quota is fine: how often does it pause?
  syncctl explain plans/github-issues.toml comments    only this task and what it depends on
  syncctl explain plans/tushare-daily.toml --set since=2020-01-01 --output json")]
pub(crate) struct ExplainArgs {
    /// The plan's file.
    pub(crate) plan: PathBuf,
    /// Only these tasks and the tasks they depend on [default: all].
    #[arg(value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// Set a variable of the plan; may be given several times.
    #[arg(long, value_name = "K=V", value_parser = parse_assignment)]
    pub(crate) set: Vec<(String, String)>,
    /// Judge whether it fits into this time; exit code 1 if not.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) within: Option<Duration>,
    /// The longest wait that the run would be allowed (its --wait): a limit that asks for more pauses it.
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = parse_duration)]
    pub(crate) wait: Duration,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = OutputKind::Human, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Show the last runs of a plan, what is open and what failed, and how its limits stand now.
///
/// Limits are what all syncctl processes of this user on this machine share: what is used, until when a server
/// wants nothing, what its refusals have taught. Secrets are looked up to find them, and sent nowhere.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl status plans/quickstart.toml
  syncctl status plans/quickstart.toml --output json | jq '.runs[0].state'
  syncctl status plans/quickstart.toml --output json | jq '.limits[] | {limit, used, closed}'")]
pub(crate) struct StatusArgs {
    /// The plan's file.
    pub(crate) plan: PathBuf,
    /// How many runs to show, newest first.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) runs: usize,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = OutputKind::Human, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Show which request produced a row.
///
/// The row is named by the values of its key columns, in the order of `key` in the plan; rows of a table
/// without a key, or by anything else, by COLUMN=VALUE. A row says which request returned it last.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl trace plans/github-issues.toml issues 2847719
  syncctl trace plans/quickstart.toml bars 000001.SZ 2023-01-02   a key of two columns
  syncctl trace plan.toml events name=login                       any column
  syncctl trace plan.toml events --task-id 4211                   what a request brought")]
pub(crate) struct TraceArgs {
    /// The plan's file.
    pub(crate) plan: PathBuf,
    /// The table.
    pub(crate) table: String,
    /// The values of the row's key columns, or COLUMN=VALUE.
    #[arg(value_name = "KEY", required_unless_present = "task_id")]
    pub(crate) key: Vec<String>,
    /// The rows that this request returned (their `_task`), instead of a key.
    #[arg(long, value_name = "N", conflicts_with = "key")]
    pub(crate) task_id: Option<i64>,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = OutputKind::Human, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Print the JSON Schema of plans, for editors: completion, descriptions, mistakes underlined.
///
/// Editors that understand Taplo's directive (Even Better TOML) find it by the first line of a plan:
/// #:schema ./syncplan.schema.json
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl schema --output plans/syncplan.schema.json
  syncctl schema | jq '.\"$defs\".task.properties | keys'")]
pub(crate) struct SchemaArgs {
    /// Write it to this file instead of stdout.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Print completions for a shell.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl completions bash > ~/.local/share/bash-completion/completions/syncctl
  syncctl completions zsh  > ~/.zfunc/_syncctl
  syncctl completions fish > ~/.config/fish/completions/syncctl.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Print the manual page.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  syncctl man > ~/.local/share/man/man1/syncctl.1
  syncctl man | man -l -")]
pub(crate) struct ManArgs {}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
