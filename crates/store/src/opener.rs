//! Opens stores: which kind a target asks for.

use entities::{Store, StoreError, StoreOpener, StoreTarget};

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
    fn open(&self, target: &StoreTarget) -> Result<Box<dyn Store>, StoreError> {
        match target {
            StoreTarget::Sqlite(path) => Ok(Box::new(SqliteStore::open(path, &self.command_line)?)),
        }
    }
}
