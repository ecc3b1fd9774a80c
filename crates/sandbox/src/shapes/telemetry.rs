//! Readings by POST: the filter, the cursor and the size of the page are in the JSON body, times are milliseconds
//! since 1970, both ends included.

use http::Method;
use serde_json::{Value, json};

use super::listing::{Page, by_change, integer, rows, size};
use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer};
use crate::ask::Ask;

pub(super) fn answer(world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    if ask.rest != "/readings/search" || ask.method != Method::POST {
        return Ok(missing());
    }
    if ask.json.is_none() {
        return Err("the body is not JSON".to_owned());
    }
    let (from, to) = (integer(ask, "from_ms")?, integer(ask, "to_ms")?);
    let start = match ask.param("cursor") {
        None => 0,
        Some(cursor) => cursor.strip_prefix("c-").and_then(|start| start.parse().ok()).ok_or("bad cursor")?,
    };
    let mut list = by_change(world.things(world.records, true));
    list.retain(|thing| {
        from.is_none_or(|from| thing.updated >= from) && to.is_none_or(|to| thing.updated <= to)
    });
    let page = Page::cut(&list, start, size(ask, "size", 20)?);
    let next = page.next().map(|next| format!("c-{next}"));
    let body = json!({ "result": { "readings": page.map(reading) }, "page": { "next": next } });
    Ok(answer::json(body.to_string()))
}

pub(super) fn expected(world: &World) -> Value {
    json!({ "readings": rows(&world.things(world.records, true), reading) })
}

fn reading(thing: &Thing) -> Value {
    json!({
        "id": format!("r-{}", thing.number),
        "sensor": thing.lasting_dice(12) % 8 + 1,
        "value": thing.amount(),
        "unit": "kWh",
        "updated_ms": thing.updated,
    })
}
