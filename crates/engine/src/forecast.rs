//! What a run would do, from the plan, the cursors, what earlier runs teach and what is used of the
//! limits: for `explain`.

mod limits;
mod meters;
mod requests;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use entities::{Endpoint, Moment, Secrets, SpecIndex, SyncPlan};
use expr::{Globals, Scope, Template};
use serde::Serialize;
use serde_json::{Map, Value};

pub use limits::{Bottleneck, LimitForecast, PauseForecast};
pub use meters::Costs;

use crate::EngineError;
use crate::foreach::Shared;
use crate::prepare::{secrets_of, select_specs};
use limits::Outlook;
use meters::Meters;

/// What the ledger knows, by the names of tasks, and what the budgets know.
#[derive(Clone, Debug, Default)]
pub struct Experience {
    /// What earlier runs took.
    pub tasks: BTreeMap<String, Learned>,
    /// The cursors: combinations ([`Landing::combination_of`](entities::Landing::combination_of)) and the values that their next run goes on
    /// from.
    pub cursors: BTreeMap<String, Vec<(String, Value)>>,
    /// Requests that failed and go first in the next run.
    pub owed: BTreeMap<String, u64>,
    /// What is used of the limits already: by endpoint, and place in the list of its limits. Nothing is
    /// known of those that are absent.
    pub usage: BTreeMap<(usize, usize), Usage>,
}

/// How much of a limit is used before a run begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens in use, and when they come back.
    pub held: Vec<(Moment, u32)>,
    /// The server wants nothing before.
    pub closed: Option<Moment>,
    /// The least time between two tokens that refusals have taught.
    pub gap: Option<Duration>,
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
    /// The time that the limits and the places at the endpoints leave together for what is estimated.
    #[serde(serialize_with = "maybe_seconds", rename = "likely_seconds")]
    pub likely: Option<Duration>,
    /// When it would be complete, if it began now and went on after each pause as soon as it can.
    #[serde(serialize_with = "maybe_rfc3339")]
    pub completes_at: Option<Moment>,
    /// What sets the pace, if anything does.
    pub bottleneck: Option<Bottleneck>,
    /// How often it would pause: a limit asks for a longer wait than is allowed.
    pub paused: u64,
    /// The first of these pauses.
    pub pauses: Vec<PauseForecast>,
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

fn rfc3339<S: serde::Serializer>(moment: &Moment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&moment.to_rfc3339())
}

fn maybe_rfc3339<S: serde::Serializer>(moment: &Option<Moment>, serializer: S) -> Result<S::Ok, S::Error> {
    moment.map(Moment::to_rfc3339).serialize(serializer)
}

/// What a run of all tasks would do, without a network and without secrets.
pub fn forecast(plan: &SyncPlan, now: Moment, experience: &Experience) -> Result<Forecast, EngineError> {
    forecast_of(plan, &[], now, experience, Duration::MAX)
}

/// What a run of these tasks and their ancestors would do; of all if none is named. A limit that asks for
/// a wait of more than `patience` pauses it.
pub fn forecast_of(
    plan: &SyncPlan,
    tasks: &[String],
    now: Moment,
    experience: &Experience,
    patience: Duration,
) -> Result<Forecast, EngineError> {
    let wanted = select_specs(plan, tasks).map_err(EngineError::Plan)?;
    let shared = Shared::new(&plan.vars, now);
    let mut tasks: Vec<TaskForecast> = Vec::with_capacity(plan.tasks.len());
    for index in plan.spec_indices() {
        tasks.push(requests::task(plan, index, &shared, experience).map_err(EngineError::Plan)?);
    }
    requests::estimate(plan, &mut tasks, experience);
    let globals = Globals::new(&plan.vars, &Secrets::default(), now);
    let hosts: Vec<String> = plan.endpoints.iter().map(|endpoint| host(endpoint, &globals)).collect();
    let meters = Meters::new(plan, &wanted, &hosts);
    let outlook =
        Outlook { plan, tasks: &tasks, wanted: &wanted, meters: &meters, experience, now, patience };
    let times = outlook.times();
    let endpoints: Vec<EndpointForecast> = hosts
        .into_iter()
        .zip(times.limits)
        .enumerate()
        .map(|(index, (host, limits))| endpoint(plan, index, &tasks, &wanted, host, limits))
        .collect();
    let tasks: Vec<TaskForecast> = wanted.iter().map(|index| tasks[index.0 as usize].clone()).collect();
    Ok(Forecast {
        requests: endpoints.iter().map(|endpoint| endpoint.requests).fold(0, u64::saturating_add),
        estimated: sum(tasks.iter().map(|task| task.estimated)),
        at_least: times.at_least,
        likely: times.likely,
        completes_at: times.likely.map(|likely| now + likely),
        bottleneck: times.bottleneck,
        paused: times.paused,
        pauses: times.pauses,
        endpoints,
        tasks,
    })
}

/// None if one of them is not known.
fn sum(mut numbers: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    numbers.try_fold(0u64, |sum, number| number.map(|number| sum.saturating_add(number)))
}

fn endpoint(
    plan: &SyncPlan,
    index: usize,
    tasks: &[TaskForecast],
    wanted: &[SpecIndex],
    host: String,
    limits: Vec<LimitForecast>,
) -> EndpointForecast {
    let own: Vec<usize> = wanted
        .iter()
        .map(|task| task.0 as usize)
        .filter(|task| plan.tasks[*task].endpoint.0 as usize == index)
        .collect();
    let known =
        own.iter().map(|task| tasks[*task].combinations.unwrap_or(0).saturating_add(tasks[*task].owed));
    let secrets: BTreeSet<String> =
        own.iter().flat_map(|task| secrets_of(plan, &plan.tasks[*task])).collect();
    EndpointForecast {
        name: plan.endpoints[index].name.clone(),
        host,
        secrets: secrets.into_iter().collect(),
        requests: known.fold(0, u64::saturating_add),
        estimated: sum(own.iter().map(|task| tasks[*task].estimated)),
        limits,
    }
}

/// `scheme://host[:port]` of an endpoint, or its template where it is not known without secrets.
fn host(endpoint: &Endpoint, globals: &Globals) -> String {
    let nothing = Map::new();
    let scope = Scope { globals, bindings: &nothing, cursor: None, record: None, page: None };
    let rendered = Template::compile(&endpoint.base_url).and_then(|template| template.render(&scope));
    let Ok(url) = rendered else { return endpoint.base_url.source.to_string() };
    let path = url.find("://").and_then(|at| url[at + 3..].find(['/', '?', '#']).map(|end| at + 3 + end));
    url[..path.unwrap_or(url.len())].to_owned()
}

#[cfg(test)]
mod tests;
