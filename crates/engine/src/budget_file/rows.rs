//! The rows: a limit's as the [`Pool`] they are, what is closed, what was learned, who keeps what.
//! Reads change nothing; the pool decides; what has changed is written.

use std::collections::BTreeMap;
use std::time::Duration;

use entities::{Limit, Moment};
use rate_limit::{Learned, Pool, PoolLease};
use rusqlite::{Connection, OptionalExtension, params};

use super::rule;

/// No clock is set back further than this by accident. What says that it was learned later than that
/// from now was learned by another clock, and nobody knows when.
const SET_BACK: Duration = Duration::from_secs(86_400);

/// Reads the pool of a limit as it is, dead processes included.
pub(super) fn read(database: &Connection, key: &str, limit: &Limit) -> rusqlite::Result<Pool> {
    let mut leases: BTreeMap<String, PoolLease> = BTreeMap::new();
    let mut find = database.prepare_cached("SELECT process, tokens FROM leases WHERE key = ?1")?;
    let mut rows = find.query([key])?;
    while let Some(row) = rows.next()? {
        let (process, tokens): (String, i64) = (row.get(0)?, row.get(1)?);
        leases.insert(process.clone(), PoolLease { process, tokens: count(tokens), wants: 0 });
    }
    let mut find =
        database.prepare_cached("SELECT process, wants FROM users WHERE key = ?1 AND wants > 0")?;
    let mut rows = find.query([key])?;
    while let Some(row) = rows.next()? {
        let (process, wants): (String, i64) = (row.get(0)?, row.get(1)?);
        let none = PoolLease { process: process.clone(), tokens: 0, wants: 0 };
        leases.entry(process).or_insert(none).wants = count(wants);
    }
    let mut find = database
        .prepare_cached("SELECT return_at_ms, tokens FROM held WHERE key = ?1 ORDER BY return_at_ms")?;
    let mut held = Vec::new();
    let mut rows = find.query([key])?;
    while let Some(row) = rows.next()? {
        held.push((Moment::from_millis(row.get(0)?), count(row.get(1)?)));
    }
    Ok(Pool { limit: limit.clone(), leases: leases.into_values().collect(), held })
}

/// Writes how `after` differs from `before`; `us` may want tokens of a limit that only others keep.
pub(super) fn write(
    database: &Connection,
    key: &str,
    us: &str,
    before: &Pool,
    after: &Pool,
) -> rusqlite::Result<()> {
    let tokens = |pool: &Pool| -> BTreeMap<String, (u32, u32)> {
        pool.leases.iter().map(|lease| (lease.process.clone(), (lease.tokens, lease.wants))).collect()
    };
    let (had, have) = (tokens(before), tokens(after));
    for process in had.keys().chain(have.keys().filter(|process| !had.contains_key(*process))) {
        let (tokens_then, wanted) = had.get(process).copied().unwrap_or_default();
        let (tokens, wants) = have.get(process).copied().unwrap_or_default();
        if tokens == 0 && tokens_then > 0 {
            database.execute("DELETE FROM leases WHERE key = ?1 AND process = ?2", [key, process])?;
        } else if tokens != tokens_then {
            database.execute(
                "INSERT INTO leases (key, process, tokens) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key, process) DO UPDATE SET tokens = ?3",
                params![key, process, tokens],
            )?;
        }
        if wants != wanted && process == us {
            database.execute(
                "INSERT INTO users (budget, key, process, rule, wants) VALUES ('', ?1, ?2, '', ?3)
                 ON CONFLICT (key, process) DO UPDATE SET wants = ?3",
                params![key, process, wants],
            )?;
        }
    }
    let (had, have) = (by_millis(&before.held), by_millis(&after.held));
    for at in had.keys().filter(|at| !have.contains_key(at)) {
        database.execute("DELETE FROM held WHERE key = ?1 AND return_at_ms = ?2", params![key, at])?;
    }
    for (at, tokens) in have.iter().filter(|(at, tokens)| had.get(at) != Some(tokens)) {
        database.execute(
            "INSERT INTO held (key, return_at_ms, tokens) VALUES (?1, ?2, ?3)
             ON CONFLICT (key, return_at_ms) DO UPDATE SET tokens = ?3",
            params![key, at, tokens],
        )?;
    }
    Ok(())
}

/// Who has a part in a limit.
pub(super) fn processes(database: &Connection, key: &str) -> rusqlite::Result<Vec<String>> {
    let mut find = database.prepare_cached(
        "SELECT process FROM leases WHERE key = ?1 UNION SELECT process FROM users WHERE key = ?1",
    )?;
    find.query_map([key], |row| row.get(0))?.collect()
}

/// The largest reserve that anybody leaves of a limit.
pub(super) fn reserve(database: &Connection, key: &str, limit: &Limit) -> rusqlite::Result<u32> {
    let mut find = database.prepare_cached("SELECT rule FROM users WHERE key = ?1")?;
    let mut largest = limit.reserve;
    let mut rows = find.query([key])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        largest = largest.max(rule::read(&text).map_or(0, |limit| limit.reserve));
    }
    Ok(largest)
}

/// What one process leaves of a limit.
pub(super) fn reserve_of(database: &Connection, key: &str, process: &str) -> rusqlite::Result<u32> {
    let mut find = database.prepare_cached("SELECT rule FROM users WHERE key = ?1 AND process = ?2")?;
    let text: Option<String> = find.query_row([key, process], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| rule::read(&text)).map_or(0, |limit| limit.reserve))
}

/// Who draws on a budget.
pub(super) fn users(database: &Connection, budget: &str) -> rusqlite::Result<Vec<String>> {
    let mut find = database.prepare_cached("SELECT DISTINCT process FROM users WHERE budget = ?1")?;
    find.query_map([budget], |row| row.get(0))?.collect()
}

/// The limits of a budget that others keep and we do not.
pub(super) fn kept_by_others(database: &Connection, budget: &str, us: &str) -> rusqlite::Result<Vec<Limit>> {
    let mut find = database.prepare_cached(
        "SELECT key, max(rule) FROM users WHERE budget = ?1 AND process <> ?2
         AND key NOT IN (SELECT key FROM users WHERE budget = ?1 AND process = ?2)
         GROUP BY key ORDER BY key",
    )?;
    let mut limits = Vec::new();
    let mut rows = find.query([budget, us])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(1)?;
        limits.extend(rule::read(&text));
    }
    Ok(limits)
}

/// Since when and until when a budget is closed, be that past.
pub(super) fn closed(database: &Connection, budget: &str) -> rusqlite::Result<Option<(Moment, Moment)>> {
    let mut find = database.prepare_cached("SELECT since_ms, until_ms FROM closed WHERE key = ?1")?;
    let moment = |millis| Moment::from_millis(millis);
    find.query_row([budget], |row| Ok((moment(row.get(0)?), moment(row.get(1)?)))).optional()
}

/// What refusals have taught about a limit, if it is not too long ago.
pub(super) fn learned(database: &Connection, key: &str, now: Moment) -> rusqlite::Result<Option<Learned>> {
    let mut find = database.prepare_cached("SELECT gap_ns, refusals, at_ms FROM learned WHERE key = ?1")?;
    let learned = find
        .query_row([key], |row| {
            let gap: i64 = row.get(0)?;
            Ok(Learned {
                gap: Duration::from_nanos(gap.unsigned_abs()),
                refusals: count(row.get(1)?),
                at: Moment::from_millis(row.get(2)?),
            })
        })
        .optional()?;
    Ok(learned.filter(|learned| !learned.is_stale(now) && learned.at <= now + SET_BACK))
}

/// Drops what nobody needs any more of any limit.
pub(super) fn forget_what_is_over(database: &Connection, now: Moment) -> rusqlite::Result<()> {
    database.execute("DELETE FROM held WHERE return_at_ms <= ?1", [now.as_millis()])?;
    database.execute("DELETE FROM closed WHERE until_ms <= ?1", [now.as_millis()])?;
    forget_what_is_stale(database, now)?;
    database.execute(
        "DELETE FROM windows WHERE key NOT IN (SELECT key FROM leases)
         AND key NOT IN (SELECT key FROM held) AND key NOT IN (SELECT key FROM learned)",
        [],
    )?;
    Ok(())
}

/// Drops what was learned too long ago, of whatever limit.
pub(super) fn forget_what_is_stale(database: &Connection, now: Moment) -> rusqlite::Result<()> {
    let mut find = database.prepare_cached("SELECT key FROM learned")?;
    let keys: Vec<String> = find.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for key in keys {
        if learned(database, &key, now)?.is_none() {
            database.execute("DELETE FROM learned WHERE key = ?1", [&key])?;
        }
    }
    Ok(())
}

/// In whole milliseconds, rounded up: never earlier than it is.
pub(super) fn millis_up(moment: Moment) -> i64 {
    Moment(moment.0.saturating_add(999_999)).as_millis()
}

fn by_millis(held: &[(Moment, u32)]) -> BTreeMap<i64, u32> {
    let mut sums: BTreeMap<i64, u32> = BTreeMap::new();
    for (at, tokens) in held.iter().filter(|(_, tokens)| *tokens > 0) {
        let sum = sums.entry(millis_up(*at)).or_default();
        *sum = sum.saturating_add(*tokens);
    }
    sums
}

/// The database may have been edited.
fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
