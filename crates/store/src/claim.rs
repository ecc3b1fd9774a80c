//! Who owns a table: a plan claims the tables of its tasks when a run begins.

use entities::{Mode, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::columns::Shape;
use crate::ledger::PREFIX;
use crate::seam::Tables;
use crate::trouble::Trouble;

/// Claims `table` for a plan, or says who has it.
pub(crate) fn claim(
    conn: &Connection,
    tables: &mut dyn Tables,
    table: &str,
    plan: &str,
    mode: Mode,
    shape: &Shape,
) -> Result<(), Trouble> {
    if table.to_ascii_lowercase().starts_with(PREFIX) {
        return Err(foreign(table, "the ledger: names that begin with `_sync_` are its own"));
    }
    let owner: Option<(String, String)> = conn
        .query_row("SELECT plan, key FROM _sync_tables WHERE name = ?1", [table], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((owner, _)) = owner.as_ref().filter(|(owner, _)| owner != plan) {
        return Err(foreign(table, &format!("plan `{owner}`")));
    }
    let held_key = owner.as_ref().map(|(_, key)| key.as_str());
    tables.becomes(conn, table, mode, held_key)?;
    tables.claim(conn, table, shape, held_key)?;
    conn.execute(
        "INSERT INTO _sync_tables (name, plan, mode, key) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET mode = excluded.mode, key = excluded.key",
        params![table, plan, mode.as_str(), key_text(&shape.unique)],
    )?;
    Ok(())
}

/// A key as the ledger has it.
pub fn key_text(unique: &[String]) -> String {
    serde_json::Value::from(unique.to_vec()).to_string()
}

/// The error that a table is somebody else's.
pub fn foreign(table: &str, owner: &str) -> Trouble {
    StoreError::Foreign { table: table.to_owned(), owner: owner.to_owned() }.into()
}
