//! One file per command, each with one function; here is only which of them is called.

mod completions;
mod doctor;
mod explain;
mod export;
mod failures;
mod init;
mod man;
mod plans;
mod preview;
mod retry;
mod run;
mod schema;
mod serve;
mod status;
mod trace;
mod validate;
mod verify;

use crate::cli::Command;
use crate::context::Context;
use crate::exit::Outcome;

/// Does what the command line says.
pub(crate) fn dispatch(command: Command, context: &Context) -> Outcome {
    match command {
        Command::Init(args) => init::init(&args, context),
        Command::Run(args) => run::run(&args, context),
        Command::Validate(args) => validate::validate(&args, context),
        Command::Explain(args) => explain::explain(&args, context),
        Command::Status(args) => status::status(&args, context),
        Command::Failures(args) => failures::failures(&args, context),
        Command::Retry(args) => retry::retry(&args, context),
        Command::Preview(args) => preview::preview(&args, context),
        Command::Doctor(args) => doctor::doctor(&args, context),
        Command::Trace(args) => trace::trace(&args, context),
        Command::Verify(args) => verify::verify(&args, context),
        Command::Export(args) => export::export(&args, context),
        Command::Serve(args) => serve::serve(&args, context),
        Command::Plans(args) => plans::plans(&args.command, context),
        Command::Schema(args) => schema::schema(&args),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(_) => man::man(),
    }
}
