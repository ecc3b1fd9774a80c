//! Opens SQLite stores.

use std::path::Path;

use entities::{Secrets, Store, StoreError, StoreOpener, StoreTarget};
use rusqlite::{Connection, OptionalExtension};

use crate::ledger;
use crate::ledger_store::LedgerStore;
use crate::lock::StoreLock;
use crate::sqlite::SqliteTables;
use crate::trouble::Trouble;

/// Opens SQLite stores.
#[derive(Clone, Debug)]
pub struct Stores {
    command_line: String,
    #[cfg(debug_assertions)]
    sabotage: Option<entities::Sabotage>,
}

impl Stores {
    /// `command_line` is shown to whoever finds a store locked: `syncctl run plan.toml`. It must
    /// hold no secret.
    pub fn new(command_line: String) -> Self {
        Stores {
            command_line,
            #[cfg(debug_assertions)]
            sabotage: None,
        }
    }

    /// The same, breaking a promise.
    #[cfg(debug_assertions)]
    pub fn sabotaged(self, sabotage: Option<entities::Sabotage>) -> Self {
        Stores { sabotage, ..self }
    }
}

impl StoreOpener for Stores {
    fn open(&self, target: &StoreTarget, _: &Secrets) -> Result<Box<dyn Store>, StoreError> {
        match target {
            StoreTarget::Sqlite(path) => {
                let (ledger, lock) = open_ledger(path, &self.command_line)?;
                let name = path.display().to_string();
                if let Some(format) = format_of(&ledger).map_err(|trouble| trouble.named(&name, "open"))? {
                    let why = format!(
                        "it is the ledger of a directory of {format} files; name another file in [store]"
                    );
                    return Err(StoreError::Broken { store: name, doing: "open", why });
                }
                #[cfg(debug_assertions)]
                if self.sabotage == Some(entities::Sabotage::NoFsync) {
                    never_sync(&ledger, &name)?;
                }
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

/// What a file store has noted in its ledger: which files it writes.
fn format_of(ledger: &Connection) -> Result<Option<String>, Trouble> {
    let sql = "SELECT value FROM _sync_meta WHERE key = 'format'";
    Ok(ledger.query_row(sql, [], |row| row.get(0)).optional()?)
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

/// For the control of a power cut: what is committed may be lost.
#[cfg(debug_assertions)]
pub fn never_sync(ledger: &Connection, store: &str) -> Result<(), StoreError> {
    ledger
        .execute_batch("PRAGMA synchronous = OFF")
        .map_err(|error| Trouble::from(error).named(store, "open"))
}
