//! `[endpoints.NAME]`: where requests go, as whom, how fast, how patiently.

use std::fmt;
use std::time::Duration;

use crate::{Auth, OnRule, Place, TemplateText, ValueTemplate};

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

/// One limit: at most `count` requests in any `window`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// How many.
    pub count: u32,
    /// In how long.
    pub window: Duration,
    /// As the plan says it: `5000/h`.
    pub text: String,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The limit of an endpoint whose plan names none, as it is shown to people.
pub const POLITE_DEFAULT: &str = "10/s (polite default)";

/// `limits = […]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limits {
    /// The plan says nothing: 10 a second, shown as [`POLITE_DEFAULT`].
    PoliteDefault,
    /// All hold at once; an empty list means no limit.
    Declared(Vec<Limit>),
}

impl Limits {
    /// The limits in force.
    pub fn in_force(&self) -> Vec<Limit> {
        match self {
            Limits::PoliteDefault => {
                vec![Limit { count: 10, window: Duration::from_secs(1), text: POLITE_DEFAULT.to_owned() }]
            }
            Limits::Declared(limits) => limits.clone(),
        }
    }
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
