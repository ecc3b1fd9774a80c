//! Stores of files in temporary directories.

use std::path::{Path, PathBuf};

use entities::{FilesTarget, Secrets, Store, StoreError, StoreOpener, StoreTarget};
use serde_json::Value;
use store_files::{FileReader, FileStores, Format, folder_of};
use store_testing::{Contents, Place, jsonl_of, parquet_of, table_of, tables_of};

/// A store in a temporary directory.
#[derive(Debug)]
pub(crate) struct Directory {
    _temporary: tempfile::TempDir,
    path: PathBuf,
    format: Format,
    roll: u64,
}

impl Directory {
    pub(crate) fn new(format: Format, roll: u64) -> Directory {
        let temporary = tempfile::tempdir().unwrap();
        Directory { path: temporary.path().join("out"), _temporary: temporary, format, roll }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn target(&self) -> StoreTarget {
        let files = FilesTarget { directory: self.path.clone(), roll: self.roll };
        match self.format {
            Format::Jsonl => StoreTarget::Jsonl(files),
            Format::Parquet => StoreTarget::Parquet(files),
        }
    }

    pub(crate) fn ledger_path(&self) -> PathBuf {
        self.path.join("_sync.db")
    }

    pub(crate) fn reader(&self) -> FileReader {
        FileReader::open(&self.target()).unwrap().unwrap()
    }
}

impl Place for Directory {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        FileStores::new("syncctl run test.toml".to_owned()).open(&self.target(), &Secrets::default())
    }

    fn landed(&self, table: &str) -> Option<Contents> {
        let held = table_of(&self.ledger_path(), table);
        if held.is_some() {
            return held;
        }
        let reader = self.reader();
        let objects: Vec<_> = reader
            .rows(table)
            .unwrap()
            .map(|row| {
                let mut row = row.unwrap();
                row.fields.insert("_task".to_owned(), Value::from(row.task));
                row.fields
            })
            .collect();
        let is_there = !reader.parts(Some(table)).unwrap().is_empty();
        is_there.then(|| Contents::of_objects(objects))
    }

    fn seen(&self, table: &str) -> Option<Contents> {
        let folder = self.path.join(folder_of(table));
        folder.exists().then(|| match self.format {
            Format::Jsonl => jsonl_of(&folder),
            Format::Parquet => parquet_of(&folder),
        })
    }

    fn ledger(&self, table: &str) -> Option<Contents> {
        table_of(&self.ledger_path(), table)
    }

    fn change_ledger(&self, sql: &str) {
        rusqlite::Connection::open(self.ledger_path()).unwrap().execute_batch(sql).unwrap();
    }

    fn make_foreign(&self, table: &str) {
        std::fs::create_dir_all(self.path.join(table)).unwrap();
        std::fs::write(self.path.join(table).join("notes.txt"), "mine").unwrap();
    }

    fn leftovers(&self) -> Vec<String> {
        let staging = |name: &String| name.contains("stage") || name.contains("rebuild");
        let mut found: Vec<String> = tables_of(&self.ledger_path()).into_iter().filter(staging).collect();
        found.extend(hidden(&self.path));
        let moves = self.ledger("_sync_moves").unwrap_or_default();
        found.extend(moves.rows.iter().map(|row| format!("{row:?}")));
        found
    }
}

/// What is hidden in the folders of a directory, but for open parts that have rows.
fn hidden(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(hidden(&entry.path()));
        } else if name.starts_with('.') && !(name.ends_with(".open") && entry.metadata().unwrap().len() > 0) {
            found.push(name);
        }
    }
    found
}
