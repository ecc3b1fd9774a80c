//! What the driver does with plans: add, start, stop, remove them; open their stores; answer those
//! who wait.

use std::sync::Arc;

use entities::{
    Begun, EngineEvent, Failure, FailureClass, FailureKind, Frozen, Mode, Moment, PlanName, PlanState,
    PlanStatus, RunContext, RunId, RunReport, SpecIndex, StoreError, SyncPlan, Vars,
};

use super::{AddedPlan, Command, DRAIN, Driver, NewPlan, OpenStore, Reply, Verb};
use crate::core::{Event, PlanSlot, StartedRun, StoreSlot};
use crate::foreach::{Repeats, Shared};
use crate::prepare::{Beginning, select_specs, start_spec};
use crate::writer::{Begin, FromStore, StoreThread, ToStore};
use crate::{EngineError, EngineStatus};

/// Refuses a full refresh of a table that would then hold every record twice.
fn no_second_copy(plan: &SyncPlan, specs: &[SpecIndex]) -> Result<(), Failure> {
    let twice = |index: &&SpecIndex| {
        let spec = plan.spec(**index);
        spec.mode == Mode::Append && spec.cursor.is_some()
    };
    let Some(index) = specs.iter().find(twice) else { return Ok(()) };
    let spec = plan.spec(*index);
    let message = format!(
        "--full-refresh cannot go with task `{}`: it appends by a cursor, and would append everything again",
        spec.name
    );
    Err(Failure::new(FailureClass::Permanent, FailureKind::Rule, message)
        .help("give it a `key`, or name the tasks to refresh")
        .at(spec.at))
}

/// What a resumed run does not take over: variables are as they were when it began.
fn frozen_otherwise(said: &Vars, frozen: &Vars) -> Option<String> {
    let names: Vec<String> = said
        .iter()
        .filter(|(name, value)| frozen.get(*name) != Some(value))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    (!names.is_empty()).then(|| {
        format!("variables stay as they were when the run began: {} (--fresh begins anew)", names.join(", "))
    })
}

impl Driver {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Add { plan, reply } => drop(reply.send(self.add(*plan))),
            Command::Do { plan, verb, reply } => self.do_verb(&plan, verb, reply),
            Command::Wait { plan, reply } => match self.find(&plan) {
                Err(error) => drop(reply.send(Err(error))),
                Ok(slot) => {
                    let Some(added) = self.plans.get_mut(&slot) else { return };
                    match &added.report {
                        Some(report) => drop(reply.send(Ok(report.clone()))),
                        None => added.waiting.push(reply),
                    }
                }
            },
            Command::Status { reply } => drop(reply.send(self.status())),
            Command::Shutdown { reply } => {
                self.shutting_down = Some(reply);
                let now = self.now();
                self.drain_until = Some(now + DRAIN);
                let slots: Vec<PlanSlot> = self.plans.keys().copied().collect();
                for slot in slots {
                    self.core.on_event(Event::Drain { slot }, now);
                }
            }
        }
    }

    fn add(&mut self, new: NewPlan) -> Result<PlanName, EngineError> {
        let name = new.plan.name.clone();
        if self.find(&name).is_ok() {
            return Err(EngineError::DuplicatePlan(name));
        }
        select_specs(&new.plan, &new.options.tasks).map_err(EngineError::Plan)?;
        let slot = PlanSlot(self.number());
        let added = AddedPlan {
            plan: Arc::new(new.plan),
            secrets: new.secrets,
            options: new.options,
            store: None,
            starting: None,
            context: None,
            report: None,
            waiting: Vec::new(),
            cancelling: Vec::new(),
            removing: Vec::new(),
        };
        self.plans.insert(slot, added);
        Ok(name)
    }

    fn do_verb(&mut self, name: &PlanName, verb: Verb, reply: Reply) {
        let slot = match self.find(name) {
            Ok(slot) => slot,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let state = self.state(slot);
        // A cancelled run is live until what it had handed to the store has committed.
        let live = self.is_live(slot);
        let starting = self.plans.get(&slot).is_some_and(|plan| plan.starting.is_some());
        let fits = match verb {
            Verb::Start => !live && !starting && self.shutting_down.is_none(),
            Verb::Pause => state == PlanState::Running,
            Verb::Resume => state == PlanState::Paused,
            Verb::Drain => matches!(state, PlanState::Running | PlanState::Paused | PlanState::Draining),
            Verb::Cancel => live,
            Verb::Remove => !starting,
        };
        if !fits {
            let state = if starting { "starting" } else { state.as_str() };
            let error = EngineError::WrongState { plan: name.clone(), state, verb: verb.as_str() };
            return drop(reply.send(Err(error)));
        }
        let now = self.now();
        match verb {
            Verb::Start => self.start(slot, reply, now),
            Verb::Pause => {
                self.core.on_event(Event::Pause { slot }, now);
                drop(reply.send(Ok(())));
            }
            Verb::Resume => {
                self.core.on_event(Event::Resume { slot }, now);
                drop(reply.send(Ok(())));
            }
            Verb::Drain => {
                self.core.on_event(Event::Drain { slot }, now);
                drop(reply.send(Ok(())));
            }
            Verb::Cancel | Verb::Remove if live => {
                if let Some(plan) = self.plans.get_mut(&slot) {
                    if verb == Verb::Remove { plan.removing.push(reply) } else { plan.cancelling.push(reply) }
                }
                self.core.on_event(Event::Cancel { slot }, now);
            }
            Verb::Cancel | Verb::Remove => {
                self.remove(slot, now);
                drop(reply.send(Ok(())));
            }
        }
    }

    /// Opens the plan's store if it is not open, then asks it to begin.
    fn start(&mut self, slot: PlanSlot, reply: Reply, now: Moment) {
        let Some(plan) = self.plans.get_mut(&slot) else { return };
        plan.report = None;
        plan.context = None;
        let target = plan.plan.store.clone();
        let open = self.stores.iter().find(|(_, store)| store.target == target);
        if let Some((store, open)) = open.map(|(store, open)| (*store, open)) {
            plan.store = Some(store);
            plan.starting = Some(reply);
            if open.opened {
                self.begin(slot, now);
            }
            return;
        }
        let store = StoreSlot(self.number());
        let opener = Arc::clone(&self.config.stores);
        match StoreThread::spawn(store, target.clone(), opener, self.answer_sender.clone()) {
            Ok(thread) => {
                self.stores.insert(store, OpenStore { thread, target, opened: false, outbox: Vec::new() });
                if let Some(plan) = self.plans.get_mut(&slot) {
                    plan.store = Some(store);
                    plan.starting = Some(reply);
                }
            }
            Err(error) => {
                let store = format!("{target:?}");
                let error = StoreError::Broken { store, doing: "start a thread for", why: error.to_string() };
                drop(reply.send(Err(error.into())));
            }
        }
    }

    fn begin(&mut self, slot: PlanSlot, now: Moment) {
        let Some(plan) = self.plans.get_mut(&slot) else { return };
        // Checked when the plan was added.
        let specs = select_specs(&plan.plan, &plan.options.tasks).unwrap_or_default();
        // A plan that cannot work is told so before it leaves an unfinished run behind.
        let trial = Arc::new(RunContext {
            run: RunId(0),
            plan: Arc::clone(&plan.plan),
            secrets: plan.secrets.clone(),
            now,
            vars: plan.plan.vars.clone(),
        });
        let possible = if plan.options.full_refresh { no_second_copy(&plan.plan, &specs) } else { Ok(()) };
        let shared = Shared::new(&trial.vars, now);
        let expanded = possible.and_then(|()| {
            let roots = |spec: &SpecIndex| Repeats::compile(&trial.plan, *spec, &shared)?.roots().map(drop);
            specs.iter().try_for_each(roots)
        });
        let prepared = expanded.and_then(|()| self.config.factory.prepare(&trial));
        self.config.factory.forget(&trial);
        if let Err(failure) = prepared {
            if let Some(reply) = plan.starting.take() {
                drop(reply.send(Err(EngineError::Plan(failure))));
            }
            return;
        }
        let begin = Begin {
            slot,
            plan: Arc::clone(&plan.plan),
            specs,
            resume: plan.options.resume,
            full_refresh: plan.options.full_refresh,
            work: plan.options.work,
            frozen: Frozen { now, vars: plan.plan.vars.clone() },
            now,
        };
        if let Some(store) = plan.store.and_then(|store| self.stores.get(&store)) {
            store.thread.ask(ToStore::Begin(Box::new(begin)));
        }
    }

    pub(super) fn answered(&mut self, store: StoreSlot, answer: FromStore) {
        let now = self.now();
        match answer {
            FromStore::Opened(Ok(())) => {
                if let Some(open) = self.stores.get_mut(&store) {
                    open.opened = true;
                }
                for slot in self.starting_on(store) {
                    self.begin(slot, now);
                }
            }
            FromStore::Opened(Err(error)) => {
                self.stores.remove(&store);
                self.refuse_starting(store, error);
            }
            FromStore::Begun { slot, begun } => self.begun(slot, store, begun, now),
            FromStore::Committed(results) => self.core.on_event(Event::Committed { store, results }, now),
            FromStore::Loaded { slot, spec, tasks, chains } => {
                self.core.on_event(Event::Loaded { slot, spec, tasks, chains }, now);
            }
            FromStore::Rows { slot, child, foreach, rows } => {
                let Some(context) = self.plans.get(&slot).and_then(|plan| plan.context.clone()) else {
                    return;
                };
                let drive = |row| self.config.factory.drive(&context, child, foreach, row);
                let rows = rows.into_iter().map(|(number, row)| (number, drive(row))).collect();
                self.core.on_event(Event::Rows { slot, child, foreach, rows }, now);
            }
            FromStore::Broken(error) => {
                self.core.on_event(Event::Broken { store, why: error.to_string() }, now);
                if let Some(open) = self.stores.remove(&store) {
                    open.thread.close();
                }
                // What they had asked of it is answered by nobody any more.
                self.refuse_starting(store, error);
            }
        }
    }

    /// Tells the plans that wait for a store that it does not work.
    fn refuse_starting(&mut self, store: StoreSlot, error: StoreError) {
        let mut error = Some(error);
        for slot in self.starting_on(store) {
            let Some(reply) = self.plans.get_mut(&slot).and_then(|plan| plan.starting.take()) else {
                continue;
            };
            // Plans that started together on one store: the first hears why.
            drop(reply.send(Err(error.take().map_or(EngineError::Closed, EngineError::Store))));
        }
    }

    fn starting_on(&self, store: StoreSlot) -> Vec<PlanSlot> {
        let starting =
            self.plans.iter().filter(|(_, plan)| plan.store == Some(store) && plan.starting.is_some());
        starting.map(|(slot, _)| *slot).collect()
    }

    /// The store has begun the run: compile it, evaluate its lists, and let the core have it.
    fn begun(&mut self, slot: PlanSlot, store: StoreSlot, begun: Result<Begun, StoreError>, now: Moment) {
        let started = begun.map_err(EngineError::Store).and_then(|begun| {
            let (resumed, changed) = (begun.resumed, begun.changed.clone());
            Ok((self.prepare(slot, store, begun)?, resumed, changed))
        });
        let Some(plan) = self.plans.get_mut(&slot) else { return };
        let Some(reply) = plan.starting.take() else { return };
        match started {
            Ok((run, resumed, mut changed)) => {
                if resumed {
                    changed.extend(frozen_otherwise(&plan.plan.vars, &run.context.vars));
                }
                plan.context = Some(Arc::clone(&run.context));
                let event = EngineEvent::RunStarted {
                    plan: plan.plan.name.clone(),
                    run: run.context.run,
                    resumed,
                    changed,
                };
                drop(self.events.send(event));
                self.core.on_event(Event::Begun { slot, run: Box::new(run) }, now);
                if self.drain_until.is_some() {
                    self.core.on_event(Event::Drain { slot }, now);
                }
                drop(reply.send(Ok(())));
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn prepare(&mut self, slot: PlanSlot, store: StoreSlot, begun: Begun) -> Result<StartedRun, EngineError> {
        let Some(plan) = self.plans.get(&slot) else { return Err(EngineError::Closed) };
        let context = Arc::new(RunContext {
            run: begun.run,
            plan: Arc::clone(&plan.plan),
            secrets: plan.secrets.clone(),
            now: begun.frozen.now,
            vars: begun.frozen.vars,
        });
        let fingerprint = |credential: &str| match &self.budgets {
            Some(keeper) => keeper.fingerprint(credential),
            // Kept in memory only, so any hash will do.
            None => format!("{:016x}", xxhash_rust::xxh3::xxh3_64(credential.as_bytes())),
        };
        let beginning = Beginning {
            shared: Shared::new(&context.vars, context.now),
            first_task: begun.first_task,
            fingerprint: &fingerprint,
        };
        let mut specs = begun
            .specs
            .into_iter()
            .map(|progress| start_spec(&context, progress, &beginning))
            .collect::<Result<Vec<_>, _>>()
            .map_err(EngineError::Plan)?;
        if let Some(keeper) = &mut self.budgets {
            keeper.join(&mut specs, (self.config.clock)())?;
        }
        self.config.factory.prepare(&context).map_err(EngineError::Plan)?;
        Ok(StartedRun {
            context,
            store,
            next_task: begun.next_task,
            wait: plan.options.wait,
            requests_per_task: plan.options.requests_per_task,
            specs,
        })
    }

    /// A run has ended: whoever waits hears of it.
    pub(super) fn ended(&mut self, slot: PlanSlot, report: RunReport, now: Moment) {
        let Some(plan) = self.plans.get_mut(&slot) else { return };
        if let Some(context) = &plan.context {
            self.config.factory.forget(context);
        }
        for waiting in plan.waiting.drain(..) {
            drop(waiting.send(Ok(report.clone())));
        }
        for reply in plan.cancelling.drain(..) {
            drop(reply.send(Ok(())));
        }
        plan.report = Some(report);
        let removing = std::mem::take(&mut plan.removing);
        if !removing.is_empty() {
            self.remove(slot, now);
        }
        for reply in removing {
            drop(reply.send(Ok(())));
        }
    }

    fn remove(&mut self, slot: PlanSlot, now: Moment) {
        self.core.on_event(Event::Forget { slot }, now);
        let Some(plan) = self.plans.remove(&slot) else { return };
        for waiting in plan.waiting {
            drop(waiting.send(Err(EngineError::UnknownPlan(plan.plan.name.clone()))));
        }
        // A store that no plan uses is closed, so that others may have it.
        if let Some(store) = plan.store
            && !self.plans.values().any(|other| other.store == Some(store))
            && let Some(open) = self.stores.remove(&store)
        {
            open.thread.close();
        }
    }

    fn status(&mut self) -> EngineStatus {
        let now = self.now();
        let mut plans = Vec::with_capacity(self.plans.len());
        for (slot, added) in &self.plans {
            let status = self.core.status(*slot, now);
            plans.push(status.unwrap_or_else(|| PlanStatus {
                plan: added.plan.name.clone(),
                run: None,
                state: PlanState::Idle,
                started: None,
                requests: 0,
                bytes: 0,
                limits: Vec::new(),
                tasks: Vec::new(),
            }));
        }
        EngineStatus { plans, workers: self.supervisor.status(now) }
    }
}
