//! Items of which some vanish when the data grow, and lists that say they have more than they give.

use serde_json::{Value, json};

use super::listing::{Page, rows, size};
use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer};
use crate::ask::Ask;

pub(super) fn answer(world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    let items = items(world);
    let lie = match ask.rest {
        "/items" => 0,
        "/short-total" => 3,
        "/growing-total" => ask.number("offset", 0)?.div_ceil(10),
        _ => return Ok(missing()),
    };
    let page = Page::cut(&items, ask.number("offset", 0)?, size(ask, "limit", 10)?);
    let total = page.total as u64 + lie;
    Ok(answer::json(json!({ "items": page.map(item), "total": total }).to_string()))
}

pub(super) fn expected(world: &World) -> Value {
    json!({ "items": rows(&items(world), item) })
}

/// Each growth takes every ninth item away, in the long run.
fn items(world: &World) -> Vec<Thing> {
    let mut things = world.things(world.records.div_ceil(4), true);
    let growths = world.growths() as u64;
    things.retain(|thing| !(1..=growths).any(|growth| thing.lasting_dice(90 + growth).is_multiple_of(9)));
    things
}

fn item(thing: &Thing) -> Value {
    json!({ "id": thing.number, "name": thing.title(), "price": thing.amount() })
}
