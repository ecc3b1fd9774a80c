//! `[schedule]` that is right: what it becomes, and that croner reads that as crontab(5) reads what was written.

use std::str::FromStr;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use entities::{Schedule, When};
use jiff::ToSpan;
use jiff::civil::{DateTime, date};
use plan::load;
use proptest::prelude::*;

use crate::World;

const REST: &str =
    "[plan]\nname = \"p\"\n[endpoints.a]\nbase_url = \"https://x.example\"\n[tasks.t]\nget = \"/x\"\n";

#[track_caller]
fn schedule(lines: &str) -> Schedule {
    match load("p.toml", &format!("{REST}[schedule]\n{lines}\n"), &World, &[]) {
        Ok(loaded) => {
            assert!(loaded.warnings.is_empty(), "{lines}: {:?}", loaded.warnings);
            loaded.plan.schedule.unwrap_or_else(|| panic!("{lines}"))
        }
        Err(found) => panic!("{}", found.render(false)),
    }
}

#[test]
fn every_is_a_duration() {
    let check = |every: &str, seconds: u64, text: &str| {
        let found = schedule(&format!("every = \"{every}\""));
        assert_eq!(found.when, When::Every(Duration::from_secs(seconds)), "{every}");
        assert_eq!(found.text, text);
        assert_eq!((found.at.line, found.at.column), (7, 2));
    };
    check("10s", 10, "every 10s");
    check("90s", 90, "every 90s");
    check(" 15m ", 900, "every 15m");
    check("1h", 3_600, "every 1h");
    check("1.5h", 5_400, "every 1.5h");
    check("366d", 366 * 86_400, "every 366d");
}

#[test]
fn cron_is_brought_into_one_form() {
    let check = |written: &str, expected: &str| {
        let found = schedule(&format!("cron = \"{written}\""));
        let When::Cron { expression, zone } = &found.when else { panic!("{found:?}") };
        assert_eq!(expression, expected, "{written}");
        assert_eq!(zone.iana_name(), Some("UTC"));
        let cron = Cron::from_str(expression).unwrap();
        let strict = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        assert_eq!(strict.parse(expression).unwrap(), cron);
        if !expression.contains('+') {
            let again = schedule(&format!("cron = \"{expression}\""));
            assert_eq!(again.when, found.when, "{written}");
        }
    };
    check("0 6 * * 1-5", "0 6 * * 1-5");
    check("0 6 * * mon-fri", "0 6 * * 1-5");
    check("0 6 * * MON,Tue,wed,THU,fri", "0 6 * * 1-5");
    check("0 0 * * 7", "0 0 * * 0");
    check("0 0 * * sun", "0 0 * * 0");
    check("0 0 * * 0,7", "0 0 * * 0");
    check("0 0 * * fri-sun", "0 0 * * 0,5,6");
    check("0 0 * * 5-7", "0 0 * * 0,5,6");
    check("0 0 * * sun-tue", "0 0 * * 0-2");
    check("0 0 * * 0-7", "0 0 * * *");
    check("0 0 * * 1-7", "0 0 * * *");
    check("*/15 * * * *", "0,15,30,45 * * * *");
    check("0-59 0-23 1-31 1-12 *", "* * * * *");
    check("*/1 */1 */1 */1 */1", "* * * * *");
    check("00 06 01 01 *", "0 6 1 1 *");
    check("\\t5  4\\t* * *", "5 4 * * *");
    check("5,4,3,10 8-18/2 * * *", "3-5,10 8,10,12,14,16,18 * * *");
    check("1,2 * * * *", "1,2 * * * *");
    check("59 23 31 dec *", "59 23 31 12 *");
    check("0 0 1 Jan-Mar,JUN *", "0 0 1 1-3,6 *");
    check("0 0 29 2 *", "0 0 29 2 *");
    check("0 0 31 feb,mar *", "0 0 31 2,3 *");
    // Both restricted: either will do.
    check("0 0 13 * 5", "0 0 13 * 5");
    check("0 0 1-31 * 1", "0 0 * * *");
    check("0 0 1 * 0-6", "0 0 * * *");
    check("0 0 30 2 1", "0 0 30 2 1");
    check("0 0 30 2 0-6", "0 0 * 2 *");
    // A field that begins with `*` restricts nothing by itself: both must hold.
    check("0 0 */2 * 1", "0 0 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31 * +1");
    check("0 0 1-7 * */7", "0 0 1-7 * +0");
    check("0 0 1 * *,5", "0 0 1 * *");
    check("0 0 *,5 * 1", "0 0 * * 1");
}

#[test]
fn the_zone_is_one_that_has_a_name() {
    let check = |zone: &str, name: &str| {
        let found = schedule(&format!("cron = \"0  6 * * 1-5\"\nzone = \"{zone}\""));
        assert_eq!(found.text, format!("0 6 * * 1-5 {name}"));
        let When::Cron { zone, .. } = found.when else { panic!("{zone}") };
        assert_eq!(zone.iana_name(), Some(name));
    };
    check("Asia/Shanghai", "Asia/Shanghai");
    check("europe/berlin", "Europe/Berlin");
    check("UTC", "UTC");
}

#[test]
fn a_schedule_starts_no_task_over() {
    let without = load("p.toml", REST, &World, &[]).unwrap().plan;
    let with = load("p.toml", &format!("{REST}[schedule]\nevery = \"1h\"\n"), &World, &[]).unwrap().plan;
    assert_eq!(without.tasks[0].fingerprint, with.tasks[0].fingerprint);
    assert_eq!(plan::starts_over(&without, &with), Vec::<String>::new());
}

/// A field as it is written, and the values it means.
#[derive(Clone, Debug)]
struct Written {
    text: String,
    values: Vec<u16>,
}

fn part(least: u16, most: u16) -> impl Strategy<Value = Written> {
    let span = most - least;
    let all = move || (least..=most).collect::<Vec<u16>>();
    prop_oneof![
        2 => Just(()).prop_map(move |()| Written { text: "*".to_owned(), values: all() }),
        3 => (least..=most).prop_map(|value| Written { text: value.to_string(), values: vec![value] }),
        1 => (1..=span).prop_map(move |step| Written {
            text: format!("*/{step}"),
            values: all().into_iter().step_by(usize::from(step)).collect(),
        }),
        2 => (least..most, 1..=span, 1..=span).prop_map(move |(first, length, step)| {
            let last = (first + length).min(most);
            let step = step.min(last - first);
            Written {
                text: if step == 1 { format!("{first}-{last}") } else { format!("{first}-{last}/{step}") },
                values: (first..=last).step_by(usize::from(step)).collect(),
            }
        }),
    ]
}

fn field(least: u16, most: u16) -> impl Strategy<Value = Written> {
    proptest::collection::vec(part(least, most), 1..4).prop_map(|parts| Written {
        text: parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(","),
        values: parts.into_iter().flat_map(|part| part.values).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn croner_reads_it_as_crontab_does(
        minute in field(0, 59),
        hour in field(0, 23),
        day in field(1, 31),
        month in field(1, 12),
        weekday in field(0, 7),
    ) {
        let fields = [&minute, &hour, &day, &month, &weekday];
        let text = fields.map(|field| field.text.as_str()).join(" ");
        let loaded = load("p.toml", &format!("{REST}[schedule]\ncron = \"{text}\"\n"), &World, &[]);
        let days_match = |at: DateTime| {
            let by_day = day.values.contains(&(at.day() as u16));
            let number = at.weekday().to_sunday_zero_offset() as u16;
            let by_weekday = weekday.values.iter().any(|value| value % 7 == number);
            let starred = day.text.starts_with('*') || weekday.text.starts_with('*');
            let days = if starred { by_day && by_weekday } else { by_day || by_weekday };
            days && month.values.contains(&(at.month() as u16))
        };
        let days = || (0..4 * 366).map(|days| date(2027, 1, 1).at(0, 0, 0, 0) + days.days());
        let Ok(loaded) = loaded else {
            prop_assert!(!days().any(days_match), "{text} was refused, and it comes");
            return Ok(());
        };
        let Some(Schedule { when: When::Cron { expression, .. }, .. }) = loaded.plan.schedule else {
            panic!("{text}")
        };
        let cron = Cron::from_str(&expression).unwrap();
        let of_the_clock = |value: u16, field: &Written| field.values.contains(&value);
        let (an_hour, a_minute) = (hour.values[0], minute.values[0]);
        for midnight in days() {
            let at = midnight + i64::from(an_hour).hours() + i64::from(a_minute).minutes();
            prop_assert_eq!(cron.is_time_matching(&at).unwrap(), days_match(at), "{} as {}: {}", text, expression, at);
        }
        for value in 0..60 {
            prop_assert_eq!(cron.pattern.minutes.values().contains(&value), of_the_clock(value, &minute));
        }
        for value in 0..24 {
            prop_assert_eq!(cron.pattern.hours.values().contains(&value), of_the_clock(value, &hour));
        }
    }
}
