//! What goes wrong in a store, before the store's name is put to it.

use entities::StoreError;
use rusqlite::{Error, ErrorCode};

/// Why an operation on the store did not work.
#[derive(Debug)]
pub enum Trouble {
    /// SQLite's words.
    Sql(Error),
    /// An error that already says everything.
    Store(StoreError),
    /// The ledger says something that makes no sense, or a table cannot be what it must be.
    Ledger(String),
    /// The tables do not take a record: a constraint or trigger of the user's own, a value too large.
    Record(String),
    /// The tables cannot be written, or what the disk holds is in doubt: never tried again in this process.
    Fatal(String),
    /// The connection to the tables broke, and the transaction with it.
    Lost(String),
}

impl Trouble {
    /// As the error that callers get.
    pub fn named(self, store: &str, doing: &'static str) -> StoreError {
        match self {
            Trouble::Store(error) => error,
            other => StoreError::Broken { store: store.to_owned(), doing, why: other.words() },
        }
    }

    /// For people.
    pub fn words(&self) -> String {
        match self {
            Trouble::Sql(error) => words(error),
            Trouble::Store(error) => error.to_string(),
            Trouble::Ledger(why) | Trouble::Record(why) | Trouble::Fatal(why) | Trouble::Lost(why) => {
                why.clone()
            }
        }
    }

    /// Whether a record is to blame (a constraint or trigger of the user's own, a value too large),
    /// not the disk or the ledger.
    pub fn is_about_a_record(&self) -> bool {
        match self {
            Trouble::Record(_) => true,
            Trouble::Sql(Error::SqliteFailure(e, _)) => {
                matches!(e.code, ErrorCode::ConstraintViolation | ErrorCode::TooBig)
            }
            _ => false,
        }
    }

    /// Whether what is read is damaged, so that reading it again changes nothing: not the connection, not the ledger.
    pub fn is_damage(&self) -> bool {
        match self {
            Trouble::Record(_) => true,
            Trouble::Sql(Error::SqliteFailure(e, _)) => e.code == ErrorCode::DatabaseCorrupt,
            _ => false,
        }
    }

    /// Whether what the disk holds is in doubt: a failed fsync must never be tried again, since
    /// the second one may succeed without having written anything.
    pub fn is_fatal(&self) -> bool {
        match self {
            Trouble::Fatal(_) => true,
            Trouble::Sql(Error::SqliteFailure(e, _)) => matches!(
                e.code,
                ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
            ),
            _ => false,
        }
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
