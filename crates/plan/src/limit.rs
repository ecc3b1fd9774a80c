//! `limits` of an endpoint. What tasks cost under them is checked where both are known (`check/limits.rs`).

use entities::{Cost, Limit, Limits, Scope};
use toml::de::DeValue;

use crate::cost::cost;
use crate::item::Item;
use crate::reader::closest;
use crate::units;

mod resets;

use resets::resets;

/// More than any API has; each is asked before each request, and compared with every other here.
const MOST: usize = 50;
const EXAMPLE: &str = "limits = [{ rate = \"5000/h\", reserve = \"10%\" }]";

/// Reads `limits`; without the key the polite default holds.
pub(crate) fn limits(item: Option<&Item<'_>>) -> Limits {
    let Some(item) = item else { return Limits::PoliteDefault };
    let Some(items) = item.list() else { return Limits::PoliteDefault };
    if items.len() > MOST {
        item.wrong(
            "too-many",
            format!("{} has {} limits", item.what, items.len()),
            "too many",
            format!("each is asked before each request: write {MOST} at most"),
        );
        return Limits::PoliteDefault;
    }
    let limits = items.into_iter().filter_map(|mut element| match element.get() {
        DeValue::Table(_) => {
            element.what = format!("a limit of {}", item.what);
            finer(&element)
        }
        DeValue::String(_) => rate(&element),
        _ => {
            let written = item.findings.text(element.span());
            let help = format!("write how many in how much time: \"{written}/s\"");
            let help =
                if let DeValue::Integer(_) = element.get() { help } else { units::RATE_EXAMPLES.to_owned() };
            element.expected("a rate or a table", Some(help));
            None
        }
    });
    Limits::Declared(limits.collect())
}

/// A limit that is a rate and nothing else.
fn rate(item: &Item<'_>) -> Option<Limit> {
    let text = item.string()?;
    match units::rate(text) {
        None => item.wrong(
            "bad-limit",
            format!("`{text}` is not a limit"),
            "expected COUNT/TIME",
            units::RATE_EXAMPLES,
        ),
        Some(limit) if limit.count == 0 => item.wrong(
            "zero-limit",
            format!("a limit of `{text}` would never let a request go"),
            "must be above zero",
            "write a limit above zero, or limits = [] for none",
        ),
        Some(limit) if limit.window.is_zero() => item.wrong(
            "zero-limit",
            format!("a limit of `{text}` counts in no time at all"),
            "must be above zero",
            units::RATE_EXAMPLES,
        ),
        Some(limit) => return Some(limit),
    }
    None
}

/// A limit as a table.
fn finer(item: &Item<'_>) -> Option<Limit> {
    let mut section = item.section(EXAMPLE)?;
    let rate_item = section.need("rate", "\"5000/h\"");
    let cost_item = section.take("cost");
    let scope_item = section.take("scope");
    let reserve_item = section.take("reserve");
    let resets_item = section.take("resets");
    section.finish();
    // What is wrong beside what is wrong is still worth saying: each is read, then all must be there.
    let limit = rate_item.as_ref().and_then(rate);
    let (count, window) = (limit.as_ref().map(|limit| limit.count), limit.as_ref().map(|limit| limit.window));
    let cost = cost_item.as_ref().and_then(cost);
    let scope = scope_item.as_ref().and_then(scope);
    let reserve = reserve_item.as_ref().and_then(|item| reserve(item, count));
    let resets = resets_item.as_ref().and_then(|item| resets(item, window));
    let read = [cost.is_some(), scope.is_some(), reserve.is_some(), resets.is_some()];
    let said = [&cost_item, &scope_item, &reserve_item, &resets_item].map(Option::is_some);
    if read != said {
        return None;
    }
    let (scope, reserve) = (scope.unwrap_or_default(), reserve.unwrap_or(0));
    let limit = Limit { cost, scope, reserve, resets, ..limit? };
    if let (Some(cost), Some(item)) = (&limit.cost, &cost_item) {
        check_own_cost(item, &limit, cost);
    }
    Some(limit)
}

/// What of a limit is left for others: `500`, `"500"` or `"30%"` of its `count`.
fn reserve(item: &Item<'_>, count: Option<u32>) -> Option<u32> {
    let help = "write how many requests are left for others, reserve = 500, or a part of the limit, reserve = \"10%\"";
    let (number, percent) = match item.get() {
        DeValue::Integer(_) => (u64::try_from(item.integer_in(0, i64::from(u32::MAX))?).ok()?, false),
        DeValue::String(text) => {
            let trimmed = text.trim();
            let (digits, percent) = match trimmed.strip_suffix('%') {
                Some(digits) => (digits.trim_end(), true),
                None => (trimmed, false),
            };
            let digits = digits.replace('_', "");
            let Some(number) = digits.parse::<u32>().ok().filter(|_| !digits.starts_with('+')) else {
                item.wrong(
                    "bad-reserve",
                    format!("`{text}` is neither a number of requests nor a part of the limit"),
                    "expected a number, or a whole number and `%`",
                    help,
                );
                return None;
            };
            (u64::from(number), percent)
        }
        _ => {
            item.expected("a number or a percentage", Some(help.to_owned()));
            return None;
        }
    };
    let count = u64::from(count?);
    let reserve = if percent { (count * number).div_ceil(100) } else { number };
    if reserve >= count {
        item.wrong(
            "reserve-takes-all",
            format!("a reserve of {reserve} leaves nothing of a limit of {count}"),
            "no request could ever go",
            format!("reserve less than {count}, or less than \"100%\""),
        );
        return None;
    }
    u32::try_from(reserve).ok()
}

const SCOPES: [&str; 3] = ["endpoint", "host", "credential"];

/// Which requests a limit counts together.
fn scope(item: &Item<'_>) -> Option<Scope> {
    let text = item.string()?;
    let help = "a scope is endpoint, host, credential or a name of your own (letters, digits, `_` and `-`), \
                which limits share that have it";
    match text {
        "endpoint" => return Some(Scope::Endpoint),
        "host" => return Some(Scope::Host),
        "credential" => return Some(Scope::Credential),
        _ => {}
    }
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        let message = if text.is_empty() {
            "the scope is empty".to_owned()
        } else {
            format!("`{text}` is not a scope")
        };
        item.wrong("bad-scope", message, "not a scope", help);
        return None;
    }
    // A slip would quietly be a name of its own, which nobody else shares.
    let near = closest(text, SCOPES.into_iter()).filter(|scope| {
        text.eq_ignore_ascii_case(scope)
            || (strsim::damerau_levenshtein(text, scope) == 1 && !text.contains(|c: char| c.is_ascii_digit()))
    });
    if let Some(near) = near {
        item.wrong(
            "bad-scope",
            format!("`{text}` is too close to the scope `{near}` to be a name of your own"),
            "slip of the pen?",
            format!("did you mean `{near}`? else choose another name"),
        );
        return None;
    }
    Some(Scope::Named(text.to_owned()))
}

/// A request that costs more than the limit ever has could never go.
fn check_own_cost(item: &Item<'_>, limit: &Limit, cost: &Cost) {
    let Some(most) = cost.most().filter(|most| *most > limit.usable()) else { return };
    item.wrong(
        "cost-above-limit",
        format!("a request that costs {most} can never go under `{limit}`, of which {}", usable(limit)),
        "more than there is",
        "lower the cost, or raise the limit to what the API allows",
    );
}

/// `5000 are ours`, `4500 are ours (500 are reserved)`
pub(crate) fn usable(limit: &Limit) -> String {
    match limit.reserve {
        0 => format!("{} are ours", limit.usable()),
        reserve => format!("{} are ours ({reserve} are reserved)", limit.usable()),
    }
}
