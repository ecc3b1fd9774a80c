//! What one first path segment stands for: its dataset, its options and the state that goes with them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::Pages;
use crate::faults::{Fault, History};
use crate::limiter::Limiter;
use crate::log::lock;
use crate::options::{self, Options};
use crate::random::draw;
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
    histories: Mutex<HashMap<u64, History>>,
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
    /// The error is for the client: an unknown dataset or option.
    pub(crate) fn new(segment: &str) -> Result<Mount, String> {
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
        let limiters = options.limits.iter().map(|rate| Limiter::new(*rate, options.window)).collect();
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
            histories: Mutex::new(HashMap::new()),
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

    /// A place under every limit, or the seconds to wait. Either way the arrival counts.
    pub(crate) fn admit(&self, now: Duration) -> Result<(), u64> {
        let mut limiters = lock(&self.limiters);
        let refusals: Vec<Option<Duration>> =
            limiters.iter_mut().map(|limiter| limiter.arrive(now).err()).collect();
        let Some(longest) = refusals.iter().flatten().max() else {
            limiters.iter_mut().for_each(|limiter| limiter.admit(now));
            return Ok(());
        };
        for (limiter, refusal) in limiters.iter_mut().zip(&refusals) {
            limiter.refused += u64::from(refusal.is_some());
        }
        Err(self.options.retry_after.unwrap_or_else(|| longest.as_millis().div_ceil(1000) as u64))
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
            let known = histories.entry(request).or_default();
            history = *known;
            faults.next(*seed, request, known)
        };
        let latency = slow.map_or(Duration::ZERO, |(least, most)| {
            let span = (most - least).as_micros() as u64 + 1;
            least + Duration::from_micros(draw(*seed, request, history.came().wrapping_add(1 << 32)) % span)
        });
        (fault, latency)
    }

    pub(crate) fn stats(&self) -> Value {
        let limiters: Vec<Value> = lock(&self.limiters)
            .iter()
            .map(|limiter| {
                json!({
                    "limit": limiter.rate.limit,
                    "window_seconds": limiter.rate.window.as_secs_f64(),
                    "window": format!("{:?}", limiter.kind).to_lowercase(),
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
        })
    }
}

/// One request being answered.
pub(crate) struct Busy<'m>(&'m AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
