//! The engine with everything real around it: a SQLite store, HTTP workers, the practice API.
#![expect(clippy::unwrap_used, reason = "tests")]

mod budgets;
mod coming_and_going;
mod held;
mod language;
mod lifecycle;
mod stores;
mod trouble;
mod verbs;
mod world;
