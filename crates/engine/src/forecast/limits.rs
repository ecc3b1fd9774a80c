//! What the limits mean for the requests of a run: how long, when a quota runs out, how often it stops.

use std::time::Duration;

use entities::{Limit, Moment, SpecIndex, SyncPlan};
use serde::Serialize;

use super::meters::{Charge, Costs, Meters};
use super::timeline::{Gate, Stream, Timeline, View, is_quota, run};
use super::{Experience, TaskForecast, Usage};

/// One limit, and what a run would make of it.
#[derive(Clone, Debug, Serialize)]
pub struct LimitForecast {
    /// As the plan says it.
    pub limit: String,
    /// Tokens of a window that may be used: the count without the reserve.
    pub allowed: u32,
    /// How well it is known what a request costs.
    pub costs: Costs,
    /// Tokens that the requests that are known take at least, those of all endpoints that share it.
    pub tokens: u64,
    /// Tokens that the estimated requests take.
    pub estimated_tokens: Option<u64>,
    /// Tokens in use already; none if nobody knows.
    pub used: Option<u32>,
    /// The server wants nothing for so long yet.
    #[serde(serialize_with = "super::maybe_seconds", rename = "closed_seconds")]
    pub closed: Option<Duration>,
    /// Tokens a second that refusals have taught to keep to.
    pub learned_rate: Option<f64>,
    /// Other endpoints of the plan that it is shared with.
    pub shared_with: Vec<String>,
    /// The least time it leaves for the requests that are known, in seconds.
    #[serde(serialize_with = "super::seconds", rename = "at_least_seconds")]
    pub at_least: Duration,
    /// The time it leaves for the requests that are estimated.
    #[serde(serialize_with = "super::maybe_seconds", rename = "likely_seconds")]
    pub likely: Option<Duration>,
    /// How long after the start all of it is used for the first time, if the run gets there: from then on
    /// requests wait for it. Of quotas only: what holds for a minute or less is spaced.
    #[serde(serialize_with = "super::maybe_seconds", rename = "runs_out_after_seconds")]
    pub runs_out: Option<Duration>,
    /// How long after the start the first of it comes back then.
    #[serde(serialize_with = "super::maybe_seconds", rename = "opens_after_seconds")]
    pub opens: Option<Duration>,
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

/// A time for which a run stands still longer than it may wait.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PauseForecast {
    /// The endpoint.
    pub endpoint: String,
    /// Its limit that is used up.
    pub limit: String,
    /// When it stops.
    #[serde(serialize_with = "super::rfc3339")]
    pub from: Moment,
    /// When it can go on.
    #[serde(serialize_with = "super::rfc3339")]
    pub until: Moment,
}

/// What the limits make of a run.
pub(super) struct Times {
    /// By endpoint, in the order of their lists.
    pub(super) limits: Vec<Vec<LimitForecast>>,
    pub(super) at_least: Duration,
    /// None where the requests of a task cannot be estimated.
    pub(super) likely: Option<Duration>,
    pub(super) bottleneck: Option<Bottleneck>,
    pub(super) pauses: Vec<PauseForecast>,
    pub(super) paused: u64,
}

/// A run, as far as limits are concerned.
pub(super) struct Outlook<'a> {
    pub(super) plan: &'a SyncPlan,
    /// Of the whole plan.
    pub(super) tasks: &'a [TaskForecast],
    pub(super) wanted: &'a [SpecIndex],
    pub(super) meters: &'a Meters,
    pub(super) experience: &'a Experience,
    pub(super) now: Moment,
    /// A limit that asks for a longer wait stops the run.
    pub(super) patience: Duration,
}

/// Tasks that wait for one another's requests, since they share limits or places.
struct Group {
    tasks: Vec<usize>,
    meters: Vec<usize>,
}

impl Outlook<'_> {
    pub(super) fn times(&self) -> Times {
        let (mut at_least, mut likely) = (Duration::ZERO, Some(Duration::ZERO));
        let (mut pauses, mut paused) = (Vec::new(), 0);
        let mut dry = vec![None; self.meters.all.len()];
        for group in self.groups() {
            let least = self.run(&group.tasks, &group.meters, View::Least, known);
            at_least = at_least.max(least.end);
            let estimated = self.requests(&group.tasks, estimated).is_some();
            let timeline = match estimated {
                true => self.run(&group.tasks, &group.meters, View::Likely, self::estimated),
                false => self.run(&group.tasks, &group.meters, View::Likely, known),
            };
            likely = likely.filter(|_| estimated).map(|so_far| so_far.max(timeline.end));
            paused += timeline.paused;
            for (gate, found) in timeline.dry.iter().enumerate() {
                dry[group.meters[gate]] = *found;
            }
            pauses.extend(timeline.pauses.into_iter().map(|pause| {
                let meter = &self.meters.all[group.meters[pause.gate]];
                PauseForecast {
                    endpoint: meter.declared.first().map(|(by, _)| self.name(*by)).unwrap_or_default(),
                    limit: meter.limit.text.clone(),
                    from: self.now + pause.from,
                    until: self.now + pause.until,
                }
            }));
        }
        pauses.sort_by_key(|pause| pause.from);
        let limits: Vec<Vec<LimitForecast>> =
            (0..self.plan.endpoints.len()).map(|endpoint| self.limits(endpoint, &dry)).collect();
        let slowest = limits.iter().flatten().map(|limit| limit.at_least).max().unwrap_or_default();
        let at_least = at_least.max(slowest);
        Times {
            at_least,
            likely: likely.map(|likely| likely.max(at_least)),
            bottleneck: self.bottleneck(&limits),
            limits,
            pauses,
            paused,
        }
    }

    /// Tasks by the limits and places that they share.
    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for index in self.wanted {
            let task = index.0 as usize;
            let own: Vec<usize> = self.meters.charges[task].iter().map(|charge| charge.meter).collect();
            let endpoint = self.plan.tasks[task].endpoint;
            let (together, apart): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(|group| {
                group.meters.iter().any(|meter| own.contains(meter))
                    || group.tasks.iter().any(|other| self.plan.tasks[*other].endpoint == endpoint)
            });
            groups = apart;
            let mut joined = Group { tasks: vec![task], meters: own };
            for group in together {
                joined.tasks.extend(group.tasks);
                joined.meters.extend(group.meters);
            }
            joined.meters.sort_unstable();
            joined.meters.dedup();
            groups.push(joined);
        }
        groups
    }

    /// These tasks under these meters, as one stream.
    fn run(&self, tasks: &[usize], meters: &[usize], view: View, count: Count) -> Timeline {
        let requests = self.requests(tasks, count).unwrap_or(0) as f64;
        let (places, latency) = match view {
            View::Least => (f64::INFINITY, 0.0),
            View::Likely => self.places(tasks, requests, count),
        };
        let gates: Vec<Gate> =
            meters.iter().map(|meter| self.gate(tasks, *meter, view, count, requests)).collect();
        run(&Stream { requests, gates: &gates, places, latency, view, patience: self.patience }, self.now)
    }

    /// The requests of a meter under it alone: whatever the places let through.
    fn run_alone(&self, tasks: &[usize], meter: usize, view: View, count: Count) -> Timeline {
        let requests = self.requests(tasks, count).unwrap_or(0) as f64;
        let latency = if view == View::Likely { self.places(tasks, requests, count).1 } else { 0.0 };
        let gates = [self.gate(tasks, meter, view, count, requests)];
        let (places, patience) = (f64::INFINITY, self.patience);
        run(&Stream { requests, gates: &gates, places, latency, view, patience }, self.now)
    }

    fn gate(&self, tasks: &[usize], meter: usize, view: View, count: Count, requests: f64) -> Gate {
        let tokens = self.tokens(tasks, meter, view, count).unwrap_or(0.0);
        let usage = self.usage(meter);
        Gate {
            limit: self.meters.all[meter].limit.clone(),
            cost: if requests > 0.0 { tokens / requests } else { 0.0 },
            held: usage.map(|usage| usage.held.clone()).unwrap_or_default(),
            closed: usage.and_then(|usage| usage.closed),
            gap: usage.and_then(|usage| usage.gap),
        }
    }

    fn requests(&self, tasks: &[usize], count: Count) -> Option<u64> {
        tasks
            .iter()
            .map(|task| count(&self.tasks[*task]))
            .try_fold(0u64, |sum, own| own.map(|own| sum.saturating_add(own)))
    }

    /// What these tasks take of a meter.
    fn tokens(&self, tasks: &[usize], meter: usize, view: View, count: Count) -> Option<f64> {
        let of = |charge: &Charge| match view {
            View::Least => f64::from(charge.least),
            View::Likely => f64::from(charge.likely),
        };
        let own = tasks.iter().filter_map(|task| {
            let charge = self.meters.charges[*task].iter().find(|charge| charge.meter == meter)?;
            Some(count(&self.tasks[*task]).map(|requests| requests as f64 * of(charge)))
        });
        own.sum()
    }

    /// Requests a second that the endpoints' places let through, and how long a request takes.
    fn places(&self, tasks: &[usize], requests: f64, count: Count) -> (f64, f64) {
        let (mut pace, mut took) = (f64::INFINITY, 0.0);
        for (index, endpoint) in self.plan.endpoints.iter().enumerate() {
            let own: Vec<usize> = tasks
                .iter()
                .copied()
                .filter(|task| self.plan.tasks[*task].endpoint.0 as usize == index)
                .collect();
            let number = self.requests(&own, count).unwrap_or(0) as f64;
            if number > 0.0
                && let Some(seconds) = seconds_of(self.plan, index, self.experience)
            {
                took += seconds * number;
                pace = pace.min(f64::from(endpoint.concurrency.max(1)) / seconds * requests / number);
            }
        }
        (pace, if requests > 0.0 { took / requests } else { 0.0 })
    }

    /// What is known of a meter's use: the same by whatever place it is declared.
    fn usage(&self, meter: usize) -> Option<&Usage> {
        let declared = &self.meters.all[meter].declared;
        declared.iter().find_map(|at| self.experience.usage.get(at))
    }

    fn name(&self, endpoint: usize) -> String {
        self.plan.endpoints[endpoint].name.clone()
    }

    /// What becomes of the limits of an endpoint, in the order of its list.
    fn limits(&self, endpoint: usize, dry: &[Option<(Duration, Duration)>]) -> Vec<LimitForecast> {
        let limits = self.plan.endpoints[endpoint].limits.in_force();
        let forecast = |(place, limit): (usize, &Limit)| {
            let of_place = |meter: &usize| self.meters.all[*meter].declared.contains(&(endpoint, place));
            // Tasks with credentials of their own have meters of their own: the slowest is told of.
            let forecasts = (0..self.meters.all.len())
                .filter(of_place)
                .map(|meter| self.limit(endpoint, meter, limit, dry[meter]));
            forecasts.max_by_key(|forecast| forecast.likely.unwrap_or(forecast.at_least)).unwrap_or_else(
                || LimitForecast {
                    limit: limit.text.clone(),
                    allowed: limit.usable(),
                    costs: Costs::Fixed,
                    tokens: 0,
                    estimated_tokens: Some(0),
                    used: None,
                    closed: None,
                    learned_rate: None,
                    shared_with: Vec::new(),
                    at_least: Duration::ZERO,
                    likely: Some(Duration::ZERO),
                    runs_out: None,
                    opens: None,
                },
            )
        };
        limits.iter().enumerate().map(forecast).collect()
    }

    fn limit(
        &self,
        endpoint: usize,
        meter: usize,
        limit: &Limit,
        dry: Option<(Duration, Duration)>,
    ) -> LimitForecast {
        let at = &self.meters.all[meter];
        let charges = &self.meters.charges;
        let charge_of = |task: &usize| charges[*task].iter().find(|charge| charge.meter == meter);
        let tasks: Vec<usize> = (0..charges.len()).filter(|task| charge_of(task).is_some()).collect();
        let usage = self.usage(meter);
        let tokens = self.tokens(&tasks, meter, View::Least, known).unwrap_or(0.0);
        let estimated_tokens = self.tokens(&tasks, meter, View::Likely, estimated);
        let at_least =
            self.run_alone(&tasks, meter, View::Least, known).end.max(least_time(&at.limit, tokens));
        let likely = estimated_tokens
            .map(|_| self.run_alone(&tasks, meter, View::Likely, estimated).end.max(at_least));
        let others = at.declared.iter().filter(|(by, _)| *by != endpoint).map(|(by, _)| self.name(*by));
        LimitForecast {
            limit: limit.text.clone(),
            allowed: at.limit.usable(),
            costs: tasks.iter().filter_map(charge_of).map(|charge| charge.costs).max().unwrap_or_default(),
            tokens: whole(tokens),
            estimated_tokens: estimated_tokens.map(whole),
            used: usage.map(|usage| {
                usage.held.iter().filter(|(until, _)| *until > self.now).map(|(_, held)| held).sum()
            }),
            closed: usage
                .and_then(|usage| usage.closed)
                .filter(|until| *until > self.now)
                .map(|until| until.since(self.now)),
            learned_rate: usage
                .and_then(|usage| usage.gap)
                .filter(|gap| !gap.is_zero())
                .map(|gap| 1.0 / gap.as_secs_f64()),
            shared_with: others.collect(),
            at_least,
            likely,
            runs_out: dry.map(|(runs_out, _)| runs_out).filter(|_| is_quota(&at.limit)),
            opens: dry.map(|(_, opens)| opens).filter(|_| is_quota(&at.limit)),
        }
    }

    /// The slowest of all limits and endpoints.
    fn bottleneck(&self, limits: &[Vec<LimitForecast>]) -> Option<Bottleneck> {
        let mut all = Vec::new();
        for (index, (endpoint, limits)) in self.plan.endpoints.iter().zip(limits).enumerate() {
            for limit in limits {
                all.push(Bottleneck {
                    endpoint: endpoint.name.clone(),
                    limit: Some(limit.limit.clone()),
                    time: limit.likely.unwrap_or(limit.at_least),
                });
            }
            let own: Vec<usize> = self.wanted.iter().map(|task| task.0 as usize).collect();
            let own: Vec<usize> =
                own.into_iter().filter(|task| self.plan.tasks[*task].endpoint.0 as usize == index).collect();
            let requests = self.requests(&own, estimated).or_else(|| self.requests(&own, known)).unwrap_or(0);
            let (pace, _) = self.places(&own, requests as f64, known_or_estimated);
            if pace.is_finite() {
                let time = time(requests as f64 / pace);
                all.push(Bottleneck { endpoint: endpoint.name.clone(), limit: None, time });
            }
        }
        all.into_iter().filter(|slowest| !slowest.time.is_zero()).max_by_key(|slowest| slowest.time)
    }
}

/// How many requests a task makes.
type Count = fn(&TaskForecast) -> Option<u64>;

/// Known before the first answer.
fn known(task: &TaskForecast) -> Option<u64> {
    Some(task.combinations.unwrap_or(0).saturating_add(task.owed))
}

/// In all; none if nobody can know.
fn estimated(task: &TaskForecast) -> Option<u64> {
    task.estimated
}

fn known_or_estimated(task: &TaskForecast) -> Option<u64> {
    estimated(task).or_else(|| known(task))
}

/// How long the requests of an endpoint took in earlier runs.
fn seconds_of(plan: &SyncPlan, endpoint: usize, experience: &Experience) -> Option<f64> {
    let own = plan.tasks.iter().filter(|spec| spec.endpoint.0 as usize == endpoint);
    let learned = own.filter_map(|spec| experience.tasks.get(&spec.name));
    let (requests, seconds) = learned.fold((0.0, 0.0), |(requests, seconds), learned| {
        (requests + learned.requests, seconds + learned.requests * learned.seconds)
    });
    (requests > 0.0 && seconds > 0.0).then(|| seconds / requests)
}

/// All tokens may go at once; each further lot needs another window, unless the calendar brings it.
fn least_time(limit: &Limit, tokens: f64) -> Duration {
    if limit.resets.is_some() || tokens < 1.0 {
        return Duration::ZERO;
    }
    time(limit.window.as_secs_f64() * ((tokens - 1.0) / f64::from(limit.usable())).floor())
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Saturates.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is no less than 0"
)]
fn whole(tokens: f64) -> u64 {
    tokens.round() as u64
}
