//! The matrix parameters of a first path segment: `/tracker;records=2000;limit=100/s` → dataset and [`Options`].

use std::time::Duration;

use jiff::Timestamp;

use crate::credential::Credential;
use crate::dialect::{Dialect, RetryAfter};
use crate::faults::FaultRates;
use crate::limiter::{Rate, Window};
use crate::shapes;

/// What the parameters ask for; `routes.md` says what each means.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) records: Option<u64>,
    pub(crate) symbols: u64,
    pub(crate) projects: u64,
    pub(crate) seed: u64,
    pub(crate) faults: FaultRates,
    pub(crate) retry_after: RetryAfter,
    /// Shortest and longest latency.
    pub(crate) slow: Option<(Duration, Duration)>,
    pub(crate) limits: Vec<Rate>,
    pub(crate) window: Kind,
    /// Tokens of a bucket beside the one that is due; none: as many as the limit has.
    pub(crate) burst: Option<u32>,
    /// An instant at which fixed windows begin, in milliseconds since 1970.
    pub(crate) renews: Option<i64>,
    /// Per cent of each limit that another client takes.
    pub(crate) others: u32,
    pub(crate) headers: Dialect,
    /// A bucket of points, which what is asked costs: how many it holds, and how long it takes to fill.
    pub(crate) points: Option<Rate>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) credential: Option<Credential>,
    pub(crate) token: Option<String>,
    pub(crate) encoding: Option<String>,
    pub(crate) pages: u64,
    pub(crate) size: u64,
    /// How many seconds an access token is good for, and for how many requests.
    pub(crate) expires: u64,
    pub(crate) uses: u64,
    /// When the data grew: milliseconds since 1970, in order.
    pub(crate) grown: Vec<i64>,
}

/// `window=…`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fixed,
    Sliding,
    Counter,
    Bucket,
}

impl Kind {
    fn parse(text: &str) -> Option<Kind> {
        Some(match text {
            "fixed" => Kind::Fixed,
            "sliding" => Kind::Sliding,
            "counter" => Kind::Counter,
            "bucket" => Kind::Bucket,
            _ => return None,
        })
    }
}

impl Options {
    /// How a limit of that rate counts, on a server that was started at that instant.
    pub(crate) fn window(&self, rate: Rate, started: i64) -> Window {
        match self.window {
            Kind::Fixed => {
                Window::Fixed { late: self.renews.map_or(Duration::ZERO, |at| late(at, started, rate)) }
            }
            Kind::Sliding => Window::Sliding,
            Kind::Counter => Window::Counter,
            Kind::Bucket => Window::Bucket { burst: self.burst.unwrap_or(rate.limit - 1) },
        }
    }
}

/// How long after the server's start its first window begins, if one begins at an instant.
fn late(at: i64, started: i64, rate: Rate) -> Duration {
    let window = i128::try_from(rate.window.as_millis()).unwrap_or(i128::MAX).max(1);
    let late = (i128::from(at) - i128::from(started)).rem_euclid(window);
    Duration::from_millis(u64::try_from(late).unwrap_or(0))
}

impl Default for Options {
    fn default() -> Self {
        Options {
            records: None,
            symbols: 20,
            projects: 5,
            seed: 1,
            faults: FaultRates::default(),
            retry_after: RetryAfter::default(),
            slow: None,
            limits: Vec::new(),
            window: Kind::Fixed,
            burst: None,
            renews: None,
            others: 0,
            headers: Dialect::None,
            points: None,
            concurrency: None,
            credential: None,
            token: None,
            encoding: None,
            pages: 2000,
            size: 100,
            expires: 3600,
            uses: u64::MAX,
            grown: Vec::new(),
        }
    }
}

/// Splits a path into its first segment (without the leading slash) and the rest (empty, or with its slash).
/// A slash right after `limit=100`, `points=100` or after a comma-separated rate belongs to the value: without it
/// there is no rate.
pub(crate) fn split_path(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut from = 0;
    while let Some(slash) = path[from..].find('/').map(|at| at + from) {
        let parameter = path[..slash].rfind(';').map_or("", |at| &path[at + 1..slash]);
        let rates = parameter.strip_prefix("limit=").or_else(|| parameter.strip_prefix("points="));
        let rate = rates.map(|rates| rates.rsplit(',').next().unwrap_or(rates));
        if !rate.is_some_and(|rate| !rate.is_empty() && rate.bytes().all(|byte| byte.is_ascii_digit())) {
            return (&path[..slash], &path[slash..]);
        }
        from = slash + 1;
    }
    (path, "")
}

/// Reads a first segment. Errors name the parameter and what it accepts.
pub(crate) fn parse(segment: &str) -> Result<(&str, Options), String> {
    let mut parts = segment.split(';');
    let dataset = parts.next().unwrap_or_default();
    let mut options = Options { credential: shapes::credential(dataset), ..Options::default() };
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, raw) = part.split_once('=').unwrap_or((part, ""));
        let value = decode(raw);
        set(&mut options, name, &value).ok_or_else(|| {
            format!("option `{name}` does not understand `{value}`; GET / lists the options")
        })?;
    }
    Ok((dataset, options))
}

/// None: no such option, or not a value for it.
fn set(options: &mut Options, name: &str, value: &str) -> Option<()> {
    match name {
        "records" => options.records = Some(value.parse().ok()?),
        "symbols" => options.symbols = positive(value)?,
        "projects" => options.projects = positive(value)?,
        "seed" => options.seed = value.parse().ok()?,
        "errors" => options.faults.errors = per_cent(value)?,
        "limited" => options.faults.limited = per_cent(value)?,
        "resets" => options.faults.resets = per_cent(value)?,
        "truncated" => options.faults.truncated = per_cent(value)?,
        "retry_after" => options.retry_after = RetryAfter::parse(value)?,
        "slow" => {
            let (least, most) = value.split_once("..").unwrap_or((value, value));
            let range = (duration(least)?, duration(most)?);
            options.slow = Some(range).filter(|(least, most)| least <= most).map(Some)?;
        }
        "limit" => options.limits = value.split(',').map(rate).collect::<Option<_>>()?,
        "window" => options.window = Kind::parse(value)?,
        "burst" => options.burst = Some(value.parse().ok()?),
        "renews" => options.renews = Some(instant(value)?),
        "others" => options.others = value.parse().ok().filter(|share| *share <= 100)?,
        "headers" => options.headers = Dialect::parse(value)?,
        "points" => options.points = Some(rate(value)?),
        "concurrency" => options.concurrency = Some(value.parse().ok()?),
        "auth" if value == "none" => options.credential = None,
        "auth" => options.credential = Some(Credential::parse(value)?),
        "token" => options.token = Some(value.to_owned()),
        "encoding" if matches!(value, "gzip" | "br" | "zstd" | "deflate") => {
            options.encoding = Some(value.to_owned());
        }
        "pages" => options.pages = value.parse().ok()?,
        "size" => options.size = positive(value).filter(|size| *size <= 10_000)?,
        "expires" => options.expires = value.parse().ok()?,
        "uses" => options.uses = positive(value)?,
        "grown" => options.grown = value.split(',').map(instant).collect::<Option<_>>()?,
        _ => return None,
    }
    Some(())
}

fn instant(text: &str) -> Option<i64> {
    Some(text.parse::<Timestamp>().ok()?.as_millisecond())
}

fn positive(value: &str) -> Option<u64> {
    value.parse().ok().filter(|number| *number > 0)
}

fn per_cent(value: &str) -> Option<f64> {
    value.parse().ok().filter(|rate| (0.0..=100.0).contains(rate))
}

/// `100/s`, `100/10s`, `5000/h`.
fn rate(text: &str) -> Option<Rate> {
    let (limit, per) = text.split_once('/')?;
    let count = per.bytes().take_while(u8::is_ascii_digit).count();
    let window = if count == 0 { duration(&format!("1{per}"))? } else { duration(per)? };
    Some(Rate { limit: u32::try_from(positive(limit)?).ok()?, window }).filter(|rate| !rate.window.is_zero())
}

/// `20ms`, `2s`, `1min`, `1h`, `1day`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let count: u64 = count.parse().ok()?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" | "day" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(count.checked_mul(unit)?))
}

fn decode(raw: &str) -> String {
    // A plus is a plus in a path; the form decoder would make it a space.
    let kept = raw.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(kept.as_bytes())
        .next()
        .map_or_else(String::new, |(value, _)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::{late, parse, split_path};
    use crate::limiter::Rate;
    use std::time::Duration;

    #[test]
    fn windows_begin_at_an_instant() {
        for (at, started, expected) in
            [(0, 0, 0), (10, 0, 10), (0, 10, 90), (1_010, 0, 10), (-10, 0, 90), (110, 105, 5), (105, 110, 95)]
        {
            let rate = Rate { limit: 1, window: Duration::from_millis(100) };
            assert_eq!(late(at, started, rate).as_millis(), expected, "{at} {started}");
        }
    }

    #[test]
    fn paths_split_after_the_options() {
        for (path, expected) in [
            ("/tracker/by-page", ("tracker", "/by-page")),
            ("/tracker;records=5", ("tracker;records=5", "")),
            ("/tracker;limit=100/s/by-page", ("tracker;limit=100/s", "/by-page")),
            ("/tracker;limit=100/s;window=fixed/by-page", ("tracker;limit=100/s;window=fixed", "/by-page")),
            ("/tracker;limit=10/s,900/min/by-page/2", ("tracker;limit=10/s,900/min", "/by-page/2")),
            ("/graph;points=1000/20s;seed=2/graphql", ("graph;points=1000/20s;seed=2", "/graphql")),
            ("/tracker;limit=100%2Fs/by-page", ("tracker;limit=100%2Fs", "/by-page")),
            ("/", ("", "")),
            ("/market/", ("market", "/")),
        ] {
            assert_eq!(split_path(path), expected);
        }
    }

    #[test]
    fn wrong_options_are_named() {
        for segment in [
            "tracker;recrods=5",
            "tracker;errors=101",
            "tracker;limit=5",
            "tracker;limit=5/fortnight",
            "tracker;limit=0/s",
            "tracker;slow=9ms..1ms",
            "tracker;auth=bearer",
            "tracker;window=round",
            "tracker;burst=-1",
            "tracker;others=101",
            "tracker;renews=00:00",
            "tracker;headers=smoke",
            "tracker;retry_after=soon",
            "graph;points=5",
            "tracker;records=-1",
            "crm;uses=0",
            "crm;grown=yesterday",
        ] {
            let name = segment.split([';', '=']).nth(1).unwrap();
            let error = parse(segment).unwrap_err();
            assert!(error.contains(&format!("`{name}`")), "{error}");
        }
        let (dataset, options) = parse("x;auth=bearer:a%2Fb+c;slow=1ms..2s;limit=3/10s,9/h").unwrap();
        assert_eq!((dataset, options.limits.len()), ("x", 2));
        assert!(format!("{:?}", options.credential).contains("a/b+c"));
    }
}
