//! What an answer's headers say about limits, beside what the plan says.

use std::time::Duration;

use entities::{Limit, Limits, ServerQuota};
use http_worker::Seen;

use super::Check;
use crate::terminal::duration;

/// The check; `quotas`: what the worker makes of the answer's headers.
pub(super) fn check(about: &str, seen: &Seen, quotas: &[ServerQuota], limits: &Limits) -> Check {
    let headers: Vec<&(String, String)> =
        seen.headers.iter().filter(|(name, _)| is_of_limits(name)).collect();
    let shown: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let in_force = limits.in_force();
    let plan: Vec<&str> = in_force.iter().map(|limit| limit.text.as_str()).collect();
    let plan = if plan.is_empty() {
        "the plan keeps no limit".to_owned()
    } else {
        format!("the plan keeps {}", plan.join(", "))
    };
    if shown.is_empty() {
        return Check::good(about, "limits", format!("the answer names none; {plan}"));
    }
    let text = format!("{}; {plan}", shown.join(", "));
    let policies =
        headers.iter().filter(|(name, _)| name == "ratelimit-policy").flat_map(|(_, value)| policies(value));
    let said = policies.chain(quotas.iter().filter_map(Said::of_quota));
    if let Some(over) = said.into_iter().find(|said| !in_force.iter().any(|limit| said.covers(limit))) {
        let help = over.help(limits);
        return match limits {
            Limits::Declared(declared) if !declared.is_empty() => {
                let text = format!("the plan allows itself more than the server does: {text}");
                Check::bad(about, "limits", text, help)
            }
            // It says nothing that could be wrong.
            _ => Check::warning(about, "limits", text, help),
        };
    }
    if quotas.iter().any(|quota| quota.remaining == 0) {
        return Check::warning(
            about,
            "limits",
            text,
            "nothing is left now: a run waits until the limit opens again",
        );
    }
    let limit = headers.iter().find_map(|(name, value)| {
        let is_count =
            matches!(name.as_str(), "x-ratelimit-limit" | "ratelimit-limit" | "x-rate-limit-limit");
        is_count.then(|| value.split([',', ';']).next()?.trim().parse::<u64>().ok()).flatten()
    });
    match limit {
        Some(limit) if *limits == Limits::PoliteDefault => {
            let help =
                format!("look up in what time {limit} are allowed, and say it: limits = [\"{limit}/h\"]");
            Check { help: Some(help), ..Check::good(about, "limits", text) }
        }
        _ => Check::good(about, "limits", text),
    }
}

/// A limit as the server says it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Said {
    count: u64,
    window: Length,
}

/// How long its window is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    Is(Duration),
    /// Not said; it begins anew after this time, so that it is no shorter.
    AtLeast(Duration),
}

impl Said {
    fn of_quota(quota: &ServerQuota) -> Option<Said> {
        let count = quota.limit.filter(|count| *count > 0)?;
        let window = match (quota.window, quota.resets_in) {
            (Some(window), _) => Length::Is(window),
            (None, Some(left)) => Length::AtLeast(left),
            (None, None) => return None,
        };
        Some(Said { count, window })
    }

    /// Whether a limit of the plan never lets more go.
    fn covers(&self, limit: &Limit) -> bool {
        let (Length::Is(window) | Length::AtLeast(window)) = self.window;
        let windows = (window.as_secs_f64() / limit.window.as_secs_f64()).ceil().max(1.0);
        f64::from(limit.count) * windows <= self.count as f64
    }

    /// What to write, and beside which other limits.
    fn help(&self, limits: &Limits) -> String {
        let window = match self.window {
            Length::Is(window) => window,
            Length::AtLeast(left) => usual(left),
        };
        let own = rate(self.count, window);
        // One that would never be reached is replaced.
        let stays = |limit: &&Limit| limit.window != window || u64::from(limit.count) < self.count;
        let declared = match limits {
            Limits::Declared(limits) => limits.as_slice(),
            Limits::PoliteDefault => &[],
        };
        let mut all: Vec<String> =
            declared.iter().filter(stays).map(|limit| format!("{:?}", limit.text)).collect();
        all.push(format!("{own:?}"));
        let write = format!("write limits = [{}] into the endpoint", all.join(", "));
        match self.window {
            Length::Is(_) => write,
            Length::AtLeast(left) => format!(
                "look up in what time {} are allowed (it begins anew in {}), and say it: {write}",
                self.count,
                duration(left)
            ),
        }
    }
}

/// The shortest of the usual windows that is no shorter.
fn usual(at_least: Duration) -> Duration {
    let usual = [1, 60, 3_600, 86_400].map(Duration::from_secs);
    usual.into_iter().find(|usual| *usual >= at_least).unwrap_or(at_least)
}

fn is_of_limits(name: &str) -> bool {
    name == "retry-after"
        || name.contains("ratelimit")
        || name.contains("rate-limit")
        || name.contains("used-weight")
}

/// `"burst";q=100;w=60, "day";q=5000;w=86400` (draft-ietf-httpapi-ratelimit-headers-10): counts and windows.
/// What is written otherwise is nothing.
fn policies(value: &str) -> Vec<Said> {
    let policy = |text: &str| {
        let parameter = |name: &str| {
            let found = text.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))?;
            found.trim().parse::<u64>().ok().filter(|number| *number > 0)
        };
        // Before the ninth draft: `100;w=60`.
        let bare = || text.split(';').next()?.trim().parse::<u64>().ok().filter(|count| *count > 0);
        let window = Length::Is(Duration::from_secs(parameter("w")?));
        Some(Said { count: parameter("q").or_else(bare)?, window })
    };
    value.split(',').filter_map(policy).collect()
}

/// As a plan writes it.
fn rate(count: u64, window: Duration) -> String {
    match window.as_secs() {
        1 => format!("{count}/s"),
        60 => format!("{count}/min"),
        3_600 => format!("{count}/h"),
        86_400 => format!("{count}/day"),
        seconds => format!("{count}/{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use entities::{Moment, SpecIndex};

    use super::super::State;
    use super::*;

    fn judged(headers: &[(&str, &str)], quotas: &[ServerQuota], limits: &Limits) -> Check {
        let seen = Seen {
            task: SpecIndex(0),
            request: String::new(),
            status: 200,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            date: None,
            sent: Moment(0),
            answered: Moment(0),
        };
        check("endpoint x", &seen, quotas, limits)
    }

    fn of(limits: &[(u32, u64)]) -> Limits {
        let limit = |(count, seconds): &(u32, u64)| {
            let window = Duration::from_secs(*seconds);
            Limit::plain(*count, window, rate(u64::from(*count), window))
        };
        Limits::Declared(limits.iter().map(limit).collect())
    }

    #[test]
    fn headers_beside_the_plan() {
        for (headers, limits, state, help) in [
            (vec![], of(&[(5, 1)]), State::Good, None),
            (vec![("content-type", "x")], Limits::PoliteDefault, State::Good, None),
            (vec![("ratelimit-policy", "\"p\";q=100;w=60")], of(&[(100, 60)]), State::Good, None),
            (vec![("ratelimit-policy", "\"p\";q=100;w=60")], of(&[(1, 1)]), State::Good, None),
            (
                vec![("ratelimit-policy", "\"p\";q=100;w=60")],
                of(&[(2, 1)]),
                State::Bad,
                Some("write limits = [\"2/s\", \"100/min\"]"),
            ),
            (
                vec![("ratelimit-policy", "\"p\";q=100;w=60")],
                of(&[(200, 60), (2, 1)]),
                State::Bad,
                Some("write limits = [\"2/s\", \"100/min\"]"),
            ),
            (vec![("ratelimit-policy", "\"p\";q=100;w=60")], of(&[]), State::Warning, Some("[\"100/min\"]")),
            (
                vec![("ratelimit-policy", "\"p\";q=100;w=60")],
                Limits::PoliteDefault,
                State::Warning,
                Some("[\"100/min\"]"),
            ),
            (
                vec![("ratelimit-policy", "10;w=1, 1000;w=7200")],
                of(&[(10, 1)]),
                State::Bad,
                Some("[\"10/s\", \"1000/7200s\"]"),
            ),
            (vec![("ratelimit-policy", "gibberish;q=x")], of(&[(10, 1)]), State::Good, None),
            (vec![("x-ratelimit-limit", "60")], Limits::PoliteDefault, State::Good, Some("60/h")),
            (vec![("x-ratelimit-limit", "60")], of(&[(60, 3600)]), State::Good, None),
        ] {
            verdict(&judged(&headers, &[], &limits), state, help);
        }
    }

    #[test]
    fn quotas_beside_the_plan() {
        let quota = |limit, window: Option<u64>, remaining, resets_in: Option<u64>| ServerQuota {
            limit,
            window: window.map(Duration::from_secs),
            remaining,
            resets_in: resets_in.map(Duration::from_secs),
        };
        for (quota, limits, state, help) in [
            (quota(Some(60), None, 0, None), of(&[(60, 3600)]), State::Warning, Some("waits")),
            (quota(Some(5000), None, 4000, Some(2400)), of(&[(5000, 3600)]), State::Good, None),
            (quota(Some(5000), None, 4000, Some(2400)), of(&[(2, 1)]), State::Good, None),
            (
                quota(Some(5000), None, 4000, Some(2400)),
                of(&[(10, 1)]),
                State::Bad,
                Some(
                    "5000 are allowed (it begins anew in 40m 00s), and say it: write limits = [\"10/s\", \"5000/h\"]",
                ),
            ),
            (
                quota(Some(5000), None, 4000, Some(2400)),
                Limits::PoliteDefault,
                State::Warning,
                Some("5000/h"),
            ),
            (quota(Some(100), Some(60), 7, None), of(&[(50, 1)]), State::Bad, Some("\"100/min\"")),
            (quota(None, Some(60), 7, Some(3)), of(&[(50, 1)]), State::Good, None),
            (quota(Some(0), Some(60), 7, Some(3)), of(&[(50, 1)]), State::Good, None),
            // Nothing is left of a window that is nearly over: not the plan's doing.
            (quota(Some(100), None, 0, Some(1)), of(&[(50, 1)]), State::Warning, Some("waits")),
        ] {
            verdict(&judged(&[("x-ratelimit-limit", "…")], &[quota], &limits), state, help);
        }
    }

    #[track_caller]
    fn verdict(check: &Check, state: State, help: Option<&str>) {
        assert_eq!(check.state, state, "{check:?}");
        assert_eq!(help.is_some(), check.help.is_some(), "{check:?}");
        assert!(check.help.as_deref().unwrap_or_default().contains(help.unwrap_or_default()), "{check:?}");
    }
}
