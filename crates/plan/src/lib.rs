//! Plan text → [`entities::SyncPlan`], with every diagnostic at once.
//!
//! [`load`] reads the text; [`resolve_secrets`] fetches the secrets of a plan that was loaded.
//! Environment, files and commands come through [`Lookup`] only.
//!
//! **Invariant**: pure. No environment, no files (but the time zone database), no network, no clock; no
//! text makes it panic, and nothing that a plan says is silently ignored.

pub mod format;
mod load;

mod diagnostic;
mod render;

mod brief;
mod findings;
mod item;
mod reader;
mod units;

mod connection;
mod credential_names;
mod credentials;
mod schedule;
mod secrets;
mod store;
mod vars;

mod address;
mod auth;
mod cost;
mod endpoint;
mod limit;
mod rules;

mod cursor;
mod foreach;
mod paginate;
mod reading;
mod request;
mod task;
mod writing;
mod zone;

mod check;
mod fingerprint;
mod names;
mod projection;
mod strings;
mod visible;

mod changes;
mod destinations;
mod excesses;
mod held;
mod name_of;
mod private_addresses;

pub use changes::{changes, starts_over};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use excesses::{Bounds, excesses};
pub use held::{shown, with_held_secrets};
pub use load::{Loaded, Lookup, load};
pub use name_of::name_of;
pub use private_addresses::private_addresses;
pub use secrets::{resolve_secrets, resolve_store_secrets};
pub use store::store_place;
