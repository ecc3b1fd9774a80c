//! In which of the two formats a store keeps its files.

use entities::{FilesTarget, StoreTarget};

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object on each line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format of a store of files, and where it is; none if it is of another kind.
    pub fn of(target: &StoreTarget) -> Option<(&FilesTarget, Format)> {
        match target {
            StoreTarget::Jsonl(files) => Some((files, Format::Jsonl)),
            StoreTarget::Parquet(files) => Some((files, Format::Parquet)),
            StoreTarget::Sqlite(_) | StoreTarget::Postgres(_) => None,
        }
    }

    /// What the names of its files end with.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Parquet => "parquet",
        }
    }
}
