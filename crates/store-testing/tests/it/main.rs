//! One suite over every kind of store.
#![expect(clippy::unwrap_used, reason = "tests")]

mod listed; // no case is forgotten

mod cluster;
mod files;
mod postgres;
mod sqlite;
