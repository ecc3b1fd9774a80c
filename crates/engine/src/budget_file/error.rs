//! What can be wrong with the budgets' file, and what to do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::tables::VERSION;

/// Why budgets cannot be kept. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BudgetError {
    /// The directory, the disk, a lock.
    #[error(
        "cannot {doing} `{}`: {why}; make it possible, or have the budgets elsewhere: \
         XDG_STATE_HOME names the directory that syncctl/ is in",
        path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// "open", "read", "write to", "lock"
        doing: &'static str,
        /// The system's words.
        why: String,
    },
    /// Another process is writing, and does not come to an end.
    #[error("`{}` is locked by another process; if it has stopped (`ps` says T), let it go on or kill it", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file is no database, or a damaged one.
    #[error(
        "the budgets in `{}` are damaged ({why}); remove the file to start over: what was sent in the last \
         window of each limit is then forgotten",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        why: String,
    },
    /// A newer syncctl wrote it.
    #[error(
        "`{}` was written by a newer syncctl (version {found}, this one knows {}); use that one, since two \
         that cannot read each other's budgets cannot keep a limit together",
        path.display(), VERSION
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
}

pub(super) fn broken(path: &Path, doing: &'static str, why: &dyn std::fmt::Display) -> BudgetError {
    BudgetError::Broken { path: path.to_owned(), doing, why: why.to_string() }
}

/// What an error of the database means.
pub(super) fn failed(path: &Path, doing: &'static str, error: &rusqlite::Error) -> BudgetError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            BudgetError::Damaged { path: path.to_owned(), why: error.to_string() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            BudgetError::Busy { path: path.to_owned() }
        }
        _ => broken(path, doing, error),
    }
}
