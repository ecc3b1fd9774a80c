//! Progress of a run on stderr: bars, plain lines, JSON, or nothing. Three ways to show the same
//! two things: what the engine counts (polled) and what it tells (events).

mod bars;
mod json;
pub(crate) mod pace;
mod plain;
pub(crate) mod words;

use std::time::Duration;

use entities::{EngineEvent, Moment, PlanStatus, SyncPlan};

use crate::cli::ProgressKind;
use crate::context::Context;
use words::Words;

/// A way to show progress.
pub(crate) trait Progress {
    /// How often [`status`](Self::status) wants to be called.
    fn interval(&self) -> Duration;

    /// What the engine counts, now.
    fn status(&mut self, status: &PlanStatus, now: Moment);

    /// Something the engine told.
    fn event(&mut self, event: &EngineEvent, now: Moment);

    /// Something the command itself has to say.
    fn say(&mut self, line: &str);

    /// The run is over: what moves is taken off the screen.
    fn finish(&mut self, now: Moment);
}

/// The way that was asked for, or the one that fits stderr.
pub(crate) fn choose(kind: ProgressKind, plan: &SyncPlan, context: &Context) -> Box<dyn Progress> {
    // To ask for the system's zone reads its whole list of zones.
    let words = || Words::new(plan, (**context.zone).clone());
    match kind {
        ProgressKind::Auto | ProgressKind::Bar if context.stderr_is_terminal => {
            Box::new(bars::Bars::new(plan, words(), context))
        }
        ProgressKind::Auto | ProgressKind::Bar | ProgressKind::Plain => Box::new(plain::Plain::new(words())),
        ProgressKind::Json => Box::new(json::Json::new(context)),
        ProgressKind::None => Box::new(Silence),
    }
}

/// `--progress none`: only what the command itself has to say.
struct Silence;

impl Progress for Silence {
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn status(&mut self, _status: &PlanStatus, _now: Moment) {}

    fn event(&mut self, _event: &EngineEvent, _now: Moment) {}

    fn say(&mut self, line: &str) {
        crate::terminal::to_stderr(line);
    }

    fn finish(&mut self, _now: Moment) {}
}
