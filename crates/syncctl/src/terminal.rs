//! What is written for people: stdout and stderr, colours, numbers, and text from outside made
//! harmless. Not what is said: that is each command's.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use entities::Moment;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::context::Context;
use crate::exit::Problem;

/// Writes results to stdout. A reader that has gone away (`| head`) ends the writing, not the command.
pub(crate) fn to_stdout(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a line for people to stderr.
pub(crate) fn to_stderr(line: &str) {
    let mut out = io::stderr().lock();
    let _ = writeln!(out, "{line}");
}

/// Says on stderr what the command itself has to say.
pub(crate) fn say(text: &str, context: &Context) {
    if context.json {
        to_stderr(&message(text, context.now()));
    } else {
        to_stderr(text);
    }
}

/// Says how far something is that takes longer than people like to wait without a word.
pub(crate) struct Patience<'c> {
    next: Moment,
    every: Duration,
    context: &'c Context,
}

impl<'c> Patience<'c> {
    /// From now on, at most once in so long.
    pub(crate) fn new(every: Duration, context: &'c Context) -> Patience<'c> {
        Patience { next: context.now() + every, every, context }
    }

    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        let now = self.context.now();
        if now >= self.next {
            say(&text(), self.context);
            self.next = now + self.every;
        }
    }
}

/// A message as `--progress json` has it.
pub(crate) fn message(text: &str, now: Moment) -> String {
    json!({"event": "message", "text": text, "at": now.to_rfc3339()}).to_string()
}

/// Says on stderr why a command cannot go on, and the ways out.
pub(crate) fn complain(problem: &Problem, context: &Context) {
    if context.json {
        let object = json!({
            "event": "error",
            "text": problem.text.trim_end(),
            "excerpt": problem.excerpt,
            "help": problem.help,
            "exit": problem.exit as u8,
            "at": context.now().to_rfc3339(),
        });
        return to_stderr(&object.to_string());
    }
    let paint = Paint(context.colour);
    if problem.rendered {
        to_stderr(problem.text.trim_end());
    } else {
        to_stderr(&format!("{} {}", paint.red("error:"), clean_lines(&problem.text)));
    }
    if let Some(excerpt) = &problem.excerpt {
        to_stderr(excerpt.trim_end());
    }
    for line in &problem.help {
        to_stderr(&format!("  {} {}", paint.bold("help:"), clean_lines(line)));
    }
}

/// Text from outside as one harmless line: control characters (which could move the cursor, set
/// the title or fake a line) and direction overrides are shown as escapes.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push(' '),
            c if is_harmful(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// JSON in which what [`clean`] shows as escapes is one of JSON's: it says the same, and cannot steer a terminal either.
pub(crate) fn clean_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // In its strings JSON has no line end as such: these are its own.
        if is_harmful(c) && !matches!(c, '\n' | '\t') {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// As [`clean`], but line ends are kept: for texts of several lines.
pub(crate) fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// What moves the cursor, turns the text around, or cannot be seen; as the page has it (`page/client.js`).
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// How many columns a line takes on a terminal: characters of East Asian scripts and pictures take two, marks
/// that join the one before none (after UAX #11; ranges, not every exception).
pub(crate) fn wide(text: &str) -> usize {
    let columns = |c: char| match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 => 2,
        0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 => 2,
        0x1f300..=0x1f64f | 0x1f900..=0x1f9ff | 0x20000..=0x3fffd => 2,
        _ => 1,
    };
    text.chars().map(columns).sum()
}

/// At most `most` characters, the last one an ellipsis if some were cut.
pub(crate) fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if text.chars().count() <= most {
        return Cow::Borrowed(text);
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.push('…');
    Cow::Owned(out)
}

/// Colours, or none of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// `1234567` → `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 row`, `2 rows`; plurals that take an `s`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A rate: `0.4`, `9.7`, `120`, `173,000`.
pub(crate) fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second <= 0.0 {
        "0".to_owned()
    } else if per_second < 9.95 {
        format!("{per_second:.1}")
    } else {
        count(per_second.round() as u64)
    }
}

/// A rate as a plan writes it, rounded down: `28/s`, `45/min`, `12/h`.
pub(crate) fn rate_words(per_second: f64) -> String {
    // The first unit in which rounding down takes no more than a tenth away.
    let units = [(1.0, "s"), (60.0, "min"), (3_600.0, "h"), (86_400.0, "day")];
    // What is a whole number but for the last bits of a fraction is one.
    let number = |seconds: f64| (per_second * seconds + 1e-6).floor();
    let (seconds, unit) =
        units.into_iter().find(|(seconds, _)| number(*seconds) >= 10.0).unwrap_or((86_400.0, "day"));
    format!("{}/{unit}", number(seconds).max(1.0))
}

/// A duration as people say it: `350ms`, `3.2s`, `4m 05s`, `2h 10m`, `3d 04h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{:.1}s", duration.as_secs_f64().min(59.9)),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A moment on the clock of whoever reads it: `14:05` today, `2026-11-25 00:10` on another day. Rounded up
/// to a minute: what is to happen then has not happened before.
pub(crate) fn clock_time(moment: Moment, now: Moment, zone: &TimeZone) -> String {
    let at = |moment: Moment| {
        Timestamp::from_millisecond(moment.as_millis()).ok().map(|at| at.to_zoned(zone.clone()))
    };
    let up = Moment::from_millis(
        moment.as_millis().saturating_add(59_999).div_euclid(60_000).saturating_mul(60_000),
    );
    let (Some(then), Some(today)) = (at(up), at(now)) else { return "never".to_owned() };
    let form = if then.date() == today.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    then.strftime(form).to_string()
}

/// As [`clock_time`], but what comes within two minutes to the second: `14:05:20`.
pub(crate) fn soon_or_later(moment: Moment, now: Moment, zone: &TimeZone) -> String {
    let soon =
        moment.as_millis().saturating_sub(now.as_millis()) < 120_000 && moment.as_millis() % 60_000 != 0;
    let up = moment.as_millis().saturating_add(999).div_euclid(1_000).saturating_mul(1_000);
    match Timestamp::from_millisecond(up) {
        Ok(at) if soon => at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string(),
        _ => clock_time(moment, now, zone),
    }
}

/// ` (until 14:05)` behind a wait of more than a minute; nothing behind a shorter one.
pub(crate) fn until(how_long: Duration, now: Moment, zone: &TimeZone) -> String {
    match how_long > Duration::from_secs(60) {
        true => format!(" (until {})", clock_time(now + how_long, now, zone)),
        false => String::new(),
    }
}

/// Bytes as people say them: `812 B`, `3.4 KiB`, `64.0 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Columns of text, aligned; `right` says which columns are numbers. Rows are indented by two.
pub(crate) fn table(rows: &[Vec<String>], right: &[bool]) -> String {
    let mut widths = vec![0usize; right.len()];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for ((cell, width), right) in row.iter().zip(&widths).zip(right) {
            let gap = " ".repeat(width - cell.chars().count());
            let _ = if *right { write!(line, " {gap}{cell} ") } else { write!(line, " {cell}{gap} ") };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        for (input, expected) in [
            ("plain – text", "plain – text"),
            ("\x1b]0;owned\x07x", "\\u{1b}]0;owned\\u{7}x"),
            ("a\r\nerror: fake", "a\\r\\nerror: fake"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("abc\u{202e}def", "abc\\u{202e}def"),
        ] {
            assert_eq!(clean(input), expected);
        }
        assert_eq!(clean_lines("a\nb\x1b"), "a\nb\\u{1b}");
        let json = serde_json::json!({"a": "x\u{9b}2J\u{202e}\x1b\n日本"}).to_string();
        assert!(json.contains('\u{9b}'));
        let cleaned = clean_json(&json);
        assert_eq!(clean(&cleaned), cleaned);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&cleaned), value(&json));
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(2_000, "row"), "2,000 rows");
        assert_eq!(rate(0.42), "0.4");
        assert_eq!(rate(99.6), "100");
        assert_eq!(rate(f64::NAN), "0");
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(64 * 1024 * 1024), "64.0 MiB");
        for (per_second, expected) in [
            (100.0, "100/s"),
            (28.57, "28/s"),
            (9.9, "594/min"),
            (0.75, "45/min"),
            (1.0 / 3.0, "20/min"),
            (0.1, "360/h"),
            (10.0 / 3_600.0, "10/h"),
            (1.0 / 3_600.0, "24/day"),
            (0.0, "1/day"),
        ] {
            assert_eq!(rate_words(per_second), expected);
        }
        for (seconds, expected) in
            [(0.35, "350ms"), (3.21, "3.2s"), (245.0, "4m 05s"), (7800.0, "2h 10m"), (273_600.0, "3d 04h")]
        {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), expected);
        }
    }

    #[test]
    fn clocks_are_those_of_the_reader() {
        let moment = |text: &str| {
            let at: Timestamp = text.parse().unwrap();
            Moment::from_millis(at.as_millisecond())
        };
        let now = moment("2026-11-22T13:41:50Z");
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (until, utc, there) in [
            ("2026-11-22T14:05:00Z", "14:05", "15:05"),
            ("2026-11-22T14:04:01Z", "14:05", "15:05"),
            ("2026-11-22T23:30:00Z", "23:30", "2026-11-23 00:30"),
            ("2026-11-25T00:10:00Z", "2026-11-25 00:10", "2026-11-25 01:10"),
        ] {
            let until = moment(until);
            assert_eq!(clock_time(until, now, &TimeZone::UTC), utc);
            assert_eq!(clock_time(until, now, &berlin), there);
        }
        assert_eq!(clock_time(Moment(i64::MAX), now, &berlin).len(), 16);
        for (after, expected) in [
            (0, "13:41:50"),
            (9_001, "13:42:00"),
            (10_000, "13:42"),
            (119_000, "13:43:49"),
            (120_000, "13:44"),
        ] {
            let at = Moment::from_millis(now.as_millis() + after);
            assert_eq!(soon_or_later(at, now, &TimeZone::UTC), expected);
        }
        assert_eq!(soon_or_later(Moment(i64::MAX), now, &berlin).len(), 16);
        let of = |seconds| until(Duration::from_secs(seconds), now, &TimeZone::UTC);
        assert_eq!((of(59).as_str(), of(1390).as_str()), ("", " (until 14:05)"));
    }

    #[test]
    fn tables_align() {
        let rows =
            vec![vec!["task".to_owned(), "rows".to_owned()], vec!["instruments".to_owned(), "5".to_owned()]];
        assert_eq!(table(&rows, &[false, true]), "  task         rows\n  instruments     5\n");
    }
}
