//! Opens file stores.

use entities::{FilesTarget, Secrets, Store, StoreError, StoreOpener, StoreTarget};
use store::{LedgerStore, open_ledger};

use crate::disk::Disk;
use crate::format::Format;
use crate::recovery::recover;
use crate::tables::FileTables;

/// Opens stores of JSONL and, with the feature `parquet`, Parquet files.
#[derive(Clone, Debug)]
pub struct FileStores {
    command_line: String,
    #[cfg(debug_assertions)]
    sabotage: Option<entities::Sabotage>,
}

impl FileStores {
    /// `command_line` is shown to whoever finds a store locked: `syncctl run plan.toml`. It must hold no secret.
    pub fn new(command_line: String) -> Self {
        FileStores {
            command_line,
            #[cfg(debug_assertions)]
            sabotage: None,
        }
    }

    /// The same, breaking a promise.
    #[cfg(debug_assertions)]
    pub fn sabotaged(self, sabotage: Option<entities::Sabotage>) -> Self {
        FileStores { sabotage, ..self }
    }

    fn open_files(&self, target: &FilesTarget, format: Format) -> Result<Box<dyn Store>, StoreError> {
        let (ledger, lock) = open_ledger(&target.ledger(), &self.command_line)?;
        let name = target.directory.display().to_string();
        let disk = Disk { directory: target.directory.clone(), syncs: true };
        #[cfg(debug_assertions)]
        let disk = Disk { syncs: self.sabotage != Some(entities::Sabotage::NoFsync), ..disk };
        #[cfg(debug_assertions)]
        if !disk.syncs {
            store::never_sync(&ledger, &name)?;
        }
        let recovered = ledger.unchecked_transaction().map_err(Into::into).and_then(|transaction| {
            check_format(&transaction, format)?;
            recover(&transaction, &disk, self.cuts())?;
            Ok(transaction.commit()?)
        });
        recovered.map_err(|trouble: store::Trouble| trouble.named(&name, "open"))?;
        let tables = FileTables::new(disk, format, target.roll);
        Ok(Box::new(LedgerStore::new(name, ledger, tables, Some(lock))))
    }

    #[cfg(debug_assertions)]
    fn cuts(&self) -> bool {
        self.sabotage != Some(entities::Sabotage::NoTruncate)
    }

    #[cfg(not(debug_assertions))]
    fn cuts(&self) -> bool {
        true
    }
}

impl StoreOpener for FileStores {
    fn open(&self, target: &StoreTarget, _: &Secrets) -> Result<Box<dyn Store>, StoreError> {
        match target {
            StoreTarget::Jsonl(files) => self.open_files(files, Format::Jsonl),
            StoreTarget::Parquet(files) if cfg!(feature = "parquet") => {
                self.open_files(files, Format::Parquet)
            }
            other => Err(StoreError::Broken {
                store: other.to_string(),
                doing: "open",
                why: "this build of syncctl has no such store".to_owned(),
            }),
        }
    }
}

/// A directory holds files of one format.
fn check_format(ledger: &rusqlite::Connection, format: Format) -> Result<(), store::Trouble> {
    // A ledger that says no format, but has runs, is that of a SQLite store.
    ledger.execute(
        "INSERT OR IGNORE INTO _sync_meta (key, value)
         SELECT 'format', CASE WHEN EXISTS (SELECT 1 FROM _sync_runs) THEN 'SQLite' ELSE ?1 END",
        [format.extension()],
    )?;
    let held: String =
        ledger.query_row("SELECT value FROM _sync_meta WHERE key = 'format'", [], |row| row.get(0))?;
    if held != format.extension() {
        return Err(store::Trouble::Ledger(format!(
            "the directory holds {held} files; choose another directory for {}",
            format.extension()
        )));
    }
    Ok(())
}
