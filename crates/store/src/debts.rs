//! What earlier runs owe is opened again when a new run begins: the same request, unless its spec has
//! changed since.

use std::collections::HashSet;

use entities::{BeginRequest, Mode, RunId, SpecIndex, SyncPlan, TaskSpec, Work};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};

use crate::active::batch_of;
use crate::cursor::{self, CursorKey};
use crate::drives::driver;
use crate::seam::{Requests, Tables};
use crate::trouble::Trouble;
use crate::waiting;

/// How a request is made again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Again {
    /// As it was: page, slice, cursor.
    AsItWas,
    /// From its first page on, with the same bindings and cursor: the request has changed.
    FromPageOne,
    /// As one that a record drives, with these bindings, from its first slice on.
    AsDriven(Vec<String>),
    /// Not at all: the run asks for it by itself.
    ByItself,
}

/// One request to make again.
pub(crate) struct Request {
    /// Its id in an earlier run.
    pub id: i64,
    /// Its bindings, as the ledger holds them.
    pub bindings: Option<String>,
    /// It is of a slice.
    pub is_slice: bool,
    /// The combination of its cursor.
    pub cursor_of: Option<String>,
    /// It was sent, so that some of its chain may have landed.
    pub was_sent: bool,
}

/// Opens requests of earlier runs in a new one, with ids from `next` on.
pub(crate) struct Reopener<'a> {
    conn: &'a Connection,
    tables: &'a mut dyn Tables,
    plan: &'a SyncPlan,
    run: RunId,
    next: i64,
    driven: HashSet<(SpecIndex, String)>,
    /// Chains that begin anew.
    anew: HashSet<i64>,
}

impl<'a> Reopener<'a> {
    /// For a run that has just been created.
    pub(crate) fn new(
        conn: &'a Connection,
        tables: &'a mut dyn Tables,
        plan: &'a SyncPlan,
        run: RunId,
        next: i64,
    ) -> Self {
        Reopener { conn, tables, plan, run, next, driven: HashSet::new(), anew: HashSet::new() }
    }

    /// Opens, in a new run, the requests that are owed to it.
    pub(crate) fn reopen_owed(&mut self, request: &BeginRequest<'_>) -> Result<(), Trouble> {
        self.move_waiting(request)?;
        let owed: Vec<(Request, String, String, String)> = self
            .conn
            .prepare(
                "SELECT t.id, t.bindings, t.slice IS NOT NULL, t.cursor_of, ifnull(t.attempt, 0) > 0, s.name, s.fingerprint,
                 json_array(t.bindings, t.page, json_extract(t.position, '$.position'), t.cursor, t.slice, t.cursor_of)
                 FROM _sync_tasks t
                 JOIN _sync_runs r ON r.id = t.run JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
                 WHERE t.owed IS NOT NULL AND r.plan = ?1 AND r.id <> ?2 ORDER BY t.id",
            )?
            .query_map(params![self.plan.name.as_str(), self.run.0], |row| {
                Ok((Request::read(row)?, row.get(5)?, row.get(6)?, row.get(7)?))
            })?
            .collect::<Result<_, _>>()?;
        let mut settle = self.conn.prepare("UPDATE _sync_tasks SET owed = NULL WHERE id = ?1")?;
        let mut seen = HashSet::new();
        for (owed, name, fingerprint, what) in owed {
            let Some(index) = self.plan.spec_named(&name).filter(|index| request.specs.contains(index))
            else {
                continue;
            };
            settle.execute([owed.id])?;
            if request.work == Work::All && is_expanded_anew(self.plan, index, &owed) {
                continue;
            }
            // A request that failed again, and then as its combination's own: once is enough, or what
            // always fails would be asked for once more in every run.
            if owed.was_sent && !seen.insert((index, what)) {
                continue;
            }
            let again = again(self.plan, index, &owed, fingerprint == self.plan.spec(index).fingerprint)?;
            self.open(index, &owed, &again)?;
        }
        Ok(())
    }

    /// Opens one request.
    pub(crate) fn open(&mut self, index: SpecIndex, request: &Request, again: &Again) -> Result<(), Trouble> {
        let spec = self.plan.spec(index);
        match again {
            // Another page of a chain that begins anew already.
            Again::FromPageOne
                if !self.anew.insert(begin_anew(self.conn, self.tables, self.plan, index, request.id)?) => {}
            Again::AsItWas | Again::FromPageOne => {
                self.conn
                    .prepare_cached(
                        "INSERT INTO _sync_tasks (id, run, spec, chain, page, position, bindings, cursor, slice,
                         start_at, cursor_of, state, origin)
                         SELECT ?2, ?3, (SELECT spec FROM _sync_specs WHERE run = ?3 AND name = ?4), ?2,
                         CASE WHEN ?5 THEN page ELSE 1 END, CASE WHEN ?5 THEN position END, bindings, cursor, slice,
                         start_at, CASE WHEN ?6 THEN cursor_of END, 'open', id
                         FROM _sync_tasks WHERE id = ?1",
                    )?
                    .execute(params![
                        request.id,
                        self.next,
                        self.run.0,
                        spec.name,
                        *again == Again::AsItWas,
                        spec.cursor.is_some()
                    ])?;
                self.next += 1;
            }
            Again::AsDriven(bindings) => {
                for bindings in bindings {
                    self.drive(index, request.id, bindings)?;
                }
            }
            Again::ByItself => {
                if let Some(combination) = &request.cursor_of {
                    let key = CursorKey { plan: self.plan.name.as_str(), task: &spec.name, combination };
                    cursor::forget_beyond(self.conn, &key)?;
                }
            }
        }
        Ok(())
    }

    fn drive(&mut self, index: SpecIndex, origin: i64, bindings: &str) -> Result<(), Trouble> {
        // Several slices of one record.
        if !self.driven.insert((index, bindings.to_owned())) {
            return Ok(());
        }
        let spec = self.plan.spec(index);
        let number = self.number(&spec.name)?;
        let waits = match batch_of(spec) {
            Some((name, _)) => records_of(bindings, &name)?.is_none(),
            None => false,
        };
        if waits {
            waiting::add_text(self.conn, self.run, number, self.next, bindings)?;
        } else {
            self.conn
                .prepare_cached(
                    "INSERT INTO _sync_tasks (id, run, spec, chain, page, bindings, state, origin)
                     VALUES (?1, ?2, ?3, ?1, 1, ?4, 'open', ?5)",
                )?
                .execute(params![self.next, self.run.0, number, bindings, origin])?;
        }
        self.next += 1;
        Ok(())
    }

    /// What waited for a batch in a run that was undone waits in this one.
    fn move_waiting(&mut self, request: &BeginRequest<'_>) -> Result<(), Trouble> {
        let waiting: Vec<(i64, String, String)> = self
            .conn
            .prepare(
                "SELECT w.id, w.bindings, s.name FROM _sync_waiting w JOIN _sync_runs r ON r.id = w.run
                 JOIN _sync_specs s ON s.run = w.run AND s.spec = w.spec
                 WHERE r.plan = ?1 AND r.id <> ?2 ORDER BY w.id",
            )?
            .query_map(params![self.plan.name.as_str(), self.run.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        for (id, bindings, name) in waiting {
            let Some(index) = self.plan.spec_named(&name).filter(|index| request.specs.contains(index))
            else {
                continue;
            };
            self.conn.prepare_cached("DELETE FROM _sync_waiting WHERE id = ?1")?.execute([id])?;
            if driver(self.plan, index).is_some() {
                self.drive(index, id, &bindings)?;
            }
        }
        Ok(())
    }

    fn number(&self, name: &str) -> Result<i64, Trouble> {
        Ok(self
            .conn
            .prepare_cached("SELECT spec FROM _sync_specs WHERE run = ?1 AND name = ?2")?
            .query_row(params![self.run.0, name], |row| row.get(0))?)
    }
}

impl Request {
    /// From `id, bindings, slice IS NOT NULL, cursor_of, ifnull(attempt, 0) > 0`.
    pub(crate) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Request> {
        Ok(Request {
            id: row.get(0)?,
            bindings: row.get(1)?,
            is_slice: row.get(2)?,
            cursor_of: row.get(3)?,
            was_sent: row.get(4)?,
        })
    }
}

/// What a spec's own expansion could not begin: it is none of the requests that only a debt brings back.
fn is_expanded_anew(plan: &SyncPlan, index: SpecIndex, request: &Request) -> bool {
    let spec = plan.spec(index);
    let has_no_names = request.bindings.is_none() && !spec.foreach.is_empty();
    let has_no_slice = !request.is_slice && spec.sliced().next().is_some();
    driver(plan, index).is_none() && !request.was_sent && (has_no_names || has_no_slice)
}

/// How a request that failed is made again. `same`: its spec has not changed.
pub(crate) fn again(
    plan: &SyncPlan,
    index: SpecIndex,
    request: &Request,
    same: bool,
) -> Result<Again, Trouble> {
    let spec = plan.spec(index);
    let bindings: Map<String, Value> =
        request.bindings.as_ref().map_or(Ok(Map::new()), |text| serde_json::from_str(text))?;
    if driver(plan, index).is_some() {
        let batch = batch_of(spec);
        // Noted for a run that left the spec out: one record, not yet in a batch.
        let is_batch = batch.as_ref().is_none_or(|(name, _)| bindings.get(name).is_some_and(Value::is_array));
        return Ok(match same {
            true if is_batch => Again::AsItWas,
            false if batch.is_none() && has_names_of(spec, &bindings) => Again::FromPageOne,
            _ => as_driven(spec, bindings),
        });
    }
    // A spec that no longer has a cursor, or had other names, asks for everything by itself.
    Ok(match same {
        true => Again::AsItWas,
        false
            if spec.cursor.is_some()
                && has_names_of(spec, &bindings)
                && spec.windows_from_cursor() == request.is_slice =>
        {
            Again::FromPageOne
        }
        false => Again::ByItself,
    })
}

/// Readies a chain of pages to begin anew: what it has appended so far will come again, and is taken
/// back. Gives the chain's number, which is that of the first run that asked for it.
pub(crate) fn begin_anew(
    conn: &Connection,
    tables: &mut dyn Tables,
    plan: &SyncPlan,
    index: SpecIndex,
    request: i64,
) -> Result<i64, Trouble> {
    const CHAINS: &str = "WITH RECURSIVE chains (id) AS (
        SELECT chain FROM _sync_tasks WHERE id = ?1
        -- What it makes again, and what makes it again. A half is a chain of its own.
        UNION SELECT o.chain FROM chains c JOIN _sync_tasks t ON t.id = c.id
        JOIN _sync_tasks o ON o.id = t.origin AND o.bindings IS t.bindings
        UNION SELECT a.chain FROM chains c JOIN _sync_tasks t ON t.id = c.id
        JOIN _sync_tasks a ON a.origin IS NOT NULL AND a.origin = t.id AND a.bindings IS t.bindings
        UNION SELECT a.chain FROM chains c JOIN _sync_tasks t ON t.chain <> t.id AND t.chain = c.id
        JOIN _sync_tasks a ON a.origin IS NOT NULL AND a.origin = t.id AND a.bindings IS t.bindings
    ), pages (id, run, rows, cursor_of) AS (
        SELECT id, run, rows, cursor_of FROM _sync_tasks WHERE id IN (SELECT id FROM chains)
        UNION SELECT id, run, rows, cursor_of FROM _sync_tasks WHERE chain <> id AND chain IN (SELECT id FROM chains)
    )";
    let (chain, rows): (i64, i64) = conn
        .prepare_cached(&format!(
            "{CHAINS} SELECT (SELECT min(id) FROM chains), (SELECT ifnull(sum(rows), 0) FROM pages)"
        ))?
        .query_row([request], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let spec = plan.spec(index);
    if spec.mode == Mode::Append && rows > 0 {
        let table: Option<String> = conn
            .query_row(
                "SELECT s.target FROM _sync_tasks t JOIN _sync_specs s ON s.run = t.run AND s.spec = t.spec
                 JOIN _sync_tables o ON o.name = s.target WHERE t.id = ?1 AND o.plan = ?2",
                params![request, plan.name.as_str()],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(table) = table {
            let select = format!("{CHAINS} SELECT id FROM pages");
            tables.take_back(conn, &table, Requests { select: &select, parameters: &[request] })?;
            // Whoever compares the table with the ledger finds none of them.
            conn.prepare_cached(&format!(
                "{CHAINS} UPDATE _sync_tasks SET rows = 0 WHERE rows > 0 AND id IN (SELECT id FROM pages)"
            ))?
            .execute([request])?;
        }
        conn.prepare_cached(&format!(
            "{CHAINS} DELETE FROM _sync_boundary WHERE plan = ?2 AND task = ?3
             AND combination = (SELECT cursor_of FROM _sync_tasks WHERE id = ?1)
             AND abs(run) IN (SELECT run FROM pages)"
        ))?
        .execute(params![request, plan.name.as_str(), spec.name])?;
    }
    Ok(chain)
}

/// As the record, or the records of its batch, drove it.
pub(crate) fn as_driven(spec: &TaskSpec, mut bindings: Map<String, Value>) -> Again {
    let Some(name) = spec.records().map(|foreach| foreach.name.clone()) else { return Again::ByItself };
    let Some(records) = bindings.remove(&name) else {
        // Another parent, or another name for it: the changed spec is driven by every record that lands.
        return Again::ByItself;
    };
    let records = match records {
        Value::Array(records) => records,
        record => vec![record],
    };
    let text = |record: Value| Value::Object(Map::from_iter([(name.clone(), record)])).to_string();
    Again::AsDriven(records.into_iter().map(text).collect())
}

/// Whether bindings are of the names that the spec has now.
pub(crate) fn has_names_of(spec: &TaskSpec, bindings: &Map<String, Value>) -> bool {
    bindings.len() == spec.foreach.len()
        && spec.foreach.iter().all(|foreach| bindings.contains_key(&foreach.name))
}

fn records_of(bindings: &str, name: &str) -> Result<Option<Vec<Value>>, Trouble> {
    let mut bindings: Map<String, Value> = serde_json::from_str(bindings)?;
    Ok(match bindings.remove(name) {
        Some(Value::Array(records)) => Some(records),
        _ => None,
    })
}

/// A resumed run that appends asks once more for what failed again of what was owed: whoever waits for it
/// would sit the run out, and could not know.
pub(crate) fn try_once_more(conn: &Connection, run: RunId, name: &str) -> Result<(), Trouble> {
    let (number, ended): (i64, bool) = conn.query_row(
        "SELECT spec, ended FROM _sync_specs WHERE run = ?1 AND name = ?2",
        params![run.0, name],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if ended {
        return Ok(());
    }
    let failed = conn.execute(
        "UPDATE _sync_tasks SET state = 'open', attempt = NULL, status = NULL, bytes = NULL, rows = NULL,
         sent_at = NULL, ms = NULL, waited_ms = NULL, error = NULL, owed = NULL
         WHERE run = ?1 AND spec = ?2 AND state = 'failed' AND origin IS NOT NULL AND cursor_of IS NOT NULL",
        params![run.0, number],
    )?;
    conn.execute(
        "UPDATE _sync_specs SET done = done - ?3, failed = failed - ?3 WHERE run = ?1 AND spec = ?2",
        params![run.0, number, i64::try_from(failed).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}
