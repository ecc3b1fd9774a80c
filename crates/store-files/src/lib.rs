//! A store in a directory of files, with the ledger in SQLite beside them: JSONL, and Parquet (feature `parquet`).
//!
//! Tables that records are only added to are *direct*: rows go to an open part, a hidden file that grows and whose
//! committed length is in the ledger, until it is long enough or the run ends and it gets its name. Tables that change
//! (`merge`, `mirror`, `replace`) are *kept* in the ledger's file by the code of the SQLite store, and published as one
//! file at the end of a run. Whatever is renamed or removed is noted by the transaction that makes it true, done after
//! that has committed, and done again when the store is opened.
//!
//! **Invariant**: a file under a name that readers see is whole, and holds only rows that have landed.

mod recovery; //   what a dead process left
mod stores; //     opens them
mod tables; //     what a transaction does, step by step

mod convert; //    from one to the other
mod direct; //     tables that rows are added to
mod finish; //     parts get their names
mod kept; //       tables that change
mod open_part; //  … a part that grows
mod open_parts; // … all of them
mod rewrite; //    files written whole

mod disk;
mod folder;
mod format;
mod manifest; //   the account of files
mod moves; //      renames that have been promised
mod removed; //    numbers of rows that are gone

mod columnar; //   Parquet
mod lines; //      JSONL
mod spool; //      what will be Parquet

mod numbered; //   rows read back by number
mod orphans; //    files that the ledger does not know
mod part_rows;
mod reader; //     rows read by anybody
mod source; //     for readers of every kind of store

pub use folder::of_table as folder_of;
pub use format::Format;
pub use kept::FileColumn;
pub use manifest::{Part, PartState};
pub use reader::{FileReader, FileRow, FileRows};
pub use source::{AllRows, open_reader, write_parquet};
pub use stores::FileStores;
