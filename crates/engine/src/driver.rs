//! The driver: the one loop that waits for something to happen, tells the core, and carries out
//! what the core decides. It owns the supervisor, the stores' threads and the budgets' file, and
//! is the only reader of the clock.

mod budgets;
mod plans;
mod stores;
mod wall_clock;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use entities::{
    EngineEvent, Execution, Failure, FailureClass, FailureKind, Moment, Outcome, PlanName, PlanState,
    RunContext, RunReport, Secrets, SyncPlan, WorkerId,
};
use supervisor::{Done, Supervisor};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::core::{Action, Core, Event, PlanSlot, StoreSlot};
use crate::writer::{FromStore, ToStore};
use crate::{EngineConfig, EngineError, EngineStatus, RunOptions};

pub use budgets::check_budgets;

use budgets::Keeper;
use stores::OpenStore;
use wall_clock::WallClock;

/// How often workers are looked at for signs of life.
const LIVENESS: Duration = Duration::from_secs(1);
/// Nobody looks at workers so late who is only busy.
const ASLEEP: Duration = Duration::from_secs(10);
/// How long a shutdown waits for what is in flight before it is aborted.
const DRAIN: Duration = Duration::from_secs(30);

/// What the handle asks.
pub(crate) enum Command {
    Add { plan: Box<NewPlan>, reply: oneshot::Sender<Result<PlanName, EngineError>> },
    Do { plan: PlanName, verb: Verb, reply: Reply },
    Wait { plan: PlanName, reply: oneshot::Sender<Result<RunReport, EngineError>> },
    Status { reply: oneshot::Sender<EngineStatus> },
    Shutdown { reply: oneshot::Sender<()> },
}

/// What to do with a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Pause,
    Resume,
    Cancel,
    Drain,
    Remove,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Cancel => "be cancelled",
            Verb::Drain => "be drained",
            Verb::Remove => "be removed",
        }
    }
}

/// A plan as it is added.
pub(crate) struct NewPlan {
    pub(crate) plan: SyncPlan,
    pub(crate) secrets: Secrets,
    pub(crate) options: RunOptions,
}

type Reply = oneshot::Sender<Result<(), EngineError>>;

/// A plan as the driver keeps it.
struct AddedPlan {
    plan: Arc<SyncPlan>,
    secrets: Secrets,
    options: RunOptions,
    /// The store its last run used.
    store: Option<StoreSlot>,
    /// Waits for the store to be free, to open, or for the run to begin.
    starting: Option<Reply>,
    /// What was asked while it was starting.
    early: Vec<(Verb, Reply)>,
    context: Option<Arc<RunContext>>,
    /// The report of its last run.
    report: Option<RunReport>,
    waiting: Vec<oneshot::Sender<Result<RunReport, EngineError>>>,
    cancelling: Vec<Reply>,
    removing: Vec<Reply>,
}

/// The driver's state.
pub(crate) struct Driver {
    config: EngineConfig,
    core: Core,
    supervisor: Supervisor,
    budgets: Keeper,
    plans: BTreeMap<PlanSlot, AddedPlan>,
    stores: HashMap<StoreSlot, OpenStore>,
    next_slot: u32,
    commands: mpsc::Receiver<Command>,
    answers: mpsc::UnboundedReceiver<(StoreSlot, FromStore)>,
    answer_sender: mpsc::UnboundedSender<(StoreSlot, FromStore)>,
    events: broadcast::Sender<EngineEvent>,
    shutting_down: Option<oneshot::Sender<()>>,
    drain_until: Option<Moment>,
    last_tick: Option<Moment>,
}

impl Driver {
    pub(crate) fn new(
        config: EngineConfig,
        commands: mpsc::Receiver<Command>,
        events: broadcast::Sender<EngineEvent>,
    ) -> Driver {
        let clock = WallClock::beside(Arc::clone(&config.clock));
        let budgets = Keeper::new(config.state_dir.clone(), clock);
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let supervisor =
            Supervisor::new(Arc::clone(&config.factory), config.workers, Arc::clone(&config.clock));
        Driver {
            core: Core::new(config.workers_per_run as usize),
            config,
            supervisor,
            budgets,
            plans: BTreeMap::new(),
            stores: HashMap::new(),
            next_slot: 0,
            commands,
            answers,
            answer_sender,
            events,
            shutting_down: None,
            drain_until: None,
            last_tick: None,
        }
    }

    /// Runs until it is shut down or its handle is dropped.
    pub(crate) async fn run(mut self) {
        let mut liveness = tokio::time::interval(LIVENESS);
        liveness.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.look(self.now());
            let now = self.carry_out();
            if self.may_stop(now) {
                break;
            }
            let wake = [self.core.wake(), self.next_look()].into_iter().flatten().min();
            let sleep = wake.map_or(LIVENESS, |at| at.since(now));
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                Some((store, answer)) = self.answers.recv() => {
                    self.answered(store, answer);
                    while let Ok((store, answer)) = self.answers.try_recv() {
                        self.answered(store, answer);
                    }
                }
                done = self.supervisor.next() => {
                    let now = self.now();
                    self.core.on_event(Event::Finished(done), now);
                    while let Some(done) = self.supervisor.try_next() {
                        self.core.on_event(Event::Finished(done), now);
                    }
                }
                () = tokio::time::sleep(sleep), if wake.is_some() => {}
                _ = liveness.tick() => {
                    let now = self.now();
                    self.looked_at(now);
                    self.supervisor.check_liveness(now);
                }
            }
        }
        self.stop().await;
    }

    fn now(&self) -> Moment {
        (self.config.clock)()
    }

    /// Workers are looked at every second; if much more has passed, the machine slept or this process was stopped.
    /// Their own time-outs did not run then, so nothing of them is overdue.
    fn looked_at(&mut self, now: Moment) {
        let passed = now.since(self.last_tick.replace(now).unwrap_or(now));
        if passed > ASLEEP {
            self.supervisor.postpone(passed);
        }
    }

    /// Carries out what the core decides, until it decides nothing more.
    fn carry_out(&mut self) -> Moment {
        loop {
            let now = self.now();
            let actions = self.core.decide(self.supervisor.idle(), now);
            if actions.is_empty() {
                for store in self.stores.values_mut().filter(|store| !store.outbox.is_empty()) {
                    store.thread.ask(ToStore::Write(std::mem::take(&mut store.outbox)));
                }
                return now;
            }
            for action in actions {
                self.act(action, now);
            }
        }
    }

    fn act(&mut self, action: Action, now: Moment) {
        match action {
            Action::Assign { job, total } => {
                if let Err(job) = self.supervisor.assign(job, now, total) {
                    // Cannot happen: the core knows how many are idle. If it did, the run would wait
                    // for this request forever; so it fails for all to see.
                    let failure =
                        Failure::new(FailureClass::Bug, FailureKind::Hung, "no worker was idle to take it");
                    let outcome = Outcome::Failed(failure);
                    let execution = Execution {
                        outcome,
                        sent: now,
                        answered: now,
                        finished: now,
                        status: None,
                        bytes: 0,
                        news: None,
                    };
                    let done =
                        Done { worker: WorkerId(0), job, execution: Box::new(execution), restarted: None };
                    self.core.on_event(Event::Finished(done), now);
                }
            }
            Action::Write { store, entry } => {
                if let Some(store) = self.stores.get_mut(&store) {
                    store.outbox.push(entry);
                }
            }
            Action::Load { store, slot, run, spec, after, limit, chains } => {
                if let Some(store) = self.stores.get_mut(&store) {
                    // What was decided before must be true before it is read.
                    if !store.outbox.is_empty() {
                        store.thread.ask(ToStore::Write(std::mem::take(&mut store.outbox)));
                    }
                    store.thread.ask(ToStore::Load { slot, run, spec, after, limit, chains });
                }
            }
            Action::ReadRows { store, slot, run, parent, child, foreach, after, limit } => {
                if let Some(store) = self.stores.get_mut(&store) {
                    if !store.outbox.is_empty() {
                        store.thread.ask(ToStore::Write(std::mem::take(&mut store.outbox)));
                    }
                    store.thread.ask(ToStore::Rows { slot, run, parent, child, foreach, after, limit });
                }
            }
            Action::Lease { budget, window, key, limit, want } => {
                let granted = self.lease(&key, &limit, want, now);
                self.core.on_event(Event::Leased { budget, window, granted }, now);
            }
            action @ (Action::GiveUp { .. }
            | Action::GiveBack { .. }
            | Action::Restate { .. }
            | Action::Learn { .. }
            | Action::Close { .. }) => self.write_down(action, now),
            Action::Abort { slot } => {
                let context = self.plans.get(&slot).and_then(|plan| plan.context.clone());
                if let Some(context) = context {
                    self.supervisor.abort(|job| Arc::ptr_eq(&job.context, &context));
                }
                self.core.on_event(Event::Aborted { slot }, now);
            }
            // No subscriber is no error.
            Action::Emit(event) => drop(self.events.send(event)),
            Action::Ended { slot, report } => self.ended(slot, *report, now),
        }
    }

    fn find(&self, name: &PlanName) -> Result<PlanSlot, EngineError> {
        let found = self.plans.iter().find(|(_, plan)| plan.plan.name == *name);
        found.map(|(slot, _)| *slot).ok_or_else(|| EngineError::UnknownPlan(name.clone()))
    }

    fn state(&self, slot: PlanSlot) -> PlanState {
        self.core.run(slot).map_or(PlanState::Idle, |run| run.state)
    }

    fn number(&mut self) -> u32 {
        self.next_slot += 1;
        self.next_slot
    }

    /// Whether a shutdown has come to its end; helps it along when its time is up.
    fn may_stop(&mut self, now: Moment) -> bool {
        let Some(until) = self.drain_until else { return false };
        let live: Vec<PlanSlot> = self.plans.keys().copied().filter(|slot| self.is_live(*slot)).collect();
        if now >= until {
            for slot in &live {
                self.core.on_event(Event::Cancel { slot: *slot }, now);
            }
        }
        live.is_empty()
    }

    /// Whether it has a run that has not ended, be it that it only has to commit what it handed over.
    fn is_live(&self, slot: PlanSlot) -> bool {
        let ended = self.plans.get(&slot).is_some_and(|plan| plan.report.is_some() || plan.context.is_none());
        !ended
    }

    async fn stop(mut self) {
        self.supervisor.shutdown().await;
        self.close_all().await;
        let now = self.now();
        self.give_back(now);
        if let Some(reply) = self.shutting_down.take() {
            // Whoever asked may have given up waiting.
            let _ = reply.send(());
        }
    }
}
