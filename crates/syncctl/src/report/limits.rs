//! How a run used its limits, and what refusals taught: a part of the report for people.

use std::time::Duration;

use entities::{LimitReport, RunReport};

use crate::terminal::{clean, count, duration, rate_words, table};

/// The table of limits, and a line for each one that something was learned of.
pub(super) fn text(report: &RunReport) -> String {
    if report.limits.is_empty() {
        return String::new();
    }
    let head = ["limit", "", "allowed", "used", "peak", "waits", "waited", "429s"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for limit in &report.limits {
        rows.push(vec![
            clean(&limit.endpoint).into_owned(),
            clean(&limit.limit).into_owned(),
            count(limit.allowed),
            count(limit.used),
            count(limit.peak),
            count(limit.waits),
            duration(Duration::try_from_secs_f64(limit.waited_seconds).unwrap_or_default()),
            count(limit.refused),
        ]);
    }
    let mut out = format!("\n{}", table(&rows, &[false, false, true, true, true, true, true, true]));
    for limit in &report.limits {
        if let Some(rate) = limit.learned_rate {
            out.push_str(&format!("\n{}\n", clean(&learned(limit, rate))));
        }
        if limit.unread {
            out.push_str(&format!("\n{}\n", clean(&unread(limit))));
        }
    }
    out
}

/// `api: it refused requests although 100/s was kept; 28/s gets through. …`
///
/// No limit to write is suggested: what was learned belongs to the limit as the plan says it, and another
/// would begin with a burst again.
fn learned(limit: &LimitReport, rate: f64) -> String {
    format!(
        "{}: it refused requests although {} was kept; {} gets through. Later runs begin with that, for 30 days: \
         leave the plan as it is",
        limit.endpoint,
        limit.limit,
        rate_words(rate)
    )
}

/// A `cost` that finds nothing leaves the limit unkept, and slows the task down.
fn unread(limit: &LimitReport) -> String {
    format!(
        "{}: no answer said what it costs under {}: `cost` found no number in any. Look at one, and at the jq",
        limit.endpoint, limit.limit
    )
}

#[cfg(test)]
mod tests {
    use entities::{PlanName, PlanState, RunId};

    use super::*;

    fn of(limit: &str, learned_rate: Option<f64>) -> LimitReport {
        LimitReport {
            endpoint: "api".to_owned(),
            limit: limit.to_owned(),
            allowed: 4_500,
            used: 12_345,
            peak: 4_500,
            waits: 3,
            waited_seconds: 3_900.0,
            refused: 2,
            learned_rate,
            unread: limit == "900/min",
        }
    }

    #[test]
    fn each_limit_has_its_row() {
        let report = RunReport {
            run: RunId(1),
            plan: PlanName("p".into()),
            state: PlanState::Complete,
            requests: 1,
            records: 1,
            bytes: 1,
            seconds: 1.0,
            tasks: Default::default(),
            limits: vec![of("5000/h", None), of("100/s", Some(28.0)), of("900/min", None)],
            reason: None,
            resumes_at: None,
        };
        assert_eq!(
            text(&report),
            "
  limit           allowed    used   peak  waits  waited  429s
  api    5000/h     4,500  12,345  4,500      3  1h 05m     2
  api    100/s      4,500  12,345  4,500      3  1h 05m     2
  api    900/min    4,500  12,345  4,500      3  1h 05m     2

api: it refused requests although 100/s was kept; 28/s gets through. Later runs begin with that, for 30 days: leave the plan as it is

api: no answer said what it costs under 900/min: `cost` found no number in any. Look at one, and at the jq
"
        );
    }
}
