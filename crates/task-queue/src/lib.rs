//! What is to be done next: lanes of tasks, and the manager that keeps them filled.
//!
//! A [`TaskQueue`] is a lane per task spec, gated by the caller, taken from in turns; delayed tasks
//! come back by time. A [`TaskManager`] fills the lanes in bounded chunks: from a spec's
//! [`Expansion`] and from the tasks open in the ledger.
//!
//! **Invariant**: pure and deterministic. `now` is an argument; nothing is sent, stored or logged;
//! memory does not grow with the number of combinations.

mod queue;

mod expansion;
mod window;

mod progress;

mod manager;

pub use expansion::{Dimension, Expansion, ExpansionError, Values};
pub use manager::{Feed, TaskManager};
pub use progress::Progress;
pub use queue::{LaneId, Queued, TaskQueue};
pub use window::{Windows, parse_instant};
