//! What a transaction has changed in the mirror, written to the ledger in the database by the same transaction as the
//! rows. Temporary triggers note the keys; what is at such a key in the end goes over, in the place of what was there.

use rusqlite::Connection as Ledger;
use rusqlite::types::ValueRef;
use store::{Trouble, quoted};
use tokio_postgres::Statement;

use crate::copy::Rows;
use crate::ledger::{LedgerKind, LedgerTable};
use crate::mirror::sql_of;
use crate::session::Session;

/// The requests of a transaction are many; of all other tables it changes a few rows.
const MANY: &str = "_sync_tasks";

/// What notes changes, and sends them.
#[derive(Debug)]
pub(crate) struct Changes {
    tables: Vec<LedgerTable>,
    copy: Option<Statement>,
}

impl Changes {
    /// Begins to note the changes of a mirror.
    pub(crate) fn note(ledger: &Ledger, tables: Vec<LedgerTable>) -> Result<Changes, Trouble> {
        for table in &tables {
            ledger.execute_batch(&triggers(table))?;
        }
        Ok(Changes { tables, copy: None })
    }

    /// The table of requests.
    pub(crate) fn requests(&self) -> Option<&LedgerTable> {
        self.tables.iter().find(|table| table.name == MANY)
    }

    /// The session is another.
    pub(crate) fn forget_statements(&mut self) {
        self.copy = None;
    }

    /// Forgets what was noted so far: it came from the database.
    pub(crate) fn forget(&self, ledger: &Ledger) -> Result<(), Trouble> {
        for table in &self.tables {
            ledger.prepare_cached(&format!("DELETE FROM temp.{}", noted(table)))?.execute([])?;
        }
        Ok(())
    }

    /// Sends what has changed.
    pub(crate) fn send(&mut self, ledger: &Ledger, session: &mut Session) -> Result<(), Trouble> {
        let (mut few, mut many) = (String::new(), Rows::new());
        for table in &self.tables {
            let relation = session.named(&table.name);
            let removed = removed(ledger, table)?;
            if !removed.is_empty() {
                few.push_str(&removal(&relation, table, &removed));
            }
            match table.name == MANY {
                true => rows(ledger, table, &mut many)?,
                false => few.push_str(&additions(ledger, &relation, table)?),
            }
        }
        if !few.is_empty() {
            session.run(&few)?;
        }
        if !many.is_empty() {
            self.copy(session, many)?;
        }
        if !few.is_empty() || session.is_in_transaction() {
            self.forget(ledger)?;
        }
        Ok(())
    }

    fn copy(&mut self, session: &mut Session, mut rows: Rows) -> Result<(), Trouble> {
        let Some(table) = self.requests() else { return Ok(()) };
        let sql =
            format!("COPY {} ({}) FROM STDIN (FORMAT binary)", session.named(MANY), table.column_list());
        let statement = match self.copy.take() {
            Some(statement) => statement,
            None => {
                let connection = session.transaction()?;
                connection.wait(connection.client()?.prepare(&sql))?
            }
        };
        let sent = session.copy(MANY, &statement, rows.take());
        self.copy = Some(statement);
        sent
    }
}

fn noted(table: &LedgerTable) -> String {
    quoted(&format!("_noted{}", table.name))
}

/// What notes the keys of a table's changes, each once: with whether a row was there before.
fn triggers(table: &LedgerTable) -> String {
    let key: Vec<String> = table.key().map(|column| quoted(&column.name)).collect();
    let (noted, keys) = (noted(table), key.join(", "));
    let on = quoted(&table.name);
    // Not `OR IGNORE`: the conflict clause of the statement that fires a trigger takes its place.
    let note = |row: &str, was: u8| {
        let values: Vec<String> = key.iter().map(|name| format!("{row}.{name}")).collect();
        let same: Vec<String> = key.iter().map(|name| format!("{name} = {row}.{name}")).collect();
        format!(
            "INSERT INTO {noted} ({keys}, was) SELECT {}, {was}
             WHERE NOT EXISTS (SELECT 1 FROM {noted} WHERE {});",
            values.join(", "),
            same.join(" AND ")
        )
    };
    let trigger = |event: &str, body: &str| {
        let name = quoted(&format!("_noted{}_{event}", table.name));
        format!("CREATE TEMP TRIGGER {name} AFTER {event} ON main.{on} BEGIN {body} END;\n")
    };
    format!(
        "CREATE TEMP TABLE {noted} ({keys}, was INTEGER NOT NULL, PRIMARY KEY ({keys})) WITHOUT ROWID;\n{}{}{}",
        trigger("INSERT", &note("NEW", 0)),
        trigger("UPDATE", &format!("{} {}", note("OLD", 1), note("NEW", 0))),
        trigger("DELETE", &note("OLD", 1)),
    )
}

/// The keys of rows that were there before, in SQL.
fn removed(ledger: &Ledger, table: &LedgerTable) -> Result<Vec<String>, Trouble> {
    let kinds: Vec<LedgerKind> = table.key().map(|column| column.kind).collect();
    let mut statement = ledger.prepare_cached(&format!("SELECT * FROM temp.{} WHERE was", noted(table)))?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(kinds.len());
        for (at, kind) in kinds.iter().enumerate() {
            values.push(sql_of(row.get_ref(at)?, *kind));
        }
        keys.push(values.join(", "));
    }
    Ok(keys)
}

fn removal(relation: &str, table: &LedgerTable, keys: &[String]) -> String {
    let names: Vec<String> = table.key().map(|column| quoted(&column.name)).collect();
    if let [name] = names.as_slice() {
        return format!("DELETE FROM {relation} WHERE {name} IN ({});\n", keys.join(", "));
    }
    let same: Vec<String> = names.iter().map(|name| format!("t.{name} = k.{name}")).collect();
    format!(
        "DELETE FROM {relation} t USING (VALUES ({})) k ({}) WHERE {};\n",
        keys.join("), ("),
        names.join(", "),
        same.join(" AND ")
    )
}

fn changed(table: &LedgerTable) -> String {
    let columns: Vec<String> =
        table.columns.iter().map(|column| format!("t.{}", quoted(&column.name))).collect();
    let same: Vec<String> =
        table.key().map(|column| format!("t.{0} = n.{0}", quoted(&column.name))).collect();
    format!(
        "SELECT {} FROM temp.{} n CROSS JOIN main.{} t WHERE {}",
        columns.join(", "),
        noted(table),
        quoted(&table.name),
        same.join(" AND ")
    )
}

/// The rows that are there now, as statements.
fn additions(ledger: &Ledger, relation: &str, table: &LedgerTable) -> Result<String, Trouble> {
    let mut statement = ledger.prepare_cached(&changed(table))?;
    let mut rows = statement.query([])?;
    let mut tuples = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(table.columns.len());
        for (at, column) in table.columns.iter().enumerate() {
            values.push(sql_of(row.get_ref(at)?, column.kind));
        }
        tuples.push(values.join(", "));
    }
    Ok(match tuples.is_empty() {
        true => String::new(),
        false => {
            format!("INSERT INTO {relation} ({}) VALUES ({});\n", table.column_list(), tuples.join("), ("))
        }
    })
}

/// The rows that are there now, to be copied.
fn rows(ledger: &Ledger, table: &LedgerTable, out: &mut Rows) -> Result<(), Trouble> {
    let mut statement = ledger.prepare_cached(&changed(table))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        out.row(table.columns.len());
        for (at, column) in table.columns.iter().enumerate() {
            match (row.get_ref(at)?, column.kind) {
                (ValueRef::Null, _) => out.null(),
                (ValueRef::Integer(number), LedgerKind::Long) => out.long(number),
                (ValueRef::Text(text), _) if text.contains(&0) => {
                    out.plain(String::from_utf8_lossy(text).replace('\0', "\u{FFFD}").as_bytes());
                }
                (ValueRef::Text(bytes) | ValueRef::Blob(bytes), _) => out.plain(bytes),
                (ValueRef::Integer(number), _) => out.plain(number.to_string().as_bytes()),
                (ValueRef::Real(number), _) => out.plain(number.to_string().as_bytes()),
            }
        }
    }
    Ok(())
}
