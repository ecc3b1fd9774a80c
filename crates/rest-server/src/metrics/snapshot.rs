//! What plans, limits and workers are doing, as metrics.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;

use entities::Moment;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use service::{Snapshot, Totals};

/// Every word a plan's state has.
const STATES: &[&str] =
    &["idle", "running", "paused", "draining", "complete", "failed", "interrupted", "broken"];

/// A snapshot, to be encoded once.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) version: &'static str,
    pub(crate) listeners: usize,
}

/// A metric's values: labels and a number.
type Values = Vec<(Vec<(&'static str, String)>, f64)>;

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Out { encoder: &mut encoder };
        let version = vec![("version", self.version.to_owned())];
        out.gauges("syncctl_build_info", "The server's version", vec![(version, 1.0)])?;
        self.plans(&mut out)?;
        self.totals(&mut out)?;
        self.limits(&mut out)?;
        let mut states = BTreeMap::from([("idle", 0.0), ("busy", 0.0), ("restarting", 0.0)]);
        for worker in &self.snapshot.workers {
            *states.entry(worker.state).or_default() += 1.0;
        }
        let workers = states.into_iter().map(|(state, count)| (vec![("state", state.to_owned())], count));
        out.gauges("syncctl_workers", "Workers, by what they do", workers.collect())?;
        #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
        let listeners = self.listeners as f64;
        let gauge = ConstGauge::new(listeners);
        gauge.encode(encoder.encode_descriptor(
            "syncctl_event_listeners",
            "Streams of events that are open",
            None,
            MetricType::Gauge,
        )?)
    }
}

impl Numbers {
    fn plans(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let (mut states, mut next, mut ended): (Values, Values, Values) = Default::default();
        for plan in &self.snapshot.plans {
            let labels = vec![("plan", plan.name.to_string())];
            for state in STATES {
                let is = if *state == plan.state.as_str() { 1.0 } else { 0.0 };
                let mut labels = labels.clone();
                labels.push(("state", (*state).to_owned()));
                states.push((labels, is));
            }
            if let Some(at) = plan.next_run {
                next.push((labels.clone(), in_seconds(at)));
            }
            if let Some(last) = &plan.last {
                ended.push((labels, in_seconds(last.at)));
            }
        }
        out.gauges("syncctl_plan_state", "1 for what the plan is doing", states)?;
        out.gauges("syncctl_plan_next_run_timestamp_seconds", "When its schedule starts it next", next)?;
        out.gauges("syncctl_last_run_end_timestamp_seconds", "When its last run ended", ended)
    }

    fn totals(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        type Of = fn(&Totals) -> u64;
        let metrics: [(&str, &str, Of); 5] = [
            ("syncctl_requests", "Requests sent", |totals| totals.requests),
            ("syncctl_records", "Records landed", |totals| totals.records),
            ("syncctl_bytes", "Bytes received", |totals| totals.bytes),
            ("syncctl_failed_requests", "Requests that failed for good", |totals| totals.failed),
            ("syncctl_limited_answers", "Answers that said we were over a limit", |totals| totals.refused),
        ];
        for (name, help, of) in metrics {
            let values = self.snapshot.totals.iter();
            let values = values.map(|(plan, totals)| (vec![("plan", plan.to_string())], of(totals)));
            out.counters(name, help, values.collect())?;
        }
        let runs = self.snapshot.totals.iter().flat_map(|(plan, totals)| {
            totals.runs.iter().map(move |(state, count)| {
                (vec![("plan", plan.to_string()), ("state", (*state).to_owned())], *count)
            })
        });
        out.counters("syncctl_runs", "Runs that ended, by how", runs.collect())
    }

    /// By plan, endpoint and limit: a budget's own name says nothing to people. Tasks with credentials of their own
    /// have budgets of their own at one endpoint: those are summed.
    fn limits(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let mut sums: BTreeMap<[&str; 3], (f64, f64, f64)> = BTreeMap::new();
        for plan in &self.snapshot.live {
            for limit in &plan.limits {
                let sum = sums.entry([plan.plan.as_str(), &limit.endpoint, &limit.limit]).or_default();
                sum.0 += f64::from(limit.used);
                sum.1 += f64::from(limit.allowed);
                sum.2 = sum.2.max(limit.closed.map_or(0.0, |left| left.as_secs_f64()));
            }
        }
        let (mut used, mut allowed, mut closed): (Values, Values, Values) = Default::default();
        for ([plan, endpoint, limit], sum) in sums {
            let labels = vec![
                ("plan", plan.to_owned()),
                ("endpoint", endpoint.to_owned()),
                ("limit", limit.to_owned()),
            ];
            used.push((labels.clone(), sum.0));
            allowed.push((labels.clone(), sum.1));
            closed.push((labels, sum.2));
        }
        out.gauges("syncctl_limit_used", "Tokens in use by this server", used)?;
        out.gauges("syncctl_limit_allowed", "Tokens per window", allowed)?;
        out.gauges("syncctl_limit_closed_seconds", "For how long the server wants nothing", closed)
    }
}

/// Where metrics are written.
struct Out<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
}

impl Out<'_, '_> {
    fn gauges(&mut self, name: &str, help: &str, values: Values) -> Result<(), Error> {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(metric.encode_family(&labels.as_slice())?)?;
        }
        Ok(())
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: Vec<(Vec<(&'static str, String)>, u64)>,
    ) -> Result<(), Error> {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(metric.encode_family(&labels.as_slice())?)?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit an f64")]
fn in_seconds(at: Moment) -> f64 {
    at.as_millis() as f64 / 1000.0
}
