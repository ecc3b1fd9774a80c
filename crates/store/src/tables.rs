//! Tables as the store knows them: which columns there are, what a new field becomes, who owns them.

use std::collections::{HashMap, HashSet};

use entities::{Mode, RecordBatch, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::column::{ColumnType, EXACT, Kinds};
use crate::layout::Layout;
use crate::ledger::PREFIX;
use crate::sql::{quoted, quoted_list};
use crate::trouble::Trouble;
use crate::widen;

/// Fields beyond this many go to `_more`: SQLite's limit is 2,000 columns.
const MOST_COLUMNS: usize = 1900;

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
        key: &[String],
    ) -> Result<&mut Table, Trouble> {
        if !self.held.contains_key(name) {
            self.held.insert(name.to_owned(), Table::read(conn, name, key)?);
        }
        self.held.get_mut(name).ok_or_else(|| Trouble::Ledger(format!("table `{name}` is gone")))
    }
}

/// The staging table of a `replace` table.
pub(crate) fn stage_of(table: &str) -> String {
    format!("{PREFIX}stage_{table}")
}

/// Claims `table` for a plan, or says who has it. A changed key changes the index.
pub(crate) fn claim(
    conn: &Connection,
    table: &str,
    plan: &str,
    mode: Mode,
    key: &[String],
) -> Result<(), Trouble> {
    let foreign = |owner: &str| StoreError::Foreign { table: table.to_owned(), owner: owner.to_owned() };
    let lower = table.to_ascii_lowercase();
    if lower.starts_with(PREFIX) {
        return Err(foreign("the ledger: names that begin with `_sync_` are its own").into());
    }
    if lower.starts_with("sqlite_") {
        return Err(foreign("SQLite: names that begin with `sqlite_` are its own").into());
    }
    let owner: Option<(String, String)> = conn
        .query_row("SELECT plan, key FROM _sync_tables WHERE name = ?1", [table], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let kind: Option<String> = conn
        .query_row("SELECT type FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE", [table], |row| row.get(0))
        .optional()?;
    match (&owner, kind.as_deref()) {
        (Some((owner, _)), _) if owner != plan => return Err(foreign(&format!("plan `{owner}`")).into()),
        (None, Some(_)) | (Some(_), Some("view" | "index" | "trigger")) => {
            return Err(foreign("somebody else: syncctl did not make it").into());
        }
        _ => {}
    }
    let unique: &[String] = if mode == Mode::Append { &[] } else { key };
    let key_text = serde_json::to_string(unique)?;
    if kind.is_some() && owner.is_some_and(|(_, held)| held != key_text) {
        conn.execute_batch(&format!("DROP INDEX IF EXISTS {}", quoted(&index_name(table))))?;
        let mut held = Table::read(conn, table, unique)?;
        held.ensure(conn)?;
        held.make_key(conn).map_err(|trouble| match trouble {
            trouble if trouble.is_about_a_record() => Trouble::Ledger(format!(
                "table `{table}` cannot have the key ({}): it holds several rows with the same values there; \
                 drop the table or choose another `table`",
                unique.join(", ")
            )),
            other => other,
        })?;
    }
    conn.execute(
        "INSERT INTO _sync_tables (name, plan, mode, key) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET mode = excluded.mode, key = excluded.key",
        params![table, plan, mode.as_str(), key_text],
    )?;
    Ok(())
}

/// The names that SQLite knows the row's number by (<https://sqlite.org/lang_createtable.html#rowid>).
fn is_rowid(column: &str) -> bool {
    ["rowid", "oid", "_rowid_"].iter().any(|name| column.eq_ignore_ascii_case(name))
}

fn index_name(table: &str) -> String {
    format!("{PREFIX}key_{table}")
}

impl Table {
    fn read(conn: &Connection, name: &str, key: &[String]) -> Result<Table, Trouble> {
        let present: Vec<(String, String)> = conn
            .prepare_cached("SELECT name, type FROM pragma_table_info(?1) ORDER BY cid")?
            .query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let mut table = Table {
            name: name.to_owned(),
            exists: !present.is_empty(),
            columns: Vec::new(),
            by_source: HashMap::new(),
            taken: HashSet::from(["_task".to_owned(), "_more".to_owned()]),
            key: key.to_vec(),
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
        Ok(table)
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

    /// Makes sure that every record of `batch` can be held; afterwards `layout` is the batch's.
    pub(crate) fn fit(&mut self, conn: &Connection, batch: &RecordBatch) -> Result<(), Trouble> {
        let known = self.layout.as_ref().is_some_and(|layout| layout.is_of(batch));
        let mut kinds = vec![Kinds::default(); batch.columns.len()];
        for row in batch.cells.chunks_exact(batch.columns.len().max(1)) {
            for (kinds, cell) in kinds.iter_mut().zip(row) {
                kinds.add(cell);
            }
        }
        if known && self.layout.as_ref().is_some_and(|layout| layout.holds(&kinds)) {
            return Ok(());
        }
        let mut wanted: Vec<(&str, Kinds)> = Vec::with_capacity(batch.columns.len());
        // The key first: it must have columns even when the row is too long for all fields.
        let is_key = |name: &str| self.key.iter().any(|field| field == name);
        let fields = || batch.columns.iter().map(|name| &**name).zip(kinds.iter().copied());
        wanted.extend(fields().filter(|(name, _)| is_key(name)));
        wanted.extend(fields().filter(|(name, _)| !is_key(name)));
        self.widen_to(conn, &wanted)?;
        self.layout = Some(Layout::of(self, batch));
        Ok(())
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
            if kinds.within(was.holds()) {
                continue;
            }
            let holds_wide = was == ColumnType::Int && kinds.has_float() && self.holds_wide(conn, at)?;
            let kind = was.widened(*kinds, holds_wide);
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
        if self.columns.iter().all(|column| column.kind != ColumnType::More) {
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
        conn.execute_batch(&format!("CREATE TABLE {} (_task INTEGER{columns})", quoted(&self.name)))?;
        self.exists = true;
        for at in 0..self.columns.len() {
            self.record(conn, at)?;
        }
        self.make_key(conn)
    }

    fn make_key(&self, conn: &Connection) -> Result<(), Trouble> {
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
