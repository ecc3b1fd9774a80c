//! A kill at every point of a sync, an error at every point that writes, and kills of the resumptions that follow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

use super::content;
use super::lab::{self, Dice, Outcome};
use super::site::Site;
use super::strace::{self, Calls, Point, Series};

/// The points of a run.
pub(crate) struct Learnt {
    pub(crate) series: BTreeMap<Series, Calls>,
    /// The run of a store that it is: the first makes everything, a later one takes the place of what is there.
    pub(crate) round: u64,
}

impl Learnt {
    /// Counts the calls of the n-th run of a store, most of two runs.
    pub(crate) fn of(site: &Site, round: u64) -> Result<Learnt> {
        let learn = || -> Result<BTreeMap<Series, Calls>> {
            lab::bring_to(site, round)?;
            Ok(strace::learn(site)?
                .into_iter()
                .map(|(series, calls)| (generic(series, site), calls))
                .collect())
        };
        let (first, second) = (learn()?, learn()?);
        Ok(Learnt { series: strace::both(first, second), round })
    }

    /// Of what the points are, in words.
    fn told(&self) -> String {
        let threads: BTreeSet<&str> =
            self.series.values().flat_map(|calls| calls.of_threads.keys()).map(String::as_str).collect();
        let threads: Vec<&str> =
            threads.into_iter().filter_map(|thread| Some(thread.split_once(':')?.1)).collect();
        format!("{} calls on files in the threads {}", self.series.len(), threads.join(", "))
    }

    /// All of them, or so many evenly spread.
    fn points(&self, most: Option<usize>, wanted: impl Fn(&Series) -> bool) -> Vec<Point> {
        let of_series = |(series, calls): (&Series, &Calls)| {
            let series = series.clone();
            (1..=calls.most()).map(move |k| Point { series: series.clone(), k }).collect::<Vec<Point>>()
        };
        let all: Vec<Point> =
            self.series.iter().filter(|(series, _)| wanted(series)).flat_map(of_series).collect();
        match most {
            Some(most) if most < all.len() => {
                (0..most).map(|nth| all[nth * all.len() / most].clone()).collect()
            }
            _ => all,
        }
    }
}

/// The series at whichever place: what was learnt at one is used at all of them.
fn generic(series: Series, site: &Site) -> Series {
    let here = site.directory.to_string_lossy().into_owned();
    Series { path: series.path.map(|path| path.replace(&here, PLACE)), ..series }
}

/// Stands for the directory of a place.
const PLACE: &str = "{place}";

fn at(point: &Point, site: &Site) -> Point {
    let here = site.directory.to_string_lossy().into_owned();
    let path = point.series.path.as_ref().map(|path| path.replace(PLACE, &here));
    Point { series: Series { path, ..point.series.clone() }, k: point.k }
}

/// Kills at every point, then resumes and looks. A series goes on until a run does not come to its next point.
pub(crate) fn kills(sites: &[Site], learnt: &Learnt, most: Option<usize>) -> Result<Outcome> {
    let reached: Mutex<BTreeMap<Series, u64>> = Mutex::new(BTreeMap::new());
    let one = |site: &Site, point: Point| {
        let outcome = kill_at(site, &at(&point, site), learnt.round)?;
        if outcome.hit > 0 {
            let mut reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
            let k = reached.entry(point.series).or_default();
            *k = point.k.max(*k);
        }
        Ok(outcome)
    };
    let points = learnt.points(most, |_| true);
    let mut total = lab::spread(sites, points.clone(), lab::never, one)?;
    // How landings are gathered into transactions differs from run to run: another may come to the point.
    for _ in 0..2 {
        let known = reached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let missed = |point: &&Point| known.get(&point.series).is_none_or(|k| *k < point.k);
        let again: Vec<Point> = points.iter().filter(missed).cloned().collect();
        total.tried -= again.len() as u64;
        total.add(lab::spread(sites, again, lab::never, one)?);
    }
    while most.is_none() {
        let known = reached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let more = known.iter().filter(|(series, k)| {
            learnt.series.get(series).map_or(0, Calls::most) + total_extra(&total, series) == **k
        });
        let more: Vec<Point> = more.map(|(series, k)| Point { series: series.clone(), k: k + 1 }).collect();
        if more.is_empty() {
            break;
        }
        total.notes.extend(more.iter().map(|point| format!("+{}", point.series)));
        total.add(lab::spread(sites, more, lab::never, one)?);
    }
    let missed = total.tried - total.hit;
    total.notes = vec![format!(
        "{} of {} crash points of {}, {missed} others not reached by runs that made fewer calls",
        total.hit,
        total.tried - missed,
        learnt.told()
    )];
    Ok(total)
}

/// How often a series was gone on with.
fn total_extra(total: &Outcome, series: &Series) -> u64 {
    let note = format!("+{series}");
    total.notes.iter().filter(|noted| **noted == note).count() as u64
}

fn kill_at(site: &Site, point: &Point, round: u64) -> Result<Outcome> {
    let mut outcome = Outcome { tried: 1, ..Outcome::default() };
    outcome.found.add(lab::bring_to(site, round)?);
    let ended = site.run(site.traced(&point.kill(site)))?;
    if ended.killed() {
        outcome.hit = 1;
    } else if !ended.complete() {
        outcome.found.disagree(format!("below strace it ended with {}", ended.told()));
    }
    outcome.found.add(lab::settle(site, round)?);
    outcome.found = outcome.found.of(&format!("round {round}, killed at {point}"));
    Ok(outcome)
}

/// Kills at a random point, then the resumption at another, then resumes and looks.
pub(crate) fn double_kills(sites: &[Site], learnt: &Learnt, times: u64, seed: u64) -> Result<Outcome> {
    let points = learnt.points(None, |_| true);
    let one = |site: &Site, seed: u64| {
        let mut dice = Dice(seed);
        let mut draw = || points[dice.below(points.len() as u64) as usize].clone();
        let (first, mut second) = (at(&draw(), site), at(&draw(), site));
        // A resumption makes fewer calls than the whole.
        second.k = second.k.div_ceil(3);
        let mut outcome = Outcome { tried: 1, ..Outcome::default() };
        outcome.found.add(lab::bring_to(site, learnt.round)?);
        let begun = site.run(site.traced(&first.kill(site)))?;
        // Else there is nothing to resume, and the next run is another.
        if !lab::is_complete(&content::read(site)?, learnt.round) {
            let again = site.run(site.traced(&second.kill(site)))?;
            outcome.hit = u64::from(begun.killed() && again.killed());
        }
        outcome.found.add(lab::settle(site, learnt.round)?);
        outcome.found = outcome.found.of(&format!("killed at {first}, its resumption at {second}"));
        Ok(outcome)
    };
    lab::spread(sites, (0..times).map(|nth| seed + nth), lab::never, one)
}

/// The calls that can be refused, and how.
const REFUSALS: [(&str, &[&str]); 9] = [
    ("write", &["ENOSPC", "EIO"]),
    ("pwrite64", &["ENOSPC", "EIO"]),
    ("writev", &["ENOSPC"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("fdatasync", &["EIO", "ENOSPC"]),
    ("rename", &["ENOSPC", "EIO"]),
    ("renameat", &["ENOSPC"]),
    ("renameat2", &["ENOSPC"]),
    ("ftruncate", &["EIO"]),
];

/// Refuses at every point that writes to a file: the run ends with exit code 4 and says why, or completes; and
/// without the fault the next is exact.
pub(crate) fn errors(sites: &[Site], learnt: &Learnt, most: Option<usize>) -> Result<Outcome> {
    let refused =
        |series: &Series| series.path.is_some() && REFUSALS.iter().any(|(call, _)| *call == series.call);
    let points = learnt.points(most, refused);
    let pieces: Vec<(Point, &str)> = points
        .iter()
        .flat_map(|point| {
            let errors = REFUSALS
                .iter()
                .filter(|(call, _)| *call == point.series.call)
                .flat_map(|(_, errors)| *errors);
            errors.map(|error| (point.clone(), *error))
        })
        .collect();
    let mut total = lab::spread(sites, pieces, lab::never, |site, (point, error)| {
        refuse_at(site, &at(&point, site), error, learnt.round)
    })?;
    let completed = total.notes.iter().filter(|note| *note == "completed").count();
    total.notes = vec![format!("{} ended with 4, {completed} completed", total.hit - completed as u64)];
    Ok(total)
}

fn refuse_at(site: &Site, point: &Point, error: &str, round: u64) -> Result<Outcome> {
    let mut outcome = Outcome { tried: 1, ..Outcome::default() };
    outcome.found.add(lab::bring_to(site, round)?);
    let ended = site.run(site.traced(&point.fail(site, error)))?;
    if strace::was_injected(site) {
        outcome.hit = 1;
        match ended.status.code() {
            Some(0) => outcome.notes.push("completed".to_owned()),
            Some(4) if ended.stderr.contains("error") => {}
            _ => outcome.found.disagree(format!("it ended with {}", ended.told())),
        }
        if point.series.is_sync() && point.series.is_of_store(site) && ended.complete() {
            let trace = fs::read(site.beside("trace")).context("there is no trace")?;
            let trace = String::from_utf8_lossy(&trace).into_owned();
            // What had been committed before may still be folded back; nothing new may be written there.
            let after = trace.split("(INJECTED)").nth(1).unwrap_or_default();
            let written = after.lines().filter(|line| line.contains("write")).count();
            if written > 0 {
                outcome.found.disagree(format!("it was written to {written} times again, and it completed"));
            }
        }
    }
    outcome.found.add(lab::settle(site, round)?);
    outcome.found = outcome.found.of(&format!("round {round}, {error} at {point}"));
    Ok(outcome)
}
