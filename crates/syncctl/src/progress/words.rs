//! What happens, in words for people: one line each. Used by the bars and the plain lines alike.

use std::collections::BTreeMap;
use std::time::Duration;

use entities::{EngineEvent, Failure, LimitStatus, Limits, Moment, PlanStatus, SyncPlan, WaitReason};
use jiff::tz::TimeZone;

use crate::terminal::{clean, count, counted, duration, rate_words, shorten, until};

/// Waits shorter than this are part of the pace and are not told.
pub(super) const WORTH_TELLING: Duration = Duration::from_secs(2);

/// The words for one plan, told to people in one zone.
pub(super) struct Words {
    /// What each endpoint allows: the polite default is named as such.
    limits: BTreeMap<String, String>,
    /// Endpoints are named only where there are several.
    several: bool,
    zone: TimeZone,
}

impl Words {
    pub(super) fn new(plan: &SyncPlan, zone: TimeZone) -> Words {
        let limits = plan.endpoints.iter().map(|endpoint| {
            let words = match &endpoint.limits {
                Limits::Declared(limits) if limits.is_empty() => "no limit".to_owned(),
                limits => limits.in_force().iter().map(|l| l.text.clone()).collect::<Vec<_>>().join(", "),
            };
            (endpoint.name.clone(), words)
        });
        Words { limits: limits.collect(), several: plan.endpoints.len() > 1, zone }
    }

    /// Why a task's requests do not go out.
    pub(super) fn waiting(&self, reason: &WaitReason, now: Moment) -> String {
        match reason {
            WaitReason::Limit { endpoint, limit, how_long, left } => {
                // The engine may name the default by its numbers; people get its full name.
                let limit = match self.limits.get(endpoint) {
                    Some(words) if words.starts_with(limit.as_str()) && !words.contains(',') => words,
                    _ => limit,
                };
                let left = match left {
                    0 => String::new(),
                    left => format!(", {} left", count(u64::from(*left))),
                };
                if *how_long > WORTH_TELLING {
                    format!("limit {limit}{left}, {}", self.yet(*how_long, now))
                } else if left.is_empty() || how_long.is_zero() {
                    format!("limit {limit}{left}")
                } else {
                    // Why wait, if some are left? They are spaced, or too few for a dear request.
                    format!("limit {limit}{left}, the next goes in {}", duration(*how_long))
                }
            }
            WaitReason::Server { endpoint, how_long } => {
                format!("{} asked to wait, {}", clean(endpoint), self.yet(*how_long, now))
            }
            WaitReason::Concurrency { .. } => "concurrency".to_owned(),
            WaitReason::BackOff { how_long } => format!("next try in {}", duration(*how_long)),
            WaitReason::Parent { task } => format!("records of {}", clean(task)),
            WaitReason::Store => "the store".to_owned(),
        }
    }

    /// `23m 10s yet (until 14:05)`
    fn yet(&self, how_long: Duration, now: Moment) -> String {
        format!("{} yet{}", duration(how_long), until(how_long, now, &self.zone))
    }

    /// The most telling reason why a plan waits, if it does.
    pub(super) fn plan_waits_for(&self, status: &PlanStatus, now: Moment) -> Option<String> {
        plan_waits_for(status).map(|reason| self.waiting(reason, now))
    }

    /// One limit: `5000/h  1,234 used, 3,766 left`.
    pub(super) fn limit(&self, status: &LimitStatus, now: Moment) -> String {
        let LimitStatus { endpoint, limit, allowed, used, elsewhere, closed, learned_rate, .. } = status;
        let left = allowed.saturating_sub(*used).saturating_sub(*elsewhere);
        let of = if self.several { format!("{} ", clean(endpoint)) } else { String::new() };
        let mut words =
            format!("{of}{}  {} used, {} left", clean(limit), count((*used).into()), count(left.into()));
        if *elsewhere > 0 {
            words.push_str(&format!(", {} with other processes", count((*elsewhere).into())));
        }
        if let Some(closed) = closed.filter(|closed| !closed.is_zero()) {
            words.push_str(&format!("  closed, {}", self.yet(closed, now)));
        }
        if let Some(rate) = learned_rate {
            words.push_str(&format!("  learned: {} gets through", rate_words(*rate)));
        }
        words
    }

    /// An event worth a line of its own; retries and task ends that are too many are summed up elsewhere.
    pub(super) fn event(&self, event: &EngineEvent, now: Moment) -> Option<String> {
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
            EngineEvent::Failed { task, failure: why, .. } => {
                Some(format!("{task} failed: {}", failure(why)))
            }
            EngineEvent::Waiting { endpoint, failure: why, how_long, .. } if *how_long >= WORTH_TELLING => {
                let until = until(*how_long, now, &self.zone);
                Some(format!("{endpoint}: everyone waits {}{until}: {}", duration(*how_long), failure(why)))
            }
            EngineEvent::Learned { endpoint, limit, rate, .. } => Some(format!(
                "{endpoint}: refused although {limit} was kept; from now on {}",
                rate_words(*rate)
            )),
            EngineEvent::Waiting { .. } | EngineEvent::Retrying { .. } | EngineEvent::RunEnded { .. } => None,
            EngineEvent::TaskEnded { task, done, failed, records, .. } => {
                let failed = if *failed == 0 { String::new() } else { format!(", {failed} failed") };
                Some(format!(
                    "{task}: done, {}{failed}, {}",
                    counted(*done, "request"),
                    counted(*records, "row")
                ))
            }
            EngineEvent::WorkerRestarted { worker, why } => {
                Some(format!("worker {worker} was replaced: {}", clean(why)))
            }
        }
    }
}

/// The limit that is nearest to its end, if more than half of it is used.
pub(super) fn tightest(status: &PlanStatus) -> Option<&LimitStatus> {
    let used = |limit: &LimitStatus| {
        f64::from(limit.used.saturating_add(limit.elsewhere)) / f64::from(limit.allowed.max(1))
    };
    let worth = |limit: &&LimitStatus| used(limit) > 0.5 || limit.closed.is_some();
    status.limits.iter().filter(worth).max_by(|a, b| used(a).total_cmp(&used(b)))
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
pub(crate) fn failure(failure: &Failure) -> String {
    let mut line = format!("{}: {}", failure.kind.as_str(), shorten(&clean(&failure.message), 300));
    if let Some(request) = &failure.request {
        line.push_str(&format!(" ({})", shorten(&clean(request), 200)));
    }
    line
}

/// Retries since the last line about them, summed up.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    /// By task and name of the failure: how many, and the last message.
    counted: BTreeMap<(String, &'static str), (u64, String)>,
}

impl Retries {
    /// Counts a retry; other events are left alone.
    pub(crate) fn note(&mut self, event: &EngineEvent) {
        if let EngineEvent::Retrying { task, failure, .. } = event {
            let entry = self.counted.entry((task.clone(), failure.kind.as_str())).or_default();
            entry.0 += 1;
            entry.1.clone_from(&failure.message);
        }
    }

    /// One line per task and kind, and starts anew.
    pub(crate) fn take(&mut self) -> Vec<String> {
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
    use entities::{FailureClass, FailureKind, PlanName, PlanState};

    use super::*;

    /// 13:41:50.
    const NOW: Moment = Moment::from_millis(1_795_354_910_000);

    fn words(limits: &[(&str, &str)]) -> Words {
        let limits = limits.iter().map(|(name, words)| ((*name).to_owned(), (*words).to_owned()));
        Words { limits: limits.collect(), several: false, zone: TimeZone::UTC }
    }

    #[test]
    fn reasons_name_the_limit_how_long_and_what_is_left() {
        let words = words(&[("api", entities::POLITE_DEFAULT), ("two", "10/s, 5000/h")]);
        let limit = |endpoint: &str, limit: &str, seconds: f64, left: u32| WaitReason::Limit {
            endpoint: endpoint.to_owned(),
            limit: limit.to_owned(),
            how_long: Duration::from_secs_f64(seconds),
            left,
        };
        let server = |seconds| WaitReason::Server {
            endpoint: "api".to_owned(),
            how_long: Duration::from_secs(seconds),
        };
        for (reason, expected) in [
            (limit("api", "10/s", 0.05, 0), "limit 10/s (polite default)"),
            (limit("api", entities::POLITE_DEFAULT, 0.05, 0), "limit 10/s (polite default)"),
            (limit("two", "10/s", 0.05, 7), "limit 10/s, 7 left, the next goes in 50ms"),
            (limit("two", "10/s", 0.0, 7), "limit 10/s, 7 left"),
            (limit("new", "500/min", 12.0, 0), "limit 500/min, 12.0s yet"),
            (limit("two", "5000/h", 1_390.0, 0), "limit 5000/h, 23m 10s yet (until 14:05)"),
            (limit("two", "5000/h", 90_000.0, 0), "limit 5000/h, 1d 01h yet (until 2026-11-23 14:42)"),
            (server(5), "api asked to wait, 5.0s yet"),
            (server(1_390), "api asked to wait, 23m 10s yet (until 14:05)"),
            (WaitReason::BackOff { how_long: Duration::from_secs(9) }, "next try in 9.0s"),
            (WaitReason::Parent { task: "a\x1b".to_owned() }, "records of a\\u{1b}"),
        ] {
            assert_eq!(words.waiting(&reason, NOW), expected);
        }
    }

    #[test]
    fn limits_say_what_is_used_left_closed_and_learned() {
        let plain = LimitStatus {
            budget: "https://api.example.com".to_owned(),
            endpoint: "api".to_owned(),
            limit: "5000/h".to_owned(),
            window: Duration::from_secs(3600),
            allowed: 5_000,
            used: 1_234,
            elsewhere: 0,
            closed: None,
            next: None,
            learned_rate: None,
        };
        let closed = LimitStatus { closed: Some(Duration::from_secs(1_390)), ..plain.clone() };
        let shared = LimitStatus { elsewhere: 4_000, learned_rate: Some(28.2), ..plain.clone() };
        for (status, expected) in [
            (&plain, "5000/h  1,234 used, 3,766 left"),
            (&closed, "5000/h  1,234 used, 3,766 left  closed, 23m 10s yet (until 14:05)"),
            (&shared, "5000/h  1,234 used, 0 left, 4,000 with other processes  learned: 28/s gets through"),
        ] {
            assert_eq!(words(&[]).limit(status, NOW), expected);
        }
        let named = Words { several: true, ..words(&[]) };
        assert_eq!(named.limit(&plain, NOW), "api 5000/h  1,234 used, 3,766 left");
        let of = |limits: Vec<LimitStatus>| PlanStatus {
            plan: PlanName("p".into()),
            run: None,
            state: PlanState::Running,
            started: None,
            requests: 0,
            bytes: 0,
            tasks: Vec::new(),
            limits,
        };
        assert!(tightest(&of(vec![plain.clone()])).is_none());
        let status = of(vec![plain, closed, shared]);
        assert_eq!(tightest(&status).map(|limit| limit.elsewhere), Some(4_000));
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
        let line =
            words(&[]).event(&EngineEvent::Failed { plan, task: "bars".to_owned(), failure: why }, NOW);
        assert_eq!(line.as_deref(), Some("bars failed: status: the server answered 500\\u{1b}[2J\\nfake"));
    }
}
