//! The ledger in the database: the same tables and columns as `store` makes them in SQLite.

use rusqlite::Connection as Ledger;
use store::{PREFIX, Trouble, VERSION, check_version, quoted, quoted_list};

use crate::columns::literal;
use crate::connection::Connection;

/// A table of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct LedgerTable {
    /// Its name, the same on both sides.
    pub name: String,
    /// Its columns, in the same order on both sides.
    pub columns: Vec<LedgerColumn>,
}

/// A column of it.
#[derive(Clone, Debug)]
pub(crate) struct LedgerColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: LedgerKind,
    /// It is in the primary key.
    pub is_key: bool,
    is_required: bool,
}

/// What a column of the ledger holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedgerKind {
    /// `bigint`
    Long,
    /// `text`
    Text,
    /// `bytea`
    Bytes,
}

impl LedgerTable {
    /// Those of a ledger that `store` has made.
    pub(crate) fn all(ledger: &Ledger) -> Result<Vec<LedgerTable>, Trouble> {
        let mut statement = ledger.prepare(
            "SELECT s.name, c.name, c.type, c.\"notnull\", c.pk FROM sqlite_schema s, pragma_table_info(s.name) c
             WHERE s.type = 'table' AND substr(s.name, 1, length(?1)) = ?1 ORDER BY s.rowid, c.cid",
        )?;
        let mut rows = statement.query([PREFIX])?;
        let mut tables: Vec<LedgerTable> = Vec::new();
        while let Some(row) = rows.next()? {
            let table: String = row.get(0)?;
            let kind: String = row.get(2)?;
            let kind = match kind.as_str() {
                "INTEGER" => LedgerKind::Long,
                "BLOB" => LedgerKind::Bytes,
                _ => LedgerKind::Text,
            };
            let column = LedgerColumn {
                name: row.get(1)?,
                kind,
                is_key: row.get::<_, i64>(4)? > 0,
                is_required: row.get(3)?,
            };
            match tables.last_mut().filter(|last| last.name == table) {
                Some(last) => last.columns.push(column),
                None => tables.push(LedgerTable { name: table, columns: vec![column] }),
            }
        }
        Ok(tables)
    }

    /// Its columns, quoted.
    pub(crate) fn column_list(&self) -> String {
        quoted_list(self.columns.iter().map(|column| column.name.as_str()))
    }

    /// The columns of its key.
    pub(crate) fn key(&self) -> impl Iterator<Item = &LedgerColumn> {
        self.columns.iter().filter(|column| column.is_key)
    }

    fn definition(&self, schema: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(LedgerColumn::definition).collect();
        format!(
            "CREATE TABLE {}.{} ({}, PRIMARY KEY ({}));\n",
            quoted(schema),
            quoted(&self.name),
            columns.join(", "),
            quoted_list(self.key().map(|column| column.name.as_str()))
        )
    }
}

impl LedgerColumn {
    fn definition(&self) -> String {
        let kind = match self.kind {
            LedgerKind::Long => "bigint",
            LedgerKind::Text => "text",
            LedgerKind::Bytes => "bytea",
        };
        let required = if self.is_required { " NOT NULL" } else { "" };
        format!("{} {kind}{required}", quoted(&self.name))
    }
}

/// What a store is opened by: only those rows of `_sync_tasks`, however many there are. And the one row that says who
/// may write.
fn rest(schema: &str) -> String {
    let schema = quoted(schema);
    format!(
        "CREATE INDEX _sync_tasks_live ON {schema}._sync_tasks (id)
             WHERE state IN ('open', 'failed') OR owed IS NOT NULL;
         CREATE INDEX _sync_tasks_again ON {schema}._sync_tasks (origin) WHERE origin IS NOT NULL;
         CREATE INDEX _sync_tasks_pages ON {schema}._sync_tasks (chain) WHERE chain <> id;
         CREATE VIEW {schema}._sync_requests AS
         SELECT t.id AS id, r.plan AS plan, t.run AS run, s.name AS task, t.page AS page, t.attempt AS attempt,
                t.state AS state, t.status AS status, t.bytes AS bytes, t.rows AS rows, t.waited_ms AS waited_ms,
                to_char(to_timestamp(t.sent_at / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')
                    AS sent, t.ms AS ms,
                e.error ->> 'kind' AS error, e.error ->> 'message' AS message, t.bindings AS bindings
         FROM {schema}._sync_tasks t
         -- What an API said may hold U+0000, which no text here can.
         CROSS JOIN LATERAL (SELECT replace(t.error, '\\u0000', '\\ufffd')::json AS error) e
         JOIN {schema}._sync_runs r ON r.id = t.run
         LEFT JOIN {schema}._sync_specs s ON s.run = t.run AND s.spec = t.spec
         WHERE t.sent_at IS NOT NULL;
         CREATE TABLE {schema}._sync_lease (
             epoch bigint NOT NULL, holder text NOT NULL, seq bigint NOT NULL, state text NOT NULL
         );
         INSERT INTO {schema}._sync_lease VALUES (0, 'nobody', 0, 'closed');"
    )
}

/// Whether the schema has a ledger; one of a version that we do not know is refused.
pub(crate) fn is_there(connection: &Connection) -> Result<bool, Trouble> {
    let schema = &connection.address.schema;
    let is_there = connection.value(&format!(
        "SELECT pg_catalog.to_regclass({}) IS NOT NULL",
        literal(&format!("{}._sync_meta", quoted(schema)))
    ))?;
    if is_there.as_deref() != Some("t") {
        return Ok(false);
    }
    let found = connection
        .value(&format!("SELECT value FROM {}._sync_meta WHERE key = 'version'", quoted(schema)))?
        .and_then(|version| version.parse().ok())
        .unwrap_or(0);
    check_version(&connection.address.to_string(), found)?;
    if found < VERSION {
        return Err(Trouble::Ledger(format!(
            "its ledger has version {found}, which no released syncctl wrote; this one knows {VERSION}"
        )));
    }
    Ok(true)
}

/// Makes the schema and the ledger, if they are not there.
pub(crate) fn ensure(connection: &Connection, tables: &[LedgerTable]) -> Result<(), Trouble> {
    if is_there(connection)? {
        return Ok(());
    }
    let schema = &connection.address.schema;
    let is_there = connection.value(&format!(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {})",
        literal(schema)
    ))?;
    let mut sql = "BEGIN;\n".to_owned();
    if is_there.as_deref() != Some("t") {
        sql.push_str(&format!("CREATE SCHEMA {};\n", quoted(schema)));
    }
    tables.iter().for_each(|table| sql.push_str(&table.definition(schema)));
    sql.push_str(&rest(schema));
    sql.push_str(&format!(
        "\nINSERT INTO {}._sync_meta (key, value) VALUES ('version', '{VERSION}');\nCOMMIT;",
        quoted(schema)
    ));
    connection.batch(&sql).inspect_err(|_| {
        connection.batch("ROLLBACK").ok();
    })
}
