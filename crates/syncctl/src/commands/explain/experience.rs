//! What earlier runs teach: read from the plan's ledger, if there is one. Nothing here can fail: a store that
//! is not there, or cannot be read now, only leaves less to say.

use engine::{Experience, Learned};
use entities::SyncPlan;
use store::SqliteReader;

use crate::compose;
use crate::exit::Problem;

/// Runs that averages are made of.
const RUNS: usize = 5;
/// More cursors than this are not worth the time: the rest counts as never run.
const MOST_CURSORS: usize = 200_000;

/// What is known, and from where.
#[derive(Default)]
pub(super) struct Known {
    pub(super) experience: Experience,
    /// The finished runs that it is from.
    pub(super) runs: u64,
    /// The newest of all runs, if it has not ended: a `run` resumes it first.
    pub(super) unfinished: Option<i64>,
    /// Why the ledger could not be read, though it is there.
    pub(super) unreadable: Option<String>,
}

pub(super) fn known(plan: &SyncPlan) -> Known {
    if !compose::store_path(plan).exists() {
        return Known::default();
    }
    match compose::reader(plan).and_then(|reader| read(plan, &reader)) {
        Ok(known) => known,
        Err(problem) => Known { unreadable: Some(problem.text), ..Known::default() },
    }
}

fn read(plan: &SyncPlan, reader: &SqliteReader) -> Result<Known, Problem> {
    let name = plan.name.as_str();
    let history = reader.history(name, RUNS)?;
    // The same divisor for all: a child that had nothing to do in some runs has done so much less on average.
    let runs = history.iter().map(|row| row.runs).max().unwrap_or(0).max(1);
    let mut experience = Experience::default();
    for row in &history {
        let per_run = |number: i64| number as f64 / runs as f64;
        let learned = Learned {
            requests: per_run(row.requests),
            first_pages: per_run(row.chains),
            seconds: row.ms_per_request() / 1000.0,
        };
        experience.tasks.insert(row.task.clone(), learned);
    }
    for cursor in reader.cursors(name, MOST_CURSORS)? {
        // With windows the next run begins where all have been asked for.
        let Some(value) = cursor.reached.or(cursor.value) else { continue };
        experience.cursors.entry(cursor.task).or_default().push((cursor.combination.to_string(), value));
    }
    experience.owed = reader.owed(name)?.into_iter().collect();
    let newest = reader.runs(Some(name), 1)?.into_iter().next();
    let unfinished = newest.filter(|run| !matches!(run.state.as_str(), "complete" | "failed" | "undone"));
    Ok(Known {
        runs: if history.is_empty() { 0 } else { u64::try_from(runs).unwrap_or(0) },
        experience,
        unfinished: unfinished.map(|run| run.run),
        unreadable: None,
    })
}
