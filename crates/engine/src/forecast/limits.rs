//! What the limits of an endpoint mean for so many requests: how long, and when a quota runs out.

use std::time::Duration;

use entities::{Endpoint, Limit, SyncPlan};
use serde::Serialize;

use super::{EndpointForecast, Experience};

/// One limit, and what a run would make of it.
#[derive(Clone, Debug, Serialize)]
pub struct LimitForecast {
    /// As the plan says it.
    pub limit: String,
    /// The least time it leaves for the requests that are known, in seconds.
    #[serde(serialize_with = "super::seconds", rename = "at_least_seconds")]
    pub at_least: Duration,
    /// The least time it leaves for the requests that are estimated.
    #[serde(serialize_with = "super::maybe_seconds", rename = "likely_seconds")]
    pub likely: Option<Duration>,
    /// How long after the start all of it is used for the first time, if the run gets there: from then on
    /// requests wait for it.
    #[serde(serialize_with = "super::maybe_seconds", rename = "runs_out_after_seconds")]
    pub runs_out: Option<Duration>,
}

/// What sets the pace of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bottleneck {
    /// The endpoint.
    pub endpoint: String,
    /// Its limit, as the plan says it; none: its places (`concurrency`), at the pace of earlier runs.
    pub limit: Option<String>,
    /// The time it asks for.
    #[serde(serialize_with = "super::seconds", rename = "seconds")]
    pub time: Duration,
}

/// An endpoint's limits; `seconds`: how long its requests take.
pub(super) fn forecast(
    endpoint: &Endpoint,
    requests: u64,
    estimated: Option<u64>,
    seconds: Option<f64>,
) -> Vec<LimitForecast> {
    let limits = endpoint.limits.in_force();
    let wanted = estimated.unwrap_or(requests);
    let places = seconds.map_or(f64::INFINITY, |seconds| f64::from(endpoint.concurrency) / seconds);
    let forecast = |index: usize, limit: &Limit| {
        // What the others, and the places, let through in a second.
        let others =
            limits.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, limit)| rate(limit));
        let pace = others.fold(places, f64::min);
        let is_used_up = wanted > u64::from(limit.count) && pace > rate(limit);
        LimitForecast {
            limit: limit.text.clone(),
            at_least: least_time(limit, requests),
            likely: estimated.map(|requests| least_time(limit, requests)),
            runs_out: is_used_up.then(|| time(f64::from(limit.count) / pace)),
        }
    };
    limits.iter().enumerate().map(|(index, limit)| forecast(index, limit)).collect()
}

/// The slowest of all limits and endpoints.
pub(super) fn bottleneck(
    plan: &SyncPlan,
    endpoints: &[EndpointForecast],
    experience: &Experience,
) -> Option<Bottleneck> {
    let mut all = Vec::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        for limit in &endpoint.limits {
            all.push(Bottleneck {
                endpoint: endpoint.name.clone(),
                limit: Some(limit.limit.clone()),
                time: limit.likely.unwrap_or(limit.at_least),
            });
        }
        if let Some(seconds) = seconds_of(plan, index, experience) {
            let requests = endpoint.estimated.unwrap_or(endpoint.requests) as f64;
            let places = f64::from(plan.endpoints[index].concurrency.max(1));
            all.push(Bottleneck {
                endpoint: endpoint.name.clone(),
                limit: None,
                time: time(requests * seconds / places),
            });
        }
    }
    all.into_iter().filter(|bottleneck| !bottleneck.time.is_zero()).max_by_key(|bottleneck| bottleneck.time)
}

/// How long the requests of an endpoint took in earlier runs.
pub(super) fn seconds_of(plan: &SyncPlan, endpoint: usize, experience: &Experience) -> Option<f64> {
    let own = plan.tasks.iter().filter(|spec| spec.endpoint.0 as usize == endpoint);
    let learned = own.filter_map(|spec| experience.tasks.get(&spec.name));
    let (requests, seconds) = learned.fold((0.0, 0.0), |(requests, seconds), learned| {
        (requests + learned.requests, seconds + learned.requests * learned.seconds)
    });
    (requests > 0.0 && seconds > 0.0).then(|| seconds / requests)
}

/// The first `count` requests may go at once; each further `count` need another window.
fn least_time(limit: &Limit, requests: u64) -> Duration {
    let windows = requests.saturating_sub(1) / u64::from(limit.count.max(1));
    time(limit.window.as_secs_f64() * windows as f64)
}

fn rate(limit: &Limit) -> f64 {
    f64::from(limit.count) / limit.window.as_secs_f64()
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
