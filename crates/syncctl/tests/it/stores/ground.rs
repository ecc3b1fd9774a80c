//! A place for one plan with a store of some kind.

use std::process::Command;

use serde_json::Value;
use store_testing::{Cluster, Contents, jsonl_of, parquet_of, table_of};

use crate::harness::{Called, Place, finished};

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Jsonl,
    Parquet,
}

impl Kind {
    /// All, or those that `STORE_KINDS` names (`sqlite,jsonl`); without PostgreSQL where there is none, which is said.
    pub(crate) fn all() -> Vec<Kind> {
        #[expect(
            clippy::disallowed_methods,
            reason = "tests are for all kinds unless somebody asks for some"
        )]
        let asked = std::env::var("STORE_KINDS").ok();
        let all = [Kind::Sqlite, Kind::Postgres, Kind::Jsonl, Kind::Parquet];
        let is_asked = |kind: &Kind| {
            let name = format!("{kind:?}").to_lowercase();
            asked.as_ref().is_none_or(|asked| asked.split(',').any(|word| word == name))
        };
        let is_there = |kind: &Kind| *kind != Kind::Postgres || Cluster::shared().is_some();
        all.into_iter().filter(is_asked).filter(is_there).collect()
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Kind::Jsonl => "jsonl",
            Kind::Parquet => "parquet",
            Kind::Sqlite | Kind::Postgres => "",
        }
    }

    pub(crate) fn is_files(self) -> bool {
        matches!(self, Kind::Jsonl | Kind::Parquet)
    }
}

/// A directory, and what its plan lands in.
pub(crate) struct Ground {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    /// Of PostgreSQL.
    pub(crate) database: Option<String>,
}

impl Ground {
    pub(crate) fn new(kind: Kind) -> Ground {
        let database = (kind == Kind::Postgres).then(|| Cluster::shared().unwrap().database());
        Ground { kind, place: Place::new(), database }
    }

    /// Writes `plan.toml`: the plan with this store in the place of its own.
    pub(crate) fn write(&self, plan: &str) {
        let line = plan.lines().find(|line| line.starts_with("sqlite = ")).unwrap();
        let store = match self.kind {
            Kind::Sqlite => "sqlite = \"store.db\"",
            Kind::Postgres => "postgres = \"{{ secrets.store_url }}\"\nschema = \"landed\"",
            Kind::Jsonl => "jsonl = \"landed/\"",
            Kind::Parquet => "parquet = \"landed/\"",
        };
        let mut text = plan.replacen(line, store, 1);
        if self.kind == Kind::Postgres {
            let secret = "store_url = { env = \"STORE_URL\" }\n";
            text = match text.split_once("[secrets]\n") {
                Some((before, after)) => format!("{before}[secrets]\n{secret}{after}"),
                None => format!("{text}\n[secrets]\n{secret}"),
            };
        }
        self.place.write("plan.toml", &text);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        if let Some(database) = &self.database {
            command.env("STORE_URL", Cluster::shared().unwrap().url(database));
        }
        command
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Called {
        finished(self.command(arguments))
    }

    #[track_caller]
    pub(crate) fn run(&self) -> Called {
        let called = self.call(&["run", "plan.toml", "--progress", "none"]);
        assert_eq!(called.code, Some(0), "{:?}: {}\n{}", self.kind, called.stdout, called.stderr);
        called
    }

    /// What readers see of a table, read with nothing of ours.
    #[track_caller]
    pub(crate) fn table(&self, table: &str) -> Contents {
        let folder = self.place.path().join("landed").join(table);
        match self.kind {
            Kind::Sqlite => {
                let path = self.place.path().join("store.db");
                table_of(&path, table).unwrap_or_else(|| panic!("no table {table}"))
            }
            Kind::Postgres => {
                let rows = self.psql(&format!("SELECT row_to_json(t) FROM landed.\"{table}\" AS t"));
                let parsed = |line| match serde_json::from_str(line) {
                    Ok(Value::Object(row)) => row,
                    other => panic!("{other:?}: {line}"),
                };
                Contents::of_objects(rows.lines().map(parsed).collect())
            }
            Kind::Jsonl => jsonl_of(&folder),
            Kind::Parquet => parquet_of(&folder),
        }
    }

    pub(crate) fn psql(&self, sql: &str) -> String {
        Cluster::shared().unwrap().psql(self.database.as_ref().unwrap(), sql)
    }
}

/// Rows as their fields, by value, without nulls and `_task`; sorted.
pub(crate) fn rows_of(contents: &Contents) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut rows = contents.canonical();
    for row in &mut rows {
        assert!(row.remove("_task").is_some(), "a row without its request");
    }
    rows.sort();
    rows
}

/// Says which rows are missing, and which there should not be.
#[track_caller]
pub(crate) fn assert_rows(
    place: &str,
    landed: &[std::collections::BTreeMap<String, String>],
    expected: &[std::collections::BTreeMap<String, String>],
) {
    if landed == expected {
        return;
    }
    let lost = expected.iter().find(|row| !landed.contains(row));
    let foreign = landed.iter().find(|row| !expected.contains(row));
    panic!(
        "{place}: {} rows, should be {}; lost: {lost:?}; foreign or twice: {foreign:?}",
        landed.len(),
        expected.len()
    );
}
