//! `[tasks.NAME]`: a task spec, put together from its parts.

use entities::{
    EndpointIndex, JqText, KeyPlaces, OnRule, Order, Paginate, Redirects, TaskSpec, TemplateText,
};

use crate::auth::auth;
use crate::cost::cost;
use crate::cursor::cursor;
use crate::endpoint::{headers_of, params_of};
use crate::foreach::foreach;
use crate::item::Item;
use crate::load::Lookup;
use crate::paginate::paginate;
use crate::reader::{Section, suggest_or_list};
use crate::reading::reading;
use crate::request::{body_of, idempotency, method_and_path, redirects};
use crate::rules::rules;
use crate::writing::{check_table, writing};
use crate::zone::zone;

/// Whether a task or endpoint may be called so.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The names a task may refer to, in the plan's order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    pub(crate) endpoints: Vec<String>,
    pub(crate) tasks: Vec<String>,
}

/// Reads one task. What is wrong in it is recorded; the rest is read on.
pub(crate) fn task(
    name: &str,
    item: &Item<'_>,
    neighbours: &Neighbours,
    lookup: &dyn Lookup,
) -> Option<TaskSpec> {
    let example = format!("[tasks.{name}]");
    let mut section = item.section(&example)?;
    section.what = example;
    if !section.has("table") && is_name(name) {
        check_table(item, name, item.key_span.clone());
    }
    let endpoint = endpoint(&mut section, neighbours);
    let request = method_and_path(&mut section);
    let query = section.take("query").map(|item| params_of(&item, "query")).unwrap_or_default();
    let body = body_of(&mut section, &request);
    let headers = section.take("headers").as_ref().map(headers_of).unwrap_or_default();
    let auth = section.take("auth").as_ref().and_then(auth);
    let redirects = section.take("redirects").as_ref().and_then(redirects).unwrap_or(Redirects::SameOrigin);
    let idempotency = section.take("idempotency").as_ref().and_then(idempotency);
    let zone = section.take("zone").as_ref().and_then(zone);
    let foreach =
        section.take("foreach").map(|item| foreach(&item, &neighbours.tasks, lookup)).unwrap_or_default();
    let paginate: Option<Paginate> = section.take("paginate").as_ref().and_then(paginate);
    let reading = reading(&mut section);
    let on: Vec<OnRule> = section.take("on").as_ref().map(rules).unwrap_or_default();
    let cursor = section.take("cursor").and_then(|item| cursor(&item));
    let writing = writing(&mut section, name, cursor.is_some());
    let cost = section.take("cost").as_ref().and_then(cost);
    let weight = section.take("weight").and_then(|item| item.integer_in(1, 1_000));
    let order = section.take("order").as_ref().and_then(order).unwrap_or_default();
    let places = KeyPlaces {
        types: section.place("types"),
        zone: section.place("zone"),
        cap: section.place("cap"),
        idempotency: section.place("idempotency"),
    };
    section.finish();
    Some(TaskSpec {
        name: name.to_owned(),
        endpoint,
        method: request.method,
        path: request.path.unwrap_or_else(|| TemplateText::new("")),
        query,
        headers,
        body,
        auth,
        redirects,
        idempotency,
        zone,
        foreach,
        paginate,
        reading,
        on,
        table: writing.table,
        key: writing.key,
        mode: writing.mode,
        types: writing.types,
        schema: writing.schema,
        text: writing.text,
        cursor,
        cost,
        weight: weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1),
        order,
        places,
        partition: writing.partition,
        fingerprint: String::new(),
        at: item.findings.place(item.key_span.clone()),
    })
}

fn order(item: &Item<'_>) -> Option<Order> {
    match item.string()? {
        "newest" => Some(Order::Newest),
        other => {
            item.wrong(
                "unknown-order",
                format!("`{other}` is not an order"),
                "unknown order",
                match other {
                    "oldest" | "given" | "default" => {
                        "remove `order`: without it, what `foreach` says first is asked for first".to_owned()
                    }
                    _ => "write order = \"newest\" for the latest windows first, or remove it".to_owned(),
                },
            );
            None
        }
    }
}

fn endpoint(section: &mut Section<'_>, neighbours: &Neighbours) -> EndpointIndex {
    let names = &neighbours.endpoints;
    let index = match section.take("endpoint") {
        Some(item) => item.string().and_then(|name| {
            let index = names.iter().position(|endpoint| endpoint == name);
            if index.is_none() {
                item.wrong(
                    "unknown-endpoint",
                    format!("the plan has no endpoint `{name}`"),
                    "unknown endpoint",
                    suggest_or_list(name, names.iter().map(String::as_str), "endpoints"),
                );
            }
            index
        }),
        None => {
            if names.len() > 1 {
                let all: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                let _ = section.need("endpoint", &all.join(" or endpoint = "));
            }
            None
        }
    };
    EndpointIndex(index.and_then(|index| u32::try_from(index).ok()).unwrap_or(0))
}

/// The jq programs of a task that say what is in its answers.
pub(crate) fn programs(task: &TaskSpec) -> Vec<&JqText> {
    use entities::PaginateBy::{Link, Offset, Page, Token, Url};
    let reading = &task.reading;
    let of_paging = match task.paginate.as_ref().map(|paginate| &paginate.by) {
        Some(Page { pages, total, .. }) => [pages.as_ref(), total.as_ref()],
        Some(Offset { total, .. }) => [total.as_ref(), None],
        Some(Token { next, .. } | Url { next }) => [Some(next), None],
        Some(Link { .. }) | None => [None, None],
    };
    let of_reading = [&reading.records, &reading.columns, &reading.map, &reading.total];
    of_reading.into_iter().flatten().chain(of_paging.into_iter().flatten()).collect()
}

/// The jq programs of a task that ask a question of its answers.
pub(crate) fn predicates(task: &TaskSpec) -> Vec<&JqText> {
    let until = task.paginate.as_ref().and_then(|paginate| paginate.until.as_ref());
    let rules = task.on.iter().filter_map(|rule| rule.when.as_ref());
    task.reading.filter.iter().chain(until).chain(rules).collect()
}
