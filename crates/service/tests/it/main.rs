//! The service over a real engine, store and API.
#![expect(clippy::unwrap_used, reason = "tests")]

mod crashes;
mod lifecycle;
mod policy;
mod replacing;
mod scheduling;
mod store_paths;
mod telling;
mod trouble;
mod world;
