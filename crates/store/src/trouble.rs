//! The crate's own error: what SQLite said, before the store's name is put to it.

use entities::StoreError;
use rusqlite::{Error, ErrorCode};

/// Why an operation on the store did not work.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// SQLite's words.
    Sql(Error),
    /// An error that already says everything.
    Store(StoreError),
    /// The ledger says something that makes no sense.
    Ledger(String),
}

impl Trouble {
    /// As the error that callers get.
    pub(crate) fn named(self, store: &str, doing: &'static str) -> StoreError {
        let why = match self {
            Trouble::Store(error) => return error,
            Trouble::Sql(error) => words(&error),
            Trouble::Ledger(why) => why,
        };
        StoreError::Broken { store: store.to_owned(), doing, why }
    }

    /// Whether a record is to blame (a constraint or trigger of the user's own, a value too large),
    /// not the disk or the ledger.
    pub(crate) fn is_about_a_record(&self) -> bool {
        matches!(
            self,
            Trouble::Sql(Error::SqliteFailure(e, _))
                if matches!(e.code, ErrorCode::ConstraintViolation | ErrorCode::TooBig)
        )
    }

    /// Whether what the disk holds is in doubt: a failed fsync must never be tried again, since
    /// the second one may succeed without having written anything.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(
            self,
            Trouble::Sql(Error::SqliteFailure(e, _))
                if matches!(e.code, ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }
}

/// SQLite's message without the wrapping that only programmers need.
pub(crate) fn words(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqliteFailure(code, None) => code.to_string(),
        other => other.to_string(),
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Sql(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Trouble::Store(error)
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        Trouble::Ledger(format!("the ledger holds JSON that does not parse: {error}"))
    }
}
