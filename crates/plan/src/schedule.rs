//! `[schedule]`: when a server starts the plan by itself. Working out the next time is the server's.

use std::time::Duration;

use entities::{Schedule, Step, When};
use jiff::tz::TimeZone;

use crate::endpoint::positive_duration;
use crate::item::Item;
use crate::{units, zone};

mod cron;

/// A run opens its store and is written into the ledger twice, even if there is nothing to fetch: more often than
/// this a plan would keep the disk busy with its own bookkeeping.
const SHORTEST: Duration = Duration::from_secs(10);
/// Whatever is rarer has a place in the calendar.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Reads `[schedule]`.
pub(crate) fn schedule(item: &Item<'_>) -> Option<Schedule> {
    let mut section = item.section("[schedule]")?;
    section.what = "[schedule]".to_owned();
    let (every, cron, zone) = (section.take("every"), section.take("cron"), section.take("zone"));
    if every.is_none() && cron.is_none() {
        let error = section
            .findings
            .error("missing-key", item.key_span.clone(), "[schedule] says neither `every` nor `cron`")
            .label("when?")
            .help("add every = \"1h\", or cron = \"0 6 * * *\" for each day at 06:00");
        section.missing(&["every", "cron"], error);
    }
    section.finish();
    let zone = match (&every, &zone) {
        (Some(_), Some(zone)) if cron.is_none() => {
            zone.wrong(
                "zone-without-cron",
                "`zone` of [schedule] is the zone of `cron`; `every` counts time, whatever clocks say",
                "nothing reads it",
                "remove it, or give a time of day: cron = \"0 6 * * *\"",
            );
            None
        }
        (_, Some(item)) => item.string().and_then(|name| zone::checked(item, name, item.span())),
        (_, None) => Some(TimeZone::UTC),
    };
    let found = match (&every, &cron) {
        (Some(_), Some(cron)) => {
            cron.findings.push(
                cron.findings
                    .error("two-schedules", cron.key_span.clone(), "[schedule] says both `every` and `cron`")
                    .label("a second schedule")
                    .help("keep one of them"),
            );
            None
        }
        (Some(every), None) => {
            let between = between(every)?;
            let text = every.string().map(|text| format!("every {}", text.trim()))?;
            Some((When::Every(between), text))
        }
        (None, Some(cron)) => {
            let expression = cron::expression(cron);
            let text = cron.string()?.split_whitespace().collect::<Vec<_>>().join(" ");
            let zone = zone?;
            let text = format!("{text} {}", zone.iana_name().unwrap_or("UTC"));
            Some((When::Cron { expression: expression?, zone }, text))
        }
        (None, None) => None,
    };
    let (when, text) = found?;
    Some(Schedule { when, text, at: item.findings.place(item.key_span.clone()) })
}

/// The time between two runs.
fn between(item: &Item<'_>) -> Option<Duration> {
    let text = item.string()?;
    if units::duration(text).is_none()
        && let Some(step) = units::step(text)
    {
        item.wrong(
            "bad-duration",
            format!("`{text}` is a calendar step, and {} is a plain duration", item.what),
            "expected a duration",
            instead_of(step),
        );
        return None;
    }
    let between = positive_duration(item)?;
    if between < SHORTEST {
        item.wrong(
            "out-of-range",
            format!("{} must be at least 10s, not {text}", item.what),
            "too often",
            "each run opens the store and is written into its ledger: use \"10s\" or more",
        );
        return None;
    }
    if between > LONGEST {
        item.wrong(
            "out-of-range",
            format!("{} must be at most 366d, not {text}", item.what),
            "too rarely",
            "use \"366d\" or less, or give a date: cron = \"0 6 1 1 *\"",
        );
        return None;
    }
    Some(between)
}

/// What says the same as a calendar step would.
fn instead_of(step: Step) -> String {
    match step {
        Step::Days(7) => "write every = \"7d\", or cron = \"0 6 * * 1\" for each Monday at 06:00".to_owned(),
        Step::Days(days) => {
            format!(
                "write every = \"{days}d\" (24 hours each), or cron = \"0 6 * * *\" for each day at 06:00"
            )
        }
        Step::Months(_) => {
            "months differ in length: write cron = \"0 6 1 * *\" for the first of each month at 06:00"
                .to_owned()
        }
        Step::Fixed(time) => {
            let seconds = time.as_secs();
            let (number, unit) = match seconds {
                _ if seconds % 3_600 == 0 => (seconds / 3_600, "h"),
                _ if seconds % 60 == 0 => (seconds / 60, "m"),
                _ => (seconds, "s"),
            };
            format!("write every = \"{number}{unit}\"")
        }
    }
}
