//! Bars on a terminal: one per task, and an overall line below them.

use std::time::Duration;

use entities::{EngineEvent, Moment, PlanStatus, SyncPlan, TaskStatus};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Progress;
use super::pace::{Counts, Pace};
use super::words::{Retries, Words};
use crate::context::Context;
use crate::terminal::{count, counted, duration, rate, shorten};

/// More tasks than this share the overall line only: a screen has so many lines.
const MOST_BARS: usize = 20;
/// So many limits have a line of their own.
const MOST_LIMITS: usize = 6;
/// Retries are summed up this often.
const RETRIES_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Bars {
    screen: MultiProgress,
    tasks: Vec<TaskBar>,
    overall: ProgressBar,
    /// Below: a line for each limit, made when the first status names it.
    limits: Vec<ProgressBar>,
    pace: Pace,
    words: Words,
    retries: Retries,
    retries_told: Option<Moment>,
}

struct TaskBar {
    name: String,
    bar: ProgressBar,
    pace: Pace,
}

impl Bars {
    pub(super) fn new(plan: &SyncPlan, words: Words, context: &Context) -> Bars {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let width = plan.tasks.iter().map(|task| task.name.chars().count()).max().unwrap_or(0).min(24);
        let style = task_style(width, context.colour);
        let tasks = plan
            .tasks
            .iter()
            .take(MOST_BARS)
            .map(|task| {
                let bar = screen.add(ProgressBar::new(1).with_style(style.clone()));
                bar.set_prefix(shorten(&task.name, 24).into_owned());
                TaskBar { name: task.name.clone(), bar, pace: Pace::default() }
            })
            .collect();
        let overall = screen.add(ProgressBar::new(0).with_style(overall_style()));
        Bars {
            screen,
            tasks,
            overall,
            limits: Vec::new(),
            pace: Pace::default(),
            words,
            retries: Retries::default(),
            retries_told: None,
        }
    }

    fn line(&self, line: &str) {
        // A terminal that cannot be written to has nobody who reads it.
        let _ = self.screen.println(line);
    }
}

impl Progress for Bars {
    fn interval(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn status(&mut self, status: &PlanStatus, now: Moment) {
        for TaskBar { name, bar, pace } in &mut self.tasks {
            let Some(task) = status.tasks.iter().find(|task| task.name == *name) else {
                // Not part of this run (`run PLAN TASK`).
                bar.set_message("not asked for");
                continue;
            };
            pace.sample(now, Counts { requests: task.done, records: task.records });
            bar.set_length(task.known.max(1));
            bar.set_position(if task.ended { task.known.max(1) } else { task.done });
            bar.set_message(task_words(task, pace, &self.words, now));
        }
        let records = status.tasks.iter().map(|task| task.records).sum();
        self.pace.sample(now, Counts { requests: status.requests, records });
        self.overall.set_message(overall_words(status, &self.pace, &self.words, now));

        for (index, limit) in status.limits.iter().take(MOST_LIMITS).enumerate() {
            if index == self.limits.len() {
                self.limits.push(self.screen.add(ProgressBar::new(0).with_style(overall_style())));
            }
            self.limits[index].set_message(self.words.limit(limit, now));
        }

        let told = *self.retries_told.get_or_insert(now);
        if now.since(told) >= RETRIES_EVERY {
            self.retries_told = Some(now);
            for line in self.retries.take() {
                self.line(&line);
            }
        }
    }

    fn event(&mut self, event: &EngineEvent, now: Moment) {
        self.retries.note(event);
        // The bar itself shows that a task has ended.
        if !matches!(event, EngineEvent::TaskEnded { .. })
            && let Some(line) = self.words.event(event, now)
        {
            self.line(&line);
        }
    }

    fn say(&mut self, line: &str) {
        self.line(line);
    }

    fn finish(&mut self, _now: Moment) {
        for line in self.retries.take() {
            self.line(&line);
        }
        for task in &self.tasks {
            task.bar.finish_and_clear();
        }
        self.overall.finish_and_clear();
        for limit in &self.limits {
            limit.finish_and_clear();
        }
        // Clearing what is not there cannot fail in a way that matters.
        let _ = self.screen.clear();
    }
}

fn task_style(name_width: usize, colour: bool) -> ProgressStyle {
    let bar = if colour { "{bar:20.cyan/dim}" } else { "{bar:20}" };
    ProgressStyle::with_template(&format!("{{prefix:{}}} {bar} {{wide_msg}}", name_width.max(1)))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

fn overall_style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn task_words(task: &TaskStatus, pace: &Pace, words: &Words, now: Moment) -> String {
    let mut out = format!("{}/{}  {}", count(task.done), count(task.known), counted(task.records, "row"));
    if task.failed > 0 {
        out.push_str(&format!("  {} failed", count(task.failed)));
    }
    if task.skipped > 0 {
        out.push_str(&format!("  {} skipped", count(task.skipped)));
    }
    if task.ended {
        out.push_str("  done");
        return out;
    }
    // Narrow terminals cut the end off: what matters most stands first.
    if let Some(reason) = &task.waits_for {
        out.push_str(&format!("  waits for {}", words.waiting(reason, now)));
    }
    if let Some(eta) = pace.eta(task.known.saturating_sub(task.done)) {
        out.push_str(&format!("  {} left", duration(eta)));
    }
    if pace.records() > 0.0 {
        out.push_str(&format!("  {} rows/s", rate(pace.records())));
    }
    out
}

fn overall_words(status: &PlanStatus, pace: &Pace, words: &Words, now: Moment) -> String {
    let records: u64 = status.tasks.iter().map(|task| task.records).sum();
    let done: u64 = status.tasks.iter().map(|task| task.done).sum();
    let known: u64 = status.tasks.iter().map(|task| task.known).sum();
    let mut out = format!(
        "{}  {} ({}/s)  {} ({}/s)",
        status.started.map(|started| duration(now.since(started))).unwrap_or_default(),
        counted(status.requests, "request"),
        rate(pace.requests()),
        counted(records, "row"),
        rate(pace.records()),
    );
    if let Some(eta) = pace.eta(known.saturating_sub(done)) {
        out.push_str(&format!("  {} left", duration(eta)));
    }
    if status.state == entities::PlanState::Draining {
        out.push_str("  draining");
    } else if let Some(reason) = words.plan_waits_for(status, now) {
        out.push_str(&format!("  waits for {reason}"));
    }
    out
}
