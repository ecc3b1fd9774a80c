//! One file per command, each with one function; here is only which of them is called.

mod completions;
mod explain;
mod man;
mod run;
mod status;
mod trace;
mod validate;

use crate::cli::Command;
use crate::context::Context;
use crate::exit::Outcome;

/// Does what the command line says.
pub(crate) fn dispatch(command: Command, context: &Context) -> Outcome {
    match command {
        Command::Run(args) => run::run(&args, context),
        Command::Validate(args) => validate::validate(&args, context),
        Command::Explain(args) => explain::explain(&args, context),
        Command::Status(args) => status::status(&args, context),
        Command::Trace(args) => trace::trace(&args, context),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(_) => man::man(),
    }
}
