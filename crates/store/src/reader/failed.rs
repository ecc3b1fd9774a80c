//! The requests that failed, and what is owed: for `syncctl failures`.

use std::collections::HashSet;

use entities::StoreError;
use rusqlite::{Connection, params};

use super::source::Wanted;
use super::{FROM, FailureRow, REQUEST, Reader, failure};
use crate::trouble::Trouble;

impl Reader {
    /// Calls `each` with every request of a plan that `syncctl retry` would make again: those that failed in
    /// the last finished run of their task, then what is owed besides. A request that is owed and was not made
    /// yet has no failure (null).
    pub fn each_failure(&self, plan: &str, mut each: impl FnMut(FailureRow)) -> Result<(), StoreError> {
        self.read(Wanted::requests("state = 'failed' OR owed IS NOT NULL"), |view| {
            let conn = view.ledger;
            let last = last_runs(conn, plan)?;
            let of_spec = format!(
                "SELECT {REQUEST}, t.error {FROM} WHERE t.run = ?1 AND t.state = 'failed'
                 AND t.spec = (SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2) ORDER BY t.id"
            );
            let mut statement = conn.prepare(&of_spec)?;
            for (run, name) in &last {
                let mut rows = statement.query(params![run, name])?;
                while let Some(row) = rows.next()? {
                    each(failure(row)?);
                }
            }
            let mut statement = conn.prepare(&format!(
                "SELECT {REQUEST}, t.error {FROM} WHERE t.owed IS NOT NULL AND r.plan = ?1 ORDER BY t.id"
            ))?;
            let mut rows = statement.query([plan])?;
            while let Some(row) = rows.next()? {
                let owed = failure(row)?;
                let told = owed.request.state == "failed"
                    && last.contains(&(owed.request.run, owed.request.task.clone()));
                if !told {
                    each(owed);
                }
            }
            Ok(())
        })
    }

    /// How many requests the next run of a plan owes, by task.
    pub fn owed(&self, plan: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.read(Wanted::requests("owed IS NOT NULL"), |view| {
            let mut statement = view.ledger.prepare(
                "SELECT s.name, count(*) FROM _sync_tasks t JOIN _sync_runs r ON r.id = t.run
                 JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
                 WHERE t.owed IS NOT NULL AND r.plan = ?1 GROUP BY s.name",
            )?;
            let owed = statement.query_map([plan], |row| {
                Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
            })?;
            Ok(owed.collect::<Result<_, _>>()?)
        })
    }

    /// Calls `each` with every failed request of one run.
    pub fn each_failure_of(&self, run: i64, mut each: impl FnMut(FailureRow)) -> Result<(), StoreError> {
        self.read(Wanted::requests(&format!("run = {run} AND state = 'failed'")), |view| {
            let mut statement = view.ledger.prepare(&format!(
                "SELECT {REQUEST}, t.error {FROM} WHERE t.run = ?1 AND t.state = 'failed' ORDER BY t.id"
            ))?;
            let mut rows = statement.query([run])?;
            while let Some(row) = rows.next()? {
                each(failure(row)?);
            }
            Ok(())
        })
    }
}

/// Each task of a plan and the last finished run that had it.
fn last_runs(conn: &Connection, plan: &str) -> Result<HashSet<(i64, String)>, Trouble> {
    let mut statement = conn.prepare(
        "SELECT max(r.id), s.name FROM _sync_runs r JOIN _sync_specs s ON s.run = r.id
         WHERE r.plan = ?1 AND NOT s.absent AND r.state IN ('complete', 'failed') GROUP BY s.name",
    )?;
    let last = statement.query_map([plan], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(last.collect::<Result<_, _>>()?)
}
