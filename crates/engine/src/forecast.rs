//! What a run would do, from the plan alone: for `explain`.

use std::time::Duration;

use entities::{Limit, Moment, SyncPlan};
use serde::Serialize;

use crate::EngineError;
use crate::prepare::expand;

/// What a run would do.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// By task spec, in the plan's order.
    pub tasks: Vec<TaskForecast>,
    /// Requests known before the first answer.
    pub requests: u64,
    /// The least time the limits leave for them, in seconds.
    #[serde(serialize_with = "seconds")]
    pub at_least: Duration,
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
    /// `append`, `merge`, `replace`
    pub mode: &'static str,
    /// Combinations of its `foreach` names; none if they depend on another task's records.
    pub combinations: Option<u64>,
    /// More pages may follow each first one.
    pub pages: bool,
    /// The task whose records it is repeated over.
    pub parent: Option<String>,
    /// The first request, as a template: `GET /repos/{{ repo }}/issues`.
    pub request: String,
    /// What the endpoint allows, in words.
    pub limits: Vec<String>,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// What a run would do, without a network and without secrets.
pub fn forecast(plan: &SyncPlan, now: Moment) -> Result<Forecast, EngineError> {
    let mut tasks = Vec::with_capacity(plan.tasks.len());
    let mut by_endpoint = vec![0u64; plan.endpoints.len()];
    for index in plan.spec_indices() {
        let spec = plan.spec(index);
        let endpoint = plan.endpoint_of(index);
        let expansion = expand(plan, index, &plan.vars, now).map_err(EngineError::Plan)?;
        let combinations = expansion.map(|expansion| expansion.count());
        let known = &mut by_endpoint[spec.endpoint.0 as usize];
        *known = known.saturating_add(combinations.unwrap_or(0));
        tasks.push(TaskForecast {
            name: spec.name.clone(),
            endpoint: endpoint.name.clone(),
            table: spec.table.clone(),
            mode: spec.mode.as_str(),
            combinations,
            pages: spec.paginate.is_some(),
            parent: spec.parent().map(|parent| plan.spec(parent).name.clone()),
            request: format!("{} {}", spec.method.as_str(), spec.path.source),
            limits: endpoint.limits.in_force().into_iter().map(|limit| limit.text).collect(),
        });
    }
    let at_least = plan
        .endpoints
        .iter()
        .zip(&by_endpoint)
        .flat_map(|(endpoint, requests)| {
            endpoint.limits.in_force().into_iter().map(move |limit| least_time(&limit, *requests))
        })
        .max()
        .unwrap_or(Duration::ZERO);
    Ok(Forecast { tasks, requests: by_endpoint.iter().sum(), at_least })
}

/// The first `count` requests may go at once; each further `count` need another window.
fn least_time(limit: &Limit, requests: u64) -> Duration {
    let windows = requests.saturating_sub(1) / u64::from(limit.count.max(1));
    Duration::try_from_secs_f64(limit.window.as_secs_f64() * windows as f64).unwrap_or(Duration::MAX)
}
