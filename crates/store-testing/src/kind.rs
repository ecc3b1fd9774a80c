//! A kind of store, as the suite sees it: opened, written through [`entities::Store`], and read behind its back.

use std::collections::BTreeMap;
use std::fmt;

use entities::{Store, StoreError};
use serde_json::Value;

use crate::canonical::canonical;

/// A kind of store.
pub trait Kind: Sync {
    /// As `[store]` says it: "sqlite".
    fn name(&self) -> &'static str;

    /// Whether this machine has what it needs; if not, this says so.
    fn is_there(&self) -> bool {
        true
    }

    /// A place for one store, empty and private to the caller.
    fn place(&self) -> Box<dyn Place>;

    /// Its text can have U+0000 in it.
    fn holds_nul(&self) -> bool {
        true
    }

    /// Records may land in it as the bytes that came.
    fn takes_lines(&self) -> bool {
        false
    }

    /// It has types for instants and days, so that `types` of a plan shows in the account.
    fn has_times(&self) -> bool {
        false
    }
}

/// Where one store is. It may be opened, closed and opened again.
pub trait Place: fmt::Debug {
    /// Opens the store.
    fn open(&self) -> Result<Box<dyn Store>, StoreError>;

    /// The rows of a table that have landed, in the order in which they came if the store keeps one; none: there is
    /// no such table.
    fn landed(&self, table: &str) -> Option<Contents>;

    /// The rows of a table that readers see; none: they see none. Where nothing is between landing and seeing, what landed.
    fn seen(&self, table: &str) -> Option<Contents> {
        self.landed(table)
    }

    /// The rows of a table of the ledger (`_sync_…`).
    fn ledger(&self, table: &str) -> Option<Contents>;

    /// Changes the ledger by SQL that every ledger knows, while the store is closed.
    fn change_ledger(&self, sql: &str);

    /// Makes a table, in the way of the kind, that the store did not make.
    fn make_foreign(&self, table: &str);

    /// What is there beside the ledger and the tables: staging, temporary files. While the store is closed.
    fn leftovers(&self) -> Vec<String>;
}

/// What a table holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Row by row, a value for each column.
    pub rows: Vec<Vec<Value>>,
}

impl Contents {
    /// Of rows that are objects.
    pub fn of_objects(objects: Vec<serde_json::Map<String, Value>>) -> Contents {
        let mut contents = Contents::default();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for object in &objects {
            for name in object.keys() {
                if !places.contains_key(name) {
                    places.insert(name.clone(), contents.columns.len());
                    contents.columns.push(name.clone());
                }
            }
        }
        for object in objects {
            let mut row = vec![Value::Null; contents.columns.len()];
            for (name, value) in object {
                row[places[&name]] = value;
            }
            contents.rows.push(row);
        }
        contents
    }

    /// Each row as its fields and their canonical values, without nulls; what is in `_more` beside the others; sorted.
    pub fn canonical(&self) -> Vec<BTreeMap<String, String>> {
        let mut rows: Vec<BTreeMap<String, String>> = self.rows.iter().map(|row| self.fields(row)).collect();
        rows.sort();
        rows
    }

    fn fields(&self, row: &[Value]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        for (name, value) in self.columns.iter().zip(row) {
            let more = match value {
                Value::Object(more) if name == "_more" => Some(more.clone()),
                Value::String(text) if name == "_more" => serde_json::from_str(text).ok(),
                _ => None,
            };
            match more {
                Some(more) => {
                    fields.extend(
                        more.iter().filter_map(|(name, value)| Some((name.clone(), canonical(value)?))),
                    );
                }
                None => {
                    fields.extend(canonical(value).map(|text| (name.clone(), text)));
                }
            }
        }
        fields
    }
}
