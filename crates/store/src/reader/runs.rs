//! Runs, and what became of their task specs.

use entities::StoreError;
use rusqlite::{Connection, params};

use super::source::Wanted;
use super::{Reader, time, upto};
use crate::answers::{RunRow, SpecRow};
use crate::trouble::Trouble;

/// Those that are counted one by one: the others are counted as they end.
const OPEN: &str = "state = 'open'";

impl Reader {
    /// The newest runs, of one plan or of all, newest first.
    pub fn runs(&self, plan: Option<&str>, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        self.runs_before(plan, None, limit)
    }

    /// The newest runs below the run `before`, of one plan or of all, newest first.
    pub fn runs_before(
        &self,
        plan: Option<&str>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<RunRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(Wanted::requests(OPEN), |view| {
            select(
                view.ledger,
                "(?1 IS NULL OR plan = ?1) AND id <= ?2 ORDER BY id DESC LIMIT ?3",
                params![plan, upto(before), limit],
            )
        })
    }

    /// One run.
    pub fn run(&self, run: i64) -> Result<Option<RunRow>, StoreError> {
        self.read(Wanted::requests(OPEN), |view| Ok(select(view.ledger, "id = ?1", [run])?.pop()))
    }
}

fn select(conn: &Connection, which: &str, parameters: impl rusqlite::Params) -> Result<Vec<RunRow>, Trouble> {
    let mut statement =
        conn.prepare(&format!("SELECT id, plan, state, started_at, ended_at FROM _sync_runs WHERE {which}"))?;
    let mut runs = statement
        .query_map(parameters, |row| {
            Ok(RunRow {
                run: row.get(0)?,
                plan: row.get(1)?,
                state: row.get(2)?,
                started: time(row.get(3)?),
                ended: row.get::<_, Option<i64>>(4)?.map(time),
                tasks: Vec::new(),
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for run in &mut runs {
        run.tasks = specs(conn, run.run)?;
    }
    Ok(runs)
}

fn specs(conn: &Connection, run: i64) -> Result<Vec<SpecRow>, Trouble> {
    let mut statement = conn.prepare_cached(
        "SELECT name, target, ended, done, failed, skipped, records,
         (SELECT count(*) FROM _sync_tasks t WHERE t.run = s.run AND t.spec = s.spec AND t.state = 'open')
         FROM _sync_specs s WHERE run = ?1 AND NOT absent ORDER BY spec",
    )?;
    let specs = statement.query_map([run], |row| {
        Ok(SpecRow {
            task: row.get(0)?,
            table: row.get(1)?,
            ended: row.get(2)?,
            open: row.get(7)?,
            done: row.get(3)?,
            failed: row.get(4)?,
            skipped: row.get(5)?,
            records: row.get(6)?,
        })
    })?;
    Ok(specs.collect::<Result<_, _>>()?)
}
