//! What tests of stores need: a private PostgreSQL cluster, and the suite that every kind of store passes.

mod cluster; // PostgreSQL, private

mod canonical; //   what a value is, whichever way it is written
#[expect(clippy::unwrap_used, reason = "what is no file of ours fails a test")]
mod files; //       what readers see of a directory
mod kind; //        a kind of store, as the suite sees it
#[expect(clippy::unwrap_used, reason = "what a case does not expect fails it")]
mod sqlite_file; // what a SQLite file holds

#[expect(clippy::unwrap_used, reason = "what a case does not expect fails it")]
mod fixture; //     a store and what a case does to it
#[expect(clippy::unwrap_used, reason = "what a case does not expect fails it")]
mod image; //       its tables, for questions in SQL
#[expect(clippy::unwrap_used, reason = "what a case does not expect fails it")]
pub mod plans; //   plans, records and landings in few words

#[expect(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a case's name says what it is about"
)]
pub mod cases;
mod conformance; // the list of them
mod dice; //        chance that can be repeated

pub use canonical::canonical;
pub use cluster::{Cluster, ClusterOptions, PASSWORD};
pub use dice::{Dice, seeds};
pub use files::{jsonl_of, objects_of, parquet_of, visible_files};
pub use fixture::Fixture;
pub use kind::{Contents, Kind, Place};
pub use sqlite_file::{table_of, tables_of};
