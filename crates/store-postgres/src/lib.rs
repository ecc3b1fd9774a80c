//! A store in a PostgreSQL database: tables and ledger commit in one transaction of it.
//!
//! The truth is in the database. The ledger's code works on a *mirror*, a private SQLite database that is filled when
//! the store is opened; what a transaction changes there is written to the database's own `_sync_*` tables, with the
//! rows, before the mirror commits (`changes.rs`). Who may write is in `lease.rs`, and what becomes of a COMMIT
//! whose answer never came in `session.rs`.
//!
//! **Invariant**: a row is in a table if and only if the ledger in the same database says that its request landed. No
//! output holds the connection string.

mod control; //  what the crash laboratory switches off
mod stores; //   opens them

mod address; //  the connection string …
mod connection;
mod lease; //    who may write
mod session; //  … and a transaction, lost or not
mod tls;
mod trouble;

mod changes; //  from the mirror into the database
mod ledger; //   the account's tables
mod mirror; //   from the database into the mirror

mod cells; //    one value
mod columns; //  types, conversions, room
mod copy; //     binary COPY
mod numeric;
mod times;

mod read; //     for readers of every kind of store
mod reading; //  … what they ask of the database

mod claim;
mod layout; //   which cell into which column
mod pending; //  rows on their way
mod postgres_tables;
mod replace;
mod rows; //     read back as records
mod tables;
mod write;

pub use control::Control;
pub use postgres_tables::PostgresTables;
pub use read::{holder, open_reader};
pub use stores::PostgresStores;
