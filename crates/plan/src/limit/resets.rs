//! `resets` of a limit: when the quota of a day, a week or a month begins anew.

use std::ops::Range;
use std::time::Duration;

use entities::{ResetDay, Resets};

use crate::item::Item;
use crate::reader::closest;
use crate::strings::words;
use crate::units::{DAY, MONTH, WEEK};
use crate::zone;

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Which calendar a limit follows: told by its window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Period {
    Day,
    Week,
    Month,
}

impl Period {
    fn of(window: Duration) -> Option<Period> {
        match window {
            DAY => Some(Period::Day),
            WEEK => Some(Period::Week),
            MONTH => Some(Period::Month),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
        }
    }

    /// What stands before the time of day, in a help text.
    fn lead(self) -> &'static str {
        match self {
            Period::Day => "",
            Period::Week => "Monday ",
            Period::Month => "1 ",
        }
    }
}

/// Reads `resets` of a limit over `window`; none: its rate could not be read.
pub(super) fn resets(item: &Item<'_>, window: Option<Duration>) -> Option<Resets> {
    let text = item.string()?;
    let Some(period) = Period::of(window?) else {
        item.wrong(
            "resets-without-a-day",
            "`resets` is for limits per day, week or month; this one has no place in the calendar",
            "of another kind of limit",
            "remove `resets` (all of it comes back in that time anyway), or write the rate per day: \"20000/day\"",
        );
        return None;
    };
    let words = words(text);
    let Some((time_at, minute)) = words.iter().enumerate().find_map(|(at, word)| {
        let word = &text[word.clone()];
        word.contains(':').then(|| (at, time(word)))
    }) else {
        wrong_form(item, text, period, "00:00", None);
        return None;
    };
    let Some(minute) = minute else {
        let word = &text[words[time_at].clone()];
        let midnight = if word.starts_with("24") { "; midnight is 00:00" } else { "" };
        item.findings.push(
            item.findings
                .error(
                    "bad-resets",
                    item.within(text, &words[time_at]),
                    format!("`{word}` is no time of day"),
                )
                .label("expected HH:MM")
                .help(format!("write hours and minutes, 00:00 to 23:59{midnight}")),
        );
        return None;
    };
    let clock = format!("{:02}:{:02}", minute / 60, minute % 60);
    let (before, after) = (&words[..time_at], &words[time_at + 1..]);
    let zone_word = after.first().map(|word| &text[word.clone()]);
    let [zone_at] = after else {
        wrong_form(item, text, period, &clock, zone_word);
        return None;
    };
    let zone_name = &text[zone_at.clone()];
    let every = match (period, before) {
        (Period::Day, []) => ResetDay::Day,
        (Period::Week, [day]) => weekday(item, text, day, &clock, zone_name)?,
        (Period::Month, [day]) => match text[day.clone()].parse::<i8>() {
            Ok(day @ 1..=31) => ResetDay::MonthDay(day),
            _ => {
                wrong_form(item, text, period, &clock, Some(zone_name));
                return None;
            }
        },
        _ => {
            wrong_form(item, text, period, &clock, Some(zone_name));
            return None;
        }
    };
    let zone = zone::checked(item, zone_name, item.within(text, zone_at))?;
    let lead = match every {
        ResetDay::Day => String::new(),
        ResetDay::Weekday(day) => {
            format!("{} ", usize::try_from(day - 1).ok().and_then(|day| WEEKDAYS.get(day)).unwrap_or(&""))
        }
        ResetDay::MonthDay(day) => format!("{day} "),
    };
    // Always written the same, as it names the window in the file of budgets.
    let text = format!("{lead}{clock} {}", zone.iana_name().unwrap_or(zone_name));
    Some(Resets { text, every, minute, zone })
}

fn weekday(item: &Item<'_>, text: &str, at: &Range<usize>, clock: &str, zone: &str) -> Option<ResetDay> {
    let word = &text[at.clone()];
    let found = WEEKDAYS.iter().position(|day| day.eq_ignore_ascii_case(word));
    if let Some(day) = found.and_then(|day| i8::try_from(day + 1).ok()) {
        return Some(ResetDay::Weekday(day));
    }
    let lower = word.to_ascii_lowercase();
    let short =
        WEEKDAYS.into_iter().find(|day| lower.len() > 1 && day.to_ascii_lowercase().starts_with(&lower));
    match short.or_else(|| closest(word, WEEKDAYS.into_iter())) {
        Some(day) => item.findings.push(
            item.findings
                .error("bad-resets", item.within(text, at), format!("`{word}` is no day of the week"))
                .label("unknown day")
                .help(format!("did you mean \"{day} {clock} {zone}\"?")),
        ),
        None => wrong_form(item, text, Period::Week, clock, Some(zone)),
    }
    None
}

/// Says how `resets` of such a limit looks, with what can be kept of what was written.
fn wrong_form(item: &Item<'_>, text: &str, period: Period, clock: &str, zone: Option<&str>) {
    let known = zone.filter(|zone| zone::zone_named(zone).is_some());
    let lacks = if zone.is_none() { " and the zone whose clock it is" } else { "" };
    let expected = match period {
        Period::Day => "a time of day",
        Period::Week => "a day of the week and a time",
        Period::Month => "a day of the month (1 to 31) and a time",
    };
    item.wrong(
        "bad-resets",
        format!("`{text}` does not say when a limit per {} begins anew", period.name()),
        &format!("expected {expected}{lacks}"),
        format!("write resets = \"{}{clock} {}\"", period.lead(), known.unwrap_or("UTC")),
    );
}

/// Minutes since midnight.
fn time(word: &str) -> Option<u16> {
    let (hours, minutes) = word.split_once(':')?;
    let number = |text: &str, digits: Range<usize>, most: u16| {
        let plain = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|number| plain && *number <= most)
    };
    Some(number(hours, 1..3, 23)? * 60 + number(minutes, 2..3, 59)?)
}
