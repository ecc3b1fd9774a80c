//! What earlier runs teach, read from the plan's ledger, and what is used of the limits, read from the budgets.
//! Nothing here can fail: what is not there, or cannot be read now, only leaves less to say.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use engine::{Experience, Learned, Standing, Usage};
use entities::{Moment, SyncPlan};
use store::Reader;

use crate::compose;
use crate::context::Context;
use crate::exit::Problem;
use crate::plan_file;

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
    /// Endpoints of whose limits it is not known what is used: a credential is not at hand.
    pub(super) unnamed: Vec<String>,
    /// Tokens that other processes have leased: endpoint, limit, how many.
    pub(super) elsewhere: Vec<(String, String, u32)>,
    /// Why the budgets could not be read, though they are there.
    pub(super) no_budgets: Option<String>,
}

pub(super) fn known(plan: &SyncPlan, path: &Path, context: &Context) -> Known {
    // A store in a database is asked, if that can be done without a command.
    let secrets = plan_file::secrets_at_hand(plan, path, context);
    let learned = compose::reader(plan, &secrets).transpose();
    let mut known = match learned.map(|reader| reader.and_then(|reader| read(plan, &reader))) {
        None => Known::default(),
        Some(Ok(known)) => known,
        Some(Err(problem)) => Known { unreadable: Some(problem.text), ..Known::default() },
    };
    match compose::standing(plan, path, context) {
        Ok(Some(standing)) => {
            known.experience.usage = usage(plan, &standing, context.now());
            let elsewhere = standing.limits.iter().filter(|limit| limit.elsewhere > 0);
            known.elsewhere = elsewhere
                .map(|limit| (limit.endpoint.clone(), limit.limit.clone(), limit.elsewhere))
                .collect();
            known.unnamed = standing.unknown;
        }
        Ok(None) => {}
        Err(problem) => known.no_budgets = Some(problem.text),
    }
    known
}

/// What is used of each limit, by its place in the plan.
fn usage(plan: &SyncPlan, standing: &Standing, now: Moment) -> BTreeMap<(usize, usize), Usage> {
    let mut usage = BTreeMap::new();
    for (status, returns) in standing.limits.iter().zip(&standing.returns) {
        let Some(endpoint) = plan.endpoints.iter().position(|own| own.name == status.endpoint) else {
            continue;
        };
        let limits = plan.endpoints[endpoint].limits.in_force();
        let Some(place) = limits.iter().position(|limit| limit.text == status.limit) else { continue };
        // The rate is told in requests; tokens are what comes and goes.
        let spec = plan.tasks.iter().find(|spec| spec.endpoint.0 as usize == endpoint);
        let cost = spec.and_then(|spec| limits[place].cost_of(spec).reserve).unwrap_or(1).max(1);
        let gap = status
            .learned_rate
            .and_then(|rate| Duration::try_from_secs_f64(1.0 / (rate * f64::from(cost))).ok());
        let of = Usage { held: returns.clone(), closed: status.closed.map(|closed| now + closed), gap };
        usage.entry((endpoint, place)).or_insert(of);
    }
    usage
}

fn read(plan: &SyncPlan, reader: &Reader) -> Result<Known, Problem> {
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
        ..Known::default()
    })
}
