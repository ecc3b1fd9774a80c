//! `mirror`: rows merge; what a complete run did not return is removed, or marked, in the transaction that
//! ends the spec without a failed task. A row that comes back loses its mark when it merges.

use entities::{Deleted, Moment};
use rusqlite::{Connection, params};

use crate::columns::DELETED_AT;
use crate::sql::quoted;
use crate::trouble::Trouble;

/// Removes or marks the rows that no request from `since` on returned.
pub(crate) fn sweep(
    conn: &Connection,
    table: &str,
    deleted: Deleted,
    since: i64,
    now: Moment,
) -> Result<(), Trouble> {
    let table = quoted(table);
    match deleted {
        Deleted::Remove => conn.execute(&format!("DELETE FROM {table} WHERE _task < ?1"), [since])?,
        Deleted::Mark => conn.execute(
            &format!("UPDATE {table} SET {DELETED_AT} = ?2 WHERE _task < ?1 AND {DELETED_AT} IS NULL"),
            params![since, now.to_rfc3339()],
        )?,
    };
    Ok(())
}
