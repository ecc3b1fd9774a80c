//! Tables as PostgreSQL has them: what is in the schema, and how a change of their columns is applied to it.

use std::collections::HashMap;

use entities::{Failure, RecordBatch};
use rusqlite::Connection as Ledger;
use store::{
    Change, Column, ColumnType, Columns, DELETED_AT, EXACT, Kinds, Shape, Trouble, quoted, quoted_list,
};

use crate::columns::{ROOM, ROW, TAKEN, converted, literal, short, type_of};
use crate::connection::Connection;
use crate::layout::Layout;
use crate::pending::Pending;
use crate::session::Session;

/// More bytes than this, of all tables, do not wait.
const MOST_PENDING: usize = 8 << 20;

/// One table.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name in the ledger's account.
    pub account: String,
    /// Its name in the schema.
    pub name: String,
    /// The same with the schema, for SQL.
    pub relation: String,
    /// It is there.
    pub exists: bool,
    /// Its columns, without `_task`.
    pub columns: Columns,
    /// What its spec wants of it.
    pub shape: Shape,
    /// It has our mark of deleted rows, or will have it when it is made.
    pub marks: bool,
    /// Its rows have numbers.
    pub is_numbered: bool,
    /// How the records landed last are laid out.
    pub layout: Option<Layout>,
    /// Rows that are not in the database yet.
    pub pending: Pending,
}

/// The tables met so far.
#[derive(Debug, Default)]
pub(crate) struct Held {
    held: HashMap<String, Table>,
}

impl Held {
    /// Drops what is remembered, and the rows that are not in the database yet.
    pub(crate) fn forget_all(&mut self) {
        self.held.clear();
    }

    /// Drops what is remembered about one table.
    pub(crate) fn forget(&mut self, account: &str) {
        self.held.remove(account);
    }

    /// The table called `account`, read from the schema at first.
    pub(crate) fn load(
        &mut self,
        session: &mut Session,
        ledger: &Ledger,
        account: &str,
        shape: &Shape,
    ) -> Result<&mut Table, Trouble> {
        if !self.held.contains_key(account) {
            self.held.insert(account.to_owned(), Table::read(session, ledger, account, shape)?);
        }
        self.held.get_mut(account).ok_or_else(|| Trouble::Ledger(format!("table `{account}` is gone")))
    }

    /// Sends the rows that are not in the database yet.
    pub(crate) fn flush(&mut self, session: &mut Session) -> Result<(), Trouble> {
        // In the same order each time.
        let mut tables: Vec<&mut Table> =
            self.held.values_mut().filter(|table| !table.pending.is_empty()).collect();
        tables.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        tables.into_iter().try_for_each(|table| table.flush(session))
    }

    /// Sends them if they are many.
    pub(crate) fn flush_if_full(&mut self, session: &mut Session) -> Result<(), Trouble> {
        let pending: usize = self.held.values().map(|table| table.pending.len()).sum();
        if pending > MOST_PENDING { self.flush(session) } else { Ok(()) }
    }

    /// The transaction has ended: staging tables are empty again.
    pub(crate) fn committed(&mut self) {
        self.held.values_mut().for_each(|table| table.pending.committed());
    }
}

/// The staging table of a `replace` table, as the ledger's account has it.
pub(crate) fn stage_of(table: &str) -> String {
    format!("{}stage_{table}", store::PREFIX)
}

/// The unique index of a table with a key.
pub(crate) fn index_name(table: &str) -> String {
    short(&format!("{}key_{table}", store::PREFIX))
}

/// What the schema calls a table, and what it is: `r` is a table. Names are told apart without regard to case, as the
/// ledger does.
pub(crate) fn relation(session: &mut Session, name: &str) -> Result<Option<(String, String)>, Trouble> {
    relation_of(session.connection()?, name)
}

/// The same for readers.
pub(crate) fn relation_of(connection: &Connection, name: &str) -> Result<Option<(String, String)>, Trouble> {
    let name = literal(&short(name));
    let rows = connection.query(&format!(
        "SELECT c.relname, c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = {} AND lower(c.relname) = lower({name}) ORDER BY c.relname <> {name} LIMIT 1",
        literal(&connection.address.schema)
    ))?;
    let text = |at: usize| rows.first().and_then(|row| row.get(at)).map(str::to_owned);
    Ok(text(0).zip(text(1)))
}

/// The columns of a relation, in their order, and their types.
pub(crate) fn columns_of(connection: &Connection, relation: &str) -> Result<Vec<(String, String)>, Trouble> {
    let rows = connection.query(&format!(
        "SELECT attname, pg_catalog.format_type(atttypid, NULL) FROM pg_catalog.pg_attribute
         WHERE attrelid = {}::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        literal(relation)
    ))?;
    Ok(rows.iter().filter_map(|row| Some((row.get(0)?.to_owned(), row.get(1)?.to_owned()))).collect())
}

impl Table {
    fn read(session: &mut Session, ledger: &Ledger, account: &str, shape: &Shape) -> Result<Table, Trouble> {
        let found = relation(session, account)?;
        let exists = found.is_some();
        let name = found.map_or_else(|| short(account), |(name, _)| name);
        let relation = session.named(&name);
        let present: Vec<(String, String)> = match exists {
            false => Vec::new(),
            true => columns_of(session.connection()?, &relation)?,
        };
        let mut columns = Columns::new(ROOM);
        TAKEN.iter().for_each(|name| columns.take_name(name));
        present.iter().for_each(|(column, _)| columns.take_name(column));
        let is_present = |name: &str| present.iter().any(|(column, _)| column == name);
        columns.read(ledger, account, |column| is_present(column).then_some(true))?;
        for column in columns.list() {
            let held = present.iter().find(|(name, _)| *name == column.name);
            if let Some((_, held)) = held.filter(|(_, held)| held != type_of(column.kind)) {
                return Err(Trouble::Ledger(format!(
                    "column `{}` of table `{name}` has become {held}: the ledger knows it as {}; change it back, or \
                     make a view of the table",
                    column.name,
                    type_of(column.kind)
                )));
            }
        }
        if exists && !is_present("_task") {
            session.run(&format!("ALTER TABLE {relation} ADD COLUMN _task bigint"))?;
        }
        let mut table = Table {
            account: account.to_owned(),
            name,
            relation,
            exists,
            columns,
            shape: shape.clone(),
            marks: shape.marks,
            is_numbered: is_present(ROW),
            layout: None,
            pending: Pending::default(),
        };
        table.read_mark(session, is_present(DELETED_AT))?;
        Ok(table)
    }

    fn read_mark(&mut self, session: &mut Session, is_present: bool) -> Result<(), Trouble> {
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
            session.run(&format!("ALTER TABLE {} ADD COLUMN {DELETED_AT} timestamptz", self.relation))?;
        }
        // Marks of an earlier mode are wiped from rows that come back as well.
        self.marks |= is_present && !is_a_fields;
        Ok(())
    }

    /// The key's columns, by name.
    pub(crate) fn key_columns(&self) -> Vec<&str> {
        self.columns.names_of(&self.shape.unique)
    }

    /// Makes the table, with the key's columns, if it is not there.
    pub(crate) fn ensure(&mut self, session: &mut Session, ledger: &Ledger) -> Result<(), Trouble> {
        let key = self.shape.unique.clone();
        let wanted: Vec<(&str, Kinds)> = key.iter().map(|field| (field.as_str(), Kinds::default())).collect();
        self.widen_to(session, ledger, &wanted)
    }

    /// Makes sure that every record of `batch` can be held; afterwards `layout` is the batch's. Or says why
    /// they cannot be; then nothing has changed.
    pub(crate) fn fit(
        &mut self,
        session: &mut Session,
        ledger: &Ledger,
        batch: &RecordBatch,
        is_frozen: bool,
    ) -> Result<Option<Failure>, Trouble> {
        let kinds = Kinds::of(batch);
        if self.layout.as_ref().is_some_and(|layout| layout.holds(batch, &kinds)) {
            return Ok(None);
        }
        // They are laid out for the columns as they are, and whether an integer is wide is asked of the table.
        self.flush(session)?;
        // A frozen table needs no column for a field that is always null.
        let wanted = self.columns.wanted(batch, &kinds, &self.shape, is_frozen && self.exists);
        for (source, kinds) in &wanted {
            if self.columns.said(&self.shape, source).is_none() {
                continue;
            }
            let Some(at) = self.columns.column_of(source) else { continue };
            let column = &self.columns.list()[at];
            let becomes = self.columns.widened(at, *kinds, || self.holds_wide(session, column))?;
            if let Some(failure) = self.columns.clash(&self.name, &self.shape, source, becomes) {
                return Ok(Some(failure));
            }
        }
        self.widen_to(session, ledger, &wanted)?;
        self.layout = Some(Layout::of(&self.columns, &self.shape, batch));
        Ok(None)
    }

    /// Makes sure that there is a column for each field, of a type that holds the kinds.
    pub(crate) fn widen_to(
        &mut self,
        session: &mut Session,
        ledger: &Ledger,
        wanted: &[(&str, Kinds)],
    ) -> Result<(), Trouble> {
        let (relation, exists) = (self.relation.clone(), self.exists);
        let change = self.columns.widen(wanted, |column| holds_wide(session, &relation, exists, column))?;
        self.change(session, ledger, &change)
    }

    /// Makes sure that there is `_more`.
    pub(crate) fn make_more(&mut self, session: &mut Session, ledger: &Ledger) -> Result<(), Trouble> {
        let change = Change { before: self.columns.list().len(), widened: Vec::new() };
        self.columns.add_more();
        self.change(session, ledger, &change)
    }

    fn change(&mut self, session: &mut Session, ledger: &Ledger, change: &Change) -> Result<(), Trouble> {
        let columns = self.columns.list();
        if self.exists && change.widened.is_empty() && columns.len() == change.before {
            return Ok(());
        }
        self.layout = None;
        self.pending.forget_statements();
        if self.exists {
            self.alter(session, change)?;
        } else {
            self.create(session)?;
        }
        self.columns.record(ledger, &self.account, change)
    }

    /// One statement, so that a large table is rewritten once.
    fn alter(&self, session: &mut Session, change: &Change) -> Result<(), Trouble> {
        let columns = self.columns.list();
        let widened = change.widened.iter().map(|(at, was)| (&columns[*at], *was));
        let mut actions: Vec<String> = widened
            .filter(|(column, was)| type_of(column.kind) != type_of(*was))
            .map(|(column, was)| {
                let (name, kind) = (quoted(&column.name), type_of(column.kind));
                format!("ALTER COLUMN {name} TYPE {kind} USING {}", converted(&column.name, was, column.kind))
            })
            .collect();
        let new = columns[change.before..].iter();
        actions.extend(new.map(|column| format!("ADD COLUMN {}", definition(column))));
        if actions.is_empty() {
            return Ok(());
        }
        let sql = format!("ALTER TABLE {} {}", self.relation, actions.join(", "));
        session.run(&sql).map_err(|trouble| match trouble {
            Trouble::Ledger(why) if why.contains("[0A000]") && why.contains("used by") => {
                Trouble::Ledger(format!(
                    "table `{}` needs a wider column, and a view of yours is in the way: {why}; drop the view, and make \
                     it again afterwards, or give the field a type in the plan: types = {{ FIELD = \"text\" }}",
                    self.name
                ))
            }
            other => other,
        })
    }

    fn create(&mut self, session: &mut Session) -> Result<(), Trouble> {
        let columns: String =
            self.columns.list().iter().map(|column| format!(", {}", definition(column))).collect();
        let mark = if self.marks { format!(", {DELETED_AT} timestamptz") } else { String::new() };
        session.run(&format!("CREATE TABLE {} (_task bigint{columns}{mark})", self.relation))?;
        self.exists = true;
        self.make_key(session)
    }

    /// Makes the unique index of its key.
    pub(crate) fn make_key(&self, session: &mut Session) -> Result<(), Trouble> {
        if self.shape.unique.is_empty() {
            return Ok(());
        }
        session.run(&format!(
            "CREATE UNIQUE INDEX {} ON {} ({})",
            quoted(&index_name(&self.name)),
            self.relation,
            quoted_list(self.key_columns())
        ))
    }

    /// Whether an integer column holds one that a double may bend.
    pub(crate) fn holds_wide(&self, session: &mut Session, column: &Column) -> Result<bool, Trouble> {
        holds_wide(session, &self.relation, self.exists, column)
    }

    /// Its columns that records fill, in order.
    pub(crate) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.list().iter().map(|column| column.name.as_str())
    }
}

fn definition(column: &Column) -> String {
    format!("{} {}", quoted(&column.name), type_of(column.kind))
}

fn holds_wide(session: &mut Session, relation: &str, exists: bool, column: &Column) -> Result<bool, Trouble> {
    if !exists || column.kind != ColumnType::Int {
        return Ok(false);
    }
    let column = quoted(&column.name);
    let sql =
        format!("SELECT EXISTS (SELECT 1 FROM {relation} WHERE {column} > {EXACT} OR {column} < -{EXACT})");
    Ok(session.connection()?.value(&sql)?.as_deref() == Some("t"))
}
