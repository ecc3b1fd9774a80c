//! Limits beside what tasks cost, and beside each other; and in which order windows are asked for.

use std::cmp::Reverse;
use std::ops::Range;
use std::time::Duration;

use entities::{Auth, Cost, Decode, Endpoint, Limit, Limits, Order, Over, POLITE_DEFAULT, Scope, TaskSpec};
use toml::de::DeValue;

use crate::check::Whole;
use crate::item::Item;
use crate::limit::usable;
use crate::names::span;

pub(super) fn check(plan: Whole<'_>) {
    for task in plan.found() {
        check_order(plan, task);
        check_cost(plan, task);
        check_read(plan, task);
    }
    for endpoint in plan.endpoints.iter().flatten() {
        let Limits::Declared(limits) = &endpoint.limits else { continue };
        let limits: Vec<(&Limit, Range<usize>)> = limits.iter().zip(places(plan, endpoint)).collect();
        for (index, limit) in limits.iter().enumerate() {
            check_credential(plan, endpoint, limit);
            check_twice(plan, &limits[..index], limit);
        }
        // Only worth saying where nothing else is wrong.
        for index in 0..if plan.findings.has_errors() { 0 } else { limits.len() } {
            check_reached(plan, &limits, index);
        }
    }
}

/// Where an endpoint's limits stand; none where not all of them could be read.
fn places(plan: Whole<'_>, endpoint: &Endpoint) -> Vec<Range<usize>> {
    let Some(DeValue::Array(items)) = written(plan, endpoint, "limits") else { return Vec::new() };
    match &endpoint.limits {
        Limits::Declared(limits) if limits.len() == items.len() => {
            items.iter().map(|item| item.span()).collect()
        }
        _ => Vec::new(),
    }
}

/// What an endpoint says under a key.
fn written<'a>(plan: Whole<'a>, endpoint: &Endpoint, key: &str) -> Option<&'a DeValue<'a>> {
    let (_, item) = plan.endpoint_items.iter().find(|(name, _)| *name == endpoint.name)?;
    item.get().as_table()?.get(key).map(toml::Spanned::get_ref)
}

/// Only windows are newer and older than each other.
fn check_order(plan: Whole<'_>, task: &TaskSpec) {
    let has_windows = task.foreach.iter().any(|foreach| matches!(foreach.over, Over::Windows { .. }));
    if task.order == Order::Given || has_windows {
        return;
    }
    plan.findings.push(
        plan.findings
            .error(
                "order-without-windows",
                plan.key(task, "order"),
                format!("[tasks.{}] wants the newest windows first, and has no windows", task.name),
            )
            .label("nothing to order")
            .help("repeat the task over windows, foreach = { day = { every = \"1 day\", from = …, to = … } }, or remove `order`"),
    );
}

/// A request that costs more than a limit ever has could never go.
fn check_cost(plan: Whole<'_>, task: &TaskSpec) {
    let Some(endpoint) = plan.endpoint(task).filter(|_| task.cost.is_some()) else { return };
    let at = plan.value(task, "cost");
    let (limits, places) = (endpoint.limits.in_force(), places(plan, endpoint));
    // A limit's own cost was looked at where it was read.
    let has_own = |limit: &Limit| limit.cost.as_ref().is_some_and(|cost| cost.most().is_some());
    if limits.iter().all(has_own) && !plan.findings.has_errors() {
        let why = if limits.is_empty() { "has no limit" } else { "has only limits with a cost of their own" };
        plan.findings.push(
            plan.findings
                .error(
                    "unused-cost",
                    plan.key(task, "cost"),
                    format!("[tasks.{}] has a `cost`, and [endpoints.{}] {why}", task.name, endpoint.name),
                )
                .warning()
                .label("has no effect")
                .help("remove `cost`, or write limits = [\"5000/h\"] in the endpoint"),
        );
    }
    for (index, limit) in limits.iter().enumerate().filter(|(_, limit)| !has_own(limit)) {
        let Some(most) = limit.cost_of(task).reserve.filter(|most| *most > limit.usable()) else { continue };
        let name = &endpoint.name;
        let error = plan
            .findings
            .error(
                "cost-above-limit",
                at.clone(),
                format!(
                    "a request of [tasks.{}] costs {most}, which can never go under `{limit}` of [endpoints.{name}]",
                    task.name
                ),
            )
            .label("more than there is");
        let error = match places.get(index) {
            Some(limit_at) => error.also(plan.findings.place(limit_at.clone()), usable(limit)),
            None => error,
        };
        let help = if limit.text == POLITE_DEFAULT {
            format!("say what the API allows: limits = [\"{most}/s\"] in [endpoints.{name}]")
        } else if limit.cost.is_none() {
            format!(
                "if it counts requests, say so: {{ rate = \"{limit}\", cost = 1 }}; else lower the cost, or raise the limit to what the API allows"
            )
        } else {
            "lower the cost, or raise the limit to what the API allows".to_owned()
        };
        plan.findings.push(error.help(help));
        return;
    }
}

/// Rows have no place for what a request did cost; the head of the answer has.
fn check_read(plan: Whole<'_>, task: &TaskSpec) {
    let Some(Cost::Read { actual, .. }) = &task.cost else { return };
    let of_head = actual.source.contains("$headers") || actual.source.contains("$status");
    if task.reading.decode != Decode::Csv || of_head {
        return;
    }
    plan.findings.push(
        plan.findings
            .error(
                "cost-of-rows",
                span(actual.at),
                format!(
                    "the answers of [tasks.{}] are CSV, whose rows do not say what a request did cost",
                    task.name
                ),
            )
            .label("never a number")
            .help("read it from the head, \"$headers[\\\"x-cost\\\"]\", or write it as a number: cost = 5"),
    );
}

/// Who counts by credential must have one: `auth`, or a secret anywhere in a request.
fn check_credential(plan: Whole<'_>, endpoint: &Endpoint, (limit, at): &(&Limit, Range<usize>)) {
    let named = |items: &[(&str, Item<'_>)], name: &str| {
        items.iter().any(|(other, item)| *other == name && has_secret(item.get()))
    };
    let has_credential = |task: &TaskSpec| {
        task.auth.as_ref().is_some_and(|auth| *auth != Auth::None) || named(plan.items, &task.name)
    };
    let asks = |task: &&TaskSpec| plan.endpoint(task).is_some_and(|asked| std::ptr::eq(asked, endpoint));
    if limit.scope != Scope::Credential
        || written(plan, endpoint, "auth").is_some_and(DeValue::is_table)
        || named(plan.endpoint_items, &endpoint.name)
        || plan.found().filter(asks).any(has_credential)
    {
        return;
    }
    plan.findings.push(
        plan.findings
            .error(
                "scope-without-credential",
                at.clone(),
                format!(
                    "`{limit}` is counted by credential, and [endpoints.{}] has no credential",
                    endpoint.name
                ),
            )
            .label("whose requests?")
            .help("add `auth` to the endpoint, or use scope = \"host\": whoever asks from here counts"),
    );
}

fn has_secret(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(text) => text.contains("secrets."),
        DeValue::Array(items) => items.iter().any(|item| has_secret(item.get_ref())),
        DeValue::Table(entries) => entries.iter().any(|(_, item)| has_secret(item.get_ref())),
        _ => false,
    }
}

/// What is counted together, under one number and time, is one limit.
fn check_twice(plan: Whole<'_>, earlier: &[(&Limit, Range<usize>)], (limit, at): &(&Limit, Range<usize>)) {
    let same = |(other, _): &&(&Limit, Range<usize>)| {
        (other.count, other.window, &other.scope) == (limit.count, limit.window, &limit.scope)
            && other.resets.as_ref().map(|resets| &resets.text)
                == limit.resets.as_ref().map(|resets| &resets.text)
    };
    if let Some((_, other_at)) = earlier.iter().find(same) {
        plan.findings.push(
            plan.findings
                .error("limit-twice", at.clone(), format!("the limit `{limit}` is there twice"))
                .label("again")
                .also(plan.findings.place(other_at.clone()), "said here")
                .help("keep one of them; limits that are counted apart have a `scope` each"),
        );
    }
}

/// A limit that another one of the endpoint makes superfluous.
fn check_reached(plan: Whole<'_>, limits: &[(&Limit, Range<usize>)], index: usize) {
    let (loose, at) = &limits[index];
    let tighter = limits.iter().enumerate().filter_map(|(other_index, (tight, tight_at))| {
        let comparable = other_index != index
            && (&tight.scope, &tight.cost) == (&loose.scope, &loose.cost)
            && tight.resets.is_none()
            && loose.resets.is_none();
        let lets = |tight: &Limit, loose: &Limit| {
            most_in(tight, loose.window).filter(|most| *most <= u64::from(loose.usable()))
        };
        let most = lets(tight, loose).filter(|_| comparable)?;
        // Of two that are alike, the later is the superfluous one.
        (other_index < index || lets(loose, tight).is_none()).then_some((*tight, tight_at, most))
    });
    let tightest = tighter.min_by_key(|(tight, _, most)| (*most, Reverse(tight.window)));
    let Some((tight, tight_at, most)) = tightest else { return };
    plan.findings.push(
        plan.findings
            .error(
                "limit-never-reached",
                at.clone(),
                format!("`{loose}` is never reached: `{tight}` lets {most} go in that time at most"),
            )
            .warning()
            .label("has no effect")
            .also(plan.findings.place(tight_at.clone()), "is always reached first")
            .help("remove it, or was another number or time meant?"),
    );
}

/// How many a limit lets go in any time as long as `window`.
fn most_in(limit: &Limit, window: Duration) -> Option<u64> {
    let times = window.as_nanos().div_ceil(limit.window.as_nanos().max(1));
    u64::try_from(times).ok()?.checked_mul(u64::from(limit.usable()))
}
