//! The token rule: how many requests a limit still allows, and when; pure.
//!
//! A limit of L requests per window W is L tokens. A request takes one and gives it back W after
//! its answer came, or W after its loss was noticed. So of any L+1 requests two used the same
//! token, and the later arrives more than W after the earlier did: no window ever holds L+1,
//! whatever the latency and in any order.
//!
//! A [`TokenWindow`] is one limit; a [`Budget`] is all that one origin allows one credential:
//! several limits at once, and until when it has closed itself.
//!
//! **Invariant**: no clock, no I/O, no randomness; a check charges nothing; a token is never used
//! twice within W of an answer. Who asks for durable leases and where they are kept is the
//! engine's business (`engine/src/budget_file.rs`).

mod budget;
mod spacing;
mod window;

pub use budget::{Budget, Why};
pub use window::{TokenWindow, Verdict};
