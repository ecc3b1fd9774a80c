//! SIGTERM, SIGINT once and SIGINT twice: the run ends in time and says so by its exit code, nothing lands afterwards,
//! and the resumption is exact.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::check;
use super::content;
use super::lab::{self, Dice, Outcome};
use super::server::now;
use super::site::Site;

/// The longest that an orderly end may take here, where every answer comes soon.
const GRACE: Duration = Duration::from_secs(10);
/// A request that arrives so long after the signal was sent after it.
const SETTLED: Duration = Duration::from_millis(500);

const SIGNALS: [(&str, &[Signal]); 3] =
    [("SIGTERM", &[Signal::TERM]), ("SIGINT", &[Signal::INT]), ("SIGINT twice", &[Signal::INT, Signal::INT])];

/// Sends each so many times.
pub(crate) fn signals(sites: &[Site], times: u64, seed: u64) -> Result<Outcome> {
    let pieces = (0..times).flat_map(|nth| (0..SIGNALS.len()).map(move |which| (which, seed + nth)));
    let mut total =
        lab::spread(sites, pieces, lab::never, |site, (which, seed)| one(site, which, Dice(seed)))?;
    total.notes = vec![format!("{} ended with 130, the others were done or had not begun", total.hit)];
    Ok(total)
}

fn one(site: &Site, which: usize, mut dice: Dice) -> Result<Outcome> {
    let (name, signals) = SIGNALS[which];
    let mut outcome = Outcome { tried: 1, ..Outcome::default() };
    outcome.found.add(lab::bring_to(site, 1)?);
    site.server.set_delay(Duration::from_millis(20));
    let started = site.start(site.command())?;
    sleep(Duration::from_millis(20).mul_f64(1.0 + 12.0 * dice.unit()));
    let sent = now();
    for (nth, signal) in signals.iter().enumerate() {
        if nth > 0 {
            sleep(Duration::from_millis(10).mul_f64(dice.unit()));
        }
        started.signal(*signal);
    }
    let ended = started.wait_for(GRACE)?;
    site.server.set_delay(Duration::ZERO);
    let requests = site.server.take_log();
    let found = &mut outcome.found;
    match ended.status.code() {
        Some(130) => outcome.hit = 1,
        Some(0) => {}
        // It had not begun to listen.
        None if requests.is_empty() && !ended.hung => {}
        _ => found.disagree(format!("it ended with {}", ended.told())),
    }
    let (after, more) = lab::look(site, 1)?;
    found.add(more);
    let landed = lab::landed(&after);
    for request in requests.iter().filter(|request| request.at > sent + SETTLED) {
        if landed.contains(&(request.task.clone(), request.lane.clone(), request.round, request.page)) {
            found.late += 1;
            found.say(format!("{request:?} was sent after the signal, and landed"));
        }
    }
    if let Ok(database) = site.database() {
        // Whatever the server still does on behalf of the process that is gone.
        database.wait_for_silence()?;
        let later = content::read(site)?;
        let rows = |content: &content::Content| {
            content.tables.values().flatten().filter_map(check::number).count() as u64
        };
        if rows(&later) != rows(&after) {
            found.late += rows(&later).abs_diff(rows(&after));
            found.say(format!("{} rows, and later {}", rows(&after), rows(&later)));
        }
    }
    found.add(lab::settle(site, 1)?);
    outcome.found = outcome.found.of(&format!("{name}, seed {}", dice.0));
    Ok(outcome)
}
