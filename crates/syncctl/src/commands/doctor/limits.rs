//! What an answer's headers say about limits, beside what the plan says.

use std::time::Duration;

use entities::{Limit, Limits};
use http_worker::Seen;

use super::Check;

/// The check, if there is anything to say.
pub(super) fn check(about: &str, seen: &Seen, limits: &Limits) -> Check {
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
    for (count, window) in
        headers.iter().filter(|(name, _)| name == "ratelimit-policy").flat_map(|(_, value)| policies(value))
    {
        if !in_force.iter().any(|limit| is_within(limit, count, window)) {
            let help = format!("add \"{}\" to `limits` of the endpoint", rate(count, window));
            return Check::warning(about, "limits", text, help);
        }
    }
    let number = |names: &[&str]| {
        let found = headers.iter().find(|(name, _)| names.contains(&name.as_str()))?;
        found.1.split([',', ';']).next()?.trim().parse::<u64>().ok()
    };
    if number(&["x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining"]) == Some(0) {
        return Check::warning(
            about,
            "limits",
            text,
            "nothing is left now: a run waits until the limit opens again",
        );
    }
    let limit = number(&["x-ratelimit-limit", "ratelimit-limit", "x-rate-limit-limit"]);
    match limit {
        Some(limit) if *limits == Limits::PoliteDefault => {
            let help =
                format!("look up in what time {limit} are allowed, and say it: limits = [\"{limit}/h\"]");
            Check { help: Some(help), ..Check::good(about, "limits", text) }
        }
        _ => Check::good(about, "limits", text),
    }
}

fn is_of_limits(name: &str) -> bool {
    name == "retry-after"
        || name.contains("ratelimit")
        || name.contains("rate-limit")
        || name.contains("used-weight")
}

/// `"burst";q=100;w=60, "day";q=5000;w=86400` (draft-ietf-httpapi-ratelimit-headers-10): counts and windows.
/// What is written otherwise is nothing.
fn policies(value: &str) -> Vec<(u64, Duration)> {
    let policy = |text: &str| {
        let parameter = |name: &str| {
            let found = text.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))?;
            found.trim().parse::<u64>().ok().filter(|number| *number > 0)
        };
        // Before the ninth draft: `100;w=60`.
        let bare = || text.split(';').next()?.trim().parse::<u64>().ok().filter(|count| *count > 0);
        Some((parameter("q").or_else(bare)?, Duration::from_secs(parameter("w")?)))
    };
    value.split(',').filter_map(policy).collect()
}

/// Whether a limit never lets more than `count` go in any `window`.
fn is_within(limit: &Limit, count: u64, window: Duration) -> bool {
    let windows = (window.as_secs_f64() / limit.window.as_secs_f64()).ceil().max(1.0);
    f64::from(limit.count) * windows <= count as f64
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

    fn judged(headers: &[(&str, &str)], limits: &Limits) -> Check {
        let seen = Seen {
            task: SpecIndex(0),
            request: String::new(),
            status: 200,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            date: None,
            sent: Moment(0),
            answered: Moment(0),
        };
        check("endpoint x", &seen, limits)
    }

    #[test]
    fn headers_beside_the_plan() {
        let of = |count, seconds| {
            let window = Duration::from_secs(seconds);
            Limits::Declared(vec![Limit::plain(count, window, rate(u64::from(count), window))])
        };
        for (headers, limits, state, help) in [
            (vec![], of(5, 1), State::Good, None),
            (vec![("content-type", "x")], Limits::PoliteDefault, State::Good, None),
            (vec![("ratelimit-policy", "\"p\";q=100;w=60")], of(100, 60), State::Good, None),
            (vec![("ratelimit-policy", "\"p\";q=100;w=60")], of(1, 1), State::Good, None),
            (vec![("ratelimit-policy", "\"p\";q=100;w=60")], of(2, 1), State::Warning, Some("100/min")),
            (
                vec![("ratelimit-policy", "10;w=1, 1000;w=7200")],
                of(10, 1),
                State::Warning,
                Some("1000/7200s"),
            ),
            (vec![("ratelimit-policy", "gibberish;q=x")], of(10, 1), State::Good, None),
            (
                vec![("x-ratelimit-limit", "60"), ("x-ratelimit-remaining", "0")],
                of(60, 3600),
                State::Warning,
                Some("waits"),
            ),
            (vec![("x-ratelimit-limit", "60")], Limits::PoliteDefault, State::Good, Some("60/h")),
            (vec![("x-ratelimit-limit", "60")], of(60, 3600), State::Good, None),
        ] {
            let check = judged(&headers, &limits);
            assert_eq!(check.state, state, "{headers:?} {check:?}");
            let found = check.help.as_deref().unwrap_or_default();
            assert_eq!(help.is_some(), check.help.is_some(), "{check:?}");
            assert!(found.contains(help.unwrap_or_default()), "{check:?}");
        }
    }
}
