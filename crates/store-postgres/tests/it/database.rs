//! A database of a test's own, the store in it, and questions to both.

use std::fmt;

use entities::{
    Bindings, Landing, Page, PostgresTarget, RunId, Secrets, SpecIndex, Store, StoreError, StoreOpener,
    StoreTarget, Task, TaskId, TemplateText,
};
use serde_json::Value;
use store_postgres::{Control, PostgresStores};
use store_testing::plans::{batch, landing_of};
use store_testing::{Cluster, Contents, Place};

/// The schema of the store.
pub(crate) const SCHEMA: &str = "landed";

/// A database, fresh, of the cluster that all tests share.
pub(crate) struct Database {
    pub(crate) cluster: &'static Cluster,
    pub(crate) name: String,
    /// How the store connects.
    pub(crate) url: String,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Database {
    /// None where there is no PostgreSQL.
    pub(crate) fn new() -> Option<Database> {
        let cluster = Cluster::shared()?;
        let name = cluster.database();
        Some(Database { cluster, url: cluster.url(&name), name })
    }

    /// The same, for a second store or a fixture.
    pub(crate) fn again(&self) -> Box<Database> {
        Box::new(Database { cluster: self.cluster, name: self.name.clone(), url: self.url.clone() })
    }

    /// What a query prints.
    pub(crate) fn ask(&self, sql: &str) -> String {
        self.cluster.psql(&self.name, &format!("SET search_path = {SCHEMA}; {sql}"))
    }

    /// Opens the store.
    pub(crate) fn open_as(&self, control: Control) -> Result<Box<dyn Store>, StoreError> {
        open(&self.url, control)
    }
}

/// Opens the store at a connection string.
pub(crate) fn open(url: &str, control: Control) -> Result<Box<dyn Store>, StoreError> {
    let url = TemplateText::new(url.to_owned());
    let target = StoreTarget::Postgres(PostgresTarget { url, schema: SCHEMA.to_owned() });
    let stores = PostgresStores::new("syncctl run test.toml".to_owned()).control(control);
    stores.open(&target, &Secrets::default())
}

/// The landing of a first page of the first spec.
pub(crate) fn landing(run: RunId, id: i64, records: &Value) -> Landing {
    let task = Task {
        id: TaskId(id),
        spec: SpecIndex(0),
        chain: TaskId(id),
        combination: Some(id.unsigned_abs()),
        bindings: Bindings::default(),
        page: Page::first(),
        slice: None,
        cursor: None,
    };
    landing_of(run, task, Ok(batch(records)))
}

impl Place for Database {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        self.open_as(Control::None)
    }

    fn landed(&self, table: &str) -> Option<Contents> {
        let quoted = format!("\"{}\"", table.replace('"', "\"\""));
        let sql = format!("SELECT row_to_json(_a_row) FROM {SCHEMA}.{quoted} AS _a_row");
        let rows = self.cluster.try_psql(&self.name, &sql).ok()?;
        let objects = rows.lines().map(|line| match serde_json::from_str(line) {
            Ok(Value::Object(object)) => object,
            other => panic!("{other:?}: {line}"),
        });
        Some(Contents::of_objects(objects.collect()))
    }

    fn ledger(&self, table: &str) -> Option<Contents> {
        self.landed(table)
    }

    fn change_ledger(&self, sql: &str) {
        self.ask(sql);
    }

    fn make_foreign(&self, table: &str) {
        self.ask(&format!("CREATE TABLE \"{table}\" (x bigint)"));
    }

    fn leftovers(&self) -> Vec<String> {
        let sql = "SELECT relname FROM pg_class WHERE relname LIKE '%stage%'";
        self.ask(sql).lines().map(str::to_owned).collect()
    }
}
