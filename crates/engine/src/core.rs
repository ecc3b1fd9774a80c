//! The core: all state of the engine, and every decision, as `(state, event, now) → actions`.
//!
//! The driver feeds it what happened ([`Core::on_event`]), then asks what to do
//! ([`Core::decide`]). It reads no clock and touches nothing outside itself.
//!
//! How a plan's run goes:
//! `Begun` → lanes are opened → tasks are assigned as gates open → each finished task becomes a
//! Landing (or goes back to its lane) → Landings are written in order → when nothing of a spec is
//! left, `EndSpec` is written → when all specs have ended, `EndRun` is → the run has ended.

mod assign;
mod budgets;
mod ending;
mod event;
mod finished;
mod flight;
mod gate;
mod limits;
mod run;
mod status;
mod unsent;

#[cfg(test)]
mod scenarios;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use entities::{Committed, Entry, Moment, SpecIndex, Task, TaskId};
use task_queue::{LaneId, Roots, TaskManager};

pub(crate) use budgets::{BudgetKey, Budgets, Dues, GiveBack, Watched, WatchedWindow};
pub(crate) use event::{
    Action, BudgetNews, DrivenRows, Event, LeaseGranted, PlanSlot, StoreSlot, WindowNews,
};
pub(crate) use run::{Draw, DrawnLimit, PlanRun, StartedRun, StartedSpec};

use flight::{Answer, Flight};
use gate::Gate;
use run::SpecState;

/// At most this many Landings wait for their commit …
const MOST_LANDINGS: usize = 512;
/// … or this many bytes of records.
const MOST_BYTES: usize = 8 << 20;

/// The engine's state. Its maps hold a handful each, and are asked for every request: a tree is cheaper than a
/// hash there.
pub(crate) struct Core {
    runs: BTreeMap<PlanSlot, PlanRun>,
    /// Which spec of which run a lane belongs to.
    lanes: BTreeMap<LaneId, (PlanSlot, SpecIndex)>,
    /// Finds the run of a finished job by its context.
    contexts: BTreeMap<usize, PlanSlot>,
    manager: TaskManager,
    budgets: Budgets,
    /// Of specs whose runs have ended.
    dues: Vec<Dues>,
    stores: BTreeMap<StoreSlot, Uncommitted>,
    actions: Vec<Action>,
    /// Requests that a run may have in flight.
    most_per_run: usize,
    /// The round of assignments, from 1, and in which of them each lane was last found closed.
    round: u64,
    closed: Vec<u64>,
    /// When the next thing may happen by itself.
    wake: Option<Moment>,
}

/// What has been handed to a store and not been reported committed, oldest first.
#[derive(Default)]
struct Uncommitted {
    entries: VecDeque<Pending>,
    landings: usize,
    bytes: usize,
}

/// An entry on its way.
enum Pending {
    Land {
        slot: PlanSlot,
        spec: SpecIndex,
        task: TaskId,
        bytes: usize,
        failed: bool,
        skipped: bool,
        records: u64,
    },
    EndSpec {
        slot: PlanSlot,
        spec: SpecIndex,
    },
    EndRun {
        slot: PlanSlot,
    },
}

impl Core {
    /// An engine without plans; each run may have `most_per_run` requests in flight.
    pub(crate) fn new(most_per_run: usize) -> Self {
        Core {
            runs: BTreeMap::new(),
            lanes: BTreeMap::new(),
            contexts: BTreeMap::new(),
            manager: TaskManager::new(TaskId(1)),
            budgets: Budgets::default(),
            dues: Vec::new(),
            stores: BTreeMap::new(),
            actions: Vec::new(),
            most_per_run,
            round: 0,
            closed: Vec::new(),
            wake: None,
        }
    }

    /// Takes note of what happened.
    pub(crate) fn on_event(&mut self, event: Event, now: Moment) {
        match event {
            Event::Begun { slot, run } => self.begun(slot, *run, now),
            Event::Finished(done) => self.finished(done, now),
            Event::Aborted { slot } => {
                let lost = Answer { sent: None, at: now, costs: &[] };
                // What came back when it had broken landed nowhere; now nothing of it is under way any more.
                let Some(run) = self.runs.get(&slot) else { return };
                let over = run.over && !run.flights.is_empty();
                for task in run.flights.keys().copied().collect::<Vec<_>>() {
                    self.land_flight(slot, task, lost);
                }
                if over && let Some(run) = self.runs.get(&slot) {
                    self.dues.extend(run.specs.iter().map(|state| state.gate.dues()));
                }
                self.cancelled(slot, now);
            }
            Event::Committed { store, results } => self.committed(store, results, now),
            Event::Loaded { slot, spec, tasks, chains } => self.loaded(slot, spec, tasks, chains, now),
            Event::Rows { slot, child, foreach, rows } => self.rows(slot, child, foreach, rows, now),
            Event::Broken { store, why } => self.broken(store, &why, now),
            Event::Closed { store } => drop(self.stores.remove(&store)),
            Event::Leased { budget, window, granted } => self.budgets.leased(budget, window, granted),
            Event::Shared { budget, news } => self.budgets.shared(budget, news, &mut self.actions, now),
            Event::Pause { slot } => self.pause(slot),
            Event::Resume { slot } => self.resume(slot),
            Event::Drain { slot } => self.drain(slot),
            Event::Cancel { slot } => self.cancel(slot),
            Event::Forget { slot } => self.forget(slot),
        }
    }

    /// Decides what to do now, given how many workers are idle.
    pub(crate) fn decide(&mut self, idle: usize, now: Moment) -> Vec<Action> {
        // Before tokens are asked for: those that are asked for come before this is here again.
        for dues in std::mem::take(&mut self.dues) {
            self.budgets.leave(dues, &mut self.actions, now);
        }
        let more = self.fill(now);
        self.land_unsent(now);
        self.assign(idle, now);
        self.land_unsent(now);
        if more {
            self.wake = Some(now);
        }
        self.end_what_has_ended(now);
        self.budgets.keep_closures(&mut self.actions, now);
        std::mem::take(&mut self.actions)
    }

    /// When to decide again although nothing happened.
    pub(crate) fn wake(&self) -> Option<Moment> {
        self.wake
    }

    /// The run in a slot.
    pub(crate) fn run(&self, slot: PlanSlot) -> Option<&PlanRun> {
        self.runs.get(&slot)
    }

    /// The budgets, for the driver's account with the budgets' file.
    pub(crate) fn budgets(&mut self) -> &mut Budgets {
        &mut self.budgets
    }

    /// What to look for in the budgets' file.
    pub(crate) fn watched(&mut self, now: Moment) -> Vec<Watched> {
        let mut drawn_on = HashSet::new();
        for run in self.runs.values().filter(|run| run.takes_work() || !run.flights.is_empty()) {
            let tolls = run.specs.iter().flat_map(|state| state.gate.tolls().iter());
            drawn_on.extend(tolls.map(|toll| toll.budget));
        }
        self.budgets.watched(|budget| !drawn_on.contains(&budget), now)
    }

    /// A run begins: opens its lanes.
    fn begun(&mut self, slot: PlanSlot, started: StartedRun, now: Moment) {
        self.manager.reserve_from(started.next_task);
        let mut run = PlanRun::new(&started, now);
        self.contexts.insert(Arc::as_ptr(&started.context) as usize, slot);
        self.stores.entry(started.store).or_default();
        for spec in started.specs {
            let plan = &run.context.plan;
            let gate = Gate::new(plan.spec(spec.feed.spec), &spec.draws, &mut self.budgets);
            let before = self.budgets.before(&gate, now);
            let mut state = SpecState::new(plan, &spec.feed.progress, gate, before);
            state.reads_rows = matches!(spec.feed.roots, Roots::Rows { .. });
            let lane = self.manager.open(spec.feed);
            self.manager.set_cost(lane, state.gate.first_cost());
            if run.requests_per_task == Some(0) {
                self.manager.seal(lane);
            }
            state.lane = lane;
            self.lanes.insert(lane, (slot, state.spec));
            run.specs.push(state);
            self.manager.expand(lane, now);
        }
        run.dirty = true;
        for state in run.specs.iter().filter(|state| state.reads_rows) {
            // In a retry the parent may be left out: its table stays as it is.
            if state.parent.and_then(|parent| run.spec_state(parent)).is_none_or(|parent| parent.ended) {
                self.manager.open_rows(state.lane);
            }
        }
        for state in run.specs.iter().filter(|state| run.have_ended(&state.lists_from)) {
            self.manager.open_lists(state.lane, run.lists_fall_short(state));
        }
        self.runs.insert(slot, run);
    }

    /// Fills the lanes that run low: from their expansions, and by asking their store for open tasks
    /// and rows. True if there is more to be looked at.
    fn fill(&mut self, now: Moment) -> bool {
        let mut more = false;
        for (slot, run) in &mut self.runs {
            if !run.takes_work() || Core::is_behind(&self.stores, run.store) {
                continue;
            }
            for state in run.specs.iter_mut().filter(|state| !state.ended) {
                more |= self.manager.fill(state.lane, now);
                let list = self.manager.wants_list(state.lane).and_then(|(list, after, limit)| {
                    let (foreach, parent) = state.lists.get(list).copied()?;
                    Some((parent, foreach, after, limit))
                });
                let rows = state.parent.filter(|_| state.reads_rows).and_then(|parent| {
                    let (after, limit) = self.manager.wants_rows(state.lane)?;
                    Some((parent, state.head_place, after, limit))
                });
                for (parent, foreach, after, limit) in list.into_iter().chain(rows) {
                    self.actions.push(Action::ReadRows {
                        store: run.store,
                        slot: *slot,
                        run: run.context.run,
                        parent,
                        child: state.spec,
                        foreach,
                        after,
                        limit,
                    });
                }
                if let Some((after, limit)) = self.manager.wants_load(state.lane) {
                    self.actions.push(Action::Load {
                        store: run.store,
                        slot: *slot,
                        run: run.context.run,
                        spec: state.spec,
                        after,
                        limit,
                        chains: state.guards_chains,
                    });
                }
            }
        }
        more
    }

    fn rows(&mut self, slot: PlanSlot, child: SpecIndex, foreach: usize, rows: DrivenRows, now: Moment) {
        let Some(run) = self.runs.get_mut(&slot) else { return };
        run.dirty = true;
        let Some(state) = run.spec_state(child) else { return };
        match state.lists.iter().position(|(place, _)| *place == foreach) {
            Some(list) => self.manager.list_rows(state.lane, list, rows),
            None => self.manager.rows(state.lane, rows, now),
        }
    }

    fn loaded(
        &mut self,
        slot: PlanSlot,
        spec: SpecIndex,
        tasks: Vec<Task>,
        chains: Vec<(TaskId, Vec<entities::Position>)>,
        now: Moment,
    ) {
        let Some(run) = self.runs.get_mut(&slot) else { return };
        run.dirty = true;
        let Some(state) = run.spec_mut(spec) else { return };
        // Of our own follow-ups the guard knows all, or has forgotten it since their chain has ended.
        let ours = tasks.iter().filter(|task| self.manager.is_ours(state.lane, task.id));
        let known: HashSet<TaskId> = ours.map(|task| task.chain).collect();
        for (chain, positions) in chains.into_iter().filter(|(chain, _)| !known.contains(chain)) {
            state.asked.entry(chain).or_default().extend(positions.iter().map(run::position_hash));
        }
        let lane = state.lane;
        if !self.manager.loaded(lane, tasks, now) {
            let why = format!(
                "the ledger lacks open tasks of `{}` that it counted: nothing is lost, but the account is wrong; \
                 run again with --fresh and report this",
                run.context.plan.spec(spec).name
            );
            self.broken_run(slot, &why, now);
        }
    }

    /// Hands an entry to a run's store.
    fn write(&mut self, store: StoreSlot, entry: Entry, pending: Pending) {
        let uncommitted = self.stores.entry(store).or_default();
        if let Pending::Land { bytes, .. } = &pending {
            uncommitted.landings += 1;
            uncommitted.bytes += bytes;
        }
        uncommitted.entries.push_back(pending);
        self.actions.push(Action::Write { store, entry });
    }

    /// Entries have committed, in the order in which they were handed over.
    fn committed(&mut self, store: StoreSlot, results: Vec<Committed>, now: Moment) {
        for result in results {
            let Some(uncommitted) = self.stores.get_mut(&store) else { return };
            let Some(pending) = uncommitted.entries.pop_front() else { return };
            match pending {
                Pending::Land { slot, spec, task, bytes, failed, skipped, records } => {
                    uncommitted.landings -= 1;
                    uncommitted.bytes -= bytes;
                    self.opened(slot, &result.children);
                    let Some(run) = self.runs.get_mut(&slot) else { continue };
                    run.dirty = true;
                    let refused = result.failed;
                    let Some(state) = run.spec_mut(spec) else { continue };
                    if let Some(settled) = &result.settled {
                        self.manager.settled(state.lane, settled, now);
                    }
                    state.uncommitted -= 1;
                    state.done += 1;
                    state.skipped += u64::from(skipped);
                    state.failed += u64::from(failed || refused.is_some());
                    state.records +=
                        if refused.is_some() { 0 } else { records.saturating_sub(result.dropped) };
                    self.manager.committed(state.lane, task);
                    if let Some(failure) = refused {
                        let event = run.failed_event(spec, failure);
                        self.actions.push(Action::Emit(event));
                    }
                }
                Pending::EndSpec { slot, spec } => {
                    self.opened(slot, &result.children);
                    self.spec_ended(slot, spec);
                }
                Pending::EndRun { slot } => self.run_ended(slot, now),
            }
        }
    }

    /// Children were opened in the ledger.
    fn opened(&mut self, slot: PlanSlot, children: &[(SpecIndex, u64)]) {
        let Some(run) = self.runs.get(&slot) else { return };
        for (child, count) in children {
            if let Some(state) = run.spec_state(*child) {
                self.manager.opened(state.lane, *count);
            }
        }
    }

    /// Whether a store has more to write than it should.
    fn is_behind(stores: &BTreeMap<StoreSlot, Uncommitted>, store: StoreSlot) -> bool {
        stores.get(&store).is_some_and(|u| u.landings >= MOST_LANDINGS || u.bytes >= MOST_BYTES)
    }
}
