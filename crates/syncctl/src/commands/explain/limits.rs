//! What `explain` says of limits and time: how long, when a quota runs out, how often the run pauses, whether
//! it fits.

use std::time::Duration;

use engine::{Costs, EndpointForecast, Forecast, LimitForecast};
use entities::{Moment, SyncPlan};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::experience::Known;
use crate::terminal::{clock_time, count, counted, duration, rate_words};

/// Shorter times are none, to people.
pub(super) const NOTHING: Duration = Duration::from_millis(50);
/// When it is complete is told if it takes longer than this.
const WORTH_A_CLOCK: Duration = Duration::from_secs(60);

/// What is told of a forecast.
pub(super) struct Times<'a> {
    pub(super) plan: &'a SyncPlan,
    pub(super) forecast: &'a Forecast,
    pub(super) known: &'a Known,
    pub(super) now: Moment,
    pub(super) zone: &'a TimeZone,
    /// `--wait`
    pub(super) wait: Duration,
    /// Nothing depends on answers.
    pub(super) is_exact: bool,
}

/// Whether a run fits into `--within`.
pub(super) struct Fit {
    pub(super) within: Duration,
    pub(super) fits: bool,
    /// In words.
    pub(super) why: String,
    by: &'static str,
}

impl Fit {
    pub(super) fn object(&self) -> Value {
        json!({
            "seconds": self.within.as_secs_f64(),
            "fits": self.fits,
            "judged_by": self.by,
            "why": self.why,
        })
    }
}

impl Times<'_> {
    /// How long it takes, and what sets the pace.
    pub(super) fn how_long(&self) -> String {
        let forecast = self.forecast;
        match &forecast.bottleneck {
            Some(_) if forecast.likely.is_some_and(|likely| likely >= NOTHING) => {
                let likely = forecast.likely.unwrap_or_default();
                format!("about {}: {}{}", duration(likely), self.pace(), self.complete(likely))
            }
            _ if forecast.at_least < NOTHING => "no time that limits would add is known of".to_owned(),
            _ => format!("at least {} under the limits, for what is known", duration(forecast.at_least)),
        }
    }

    fn pace(&self) -> String {
        match &self.forecast.bottleneck {
            Some(slowest) => match &slowest.limit {
                Some(limit) => format!("{limit} of {} sets the pace", slowest.endpoint),
                None => format!("the concurrency of {} sets the pace", slowest.endpoint),
            },
            None => "no limit sets the pace".to_owned(),
        }
    }

    fn complete(&self, after: Duration) -> String {
        match after > WORTH_A_CLOCK {
            true => format!("; complete about {} if it begins now", self.clock(after)),
            false => String::new(),
        }
    }

    fn clock(&self, after: Duration) -> String {
        clock_time(self.now + after, self.now, self.zone)
    }

    /// All that is worth saying of the limits, one sentence each.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (index, endpoint) in self.forecast.endpoints.iter().enumerate() {
            for (place, limit) in endpoint.limits.iter().enumerate() {
                sentences.extend(self.used(index, place, endpoint, limit));
                sentences.extend(self.runs_out(index, place, endpoint, limit));
                sentences.extend(costs(endpoint, limit));
            }
        }
        sentences.extend(self.pauses());
        for (endpoint, limit, tokens) in &self.known.elsewhere {
            sentences.push(format!(
                "{limit} of {endpoint}: other processes have {} now, and share as soon as a run wants some",
                count(u64::from(*tokens))
            ));
        }
        let wanted = self.forecast.endpoints.iter().filter(|endpoint| self.draws(endpoint));
        for endpoint in wanted.filter(|endpoint| self.known.unnamed.contains(&endpoint.name)) {
            let by = match endpoint.secrets.as_slice() {
                [] => "what it signs in with".to_owned(),
                [one] => format!("the secret {one}"),
                several => format!("the secrets {}", several.join(", ")),
            };
            sentences.push(format!(
                "{}: without what is used of its limits already: the budget goes by {by}, which {} not at hand",
                endpoint.name,
                if endpoint.secrets.len() > 1 { "are" } else { "is" },
            ));
        }
        if let Some(why) = &self.known.no_budgets {
            sentences.push(format!("without what is used of the limits already: {why}"));
        }
        sentences
    }

    /// Whether tasks of this forecast use the endpoint.
    fn draws(&self, endpoint: &EndpointForecast) -> bool {
        self.forecast.tasks.iter().any(|task| task.endpoint == endpoint.name)
    }

    fn used(
        &self,
        index: usize,
        place: usize,
        endpoint: &EndpointForecast,
        limit: &LimitForecast,
    ) -> Option<String> {
        // What comes back within a minute is not worth a word.
        let window = self.window(index, place);
        let mut parts = Vec::new();
        if let Some(used) = limit.used.filter(|used| *used > 0 && window > WORTH_A_CLOCK) {
            parts.push(format!("{} of {} are used already", count(used.into()), count(limit.allowed.into())));
        }
        if let Some(closed) = limit.closed {
            parts.push(format!(
                "the server wants nothing until {} (for {})",
                self.clock(closed),
                duration(closed)
            ));
        }
        if let Some(rate) = limit.learned_rate {
            parts.push(format!("refusals have taught to keep to {}", rate_words(rate)));
        }
        (!parts.is_empty() && self.draws(endpoint))
            .then(|| format!("{} of {}: {}", limit.limit, endpoint.name, parts.join("; ")))
    }

    fn runs_out(
        &self,
        index: usize,
        place: usize,
        endpoint: &EndpointForecast,
        limit: &LimitForecast,
    ) -> Option<String> {
        let after = limit.runs_out?;
        let of = format!("{} of {}", limit.limit, endpoint.name);
        let wait = |how_long: Duration| match limit.opens {
            Some(opens) if how_long > WORTH_A_CLOCK => {
                format!("{} (until {})", duration(how_long), self.clock(opens))
            }
            _ => duration(how_long),
        };
        let opens = limit.opens.unwrap_or(after);
        if limit.used.is_some_and(|used| used >= limit.allowed) && after < NOTHING {
            return Some(format!("{of} is used up now; the run waits {}", wait(opens)));
        }
        if after >= NOTHING {
            let waits = wait(opens.saturating_sub(after));
            return Some(format!("{of} is used up after {}; the run then waits {waits}", duration(after)));
        }
        let most = limit.opens.unwrap_or_else(|| self.window(index, place));
        let all = count(u64::from(limit.allowed));
        Some(format!(
            "{of} is used up after {all}, how soon is not known yet; the run then waits up to {}",
            wait(most)
        ))
    }

    /// Whether nothing can go under the limit now.
    fn is_used_up(&self, endpoint: &str, limit: &str) -> bool {
        let endpoints = self.forecast.endpoints.iter().filter(|other| other.name == endpoint);
        let mut limits = endpoints.flat_map(|endpoint| &endpoint.limits).filter(|other| other.limit == limit);
        limits.any(|limit| limit.closed.is_some() || limit.used.is_some_and(|used| used >= limit.allowed))
    }

    fn window(&self, index: usize, place: usize) -> Duration {
        let limits = self.plan.endpoints[index].limits.in_force();
        limits.get(place).map(|limit| limit.window).unwrap_or_default()
    }

    fn pauses(&self) -> Option<String> {
        let first = self.forecast.pauses.first()?;
        let pauses = counted(self.forecast.paused, "pause");
        let going_on = first.until.since(first.from);
        let mut out = format!(
            "{pauses}: {} of {} asks for {}, more than --wait {}; the run stops {}, and goes on when it is run again after {}",
            first.limit,
            first.endpoint,
            duration(going_on),
            duration(self.wait),
            match first.from > self.now {
                true => format!("at {}", clock_time(first.from, self.now, self.zone)),
                false if self.is_used_up(&first.endpoint, &first.limit) => "at once".to_owned(),
                false => "when it is used up".to_owned(),
            },
            clock_time(first.until, self.now, self.zone),
        );
        if let Some(likely) = self.forecast.likely {
            out.push_str(&format!("; complete about {} if that is done at once", self.clock(likely)));
        }
        Some(out)
    }

    /// Whether it fits. What is not known cannot fit: then the least time judges, and it is said so.
    pub(super) fn fit(&self, within: Duration) -> Fit {
        let forecast = self.forecast;
        let (time, by) = match forecast.likely {
            Some(likely) => (likely, "likely"),
            None => (forecast.at_least, "at_least"),
        };
        let fits = time <= within;
        let does = if fits { "it fits" } else { "it does not fit" };
        let took = match time < NOTHING {
            true => "no time that limits would add is known of".to_owned(),
            false => format!(
                "{} {}, {}",
                if by == "likely" { "about" } else { "at least" },
                duration(time),
                self.pace()
            ),
        };
        let known = match by {
            "likely" => String::new(),
            _ => {
                ", going by what is known before the first answer: pages and children come on top".to_owned()
            }
        };
        Fit { within, fits, by, why: format!("within {}: {does}: {took}{known}", duration(within)) }
    }
}

/// What a request costs, where only its answer tells.
fn costs(endpoint: &EndpointForecast, limit: &LimitForecast) -> Option<String> {
    let counted_as = match limit.costs {
        Costs::Fixed => return None,
        Costs::AtMost => "the most it can be is reckoned with",
        Costs::Unknown => "1 is reckoned with, and it may well be more",
    };
    Some(format!(
        "{} of {}: what a request costs is known from its answer only; {counted_as}",
        limit.limit, endpoint.name
    ))
}
