//! Opens SQLite stores.

use std::path::Path;

use entities::{Secrets, Store, StoreError, StoreOpener, StoreTarget};
use rusqlite::Connection;

use crate::ledger;
use crate::ledger_store::LedgerStore;
use crate::lock::StoreLock;
use crate::sqlite::SqliteTables;

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
            StoreTarget::Sqlite(path) => {
                let (ledger, lock) = open_ledger(path, &self.command_line)?;
                let name = path.display().to_string();
                Ok(Box::new(LedgerStore::new(name, ledger, SqliteTables::default(), Some(lock))))
            }
            other => Err(StoreError::Broken {
                store: other.to_string(),
                doing: "open",
                why: "this build of syncctl has no such store".to_owned(),
            }),
        }
    }
}

/// Opens or creates the ledger in the file at `path`, with the directories above it, and takes its lock.
/// `command_line` is shown to whoever finds it locked.
pub fn open_ledger(path: &Path, command_line: &str) -> Result<(Connection, StoreLock), StoreError> {
    let name = path.display().to_string();
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(|error| StoreError::Broken {
            store: name.clone(),
            doing: "open",
            why: format!("{}: {error}", directory.display()),
        })?;
    }
    let lock = StoreLock::take(path, command_line)?;
    let ledger = ledger::open(path).map_err(|trouble| trouble.named(&name, "open"))?;
    Ok((ledger, lock))
}
