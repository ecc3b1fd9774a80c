//! What happens, in words for people: one line each. Used by the bars and the plain lines alike.

use std::collections::BTreeMap;
use std::time::Duration;

use entities::{EngineEvent, Failure, Limits, PlanStatus, SyncPlan, WaitReason};

use crate::terminal::{clean, counted, duration, shorten};

/// Waits shorter than this are part of the pace and are not told.
pub(super) const WORTH_TELLING: Duration = Duration::from_secs(2);

/// What each endpoint allows, in words: the polite default is named as such.
pub(super) type LimitWords = BTreeMap<String, String>;

/// What each endpoint of a plan allows.
pub(super) fn limits_of(plan: &SyncPlan) -> LimitWords {
    plan.endpoints
        .iter()
        .map(|endpoint| {
            let words = match &endpoint.limits {
                Limits::Declared(limits) if limits.is_empty() => "no limit".to_owned(),
                limits => limits.in_force().iter().map(|l| l.text.clone()).collect::<Vec<_>>().join(", "),
            };
            (endpoint.name.clone(), words)
        })
        .collect()
}

/// Why a task's requests do not go out.
pub(super) fn waiting(reason: &WaitReason, limits: &LimitWords) -> String {
    match reason {
        WaitReason::Limit { endpoint, limit, how_long, .. } => {
            // The engine may name the default by its numbers; people get its full name.
            let limit = match limits.get(endpoint) {
                Some(words) if words.starts_with(limit.as_str()) && !words.contains(',') => words,
                _ => limit,
            };
            if *how_long > WORTH_TELLING {
                format!("limit {limit}, {} yet", duration(*how_long))
            } else {
                format!("limit {limit}")
            }
        }
        WaitReason::Server { endpoint, how_long } => {
            format!("{} asked to wait, {} yet", clean(endpoint), duration(*how_long))
        }
        WaitReason::Concurrency { .. } => "concurrency".to_owned(),
        WaitReason::BackOff { how_long } => format!("next try in {}", duration(*how_long)),
        WaitReason::Parent { task } => format!("records of {}", clean(task)),
        WaitReason::Store => "the store".to_owned(),
    }
}

/// The most telling reason why a plan waits: a server's wish before limits before the rest.
pub(super) fn plan_waits_for(status: &PlanStatus) -> Option<&WaitReason> {
    let rank = |reason: &WaitReason| match reason {
        WaitReason::Server { .. } => 0,
        WaitReason::Limit { .. } => 1,
        WaitReason::BackOff { .. } => 2,
        WaitReason::Store => 3,
        WaitReason::Concurrency { .. } => 4,
        WaitReason::Parent { .. } => 5,
    };
    status
        .tasks
        .iter()
        .filter(|task| !task.ended)
        .filter_map(|task| task.waits_for.as_ref())
        .min_by_key(|r| rank(r))
}

/// One failure as one line: `connect: … (GET https://…)`.
pub(super) fn failure(failure: &Failure) -> String {
    let mut line = format!("{}: {}", failure.kind.as_str(), shorten(&clean(&failure.message), 300));
    if let Some(request) = &failure.request {
        line.push_str(&format!(" ({})", shorten(&clean(request), 200)));
    }
    line
}

/// An event worth a line of its own; retries and task ends that are too many are summed up elsewhere.
pub(super) fn event(event: &EngineEvent) -> Option<String> {
    match event {
        EngineEvent::RunStarted { plan, run, resumed, changed } => {
            let mut line = match resumed {
                true => format!("{plan}: run {run} is resumed"),
                false => format!("{plan}: run {run}"),
            };
            if !changed.is_empty() {
                line.push_str(&format!(", and not all is as it was: {}", clean(&changed.join("; "))));
            }
            Some(line)
        }
        EngineEvent::Failed { task, failure: why, .. } => Some(format!("{task} failed: {}", failure(why))),
        EngineEvent::Waiting { endpoint, failure: why, how_long, .. } if *how_long >= WORTH_TELLING => {
            Some(format!("{endpoint}: everyone waits {}: {}", duration(*how_long), failure(why)))
        }
        EngineEvent::Learned { endpoint, limit, rate, .. } => {
            Some(format!("{endpoint}: refused although {limit} was kept; from now on {rate:.1} a second"))
        }
        EngineEvent::Waiting { .. } | EngineEvent::Retrying { .. } | EngineEvent::RunEnded { .. } => None,
        EngineEvent::TaskEnded { task, done, failed, records, .. } => {
            let failed = if *failed == 0 { String::new() } else { format!(", {failed} failed") };
            Some(format!("{task}: done, {}{failed}, {}", counted(*done, "request"), counted(*records, "row")))
        }
        EngineEvent::WorkerRestarted { worker, why } => {
            Some(format!("worker {worker} was replaced: {}", clean(why)))
        }
    }
}

/// Retries since the last line about them, summed up.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// By task and name of the failure: how many, and the last message.
    counted: BTreeMap<(String, &'static str), (u64, String)>,
}

impl Retries {
    /// Counts a retry; other events are left alone.
    pub(super) fn note(&mut self, event: &EngineEvent) {
        if let EngineEvent::Retrying { task, failure, .. } = event {
            let entry = self.counted.entry((task.clone(), failure.kind.as_str())).or_default();
            entry.0 += 1;
            entry.1.clone_from(&failure.message);
        }
    }

    /// One line per task and kind, and starts anew.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.counted)
            .into_iter()
            .map(|((task, kind), (times, last))| {
                let times = if times == 1 { "1 retry".to_owned() } else { format!("{times} retries") };
                format!("{task}: {times}, {kind}: {}", shorten(&clean(&last), 200))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use entities::{FailureClass, FailureKind, PlanName};

    use super::*;

    #[test]
    fn reasons_name_the_polite_default() {
        let limits = LimitWords::from([("api".to_owned(), entities::POLITE_DEFAULT.to_owned())]);
        let reason = |limit: &str, seconds: f64| WaitReason::Limit {
            endpoint: "api".to_owned(),
            limit: limit.to_owned(),
            how_long: Duration::from_secs_f64(seconds),
            left: 0,
        };
        assert_eq!(waiting(&reason("10/s", 0.05), &limits), "limit 10/s (polite default)");
        assert_eq!(waiting(&reason(entities::POLITE_DEFAULT, 0.05), &limits), "limit 10/s (polite default)");
        assert_eq!(waiting(&reason("500/min", 12.0), &LimitWords::new()), "limit 500/min, 12.0s yet");
    }

    #[test]
    fn retries_are_summed_up_and_failures_are_one_line() {
        let plan = PlanName("p".into());
        let why = Failure::new(
            FailureClass::Transient,
            FailureKind::Status,
            "the server answered 500\x1b[2J\nfake",
        );
        let mut retries = Retries::default();
        for attempt in 1..=3 {
            retries.note(&EngineEvent::Retrying {
                plan: plan.clone(),
                task: "bars".to_owned(),
                failure: why.clone(),
                attempt,
                after: Duration::from_secs(1),
            });
        }
        assert_eq!(retries.take(), ["bars: 3 retries, status: the server answered 500\\u{1b}[2J\\nfake"]);
        assert!(retries.take().is_empty());
        let line = event(&EngineEvent::Failed { plan, task: "bars".to_owned(), failure: why });
        assert_eq!(line.as_deref(), Some("bars failed: status: the server answered 500\\u{1b}[2J\\nfake"));
    }
}
