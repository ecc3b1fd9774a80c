//! The kinds of stores: each opened by its own crate, to be written and to be read.

use std::fs::File;
use std::fs::TryLockError;
use std::io;

#[cfg(debug_assertions)]
use entities::Sabotage;
use entities::{Secrets, Store, StoreError, StoreOpener, StoreTarget, SyncPlan};
use store::{Reader, ReaderOpener, Readers, Stores};
use store_files::FileStores;
#[cfg(debug_assertions)]
use store_postgres::Control;
use store_postgres::PostgresStores;

use crate::exit::{Exit, Problem};

/// Opens stores of every kind to write them.
#[derive(Debug)]
pub(super) struct AllStores {
    sqlite: Stores,
    files: FileStores,
    postgres: PostgresStores,
}

impl AllStores {
    /// `command_line` is what another process is told that finds the store locked; it holds no values.
    pub(super) fn new(command_line: String) -> AllStores {
        AllStores {
            sqlite: Stores::new(command_line.clone()),
            files: FileStores::new(command_line.clone()),
            postgres: PostgresStores::new(command_line),
        }
    }

    /// For the controls of the crash laboratory.
    #[cfg(debug_assertions)]
    pub(super) fn sabotaged(self, sabotage: Option<Sabotage>) -> AllStores {
        AllStores {
            sqlite: self.sqlite.sabotaged(sabotage),
            files: self.files.sabotaged(sabotage),
            postgres: self.postgres.control(match sabotage {
                Some(Sabotage::NoEpoch) => Control::NoEpoch,
                _ => Control::None,
            }),
        }
    }
}

impl StoreOpener for AllStores {
    fn open(&self, target: &StoreTarget, secrets: &Secrets) -> Result<Box<dyn Store>, StoreError> {
        match target {
            StoreTarget::Sqlite(_) => self.sqlite.open(target, secrets),
            StoreTarget::Jsonl(_) | StoreTarget::Parquet(_) => self.files.open(target, secrets),
            StoreTarget::Postgres(_) => self.postgres.open(target, secrets),
        }
    }
}

/// Opens stores of every kind to read them.
#[derive(Debug)]
pub(crate) struct AllReaders;

impl ReaderOpener for AllReaders {
    fn open(&self, target: &StoreTarget, secrets: &Secrets) -> Result<Option<Reader>, StoreError> {
        match target {
            StoreTarget::Sqlite(_) => Readers.open(target, secrets),
            StoreTarget::Jsonl(_) | StoreTarget::Parquet(_) => store_files::open_reader(target),
            StoreTarget::Postgres(target) => store_postgres::open_reader(target, secrets),
        }
    }
}

/// Reads a plan's store without its lock; none if no plan has run into it. `secrets`: those that `[store]` names.
pub(crate) fn reader(plan: &SyncPlan, secrets: &Secrets) -> Result<Option<Reader>, Problem> {
    Ok(AllReaders.open(&plan.store, secrets)?)
}

/// Reads a plan's store without its lock, or says that there is none yet. `run_it`: the command that makes it.
pub(crate) fn existing(plan: &SyncPlan, secrets: &Secrets, run_it: &str) -> Result<Reader, Problem> {
    match reader(plan, secrets)? {
        Some(reader) => Ok(reader),
        None => {
            let text = format!("plan {} has no store yet: nothing has run into `{}`", plan.name, plan.store);
            Err(Problem { exit: Exit::No, ..Problem::wrong(text) }.help(format!("run it first: {run_it}")))
        }
    }
}

/// Who writes the store now: `syncctl run plan.toml (pid 123, since …)`; none if nobody does, or it cannot be told.
pub(crate) fn holder(plan: &SyncPlan, secrets: &Secrets) -> Option<String> {
    if let StoreTarget::Postgres(target) = &plan.store {
        return store_postgres::holder(target, secrets).ok().flatten();
    }
    // The lock is the system's, which gives it back when its holder dies.
    let file = File::open(store::lock_path(&plan.store.ledger()?)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(io::read_to_string(file).ok()?.trim().to_owned()),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}
