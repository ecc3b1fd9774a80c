//! A table that a plan claims, as far as SQLite is concerned.

use rusqlite::{Connection, OptionalExtension};

use crate::claim::{foreign, key_text};
use crate::columns::Shape;
use crate::sql::quoted;
use crate::sqlite::tables::{Table, index_name};
use crate::trouble::Trouble;

/// Refuses what others made. A changed key changes the index.
pub(crate) fn claim(
    conn: &Connection,
    table: &str,
    shape: &Shape,
    held_key: Option<&str>,
) -> Result<(), Trouble> {
    if table.to_ascii_lowercase().starts_with("sqlite_") {
        return Err(foreign(table, "SQLite: names that begin with `sqlite_` are its own"));
    }
    let kind: Option<String> = conn
        .query_row("SELECT type FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE", [table], |row| row.get(0))
        .optional()?;
    if let (None, Some(_)) | (Some(_), Some("view" | "index" | "trigger")) = (held_key, kind.as_deref()) {
        return Err(foreign(table, "somebody else: syncctl did not make it"));
    }
    if kind.is_some() && held_key.is_some_and(|held| held != key_text(&shape.unique)) {
        conn.execute_batch(&format!("DROP INDEX IF EXISTS {}", quoted(&index_name(table))))?;
        let mut held = Table::read(conn, table, shape)?;
        held.ensure(conn)?;
        held.make_key(conn).map_err(|trouble| match trouble {
            trouble if trouble.is_about_a_record() => Trouble::Ledger(format!(
                "table `{table}` cannot have the key ({}): it holds several rows with the same values there; \
                 drop the table or choose another `table`",
                shape.unique.join(", ")
            )),
            other => other,
        })?;
    }
    Ok(())
}
