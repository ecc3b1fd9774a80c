//! What the end of a run means for what is wanted of its plan: pure, on its row.

use std::time::Duration;

use entities::{FinishedRun, FinishedSpec, Moment, PlanState, RunEnd, RunReport, TaskReport};

use crate::book::{LastRun, Row, Waits, Wanted};

/// The first wait before a run that broke is tried again; it doubles …
const FIRST_DELAY: Duration = Duration::from_secs(60);
/// … up to this.
const LONGEST_DELAY: Duration = Duration::from_secs(3_600);

/// The report of a run that ended when nobody was there, as its ledger tells it.
pub(crate) fn ended_unseen(row: &Row, last: Option<&FinishedRun>) -> RunReport {
    let task = |spec: &FinishedSpec| TaskReport {
        done: spec.done - spec.failed.min(spec.done),
        failed: spec.failed,
        skipped: spec.skipped,
        records: spec.records,
        replaced: 0,
    };
    let specs = last.map_or(&[][..], |last| &last.specs);
    RunReport {
        run: last.map(|last| last.run).or(row.run).unwrap_or_default(),
        plan: row.name.clone(),
        state: match last.map(|last| last.end) {
            Some(RunEnd::Failed) => PlanState::Failed,
            _ => PlanState::Complete,
        },
        // Nobody was there to count them.
        requests: 0,
        bytes: 0,
        seconds: 0.0,
        records: specs.iter().map(|(_, spec)| spec.records).sum(),
        tasks: specs.iter().map(|(name, spec)| (name.clone(), task(spec))).collect(),
        limits: Vec::new(),
        reason: None,
        resumes_at: None,
    }
}

/// Nothing is wanted of it any more, and what its schedule missed is forgotten.
pub(crate) fn forgo(row: &mut Row, overdue: Option<Moment>) {
    row.wanted = Wanted::Nothing;
    row.wish = Default::default();
    row.run = None;
    row.resumes = None;
    row.problem = None;
    row.tries = 0;
    row.due_from = overdue.or(row.due_from);
}

/// What the end of a run means for what is wanted.
pub(crate) fn end(row: &mut Row, report: &RunReport, now: Moment) {
    row.last = Some(LastRun { run: report.run, state: report.state, at: now, report: report.clone() });
    match report.state {
        PlanState::Complete | PlanState::Failed => {
            row.wanted = match row.wanted {
                Wanted::Pause | Wanted::PausedRun => Wanted::Pause,
                Wanted::Run | Wanted::Nothing => Wanted::Nothing,
            };
            row.wish = Default::default();
            row.run = None;
            row.resumes = None;
            row.problem = None;
            row.tries = 0;
        }
        PlanState::OutOfQuota if row.wanted == Wanted::Run => {
            let said = report.resumes_at.as_deref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
            let mut at = said.map_or(now + FIRST_DELAY, |at| Moment::from_millis(at.as_millisecond()));
            if report.requests > 0 {
                row.tries = 0;
            } else {
                // It was there too early, or somebody else was quicker.
                if row.tries > 0 {
                    at = at.max(now + delay(row.tries - 1));
                }
                row.tries += 1;
            }
            row.resumes = Some((at, Waits::Quota));
            row.problem = report.reason.clone();
        }
        PlanState::Broken if row.wanted == Wanted::Run => {
            let lasted = Duration::from_secs_f64(report.seconds.clamp(0.0, 1e9));
            if lasted > delay(row.tries) {
                row.tries = 0;
            }
            let why = report.reason.clone().unwrap_or_else(|| "the store or the system failed".to_owned());
            put_off(row, why, now);
        }
        _ => {}
    }
}

/// It goes on by itself, later each time.
pub(crate) fn put_off(row: &mut Row, why: String, now: Moment) {
    row.resumes = Some((now + delay(row.tries), Waits::Broken));
    row.tries = row.tries.saturating_add(1);
    row.problem = Some(why);
}

fn delay(tries: u32) -> Duration {
    FIRST_DELAY.saturating_mul(2_u32.saturating_pow(tries.min(16))).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests;
