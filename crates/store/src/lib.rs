//! SQLite: the ledger and the tables in one file.
//!
//! [`Stores`] opens a store: one file with the plan's tables and, beside them, the ledger
//! (`_sync_*`, see `ledger.rs`). Every call of [`entities::Store`] is one transaction; records and
//! the completion of the task that brought them commit together. [`SqliteReader`] answers the
//! command line's questions without a lock, also while a run writes.
//!
//! **Invariant**: nothing here sends a request, reads a plan's text or decides what happens next.
//! One process writes a store; a digit that came in is the digit that is held.

mod lock;
mod opener;

mod sqlite;

mod ledger;

mod begin;
mod undo;

mod commit;
mod landing;
mod statements;
mod tasks;

mod boundary;
mod cursor;

mod column;
mod layout;
mod modes;
mod tables;
mod widen;

mod reader;

mod sql;
mod trouble;

pub use opener::Stores;
pub use reader::{FailureRow, RequestRow, RunRow, SpecRow, SqliteReader, TracedRow};
