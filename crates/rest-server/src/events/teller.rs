//! Hears what the service says, and tells it: at most a chunk each tenth of a second, and no flood of one kind.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use entities::{EngineEvent, PlanName, PlanState};
use serde_json::{Value, json};
use service::{PlanEvent, PlanView, Service, ServiceEvent};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior};

use super::Hub;
use super::chunk::{Chunk, frame, heartbeat};

/// How long events are gathered.
const GATHER: Duration = Duration::from_millis(100);
/// How often the numbers of runs are told.
const PROGRESS: Duration = Duration::from_secs(1);
/// How often something is sent at least.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events of one kind and plan told in a chunk, where there may be thousands; the others are counted. Nobody reads a
/// hundred lines a second.
const OF_A_KIND: usize = 10;
/// All of those in a chunk: a listener who lags behind keeps chunks in memory.
const OF_ALL: usize = 50;

/// What has been heard since the last chunk.
#[derive(Default)]
struct Heard {
    events: Vec<(&'static str, Option<PlanName>, String)>,
    /// Of kinds that may be many: told and not told.
    floods: BTreeMap<(PlanName, &'static str), Flood>,
    /// Told of all such kinds.
    told: usize,
    /// When the chunk is sent.
    due: Option<Instant>,
}

#[derive(Default)]
struct Flood {
    told: usize,
    untold: usize,
}

pub(super) async fn run(hub: &Hub, service: Service) {
    let mut events = service.subscribe();
    let mut progress = tokio::time::interval(PROGRESS);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut beat = tokio::time::interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Heard::default();
    let mut ran = false;
    loop {
        let due = heard.due;
        let gathered = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => heard.add(&event),
                Err(RecvError::Lagged(_)) => heard.lost(hub),
                Err(RecvError::Closed) => break,
            },
            () = gathered => hub.send(heard.take()),
            _ = progress.tick() => {
                // Nobody listens: nobody asks.
                if hub.listeners() > 0 {
                    ran = tell_progress(hub, &service, ran).await;
                }
            }
            _ = beat.tick() => hub.send_passing(Chunk::new(vec![heartbeat()])),
        }
    }
    if heard.due.is_some() {
        hub.send(heard.take());
    }
}

impl Heard {
    fn add(&mut self, event: &ServiceEvent) {
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
        let (name, may_flood) = name_of(event);
        if may_flood && let Some(plan) = event.plan() {
            let flood = self.floods.entry((plan.clone(), name)).or_default();
            if flood.told == OF_A_KIND || self.told == OF_ALL {
                flood.untold += 1;
                return;
            }
            flood.told += 1;
            self.told += 1;
        }
        if name == "run_ended" {
            // It is the last that is told of a run.
            self.count_out(event.plan());
        }
        match serde_json::to_string(event) {
            Ok(data) => self.events.push((name, event.plan().cloned(), data)),
            Err(error) => tracing::error!(%error, name, "an event cannot be written"),
        }
    }

    /// The service told more than we heard.
    fn lost(&mut self, hub: &Hub) {
        hub.ring(super::ring::Ring::forget);
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
        self.events.push(("gap", None, "{\"event\":\"gap\"}".to_owned()));
    }

    /// Says how many were not told, of one plan or of all.
    fn count_out(&mut self, of: Option<&PlanName>) {
        let counted = |plan: &PlanName| of.is_none_or(|of| of == plan);
        for ((plan, event), flood) in self.floods.extract_if(.., |(plan, _), _| counted(plan)) {
            if flood.untold > 0 {
                let data = json!({"plan": plan, "event": event, "count": flood.untold}).to_string();
                self.events.push(("more", Some(plan), data));
            }
        }
    }

    fn take(&mut self) -> Vec<(&'static str, Option<PlanName>, String)> {
        self.count_out(None);
        std::mem::take(self).events
    }
}

/// An event's name as its JSON says it, and whether there may be thousands a second.
fn name_of(event: &ServiceEvent) -> (&'static str, bool) {
    match event {
        ServiceEvent::Engine(event) => match event {
            EngineEvent::RunStarted { .. } => ("run_started", false),
            EngineEvent::Retrying { .. } => ("retrying", true),
            EngineEvent::Waiting { .. } => ("waiting", true),
            EngineEvent::Learned { .. } => ("learned", false),
            EngineEvent::Failed { .. } => ("failed", true),
            EngineEvent::TaskEnded { .. } => ("task_ended", false),
            EngineEvent::WorkerRestarted { .. } => ("worker_restarted", false),
            EngineEvent::RunEnded { .. } => ("run_ended", false),
        },
        ServiceEvent::Plan(event) => match event {
            PlanEvent::PlanAdded { .. } => ("plan_added", false),
            PlanEvent::PlanReplaced { .. } => ("plan_replaced", false),
            PlanEvent::PlanRemoved { .. } => ("plan_removed", false),
            PlanEvent::PlanState { .. } => ("plan_state", false),
            PlanEvent::StartFailed { .. } => ("start_failed", false),
        },
    }
}

/// Tells the numbers of the plans that run, and once more when the last has ended. Whether any runs.
async fn tell_progress(hub: &Hub, service: &Service, ran: bool) -> bool {
    let Ok(snapshot) = service.snapshot().await else { return false };
    let live: HashMap<&PlanName, PlanState> =
        snapshot.live.iter().map(|plan| (&plan.plan, plan.state)).collect();
    let running = |plan: &&PlanView| live.contains_key(&plan.name);
    let runs = snapshot.plans.iter().any(|plan| running(&plan));
    if !runs && !ran {
        return false;
    }
    let plans: Vec<(PlanName, Value)> =
        snapshot.plans.iter().filter(running).map(|plan| (plan.name.clone(), numbers(plan))).collect();
    let whole: Vec<&Value> = plans.iter().map(|(_, numbers)| numbers).collect();
    let whole = frame(None, "progress", None, &json!({"plans": whole}).to_string());
    let each = plans
        .into_iter()
        .map(|(plan, numbers)| frame(None, "progress", Some(plan), &json!({"plans": [numbers]}).to_string()));
    hub.send_passing(Chunk::of_parts(&whole, each.collect()));
    runs
}

fn numbers(plan: &PlanView) -> Value {
    let counts = &plan.counts;
    json!({
        "plan": plan.name, "state": plan.state, "run": plan.run, "requests": counts.requests,
        "bytes": counts.bytes, "records": counts.records, "done": counts.done, "known": counts.known,
        "failed": counts.failed, "in_flight": counts.in_flight,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use entities::{Failure, FailureClass, FailureKind};

    use super::*;

    /// Events that came of `failures` of each of `plans`: told, counted, and counts told.
    fn heard(plans: usize, failures: usize) -> (usize, u64, usize) {
        let mut heard = Heard::default();
        for plan in 0..plans {
            let plan = PlanName(Arc::from(format!("p{plan}")));
            for _ in 0..failures {
                let failure = Failure::new(FailureClass::Permanent, FailureKind::Status, "404");
                let failed = EngineEvent::Failed { plan: plan.clone(), task: "t".to_owned(), failure };
                heard.add(&ServiceEvent::Engine(failed));
            }
        }
        let told = heard.take();
        let more = told.iter().filter(|(event, ..)| *event == "more");
        let counts =
            more.map(|(_, _, data)| serde_json::from_str::<Value>(data).unwrap()["count"].as_u64().unwrap());
        let counts: Vec<u64> = counts.collect();
        (told.len() - counts.len(), counts.iter().sum(), counts.len())
    }

    #[tokio::test]
    async fn floods_are_told_in_part_and_counted_whole() {
        for (plans, failures, expected) in [
            (1, 10, (10, 0, 0)),
            (1, 11, (10, 1, 1)),
            (3, 20, (30, 30, 3)),
            (6, 10, (50, 10, 1)),
            (50, 1000, (50, 49_950, 50)),
        ] {
            assert_eq!(heard(plans, failures), expected, "{plans} plans, {failures} failures each");
        }
    }
}
