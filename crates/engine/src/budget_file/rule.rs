//! A limit as other processes read it in the budgets' file. What it costs under it is not kept: it is
//! a matter of the plan that asks.

use std::time::Duration;

use entities::{Limit, ResetDay, Resets};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// JSON in `users.rule`. Unknown fields are a newer syncctl's: left out, not refused.
#[derive(Serialize, Deserialize)]
struct Rule {
    count: u32,
    window_ns: u64,
    said: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    reserve: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resets: Option<Calendar>,
}

#[derive(Serialize, Deserialize)]
struct Calendar {
    said: String,
    every: Every,
    minute: u16,
    zone: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Every {
    Day,
    Weekday(i8),
    MonthDay(i8),
}

/// None: it cannot be told to others (a zone without a name), or is beyond all reason.
pub(super) fn write(limit: &Limit) -> Option<String> {
    let calendar = |resets: &Resets| {
        let every = match resets.every {
            ResetDay::Day => Every::Day,
            ResetDay::Weekday(day) => Every::Weekday(day),
            ResetDay::MonthDay(day) => Every::MonthDay(day),
        };
        let zone = resets.zone.iana_name()?.to_owned();
        Some(Calendar { said: resets.text.clone(), every, minute: resets.minute, zone })
    };
    let resets = match &limit.resets {
        None => None,
        Some(resets) => Some(calendar(resets)?),
    };
    let rule = Rule {
        count: limit.count,
        window_ns: u64::try_from(limit.window.as_nanos()).ok()?,
        said: limit.text.clone(),
        reserve: limit.reserve,
        resets,
    };
    serde_json::to_string(&rule).ok()
}

/// None: it was not written by [`write`], or its zone is not known here.
pub(super) fn read(text: &str) -> Option<Limit> {
    let rule: Rule = serde_json::from_str(text).ok()?;
    let mut limit = Limit::plain(rule.count, Duration::from_nanos(rule.window_ns), rule.said);
    if limit.count == 0 || limit.window.is_zero() {
        return None;
    }
    limit.reserve = rule.reserve;
    if let Some(calendar) = rule.resets {
        let every = match calendar.every {
            Every::Day => ResetDay::Day,
            Every::Weekday(day) => ResetDay::Weekday(day),
            Every::MonthDay(day) => ResetDay::MonthDay(day),
        };
        let zone = TimeZone::get(&calendar.zone).ok()?;
        limit.resets = Some(Resets { text: calendar.said, every, minute: calendar.minute, zone });
    }
    Some(limit)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_comes_back_as_it_was() {
        let plain = Limit::plain(5_000, Duration::from_secs(3_600), "5000/h");
        let kept = Limit { reserve: 500, ..plain.clone() };
        let daily = |every| Limit {
            resets: Some(Resets {
                text: "Monday 00:30 Asia/Shanghai".to_owned(),
                every,
                minute: 30,
                zone: TimeZone::get("Asia/Shanghai").unwrap(),
            }),
            ..kept.clone()
        };
        let calendar = [daily(ResetDay::Day), daily(ResetDay::Weekday(1)), daily(ResetDay::MonthDay(31))];
        for limit in [plain, kept.clone()].into_iter().chain(calendar) {
            let text = write(&limit).unwrap();
            assert_eq!(read(&text), Some(limit), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_limit_is_none() {
        for text in [
            "",
            "null",
            "5000/h",
            "{}",
            r#"{"count":0,"window_ns":1,"said":"0/s"}"#,
            r#"{"count":1,"window_ns":0,"said":"1/0s"}"#,
            r#"{"count":-1,"window_ns":1,"said":"?"}"#,
            r#"{"count":1,"window_ns":1,"said":"?","resets":{"said":"?","every":"day","minute":0,"zone":"Mars/Base"}}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
