//! Events that never change, newest first, by the id of the last one seen.

use serde_json::{Value, json};

use super::listing::{Page, integer, rows, size};
use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer};
use crate::ask::Ask;
use crate::tracker::pick;

pub(super) fn answer(world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    if ask.rest != "/v1/events" {
        return Ok(missing());
    }
    let since = integer(ask, "created[gte]")?.unwrap_or(0);
    let mut list = world.things(world.records, false);
    list.reverse();
    list.retain(|thing| thing.updated_s() >= since);
    let start = match ask.param("starting_after") {
        None => 0,
        Some(id) => {
            let place = list.iter().position(|thing| name(thing) == id);
            place.ok_or_else(|| format!("no such event: `{id}`"))? + 1
        }
    };
    let page = Page::cut(&list, start as u64, size(ask, "limit", 10)?);
    let more = page.next().is_some();
    Ok(answer::json(json!({ "object": "list", "data": page.map(event), "has_more": more }).to_string()))
}

pub(super) fn expected(world: &World) -> Value {
    json!({ "events": rows(&world.things(world.records, false), event) })
}

fn name(thing: &Thing) -> String {
    format!("evt_{:08x}", thing.number * 7919)
}

fn event(thing: &Thing) -> Value {
    json!({
        "id": name(thing),
        "type": pick(&["charge.succeeded", "charge.refunded", "payout.paid"], thing.dice(13)),
        "amount": thing.dice(14) % 1_000_000,
        "data": { "object": { "note": thing.title() } },
        "created": thing.updated_s(),
    })
}
