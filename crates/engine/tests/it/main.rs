//! The engine with everything real around it: a SQLite store, HTTP workers, the practice API.
#![expect(clippy::unwrap_used, reason = "tests")]

mod budgets;
mod language;
mod lifecycle;
mod trouble;
mod world;
