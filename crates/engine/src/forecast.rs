//! What a run would do, from the plan, the cursors, and what earlier runs teach: for `explain`.

mod limits;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use entities::{Bindings, Landing, Moment, Secrets, SpecIndex, SyncPlan};
use expr::{Globals, Scope, Template};
use serde::Serialize;
use serde_json::{Map, Value};
use task_queue::{Expansion, Roots, Rules};

pub use limits::{Bottleneck, LimitForecast};

use crate::EngineError;
use crate::foreach::{Repeats, Shared, combination_names};
use crate::prepare::{secrets_of, select_specs};

/// Beyond so many combinations, the windows that go on from their cursors are counted for some, and
/// reckoned for the others.
const COUNTED: u64 = 5_000;

/// What the ledger knows: by the names of tasks.
#[derive(Clone, Debug, Default)]
pub struct Experience {
    /// What earlier runs took.
    pub tasks: BTreeMap<String, Learned>,
    /// The cursors: combinations ([`Landing::combination_of`]) and the values that their next run goes on
    /// from.
    pub cursors: BTreeMap<String, Vec<(String, Value)>>,
    /// Requests that failed and go first in the next run.
    pub owed: BTreeMap<String, u64>,
}

/// What a task took in earlier runs, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Learned {
    /// Requests a run: first pages and those behind them.
    pub requests: f64,
    /// First pages a run.
    pub first_pages: f64,
    /// Seconds from sending a request to the end of its answer.
    pub seconds: f64,
}

/// What a run would do.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// By task spec, in the plan's order.
    pub tasks: Vec<TaskForecast>,
    /// By endpoint, in the plan's order.
    pub endpoints: Vec<EndpointForecast>,
    /// Requests known before the first answer.
    pub requests: u64,
    /// Requests in all, where every task's number is known or can be learned from earlier runs.
    pub estimated: Option<u64>,
    /// The least time the limits leave for what is known, in seconds.
    #[serde(serialize_with = "seconds", rename = "at_least_seconds")]
    pub at_least: Duration,
    /// The time that the limits, and the places at the endpoints, leave for what is estimated.
    #[serde(serialize_with = "maybe_seconds", rename = "likely_seconds")]
    pub likely: Option<Duration>,
    /// What sets the pace, if anything does.
    pub bottleneck: Option<Bottleneck>,
}

/// What one task spec would do.
#[derive(Clone, Debug, Serialize)]
pub struct TaskForecast {
    /// Its name.
    pub name: String,
    /// Its endpoint.
    pub endpoint: String,
    /// Its table and mode.
    pub table: String,
    /// `append`, `merge`, `replace`, `mirror`
    pub mode: &'static str,
    /// First pages of its own: combinations of its `foreach` names, windows from their cursors included;
    /// none if they depend on another task's records.
    pub combinations: Option<u64>,
    /// The number of combinations was reckoned from some of them.
    pub reckoned: bool,
    /// What earlier runs owe.
    pub owed: u64,
    /// Requests in all, pages included; none if nothing is known of them.
    pub estimated: Option<u64>,
    /// More pages may follow each first one.
    pub pages: bool,
    /// The task whose records it is repeated over.
    pub parent: Option<String>,
    /// The first request, as a template: `GET /repos/{{ repo }}/issues`.
    pub request: String,
    /// What the endpoint allows, in words.
    pub limits: Vec<String>,
}

/// What one endpoint would see.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointForecast {
    /// Its name.
    pub name: String,
    /// `scheme://host[:port]`, or the template where it is not known without secrets.
    pub host: String,
    /// The names of the secrets that go to it.
    pub secrets: Vec<String>,
    /// Requests known before the first answer.
    pub requests: u64,
    /// Requests in all, as far as they can be estimated.
    pub estimated: Option<u64>,
    /// Its limits.
    pub limits: Vec<LimitForecast>,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn maybe_seconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

/// What a run would do, without a network and without secrets.
pub fn forecast(plan: &SyncPlan, now: Moment, experience: &Experience) -> Result<Forecast, EngineError> {
    forecast_of(plan, &[], now, experience)
}

/// What a run of these tasks and their ancestors would do; of all if none is named.
pub fn forecast_of(
    plan: &SyncPlan,
    tasks: &[String],
    now: Moment,
    experience: &Experience,
) -> Result<Forecast, EngineError> {
    let wanted = select_specs(plan, tasks).map_err(EngineError::Plan)?;
    let shared = Shared::new(&plan.vars, now);
    let mut tasks: Vec<TaskForecast> = Vec::with_capacity(plan.tasks.len());
    for index in plan.spec_indices() {
        tasks.push(task(plan, index, &shared, experience).map_err(EngineError::Plan)?);
    }
    estimate(plan, &mut tasks, experience);
    let globals = Globals::new(&plan.vars, &Secrets::default(), now);
    let endpoints: Vec<EndpointForecast> = (0..plan.endpoints.len())
        .map(|endpoint| self::endpoint(plan, endpoint, &tasks, &wanted, &globals, experience))
        .collect();
    let times = || endpoints.iter().flat_map(|endpoint| &endpoint.limits);
    let tasks: Vec<TaskForecast> = wanted.iter().map(|index| tasks[index.0 as usize].clone()).collect();
    let estimated = tasks.iter().map(|task| task.estimated).sum::<Option<u64>>();
    let bottleneck = limits::bottleneck(plan, &endpoints, experience);
    Ok(Forecast {
        requests: endpoints.iter().map(|endpoint| endpoint.requests).sum(),
        estimated,
        at_least: times().map(|limit| limit.at_least).max().unwrap_or(Duration::ZERO),
        likely: estimated.map(|_| bottleneck.as_ref().map_or(Duration::ZERO, |slowest| slowest.time)),
        bottleneck,
        endpoints,
        tasks,
    })
}

fn task(
    plan: &SyncPlan,
    index: SpecIndex,
    shared: &Shared,
    experience: &Experience,
) -> Result<TaskForecast, entities::Failure> {
    let spec = plan.spec(index);
    let endpoint = plan.endpoint_of(index);
    let repeats = Repeats::compile(plan, index, shared)?;
    let (combinations, reckoned) = match repeats.roots()? {
        Roots::Product(expansion) if repeats.slices_heads() => {
            let (count, reckoned) = slices(plan, index, &repeats, &expansion, experience);
            (Some(count), reckoned)
        }
        Roots::Product(expansion) => (Some(expansion.count()), false),
        Roots::None | Roots::Rows { .. } => (None, false),
    };
    Ok(TaskForecast {
        name: spec.name.clone(),
        endpoint: endpoint.name.clone(),
        table: spec.table.clone(),
        mode: spec.mode.as_str(),
        combinations,
        reckoned,
        owed: experience.owed.get(&spec.name).copied().unwrap_or(0),
        estimated: None,
        pages: spec.paginate.is_some(),
        parent: spec.parent().map(|parent| plan.spec(parent).name.clone()),
        request: format!("{} {}", spec.method.as_str(), spec.path.source),
        limits: endpoint.limits.in_force().into_iter().map(|limit| limit.text).collect(),
    })
}

/// How many windows go on from the cursors, over all combinations; what cannot be evaluated is one
/// request that fails.
fn slices(
    plan: &SyncPlan,
    index: SpecIndex,
    repeats: &Repeats,
    expansion: &Expansion,
    experience: &Experience,
) -> (u64, bool) {
    let spec = plan.spec(index);
    let names = combination_names(plan, spec).unwrap_or_default();
    let cursors: BTreeMap<&str, &Value> = experience
        .cursors
        .get(&spec.name)
        .map(|cursors| cursors.iter().map(|(name, value)| (name.as_str(), value)).collect())
        .unwrap_or_default();
    let landed = |bindings: &Bindings| {
        let name = Landing::combination_of(bindings, &names.left_out, None);
        cursors.get(name.as_str()).map(|value| (*value).clone())
    };
    let count_of = |combination: u64| {
        repeats.slices(&expansion.bindings(combination), &landed).map_or(1, |slices| slices.count())
    };
    let total = expansion.count();
    if total <= COUNTED {
        return ((0..total).map(count_of).fold(0, u64::saturating_add), false);
    }
    // Evenly spread, so that a sorted list does not deceive.
    let step = total / COUNTED;
    let some: u64 = (0..COUNTED).map(|number| count_of(number * step)).fold(0, u64::saturating_add);
    (u64::try_from(u128::from(some) * u128::from(total) / u128::from(COUNTED)).unwrap_or(u64::MAX), true)
}

/// Fills in what earlier runs teach: parents before their children, since their number goes with theirs.
fn estimate(plan: &SyncPlan, tasks: &mut [TaskForecast], experience: &Experience) {
    for _ in 0..tasks.len() {
        for index in plan.spec_indices() {
            let at = index.0 as usize;
            let learned = experience.tasks.get(&tasks[at].name).filter(|learned| learned.first_pages > 0.0);
            let first_pages = match (tasks[at].combinations, plan.spec(index).parent()) {
                (Some(combinations), _) => Some(combinations as f64),
                (None, Some(parent)) => learned.and_then(|learned| {
                    let name = &tasks[parent.0 as usize].name;
                    let before = experience.tasks.get(name).filter(|parent| parent.requests > 0.0)?;
                    let parent = tasks[parent.0 as usize].estimated?;
                    Some(learned.first_pages * parent as f64 / before.requests)
                }),
                (None, None) => None,
            };
            let each = match (learned, tasks[at].pages) {
                (Some(learned), _) => Some(learned.requests / learned.first_pages),
                (None, false) => Some(1.0),
                (None, true) => None,
            };
            let requests = first_pages.zip(each).map(|(first_pages, each)| (first_pages * each).round());
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let requests = requests.map(|requests| requests as u64);
            tasks[at].estimated = requests.map(|requests| requests.saturating_add(tasks[at].owed));
        }
    }
}

fn endpoint(
    plan: &SyncPlan,
    index: usize,
    tasks: &[TaskForecast],
    wanted: &[SpecIndex],
    globals: &Globals,
    experience: &Experience,
) -> EndpointForecast {
    let endpoint = &plan.endpoints[index];
    let own: Vec<usize> = wanted
        .iter()
        .map(|task| task.0 as usize)
        .filter(|task| plan.tasks[*task].endpoint.0 as usize == index)
        .collect();
    let known =
        own.iter().map(|task| tasks[*task].combinations.unwrap_or(0).saturating_add(tasks[*task].owed));
    let requests = known.fold(0, u64::saturating_add);
    let estimated = own.iter().map(|task| tasks[*task].estimated).sum::<Option<u64>>();
    let nothing = Map::new();
    let scope = Scope { globals, bindings: &nothing, cursor: None, record: None, page: None };
    let rendered = Template::compile(&endpoint.base_url).and_then(|template| template.render(&scope));
    let host = match rendered {
        Ok(url) => {
            let path =
                url.find("://").and_then(|at| url[at + 3..].find(['/', '?', '#']).map(|end| at + 3 + end));
            url[..path.unwrap_or(url.len())].to_owned()
        }
        Err(_) => endpoint.base_url.source.to_string(),
    };
    let secrets: BTreeSet<String> =
        own.iter().flat_map(|task| secrets_of(plan, &plan.tasks[*task])).collect();
    EndpointForecast {
        name: endpoint.name.clone(),
        host,
        secrets: secrets.into_iter().collect(),
        requests,
        estimated,
        limits: limits::forecast(endpoint, requests, estimated, limits::seconds_of(plan, index, experience)),
    }
}

#[cfg(test)]
mod tests;
