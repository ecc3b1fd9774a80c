//! A SQLite store in a temporary directory, asked and changed behind its back by SQL of its own.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use entities::{Secrets, Store, StoreError, StoreOpener, StoreTarget};
use rusqlite::Connection;
pub(crate) use store_testing::plans::{
    batch, cursor, failure, follow_up, landing_of, plan, spec, with_cursor,
};
use store_testing::{Contents, Place, table_of};

/// A store that can be dropped and opened again.
pub(crate) struct Fixture {
    inner: store_testing::Fixture,
    path: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        Fixture { _directory: Some(directory), ..Fixture::at(&path) }
    }

    /// A store that others know of.
    pub(crate) fn at(path: &Path) -> Fixture {
        let inner = store_testing::Fixture::at(Box::new(File(path.to_owned())));
        Fixture { inner, path: path.to_owned(), _directory: None }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Every row of a query as SQLite holds it, one line each, cells with commas between.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        let conn = Connection::open(self.path()).unwrap();
        let mut statement = conn.prepare(sql).unwrap();
        let width = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells = (0..width).map(|at| match row.get_ref(at).unwrap() {
                rusqlite::types::ValueRef::Null => "null".to_owned(),
                rusqlite::types::ValueRef::Integer(i) => i.to_string(),
                rusqlite::types::ValueRef::Real(f) => format!("{f:?}"),
                rusqlite::types::ValueRef::Text(t) => format!("'{}'", String::from_utf8_lossy(t)),
                rusqlite::types::ValueRef::Blob(b) => format!("{b:?}"),
            });
            Ok(cells.collect::<Vec<_>>().join(","))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    pub(crate) fn sql(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

impl Deref for Fixture {
    type Target = store_testing::Fixture;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Fixture {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

#[derive(Debug)]
struct File(PathBuf);

impl Place for File {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let stores = store::Stores::new("syncctl run test.toml".to_owned());
        stores.open(&StoreTarget::Sqlite(self.0.clone()), &Secrets::default())
    }

    fn landed(&self, table: &str) -> Option<Contents> {
        table_of(&self.0, table)
    }

    fn ledger(&self, table: &str) -> Option<Contents> {
        table_of(&self.0, table)
    }

    fn change_ledger(&self, sql: &str) {
        Connection::open(&self.0).unwrap().execute_batch(sql).unwrap();
    }

    fn make_foreign(&self, table: &str) {
        self.change_ledger(&format!("CREATE TABLE \"{table}\" (x)"));
    }

    fn leftovers(&self) -> Vec<String> {
        Vec::new()
    }
}
