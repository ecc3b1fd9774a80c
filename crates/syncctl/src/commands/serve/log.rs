//! What a server writes to stderr as things happen: a line per event, or a JSON object. Bounded: a plan that
//! fails a thousand times a second does not write a thousand lines, and a log that nobody reads does not stop the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use entities::Moment;
use serde_json::{Value, json};
use service::ServiceEvent;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::LogKind;
use crate::progress::words::Retries;
use crate::terminal::{clean_json, to_stderr};
use crate::told;

/// Lines about one plan in one second; more are counted. What begins and ends runs is always told.
const PER_SECOND: u64 = 20;
/// Lines that wait for a slow reader of stderr.
const WAITING: usize = 1024;
/// Retries are summed up over so many seconds.
const RETRIES_EVERY: u32 = 10;

/// The clock that lines bear.
type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Where lines go; clones share it.
#[derive(Clone)]
pub(super) struct Log {
    kind: LogKind,
    now: Clock,
    lines: SyncSender<String>,
    /// Lines that found no room, since the last one that did.
    lost: Arc<AtomicU64>,
}

/// The thread that writes them.
pub(super) struct Writer {
    written: Receiver<()>,
}

impl Writer {
    /// Waits until all is written that has been logged, but not for a reader that never comes. Every [`Log`] must be gone.
    pub(super) fn end(self) {
        // Its end is a closed channel. If that does not come in time, the thread ends with the process.
        let _ = self.written.recv_timeout(Duration::from_secs(1));
    }
}

impl Log {
    pub(super) fn start(kind: LogKind, now: Clock) -> anyhow::Result<(Log, Writer)> {
        let (lines, waiting) = sync_channel::<String>(WAITING);
        let (done, written) = channel::<()>();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            waiting.into_iter().for_each(|line| to_stderr(&line));
            drop(done);
        })?;
        Ok((Log { kind, now, lines, lost: Arc::default() }, Writer { written }))
    }

    /// Something of the server itself, also under `--log none`.
    pub(super) fn say(&self, text: &str, object: Value) {
        match self.kind {
            LogKind::Json => self.object(object),
            LogKind::Human | LogKind::None => self.write(text.to_owned()),
        }
    }

    /// Tells events until `stop`, and those that are there by then.
    pub(super) async fn follow(
        self,
        mut events: broadcast::Receiver<Arc<ServiceEvent>>,
        mut stop: oneshot::Receiver<()>,
    ) {
        if self.kind == LogKind::None {
            return;
        }
        let mut bounds = Bounds::default();
        let mut retries: BTreeMap<String, Retries> = BTreeMap::new();
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut passed = 0u32;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => self.event(&event, &mut bounds, &mut retries),
                    Err(RecvError::Lagged(missed)) => self.more(None, missed),
                    Err(RecvError::Closed) => break,
                },
                _ = seconds.tick() => {
                    self.tell_left_out(&mut bounds);
                    passed = passed.wrapping_add(1);
                    if passed.is_multiple_of(RETRIES_EVERY) {
                        self.tell_retries(&mut retries);
                    }
                }
                _ = &mut stop => break,
            }
        }
        while let Ok(event) = events.try_recv() {
            self.event(&event, &mut bounds, &mut retries);
        }
        self.tell_left_out(&mut bounds);
        self.tell_retries(&mut retries);
    }

    fn tell_left_out(&self, bounds: &mut Bounds) {
        for (plan, left_out) in bounds.next_second() {
            self.more(Some(&plan), left_out);
        }
    }

    fn tell_retries(&self, retries: &mut BTreeMap<String, Retries>) {
        for (plan, mut retries) in std::mem::take(retries) {
            retries.take().iter().for_each(|line| self.line(&format!("{plan}: {line}")));
        }
    }

    fn event(&self, event: &ServiceEvent, bounds: &mut Bounds, retries: &mut BTreeMap<String, Retries>) {
        let plan = event.plan().map(ToString::to_string).unwrap_or_default();
        if self.kind == LogKind::Human
            && let ServiceEvent::Engine(event @ entities::EngineEvent::Retrying { .. }) = event
        {
            return retries.entry(plan).or_default().note(event);
        }
        // Before the line that says that the run has ended.
        if matches!(event, ServiceEvent::Engine(entities::EngineEvent::RunEnded { .. }))
            && let Some(mut left) = retries.remove(&plan)
        {
            left.take().iter().for_each(|line| self.line(&format!("{plan}: {line}")));
        }
        if !matters(event) && !bounds.allow(&plan) {
            return;
        }
        let Ok(object) = serde_json::to_value(event) else { return };
        match self.kind {
            LogKind::Json => self.object(object),
            LogKind::Human | LogKind::None => {
                if let Some(line) = told::line(&object) {
                    self.line(&line);
                }
            }
        }
    }

    /// So many events were not told.
    fn more(&self, plan: Option<&str>, count: u64) {
        match self.kind {
            LogKind::Json => self.object(json!({"event": "more", "plan": plan, "count": count})),
            LogKind::Human | LogKind::None => {
                let of = plan.map(|plan| format!("{plan}: ")).unwrap_or_default();
                self.line(&format!("{of}{count} more events were too many to show"));
            }
        }
    }

    fn line(&self, line: &str) {
        let at = (self.now)().to_rfc3339();
        self.write(format!("{at} {line}"));
    }

    fn object(&self, mut object: Value) {
        object["at"] = json!((self.now)().to_rfc3339());
        self.write(clean_json(&object.to_string()));
    }

    fn write(&self, line: String) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let noted = lost == 0 || self.lines.try_send(format!("({lost} lines before this were lost)")).is_ok();
        if !noted || matches!(self.lines.try_send(line), Err(TrySendError::Full(_))) {
            self.lost.fetch_add(if noted { 1 } else { lost + 1 }, Ordering::Relaxed);
        }
    }
}

/// What begins and ends, and what somebody did.
fn matters(event: &ServiceEvent) -> bool {
    use entities::EngineEvent;
    use service::PlanEvent;
    match event {
        ServiceEvent::Engine(event) => {
            matches!(event, EngineEvent::RunStarted { .. } | EngineEvent::RunEnded { .. })
        }
        ServiceEvent::Plan(event) => {
            !matches!(event, PlanEvent::PlanState { .. } | PlanEvent::StartFailed { .. })
        }
    }
}

/// How many lines each plan has had in this second.
#[derive(Debug, Default)]
struct Bounds {
    told: BTreeMap<String, u64>,
}

impl Bounds {
    /// Whether this plan may have one more.
    fn allow(&mut self, plan: &str) -> bool {
        let told = self.told.entry(plan.to_owned()).or_default();
        *told += 1;
        *told <= PER_SECOND
    }

    /// The plans that would have had more, and how many.
    fn next_second(&mut self) -> Vec<(String, u64)> {
        let over = |(plan, told): (String, u64)| (told > PER_SECOND).then(|| (plan, told - PER_SECOND));
        std::mem::take(&mut self.told).into_iter().filter_map(over).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_gets_so_many_lines_a_second_and_a_count() {
        let mut bounds = Bounds::default();
        let allowed = (0..1000).filter(|_| bounds.allow("noisy")).count() as u64;
        assert_eq!(allowed, PER_SECOND);
        assert!(bounds.allow("quiet"));
        assert_eq!(bounds.next_second(), [("noisy".to_owned(), 980)]);
        assert!(bounds.allow("noisy"));
        assert!(bounds.next_second().is_empty());
    }
}
