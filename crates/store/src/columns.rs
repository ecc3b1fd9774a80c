//! The columns of a table, the same for every kind of store: their names, their types, and what a new field becomes.
//! Each kind only applies the [`Change`].
//!
//! The account of them is `_sync_columns` of the ledger.

use std::collections::{HashMap, HashSet};

use entities::{Cell, Failure, FailureClass, FailureKind, RecordBatch};
use rusqlite::{Connection, params};

use crate::column::{ColumnType, Kinds};
use crate::trouble::Trouble;

/// The mark of a row that a mirror's complete run did not return.
pub const DELETED_AT: &str = "_deleted_at";

/// What a spec wants of its table.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// The columns with a unique index, as record fields.
    pub unique: Vec<String>,
    /// Fields whose columns have a type, whatever the values look like.
    pub types: HashMap<String, entities::ColumnType>,
    /// Rows are marked as deleted.
    pub marks: bool,
}

impl Shape {
    /// The failure of a batch with a record that has no key, if there is one: it cannot be held.
    pub fn lacks_key(&self, batch: &RecordBatch) -> Option<Failure> {
        for field in &self.unique {
            let lacking = match batch.column(field) {
                None => (batch.rows > 0).then_some(0),
                Some(at) => (0..batch.rows).find(|row| batch.row(*row)[at] == Cell::Null),
            };
            if let Some(row) = lacking {
                let message =
                    format!("record {} of {} has no `{field}`, which is in the key", row + 1, batch.rows);
                return Some(
                    Failure::new(FailureClass::Permanent, FailureKind::Record, message)
                        .help("choose a `key` that every record has, or leave such records out with `where`"),
                );
            }
        }
        None
    }
}

/// What a row has room for; fields beyond it go to `_more`.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// The most columns.
    pub columns: usize,
    /// The most bytes, of `width`.
    pub bytes: usize,
    /// The bytes that a value of a type takes in the row itself, at most.
    pub width: fn(ColumnType) -> usize,
    /// The longest name of a column, in bytes.
    pub name: usize,
    /// There are types for instants and days.
    pub has_times: bool,
}

/// One column that we made.
#[derive(Clone, Debug)]
pub struct Column {
    /// The record's field.
    pub source: String,
    /// The column's name: the field's, unless that is taken or no name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// SQLite: it has a declared type, whose affinity acts on its values.
    pub(crate) declared: bool,
}

/// What must be done to a table so that it holds what comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The columns from this one on are new.
    pub before: usize,
    /// The older ones whose type is another now, and what it was.
    pub widened: Vec<(usize, ColumnType)>,
}

/// The columns of one table, without `_task`.
#[derive(Clone, Debug)]
pub struct Columns {
    list: Vec<Column>,
    by_source: HashMap<String, usize>,
    taken: HashSet<String>,
    used: usize,
    room: Room,
}

impl Columns {
    /// None yet, except for names that are taken.
    pub fn new(room: Room) -> Columns {
        Columns {
            list: Vec::new(),
            by_source: HashMap::new(),
            taken: ["_task", "_more", DELETED_AT].map(str::to_owned).into(),
            used: 0,
            room,
        }
    }

    /// Takes a name that a new column must not have.
    pub fn take_name(&mut self, name: &str) {
        self.taken.insert(name.to_ascii_lowercase());
    }

    /// All of them, in the order in which they came.
    pub fn list(&self) -> &[Column] {
        &self.list
    }

    pub(crate) fn list_mut(&mut self) -> &mut [Column] {
        &mut self.list
    }

    /// The place of a field's column.
    pub fn column_of(&self, source: &str) -> Option<usize> {
        self.by_source.get(source).copied()
    }

    /// Whether there is a column for fields that the row has no room for.
    pub fn has_more(&self) -> bool {
        self.list.iter().any(|column| column.kind == ColumnType::More)
    }

    /// The names of the key's columns. `key`: record fields.
    pub fn names_of<'a>(&'a self, key: &'a [String]) -> Vec<&'a str> {
        key.iter().filter_map(|field| self.column_of(field)).map(|at| self.list[at].name.as_str()).collect()
    }

    /// Adds a column as it is in the account.
    pub fn push(&mut self, column: Column) {
        self.taken.insert(column.name.to_ascii_lowercase());
        self.used += (self.room.width)(column.kind);
        if column.kind != ColumnType::More {
            self.by_source.insert(column.source.clone(), self.list.len());
        }
        self.list.push(column);
    }

    /// What a batch asks for: its fields with the kinds of their values, those of the key first, since they must have
    /// columns even when the row has no room for all. `only_held`: a field without a column gets none.
    pub fn wanted<'b>(
        &self,
        batch: &'b RecordBatch,
        kinds: &[Kinds],
        shape: &Shape,
        only_held: bool,
    ) -> Vec<(&'b str, Kinds)> {
        let is_key = |name: &str| shape.unique.iter().any(|field| field == name);
        let is_there = |name: &str| !only_held || self.column_of(name).is_some();
        let fields = || {
            let fields = batch.columns.iter().map(|name| &**name).zip(kinds.iter().copied());
            fields.filter(|(name, _)| is_there(name))
        };
        let mut wanted: Vec<(&str, Kinds)> = Vec::with_capacity(batch.columns.len());
        wanted.extend(fields().filter(|(name, _)| is_key(name)));
        wanted.extend(fields().filter(|(name, _)| !is_key(name)));
        for (field, kinds) in &mut wanted {
            if let Some(said) = self.said(shape, field) {
                // The worker has made every value one of that type.
                *kinds = said.as_kinds(false).and(if said.is_time() { Kinds::default() } else { *kinds });
            }
        }
        wanted
    }

    /// The type that the plan says for a field.
    pub fn said(&self, shape: &Shape, field: &str) -> Option<ColumnType> {
        shape.types.get(field).map(|kind| ColumnType::said(*kind, self.room.has_times))
    }

    /// Why a field's column cannot have the type that the plan says, if so. `becomes`: what [`widened`](Self::widened)
    /// makes of it.
    pub fn clash(&self, table: &str, shape: &Shape, source: &str, becomes: ColumnType) -> Option<Failure> {
        let (said, at) = (self.said(shape, source)?, self.column_of(source)?);
        if becomes == said {
            return None;
        }
        let message = format!(
            "column `{}` of table `{table}` is {} and cannot become {} without losing something",
            self.list[at].name,
            self.list[at].kind.as_str(),
            said.as_str()
        );
        let help = format!("take `{source}` out of `types`, drop the column, or choose another `table`");
        Some(Failure::new(FailureClass::Permanent, FailureKind::Record, message).help(help))
    }

    /// What a column becomes to hold these kinds as well. `holds_wide`: whether an integer column holds one beyond
    /// ±2^53; it is asked only where that matters.
    pub fn widened(
        &self,
        at: usize,
        kinds: Kinds,
        holds_wide: impl FnOnce() -> Result<bool, Trouble>,
    ) -> Result<ColumnType, Trouble> {
        let was = self.list[at].kind;
        if kinds.within(was.holds()) {
            return Ok(was);
        }
        let holds_wide = was == ColumnType::Int && kinds.has_float() && holds_wide()?;
        Ok(was.widened(kinds, holds_wide))
    }

    /// Makes sure that there is a column for each field, of a type that holds the kinds; says what is to be done to the
    /// table.
    pub fn widen(
        &mut self,
        wanted: &[(&str, Kinds)],
        mut holds_wide: impl FnMut(&Column) -> Result<bool, Trouble>,
    ) -> Result<Change, Trouble> {
        let mut change = Change { before: self.list.len(), widened: Vec::new() };
        for (source, kinds) in wanted {
            let Some(at) = self.column_of(source) else {
                self.add(source, ColumnType::Null.widened(*kinds, false));
                continue;
            };
            let was = self.list[at].kind;
            let kind = self.widened(at, *kinds, || holds_wide(&self.list[at]))?;
            if kind != was {
                self.list[at].kind = kind;
                self.used = self.used - (self.room.width)(was) + (self.room.width)(kind);
                // A column that is new in this very list was never filled.
                if at < change.before {
                    change.widened.push((at, was));
                }
            }
        }
        Ok(change)
    }

    /// Gives a field a column, or none if the row is full (then there is `_more`).
    fn add(&mut self, source: &str, kind: ColumnType) {
        let fits = self.used + (self.room.width)(kind) <= self.room.bytes;
        if self.list.len() < self.room.columns && fits {
            let name = self.free_name(source);
            let declared = !kind.declared().is_empty();
            self.push(Column { source: source.to_owned(), name, kind, declared });
        } else {
            self.add_more();
        }
    }

    /// Makes sure that there is `_more`.
    pub fn add_more(&mut self) {
        if !self.has_more() {
            let name = "_more".to_owned();
            self.push(Column { source: name.clone(), name, kind: ColumnType::More, declared: true });
        }
    }

    /// Names are told apart without regard to case, as SQLite, DuckDB and most readers do.
    fn free_name(&self, source: &str) -> String {
        let plain = if source.is_empty() { "_empty".to_owned() } else { source.replace('\0', "\u{FFFD}") };
        let mut name = cut(&plain, self.room.name).to_owned();
        let mut number = 2;
        while self.taken.contains(&name.to_ascii_lowercase()) {
            let suffix = format!("_{number}");
            name = format!("{}{suffix}", cut(&plain, self.room.name.saturating_sub(suffix.len())));
            number += 1;
        }
        name
    }

    /// Adds the columns that the account has of a table. `is_there`: whether the table has a column of this name; what
    /// the user dropped is forgotten, and may come back as new.
    pub fn read(
        &mut self,
        ledger: &Connection,
        table: &str,
        mut is_there: impl FnMut(&str) -> Option<bool>,
    ) -> Result<(), Trouble> {
        let recorded: Vec<(String, String, String)> = ledger
            .prepare_cached("SELECT source, name, type FROM _sync_columns WHERE target = ?1 ORDER BY place")?
            .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (source, name, kind) in recorded {
            match is_there(&name) {
                Some(declared) => {
                    self.push(Column { source, name, kind: ColumnType::parse(&kind), declared });
                }
                None => {
                    ledger.execute(
                        "DELETE FROM _sync_columns WHERE target = ?1 AND name = ?2",
                        params![table, name],
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Notes in the account what was added and what has changed.
    pub fn record(&self, ledger: &Connection, table: &str, change: &Change) -> Result<(), Trouble> {
        for (at, _) in &change.widened {
            self.record_type(ledger, table, *at)?;
        }
        for (at, column) in self.list.iter().enumerate().skip(change.before) {
            ledger
                .prepare_cached(
                    "INSERT INTO _sync_columns (target, name, source, type, place) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    table,
                    column.name,
                    column.source,
                    column.kind.as_str(),
                    i64::try_from(at).unwrap_or(i64::MAX)
                ])?;
        }
        Ok(())
    }

    fn record_type(&self, ledger: &Connection, table: &str, at: usize) -> Result<(), Trouble> {
        let column = &self.list[at];
        ledger.execute(
            "UPDATE _sync_columns SET type = ?3 WHERE target = ?1 AND name = ?2",
            params![table, column.name, column.kind.as_str()],
        )?;
        Ok(())
    }
}

/// The beginning of a text that has at most so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
