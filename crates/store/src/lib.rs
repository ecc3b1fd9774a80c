//! SQLite: the ledger and the tables in one file.
//!
//! [`Stores`] opens a store: one file with the plan's tables and, beside them, the ledger
//! (`_sync_*`, see `ledger.rs`). Every call of [`entities::Store`] is one transaction; records and
//! the completion of the task that brought them commit together. [`SqliteReader`] answers the
//! command line's and the server's questions without a lock, also while a run writes.
//!
//! **Invariant**: nothing here sends a request, reads a plan's text or decides what happens next.
//! One process writes a store; a digit that came in is the digit that is held.

mod lock;
mod opener;

mod sqlite;

mod ledger; //   the tables of the account, and what always holds
mod migrate; //  ledgers of earlier versions

mod active; //   a run under way, as commits need it
mod begin; //    a new run, or …
mod debts; //    what earlier runs owe it
mod drives; //   who drives whom
mod restart; //  specs that changed
mod resume; //   … an unfinished one
mod retry; //    only what failed
mod undo;

mod commit;
mod landing;
mod statements;
mod tasks;
mod waiting; //  records for a batch

mod boundary;
mod cursor;

mod claim; //    who owns a table
mod column;
mod frozen;
mod layout;
mod modes;
mod rows; //     read back as records
mod tables;
mod widen;

mod answers;
mod reader;

mod sql;
mod trouble;

pub use answers::{
    ColumnRow, CursorRow, FailureRow, HistoryRow, RequestFilter, RequestPage, RequestRow, RequestState,
    RowValues, Rows, RunRow, SpecRow, TableRow, TracedRow,
};
pub use lock::lock_path;
pub use opener::Stores;
pub use reader::SqliteReader;
