//! Who owns a table: a plan claims the tables of its tasks when a run begins.

use entities::{Mode, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::ledger::PREFIX;
use crate::sql::quoted;
use crate::tables::{Shape, Table, index_name};
use crate::trouble::Trouble;

/// Claims `table` for a plan, or says who has it. A changed key changes the index.
pub(crate) fn claim(
    conn: &Connection,
    table: &str,
    plan: &str,
    mode: Mode,
    shape: &Shape,
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
    let unique = &shape.unique;
    let key_text = serde_json::to_string(unique)?;
    if kind.is_some() && owner.is_some_and(|(_, held)| held != key_text) {
        conn.execute_batch(&format!("DROP INDEX IF EXISTS {}", quoted(&index_name(table))))?;
        let mut held = Table::read(conn, table, shape)?;
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
