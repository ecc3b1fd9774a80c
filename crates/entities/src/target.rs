//! `[store]`: where records land.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::TemplateText;

/// Which kind of store, and where it is. Its `Display` shows no secret.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreTarget {
    /// One SQLite file with tables and ledger; relative to the working directory.
    Sqlite(PathBuf),
    /// A schema of a PostgreSQL database, with tables and ledger.
    Postgres(PostgresTarget),
    /// A directory of JSONL files, with the ledger beside them.
    Jsonl(FilesTarget),
    /// A directory of Parquet files, with the ledger beside them.
    Parquet(FilesTarget),
}

/// `postgres = "{{ secrets.url }}"`, `schema = "…"`. Its `Debug` shows no connection string: a password may stand in it.
#[derive(Clone, PartialEq)]
pub struct PostgresTarget {
    /// The connection string: a URL (`postgres://user:password@host:5432/database?sslmode=…`) or libpq's
    /// `key=value` words. Of names only those of secrets are bound in it.
    pub url: TemplateText,
    /// The schema that the tables and the ledger are in; made if it is not there.
    pub schema: String,
}

/// `jsonl = "dir/"` or `parquet = "dir/"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesTarget {
    /// The directory; relative to the working directory, made if it is not there.
    pub directory: PathBuf,
    /// A file of a table that records are added to is closed, and the next begun, when it would hold more bytes.
    pub roll: u64,
}

impl fmt::Debug for PostgresTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTarget").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl FilesTarget {
    /// The ledger's file.
    pub fn ledger(&self) -> PathBuf {
        self.directory.join("_sync.db")
    }
}

impl StoreTarget {
    /// The SQLite file that holds the ledger, if it is in one.
    pub fn ledger(&self) -> Option<PathBuf> {
        match self {
            StoreTarget::Sqlite(path) => Some(path.clone()),
            StoreTarget::Postgres(_) => None,
            StoreTarget::Jsonl(files) | StoreTarget::Parquet(files) => Some(files.ledger()),
        }
    }

    /// Whether another plan, or text, means this store, wherever in its text that stands and however it is written to.
    /// What secrets stand for is not known here.
    pub fn is_at_place_of(&self, other: &StoreTarget) -> bool {
        match (self, other) {
            (StoreTarget::Sqlite(one), StoreTarget::Sqlite(other)) => one == other,
            (StoreTarget::Postgres(one), StoreTarget::Postgres(other)) => {
                (&one.url.source, &one.schema) == (&other.url.source, &other.schema)
            }
            (StoreTarget::Jsonl(one), StoreTarget::Jsonl(other))
            | (StoreTarget::Parquet(one), StoreTarget::Parquet(other)) => one.directory == other.directory,
            _ => false,
        }
    }

    /// The same kind of store at another place of the file system.
    pub fn at(&self, path: PathBuf) -> StoreTarget {
        match self {
            StoreTarget::Sqlite(_) => StoreTarget::Sqlite(path),
            StoreTarget::Postgres(target) => StoreTarget::Postgres(target.clone()),
            StoreTarget::Jsonl(files) => {
                StoreTarget::Jsonl(FilesTarget { directory: path, roll: files.roll })
            }
            StoreTarget::Parquet(files) => {
                StoreTarget::Parquet(FilesTarget { directory: path, roll: files.roll })
            }
        }
    }

    /// The file or directory of the file system that it is, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            StoreTarget::Sqlite(path) => Some(path),
            StoreTarget::Postgres(_) => None,
            StoreTarget::Jsonl(files) | StoreTarget::Parquet(files) => Some(&files.directory),
        }
    }
}

impl fmt::Display for StoreTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreTarget::Postgres(target) => write!(f, "PostgreSQL, schema {}", target.schema),
            StoreTarget::Sqlite(path) => write!(f, "{}", path.display()),
            StoreTarget::Jsonl(files) | StoreTarget::Parquet(files) => {
                write!(f, "{}", files.directory.display())
            }
        }
    }
}
