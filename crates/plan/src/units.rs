//! Quantities as a plan writes them: durations, calendar steps, sizes, rates. Text → number only.

use std::time::Duration;

use entities::{BackOff, Limit, Step};

/// The window of a limit per day.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// The window of a limit per week.
pub(crate) const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// The window of a limit per month: the longest, so that it is never too short.
pub(crate) const MONTH: Duration = Duration::from_secs(31 * 86_400);

/// How a duration is written, for help texts.
pub(crate) const DURATION_EXAMPLES: &str = "durations look like \"500ms\", \"30s\", \"5m\", \"1h\" or \"1d\"";

/// `500ms`, `30s`, `5m`, `1h`, `1d`; also `1.5s`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * (millis as f64) / 1_000.0;
    // Whole numbers go without the float, so that they stay exact.
    match number.parse::<u64>() {
        Ok(whole) => Some(Duration::from_millis(whole.checked_mul(millis)?)),
        Err(_) => Duration::try_from_secs_f64(seconds).ok(),
    }
}

/// `1s..1m`: first and longest step.
pub(crate) fn back_off(text: &str) -> Option<BackOff> {
    let (first, most) = text.split_once("..")?;
    Some(BackOff { first: duration(first.trim())?, most: duration(most.trim())? })
}

/// How a step is written, for help texts.
pub(crate) const STEP_EXAMPLES: &str =
    "steps look like \"1 day\", \"1 week\", \"1 month\", \"6h\" or \"15m\"";

/// `1 day`, `2 weeks`, `1 month`, `1 year`, or a duration. Days given as `1d` are calendar days too.
pub(crate) fn step(text: &str) -> Option<Step> {
    let (number, unit) = split(text)?;
    let count = || number.parse::<u32>().ok();
    Some(match unit.strip_suffix('s').filter(|unit| unit.len() > 1).unwrap_or(unit) {
        "day" | "d" => Step::Days(count()?),
        "week" => Step::Days(count()?.checked_mul(7)?),
        "month" => Step::Months(count()?),
        "year" => Step::Months(count()?.checked_mul(12)?),
        "hour" => Step::Fixed(Duration::from_secs(u64::from(count()?) * 3_600)),
        "minute" | "min" => Step::Fixed(Duration::from_secs(u64::from(count()?) * 60)),
        "second" => Step::Fixed(Duration::from_secs(u64::from(count()?))),
        _ => Step::Fixed(duration(text)?),
    })
}

/// Whether a step goes nowhere.
pub(crate) fn is_zero(step: Step) -> bool {
    match step {
        Step::Months(count) | Step::Days(count) => count == 0,
        Step::Fixed(duration) => duration.is_zero(),
    }
}

/// `64MiB`, `512KiB`, `10MB`, `1000B`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// How a rate is written, for help texts.
pub(crate) const RATE_EXAMPLES: &str =
    "limits look like \"10/s\", \"500/min\", \"5000/h\", \"20000/day\", \"1000/week\" or \"10000/month\"";

/// `10/s`, `500/min`, `5000/h`, `20000/day`, `1000/week`, `10000/month` (31 days); also `15/3s`, `10/2min`:
/// that many in any such time.
pub(crate) fn rate(text: &str) -> Option<Limit> {
    let (count, window) = text.split_once('/')?;
    let count = count.trim().replace('_', "").parse::<u32>().ok()?;
    let window = match window.trim() {
        "s" | "sec" | "second" => Duration::from_secs(1),
        "min" | "minute" => Duration::from_secs(60),
        "h" | "hour" => Duration::from_secs(3_600),
        "d" | "day" => DAY,
        "week" => WEEK,
        "month" => MONTH,
        several => some_time(several)?,
    };
    Some(Limit::plain(count, window, text.trim()))
}

/// `3s`, `2min`, `2 days`: a duration, or a whole number of what a rate may be over.
fn some_time(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let one = match unit.strip_suffix('s').filter(|unit| unit.len() > 1).unwrap_or(unit) {
        "sec" | "second" => Duration::from_secs(1),
        "min" | "minute" => Duration::from_secs(60),
        "hour" => Duration::from_secs(3_600),
        "day" => DAY,
        "week" => WEEK,
        "month" => MONTH,
        _ => return duration(text),
    };
    one.checked_mul(number.parse().ok()?)
}

/// The leading number and the unit behind it.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(end);
    (number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.'))
        .then(|| (number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        };
        check("500ms", Some(500));
        check("30s", Some(30_000));
        check("1.5s", Some(1_500));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("1d", Some(86_400_000));
        check("0s", Some(0));
        check("99999999999999999999d", None);
        for wrong in ["", "s", "5", "5 parsecs", "-1s", "1.s", ".5s", "1..5s", "5mm", "é"] {
            check(wrong, None);
        }
    }

    #[test]
    fn steps() {
        let check = |text: &str, expected: Option<Step>| assert_eq!(step(text), expected, "{text}");
        check("1 day", Some(Step::Days(1)));
        check("1d", Some(Step::Days(1)));
        check("2 weeks", Some(Step::Days(14)));
        check("1 month", Some(Step::Months(1)));
        check("3 months", Some(Step::Months(3)));
        check("1 year", Some(Step::Months(12)));
        check("6h", Some(Step::Fixed(Duration::from_secs(21_600))));
        check("15m", Some(Step::Fixed(Duration::from_secs(900))));
        check("15 minutes", Some(Step::Fixed(Duration::from_secs(900))));
        check("90s", Some(Step::Fixed(Duration::from_secs(90))));
        for wrong in ["day", "1 fortnight", "1.5 days", "", "99999999999 days"] {
            check(wrong, None);
        }
    }

    #[test]
    fn sizes() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(size(text), expected, "{text}");
        check("64MiB", Some(64 << 20));
        check("10 MB", Some(10_000_000));
        check("1000B", Some(1000));
        for wrong in ["64", "64M", "MiB", "1.5MiB", "99999999999GiB", ""] {
            check(wrong, None);
        }
    }

    #[test]
    fn rates() {
        let check = |text: &str, expected: Option<(u32, u64)>| {
            assert_eq!(rate(text).map(|l| (l.count, l.window.as_secs())), expected, "{text}");
        };
        check("10/s", Some((10, 1)));
        check("500/min", Some((500, 60)));
        check("5000/h", Some((5000, 3600)));
        check("20_000/day", Some((20_000, 86_400)));
        check("15/3s", Some((15, 3)));
        check("10/2min", Some((10, 120)));
        check("10/2m", Some((10, 120)));
        check("10/1 h", Some((10, 3600)));
        check("10/6hours", Some((10, 6 * 3600)));
        check("5000/30days", Some((5000, 30 * 86_400)));
        check("10/2 weeks", Some((10, 14 * 86_400)));
        check("10/9999999999weeks", None);
        check("1000/week", Some((1000, 7 * 86_400)));
        check("10000 / month", Some((10_000, 31 * 86_400)));
        for wrong in ["10", "10/", "/s", "10/fortnight", "10/months", "10/w", "-1/s", "1.5/s", "10 per s", ""]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn back_offs() {
        let found = back_off("1s..1m").unwrap();
        assert_eq!((found.first.as_secs(), found.most.as_secs()), (1, 60));
        assert_eq!(back_off("1s"), None);
        assert_eq!(back_off("1s...1m"), None);
    }
}
