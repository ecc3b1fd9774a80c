//! What every experiment does: its places side by side, a store that is resumed and looked at, and what came of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, anyhow};

use super::check::{self, Stage};
use super::content::{self, Content};
use super::findings::Findings;
use super::site::{Ended, Site};

/// What an experiment found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// How often it was tried.
    pub(crate) tried: u64,
    /// How often that ended the process, or was noticed by it.
    pub(crate) hit: u64,
    /// What else there is to say.
    pub(crate) notes: Vec<String>,
    pub(crate) found: Findings,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: Outcome) {
        self.tried += other.tried;
        self.hit += other.hit;
        self.notes.extend(other.notes);
        self.found.add(other.found);
    }
}

/// Does every piece of work at whichever place is free. Stops after the first error of the laboratory itself, and
/// before the next piece once `enough` has been found.
pub(crate) fn spread<W: Send>(
    sites: &[Site],
    work: impl IntoIterator<Item = W>,
    enough: impl Fn(&Findings) -> bool + Sync,
    each: impl Fn(&Site, W) -> Result<Outcome> + Sync,
) -> Result<Outcome> {
    let queue: Mutex<VecDeque<W>> = Mutex::new(work.into_iter().collect());
    let total: Mutex<Outcome> = Mutex::new(Outcome::default());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let results: Vec<Result<()>> = thread::scope(|scope| {
        let running: Vec<_> = sites
            .iter()
            .map(|site| {
                scope.spawn(|| {
                    while let Some(piece) = next() {
                        let outcome = each(site, piece)?;
                        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                        total.add(outcome);
                        if enough(&total.found) {
                            return Ok(());
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        let joined = |thread: thread::ScopedJoinHandle<'_, Result<()>>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("an experiment panicked")))
        };
        running.into_iter().map(joined).collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Nothing is ever enough.
pub(crate) fn never(_: &Findings) -> bool {
    false
}

/// A page that a store holds, or that was asked for.
pub(crate) type Page = (String, String, u64, u64);

/// The pages that are seen to have landed.
pub(crate) fn landed(content: &Content) -> BTreeSet<Page> {
    let rows = content.tables.values().flatten();
    rows.filter_map(check::number).map(|n| (n.task, n.lane, n.round, n.page)).collect()
}

/// Whether the n-th run is: to say so is its last act.
pub(crate) fn is_complete(content: &Content, round: u64) -> bool {
    content.runs.iter().filter(|state| *state == "complete").count() as u64 == round
}

/// Looks at a store in the middle of its n-th run, or after a kill when it had ended.
pub(crate) fn look(site: &Site, round: u64) -> Result<(Content, Findings)> {
    let content = content::read(site)?;
    // Files take their places after the ledger has said so: at once, or when the store is opened again.
    let is_whole = is_complete(&content, round) && !site.kind.is_files();
    let stage = if is_whole { Stage::Complete(round) } else { Stage::Under(round) };
    let mut found = check::check(&content, site.kind, site.server.size(), stage);
    // What the killed process had still to tidy, the next one will.
    found.forgive_leftovers();
    Ok((content, found))
}

/// Nothing that had landed was asked for again.
pub(crate) fn asked_again(site: &Site, landed: &BTreeSet<Page>, found: &mut Findings) {
    for request in site.server.take_log() {
        // What is new begins with the last record there is.
        let page = (request.task, request.lane, request.round, request.page);
        if page.0 != "newest" && landed.contains(&page) {
            found.disagree(format!("{page:?} had landed and was asked for again"));
        }
    }
}

/// Resumes the n-th run to its end, and looks at what is there.
pub(crate) fn settle(site: &Site, round: u64) -> Result<Findings> {
    Ok(settled(site, round)?.1)
}

/// The same, and which run it was.
pub(crate) fn settled(site: &Site, round: u64) -> Result<(u64, Findings)> {
    let (before, mut found) = look(site, round)?;
    site.server.take_log();
    // A kill may have come when all was done: then the next run is another.
    let round = if is_complete(&before, round) { round + 1 } else { round };
    site.server.set_round(round);
    let ended = site.run(site.command())?;
    if !ended.complete() {
        found.disagree(format!("the resumption ended with {}", ended.told()));
        return Ok((round, found));
    }
    asked_again(site, &landed(&before), &mut found);
    let content = content::read(site)?;
    found.add(check::check(&content, site.kind, site.server.size(), Stage::Complete(round)));
    verify(site, &mut found)?;
    Ok((round, found))
}

/// Asks `syncctl verify` for its opinion, too.
fn verify(site: &Site, found: &mut Findings) -> Result<()> {
    let ended = site.call(&["verify", "plan.toml"])?;
    if !ended.complete() {
        found.disagree(format!("syncctl verify says {}", ended.told()));
    }
    Ok(())
}

/// A run that nothing disturbs, looked at afterwards.
pub(crate) fn undisturbed(site: &Site, round: u64) -> Result<(Ended, Findings)> {
    site.server.set_round(round);
    let ended = site.run(site.command())?;
    let mut found = Findings::default();
    if !ended.complete() {
        found.disagree(format!("even undisturbed: {}", ended.told()));
        return Ok((ended, found));
    }
    let content = content::read(site)?;
    found.add(check::check(&content, site.kind, site.server.size(), Stage::Complete(round)));
    Ok((ended, found))
}

/// A new store, brought before its n-th run.
pub(crate) fn bring_to(site: &Site, round: u64) -> Result<Findings> {
    site.clear()?;
    let mut found = Findings::default();
    for before in 1..round {
        found.add(undisturbed(site, before)?.1);
    }
    site.server.set_round(round);
    Ok(found)
}

/// Numbers from a seed (`SplitMix64`: Steele, Lea, Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// Uniform in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in 0..below.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        (self.unit() * below as f64) as u64
    }
}
