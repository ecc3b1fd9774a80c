//! The requests of a run, a page at a time.
//!
//! What is open or has failed stands in an index by task spec. The others are found along their ids: a run's
//! ids begin at its `first_task` and end before those of the plan's next run, but runs of other plans may have
//! ids in between. So that a rare state in a long run costs no scan of it all, a page ends after
//! [`LOOKED_AT`] requests even if it is not full; `next` says where to go on.

use entities::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

use super::source::Wanted;
use super::{FROM, REQUEST, Reader, failure};
use crate::answers::{FailureRow, RequestFilter, RequestPage, RequestState};
use crate::trouble::Trouble;

/// Requests that one page looks at.
const LOOKED_AT: usize = 200_000;

/// Bytes of text (bindings, failures) after which a page ends.
const PAGE_BYTES: usize = 4 << 20;

impl Reader {
    /// Requests of a run with ids above `after`, ascending: at most `limit`, and about 4 MiB. Go on with `next`
    /// of the answer until it is none; pages before that may be short, or empty.
    pub fn requests(
        &self,
        run: i64,
        filter: &RequestFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<RequestPage, StoreError> {
        let after = after.unwrap_or(0);
        let limit = limit.max(1);
        // One more than the page takes tells whether there are more.
        let mut wanted = format!("run = {run} AND id > {after}");
        if let Some(state) = filter.state {
            wanted.push_str(&format!(" AND state = '{}'", state.as_str()));
        }
        if let Some(task) = &filter.task {
            let name = task.replace('\'', "''").replace('\0', "\u{FFFD}");
            let spec = format!("SELECT spec FROM _sync_specs WHERE run = {run} AND name = '{name}'");
            wanted.push_str(&format!(" AND spec IN ({spec})"));
        }
        let most = limit.saturating_add(1);
        let wanted = format!("id IN (SELECT id FROM _sync_tasks WHERE {wanted} ORDER BY id LIMIT {most})");
        self.read(Wanted::requests(&wanted), |view| {
            let conn = view.ledger;
            let specs = specs(conn, run, filter.task.as_deref())?;
            let found = match filter.state {
                Some(RequestState::Open) => indexed(conn, run, &specs, "open", after, limit)?,
                Some(RequestState::Failed) => indexed(conn, run, &specs, "failed", after, limit)?,
                state => scanned(conn, run, filter.task.as_ref().map(|_| &*specs), state, after, limit)?,
            };
            page(conn, found)
        })
    }
}

/// Ids of a page, and where the next one goes on.
struct Found {
    ids: Vec<i64>,
    next: Option<i64>,
}

/// The numbers of a run's task specs, or of one.
fn specs(conn: &Connection, run: i64, task: Option<&str>) -> Result<Vec<i64>, Trouble> {
    let mut statement =
        conn.prepare("SELECT spec FROM _sync_specs WHERE run = ?1 AND (?2 IS NULL OR name = ?2)")?;
    let specs = statement.query_map(params![run, task], |row| row.get(0))?;
    Ok(specs.collect::<Result<_, _>>()?)
}

fn indexed(
    conn: &Connection,
    run: i64,
    specs: &[i64],
    state: &str,
    after: i64,
    limit: usize,
) -> Result<Found, Trouble> {
    let mut statement = conn.prepare(&indexed_sql(state))?;
    let mut ids = Vec::new();
    for spec in specs {
        // One more than the page takes tells whether there are more.
        let rows = statement.query_map(
            params![run, spec, after, i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX)],
            |row| row.get(0),
        )?;
        ids.extend(rows.collect::<Result<Vec<i64>, _>>()?);
    }
    ids.sort_unstable();
    let is_last = ids.len() <= limit;
    ids.truncate(limit);
    let next = ids.last().copied().filter(|_| !is_last);
    Ok(Found { ids, next })
}

/// The state is a literal: an index over some rows only is found by it.
fn indexed_sql(state: &str) -> String {
    format!(
        "SELECT id FROM _sync_tasks WHERE run = ?1 AND spec = ?2 AND state = '{state}' AND id > ?3
         ORDER BY id LIMIT ?4"
    )
}

fn scanned(
    conn: &Connection,
    run: i64,
    specs: Option<&[i64]>,
    state: Option<RequestState>,
    after: i64,
    limit: usize,
) -> Result<Found, Trouble> {
    let none = Found { ids: Vec::new(), next: None };
    let Some((first, last)) = bounds(conn, run)? else { return Ok(none) };
    // A task has one number in a run.
    let spec = match specs {
        Some([]) => return Ok(none),
        Some([spec, ..]) => Some(*spec),
        None => None,
    };
    let mut statement = conn.prepare(
        "SELECT id, run = ?3 AND (?4 IS NULL OR spec = ?4) AND (?5 IS NULL OR state = ?5)
         FROM _sync_tasks WHERE id > ?1 AND id <= ?2 ORDER BY id",
    )?;
    let state = state.map(RequestState::as_str);
    let mut rows = statement.query(params![after.max(first - 1), last, run, spec, state])?;
    let mut ids = Vec::new();
    let mut looked_at = 0;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        if row.get(1)? {
            if ids.len() == limit {
                let next = ids.last().copied();
                return Ok(Found { ids, next });
            }
            ids.push(id);
        }
        looked_at += 1;
        if looked_at == LOOKED_AT {
            return Ok(Found { ids, next: Some(id) });
        }
    }
    Ok(Found { ids, next: None })
}

/// The least and the greatest id that a request of the run may have.
fn bounds(conn: &Connection, run: i64) -> Result<Option<(i64, i64)>, Trouble> {
    Ok(conn
        .query_row(
            "SELECT first_task, ifnull((SELECT min(n.first_task) - 1 FROM _sync_runs n
                                        WHERE n.plan = r.plan AND n.id > r.id),
                                       (SELECT ifnull(max(id), 0) FROM _sync_tasks))
             FROM _sync_runs r WHERE r.id = ?1",
            [run],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?)
}

fn page(conn: &Connection, found: Found) -> Result<RequestPage, Trouble> {
    let mut statement = conn.prepare(&format!(
        "SELECT {REQUEST}, t.error, ifnull(length(t.bindings), 0) + ifnull(length(t.position), 0)
         + ifnull(length(t.error), 0) {FROM} WHERE t.id = ?1"
    ))?;
    let mut requests: Vec<FailureRow> = Vec::with_capacity(found.ids.len());
    let mut bytes = 0;
    for id in &found.ids {
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else { continue };
        bytes += usize::try_from(row.get::<_, i64>(17)?).unwrap_or(usize::MAX);
        if bytes > PAGE_BYTES && !requests.is_empty() {
            let next = requests.last().map(|last| last.request.id);
            return Ok(RequestPage { requests, next });
        }
        requests.push(failure(row)?);
    }
    Ok(RequestPage { requests, next: found.next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_failures_need_no_scan() {
        let directory = tempfile::tempdir().unwrap();
        let conn = crate::ledger::open(&directory.path().join("store.db")).unwrap();
        for state in ["open", "failed"] {
            let sql = format!("EXPLAIN QUERY PLAN {}", indexed_sql(state));
            let mut statement = conn.prepare(&sql).unwrap();
            let plan: Vec<String> =
                statement.query_map([1, 1, 1, 1], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
            let index = format!("USING COVERING INDEX _sync_tasks_{state} (run=? AND spec=? AND rowid>?)");
            assert!(plan.len() == 1 && plan[0].ends_with(&index), "{plan:?}");
        }
    }
}
