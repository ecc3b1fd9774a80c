//! Counters that only grow, from numbers that begin anew with each start of a run.

use entities::{PlanStatus, RunReport};

use crate::Totals;

/// What of a run has been counted. Requests and bytes begin at zero with each start; records and failures are those
/// of the whole run, so what it had when it was resumed is not counted again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    requests: u64,
    bytes: u64,
    records: u64,
    failed: u64,
}

impl Counted {
    /// Of a run that has just begun; `status` is the first look at it, `resumed`: it went on.
    pub(crate) fn from(status: &PlanStatus, resumed: bool) -> Counted {
        if !resumed {
            return Counted::default();
        }
        let first = of_status(status);
        Counted { requests: 0, bytes: 0, ..first }
    }

    /// Counts what a look shows to be new.
    pub(crate) fn look(&mut self, status: &PlanStatus, totals: &mut Totals) {
        self.count(of_status(status), totals);
    }

    /// Counts what the end of the run shows to be new.
    pub(crate) fn end(&mut self, report: &RunReport, totals: &mut Totals) {
        let ended = Counted {
            requests: report.requests,
            bytes: report.bytes,
            records: report.records,
            failed: report.tasks.values().map(|task| task.failed).sum(),
        };
        self.count(ended, totals);
        totals.refused += refused(report);
        *totals.runs.entry(report.state.as_str()).or_default() += 1;
    }

    fn count(&mut self, now: Counted, totals: &mut Totals) {
        let grow = |total: &mut u64, before: &mut u64, now: u64| {
            *total += now.saturating_sub(*before);
            *before = now.max(*before);
        };
        grow(&mut totals.requests, &mut self.requests, now.requests);
        grow(&mut totals.bytes, &mut self.bytes, now.bytes);
        grow(&mut totals.records, &mut self.records, now.records);
        grow(&mut totals.failed, &mut self.failed, now.failed);
    }
}

fn of_status(status: &PlanStatus) -> Counted {
    Counted {
        requests: status.requests,
        bytes: status.bytes,
        records: status.tasks.iter().map(|task| task.records).sum(),
        failed: status.tasks.iter().map(|task| task.failed).sum(),
    }
}

/// Answers that said we were over a limit. Each limit of an endpoint counts them all.
fn refused(report: &RunReport) -> u64 {
    let mut by_endpoint = std::collections::BTreeMap::<&str, u64>::new();
    for limit in &report.limits {
        let refused = by_endpoint.entry(&limit.endpoint).or_default();
        *refused = limit.refused.max(*refused);
    }
    by_endpoint.into_values().sum()
}
