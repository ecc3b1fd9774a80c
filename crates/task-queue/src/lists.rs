//! Lists: the rows of other tasks' tables that names run over as a whole, kept in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use entities::{Bindings, Failure, FailureClass, FailureKind, Place};
use serde_json::{Map, Value};

/// So many rows, and so many bytes of them in memory, one name may run over.
const MOST: Most = Most { rows: 1_000_000, bytes: 256 << 20 };

/// A name that runs over a list.
#[derive(Clone, Debug)]
pub struct ListName {
    /// The name.
    pub name: String,
    /// The task whose rows it runs over.
    pub task: String,
    /// Lists of up to this many rows are bound instead of one.
    pub batch: Option<u32>,
    /// Where it stands.
    pub at: Place,
}

/// The lists of a spec, by name: each in the order of its rows, or why it could not be had.
#[derive(Clone, Debug, Default)]
pub struct Lists(BTreeMap<String, Result<Arc<[Value]>, Failure>>);

impl Lists {
    /// What a name runs over: nothing if there is no such list.
    pub fn of(&self, name: &str) -> Result<Arc<[Value]>, Failure> {
        self.0.get(name).cloned().unwrap_or_else(|| Ok(Arc::from([])))
    }

    pub(crate) fn insert(&mut self, name: String, list: Result<Arc<[Value]>, Failure>) {
        self.0.insert(name, list);
    }
}

impl FromIterator<(String, Vec<Value>)> for Lists {
    fn from_iter<T: IntoIterator<Item = (String, Vec<Value>)>>(lists: T) -> Self {
        Lists(lists.into_iter().map(|(name, values)| (name, Ok(values.into()))).collect())
    }
}

#[derive(Clone, Copy, Debug)]
struct Most {
    rows: usize,
    bytes: usize,
}

/// A list that is being read.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) of: ListName,
    /// Rows up to this number have been read.
    pub(crate) after: u64,
    pub(crate) is_loading: bool,
    pub(crate) is_complete: bool,
    rows: Vec<Value>,
    bytes: usize,
    failure: Option<Failure>,
}

impl Listing {
    pub(crate) fn new(of: ListName) -> Listing {
        Listing {
            of,
            after: 0,
            is_loading: false,
            is_complete: false,
            rows: Vec::new(),
            bytes: 0,
            failure: None,
        }
    }

    /// Takes a row, and what it binds: nothing if its `where` leaves it out. What cannot be told of one row
    /// is unknown of the whole.
    pub(crate) fn add(&mut self, row: u64, driven: Result<Option<Bindings>, Failure>) {
        self.after = row;
        match driven {
            Ok(Some(bindings)) => self.keep(&bindings, MOST),
            Ok(None) => {}
            Err(failure) => self.fail(failure),
        }
    }

    fn keep(&mut self, bindings: &Bindings, most: Most) {
        let Some(value) = bindings.0.get(&self.of.name).filter(|_| self.failure.is_none()) else { return };
        self.bytes += weight(value);
        self.rows.push(value.clone());
        if self.rows.len() > most.rows || self.bytes > most.bytes {
            let ListName { name, task, at, .. } = &self.of;
            let message = format!(
                "`foreach.{name}` runs over the rows of task `{task}` beside other records, which are kept in memory: \
                 more than {} rows, or {} MiB",
                most.rows,
                most.bytes >> 20
            );
            let help = "choose fewer of them with `where`, let `all = true` stand with the shorter table only, or bind fewer fields";
            let failure = Failure::new(FailureClass::Permanent, FailureKind::Expression, message);
            self.fail(failure.help(help).at(*at));
        }
    }

    /// Rows of it are known to be missing: it is not read.
    pub(crate) fn fall_short(&mut self, failure: Failure) {
        self.fail(failure);
        self.is_complete = true;
    }

    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
        self.rows = Vec::new();
    }

    /// Whether there is any use in reading on.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// The values of the name: rows, or batches of them.
    pub(crate) fn values(&mut self) -> Result<Arc<[Value]>, Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let rows = std::mem::take(&mut self.rows);
        let Some(size) = self.of.batch.and_then(|size| usize::try_from(size).ok()) else {
            return Ok(rows.into());
        };
        Ok(rows.chunks(size.max(1)).map(|batch| Value::Array(batch.to_vec())).collect())
    }
}

/// About what a value takes in memory.
fn weight(value: &Value) -> usize {
    const CELL: usize = size_of::<Value>();
    const ENTRY: usize = size_of::<(usize, String, Value)>() + size_of::<usize>();
    match value {
        Value::Null | Value::Bool(_) => CELL,
        Value::Number(number) => CELL + number.as_str().len(),
        Value::String(text) => CELL + text.len(),
        Value::Array(items) => CELL + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => CELL + weight_of_fields(fields, ENTRY),
    }
}

fn weight_of_fields(fields: &Map<String, Value>, entry: usize) -> usize {
    fields.iter().map(|(name, value)| entry + name.len() + weight(value)).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listing(batch: Option<u32>) -> Listing {
        let (name, task) = ("user".to_owned(), "users".to_owned());
        Listing::new(ListName { name, task, batch, at: Place::default() })
    }

    fn bound(id: u64) -> Bindings {
        Bindings(Arc::new(json!({"user": {"id": id}}).as_object().unwrap().clone()))
    }

    #[test]
    fn batches_are_of_rows_in_their_order() {
        for (batch, expected) in [
            (None, json!([{"id": 1}, {"id": 2}, {"id": 4}])),
            (Some(2), json!([[{"id": 1}, {"id": 2}], [{"id": 4}]])),
            (Some(9), json!([[{"id": 1}, {"id": 2}, {"id": 4}]])),
        ] {
            let mut listing = listing(batch);
            for row in 1..=4 {
                listing.add(row, Ok((row != 3).then(|| bound(row))));
            }
            assert_eq!(Value::from(listing.values().unwrap().to_vec()), expected, "{batch:?}");
        }
    }

    #[test]
    fn a_list_too_long_or_too_large_is_named() {
        for (most, expected) in [
            (Most { rows: 2, bytes: 1 << 20 }, false),
            (Most { rows: 3, bytes: 1 << 20 }, true),
            (Most { rows: 9, bytes: 300 }, false),
        ] {
            let mut listing = listing(None);
            for row in 1..=3 {
                listing.keep(&bound(row), most);
            }
            let values = listing.values();
            assert_eq!(values.is_ok(), expected, "{most:?}");
            if let Err(failure) = values {
                assert!(failure.message.contains("`foreach.user`") && failure.message.contains("`users`"));
                assert!(failure.help.is_some());
            }
        }
    }

    #[test]
    fn one_row_that_cannot_be_told_fails_the_list() {
        let mut listing = listing(None);
        let failure = Failure::new(FailureClass::Permanent, FailureKind::Expression, "no number");
        listing.add(1, Ok(Some(bound(1))));
        listing.add(2, Err(failure.clone()));
        listing.add(3, Ok(Some(bound(3))));
        assert_eq!(listing.values(), Err(failure));
    }
}
