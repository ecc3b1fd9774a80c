//! What an answer's headers say about limits: how many are left of how many, and until when.
//!
//! Three dialects, each in many accents: the triple `X-RateLimit-Limit`, `-Remaining`, `-Reset` (also
//! `X-Rate-Limit-*` and `RateLimit-*`, the IETF's drafts up to -06), one `RateLimit: limit=100, remaining=50,
//! reset=5` (draft -07), and `RateLimit: "p";r=50;t=5` with `RateLimit-Policy: "p";q=100;w=60` (-08 and on).
//! One header may tell of several limits. What cannot be read is as if it were not there.

use std::borrow::Cow;
use std::time::Duration;

use entities::{Moment, ServerQuota};
use http::HeaderMap;

use super::retry_after::{server_now, until};

/// No server tells of more limits at once; what follows is not looked at.
const MOST: usize = 16;

/// The headers of one triple.
struct Triple {
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
    policy: &'static str,
}

const TRIPLES: [Triple; 3] = [
    Triple {
        limit: "x-ratelimit-limit",
        remaining: "x-ratelimit-remaining",
        reset: "x-ratelimit-reset",
        policy: "x-ratelimit-policy",
    },
    Triple {
        limit: "x-rate-limit-limit",
        remaining: "x-rate-limit-remaining",
        reset: "x-rate-limit-reset",
        policy: "x-rate-limit-policy",
    },
    Triple {
        limit: "ratelimit-limit",
        remaining: "ratelimit-remaining",
        reset: "ratelimit-reset",
        policy: "ratelimit-policy",
    },
];

/// One limit as it is told.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    limit: Option<u64>,
    window: Option<Duration>,
    remaining: Option<u64>,
    resets_in: Option<Duration>,
}

/// The quotas of which an answer says what is left.
pub(crate) fn quotas(headers: &HeaderMap, received: Moment) -> Vec<ServerQuota> {
    let quota = |told: Told| {
        let Told { limit, window, remaining, resets_in } = told;
        Some(ServerQuota { limit, window, remaining: remaining?, resets_in })
    };
    told(headers, received).into_iter().filter_map(quota).collect()
}

/// Whether the answer says that nothing is left of some limit.
pub(super) fn exhausted(headers: &HeaderMap, received: Moment) -> bool {
    told(headers, received).iter().any(|told| told.remaining == Some(0))
}

/// How long until the limits are renewed of which nothing is left.
pub(super) fn renewal_of_ended(headers: &HeaderMap, received: Moment) -> Option<Duration> {
    let told = told(headers, received);
    told.iter().filter(|told| told.remaining == Some(0)).filter_map(|told| told.resets_in).max()
}

/// How long until the first renewal of a limit.
pub(super) fn first_renewal(headers: &HeaderMap, received: Moment) -> Option<Duration> {
    told(headers, received).iter().filter_map(|told| told.resets_in).min()
}

fn told(headers: &HeaderMap, received: Moment) -> Vec<Told> {
    // Most answers say nothing, and each is looked at.
    let is_about_limits = |name: &str| name.starts_with("x-rate") || name.starts_with("ratelimit");
    if !headers.keys().any(|name| is_about_limits(name.as_str())) {
        return Vec::new();
    }
    let now = server_now(headers, received);
    let mut told = Vec::new();
    for triple in &TRIPLES {
        of_triple(headers, triple, now, &mut told);
    }
    of_fields(headers, now, &mut told);
    told
}

/// Adds what one more dialect says; several may tell of the same limit.
fn add(told: &mut Vec<Told>, new: Told) {
    let may_be_same = |one: Option<Duration>, other: Option<Duration>| {
        one.zip(other).is_none_or(|(one, other)| one == other)
    };
    let same = |held: &&mut Told| {
        held.limit.is_some()
            && (held.limit, held.remaining) == (new.limit, new.remaining)
            && may_be_same(held.window, new.window)
    };
    match told.iter_mut().find(same) {
        Some(held) => {
            held.window = held.window.or(new.window);
            held.resets_in = held.resets_in.max(new.resets_in);
        }
        None => told.push(new),
    }
}

fn of_triple(headers: &HeaderMap, triple: &Triple, now: Moment, told: &mut Vec<Told>) {
    let remaining = text(headers, triple.remaining);
    let remaining: Vec<Option<u64>> =
        items(remaining.as_deref()).iter().map(|item| number(item.bare)).collect();
    let resets = text(headers, triple.reset);
    let resets = resets.as_deref().map_or_else(Vec::new, |value| resets_of(value, now));
    let many = remaining.len().max(resets.len());
    if many == 0 {
        return;
    }
    let (limits, policies) = (text(headers, triple.limit), text(headers, triple.policy));
    let (limits, policies) = (items(limits.as_deref()), policies_of(policies.as_deref()));
    for at in 0..many {
        // `100, 100;w=60`: the limit in force comes first, what follows are policies.
        let limit = if many == 1 { limits.first() } else { nth(&limits, at, many) };
        let count = limit.and_then(|limit| number(limit.bare));
        let window = limit.and_then(Item::window);
        let told_elsewhere = || {
            let beside = limits.iter().map(Policy::of).chain(policies.iter().copied());
            let mut same = beside.filter(|policy| policy.count == count && policy.window.is_some());
            let by_count = same.next().and_then(|policy| policy.window);
            by_count.or_else(|| nth(&policies, at, many).and_then(|policy| policy.window))
        };
        let new = Told {
            limit: count,
            window: window.or_else(told_elsewhere),
            remaining: nth(&remaining, at, many).copied().flatten(),
            resets_in: nth(&resets, at, many).copied().flatten(),
        };
        if new.remaining.is_some() || new.resets_in.is_some() {
            add(told, new);
        }
    }
}

/// The one of `many` values; a single one is for all.
fn nth<T>(values: &[T], at: usize, many: usize) -> Option<&T> {
    match values {
        [single] => Some(single),
        values => values.get(at).filter(|_| values.len() == many),
    }
}

/// One reset, which may be a date with a comma, or a list of them.
fn resets_of(value: &str, now: Moment) -> Vec<Option<Duration>> {
    match until(value, now) {
        Some(reset) => vec![Some(reset)],
        None => items(Some(value)).iter().map(|item| until(item.bare, now)).collect(),
    }
}

/// `RateLimit`, as of draft -07 or later.
fn of_fields(headers: &HeaderMap, now: Moment, told: &mut Vec<Told>) {
    let (Some(fields), policies) = (text(headers, "ratelimit"), text(headers, "ratelimit-policy")) else {
        return;
    };
    let policies = policies_of(policies.as_deref());
    let fields = items(Some(&fields));
    let of_count = |count: Option<u64>| {
        let same = policies.iter().find(|policy| count.is_some() && policy.count == count);
        same.or_else(|| nth(&policies, 0, 1))
    };
    if fields.iter().any(|item| item.bare.contains('=')) {
        let pairs = || {
            let pairs = fields.iter().filter_map(|item| pair(item.bare));
            pairs.chain(fields.iter().flat_map(|item| item.parameters.iter().copied()))
        };
        let value = |key: &str| pairs().find(|(held, _)| held.eq_ignore_ascii_case(key)).map(|(_, it)| it);
        let limit = value("limit").and_then(number);
        let new = Told {
            limit,
            window: of_count(limit).and_then(|policy| policy.window),
            remaining: value("remaining").and_then(number),
            resets_in: value("reset").and_then(|reset| until(reset, now)),
        };
        return add(told, new);
    }
    for item in &fields {
        let named = policies.iter().find(|policy| policy.name == item.bare);
        let policy = named.or_else(|| of_count(None));
        // Bytes, or requests at once, are no tokens.
        if policy.is_some_and(|policy| policy.unit.is_some_and(|unit| unit != "requests")) {
            continue;
        }
        let new = Told {
            limit: policy.and_then(|policy| policy.count),
            window: policy.and_then(|policy| policy.window),
            remaining: item.parameter("r").and_then(number),
            resets_in: item.parameter("t").and_then(|reset| until(reset, now)),
        };
        if new.remaining.is_some() || new.resets_in.is_some() {
            add(told, new);
        }
    }
}

/// `"p";q=100;w=60`, or `100;w=60` of earlier drafts.
#[derive(Clone, Copy)]
struct Policy<'a> {
    name: &'a str,
    count: Option<u64>,
    window: Option<Duration>,
    unit: Option<&'a str>,
}

impl<'a> Policy<'a> {
    fn of(item: &Item<'a>) -> Policy<'a> {
        Policy {
            name: item.bare,
            count: number(item.parameter("q").unwrap_or(item.bare)),
            window: item.window(),
            unit: item.parameter("qu"),
        }
    }
}

fn policies_of(value: Option<&str>) -> Vec<Policy<'_>> {
    items(value).iter().map(Policy::of).collect()
}

/// A member of a list (RFC 9651 §3.1, but lenient), without its quotes.
struct Item<'a> {
    bare: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Item<'a> {
    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(held, _)| *held == name).map(|(_, value)| *value)
    }

    fn window(&self) -> Option<Duration> {
        let window = self.parameter("w").and_then(number).map(Duration::from_secs);
        window.filter(|window| !window.is_zero())
    }
}

fn items(value: Option<&str>) -> Vec<Item<'_>> {
    let members = value.into_iter().flat_map(|value| split(value, b','));
    members
        .take(MOST)
        .map(|member| {
            let mut parts = split(member, b';');
            let bare = unquoted(parts.next().unwrap_or_default());
            Item { bare, parameters: parts.take(MOST).filter_map(pair).collect() }
        })
        .filter(|item| !item.bare.is_empty())
        .collect()
}

fn pair(part: &str) -> Option<(&str, &str)> {
    let (key, value) = part.split_once('=')?;
    Some((key.trim(), unquoted(value)))
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches('"')
}

/// The parts between separators that stand outside of quotes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut rest, bytes) = (Some(0), text.as_bytes());
    std::iter::from_fn(move || {
        let start = rest?;
        let (mut quoted, mut at) = (false, start);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => quoted = !quoted,
                b'\\' if quoted => at += 1,
                byte if *byte == separator && !quoted => {
                    rest = Some(at + 1);
                    return text.get(start..at);
                }
                _ => {}
            }
            at += 1;
        }
        rest = None;
        text.get(start..)
    })
}

/// A count; some servers send fractions. Less than none is no count.
fn number(text: &str) -> Option<u64> {
    let text = unquoted(text);
    if let Ok(whole) = text.parse() {
        return Some(whole);
    }
    let plain = text.starts_with(|first: char| first.is_ascii_digit());
    let number: f64 = plain.then(|| text.parse().ok()).flatten()?;
    number.is_finite().then_some(number as u64)
}

/// All values of a header, as one list.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let first = values.next()?;
    let more: Vec<&str> = values.collect();
    if more.is_empty() {
        return Some(Cow::Borrowed(first));
    }
    Some(Cow::Owned([&[first], &more[..]].concat().join(", ")))
}

#[cfg(test)]
mod tests;
