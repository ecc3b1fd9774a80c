//! Plain lines, for logs: one about every five seconds in which something changed, and events.

use std::time::Duration;

use entities::{EngineEvent, Moment, PlanStatus};

use super::Progress;
use super::pace::{Counts, Pace};
use super::words::{self, Retries, Words};
use crate::terminal::{count, counted, duration, rate, to_stderr};

const EVERY: Duration = Duration::from_secs(5);

/// Failures told one by one; the rest is counted.
const TOLD_FAILURES: u64 = 20;

pub(super) struct Plain {
    words: Words,
    pace: Pace,
    retries: Retries,
    /// When the last line was written; none before the first status.
    told: Option<Moment>,
    last: String,
    failures: u64,
}

impl Plain {
    pub(super) fn new(words: Words) -> Plain {
        Plain {
            words,
            pace: Pace::default(),
            retries: Retries::default(),
            told: None,
            last: String::new(),
            failures: 0,
        }
    }

    fn tell_retries(&mut self) {
        for line in self.retries.take() {
            to_stderr(&line);
        }
        if self.failures > TOLD_FAILURES {
            to_stderr(&format!("{} more failed", counted(self.failures - TOLD_FAILURES, "request")));
            self.failures = TOLD_FAILURES;
        }
    }
}

impl Progress for Plain {
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn status(&mut self, status: &PlanStatus, now: Moment) {
        let records = status.tasks.iter().map(|task| task.records).sum();
        self.pace.sample(now, Counts { requests: status.requests, records });
        let told = *self.told.get_or_insert(now);
        if now.since(told) < EVERY {
            return;
        }
        self.told = Some(now);
        self.tell_retries();
        let (changing, line) = overall(status, &self.pace, &self.words, now);
        if changing != self.last {
            to_stderr(&line);
            self.last = changing;
        }
    }

    fn event(&mut self, event: &EngineEvent, now: Moment) {
        self.retries.note(event);
        if matches!(event, EngineEvent::Failed { .. }) {
            self.failures += 1;
            if self.failures > TOLD_FAILURES {
                return;
            }
        }
        if let Some(line) = self.words.event(event, now) {
            to_stderr(&line);
        }
    }

    fn say(&mut self, line: &str) {
        to_stderr(line);
    }

    fn finish(&mut self, _now: Moment) {
        self.tell_retries();
    }
}

/// What tells one state of the run from another, and the line about it.
fn overall(status: &PlanStatus, pace: &Pace, words: &Words, now: Moment) -> (String, String) {
    let records: u64 = status.tasks.iter().map(|task| task.records).sum();
    let done: u64 = status.tasks.iter().map(|task| task.done).sum();
    let known: u64 = status.tasks.iter().map(|task| task.known).sum();
    let waits = words.plan_waits_for(status, now).unwrap_or_default();
    let mut line = format!(
        "{}  {}/{} requests, {}",
        status.started.map(|started| duration(now.since(started))).unwrap_or_default(),
        count(done),
        count(known),
        counted(records, "row"),
    );
    line.push_str(&format!(" · {} req/s, {} rows/s", rate(pace.requests()), rate(pace.records())));
    if let Some(eta) = pace.eta(known.saturating_sub(done)) {
        line.push_str(&format!(" · about {} left", duration(eta)));
    }
    if !waits.is_empty() {
        line.push_str(&format!(" · waits for {waits}"));
    }
    if let Some(limit) = words::tightest(status) {
        line.push_str(&format!(" · {}", words.limit(limit, now)));
    }
    let unfinished: Vec<String> = status
        .tasks
        .iter()
        .filter(|task| !task.ended && task.done + task.in_flight > 0)
        .map(|task| format!("{} {}/{}", task.name, count(task.done), count(task.known)))
        .take(6)
        .collect();
    if status.tasks.len() > 1 && !unfinished.is_empty() {
        line.push_str(&format!(" · {}", unfinished.join(", ")));
    }
    let reason = words::plan_waits_for(status).map(std::mem::discriminant);
    (format!("{done}/{known} {records} {} {reason:?}", status.requests), line)
}
