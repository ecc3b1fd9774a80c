//! Tables as the store knows them: which columns there are, what a new field becomes, who owns them.

use std::collections::{HashMap, HashSet};

use entities::{Failure, FailureClass, FailureKind, RecordBatch};
use rusqlite::{Connection, params};

use crate::column::{ColumnType, EXACT, Kinds};
use crate::layout::Layout;
use crate::ledger::PREFIX;
use crate::sql::{quoted, quoted_list};
use crate::trouble::Trouble;
use crate::widen;

/// Fields beyond this many go to `_more`: SQLite's limit is 2,000 columns.
const MOST_COLUMNS: usize = 1900;

/// The mark of a row that a mirror's complete run did not return.
pub(crate) const DELETED_AT: &str = "_deleted_at";

/// What a spec wants of its table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// The columns with a unique index, as record fields.
    pub unique: Vec<String>,
    /// Fields whose columns have a type, whatever the values look like.
    pub types: HashMap<String, ColumnType>,
    /// Rows are marked as deleted.
    pub marks: bool,
}

/// One column that we made.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// The record's field.
    pub source: String,
    /// The column's name: the field's, unless that is taken or no name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// It has a declared type, whose affinity acts on its values.
    declared: bool,
}

/// One table.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name.
    pub name: String,
    /// It is there.
    pub exists: bool,
    /// Its columns, without `_task`.
    pub columns: Vec<Column>,
    by_source: HashMap<String, usize>,
    taken: HashSet<String>,
    /// The columns with a unique index, as record fields.
    pub key: Vec<String>,
    /// Fields whose columns have a type, whatever the values look like.
    pub types: HashMap<String, ColumnType>,
    /// It has our mark of deleted rows, or will have it when it is made.
    marks: bool,
    /// How the records landed last are laid out.
    pub layout: Option<Layout>,
}

/// The tables met so far.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    held: HashMap<String, Table>,
}

impl Tables {
    /// Drops what is remembered: a transaction was rolled back.
    pub(crate) fn forget_all(&mut self) {
        self.held.clear();
    }

    /// Drops what is remembered about one table.
    pub(crate) fn forget(&mut self, name: &str) {
        self.held.remove(name);
    }

    /// The table called `name`, read from the file at first.
    pub(crate) fn load(
        &mut self,
        conn: &Connection,
        name: &str,
        shape: &Shape,
    ) -> Result<&mut Table, Trouble> {
        if !self.held.contains_key(name) {
            self.held.insert(name.to_owned(), Table::read(conn, name, shape)?);
        }
        self.held.get_mut(name).ok_or_else(|| Trouble::Ledger(format!("table `{name}` is gone")))
    }
}

/// The staging table of a `replace` table.
pub(crate) fn stage_of(table: &str) -> String {
    format!("{PREFIX}stage_{table}")
}

/// The names that SQLite knows the row's number by (<https://sqlite.org/lang_createtable.html#rowid>).
fn is_rowid(column: &str) -> bool {
    ["rowid", "oid", "_rowid_"].iter().any(|name| column.eq_ignore_ascii_case(name))
}

/// The unique index of a table with a key.
pub(crate) fn index_name(table: &str) -> String {
    format!("{PREFIX}key_{table}")
}

impl Table {
    /// A table as it is in the file.
    pub(crate) fn read(conn: &Connection, name: &str, shape: &Shape) -> Result<Table, Trouble> {
        let present: Vec<(String, String)> = conn
            .prepare_cached("SELECT name, type FROM pragma_table_info(?1) ORDER BY cid")?
            .query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let mut table = Table {
            name: name.to_owned(),
            exists: !present.is_empty(),
            columns: Vec::new(),
            by_source: HashMap::new(),
            taken: HashSet::from(["_task".to_owned(), "_more".to_owned(), DELETED_AT.to_owned()]),
            key: shape.unique.clone(),
            types: shape.types.clone(),
            marks: shape.marks,
            layout: None,
        };
        let recorded: Vec<(String, String, String)> = conn
            .prepare_cached("SELECT source, name, type FROM _sync_columns WHERE target = ?1 ORDER BY place")?
            .query_map([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (column, _) in &present {
            table.taken.insert(column.to_ascii_lowercase());
        }
        for (source, column, kind) in recorded {
            match present.iter().find(|(held, _)| held.eq_ignore_ascii_case(&column)) {
                Some((_, declared)) => table.push(Column {
                    source,
                    name: column,
                    kind: ColumnType::parse(&kind),
                    declared: !declared.is_empty(),
                }),
                // The user dropped it, or the whole table: it may come back as a new one.
                None => {
                    conn.execute(
                        "DELETE FROM _sync_columns WHERE target = ?1 AND name = ?2",
                        params![name, column],
                    )?;
                }
            }
        }
        if table.exists && !present.iter().any(|(column, _)| column.eq_ignore_ascii_case("_task")) {
            conn.execute_batch(&format!("ALTER TABLE {} ADD COLUMN _task INTEGER", quoted(name)))?;
        }
        table.read_mark(conn, present.iter().any(|(column, _)| column.eq_ignore_ascii_case(DELETED_AT)))?;
        Ok(table)
    }

    fn read_mark(&mut self, conn: &Connection, is_present: bool) -> Result<(), Trouble> {
        let is_a_fields = self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(DELETED_AT));
        if is_a_fields && self.marks {
            return Err(Trouble::Ledger(format!(
                "table `{}` cannot mark deleted rows: its column `{DELETED_AT}` is a field of the records; \
                 drop the column or choose another `table`",
                self.name
            )));
        }
        if self.exists && self.marks && !is_present {
            conn.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {DELETED_AT} TEXT", quoted(&self.name)))?;
        }
        // Marks of an earlier mode are wiped from rows that come back as well.
        self.marks |= is_present && !is_a_fields;
        Ok(())
    }

    /// Whether rows may be marked as deleted.
    pub(crate) fn marks(&self) -> bool {
        self.marks
    }

    /// Whether there is a column for fields that the row has no room for.
    pub(crate) fn has_more(&self) -> bool {
        self.columns.iter().any(|column| column.kind == ColumnType::More)
    }

    fn push(&mut self, column: Column) {
        self.taken.insert(column.name.to_ascii_lowercase());
        if column.kind != ColumnType::More {
            self.by_source.insert(column.source.clone(), self.columns.len());
        }
        self.columns.push(column);
    }

    /// The place of a field's column.
    pub(crate) fn column_of(&self, source: &str) -> Option<usize> {
        self.by_source.get(source).copied()
    }

    /// The key's columns, by name.
    pub(crate) fn key_columns(&self) -> Vec<&str> {
        self.key
            .iter()
            .filter_map(|field| self.column_of(field))
            .map(|at| self.columns[at].name.as_str())
            .collect()
    }

    /// Makes the table, with the key's columns, if it is not there.
    pub(crate) fn ensure(&mut self, conn: &Connection) -> Result<(), Trouble> {
        let fields = self.key.clone();
        let wanted: Vec<(&str, Kinds)> =
            fields.iter().map(|field| (field.as_str(), Kinds::default())).collect();
        self.widen_to(conn, &wanted)
    }

    /// Makes sure that every record of `batch` can be held; afterwards `layout` is the batch's. Or says why
    /// they cannot be; then nothing has changed.
    pub(crate) fn fit(
        &mut self,
        conn: &Connection,
        batch: &RecordBatch,
        is_frozen: bool,
    ) -> Result<Option<Failure>, Trouble> {
        let known = self.layout.as_ref().is_some_and(|layout| layout.is_of(batch));
        let kinds = Kinds::of(batch);
        if known && self.layout.as_ref().is_some_and(|layout| layout.holds(&kinds)) {
            return Ok(None);
        }
        let mut wanted: Vec<(&str, Kinds)> = Vec::with_capacity(batch.columns.len());
        // The key first: it must have columns even when the row is too long for all fields.
        let is_key = |name: &str| self.key.iter().any(|field| field == name);
        // A frozen table needs no column for a field that is always null.
        let is_there = |name: &str| !is_frozen || !self.exists || self.column_of(name).is_some();
        let fields = || {
            let fields = batch.columns.iter().map(|name| &**name).zip(kinds.iter().copied());
            fields.filter(|(name, _)| is_there(name))
        };
        wanted.extend(fields().filter(|(name, _)| is_key(name)));
        wanted.extend(fields().filter(|(name, _)| !is_key(name)));
        for (source, kinds) in &mut wanted {
            let Some(said) = self.types.get(*source).copied() else { continue };
            *kinds = kinds.and(said.as_kinds(false));
            if let Some(failure) = self.clash(conn, source, *kinds, said)? {
                return Ok(Some(failure));
            }
        }
        self.widen_to(conn, &wanted)?;
        self.layout = Some(Layout::of(self, batch));
        Ok(None)
    }

    /// Why a field's column cannot have the type that the plan says.
    fn clash(
        &self,
        conn: &Connection,
        source: &str,
        kinds: Kinds,
        said: ColumnType,
    ) -> Result<Option<Failure>, Trouble> {
        let Some(at) = self.column_of(source) else { return Ok(None) };
        let was = self.columns[at].kind;
        if self.widened(conn, at, kinds)? == said {
            return Ok(None);
        }
        let message = format!(
            "column `{}` of table `{}` is {} and cannot become {} without losing something",
            self.columns[at].name,
            self.name,
            was.as_str(),
            said.as_str()
        );
        let help = format!("take `{source}` out of `types`, drop the column, or choose another `table`");
        Ok(Some(Failure::new(FailureClass::Permanent, FailureKind::Record, message).help(help)))
    }

    /// What a column becomes to hold these kinds as well.
    fn widened(&self, conn: &Connection, at: usize, kinds: Kinds) -> Result<ColumnType, Trouble> {
        let was = self.columns[at].kind;
        if kinds.within(was.holds()) {
            return Ok(was);
        }
        let holds_wide = was == ColumnType::Int && kinds.has_float() && self.holds_wide(conn, at)?;
        Ok(was.widened(kinds, holds_wide))
    }

    /// Makes sure that there is a column for each field, of a type that holds the kinds.
    pub(crate) fn widen_to(&mut self, conn: &Connection, wanted: &[(&str, Kinds)]) -> Result<(), Trouble> {
        let before = self.columns.len();
        let mut widened: Vec<(usize, ColumnType)> = Vec::new();
        for (source, kinds) in wanted {
            let Some(at) = self.column_of(source) else {
                self.add(source, ColumnType::Null.widened(*kinds, false));
                continue;
            };
            let was = self.columns[at].kind;
            let kind = self.widened(conn, at, *kinds)?;
            if kind != was {
                self.columns[at].kind = kind;
                widened.push((at, was));
            }
        }
        self.layout = None;
        if !self.exists {
            self.create(conn)?;
            return Ok(());
        }
        // Columns that existed only in this call's list were never filled: only older ones convert.
        widened.retain(|(at, _)| *at < before);
        self.apply(conn, &widened, before)?;
        self.add_columns(conn, before)
    }

    /// Gives a field a column, or none if the row is full (then there is `_more`).
    fn add(&mut self, source: &str, kind: ColumnType) {
        if self.columns.len() < MOST_COLUMNS {
            let name = self.free_name(source);
            let declared = !kind.declared().is_empty();
            self.push(Column { source: source.to_owned(), name, kind, declared });
        } else {
            self.add_more();
        }
    }

    fn add_more(&mut self) {
        if !self.has_more() {
            let name = "_more".to_owned();
            self.push(Column { source: name.clone(), name, kind: ColumnType::More, declared: true });
        }
    }

    /// Makes sure that there is `_more`.
    pub(crate) fn make_more(&mut self, conn: &Connection) -> Result<(), Trouble> {
        let before = self.columns.len();
        self.add_more();
        self.add_columns(conn, before)
    }

    /// Adds the columns from the `before`-th on to the table in the file.
    fn add_columns(&mut self, conn: &Connection, before: usize) -> Result<(), Trouble> {
        // Each ALTER TABLE makes SQLite read the whole schema again; an empty table is made anew instead.
        // A column called like the row's number cannot be added at all, only be there from the beginning.
        let anew = self.columns[before..].iter().any(|column| is_rowid(&column.name))
            || (self.columns.len() - before > 32 && self.is_empty(conn)?);
        if anew {
            self.rebuild(conn, &[], self.columns.len())?;
        }
        for (at, column) in self.columns.iter().enumerate().skip(before) {
            if !anew {
                conn.execute_batch(&format!(
                    "ALTER TABLE {} ADD COLUMN {} {}",
                    quoted(&self.name),
                    quoted(&column.name),
                    column.kind.declared()
                ))?;
            }
            self.record(conn, at)?;
        }
        Ok(())
    }

    fn free_name(&self, source: &str) -> String {
        let plain = if source.is_empty() { "_empty".to_owned() } else { source.replace('\0', "\u{FFFD}") };
        let mut name = plain.clone();
        let mut number = 2;
        while self.taken.contains(&name.to_ascii_lowercase()) {
            name = format!("{plain}_{number}");
            number += 1;
        }
        name
    }

    fn is_empty(&self, conn: &Connection) -> Result<bool, Trouble> {
        let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM {})", quoted(&self.name));
        Ok(conn.query_row(&sql, [], |row| row.get(0))?)
    }

    /// Whether an integer column holds one that a double may bend.
    pub(crate) fn holds_wide(&self, conn: &Connection, at: usize) -> Result<bool, Trouble> {
        let column = quoted(&self.columns[at].name);
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM {} WHERE {column} > {EXACT} OR {column} < -{EXACT})",
            quoted(&self.name)
        );
        Ok(self.exists && conn.query_row(&sql, [], |row| row.get(0))?)
    }

    /// Brings the values held into their columns' new types. Only `before` columns are in the file yet.
    fn apply(
        &mut self,
        conn: &Connection,
        widened: &[(usize, ColumnType)],
        before: usize,
    ) -> Result<(), Trouble> {
        let bends = |(at, was): &(usize, ColumnType)| {
            self.columns[*at].declared && was.declared() != self.columns[*at].kind.declared()
        };
        if widened.iter().any(bends) {
            return self.rebuild(conn, widened, before);
        }
        for (at, was) in widened {
            let column = &self.columns[*at];
            if !column.declared {
                widen::convert_in_place(conn, &self.name, &column.name, *was, column.kind)?;
            }
            widen::record_type(conn, &self.name, column)?;
        }
        Ok(())
    }

    fn rebuild(
        &mut self,
        conn: &Connection,
        widened: &[(usize, ColumnType)],
        upto: usize,
    ) -> Result<(), Trouble> {
        widen::rebuild(conn, &self.name, &self.columns[..upto], widened)?;
        for column in &mut self.columns[..upto] {
            column.declared = !column.kind.declared().is_empty();
        }
        Ok(())
    }

    fn create(&mut self, conn: &Connection) -> Result<(), Trouble> {
        let columns: String = self
            .columns
            .iter()
            .map(|column| format!(", {} {}", quoted(&column.name), column.kind.declared()))
            .collect();
        let mark = if self.marks { format!(", {DELETED_AT} TEXT") } else { String::new() };
        conn.execute_batch(&format!("CREATE TABLE {} (_task INTEGER{columns}{mark})", quoted(&self.name)))?;
        self.exists = true;
        for at in 0..self.columns.len() {
            self.record(conn, at)?;
        }
        self.make_key(conn)
    }

    /// Makes the unique index of its key.
    pub(crate) fn make_key(&self, conn: &Connection) -> Result<(), Trouble> {
        if self.key.is_empty() {
            return Ok(());
        }
        conn.execute_batch(&format!(
            "CREATE UNIQUE INDEX {} ON {} ({})",
            quoted(&index_name(&self.name)),
            quoted(&self.name),
            quoted_list(self.key_columns())
        ))?;
        Ok(())
    }

    fn record(&self, conn: &Connection, at: usize) -> Result<(), Trouble> {
        let column = &self.columns[at];
        conn.prepare_cached(
            "INSERT INTO _sync_columns (target, name, source, type, place) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            self.name,
            column.name,
            column.source,
            column.kind.as_str(),
            i64::try_from(at).unwrap_or(i64::MAX)
        ])?;
        Ok(())
    }
}
