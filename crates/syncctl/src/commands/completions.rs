//! `syncctl completions`: the shell's completion script on stdout.

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs};
use crate::exit::{Exit, Outcome};
use crate::terminal::to_stdout;

pub(super) fn completions(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "syncctl", &mut script);
    to_stdout(&String::from_utf8_lossy(&script));
    Ok(Exit::Complete)
}
