//! `kill -9` at random instants of a run and of its resumptions, start-up and recovery included.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::findings::Findings;
use super::lab::{self, Dice, Outcome};
use super::site::Site;

/// Runs of a plan that follow each other in one store.
const ROUNDS: u64 = 2;
/// The longest that the server takes for an answer.
const DELAY: Duration = Duration::from_millis(6);

/// Kills so often, over as many stores as that takes, or until enough is found.
pub(crate) fn kills(
    sites: &[Site],
    kills: u64,
    seed: u64,
    enough: impl Fn(&Findings) -> bool + Sync,
) -> Result<Outcome> {
    let mut total = Outcome::default();
    let calm = calm(sites)?;
    let mut hits: BTreeMap<String, u64> = BTreeMap::new();
    let mut batch = 0;
    while total.hit < kills && !enough(&total.found) {
        let seeds: Vec<u64> = (0..sites.len() as u64).map(|nth| seed + batch * 1_000 + nth).collect();
        batch += 1;
        let mut outcome = lab::spread(sites, seeds, &enough, |site, seed| one_store(site, calm, Dice(seed)))?;
        for hit in outcome.notes.drain(..) {
            *hits.entry(hit).or_default() += 1;
        }
        total.add(outcome);
    }
    total.notes = hits.into_iter().map(|(hit, times)| format!("{times} {hit}")).collect();
    Ok(total)
}

/// How long a run takes that is not disturbed.
fn calm(sites: &[Site]) -> Result<Duration> {
    let site = sites.first().context("there is no place")?;
    site.clear()?;
    site.server.set_delay(DELAY);
    let (ended, _) = lab::undisturbed(site, 1)?;
    site.server.set_delay(Duration::ZERO);
    Ok(ended.took)
}

/// A store from its first run to the end of its last.
fn one_store(site: &Site, calm: Duration, mut dice: Dice) -> Result<Outcome> {
    let seed = dice.0;
    let mut outcome = Outcome::default();
    site.clear()?;
    site.server.set_delay(DELAY);
    let mut round = 1;
    while round <= ROUNDS {
        site.server.set_round(round);
        one_run(site, round, calm, &mut dice, &mut outcome)?;
        let (settled, found) = lab::settled(site, round)?;
        outcome.found.add(found);
        round = settled + 1;
    }
    site.server.set_delay(Duration::ZERO);
    outcome.found = outcome.found.of(&format!("seed {seed}"));
    Ok(outcome)
}

/// Kills a run and its resumptions until one of them ends by itself.
fn one_run(site: &Site, round: u64, calm: Duration, dice: &mut Dice, outcome: &mut Outcome) -> Result<()> {
    let mut whole = calm;
    let mut landed = lab::landed(&lab::look(site, round)?.0);
    let mut is_new = true;
    loop {
        site.server.take_log();
        let share = if dice.unit() < 0.35 { 0.25 * dice.unit() } else { 1.1 * dice.unit() };
        let ended = site.start(site.command())?.kill_after(whole.mul_f64(share))?;
        outcome.tried += 1;
        if !ended.killed() {
            if !ended.complete() {
                outcome.found.disagree(format!("round {round}: a resumption ended with {}", ended.told()));
            }
            return Ok(());
        }
        outcome.hit += 1;
        // So that most are killed, and the run gets on all the same.
        whole = whole.mul_f64(1.05).min(calm * 5);
        let (content, found) = lab::look(site, round)?;
        outcome.found.add(found.of(&format!("round {round}, after a kill")));
        let requests = site.server.take_log();
        let again = requests.iter().filter(|request| {
            let page = (request.task.clone(), request.lane.clone(), request.round, request.page);
            request.task != "newest" && landed.contains(&page)
        });
        for request in again {
            outcome.found.disagree(format!("round {round}: {request:?} had landed"));
        }
        let complete = lab::is_complete(&content, round);
        let hit = match () {
            () if complete => "after its end",
            () if requests.is_empty() && is_new => "in start-up",
            () if requests.is_empty() => "in recovery",
            () => "under way",
        };
        outcome.notes.push(hit.to_owned());
        is_new = is_new && content.runs.len() < usize::try_from(round)?;
        landed = lab::landed(&content);
        if complete {
            return Ok(());
        }
    }
}
