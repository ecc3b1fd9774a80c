//! The state of one plan's run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use entities::{
    EngineEvent, Failure, FailureClass, FailureKind, Foreach, Limit, Mode, Moment, PaginateBy, PlanState,
    Position, RunContext, RunEnd, SpecIndex, SpecProgress, SyncPlan, TaskId, Which,
};
use rate_limit::Learned;
use task_queue::{Feed, LaneId};
use xxhash_rust::xxh3::xxh3_64;

use super::flight::Flight;
use super::gate::Gate;
use super::limits::Before;
use super::{BudgetKey, StoreSlot};

/// A run as the driver hands it over: begun in the store, compiled, its lists evaluated.
pub(crate) struct StartedRun {
    pub(crate) context: Arc<RunContext>,
    pub(crate) store: StoreSlot,
    pub(crate) next_task: TaskId,
    /// The longest wait a limit may ask for.
    pub(crate) wait: Duration,
    /// Each spec sends so many requests and no more.
    pub(crate) requests_per_task: Option<u64>,
    pub(crate) specs: Vec<StartedSpec>,
}

/// A spec of it.
pub(crate) struct StartedSpec {
    pub(crate) feed: Feed,
    /// The budgets that its requests draw on; never empty.
    pub(crate) draws: Vec<Draw>,
}

/// A budget that a spec's requests draw on.
pub(crate) struct Draw {
    pub(crate) budget: BudgetKey,
    /// The limits of its endpoint that are in this budget.
    pub(crate) limits: Vec<DrawnLimit>,
    /// A server closed the budget in an earlier run, or to another process.
    pub(crate) closed_until: Option<Moment>,
}

/// One of them.
pub(crate) struct DrawnLimit {
    /// Its index in the endpoint's [`Limits::in_force`](entities::Limits::in_force).
    pub(crate) index: usize,
    pub(crate) limit: Limit,
    /// What refusals have taught in an earlier run, or other processes.
    pub(crate) learned: Option<Learned>,
}

/// One plan's run.
pub(crate) struct PlanRun {
    pub(crate) context: Arc<RunContext>,
    pub(crate) store: StoreSlot,
    pub(crate) state: PlanState,
    pub(crate) specs: Vec<SpecState>,
    /// Requests in flight, by endpoint.
    pub(crate) endpoints: Vec<u32>,
    pub(crate) flights: HashMap<TaskId, Flight>,
    pub(crate) wait: Duration,
    pub(crate) requests_per_task: Option<u64>,
    pub(crate) started: Moment,
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    /// `EndRun` has been written with this.
    pub(crate) ending: Option<RunEnd>,
    /// Why it could not go on.
    pub(crate) reason: Option<String>,
    /// When a run paused for a limit can go on.
    pub(crate) resumes_at: Option<Moment>,
    /// Something happened that may end a spec.
    pub(crate) dirty: bool,
    /// Its report has been made: nothing that happens concerns it any more.
    pub(crate) over: bool,
}

/// The lane of a spec that has none: numbers of closed lanes are given to other runs' specs.
pub(crate) const NO_LANE: LaneId = LaneId(u32::MAX);

/// A spec of a run.
pub(crate) struct SpecState {
    pub(crate) spec: SpecIndex,
    pub(crate) lane: LaneId,
    pub(crate) gate: Gate,
    /// How its limits stood when the run began.
    pub(crate) before: Vec<Before>,
    /// The spec whose records are its heads.
    pub(crate) parent: Option<SpecIndex>,
    /// All whose records it is repeated over.
    pub(crate) parents: Vec<SpecIndex>,
    /// Its names that run over lists, by their places in `foreach`, and the specs whose rows those are.
    pub(crate) lists: Vec<(usize, SpecIndex)>,
    /// The specs that fill the tables of its lists.
    pub(crate) lists_from: Vec<SpecIndex>,
    pub(crate) in_flight: u64,
    /// Landings handed to the store and not yet committed.
    pub(crate) uncommitted: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Characters replaced since the run was last started.
    pub(crate) replaced: u64,
    pub(crate) records: u64,
    /// `EndSpec` has been written.
    pub(crate) ending: bool,
    /// `EndSpec` has committed.
    pub(crate) ended: bool,
    /// It pages by what answers say, so that it may be led in circles.
    pub(crate) guards_chains: bool,
    /// What the chains under way have asked for, hashed.
    pub(crate) asked: HashMap<TaskId, HashSet<u64>>,
    /// The place of the head's name in `foreach`.
    pub(crate) head_place: usize,
    /// It is repeated over all rows of its parent's table.
    pub(crate) reads_rows: bool,
    /// The tasks it has begun, where their number is bounded.
    pub(crate) begun: HashSet<TaskId>,
}

impl SpecState {
    /// The state of a spec as the ledger knows it; its lane is yet to be opened.
    pub(crate) fn new(plan: &SyncPlan, progress: &SpecProgress, gate: Gate, before: Vec<Before>) -> Self {
        let spec = plan.spec(progress.spec);
        let guards_chains = spec.paginate.as_ref().is_some_and(|paginate| {
            matches!(paginate.by, PaginateBy::Token { .. } | PaginateBy::Url { .. } | PaginateBy::Link { .. })
        });
        SpecState {
            spec: progress.spec,
            lane: NO_LANE,
            gate,
            before,
            parent: spec.parent(),
            parents: spec.parents().collect(),
            lists: spec.list_places().collect(),
            lists_from: plan.fillers_of_lists(progress.spec),
            in_flight: 0,
            uncommitted: 0,
            done: progress.done,
            failed: progress.failed,
            skipped: progress.skipped,
            replaced: 0,
            records: progress.records,
            ending: progress.ended,
            ended: progress.ended,
            guards_chains,
            asked: HashMap::new(),
            head_place: spec.head_place().unwrap_or(0),
            reads_rows: false,
            begun: HashSet::new(),
        }
    }
}

impl PlanRun {
    pub(crate) fn new(started: &StartedRun, now: Moment) -> Self {
        PlanRun {
            context: Arc::clone(&started.context),
            store: started.store,
            state: PlanState::Running,
            specs: Vec::with_capacity(started.specs.len()),
            endpoints: vec![0; started.context.plan.endpoints.len()],
            flights: HashMap::new(),
            wait: started.wait,
            requests_per_task: started.requests_per_task,
            started: now,
            requests: 0,
            bytes: 0,
            ending: None,
            reason: None,
            resumes_at: None,
            dirty: true,
            over: false,
        }
    }

    /// Whether new requests may go out.
    pub(crate) fn takes_work(&self) -> bool {
        self.state == PlanState::Running && self.ending.is_none()
    }

    pub(crate) fn spec_mut(&mut self, spec: SpecIndex) -> Option<&mut SpecState> {
        self.specs.iter_mut().find(|state| state.spec == spec)
    }

    pub(crate) fn spec_state(&self, spec: SpecIndex) -> Option<&SpecState> {
        self.specs.iter().find(|state| state.spec == spec)
    }

    /// Failed tasks of a spec, of its ancestors and of what fills its lists in this run.
    pub(crate) fn failed_up_from(&self, spec: SpecIndex) -> u64 {
        let mut line = vec![spec];
        let mut at = 0;
        let mut failed = 0;
        while let Some(spec) = line.get(at).copied() {
            at += 1;
            let Some(state) = self.spec_state(spec) else { continue };
            failed += state.failed;
            // Two of them may have an ancestor in common.
            for parent in state.parents.iter().chain(&state.lists_from) {
                if !line.contains(parent) {
                    line.push(*parent);
                }
            }
        }
        failed
    }

    /// Whether none of these specs has anything to do in this run any more.
    pub(crate) fn have_ended(&self, specs: &[SpecIndex]) -> bool {
        specs.iter().filter_map(|spec| self.spec_state(*spec)).all(|state| state.ended)
    }

    /// Why the lists of a spec are not all there, where nobody would come back for the rest: records that are
    /// new drive a pair once, and a row that comes later drives none. So they are owed instead. (A full
    /// copy is not swapped in, and asks for all of them in the next run.)
    pub(crate) fn lists_fall_short(&self, state: &SpecState) -> Option<Failure> {
        let plan = &self.context.plan;
        let spec = plan.spec(state.spec);
        if spec.which() != Some(Which::Changed) || matches!(spec.mode, Mode::Replace | Mode::Mirror(_)) {
            return None;
        }
        let failed = state.lists_from.iter().find(|from| self.failed_up_from(**from) > 0)?;
        let (from, table) = (&plan.spec(*failed).name, &plan.spec(*failed).table);
        let fills = |list: &&Foreach| {
            list.task().is_some_and(|task| plan.spec(task).table.eq_ignore_ascii_case(table))
        };
        let list = spec.lists().find(fills)?;
        let message = format!(
            "`foreach.{}` runs over all rows of table `{table}`, and not all of them could be had: task `{from}` failed",
            list.name
        );
        let failure = Failure::new(FailureClass::Permanent, FailureKind::Expression, message);
        Some(failure.at(list.at).help(format!(
            "make [tasks.{from}] good: the next run asks for this again. What its API never gives can be left out there with `on`"
        )))
    }

    pub(crate) fn failed_event(&self, spec: SpecIndex, failure: Failure) -> EngineEvent {
        EngineEvent::Failed {
            plan: self.context.plan.name.clone(),
            task: self.context.plan.spec(spec).name.clone(),
            failure,
        }
    }
}

/// A page position as the guard against loops remembers it.
pub(crate) fn position_hash(position: &Position) -> u64 {
    match position {
        Position::First => xxh3_64(b"first"),
        Position::Number(number) => xxh3_64(format!("n{number}").as_bytes()),
        Position::Offset(offset) => xxh3_64(format!("o{offset}").as_bytes()),
        Position::Token(token) => xxh3_64(format!("t{token}").as_bytes()),
        Position::Url(url) => xxh3_64(format!("u{url}").as_bytes()),
    }
}
