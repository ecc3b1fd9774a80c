//! Rows on their way into a table: they gather over the landings of a transaction, and go by one COPY; into a table
//! with a key by way of a staging table, which belongs to the session and is empty when the transaction ends.

use std::collections::HashMap;

use store::{DELETED_AT, Trouble, quoted, quoted_list};
use tokio_postgres::Statement;
use xxhash_rust::xxh3::xxh3_128;

use crate::columns::{short, type_of};
use crate::copy::{MESSAGE, Rows};
use crate::layout::Layout;
use crate::session::Session;
use crate::tables::Table;

/// What a table waits for.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) rows: Rows,
    /// How many.
    pub(crate) count: i64,
    /// With a key: where the number of the row that was the last of a key so far begins.
    last: HashMap<u128, usize>,
    statements: Option<Statements>,
    /// The staging table has rows.
    is_staged: bool,
}

#[derive(Debug)]
struct Statements {
    copy: Statement,
    /// With a key: from the staging table into the table.
    merge: Option<Statement>,
}

impl Default for Pending {
    fn default() -> Self {
        Pending { rows: Rows::new(), count: 0, last: HashMap::new(), statements: None, is_staged: false }
    }
}

impl Pending {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The columns have changed.
    pub(crate) fn forget_statements(&mut self) {
        self.statements = None;
        self.is_staged = false;
    }

    /// The transaction has ended.
    pub(crate) fn committed(&mut self) {
        self.is_staged = false;
    }

    /// Notes the key of a row whose number begins at `at`; an earlier row of the same key counts no more.
    pub(crate) fn note_key(&mut self, key: &Rows, at: usize) {
        if let Some(earlier) = self.last.insert(xxh3_128(key.bytes_from(0)), at) {
            self.rows.put_long(earlier, 0);
        }
    }
}

impl Table {
    /// Whether its rows go by way of a staging table.
    pub(crate) fn is_staged(&self) -> bool {
        !self.shape.unique.is_empty()
    }

    fn staging(&self) -> String {
        format!("pg_temp.{}", quoted(&short(&format!("{}in_{}", store::PREFIX, self.name))))
    }

    /// Sends the rows that wait. Into a table without a key they are under way when this returns.
    pub(crate) fn flush(&mut self, session: &mut Session) -> Result<(), Trouble> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.stage(session)?;
        self.merge(session)
    }

    /// Sends them if they are worth a message, and need not wait for later rows of the same key.
    pub(crate) fn flush_if_many(&mut self, session: &mut Session) -> Result<(), Trouble> {
        if self.pending.len() < MESSAGE || self.is_staged() { Ok(()) } else { self.flush(session) }
    }

    /// Sends the rows that wait, as far as the staging table if there is a key.
    pub(crate) fn stage(&mut self, session: &mut Session) -> Result<(), Trouble> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.prepare(session)?;
        if std::mem::take(&mut self.pending.is_staged) {
            session.run(&format!("TRUNCATE {}", self.staging()))?;
        }
        let rows = self.pending.rows.take();
        self.pending.count = 0;
        self.pending.last.clear();
        self.pending.is_staged = self.is_staged();
        let Some(statements) = &self.pending.statements else { return Ok(()) };
        session.copy(&self.relation, &statements.copy, rows)?;
        match self.layout.as_ref().is_some_and(Layout::has_json_key) && self.is_staged() {
            true => self.keep_last(session),
            false => Ok(()),
        }
    }

    /// Two JSON texts may be one key, which only the server knows: of the rows that it takes for one the last counts.
    fn keep_last(&self, session: &mut Session) -> Result<(), Trouble> {
        let staging = self.staging();
        let same: Vec<String> =
            self.key_columns().iter().map(|name| format!("o.{0} = s.{0}", quoted(name))).collect();
        session.run(&format!(
            "UPDATE {staging} s SET _n = 0 WHERE EXISTS (SELECT 1 FROM {staging} o WHERE {} AND o._n > s._n)",
            same.join(" AND ")
        ))
    }

    /// Brings what was staged last into the table.
    pub(crate) fn merge(&mut self, session: &mut Session) -> Result<(), Trouble> {
        let merge = self.pending.statements.as_ref().and_then(|statements| statements.merge.as_ref());
        let Some(merge) = merge.filter(|_| self.pending.is_staged) else { return Ok(()) };
        let connection = session.transaction()?;
        let client = connection.client()?;
        connection.wait(client.execute(merge, &[])).map(drop)
    }

    /// The numbers of the staged rows that are new, or differ from the row held.
    pub(crate) fn differing(&self, session: &mut Session) -> Result<Vec<usize>, Trouble> {
        let key = self.key_columns();
        let others: Vec<String> =
            self.column_names().filter(|name| !key.contains(name)).map(quoted).collect();
        let side =
            |side: &str| others.iter().map(|name| format!("{side}.{name}")).collect::<Vec<_>>().join(", ");
        let mut differs = match others.is_empty() {
            true => "false".to_owned(),
            false => format!("ROW({}) IS DISTINCT FROM ROW({})", side("t"), side("s")),
        };
        if self.marks {
            // A row that comes back is new to whoever reads the table.
            differs = format!("{differs} OR t.{DELETED_AT} IS NOT NULL");
        }
        let on: Vec<String> = key.iter().map(|name| format!("t.{0} = s.{0}", quoted(name))).collect();
        let sql = format!(
            "SELECT s._n FROM {} s LEFT JOIN {} t ON {} WHERE s._n > 0 AND (t.{} IS NULL OR {differs})",
            self.staging(),
            self.relation,
            on.join(" AND "),
            key.first().map_or("_task".to_owned(), |name| quoted(name)),
        );
        let rows = session.transaction()?.query(&sql)?;
        Ok(rows.iter().filter_map(|row| row.get(0)?.parse().ok()).collect())
    }

    fn prepare(&mut self, session: &mut Session) -> Result<(), Trouble> {
        if self.pending.statements.is_some() {
            return Ok(());
        }
        let mut columns = vec!["_task"];
        columns.extend(self.column_names());
        let names = quoted_list(columns.iter().copied());
        let (into, merge) = match self.is_staged() {
            false => (format!("{} ({names})", self.relation), None),
            true => {
                let staging = self.staging();
                let typed: String = self
                    .columns
                    .list()
                    .iter()
                    .map(|column| format!(", {} {}", quoted(&column.name), type_of(column.kind)))
                    .collect();
                // It may be there, with other columns.
                session.run(&format!(
                    "DROP TABLE IF EXISTS {staging};
                     CREATE TEMPORARY TABLE {} (_n bigint, _task bigint{typed}) ON COMMIT DELETE ROWS",
                    staging.trim_start_matches("pg_temp.")
                ))?;
                (format!("{staging} (_n, {names})"), Some(self.merging(&staging, &names)))
            }
        };
        let connection = session.transaction()?;
        let client = connection.client()?;
        let copy = connection.wait(client.prepare(&format!("COPY {into} FROM STDIN (FORMAT binary)")))?;
        let merge = match merge {
            Some(sql) => Some(connection.wait(client.prepare(&sql))?),
            None => None,
        };
        self.pending.statements = Some(Statements { copy, merge });
        Ok(())
    }

    /// A row is what the API returned last: columns that the record lacks become null. Rows that do not differ are
    /// given their new `_task`.
    fn merging(&self, staging: &str, names: &str) -> String {
        let key = self.key_columns();
        let mut set = "_task = excluded._task".to_owned();
        for name in self.column_names().filter(|name| !key.contains(name)) {
            set.push_str(&format!(", {0} = excluded.{0}", quoted(name)));
        }
        if self.marks {
            set.push_str(&format!(", {DELETED_AT} = NULL"));
        }
        format!(
            "INSERT INTO {} ({names}) SELECT {names} FROM {staging} WHERE _n > 0
             ON CONFLICT ({}) DO UPDATE SET {set}",
            self.relation,
            quoted_list(key),
        )
    }
}
