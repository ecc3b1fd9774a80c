//! Files: the ledger in SQLite, and beside it what readers see. Parts roll after a few rows here.

use std::path::{Path, PathBuf};

use entities::{FilesTarget, Secrets, Store, StoreError, StoreOpener, StoreTarget};
use serde_json::Value;
use store_files::{FileReader, FileStores};
use store_testing::{Contents, Kind, Place, jsonl_of, parquet_of, table_of, tables_of};

pub(crate) struct Jsonl;

pub(crate) struct Parquet;

impl Kind for Jsonl {
    fn name(&self) -> &'static str {
        "jsonl"
    }

    fn place(&self) -> Box<dyn Place> {
        Box::new(Directory { directory: tempfile::tempdir().unwrap(), extension: "jsonl" })
    }

    fn takes_lines(&self) -> bool {
        true
    }
}

impl Kind for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn place(&self) -> Box<dyn Place> {
        Box::new(Directory { directory: tempfile::tempdir().unwrap(), extension: "parquet" })
    }

    fn has_times(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Directory {
    directory: tempfile::TempDir,
    extension: &'static str,
}

impl Directory {
    fn path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn ledger_path(&self) -> PathBuf {
        self.path().join("_sync.db")
    }

    fn target(&self) -> StoreTarget {
        let files = FilesTarget { directory: self.path(), roll: 600 };
        match self.extension {
            "jsonl" => StoreTarget::Jsonl(files),
            _ => StoreTarget::Parquet(files),
        }
    }

    /// The folder of a table: its name, unless a file system would not have it.
    fn folder(&self, table: &str) -> PathBuf {
        let parts = table_of(&self.ledger_path(), "_sync_parts").unwrap_or_default();
        let place = |name: &str| parts.columns.iter().position(|column| column == name).unwrap();
        let part = parts.rows.iter().find(|row| row[place("target")] == *table);
        let folder = part.and_then(|row| row[place("folder")].as_str()?.split('/').next());
        self.path().join(folder.unwrap_or(table))
    }
}

impl Place for Directory {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        FileStores::new("syncctl run test.toml".to_owned()).open(&self.target(), &Secrets::default())
    }

    fn landed(&self, table: &str) -> Option<Contents> {
        let reader = FileReader::open(&self.target()).unwrap()?;
        let rows = reader.rows(table).unwrap().map(|row| {
            let row = row.unwrap();
            let mut fields = row.fields;
            fields.insert("_task".to_owned(), Value::from(row.task));
            fields
        });
        Some(Contents::of_objects(rows.collect()))
    }

    fn seen(&self, table: &str) -> Option<Contents> {
        let folder = self.folder(table);
        Some(if self.extension == "jsonl" { jsonl_of(&folder) } else { parquet_of(&folder) })
    }

    fn ledger(&self, table: &str) -> Option<Contents> {
        table_of(&self.ledger_path(), table)
    }

    fn change_ledger(&self, sql: &str) {
        rusqlite::Connection::open(self.ledger_path()).unwrap().execute_batch(sql).unwrap();
    }

    fn make_foreign(&self, table: &str) {
        let folder = self.path().join(table);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("mine.{}", self.extension)), "").unwrap();
    }

    fn leftovers(&self) -> Vec<String> {
        let mut found = hidden(&self.path());
        found.extend(tables_of(&self.ledger_path()).into_iter().filter(|name| name.contains("stage")));
        found
    }
}

/// Hidden files, at any depth.
fn hidden(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            hidden(&path)
        } else if name.starts_with('.') {
            vec![name]
        } else {
            Vec::new()
        }
    });
    found.collect()
}

mod jsonl {
    store_testing::conformance!(&crate::files::Jsonl);
}

mod parquet {
    store_testing::conformance!(&crate::files::Parquet);
}
