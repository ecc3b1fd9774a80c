//! What a plan asks for beyond the bounds of whoever runs it for others.

use std::time::Duration;

use entities::{Place, SyncPlan};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostic;
use crate::findings::Findings;

/// The most that a plan may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of one answer: `max_body`.
    pub max_body: u64,
    /// Each of the times of `timeout`.
    pub timeout: Duration,
    /// Tries of one request: `retry.attempts`.
    pub attempts: u32,
    /// The longest step of `retry.backoff`.
    pub backoff: Duration,
}

/// An error for each endpoint whose `max_body`, `timeout` or `retry` is beyond `bounds`. Call it with a plan that
/// [`load`](crate::load) gave; the places are those of its `source`.
pub fn excesses(plan: &SyncPlan, bounds: &Bounds) -> Vec<Diagnostic> {
    let findings = Findings::new(plan.source.clone());
    let document = DeTable::parse(&plan.source.text).ok();
    let table = document.as_ref().map(Spanned::get_ref);
    let mut found = Vec::new();
    for endpoint in &plan.endpoints {
        let mut check = |keys: &[&str], what: &str, beyond: bool, most: String| {
            if beyond {
                let path: Vec<&str> = ["endpoints", &endpoint.name].iter().chain(keys).copied().collect();
                let place = table
                    .and_then(|table| value(table, &path))
                    .map_or(endpoint.at, |value| findings.place(value.span()));
                found.push(excess(&endpoint.name, what, &most, place));
            }
        };
        let most = bytes(bounds.max_body);
        check(&["max_body"], "`max_body`", endpoint.max_body > bounds.max_body, most);
        let times = endpoint.timeout;
        for (key, what, time) in [
            ("connect", "`connect` of `timeout`", times.connect),
            ("idle", "`idle` of `timeout`", times.idle),
            ("total", "`total` of `timeout`", times.total),
        ] {
            check(&["timeout", key], what, time > bounds.timeout, duration(bounds.timeout));
        }
        let retry = endpoint.retry;
        let most = bounds.attempts.to_string();
        check(&["retry", "attempts"], "`attempts` of `retry`", retry.attempts > bounds.attempts, most);
        let most = duration(bounds.backoff);
        check(&["retry", "backoff"], "`backoff` of `retry`", retry.backoff.most > bounds.backoff, most);
    }
    found
}

fn excess(endpoint: &str, what: &str, most: &str, place: Place) -> Diagnostic {
    let endpoint: String = endpoint.chars().take(64).collect();
    Diagnostic::error(
        "over-bounds",
        place,
        format!("{what} of [endpoints.{endpoint}] is more than plans of this server may ask for"),
    )
    .label(format!("at most {most} here"))
    .help(format!("write {most} or less; the server's owner sets these bounds, for all plans alike"))
}

/// The value at a path of keys.
fn value<'t>(table: &'t DeTable<'t>, path: &[&str]) -> Option<&'t Spanned<DeValue<'t>>> {
    let (first, rest) = path.split_first()?;
    let found = table.get(*first)?;
    match rest {
        [] => Some(found),
        rest => value(found.get_ref().as_table()?, rest),
    }
}

/// As a plan would write it.
fn bytes(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => format!("{bytes}B"),
    }
}

fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        _ if seconds > 0 && seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
