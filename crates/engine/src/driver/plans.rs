//! What the driver does with plans: add, begin, stop, remove them; answer those who wait. Their stores are in
//! `stores.rs`.

use std::sync::Arc;

use entities::{
    Begun, EngineEvent, Failure, FailureClass, FailureKind, Frozen, Mode, Moment, PlanName, PlanState,
    PlanStatus, RunContext, RunId, RunReport, SpecIndex, StoreError, SyncPlan, Vars,
};

use super::{AddedPlan, Command, DRAIN, Driver, NewPlan, Reply, Verb};
use crate::core::{Event, PlanSlot, StartedRun, StoreSlot};
use crate::foreach::{Repeats, Shared};
use crate::prepare::{Beginning, select_specs, start_spec};
use crate::writer::{Begin, ToStore};
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
            early: Vec::new(),
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
        let starting = self.plans.get_mut(&slot).filter(|plan| plan.starting.is_some());
        if verb != Verb::Start
            && let Some(plan) = starting
        {
            // Nobody knows yet what there will be to stop.
            return plan.early.push((verb, reply));
        }
        let starting = self.plans.get(&slot).is_some_and(|plan| plan.starting.is_some());
        let fits = match verb {
            Verb::Start => !live && !starting && self.shutting_down.is_none(),
            Verb::Pause => state == PlanState::Running,
            Verb::Resume => state == PlanState::Paused,
            Verb::Drain => matches!(state, PlanState::Running | PlanState::Paused | PlanState::Draining),
            Verb::Cancel => live,
            Verb::Remove => true,
        };
        if !fits {
            let state = if starting { "starting" } else { state.as_str() };
            let error = EngineError::WrongState { plan: name.clone(), state, verb: verb.as_str() };
            return drop(reply.send(Err(error)));
        }
        let now = self.now();
        match verb {
            Verb::Start => self.start(slot, reply),
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

    /// Its store is open: checks what can be checked, and asks it to begin.
    pub(super) fn begin(&mut self, slot: PlanSlot, now: Moment) {
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
            return self.has_started(slot, Err(EngineError::Plan(failure)));
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

    /// The store has begun the run: compile it, evaluate its lists, and let the core have it.
    pub(super) fn begun(
        &mut self,
        slot: PlanSlot,
        store: StoreSlot,
        begun: Result<Begun, StoreError>,
        now: Moment,
    ) {
        let started = begun.map_err(EngineError::Store).and_then(|begun| {
            let (resumed, changed) = (begun.resumed, begun.changed.clone());
            Ok((self.prepare(slot, store, begun)?, resumed, changed))
        });
        let Some(plan) = self.plans.get_mut(&slot) else { return };
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
                self.has_started(slot, Ok(()));
            }
            Err(error) => self.has_started(slot, Err(error)),
        }
    }

    /// A start has come to its end: whoever asked hears of it, and then those who asked for something else
    /// meanwhile get that.
    pub(super) fn has_started(&mut self, slot: PlanSlot, started: Result<(), EngineError>) {
        let Some(plan) = self.plans.get_mut(&slot) else { return };
        if let Some(reply) = plan.starting.take() {
            drop(reply.send(started));
        }
        let name = plan.plan.name.clone();
        for (verb, reply) in std::mem::take(&mut plan.early) {
            self.do_verb(&name, verb, reply);
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
        let budgets = self.budgets.open()?;
        let fingerprint = |credential: &str| budgets.fingerprint(credential);
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
        self.config.factory.prepare(&context).map_err(EngineError::Plan)?;
        // Last: who has joined a budget draws on it until its run ends.
        let now = self.now();
        if let Err(error) = self.budgets.join(&mut specs, self.core.budgets(), now) {
            self.config.factory.forget(&context);
            return Err(error);
        }
        let Some(plan) = self.plans.get(&slot) else { return Err(EngineError::Closed) };
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
        if let Some(store) = plan.store {
            self.close_if_unused(store);
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
