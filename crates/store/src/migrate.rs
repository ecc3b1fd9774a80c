//! Ledgers of earlier versions are brought up to date when the store is opened, in one transaction.

use rusqlite::Connection;

use crate::ledger::{SINCE_2, VERSION};
use crate::trouble::Trouble;

/// Brings a ledger of version `found` up to date.
pub(crate) fn from(conn: &Connection, found: i64) -> Result<(), Trouble> {
    if found == VERSION {
        return Ok(());
    }
    tracing::info!(found, "bringing the ledger up to date");
    if found < 2 {
        conn.execute_batch(ONE_TO_TWO_BEFORE)?;
        conn.execute_batch(SINCE_2)?;
        conn.execute_batch(ONE_TO_TWO_AFTER)?;
    }
    conn.execute("UPDATE _sync_meta SET value = ?1 WHERE key = 'version'", [VERSION])?;
    Ok(())
}

/// An unfinished run goes on where it is: its unsettled requests get their combination from the plan when
/// it is resumed (an empty `cursor_of` until then). What finished runs left unpublished is asked for again.
const ONE_TO_TWO_BEFORE: &str = "
ALTER TABLE _sync_runs ADD COLUMN work TEXT NOT NULL DEFAULT 'all';
ALTER TABLE _sync_specs ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE _sync_specs ADD COLUMN since INTEGER;
ALTER TABLE _sync_tasks ADD COLUMN slice TEXT;
ALTER TABLE _sync_tasks ADD COLUMN start_at INTEGER;
ALTER TABLE _sync_tasks ADD COLUMN cursor_of TEXT;
ALTER TABLE _sync_tasks ADD COLUMN opened_by INTEGER;
UPDATE _sync_tasks SET cursor_of = '' WHERE cursored IS NOT NULL AND state IN ('open', 'failed')
    AND run IN (SELECT id FROM _sync_runs WHERE state NOT IN ('complete', 'failed', 'undone'));
DROP INDEX _sync_tasks_unsettled;
ALTER TABLE _sync_tasks DROP COLUMN cursored;
ALTER TABLE _sync_cursors RENAME TO _sync_cursors_1;
";

const ONE_TO_TWO_AFTER: &str = "
INSERT INTO _sync_cursors (plan, task, combination, value, seen, run, previous)
SELECT plan, task, combination, value, CASE WHEN moving THEN pending END,
    CASE WHEN moving THEN pending_run ELSE run END,
    json_object('value', json(CASE WHEN moving AND run IS NOT pending_run THEN value ELSE previous END))
FROM (SELECT *, pending_run IN (SELECT id FROM _sync_runs
    WHERE state NOT IN ('complete', 'failed', 'undone')) AS moving FROM _sync_cursors_1);
DROP TABLE _sync_cursors_1;
";
