//! How answers tell of limits: the headers of several kinds of API, and the forms of `Retry-After`.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::limiter::Rate;

/// Which headers tell what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    #[default]
    None,
    /// `X-RateLimit-*`, the reset in seconds since 1970.
    Github,
    /// … in milliseconds since 1970.
    EpochMs,
    /// … in seconds from now.
    Delta,
    /// `X-Rate-Limit-*`, the reset as a date.
    Iso,
    /// `X-RateLimit-*`, each a list of all limits.
    Lists,
    /// `RateLimit-Limit: 100, 100;w=60`, `RateLimit-Remaining`, `RateLimit-Reset`.
    Triple,
    /// `RateLimit: limit=100, remaining=50, reset=5`
    Ietf07,
    /// `RateLimit: "p";r=50;t=5`, of all limits.
    Ietf,
}

impl Dialect {
    pub(crate) fn parse(text: &str) -> Option<Dialect> {
        Some(match text {
            "none" => Dialect::None,
            "github" => Dialect::Github,
            "epoch-ms" => Dialect::EpochMs,
            "delta" => Dialect::Delta,
            "iso" => Dialect::Iso,
            "lists" => Dialect::Lists,
            "triple" => Dialect::Triple,
            "ietf07" => Dialect::Ietf07,
            "ietf" => Dialect::Ietf,
            _ => return None,
        })
    }

    /// What a server says whose clock is at `now`, in milliseconds since 1970. It never promises too much: all is
    /// rounded up.
    pub(crate) fn headers(self, quotas: &[Quota], now: i64) -> Vec<(HeaderName, HeaderValue)> {
        let Some(tightest) = quotas.iter().min_by_key(|quota| quota.left) else { return Vec::new() };
        let renewal = now.saturating_add(i64::try_from(millis(tightest.renewed_in)).unwrap_or(i64::MAX));
        let list = |of: &dyn Fn(&Quota) -> String| quotas.iter().map(of).collect::<Vec<_>>().join(", ");
        let policies = list(&|quota| format!("{};w={}", quota.rate.limit, seconds(quota.rate.window)));
        let delta = seconds(tightest.renewed_in).to_string();
        let (limit, left) = (tightest.rate.limit.to_string(), tightest.left.to_string());
        let said = match self {
            Dialect::None => Vec::new(),
            Dialect::Github => {
                let used = (tightest.rate.limit - tightest.left).to_string();
                let reset = renewal.saturating_add(999).div_euclid(1000).to_string();
                vec![
                    ("x-ratelimit-limit", limit),
                    ("x-ratelimit-remaining", left),
                    ("x-ratelimit-used", used),
                    ("x-ratelimit-reset", reset),
                    ("x-ratelimit-resource", "core".to_owned()),
                ]
            }
            Dialect::EpochMs => x_ratelimit(limit, left, renewal.to_string()),
            Dialect::Delta => x_ratelimit(limit, left, delta),
            Dialect::Iso => vec![
                ("x-rate-limit-limit", limit),
                ("x-rate-limit-remaining", left),
                (
                    "x-rate-limit-reset",
                    Timestamp::from_millisecond(renewal).unwrap_or(Timestamp::MAX).to_string(),
                ),
            ],
            Dialect::Lists => {
                let mut said = x_ratelimit(
                    list(&|quota| quota.rate.limit.to_string()),
                    list(&|quota| quota.left.to_string()),
                    list(&|quota| seconds(quota.renewed_in).to_string()),
                );
                said.push(("x-ratelimit-policy", policies));
                said
            }
            Dialect::Triple => vec![
                ("ratelimit-limit", format!("{limit}, {policies}")),
                ("ratelimit-remaining", left),
                ("ratelimit-reset", delta),
            ],
            Dialect::Ietf07 => vec![
                ("ratelimit", format!("limit={limit}, remaining={left}, reset={delta}")),
                ("ratelimit-policy", policies),
            ],
            Dialect::Ietf => {
                let name =
                    |quota: &Quota| format!("\"{}-in-{}s\"", quota.rate.limit, seconds(quota.rate.window));
                let left = |quota: &Quota| {
                    format!("{};r={};t={}", name(quota), quota.left, seconds(quota.renewed_in))
                };
                let policy = |quota: &Quota| {
                    format!("{};q={};w={}", name(quota), quota.rate.limit, seconds(quota.rate.window))
                };
                vec![("ratelimit", list(&left)), ("ratelimit-policy", list(&policy))]
            }
        };
        said.into_iter()
            .filter_map(|(name, value)| {
                Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
            })
            .collect()
    }
}

fn x_ratelimit(limit: String, left: String, reset: String) -> Vec<(&'static str, String)> {
    vec![("x-ratelimit-limit", limit), ("x-ratelimit-remaining", left), ("x-ratelimit-reset", reset)]
}

/// What is left of one limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub(crate) rate: Rate,
    pub(crate) left: u32,
    pub(crate) renewed_in: Duration,
}

/// What a refusal says of when to come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetryAfter {
    /// Always so many; none: until there is a place.
    seconds: Option<u64>,
    form: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Seconds,
    Date,
    Unsaid,
}

impl RetryAfter {
    /// `2`, `date`, `date:2`, `none`.
    pub(crate) fn parse(text: &str) -> Option<RetryAfter> {
        let (form, seconds) = match text.split_once(':') {
            Some(("date", seconds)) => (Form::Date, Some(seconds)),
            Some(_) => return None,
            None if text == "date" => (Form::Date, None),
            None if text == "none" => (Form::Unsaid, None),
            None => (Form::Seconds, Some(text)),
        };
        let seconds = seconds.map(str::parse).transpose().ok()?;
        Some(RetryAfter { seconds, form })
    }

    /// The header of a refusal by a server whose clock is at `now`; `wait`: until there is a place.
    pub(crate) fn header(self, wait: Duration, now: i64) -> Option<String> {
        let wait = self.seconds.unwrap_or_else(|| seconds(wait));
        match self.form {
            Form::Seconds => Some(wait.to_string()),
            Form::Date => {
                let at = now.saturating_add(999).div_euclid(1000).saturating_add(i64::try_from(wait).ok()?);
                let at = Timestamp::from_second(at).ok()?;
                Some(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
            }
            Form::Unsaid => None,
        }
    }
}

fn seconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_it_in_its_way() {
        // 2026-11-22T10:00:00.500Z
        const NOW: i64 = 1_795_341_600_500;
        let quota = |limit, window, left, renewed_in| Quota {
            rate: Rate { limit, window: Duration::from_secs(window) },
            left,
            renewed_in: Duration::from_millis(renewed_in),
        };
        let quotas = [quota(5, 1, 4, 300), quota(100, 60, 3, 29_700)];
        for (dialect, expected) in [
            (
                "github",
                "x-ratelimit-limit: 100 x-ratelimit-remaining: 3 x-ratelimit-used: 97 x-ratelimit-reset: 1795341631 x-ratelimit-resource: core",
            ),
            ("epoch-ms", "x-ratelimit-limit: 100 x-ratelimit-remaining: 3 x-ratelimit-reset: 1795341630200"),
            ("delta", "x-ratelimit-limit: 100 x-ratelimit-remaining: 3 x-ratelimit-reset: 30"),
            (
                "iso",
                "x-rate-limit-limit: 100 x-rate-limit-remaining: 3 x-rate-limit-reset: 2026-11-22T10:00:30.2Z",
            ),
            (
                "lists",
                "x-ratelimit-limit: 5, 100 x-ratelimit-remaining: 4, 3 x-ratelimit-reset: 1, 30 x-ratelimit-policy: 5;w=1, 100;w=60",
            ),
            ("triple", "ratelimit-limit: 100, 5;w=1, 100;w=60 ratelimit-remaining: 3 ratelimit-reset: 30"),
            ("ietf07", "ratelimit: limit=100, remaining=3, reset=30 ratelimit-policy: 5;w=1, 100;w=60"),
            (
                "ietf",
                "ratelimit: \"5-in-1s\";r=4;t=1, \"100-in-60s\";r=3;t=30 ratelimit-policy: \"5-in-1s\";q=5;w=1, \"100-in-60s\";q=100;w=60",
            ),
            ("none", ""),
        ] {
            let headers = Dialect::parse(dialect).unwrap().headers(&quotas, NOW);
            let said: Vec<String> =
                headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            assert_eq!(said.join(" "), expected);
        }
        assert!(Dialect::Github.headers(&[], NOW).is_empty());
    }

    #[test]
    fn come_back_then() {
        const NOW: i64 = 1_795_341_600_500;
        for (option, expected) in [
            ("2", Some("2")),
            ("date", Some("Sun, 22 Nov 2026 10:00:31 GMT")),
            ("date:2", Some("Sun, 22 Nov 2026 10:00:03 GMT")),
            ("none", None),
        ] {
            let said = RetryAfter::parse(option).unwrap().header(Duration::from_millis(29_700), NOW);
            assert_eq!(said.as_deref(), expected, "{option}");
        }
        assert_eq!(RetryAfter::default().header(Duration::from_millis(29_700), NOW).as_deref(), Some("30"));
        for option in ["", "soon", "none:2", "date:", "-1", ":2"] {
            assert_eq!(RetryAfter::parse(option), None, "{option}");
        }
    }
}
