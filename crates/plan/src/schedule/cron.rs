//! `cron = "0 6 * * 1-5"`: the five fields of Vixie cron (crontab(5)), brought into the one form that servers reckon
//! with: sorted numbers and ranges, no names, no steps.

use std::ops::{Range, RangeInclusive};

use crate::item::Item;
use crate::reader::closest;
use crate::strings::words;

/// How an expression looks, for help texts.
const EXAMPLE: &str =
    "write minute, hour, day of the month, month and day of the week: cron = \"0 6 * * 1-5\"";

/// Characters of an expression; each half an hour, written out, takes less.
const LONGEST: usize = 200;

/// One of the five fields.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    /// The names of its values from `least` on.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    // 7 is Sunday as well.
    Field {
        name: "day of the week",
        least: 0,
        most: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// What stands in place of five fields in crontabs, and the fields.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// February has 29 days, sometimes.
const DAYS_OF_MONTHS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// The values of one field, a bit each.
#[derive(Clone, Copy)]
struct Values {
    bits: u64,
    /// It began with `*`: then it does not restrict the days by itself, and the other field of days must hold as well.
    star: bool,
}

/// Reads an expression: five fields of numbers, lists and ranges. `+` before the last field says that
/// the day of the month must fit as well as the day of the week; without it, and where neither is `*`, either will do.
pub(super) fn expression(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if text.len() > LONGEST {
        let message = format!("{} is longer than {LONGEST} characters", item.what);
        item.wrong("bad-cron", message, "too long", EXAMPLE);
        return None;
    }
    let fields = words(text);
    let [minute, hour, day, month, weekday] = fields.as_slice() else {
        wrong_count(item, text, &fields);
        return None;
    };
    let places = [minute, hour, day, month, weekday];
    let read = |at: usize| values(item, text, places[at], &FIELDS[at]);
    // All of them, so that one mistake does not hide the next.
    let read = [read(0), read(1), read(2), read(3), read(4)];
    let [Some(minutes), Some(hours), Some(days), Some(months), Some(weekdays)] = read else { return None };
    let weekdays = Values { bits: (weekdays.bits & 0x7f) | (weekdays.bits >> 7 & 1), ..weekdays };

    let every_day = days.bits == bits(1..=31);
    let every_weekday = weekdays.bits == bits(0..=6);
    // crontab(5): a field that begins with `*` does not count as a restriction, so both must hold.
    let both = days.star || weekdays.star;
    let (days_text, weekdays_text) = match (every_day, every_weekday) {
        (true, true) => ("*".to_owned(), "*".to_owned()),
        _ if (every_day || every_weekday) && !both => ("*".to_owned(), "*".to_owned()),
        (true, false) => ("*".to_owned(), listed(weekdays.bits)),
        (false, true) => (listed(days.bits), "*".to_owned()),
        (false, false) => {
            (listed(days.bits), format!("{}{}", if both { "+" } else { "" }, listed(weekdays.bits)))
        }
    };
    let by_day_of_month = days_text != "*" && (both || every_weekday);
    let comes = (1..=12_u8)
        .zip(DAYS_OF_MONTHS)
        .any(|(month, length)| months.bits & (1 << month) != 0 && days.bits & bits(1..=length) != 0);
    if by_day_of_month && !comes {
        never(item, text, day.start..month.end, days.bits, months.bits);
        return None;
    }
    let or_star = |values: Values, all: RangeInclusive<u8>| {
        if values.bits == bits(all) { "*".to_owned() } else { listed(values.bits) }
    };
    Some(format!(
        "{} {} {days_text} {} {weekdays_text}",
        or_star(minutes, 0..=59),
        or_star(hours, 0..=23),
        or_star(months, 1..=12),
    ))
}

fn bits(values: RangeInclusive<u8>) -> u64 {
    values.fold(0, |bits, value| bits | 1 << value)
}

/// `1-5,10`: numbers and ranges in order.
fn listed(bits: u64) -> String {
    let mut parts = Vec::new();
    let mut at = 0_u8;
    while at < 64 {
        if bits & (1 << at) == 0 {
            at += 1;
            continue;
        }
        let first = at;
        while at < 63 && bits & (1 << (at + 1)) != 0 {
            at += 1;
        }
        // `1,2` is shorter than a range would say.
        match at - first {
            1 => parts.push(format!("{first},{at}")),
            _ => parts.push(range(first, at)),
        }
        at += 1;
    }
    parts.join(",")
}

fn range(first: u8, last: u8) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// The values of a field.
fn values(item: &Item<'_>, text: &str, place: &Range<usize>, field: &Field) -> Option<Values> {
    let source = &text[place.clone()];
    let mut found = Values { bits: 0, star: source.starts_with('*') };
    let mut start = place.start;
    for part in source.split(',') {
        let at = start..start + part.len();
        start = at.end + 1;
        found.bits |= values_of_part(item, text, &at, field)?;
    }
    Some(found)
}

/// `*`, `5`, `1-5`, `*/15`, `8-18/2`.
fn values_of_part(item: &Item<'_>, text: &str, at: &Range<usize>, field: &Field) -> Option<u64> {
    let part = &text[at.clone()];
    let refuse = |message: String, help: String| {
        let error = item.findings.error("bad-cron", item.within(text, at), message);
        item.findings.push(error.label(format!("in the {}", field.name)).help(help));
    };
    if part.is_empty() {
        refuse(
            format!("the {} of `{text}` has an empty place in its list", field.name),
            "write a value between the commas, or remove one of them".to_owned(),
        );
        return None;
    }
    let (base, step) = match part.split_once('/') {
        Some((base, step)) => (base, Some(step)),
        None => (part, None),
    };
    let (first, last) = if base == "*" {
        (field.least, field.most)
    } else {
        let (first, last) = base.split_once('-').unwrap_or((base, base));
        let (first, last_word) = (value(item, text, at, field, first)?, last);
        let last = value(item, text, at, field, last)?;
        // A week that ends on Sunday.
        let last = if last == 0 && field.most == 7 && !last_word.starts_with('0') { 7 } else { last };
        (first, last)
    };
    // A single Sunday by its name is 0, whatever it would be at the end of a range.
    let last = if base.contains('-') || base == "*" { last } else { first };
    if first > last {
        let most = if field.most == 7 { 6 } else { field.most };
        refuse(
            format!("`{part}` ends before it begins"),
            format!("write {},{}", range(first, most), range(field.least, last)),
        );
        return None;
    }
    let Some(step) = step else { return Some(bits(first..=last)) };
    if base != "*" && first == last {
        refuse(
            format!("`{part}` is a step without a range"),
            format!("say where it ends: {first}-{}/{step}", field.most),
        );
        return None;
    }
    let Some(step) = number(step).filter(|step| *step > 0) else {
        refuse(
            format!("`{part}`: `{step}` is no step"),
            format!("write a number above zero: {base}/{}", if field.most > 12 { 5 } else { 2 }),
        );
        return None;
    };
    if step > u16::from(last - first) {
        refuse(
            format!("`{part}` steps over all of its range: it is {first} alone"),
            match field.name {
                "minute" => format!("write {first}, or count time instead: every = \"{step}m\""),
                "hour" => format!("write {first}, or count time instead: every = \"{step}h\""),
                _ => format!("write {first}, or a smaller step"),
            },
        );
        return None;
    }
    Some((first..=last).step_by(usize::from(step)).fold(0, |bits, value| bits | 1 << value))
}

/// A number or a name.
fn value(item: &Item<'_>, text: &str, at: &Range<usize>, field: &Field, word: &str) -> Option<u8> {
    let named = (field.least..).zip(field.names).find(|(_, name)| name.eq_ignore_ascii_case(word));
    if let Some((value, _)) = named {
        return Some(value);
    }
    let all = (u16::from(field.least), u16::from(field.most));
    if let Some(value) = number(word).filter(|value| (all.0..=all.1).contains(value)) {
        return u8::try_from(value).ok();
    }
    let mut help = format!("use {} to {}", field.least, field.most);
    if let (Some(first), Some(last)) = (field.names.first(), field.names.last()) {
        help = format!("{help}, or {first} to {last}");
    }
    let lower = word.to_lowercase();
    let meant = field.names.iter().copied().find(|name| lower.starts_with(name));
    let meant = meant.or_else(|| closest(word, field.names.iter().copied()).filter(|_| word.len() > 1));
    if let Some(meant) = meant {
        help = format!("did you mean `{meant}`?");
    } else if word == "?" {
        help = "write `*`".to_owned();
    } else if field.name == "hour" && word == "24" {
        help = "midnight is 0".to_owned();
    } else if lower.contains(['l', 'w', '#'])
        && lower.starts_with(|c: char| c.is_ascii_digit() || "lw#".contains(c))
    {
        help = format!("{help}; `L`, `W` and `#` are not of this cron");
    }
    let message = if word.is_empty() {
        format!("`{}` lacks a value", &text[at.clone()])
    } else {
        format!("`{word}` is no {}", field.name)
    };
    let error = item.findings.error("bad-cron", item.within(text, at), message);
    item.findings.push(error.label(format!("in the {}", field.name)).help(help));
    None
}

/// A number of a few digits, and nothing but digits.
fn number(word: &str) -> Option<u16> {
    let plain = (1..=4).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|_| plain)
}

fn wrong_count(item: &Item<'_>, text: &str, fields: &[Range<usize>]) {
    let nickname = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
    if let Some((_, fields)) = nickname {
        item.wrong(
            "bad-cron",
            format!("`{text}` is not five fields"),
            "a nickname",
            format!("write cron = \"{fields}\""),
        );
        return;
    }
    let count = fields.len();
    let help = match fields {
        [] => EXAMPLE.to_owned(),
        // What some crons have before or behind the five.
        [_, rest @ ..] if rest.len() == 5 => {
            let rest: Vec<&str> = rest.iter().map(|at| &text[at.clone()]).collect();
            format!("there is no field of seconds: cron = \"{}\"", rest.join(" "))
        }
        _ => EXAMPLE.to_owned(),
    };
    item.wrong(
        "bad-cron",
        match count {
            0 => format!("{} is empty", item.what),
            1 => format!("`{text}` is 1 field, and `cron` has 5"),
            _ => format!("`{text}` has {count} fields, and `cron` has 5"),
        },
        "expected five fields",
        help,
    );
}

/// Says that no month has these days.
fn never(item: &Item<'_>, text: &str, at: Range<usize>, days: u64, months: u64) {
    let longest = (1..=12_u8).zip(DAYS_OF_MONTHS).filter(|(month, _)| months & (1 << month) != 0);
    let longest = longest.map(|(_, length)| length).max().unwrap_or(31);
    let error = item.findings.error("bad-cron", item.within(text, &at), format!("`{text}` never comes"));
    item.findings.push(
        error
            .label(format!("month {} has no day {}", listed(months), listed(days)))
            .help(format!("use a day up to {longest}, or another month")),
    );
}
