//! What one first path segment stands for: its dataset, its options and the state that goes with them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::bench::Pages;
use crate::dialect::{Dialect, Quota};
use crate::faults::{Fault, History};
use crate::limiter::{Bucket, Limiter};
use crate::log::lock;
use crate::options::{self, Options};
use crate::random::draw;
use crate::recent::Recent;
use crate::server::wall_clock;
use crate::shapes::{Shape, State};

/// One dataset with its options; made on the first request below its segment.
pub(crate) struct Mount {
    pub(crate) segment: String,
    pub(crate) dataset: Dataset,
    pub(crate) options: Options,
    /// Rendered once.
    pub(crate) pages: OnceLock<Pages>,
    /// Nothing may come between a request and its dataset: no limiter, no fault, no credential, no latency.
    pub(crate) plain: bool,
    /// What the APIs of `shapes` remember.
    pub(crate) state: State,
    grown: AtomicU64,
    requests: AtomicU64,
    busy: AtomicUsize,
    most_busy: AtomicUsize,
    /// Shared by all connections; never held across an await.
    limiters: Mutex<Vec<Limiter>>,
    /// What queries are paid with, and how many were refused for lack of it.
    points: Option<Mutex<(Bucket, u64)>>,
    histories: Mutex<Recent<History>>,
}

/// Which data, by the segment's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dataset {
    Tracker,
    Market,
    Hostile,
    Bench,
    Echo,
    Shape(Shape),
}

impl Mount {
    /// `started`: when the server was, in milliseconds since 1970. The error is for the client: an unknown dataset
    /// or option.
    pub(crate) fn new(segment: &str, started: i64) -> Result<Mount, String> {
        let (name, options) = options::parse(segment)?;
        let dataset = match name {
            "tracker" => Dataset::Tracker,
            "market" => Dataset::Market,
            "hostile" => Dataset::Hostile,
            "bench" => Dataset::Bench,
            "echo" => Dataset::Echo,
            _ => Dataset::Shape(Shape::named(name).ok_or_else(|| {
                let shapes: Vec<&str> = Shape::ALL.iter().map(|(name, _)| *name).collect();
                let shapes = shapes.join(", ");
                format!("no dataset `{name}`; there are tracker, market, hostile, bench, echo, {shapes}")
            })?),
        };
        let plain = options.faults.none()
            && options.slow.is_none()
            && options.limits.is_empty()
            && options.concurrency.is_none()
            && options.credential.is_none()
            && options.encoding.is_none();
        let options_grown = options.grown.clone();
        let limiter = |rate| Limiter::new(rate, options.window(rate, started), options.others);
        let limiters = options.limits.iter().copied().map(limiter).collect();
        let points = options.points.map(|rate| Bucket::new(rate.limit, rate.limit, rate.window));
        Ok(Mount {
            segment: segment.to_owned(),
            dataset,
            options,
            pages: OnceLock::new(),
            state: State::new(options_grown),
            plain,
            grown: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            most_busy: AtomicUsize::new(0),
            limiters: Mutex::new(limiters),
            points: points.map(|bucket| Mutex::new((bucket, 0))),
            histories: Mutex::default(),
        })
    }

    /// The size of the data now.
    pub(crate) fn records(&self, default: u64) -> u64 {
        self.options.records.unwrap_or(default).saturating_add(self.grown.load(Ordering::Relaxed))
    }

    pub(crate) fn grow(&self, by: u64) {
        self.grown.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A place under every limit, or how long to wait for it. Either way the arrival counts.
    pub(crate) fn admit(&self, now: Duration) -> Admission {
        let mut limiters = lock(&self.limiters);
        let refusals: Vec<Option<Duration>> =
            limiters.iter_mut().map(|limiter| limiter.arrive(now).err()).collect();
        let refused = refusals.iter().flatten().max().copied();
        for (limiter, refusal) in limiters.iter_mut().zip(&refusals) {
            match refused {
                None => limiter.admit(now),
                Some(_) => limiter.refused += u64::from(refusal.is_some()),
            }
        }
        let headers = match self.options.headers {
            Dialect::None => Vec::new(),
            dialect => {
                let quota = |limiter: &mut Limiter| {
                    let (left, renewed_in) = limiter.left(now);
                    Quota { rate: limiter.rate, left, renewed_in }
                };
                dialect.headers(&limiters.iter_mut().map(quota).collect::<Vec<_>>(), wall_clock())
            }
        };
        Admission { refused, headers }
    }

    /// What `Retry-After` says, if it is there.
    pub(crate) fn retry_after(&self, wait: Duration) -> Option<String> {
        self.options.retry_after.header(wait, wall_clock())
    }

    /// Takes points, `None` if there is no bucket of them; the points that are left then, or that there are too few.
    pub(crate) fn pay(&self, points: u32, now: Duration) -> Option<Result<u32, u32>> {
        let mut held = lock(self.points.as_ref()?);
        let (bucket, refused) = &mut *held;
        if bucket.wait(points, now).is_zero() {
            bucket.take(points, now);
            Some(Ok(bucket.left(now)))
        } else {
            *refused += 1;
            Some(Err(bucket.left(now)))
        }
    }

    /// Gives points back that were not needed; how many are left.
    pub(crate) fn refund(&self, points: u32, now: Duration) -> u32 {
        self.points.as_ref().map_or(0, |points_held| {
            let (bucket, _) = &mut *lock(points_held);
            bucket.give_back(points);
            bucket.left(now)
        })
    }

    /// None: as many as allowed are already being answered.
    pub(crate) fn enter(&self) -> Option<Busy<'_>> {
        let busy = self.busy.fetch_add(1, Ordering::Relaxed) + 1;
        let place = Busy(&self.busy);
        self.most_busy.fetch_max(busy, Ordering::Relaxed);
        self.options.concurrency.is_none_or(|most| busy <= most).then_some(place)
    }

    /// What goes wrong with this coming of a request, and how long it takes.
    pub(crate) fn fate(&self, request: u64) -> (Option<Fault>, Duration) {
        let Options { seed, faults, slow, .. } = &self.options;
        let mut history = History::default();
        let fault = if faults.none() {
            None
        } else {
            let mut histories = lock(&self.histories);
            let known = histories.of(request);
            history = *known;
            faults.next(*seed, request, known)
        };
        let latency = slow.map_or(Duration::ZERO, |(least, most)| {
            let span = (most - least).as_micros() as u64 + 1;
            least + Duration::from_micros(draw(*seed, request, history.came().wrapping_add(1 << 32)) % span)
        });
        (fault, latency)
    }

    /// How many requests, arrivals and tokens are remembered: what must not grow for ever.
    fn remembered(&self) -> usize {
        let arrivals: usize = lock(&self.limiters).iter().map(Limiter::remembered).sum();
        lock(&self.histories).len() + arrivals + self.state.remembered()
    }

    pub(crate) fn stats(&self) -> Value {
        let limiters: Vec<Value> = lock(&self.limiters)
            .iter()
            .map(|limiter| {
                json!({
                    "limit": limiter.rate.limit,
                    "window_seconds": limiter.rate.window.as_secs_f64(),
                    "window": limiter.kind.to_string(),
                    "served": limiter.served,
                    "refused": limiter.refused,
                    "max_in_any_window": limiter.most,
                })
            })
            .collect();
        json!({
            "requests": self.requests.load(Ordering::Relaxed),
            "most_at_once": self.most_busy.load(Ordering::Relaxed),
            "limiters": limiters,
            "remembered": self.remembered(),
            "throttled": self.points.as_ref().map(|points| lock(points).1),
        })
    }
}

/// What the limiters say of one arrival.
pub(crate) struct Admission {
    /// How long until there is a place, if there is none.
    pub(crate) refused: Option<Duration>,
    /// What the answer says of the limits, whatever else it says.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// One request being answered.
pub(crate) struct Busy<'m>(&'m AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
