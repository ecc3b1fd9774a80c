//! `batch = N`: parent records wait in the ledger until N are there, or their parent has ended, and then
//! drive one request together.

use entities::{Child, RunId, TaskId};
use rusqlite::{Connection, params};
use serde_json::{Map, Value};

use crate::tasks;
use crate::trouble::Trouble;

/// Lets the record of a child wait. `id`: the id set aside for the child.
pub(crate) fn add(
    conn: &Connection,
    run: RunId,
    number: i64,
    id: TaskId,
    child: &Child,
) -> Result<(), Trouble> {
    if let Some(bindings) = tasks::bindings_text(&child.bindings)? {
        add_text(conn, run, number, id.0, &bindings)?;
    }
    Ok(())
}

/// The same, of bindings as the ledger holds them.
pub(crate) fn add_text(
    conn: &Connection,
    run: RunId,
    number: i64,
    id: i64,
    bindings: &str,
) -> Result<(), Trouble> {
    conn.prepare_cached("INSERT INTO _sync_waiting (id, run, spec, bindings) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id, run.0, number, bindings])?;
    Ok(())
}

/// Opens a request for every full batch; says how many. The id of each is that of its last record.
pub(crate) fn draw_full(
    conn: &Connection,
    run: RunId,
    number: i64,
    (name, size): (&str, usize),
) -> Result<u64, Trouble> {
    let mut opened = 0;
    while count(conn, run, number)? >= size {
        draw(conn, run, number, (name, size), None)?;
        opened += 1;
    }
    Ok(opened)
}

/// Opens a request for what is left, less than a batch; says how many: 0 or 1.
pub(crate) fn draw_rest(
    conn: &Connection,
    run: RunId,
    number: i64,
    (name, size): (&str, usize),
    id: TaskId,
) -> Result<u64, Trouble> {
    if count(conn, run, number)? == 0 {
        return Ok(0);
    }
    draw(conn, run, number, (name, size), Some(id.0))?;
    Ok(1)
}

/// Forgets what waits for a spec.
pub(crate) fn forget(conn: &Connection, run: RunId, number: i64) -> Result<(), Trouble> {
    conn.execute("DELETE FROM _sync_waiting WHERE run = ?1 AND spec = ?2", params![run.0, number])?;
    Ok(())
}

fn count(conn: &Connection, run: RunId, number: i64) -> Result<usize, Trouble> {
    let count: i64 = conn
        .prepare_cached("SELECT count(*) FROM _sync_waiting WHERE run = ?1 AND spec = ?2")?
        .query_row(params![run.0, number], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn draw(
    conn: &Connection,
    run: RunId,
    number: i64,
    (name, size): (&str, usize),
    id: Option<i64>,
) -> Result<(), Trouble> {
    let waiting: Vec<(i64, String)> = conn
        .prepare_cached(
            "SELECT id, bindings FROM _sync_waiting WHERE run = ?1 AND spec = ?2 ORDER BY id LIMIT ?3",
        )?
        .query_map(params![run.0, number, i64::try_from(size).unwrap_or(i64::MAX)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let Some((last, _)) = waiting.last() else { return Ok(()) };
    let mut records = Vec::with_capacity(waiting.len());
    for (_, bindings) in &waiting {
        let mut bindings: Map<String, Value> = serde_json::from_str(bindings)?;
        records.extend(bindings.remove(name));
    }
    let list = Value::Object(Map::from_iter([(name.to_owned(), Value::Array(records))])).to_string();
    conn.prepare_cached("DELETE FROM _sync_waiting WHERE run = ?1 AND spec = ?2 AND id <= ?3")?
        .execute(params![run.0, number, last])?;
    tasks::open_child(conn, run, number, id.unwrap_or(*last), Some(&list))
}
