//! When a server would start the plan by itself; `syncctl run` pays no heed to it.

use entities::{Moment, Schedule, When};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::terminal::{clean, soon_or_later};

/// Starts that are named.
const SHOWN: usize = 3;

/// `every 1h: a server starts it at once when it is added, then at 14:05, 15:05, …`
pub(super) fn words(schedule: &Schedule, now: Moment, zone: &TimeZone) -> String {
    let times = service::due_times(schedule, now, SHOWN + 1);
    let at_once = matches!(schedule.when, When::Every(_));
    let later = times.iter().skip(usize::from(at_once)).take(SHOWN);
    let later: Vec<String> = later.map(|at| soon_or_later(*at, now, zone)).collect();
    let at_once = if at_once { "at once when it is added, then " } else { "" };
    match later.is_empty() {
        true => format!("{}: it never comes due", clean(&schedule.text)),
        false => format!(
            "{}: `syncctl serve` starts it {at_once}at {}, …; `syncctl run` at any time",
            clean(&schedule.text),
            later.join(", ")
        ),
    }
}

pub(super) fn object(schedule: Option<&Schedule>, now: Moment) -> Value {
    schedule.map_or(Value::Null, |schedule| {
        let times = service::due_times(schedule, now, SHOWN);
        json!({"text": schedule.text, "next": times.into_iter().map(Moment::to_rfc3339).collect::<Vec<_>>()})
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use entities::Place;

    use super::*;

    #[test]
    fn the_next_starts_are_named() {
        // 13:41:50 on a Sunday.
        let now = Moment::from_millis(1_795_354_910_000);
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        let cron = When::Cron { expression: "0 6 * * 1-5".to_owned(), zone: shanghai };
        for (when, text, expected) in [
            (
                When::Every(Duration::from_secs(3_600)),
                "every 1h",
                "every 1h: `syncctl serve` starts it at once when it is added, then at 14:42, 15:42, 16:42, …; `syncctl run` at any time",
            ),
            (
                When::Every(Duration::from_secs(10)),
                "every 10s",
                "every 10s: `syncctl serve` starts it at once when it is added, then at 13:42, 13:42:10, 13:42:20, …; `syncctl run` at any time",
            ),
            (
                cron,
                "0 6 * * 1-5 Asia/Shanghai",
                "0 6 * * 1-5 Asia/Shanghai: `syncctl serve` starts it at 22:00, 2026-11-23 22:00, 2026-11-24 22:00, …; `syncctl run` at any time",
            ),
        ] {
            let schedule = Schedule { when, text: text.to_owned(), at: Place::default() };
            assert_eq!(words(&schedule, now, &TimeZone::UTC), expected);
            assert_eq!(object(Some(&schedule), now)["next"].as_array().map(Vec::len), Some(SHOWN));
        }
        assert_eq!(object(None, now), Value::Null);
    }
}
