//! `limits` of an endpoint, and what a request costs under each.
//!
//! A limit of `count` per `window` is that many tokens. What a token does is the rate-limit crate's
//! business; what an answer says about limits ([`LimitNews`]) goes to the budget, never into a Landing.

use std::fmt;
use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::{Timestamp, ToSpan, tz::TimeZone};

use crate::{JqText, Moment, TaskSpec};

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
    /// The limits in force, in the plan's order.
    pub fn in_force(&self) -> Vec<Limit> {
        match self {
            Limits::PoliteDefault => vec![Limit::plain(10, Duration::from_secs(1), POLITE_DEFAULT)],
            Limits::Declared(limits) => limits.clone(),
        }
    }
}

/// One limit: at most `count` tokens in any `window`, or in each calendar period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many, as the server counts.
    pub count: u32,
    /// In how long. With `resets` the length of a day, a week or a long month.
    pub window: Duration,
    /// As the plan says it: `5000/h`.
    pub text: String,
    /// Of `count`, left for others; less than it.
    pub reserve: u32,
    /// The window is the calendar's: all tokens come back at these moments, and at no other.
    pub resets: Option<Resets>,
    /// Who shares it.
    pub scope: Scope,
    /// What a request costs under this limit; none: what its task says, else 1.
    pub cost: Option<Cost>,
}

impl Limit {
    /// A limit on requests, without any of the finer points.
    pub fn plain(count: u32, window: Duration, text: impl Into<String>) -> Limit {
        Limit {
            count,
            window,
            text: text.into(),
            reserve: 0,
            resets: None,
            scope: Scope::Account,
            cost: None,
        }
    }

    /// Tokens that are ours to use: `count` without the reserve; at least 1.
    pub fn usable(&self) -> u32 {
        self.count.saturating_sub(self.reserve).max(1)
    }

    /// What a request of a task costs under this limit.
    pub fn cost_of<'a>(&'a self, spec: &'a TaskSpec) -> RequestCost<'a> {
        let of_task = spec.cost.as_ref();
        match (&self.cost, of_task) {
            (Some(Cost::Fixed(tokens)), _) => RequestCost { reserve: Some(*tokens), read: None },
            (Some(Cost::Read { actual, most }), _) => {
                let task_says = of_task.and_then(Cost::most);
                RequestCost { reserve: most.or(task_says), read: Some(actual) }
            }
            (None, Some(Cost::Fixed(tokens))) => RequestCost { reserve: Some(*tokens), read: None },
            (None, Some(Cost::Read { actual, most })) => RequestCost { reserve: *most, read: Some(actual) },
            (None, None) => RequestCost { reserve: Some(1), read: None },
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `scope = …`: which requests a limit counts together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Not said: those of one origin and credential, whatever plan they come from.
    #[default]
    Account,
    /// `"endpoint"`: those of this endpoint's name, within an origin and credential.
    Endpoint,
    /// `"host"`: those to one origin, whatever the credential (a limit by address).
    Host,
    /// `"credential"`: those with one credential, whatever the origin.
    Credential,
    /// Any other name: those of all limits that have the name, in every plan.
    Named(String),
}

/// `cost = …` of a task or of a limit: how many tokens a request takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// So many, always.
    Fixed(u32),
    /// The answer says how many (Shopify's `.extensions.cost.actualQueryCost`).
    Read {
        /// Yields a number; `$headers` and `$status` are bound.
        actual: JqText,
        /// The most it can be: taken when the request goes, the rest is given back. None: the first
        /// request goes alone, and the greatest cost seen is taken from then on.
        most: Option<u32>,
    },
}

impl Cost {
    /// The most a request can cost, if that is known.
    pub fn most(&self) -> Option<u32> {
        match self {
            Cost::Fixed(tokens) => Some(*tokens),
            Cost::Read { most, .. } => *most,
        }
    }
}

/// What a request of one task costs under one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestCost<'a> {
    /// Taken when it goes; none: not known before the first answer.
    pub reserve: Option<u32>,
    /// Yields what it did cost.
    pub read: Option<&'a JqText>,
}

/// `resets = "00:00 Asia/Shanghai"`: when a calendar quota begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resets {
    /// As the plan says it.
    pub text: String,
    /// Which days.
    pub every: ResetDay,
    /// Minutes since midnight of the zone's clock.
    pub minute: u16,
    /// The zone.
    pub zone: TimeZone,
}

/// The days on which a calendar quota begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetDay {
    /// Every day: for limits per day.
    Day,
    /// `"Monday 00:00 UTC"`, for limits per week: 1 is Monday.
    Weekday(i8),
    /// `"1 00:00 UTC"`, for limits per month: that day, or the month's last if it is shorter.
    MonthDay(i8),
}

impl Resets {
    /// The first reset after `at`. A time of day that a change of clocks skips counts as the moment
    /// behind the gap; one that comes twice counts once, the first time.
    pub fn next_after(&self, at: Moment) -> Moment {
        let Ok(now) = Timestamp::from_nanosecond(i128::from(at.0)) else { return Moment(i64::MAX) };
        let mut day = now.to_zoned(self.zone.clone()).date();
        // A month and a bit: whatever the rule is, one of these days is it.
        for _ in 0..40 {
            if self.is_on(day)
                && let Some(reset) = self.on(day)
                && reset > at
            {
                return reset;
            }
            let Ok(next) = day.checked_add(1.day()) else { break };
            day = next;
        }
        Moment(i64::MAX)
    }

    fn is_on(&self, day: Date) -> bool {
        match self.every {
            ResetDay::Day => true,
            ResetDay::Weekday(weekday) => day.weekday().to_monday_one_offset() == weekday,
            ResetDay::MonthDay(number) => day.day() == number.min(day.days_in_month()),
        }
    }

    fn on(&self, day: Date) -> Option<Moment> {
        let (hour, minute) = (i8::try_from(self.minute / 60).ok()?, i8::try_from(self.minute % 60).ok()?);
        let zoned = day.to_datetime(Time::new(hour, minute, 0, 0).ok()?).to_zoned(self.zone.clone()).ok()?;
        i64::try_from(zoned.timestamp().as_nanosecond()).ok().map(Moment)
    }
}

/// What one answer said about limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitNews {
    /// What is left of the server's quotas.
    pub quotas: Vec<ServerQuota>,
    /// What the request did cost: by index into its endpoint's [`Limits::in_force`].
    pub costs: Vec<(usize, u32)>,
}

/// One quota as a server's headers describe it; what they do not say is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerQuota {
    /// How many it allows per window.
    pub limit: Option<u64>,
    /// How long its window is.
    pub window: Option<Duration>,
    /// How many are left.
    pub remaining: u64,
    /// When it begins anew, counted from the answer.
    pub resets_in: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(every: ResetDay, minute: u16, zone: &str, at: &str, expected: &str) {
        let zone = TimeZone::get(zone).unwrap();
        let resets = Resets { text: String::new(), every, minute, zone };
        let at: Timestamp = at.parse().unwrap();
        let next = resets.next_after(Moment(i64::try_from(at.as_nanosecond()).unwrap()));
        assert_eq!(next.to_rfc3339(), expected, "{every:?} {minute} after {at}");
    }

    #[test]
    fn resets_follow_the_calendar() {
        let day = ResetDay::Day;
        check(day, 0, "Asia/Shanghai", "2026-11-22T10:00:00Z", "2026-11-22T16:00:00.000Z");
        check(day, 0, "Asia/Shanghai", "2026-11-22T16:00:00Z", "2026-11-23T16:00:00.000Z");
        check(day, 0, "UTC", "2026-11-22T23:59:59.999Z", "2026-11-23T00:00:00.000Z");
        // Clocks go forward over it, and back over it.
        check(day, 150, "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00.000Z");
        check(day, 150, "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T00:30:00.000Z");
        check(day, 150, "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00.000Z");
        check(ResetDay::Weekday(1), 0, "UTC", "2026-11-22T10:00:00Z", "2026-11-23T00:00:00.000Z");
        check(ResetDay::Weekday(1), 0, "UTC", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00.000Z");
        check(ResetDay::MonthDay(1), 0, "UTC", "2026-11-22T10:00:00Z", "2026-12-01T00:00:00.000Z");
        check(ResetDay::MonthDay(31), 0, "UTC", "2026-11-22T10:00:00Z", "2026-11-30T00:00:00.000Z");
        check(ResetDay::MonthDay(31), 0, "UTC", "2027-02-01T00:00:00Z", "2027-02-28T00:00:00.000Z");
    }
}
