//! Opens stores: which kind a target asks for.

use entities::{Secrets, Store, StoreError, StoreOpener, StoreTarget};

use crate::sqlite::SqliteStore;

/// Opens SQLite stores.
#[derive(Clone, Debug)]
pub struct Stores {
    command_line: String,
}

impl Stores {
    /// `command_line` is shown to whoever finds a store locked: `syncctl run plan.toml`. It must
    /// hold no secret.
    pub fn new(command_line: String) -> Self {
        Stores { command_line }
    }
}

impl StoreOpener for Stores {
    fn open(&self, target: &StoreTarget, _: &Secrets) -> Result<Box<dyn Store>, StoreError> {
        match target {
            StoreTarget::Sqlite(path) => Ok(Box::new(SqliteStore::open(path, &self.command_line)?)),
            other => Err(StoreError::Broken {
                store: other.to_string(),
                doing: "open",
                why: "this build of syncctl has no such store".to_owned(),
            }),
        }
    }
}
