//! `syncctl`: arguments, terminal, exit codes, composition. No behaviour: what a plan means is the
//! plan crate's, what happens next is the engine's.

mod cli;
mod commands;

mod compose;
mod context;
#[cfg(debug_assertions)]
mod torn;

mod causes;
mod progress;
mod report;
mod running;
mod signals;

mod client;
mod token;
mod told;

mod grid;
mod look;
mod throw_away;

mod exit;
mod plan_file;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::context::Context;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context::of_process(cli.command.speaks_json());
    match commands::dispatch(cli.command, &context) {
        Ok(exit) => exit.into(),
        Err(problem) => {
            terminal::complain(&problem, &context);
            problem.exit.into()
        }
    }
}
