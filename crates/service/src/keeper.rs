//! The keeper: the one owner of all plans, and the one loop that waits for something to happen.
//!
//! What takes time is an [operation](crate::operation), one at a time for each plan; what else is asked of that plan
//! waits behind it, in order. Only a `cancel` gets through to one that may hang. A run's end is heard
//! from the engine's `wait`, never from events, of which some may be missed.
//!
//! The keeper's own work between two waits is arithmetic on what it holds: no disk, no network, no engine.

mod closing;
mod following;
mod looking;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use engine::{EngineError, EngineStatus};
use entities::{EngineEvent, Moment, PlanName, RunId, RunReport, WorkerStatus};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::asking::{Ask, Caller, Command, Reply, Which};
use crate::book::{Row, Wanted, Wish};
use crate::held::{Held, Operation};
use crate::operation::{Answer, Cancel, Hands, Made};
use crate::reading::Reading;
use crate::{Busy, Checked, PlanDetail, ServiceError, ServiceEvent, Snapshot};

/// The wall clock is looked at this often: timers do not count the time a machine sleeps.
const LOOK: Duration = Duration::from_secs(30);
/// How old a snapshot may be.
const FRESH: Duration = Duration::from_millis(250);
/// How long whoever cancels a start waits for a store that does not open.
const PATIENCE: Duration = Duration::from_secs(10);
/// Something in the background came to its end.
enum Done {
    /// An operation of a plan.
    Operation { plan: PlanName, made: Box<Made> },
    /// A plan was written down that is to be added.
    Added { plan: PlanName, made: Box<Made>, caller: Caller },
    /// A text that is to be added was read.
    Read { outcome: Result<(String, Reading), ServiceError>, caller: Caller },
    /// A text that is to be checked was read.
    Checked { outcome: Result<(String, Reading), ServiceError>, reply: Reply<Checked> },
    /// A run ended.
    Run { plan: PlanName, number: u64, report: Result<RunReport, EngineError> },
    /// The engine was looked at.
    Look { epoch: u64, status: Result<EngineStatus, EngineError> },
    /// Something that nobody waits for.
    Nothing,
}

/// Who waits for a look at the engine.
enum Waiter {
    Snapshot(Reply<Arc<Snapshot>>),
    Detail(PlanName, Reply<Box<PlanDetail>>),
}

/// The keeper's state.
pub(crate) struct Keeper {
    pub(crate) hands: Arc<Hands>,
    pub(crate) plans: BTreeMap<PlanName, Held>,
    /// Being added: not here yet.
    adding: BTreeSet<PlanName>,
    commands: mpsc::Receiver<Command>,
    told: broadcast::Sender<Arc<ServiceEvent>>,
    heard: broadcast::Receiver<EngineEvent>,
    background: JoinSet<Done>,
    /// Where operations say that a cancel is durable.
    durable: mpsc::UnboundedSender<(PlanName, u64)>,
    cancelled: mpsc::UnboundedReceiver<(PlanName, u64)>,
    next_number: u64,
    /// The run that an event said had begun last, and whether it was resumed.
    started: BTreeMap<PlanName, (RunId, bool)>,
    /// The run that an event said had ended last.
    ended: BTreeMap<PlanName, RunId>,
    /// Grows with whatever somebody may have been told.
    epoch: u64,
    looking: bool,
    waiters: Vec<(u64, Waiter)>,
    snapshot: Option<(u64, Instant, Arc<Snapshot>)>,
    workers: Vec<WorkerStatus>,
    last_look: Moment,
    closing: Option<closing::Closing>,
}

impl Keeper {
    pub(crate) fn new(
        hands: Hands,
        plans: Vec<Held>,
        commands: mpsc::Receiver<Command>,
        told: broadcast::Sender<Arc<ServiceEvent>>,
    ) -> Keeper {
        let heard = hands.engine.subscribe();
        let last_look = hands.now();
        let (durable, cancelled) = mpsc::unbounded_channel();
        Keeper {
            hands: Arc::new(hands),
            plans: plans.into_iter().map(|held| (held.row.name.clone(), held)).collect(),
            adding: BTreeSet::new(),
            commands,
            told,
            heard,
            background: JoinSet::new(),
            durable,
            cancelled,
            next_number: 0,
            started: BTreeMap::new(),
            ended: BTreeMap::new(),
            epoch: 0,
            looking: false,
            waiters: Vec::new(),
            snapshot: None,
            workers: Vec::new(),
            last_look,
            closing: None,
        }
    }

    /// Runs until it is shut down, or every handle is dropped (which is a crash: what lasts is in `serve.db`).
    pub(crate) async fn run(mut self) {
        loop {
            let now = self.hands.now();
            self.start_what_is_due(now);
            if self.may_stop() {
                return self.stop().await;
            }
            let sleep = self.sleep(now);
            tokio::select! {
                command = self.commands.recv(), if self.closing.is_none() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                Some(done) = self.background.join_next(), if !self.background.is_empty() => {
                    // What happened before it is told before it.
                    self.hear_all();
                    match done {
                        Ok(done) => self.done(done),
                        Err(panicked) => self.operation_panicked(panicked.id()),
                    }
                }
                event = self.heard.recv() => match event {
                    Ok(event) => {
                        self.hear(event);
                        self.hear_all();
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                Some((plan, number)) = self.cancelled.recv() => self.cancel_is_durable(&plan, number),
                () = tokio::time::sleep(sleep) => self.answer_the_impatient(),
            }
        }
    }

    fn command(&mut self, command: Command) {
        if self.closing.is_some() {
            return command.refuse();
        }
        match command {
            Command::Check { text, reply } => {
                let hands = Arc::clone(&self.hands);
                self.background
                    .spawn(async move { Done::Checked { outcome: hands.accept(text).await, reply } });
            }
            Command::Add { text, reply } => {
                let (hands, caller) = (Arc::clone(&self.hands), Caller::Added(reply));
                self.background
                    .spawn(async move { Done::Read { outcome: hands.accept(text).await, caller } });
            }
            Command::Do { plan, ask } => self.ask(&plan, ask),
            Command::Names { reply, which } => {
                let fits = |held: &&Held| match which {
                    Which::ToStart => held.live.is_none() && !held.row.wanted.is_paused(),
                    Which::ToCancel => {
                        held.live.is_some()
                            || matches!(held.row.wanted, Wanted::Run | Wanted::PausedRun)
                            || held.operation.as_ref().is_some_and(|of| of.cancel.is_some())
                    }
                };
                let names = self.plans.values().filter(fits).map(|held| held.row.name.clone()).collect();
                drop(reply.send(Ok(names)));
            }
            Command::Detail { plan, reply } => match self.plans.get(&plan) {
                Some(_) => self.look(Waiter::Detail(plan, reply)),
                None => drop(reply.send(Err(ServiceError::Unknown(plan)))),
            },
            Command::Snapshot { reply } => match &self.snapshot {
                Some((epoch, taken, snapshot)) if *epoch == self.epoch && taken.elapsed() < FRESH => {
                    drop(reply.send(Ok(Arc::clone(snapshot))));
                }
                _ => self.look(Waiter::Snapshot(reply)),
            },
            Command::Shutdown { reply } => self.close(reply),
        }
    }

    /// Does what is asked of a plan, or puts it behind what is being done.
    fn ask(&mut self, plan: &PlanName, ask: Ask) {
        let Some(held) = self.plans.get_mut(plan) else {
            return ask.refuse(ServiceError::Unknown(plan.clone()));
        };
        let Some(operation) = &mut held.operation else {
            held.queue.push_back(ask);
            return self.next(plan);
        };
        match (ask, &operation.cancel) {
            (Ask::Cancel { caller }, Some(cancel)) => {
                cancel.asked.notify_one();
                operation.busy = Some(Busy::Stopping);
                operation.cancelling.push((caller, Instant::now() + PATIENCE));
                self.tell_state(plan);
            }
            (ask, cancel) => {
                // A start that hangs must not keep a plan from being removed.
                if let (Ask::Remove { .. }, Some(cancel)) = (&ask, cancel) {
                    cancel.asked.notify_one();
                }
                held.queue.push_back(ask);
            }
        }
    }

    /// Begins what is next for a plan with which nothing is being done.
    fn next(&mut self, plan: &PlanName) {
        let now = self.hands.now();
        loop {
            let Some(held) = self.plans.get_mut(plan) else { return };
            if held.operation.is_some() {
                return;
            }
            if let Some(report) = held.live.as_mut().and_then(|live| live.ended.clone()) {
                let given = held.given(now);
                self.begin(plan, None, Caller::Nobody, false, |hands, _| async move {
                    hands.settle(given, report).await
                });
                return;
            }
            let Some(ask) = held.queue.pop_front() else { return };
            self.begin_ask(plan, ask, now);
        }
    }

    /// Begins what somebody asks, or answers at once.
    fn begin_ask(&mut self, plan: &PlanName, ask: Ask, now: Moment) {
        let Some(held) = self.plans.get_mut(plan) else { return };
        let (given, state) = (held.given(now), held.state());
        let wrong = |caller: Caller, verb| {
            caller.refuse(ServiceError::WrongState { plan: plan.clone(), state: state.as_str(), verb });
        };
        let wanted = held.row.wanted;
        match ask {
            Ask::Start { wish, caller } if given.live => {
                wrong(caller, if wish.failed_only { "retry what failed" } else { "start" });
            }
            Ask::Start { wish, caller } => {
                if let Some(task) = unknown_task(held, &wish) {
                    return caller.refuse(ServiceError::UnknownTask { plan: plan.clone(), task });
                }
                let row = Row { wish, run: None, tries: 0, ..given.row.clone() };
                self.begin(plan, Some(Busy::Starting), caller, true, |hands, cancel| async move {
                    hands.start_anew(given, row, &cancel).await
                });
            }
            Ask::Resume { caller } if !given.live && matches!(wanted, Wanted::PausedRun | Wanted::Run) => {
                let row = Row { tries: 0, ..given.row.clone() };
                self.begin(plan, Some(Busy::Starting), caller, true, |hands, cancel| async move {
                    hands.start(given, row, &cancel).await
                });
            }
            Ask::Resume { caller } if wanted.is_paused() => {
                self.begin(plan, None, caller, false, |hands, _| async move { hands.resume(given).await });
            }
            Ask::Pause { caller } if !wanted.is_paused() => {
                self.begin(plan, None, caller, false, |hands, _| async move { hands.pause(given).await });
            }
            // It is so already.
            Ask::Resume { caller } | Ask::Pause { caller } => caller.tell(Answer::View, Some(held.view())),
            Ask::Cancel { caller } => {
                if !given.live && !matches!(wanted, Wanted::Run | Wanted::PausedRun) {
                    return wrong(caller, "be cancelled");
                }
                let busy = given.live.then_some(Busy::Stopping);
                self.begin(plan, busy, caller, false, |hands, _| async move { hands.cancel(given).await });
            }
            Ask::Replace { text, dry_run, caller } => {
                let busy = (!dry_run).then_some(Busy::Replacing);
                self.begin(plan, busy, caller, !dry_run, move |hands, cancel| async move {
                    hands.replace(given, text, dry_run, &cancel).await
                });
            }
            Ask::Remove { caller } => {
                self.begin(plan, Some(Busy::Removing), caller, false, |hands, _| async move {
                    hands.remove(given).await
                });
            }
        }
    }

    /// Begins an operation.
    fn begin<F, W>(&mut self, plan: &PlanName, busy: Option<Busy>, caller: Caller, can_cancel: bool, work: F)
    where
        F: FnOnce(Arc<Hands>, Arc<Cancel>) -> W,
        W: Future<Output = Made> + Send + 'static,
    {
        let number = self.number();
        let cancel = Arc::new(Cancel {
            asked: Notify::new(),
            taken: AtomicBool::new(false),
            plan: plan.clone(),
            number,
            durable: self.durable.clone(),
        });
        let work = Box::pin(work(Arc::clone(&self.hands), Arc::clone(&cancel)));
        let name = plan.clone();
        let spawned =
            self.background.spawn(async move { Done::Operation { plan: name, made: Box::new(work.await) } });
        if let Some(held) = self.plans.get_mut(plan) {
            held.operation = Some(Operation {
                number,
                task: spawned.id(),
                busy,
                caller,
                cancel: can_cancel.then_some(cancel),
                cancelling: Vec::new(),
                cancelled: false,
            });
        }
        self.tell_state(plan);
    }
}

impl Waiter {
    fn refuse(self) {
        match self {
            Waiter::Snapshot(reply) => drop(reply.send(Err(ServiceError::Closed))),
            Waiter::Detail(_, reply) => drop(reply.send(Err(ServiceError::Closed))),
        }
    }
}

/// A task that is asked for and that the plan does not have.
fn unknown_task(held: &Held, wish: &Wish) -> Option<String> {
    let plan = &held.reading.as_ref().ok()?.plan;
    wish.tasks.iter().find(|task| plan.spec_named(task).is_none()).cloned()
}
