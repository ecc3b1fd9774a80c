//! `/metrics`: what Prometheus reads (OpenMetrics 1.0). Numbers of plans come from the snapshot; only those of our own
//! answers are counted here.

mod process;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use entities::Moment;
use http::{Method, StatusCode};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use service::Snapshot;

use crate::problem::Problem;

/// The media type of metrics.
pub(crate) const METRICS_TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels: route, method, status.
type Answer = [(&'static str, String); 3];

/// Counts of our own answers.
pub(crate) struct HttpMetrics {
    registry: Registry,
    answers: Family<Answer, Counter>,
    seconds: Histogram,
}

impl HttpMetrics {
    pub(crate) fn new() -> HttpMetrics {
        let answers = Family::<Answer, Counter>::default();
        let seconds =
            Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let mut registry = Registry::default();
        registry.register("syncctl_http_requests", "Answers of this server", answers.clone());
        registry.register(
            "syncctl_http_request_duration_seconds",
            "How long answers took to begin",
            seconds.clone(),
        );
        HttpMetrics { registry, answers, seconds }
    }

    /// `route` is a path of the table, or one word for all others: labels stay few.
    pub(crate) fn answered(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE => method.as_str(),
            _ => "other",
        };
        let labels = [
            ("route", route.to_owned()),
            ("method", method.to_owned()),
            ("status", status.as_str().to_owned()),
        ];
        self.answers.get_or_create(&labels).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Everything, as text.
    pub(crate) fn text(
        &self,
        snapshot: &Arc<Snapshot>,
        version: &'static str,
        listeners: usize,
        started: Moment,
    ) -> Result<String, Problem> {
        let mut plans = Registry::default();
        plans.register_collector(Box::new(snapshot::Numbers {
            snapshot: Arc::clone(snapshot),
            version,
            listeners,
        }));
        plans.register_collector(Box::new(process::Numbers { started }));
        let mut out = String::new();
        text::encode_registry(&mut out, &plans)
            .and_then(|()| text::encode_registry(&mut out, &self.registry))
            .and_then(|()| text::encode_eof(&mut out))
            .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written"))?;
        Ok(out)
    }
}
