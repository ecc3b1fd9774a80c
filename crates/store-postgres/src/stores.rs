//! Opens PostgreSQL stores.

use entities::{PostgresTarget, Secrets, Store, StoreError, StoreOpener, StoreTarget};
use rusqlite::Connection as Ledger;
use store::{LedgerStore, Trouble};

use crate::address::Address;
use crate::changes::Changes;
use crate::connection::Connection;
use crate::control::Control;
use crate::lease::Lease;
use crate::ledger::{self, LedgerTable};
use crate::mirror::{self, Requests};
use crate::postgres_tables::PostgresTables;
use crate::session::Session;

/// Opens PostgreSQL stores.
#[derive(Clone, Debug)]
pub struct PostgresStores {
    command_line: String,
    control: Control,
}

impl PostgresStores {
    /// `command_line` is shown to whoever finds a store locked: `syncctl run plan.toml`. It must hold no secret.
    pub fn new(command_line: String) -> PostgresStores {
        PostgresStores { command_line, control: Control::None }
    }

    /// For the crash laboratory: without a guard.
    #[must_use]
    pub fn control(mut self, control: Control) -> PostgresStores {
        self.control = control;
        self
    }

    fn open_postgres(&self, address: Address) -> Result<(Ledger, PostgresTables), Trouble> {
        let connection = Connection::open(address)?;
        let mut lease = Lease::lock(&connection, self.control)?;
        let ledger = mirror::create()?;
        let tables = LedgerTable::all(&ledger)?;
        ledger::ensure(&connection, &tables)?;
        lease.begin(&connection, &self.command_line)?;
        mirror::fill(&connection, &ledger, &tables, &Requests::Live)?;
        let changes = Changes::note(&ledger, tables)?;
        Ok((ledger, PostgresTables::new(Session::new(connection, lease), changes)))
    }
}

impl StoreOpener for PostgresStores {
    fn open(&self, target: &StoreTarget, secrets: &Secrets) -> Result<Box<dyn Store>, StoreError> {
        let StoreTarget::Postgres(target) = target else {
            return Err(StoreError::Broken {
                store: target.to_string(),
                doing: "open",
                why: "it is no PostgreSQL store".to_owned(),
            });
        };
        let address = address(target, secrets)?;
        let name = address.to_string();
        let (ledger, tables) = self.open_postgres(address).map_err(|trouble| trouble.named(&name, "open"))?;
        Ok(Box::new(LedgerStore::new(name, ledger, tables, None)))
    }
}

/// The address of a plan's store.
pub(crate) fn address(target: &PostgresTarget, secrets: &Secrets) -> Result<Address, StoreError> {
    Address::of(target, secrets).map_err(|why| StoreError::Broken {
        store: StoreTarget::Postgres(target.clone()).to_string(),
        doing: "open",
        why,
    })
}
