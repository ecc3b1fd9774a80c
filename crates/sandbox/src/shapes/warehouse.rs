//! Products changed since a time, by pages counted from 0, with nested fields, behind a login.

use serde_json::{Value, json};

use super::listing::{Page, by_change, size, time};
use super::world::{Thing, World};
use super::{missing, tokens};
use crate::answer::{self, Answer};
use crate::ask::Ask;
use crate::mount::Mount;

pub(super) fn answer(mount: &Mount, world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    if ask.rest == "/session" {
        return Ok(tokens::login(mount, ask));
    }
    if let Some(refused) = tokens::refused_session(mount, ask) {
        return Ok(refused);
    }
    if ask.rest != "/products" {
        return Ok(missing());
    }
    let since = time(ask, "modified_after")?.unwrap_or(0);
    let (number, size) = (ask.number("page", 0)?, size(ask, "size", 20)?);
    let mut list = by_change(world.things(world.records, true));
    list.retain(|thing| thing.updated >= since);
    let page = Page::cut(&list, number.saturating_mul(size), size);
    let pages = (page.total as u64).div_ceil(size);
    Ok(answer::json(
        json!({ "content": page.map(product), "page": { "number": number, "total_pages": pages } })
            .to_string(),
    ))
}

/// As the plan's `map` makes them.
pub(super) fn expected(world: &World) -> Value {
    let flat = |thing: &Thing| {
        let nested = product(thing);
        json!({
            "sku": nested["identity"]["sku"],
            "name": nested["identity"]["name"],
            "price": nested["price"]["amount"],
            "currency": nested["price"]["currency"],
            "stock": nested["stock"].as_array().map(|places| {
                places.iter().filter_map(|place| place["count"].as_u64()).sum::<u64>()
            }),
            "modified": nested["audit"]["modified"],
        })
    };
    let products: Vec<Value> = world.things(world.records, true).iter().map(flat).collect();
    json!({ "products": products })
}

fn product(thing: &Thing) -> Value {
    let place = |nth: u64| json!({ "place": format!("P{nth}"), "count": thing.dice(80 + nth) % 500 });
    json!({
        "identity": { "sku": format!("SKU-{:05}", thing.number), "name": thing.title() },
        "price": { "amount": thing.amount(), "currency": if thing.lasting_dice(10).is_multiple_of(3) { "USD" } else { "EUR" } },
        "stock": (1..=thing.lasting_dice(11) % 3).map(place).collect::<Vec<Value>>(),
        "audit": { "created": thing.created_at(), "modified": thing.updated_at() },
    })
}
