//! What is asked of the keeper, and how it answers.

use std::sync::Arc;

use entities::{PlanName, StoreTarget};
use plan::Diagnostic;
use tokio::sync::oneshot;

use crate::book::Wish;
use crate::operation::Answer;
use crate::{Checked, PlanDetail, PlanView, Replaced, ServiceError, Snapshot};

pub(crate) type Reply<T> = oneshot::Sender<Result<T, ServiceError>>;

/// What the handle asks.
pub(crate) enum Command {
    Check { text: String, reply: Reply<Checked> },
    Add { text: String, reply: Reply<(PlanView, Vec<Diagnostic>)> },
    Do { plan: PlanName, ask: Ask },
    Names { reply: Reply<Vec<PlanName>>, which: Which },
    Detail { plan: PlanName, reply: Reply<Box<PlanDetail>> },
    Snapshot { reply: Reply<Arc<Snapshot>> },
    Shutdown { reply: oneshot::Sender<()> },
}

/// Which plans are asked for.
#[derive(Clone, Copy)]
pub(crate) enum Which {
    /// Those that neither run nor are paused.
    ToStart,
    /// Those that run, or would go on by themselves.
    ToCancel,
}

/// What is asked of one plan.
pub(crate) enum Ask {
    Start { wish: Wish, caller: Caller },
    Pause { caller: Caller },
    Resume { caller: Caller },
    Cancel { caller: Caller },
    Replace { text: String, dry_run: bool, caller: Caller },
    Remove { caller: Caller },
}

/// Who asked, and what they are told.
pub(crate) enum Caller {
    /// The keeper itself.
    Nobody,
    View(Reply<PlanView>),
    Added(Reply<(PlanView, Vec<Diagnostic>)>),
    Replaced(Reply<Box<Replaced>>),
    Removed(Reply<StoreTarget>),
}

impl Caller {
    pub(crate) fn refuse(self, error: ServiceError) {
        // Whoever asked may have gone.
        match self {
            Caller::Nobody => {}
            Caller::View(reply) => drop(reply.send(Err(error))),
            Caller::Added(reply) => drop(reply.send(Err(error))),
            Caller::Replaced(reply) => drop(reply.send(Err(error))),
            Caller::Removed(reply) => drop(reply.send(Err(error))),
        }
    }

    pub(crate) fn tell(self, answer: Answer, view: Option<PlanView>) {
        match (self, answer, view) {
            (Caller::View(reply), _, Some(view)) => drop(reply.send(Ok(view))),
            (Caller::Added(reply), Answer::Added(warnings), Some(view)) => {
                drop(reply.send(Ok((view, warnings))));
            }
            (Caller::Replaced(reply), Answer::Replaced { changes, starts_over, warnings }, Some(view)) => {
                drop(reply.send(Ok(Box::new(Replaced { view, changes, starts_over, warnings }))));
            }
            (Caller::Removed(reply), Answer::Removed(store), _) => drop(reply.send(Ok(store))),
            _ => {}
        }
    }
}

impl Ask {
    pub(crate) fn refuse(self, error: ServiceError) {
        match self {
            Ask::Start { caller, .. }
            | Ask::Pause { caller }
            | Ask::Resume { caller }
            | Ask::Cancel { caller }
            | Ask::Replace { caller, .. }
            | Ask::Remove { caller } => caller.refuse(error),
        }
    }
}

impl Command {
    /// Says that nobody does this any more.
    pub(crate) fn refuse(self) {
        match self {
            Command::Check { reply, .. } => drop(reply.send(Err(ServiceError::Closed))),
            Command::Add { reply, .. } => drop(reply.send(Err(ServiceError::Closed))),
            Command::Do { ask, .. } => ask.refuse(ServiceError::Closed),
            Command::Names { reply, .. } => drop(reply.send(Err(ServiceError::Closed))),
            Command::Detail { reply, .. } => drop(reply.send(Err(ServiceError::Closed))),
            Command::Snapshot { reply } => drop(reply.send(Err(ServiceError::Closed))),
            // The first shutdown is under way; its end drops this.
            Command::Shutdown { reply } => drop(reply),
        }
    }
}
