//! What only befalls a store behind a connection: the server restarts, ends our session, or the connection breaks at
//! any message; and a process that was frozen wakes up when another has taken over.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::check;
use super::content;
use super::findings::Findings;
use super::lab::{self, Dice, Outcome};
use super::proxy::{Act, Cut, Proxy, Where};
use super::site::{Site, Started};

/// The longest that a run may take that has to connect again.
const MOST: Duration = Duration::from_secs(60);
/// The longest that the numbering server takes for an answer, so that there is time to disturb.
const DELAY: Duration = Duration::from_millis(10);
/// Requests of a whole run.
const LAST: u64 = 21;

/// Starts a run, with answers slow enough to be disturbed, and waits for a random part of its requests: it has the
/// store from the first on.
fn begin(site: &Site, dice: &mut Dice) -> Result<Started> {
    site.server.set_delay(DELAY);
    site.server.take_log();
    let mut started = site.start(site.command())?;
    // The last ones are told the ledger by changes of rows that are there: nothing but the epoch keeps those out.
    let wanted = if dice.unit() < 0.5 { LAST - dice.below(4) } else { 1 + dice.below(LAST) };
    let wanted = usize::try_from(wanted)?;
    while site.server.requests() < wanted && started.child.try_wait()?.is_none() {
        sleep(Duration::from_millis(1));
    }
    // Before, while or after that is landed.
    sleep(DELAY.mul_f64(0.5 * dice.unit()));
    Ok(started)
}

/// A run that was disturbed completes, or ends with 4 and a word on why; and then it is exact.
fn ends_well(site: &Site, started: Started, outcome: &mut Outcome) -> Result<()> {
    let ended = started.wait_for(MOST)?;
    site.server.set_delay(Duration::ZERO);
    match ended.status.code() {
        Some(0) => outcome.notes.push("completed".to_owned()),
        Some(4) if ended.stderr.contains("error") => {}
        _ if ended.killed() => {}
        _ => outcome.found.disagree(format!("it ended with {}", ended.told())),
    }
    site.database()?.wait_for_silence()?;
    outcome.found.add(lab::settle(site, 1)?);
    Ok(())
}

/// How many of them completed.
fn summed(mut outcome: Outcome) -> Outcome {
    let completed = outcome.notes.iter().filter(|note| *note == "completed").count();
    outcome.notes = vec![format!("{completed} completed all the same")];
    outcome
}

/// The server stops at once, as in a crash, and starts again. At one place only: the cluster is everybody's.
pub(crate) fn restarts(site: &Site, times: u64, seed: u64) -> Result<Outcome> {
    let mut total = Outcome::default();
    for nth in 0..times {
        let mut dice = Dice(seed + nth);
        let mut outcome = Outcome { tried: 1, hit: 1, ..Outcome::default() };
        outcome.found.add(lab::bring_to(site, 1)?);
        let started = begin(site, &mut dice)?;
        site.database()?.cluster.restart_immediate();
        ends_well(site, started, &mut outcome)?;
        outcome.found = outcome.found.of(&format!("restart, seed {}", seed + nth));
        total.add(outcome);
    }
    Ok(summed(total))
}

/// `pg_terminate_backend` of whatever session is ours, some times in a run.
pub(crate) fn terminations(sites: &[Site], times: u64, seed: u64) -> Result<Outcome> {
    let one = |site: &Site, seed: u64| {
        let mut dice = Dice(seed);
        let mut outcome = Outcome { tried: 1, hit: 1, ..Outcome::default() };
        outcome.found.add(lab::bring_to(site, 1)?);
        let started = begin(site, &mut dice)?;
        for _ in 0..=dice.below(3) {
            site.database()?.terminate_clients()?;
            sleep(Duration::from_millis(20).mul_f64(dice.unit()));
        }
        ends_well(site, started, &mut outcome)?;
        outcome.found = outcome.found.of(&format!("terminated, seed {seed}"));
        Ok(outcome)
    };
    lab::spread(sites, (0..times).map(|nth| seed + nth), lab::never, one).map(summed)
}

/// The connection breaks, or the process dies, at each message around each COMMIT; and at all others, or so many.
pub(crate) fn messages(sites: &[Site], act: Act, most: Option<usize>) -> Result<Outcome> {
    let site = sites.first().context("there is no place")?;
    let mut learning = Outcome::default();
    through(site, None, &mut learning)?;
    let seen = learning.notes.pop().unwrap_or_default();
    let cuts = cuts(&seen, act, most);
    let one = |site: &Site, cut: Cut| {
        let mut outcome = Outcome { tried: 1, ..Outcome::default() };
        through(site, Some(cut), &mut outcome)?;
        outcome.found = outcome.found.of(&format!("{cut:?}"));
        Ok(outcome)
    };
    let commits = seen.split(' ').filter(|word| word.ends_with('*') && word.starts_with('>')).count();
    let mut total = summed(lab::spread(sites, cuts, lab::never, one)?);
    total.found.add(learning.found);
    total.notes.push(format!("{commits} COMMITs"));
    total.notes.push(format!("{} of {} messages", total.hit, total.tried));
    Ok(total)
}

/// A run by way of a proxy. The messages are noted as `>12Q*` (the 12th of the client, a query that commits).
fn through(site: &Site, cut: Option<Cut>, outcome: &mut Outcome) -> Result<()> {
    outcome.found.add(lab::bring_to(site, 1)?);
    let database = site.database()?;
    let proxy = Proxy::start(database.cluster.port(), cut)?;
    let mut command = site.command();
    command.env("LAB_DATABASE", database.url_by(proxy.port()));
    let started = site.start(command)?;
    proxy.set_process(started.child.id());
    ends_well(site, started, outcome)?;
    outcome.hit = u64::from(proxy.done());
    if cut.is_none() {
        let told = |message: &super::proxy::Message| {
            let direction = if message.from_client { '>' } else { '<' };
            format!("{direction}{}{}{}", message.nth, message.kind, if message.commits { "*" } else { "" })
        };
        outcome.notes.push(proxy.seen().iter().map(told).collect::<Vec<String>>().join(" "));
    }
    Ok(())
}

/// Every message around a COMMIT, and of all others as many as there may be.
fn cuts(seen: &str, act: Act, most: Option<usize>) -> Vec<Cut> {
    let mut around = Vec::new();
    let mut others = Vec::new();
    for word in seen.split(' ') {
        let digits: String = word.chars().filter(char::is_ascii_digit).collect();
        let Ok(k) = digits.parse() else { continue };
        let list = if word.ends_with('*') { &mut around } else { &mut others };
        if word.starts_with('>') {
            list.push(Cut { at: Where::BeforeServer, k, act });
            list.push(Cut { at: Where::AfterServer, k, act });
        } else {
            list.push(Cut { at: Where::BeforeClient, k, act });
        }
    }
    let wanted = most.unwrap_or(others.len()).min(others.len());
    around.truncate(most.unwrap_or(around.len()).max(12));
    let spread = (0..wanted).map(|nth| others[nth * others.len() / wanted.max(1)]);
    around.into_iter().chain(spread).collect()
}

/// One process is frozen, its session is ended, another takes over and completes the run; then the first wakes up.
pub(crate) fn frozen(
    sites: &[Site],
    times: u64,
    seed: u64,
    enough: fn(&Findings) -> bool,
) -> Result<Outcome> {
    let one = |site: &Site, seed: u64| {
        let mut dice = Dice(seed);
        let mut outcome = Outcome { tried: 1, ..Outcome::default() };
        outcome.found.add(lab::bring_to(site, 1)?);
        let first = begin(site, &mut dice)?;
        first.signal(Signal::STOP);
        let database = site.database()?;
        database.terminate_clients()?;
        database.wait_for_silence()?;
        site.server.set_delay(Duration::ZERO);
        let second = site.run(site.command_beside()?)?;
        if !second.complete() {
            outcome.found.disagree(format!("the second process ended with {}", second.told()));
        }
        let before = content::read(site)?;
        first.signal(Signal::CONT);
        let woken = first.wait_for(MOST)?;
        match woken.status.code() {
            // It had been done before it was frozen.
            Some(0) => {}
            Some(4) => outcome.hit = 1,
            _ => outcome.found.disagree(format!("the first process ended with {}", woken.told())),
        }
        database.wait_for_silence()?;
        let after = content::read(site)?;
        let rows = |content: &content::Content| content.tables.values().map(Vec::len).sum::<usize>() as u64;
        if before.tables != after.tables || before.requests.len() != after.requests.len() {
            outcome.found.late += rows(&after).abs_diff(rows(&before)).max(1);
            outcome.found.say(format!(
                "who was frozen landed: {} rows, then {}",
                rows(&before),
                rows(&after)
            ));
        }
        // The second process may have begun when the first had just completed: then it was a run of its own.
        let rounds = before.runs.iter().filter(|state| *state == "complete").count() as u64;
        if rounds == 1 {
            let stage = check::Stage::Complete(1);
            outcome.found.add(check::check(&after, site.kind, site.server.size(), stage));
        }
        outcome.found = outcome.found.of(&format!("frozen, seed {seed}"));
        Ok(outcome)
    };
    let mut total = lab::spread(sites, (0..times).map(|nth| seed + nth), enough, one)?;
    total.notes = vec![format!("{} woke up to a store that was another's", total.hit)];
    Ok(total)
}
