//! `[endpoints.NAME]`: where requests go, as whom, how fast, how patiently.

use std::time::Duration;

use crate::{Auth, Limits, OnRule, Place, TemplateText, ValueTemplate};

/// One endpoint of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The NAME of `[endpoints.NAME]`.
    pub name: String,
    /// `base_url`: `https://…`, `http://…` or `sandbox://…`; may hold `vars`.
    pub base_url: TemplateText,
    /// Sent with every request.
    pub headers: Vec<(String, TemplateText)>,
    /// Added to every request's query.
    pub query: Vec<(String, ValueTemplate)>,
    /// Who we are to it.
    pub auth: Auth,
    /// How much it allows.
    pub limits: Limits,
    /// Requests in flight at most.
    pub concurrency: u32,
    /// How long to wait for it.
    pub timeout: TimeOuts,
    /// How often to try again.
    pub retry: RetryPolicy,
    /// Largest answer in bytes, after decompression.
    pub max_body: u64,
    /// What its answers mean, after a task's own rules and before the defaults.
    pub on: Vec<OnRule>,
    /// The table's header in the plan.
    pub at: Place,
}

/// `timeout = { connect, idle, total }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOuts {
    /// For name resolution, TCP and TLS together.
    pub connect: Duration,
    /// Without a byte, once connected.
    pub idle: Duration,
    /// For the whole exchange.
    pub total: Duration,
}

impl Default for TimeOuts {
    fn default() -> Self {
        TimeOuts {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(300),
        }
    }
}

/// `retry = { attempts = 5, backoff = "1s..1m" }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first included; at least 1.
    pub attempts: u32,
    /// How long to wait between them.
    pub backoff: BackOff,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts: 5,
            backoff: BackOff { first: Duration::from_secs(1), most: Duration::from_secs(60) },
        }
    }
}

/// Exponential back-off: `first`, doubled each time, at most `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    /// Before the second try.
    pub first: Duration,
    /// The longest step.
    pub most: Duration,
}

impl BackOff {
    /// The wait before try `n + 1`, given that `n` tries (at least one) were made.
    /// `jitter` in 0..=1 takes away up to half of it, so that many failures do not come back at once.
    pub fn step(self, tries: u32, jitter: f64) -> Duration {
        let doubled =
            self.first.saturating_mul(1u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.most).mul_f64(1.0 - 0.5 * jitter.clamp(0.0, 1.0))
    }
}
