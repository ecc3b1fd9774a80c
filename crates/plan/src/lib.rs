//! Plan text → [`entities::SyncPlan`], with every diagnostic at once.
//!
//! [`load`] reads the text; [`resolve_secrets`] fetches the secrets of a plan that was loaded.
//! Environment, files and commands come through [`Lookup`] only.
//!
//! **Invariant**: pure. No environment, no files, no network, no clock; no text makes it panic, and
//! nothing that a plan says is silently ignored.

mod load;

mod diagnostic;
mod render;

mod findings;
mod item;
mod reader;
mod units;

mod secrets;
mod store;
mod vars;

mod auth;
mod endpoint;
mod limit;
mod rules;

mod foreach;
mod paginate;
mod reading;
mod task;
mod write;

mod check;
mod fingerprint;
mod names;
mod projection;
mod strings;
mod visible;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use load::{Loaded, Lookup, load};
pub use secrets::resolve_secrets;
