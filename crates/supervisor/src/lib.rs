//! The worker pool: who is idle, busy or dead; assigns, restarts, reports.
//!
//! The [`Supervisor`] owns the workers. The engine's driver hands it granted jobs and takes what
//! came of them; it decides nothing about what runs next.
//!
//! **Invariant**: every job that is assigned comes back exactly once: as a [`Done`], or out of
//! [`Supervisor::abort`]. A worker that panics or hangs costs its job a failure and nothing else.

mod pool;
mod slot;

pub use pool::{Clock, Done, GRACE, Supervisor};
