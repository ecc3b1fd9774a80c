//! The documented exit codes, and problems that end the command with one of them.
//! Not for failures of single requests: those are in the run's report.

use std::process::ExitCode;

use engine::EngineError;
use entities::{PlanState, StoreError};

/// How the command ends. The numbers are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was asked for is done.
    Complete = 0,
    /// It ran, and the answer is no: requests failed for good, there is no such row.
    No = 1,
    /// The plan or the arguments are wrong.
    Wrong = 2,
    /// A limit asks for a longer wait than `--wait` allows; resumable.
    LongWait = 3,
    /// The store or the system failed.
    Broken = 4,
    /// Interrupted; resumable.
    Interrupted = 130,
}

impl Exit {
    /// The exit code of a run that ended in `state`.
    pub(crate) fn of(state: PlanState) -> Exit {
        match state {
            PlanState::Complete => Exit::Complete,
            PlanState::Failed => Exit::No,
            PlanState::OutOfQuota => Exit::LongWait,
            PlanState::Broken => Exit::Broken,
            PlanState::Idle
            | PlanState::Running
            | PlanState::Paused
            | PlanState::Draining
            | PlanState::Interrupted => Exit::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command cannot go on: what happened, the way out, and the exit code.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What happened; may have several lines, and is complete in itself (it names the thing).
    pub(crate) text: String,
    /// The part of the plan it is about, to be shown as it is.
    pub(crate) excerpt: Option<String>,
    /// Ways out, one line each.
    pub(crate) help: Vec<String>,
    /// `text` is shown as it is, without `error:` before it (diagnostics bring their own).
    pub(crate) rendered: bool,
}

/// What a command returns.
pub(crate) type Outcome = Result<Exit, Problem>;

impl Problem {
    /// The plan or the arguments are wrong.
    pub(crate) fn wrong(text: impl Into<String>) -> Problem {
        Problem { exit: Exit::Wrong, text: text.into(), excerpt: None, help: Vec::new(), rendered: false }
    }

    /// It works, but the answer is no.
    pub(crate) fn no(text: impl Into<String>) -> Problem {
        Problem { exit: Exit::No, ..Problem::wrong(text) }
    }

    /// Diagnostics that have been rendered already.
    pub(crate) fn diagnosed(rendered: String) -> Problem {
        Problem { rendered: true, ..Problem::wrong(rendered) }
    }

    /// Interrupted by the user.
    pub(crate) fn interrupted(text: impl Into<String>) -> Problem {
        Problem { exit: Exit::Interrupted, ..Problem::wrong(text) }
    }

    /// With a way out.
    #[must_use]
    pub(crate) fn help(mut self, line: impl Into<String>) -> Problem {
        self.help.push(line.into());
        self
    }
}

/// The system failed in a way that has no better name.
impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Problem {
        Problem { exit: Exit::Broken, ..Problem::wrong(format!("{error:#}")) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        let text = error.to_string();
        match error {
            StoreError::PlanChanged { .. } => Problem::wrong(text)
                .help("--resume goes on with it (what changed starts over)")
                .help("--fresh undoes it and begins anew"),
            StoreError::Foreign { .. } => {
                Problem::wrong(text).help("give the task another `table`, or the plan another [store]")
            }
            StoreError::Locked { .. } => Problem { exit: Exit::Broken, ..Problem::wrong(text) }
                .help("wait until it has ended, or stop it; readers (status, trace) work meanwhile"),
            StoreError::TakenOver { .. } => Problem { exit: Exit::Broken, ..Problem::wrong(text) }
                .help("one process writes a store: let that one go on, or stop it and run this again"),
            StoreError::TooNew { .. } => Problem { exit: Exit::Broken, ..Problem::wrong(text) }
                .help("use that version, or another file in [store]"),
            StoreError::NothingToRetry { .. } | StoreError::NothingUnfinished { .. } => Problem::wrong(text),
            StoreError::Unfinished { .. } => {
                Problem::wrong(text).help("`syncctl run` resumes it; `syncctl run --fresh` undoes it first")
            }
            StoreError::Broken { .. } => Problem { exit: Exit::Broken, ..Problem::wrong(text) },
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Problem {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::Plan(failure) => {
                let problem = Problem::wrong(failure.to_string());
                match failure.help {
                    Some(help) => problem.help(help),
                    None => problem,
                }
            }
            EngineError::Budgets { .. } => {
                Problem { exit: Exit::Broken, ..Problem::wrong(error.to_string()) }
                    .help("XDG_STATE_HOME names the directory that syncctl/budgets.db is kept in")
            }
            EngineError::UnknownPlan(_)
            | EngineError::DuplicatePlan(_)
            | EngineError::WrongState { .. }
            | EngineError::Closed => Problem { exit: Exit::Broken, ..Problem::wrong(error.to_string()) },
        }
    }
}
