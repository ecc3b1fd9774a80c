//! SQLite: tables and ledger in one file.

use std::path::PathBuf;

use entities::{Secrets, Store, StoreError, StoreOpener, StoreTarget};
use store_testing::{Contents, Kind, Place, table_of, tables_of};

pub(crate) struct Sqlite;

impl Kind for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn place(&self) -> Box<dyn Place> {
        Box::new(File { directory: tempfile::tempdir().unwrap() })
    }
}

#[derive(Debug)]
struct File {
    directory: tempfile::TempDir,
}

impl File {
    fn path(&self) -> PathBuf {
        self.directory.path().join("store.db")
    }
}

impl Place for File {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let stores = store::Stores::new("syncctl run test.toml".to_owned());
        stores.open(&StoreTarget::Sqlite(self.path()), &Secrets::default())
    }

    fn landed(&self, table: &str) -> Option<Contents> {
        table_of(&self.path(), table)
    }

    fn ledger(&self, table: &str) -> Option<Contents> {
        table_of(&self.path(), table)
    }

    fn change_ledger(&self, sql: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    fn make_foreign(&self, table: &str) {
        self.change_ledger(&format!("CREATE TABLE \"{table}\" (x)"));
    }

    fn leftovers(&self) -> Vec<String> {
        let staging = |name: &String| name.contains("stage") || name.contains("rebuild");
        let mut found: Vec<String> = tables_of(&self.path()).into_iter().filter(staging).collect();
        let files = std::fs::read_dir(self.directory.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        found.extend(names.filter(|name| !["store.db", "store.db.lock"].contains(&name.as_str())));
        found
    }
}

store_testing::conformance!(&crate::sqlite::Sqlite);
