//! Tables as SQLite has them: what is in the file, and how a change of their columns is applied to it.

use std::collections::HashMap;

use entities::{Failure, RecordBatch};
use rusqlite::Connection;

use crate::column::{ColumnType, EXACT, Kinds};
use crate::columns::{Change, Column, Columns, DELETED_AT, Room, Shape};
use crate::ledger::PREFIX;
use crate::sql::{quoted, quoted_list};
use crate::sqlite::layout::Layout;
use crate::sqlite::widen;
use crate::trouble::Trouble;

/// SQLite's limit is 2,000 columns; the length of a row and of names is none that matters.
const ROOM: Room =
    Room { columns: 1900, bytes: usize::MAX, width: |_| 0, name: usize::MAX, has_times: false };

/// One table.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name.
    pub name: String,
    /// It is there.
    pub exists: bool,
    /// Its columns, without `_task`.
    pub columns: Columns,
    /// What its spec wants of it.
    pub shape: Shape,
    /// It has our mark of deleted rows, or will have it when it is made.
    marks: bool,
    /// How the records landed last are laid out.
    pub layout: Option<Layout>,
}

/// The tables met so far.
#[derive(Debug, Default)]
pub(crate) struct Held {
    held: HashMap<String, Table>,
}

impl Held {
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
        let mut columns = Columns::new(ROOM);
        for (column, _) in &present {
            columns.take_name(column);
        }
        columns.read(conn, name, |column| {
            let held = present.iter().find(|(held, _)| held.eq_ignore_ascii_case(column));
            held.map(|(_, declared)| !declared.is_empty())
        })?;
        let exists = !present.is_empty();
        let has = |name: &str| present.iter().any(|(column, _)| column.eq_ignore_ascii_case(name));
        if exists && !has("_task") {
            conn.execute_batch(&format!("ALTER TABLE {} ADD COLUMN _task INTEGER", quoted(name)))?;
        }
        let mut table = Table {
            name: name.to_owned(),
            exists,
            columns,
            shape: shape.clone(),
            marks: shape.marks,
            layout: None,
        };
        table.read_mark(conn, has(DELETED_AT))?;
        Ok(table)
    }

    fn read_mark(&mut self, conn: &Connection, is_present: bool) -> Result<(), Trouble> {
        let is_a_fields =
            self.columns.list().iter().any(|column| column.name.eq_ignore_ascii_case(DELETED_AT));
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

    /// The key's columns, by name.
    pub(crate) fn key_columns(&self) -> Vec<&str> {
        self.columns.names_of(&self.shape.unique)
    }

    /// Makes the table, with the key's columns, if it is not there.
    pub(crate) fn ensure(&mut self, conn: &Connection) -> Result<(), Trouble> {
        let key = self.shape.unique.clone();
        let wanted: Vec<(&str, Kinds)> = key.iter().map(|field| (field.as_str(), Kinds::default())).collect();
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
        // A frozen table needs no column for a field that is always null.
        let wanted = self.columns.wanted(batch, &kinds, &self.shape, is_frozen && self.exists);
        for (source, kinds) in &wanted {
            if self.columns.said(&self.shape, source).is_none() {
                continue;
            }
            let Some(at) = self.columns.column_of(source) else { continue };
            let column = &self.columns.list()[at];
            let becomes = self.columns.widened(at, *kinds, || self.holds_wide(conn, column))?;
            if let Some(failure) = self.columns.clash(&self.name, &self.shape, source, becomes) {
                return Ok(Some(failure));
            }
        }
        self.widen_to(conn, &wanted)?;
        self.layout = Some(Layout::of(self, batch));
        Ok(None)
    }

    /// Makes sure that there is a column for each field, of a type that holds the kinds.
    pub(crate) fn widen_to(&mut self, conn: &Connection, wanted: &[(&str, Kinds)]) -> Result<(), Trouble> {
        let (name, exists) = (self.name.clone(), self.exists);
        let change = self.columns.widen(wanted, |column| holds_wide(conn, &name, exists, column))?;
        self.change(conn, &change)
    }

    /// Makes sure that there is `_more`.
    pub(crate) fn make_more(&mut self, conn: &Connection) -> Result<(), Trouble> {
        let change = Change { before: self.columns.list().len(), widened: Vec::new() };
        self.columns.add_more();
        self.change(conn, &change)
    }

    fn change(&mut self, conn: &Connection, change: &Change) -> Result<(), Trouble> {
        self.layout = None;
        if self.exists {
            self.apply(conn, change)?;
            self.add_columns(conn, change.before)?;
        } else {
            self.create(conn)?;
        }
        self.columns.record(conn, &self.name, change)
    }

    /// Adds the columns from the `before`-th on to the table in the file.
    fn add_columns(&mut self, conn: &Connection, before: usize) -> Result<(), Trouble> {
        let new = &self.columns.list()[before..];
        // Each ALTER TABLE makes SQLite read the whole schema again; an empty table is made anew instead.
        // A column called like the row's number cannot be added at all, only be there from the beginning.
        if new.iter().any(|column| is_rowid(&column.name)) || (new.len() > 32 && self.is_empty(conn)?) {
            return self.rebuild(conn, &[], self.columns.list().len());
        }
        for column in new {
            conn.execute_batch(&format!(
                "ALTER TABLE {} ADD COLUMN {} {}",
                quoted(&self.name),
                quoted(&column.name),
                column.kind.declared()
            ))?;
        }
        Ok(())
    }

    fn is_empty(&self, conn: &Connection) -> Result<bool, Trouble> {
        let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM {})", quoted(&self.name));
        Ok(conn.query_row(&sql, [], |row| row.get(0))?)
    }

    /// Whether an integer column holds one that a double may bend.
    pub(crate) fn holds_wide(&self, conn: &Connection, column: &Column) -> Result<bool, Trouble> {
        holds_wide(conn, &self.name, self.exists, column)
    }

    /// Brings the values held into their columns' new types. The new columns are not in the file yet.
    fn apply(&mut self, conn: &Connection, change: &Change) -> Result<(), Trouble> {
        let columns = self.columns.list();
        let bends = |(at, was): &(usize, ColumnType)| {
            columns[*at].declared && was.declared() != columns[*at].kind.declared()
        };
        if change.widened.iter().any(bends) {
            return self.rebuild(conn, &change.widened, change.before);
        }
        for (at, was) in &change.widened {
            let column = &columns[*at];
            if !column.declared {
                widen::convert_in_place(conn, &self.name, &column.name, *was, column.kind)?;
            }
        }
        Ok(())
    }

    fn rebuild(
        &mut self,
        conn: &Connection,
        widened: &[(usize, ColumnType)],
        upto: usize,
    ) -> Result<(), Trouble> {
        widen::rebuild(conn, &self.name, &self.columns.list()[..upto], widened)?;
        for column in &mut self.columns.list_mut()[..upto] {
            column.declared = !column.kind.declared().is_empty();
        }
        Ok(())
    }

    fn create(&mut self, conn: &Connection) -> Result<(), Trouble> {
        let columns: String = self
            .columns
            .list()
            .iter()
            .map(|column| format!(", {} {}", quoted(&column.name), column.kind.declared()))
            .collect();
        let mark = if self.marks { format!(", {DELETED_AT} TEXT") } else { String::new() };
        conn.execute_batch(&format!("CREATE TABLE {} (_task INTEGER{columns}{mark})", quoted(&self.name)))?;
        self.exists = true;
        self.make_key(conn)
    }

    /// Makes the unique index of its key.
    pub(crate) fn make_key(&self, conn: &Connection) -> Result<(), Trouble> {
        if self.shape.unique.is_empty() {
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
}

fn holds_wide(conn: &Connection, table: &str, exists: bool, column: &Column) -> Result<bool, Trouble> {
    let column = quoted(&column.name);
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {} WHERE {column} > {EXACT} OR {column} < -{EXACT})",
        quoted(table)
    );
    Ok(exists && conn.query_row(&sql, [], |row| row.get(0))?)
}
