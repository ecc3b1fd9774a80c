//! What is to be done next: lanes of tasks, and the manager that keeps them filled.
//!
//! A [`TaskQueue`] is a lane per task spec, gated by the caller, taken from in turns; delayed tasks
//! come back by time. A [`TaskManager`] fills the lanes in bounded chunks: from a spec's
//! [`Expansion`], from the [`Slices`] below its heads (with the [`Lists`] of other tasks' rows), from the tasks
//! open in the ledger.
//!
//! **Invariant**: pure and deterministic. `now` is an argument; nothing is sent, stored or logged;
//! memory does not grow with the number of combinations, only with the length of lists.

mod queue;

mod expansion;
mod lists;
mod slices;
mod window;

mod feed;
mod progress;

mod manager;

pub use expansion::{Dimension, Expansion, ExpansionError, Values};
pub use feed::{CombinationNames, Feed, Roots};
pub use lists::{ListName, Lists};
pub use manager::{TaskManager, Unsent, Why};
pub use progress::Progress;
pub use queue::{LaneId, Queued, TaskQueue};
pub use slices::{Part, Rules, SliceNames, Slices};
pub use window::{Cut, Windows, parse_instant};
