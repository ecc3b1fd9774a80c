//! A limit that nobody kept until now: what went under other limits of its budget counts in it.
//!
//! A window's name is its budget's and what it counts (`BudgetKey::window`): so the windows of a budget are found
//! by their names. What living processes have leased of others is not looked at: they tell in their looks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use entities::{Limit, Moment};
use rate_limit::{Past, carried};
use rusqlite::{Connection, Transaction, params};

use super::files::{died, lives};
use super::rows::millis_up;
use super::{Joining, change_in};

/// Whether a living process keeps the limit.
pub(super) fn is_kept(database: &Connection, path: &Path, us: &str, key: &str) -> rusqlite::Result<bool> {
    let mut find = database.prepare_cached("SELECT process FROM users WHERE key = ?1 AND rule <> ''")?;
    let processes: Vec<String> = find.query_map([key], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(processes.iter().any(|process| process == us || lives(path, process)))
}

/// Writes down as held what went under other limits of the budget.
pub(super) fn take_over(
    change: &Transaction<'_>,
    path: &Path,
    us: &str,
    joining: &Joining,
    key: &str,
    limit: &Limit,
    now: Moment,
) -> rusqlite::Result<()> {
    let mut names = known_windows(change, &joining.budget)?;
    names.extend(joining.past.iter().map(|(name, _)| name.clone()));
    if names.iter().all(|name| name == key) {
        return Ok(());
    }
    // What the dead had of it is held from now on.
    change_in(change, path, us, key, limit, now, |_, _| ())?;
    names.insert(key.to_owned());
    let mut pasts: BTreeMap<&str, Past> =
        joining.past.iter().map(|(name, past)| (name.as_str(), past.clone())).collect();
    for name in &names {
        add_known(change, path, us, name, &joining.budget, pasts.entry(name).or_default(), now)?;
    }
    let pasts: Vec<Past> = pasts.into_values().collect();
    change.execute("DELETE FROM held WHERE key = ?1", [key])?;
    for (until, tokens) in carried(limit, &pasts, now) {
        change.execute(
            "INSERT INTO held (key, return_at_ms, tokens) VALUES (?1, ?2, ?3)
             ON CONFLICT (key, return_at_ms) DO UPDATE SET tokens = tokens + ?3",
            params![key, millis_up(until), tokens],
        )?;
    }
    Ok(())
}

/// The names of a budget's windows of which the file knows that tokens were used.
fn known_windows(database: &Connection, budget: &str) -> rusqlite::Result<BTreeSet<String>> {
    // All names that begin with the budget's and a space; there may be longer names of budgets among them.
    let mut find = database.prepare_cached(
        "SELECT key FROM held WHERE key > ?1 || ' ' AND key < ?1 || '!'
         UNION SELECT key FROM leases WHERE key > ?1 || ' ' AND key < ?1 || '!'",
    )?;
    let names = find.query_map([budget], |row| row.get::<_, String>(0))?;
    names.filter(|name| name.as_ref().map_or(true, |name| window_of(name, budget).is_some())).collect()
}

/// What the file knows of the use of a window's tokens: of those that are held, and of those that the dead had.
fn add_known(
    database: &Connection,
    path: &Path,
    us: &str,
    name: &str,
    budget: &str,
    past: &mut Past,
    now: Moment,
) -> rusqlite::Result<()> {
    let window = window_of(name, budget).flatten();
    let mut find = database.prepare_cached("SELECT return_at_ms, tokens FROM held WHERE key = ?1")?;
    let held: Vec<(Moment, u32)> = find
        .query_map([name], |row| Ok((Moment::from_millis(row.get(0)?), row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    past.add_held(window, &held, now);
    let mut find = database.prepare_cached("SELECT process, tokens FROM leases WHERE key = ?1")?;
    let leases: Vec<(String, u32)> =
        find.query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (process, tokens) in leases.iter().filter(|(process, _)| process != us && !lives(path, process)) {
        past.add_answered(died(path, process, now), *tokens);
    }
    Ok(())
}

/// The length of the window that has this name in a budget (none: a calendar's), if it is one of that budget.
fn window_of(name: &str, budget: &str) -> Option<Option<Duration>> {
    let what = name.strip_prefix(budget)?.strip_prefix(' ')?;
    let (rate, resets) =
        what.split_once(' ').map_or((what, false), |(rate, rest)| (rate, rest.starts_with("resets=")));
    if what.contains(' ') && !resets {
        return None;
    }
    let (count, window) = rate.split_once('/')?;
    count.parse::<u32>().ok()?;
    let millis = window.strip_suffix("ms")?.parse().ok()?;
    Some((!resets).then(|| Duration::from_millis(millis)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_known_by_its_name() {
        let check = |name: &str, expected: Option<Option<u64>>| {
            let found = window_of(name, "http://h");
            assert_eq!(found, expected.map(|window| window.map(Duration::from_millis)), "{name}");
        };
        check("http://h 10/1000ms", Some(Some(1_000)));
        check("http://h 10/86400000ms resets=00:00 Asia/Shanghai", Some(None));
        for other in [
            "http://h",
            "http://h ",
            "http://h anonymous 10/1000ms",
            "http://h2 10/1000ms",
            "http://h x/1000ms",
        ] {
            check(other, None);
        }
        check("http://h 10/1000", None);
        check("http://h 10/1000ms endpoint=e", None);
    }
}
