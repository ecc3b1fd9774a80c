//! The token rule: how many requests a limit still allows, and when; pure.
//!
//! A limit of L per window W is L tokens. A request of cost c takes c of them and gives them back W
//! after its answer came, or W after its loss was noticed. So of any requests that cost more than L
//! two used the same token, and the later arrives more than W after the earlier did: no window ever
//! holds more than L, whatever the latency and in any order. What the answer shows not to have been
//! spent comes back at once; what was spent beyond is held on top, and nothing goes before it is
//! back. A limit with `resets` gives its tokens back when the calendar says so (`calendar.rs`).
//!
//! Tokens pass between processes through a [`Pool`], held ones with the time they come back, so the
//! rule holds for all of them together. Everything else only ever makes requests wait longer:
//! spacing (`spacing.rs`), what refusals teach (`learning.rs`), what the server says is left
//! (`quota.rs`), and the door that a 429 shuts ([`Budget::close_until`]).
//!
//! **Invariant**: no clock, no I/O, no randomness; a check charges nothing; a token is never used
//! twice within W of an answer. Where leases are kept is the engine's business
//! (`engine/src/budget_file.rs`).

mod budget;
mod calendar;
mod carry;
mod held;
mod learning;
mod pool;
mod quota;
mod spacing;
mod window;

pub use budget::{Budget, Why};
pub use calendar::returns_at;
pub use carry::{Past, carried};
pub use learning::Learned;
pub use pool::{Leased, Pool, PoolLease};
pub use window::{GivenUp, TokenWindow, Verdict};
