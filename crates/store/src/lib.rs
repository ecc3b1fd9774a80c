//! The ledger of every store, the seam to its tables, and the store whose tables are beside it: SQLite.
//!
//! [`Stores`] opens one file with the plan's tables and, beside them, the ledger
//! (`_sync_*`, see `ledger.rs`). Every call of [`entities::Store`] is one transaction; records and
//! the completion of the task that brought them commit together. Other kinds of stores are a [`Tables`] of their own
//! with the same [`LedgerStore`]. [`Reader`] answers the
//! command line's and the server's questions without a lock, also while a run writes.
//!
//! **Invariant**: nothing here sends a request, reads a plan's text or decides what happens next.
//! One process writes a store; a digit that came in is the digit that is held.

mod lock;
mod opener;

mod ledger; //   the tables of the account, and what always holds
mod ledger_store;
mod migrate; //  ledgers of earlier versions // transactions of ledger and tables

mod active; //   a run under way, as commits need it
mod begin; //    a new run, or …
mod debts; //    what earlier runs owe it
mod drives; //   who drives whom
mod restart; //  specs that changed
mod resume; //   … an unfinished one
mod retry; //    only what failed
mod undo;

mod commit;
mod statements;
mod tasks;
mod waiting; //  records for a batch

mod boundary;
mod cursor;

mod claim; //    who owns a table
mod column; //   what a column holds
mod columns; //  which columns a table has
mod frozen;
mod seam; //     what a kind of store does with records
mod sqlite; //   … and what SQLite does

mod answers;
mod reader;

mod sql;
mod trouble;

pub use answers::{
    ColumnRow, CursorRow, FailureRow, Finding, HistoryRow, RequestFilter, RequestPage, RequestRow,
    RequestState, RowValues, Rows, RunRow, SpecRow, TableRow, TracedRow, Verified, VerifiedTable,
};
pub use claim::{foreign, key_text};
pub use column::{ColumnType, EXACT, Kinds, digits, json_of, text_of};
pub use columns::{Change, Column, Columns, DELETED_AT, Room, Shape};
pub use frozen::refusal;
pub use ledger::{PREFIX, VERSION, check_version, create};
pub use ledger_store::LedgerStore;
pub use lock::{StoreLock, lock_path, private};
#[cfg(debug_assertions)]
pub use opener::never_sync;
pub use opener::{Stores, open_ledger};
pub use reader::{
    PageFromBehind, Reader, ReaderOpener, Readers, Repeated, Scan, Shown, Source, SqliteRows, TableRows,
    Told, View, Wanted, open_to_read, value_of,
};
pub use seam::{Requests, TableOf, Tables, Write, Written};
pub use sql::{quoted, quoted_list};
pub use sqlite::SqliteTables;
pub use statements::Statements;
pub use trouble::Trouble;
