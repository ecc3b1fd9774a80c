//! Tickets by page number within a window of time, like the search of a help desk.

use serde_json::{Value, json};

use super::listing::{Page, by_change, rows, size, time};
use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer};
use crate::ask::Ask;
use crate::tracker::pick;

pub(super) fn answer(world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    if ask.rest != "/tickets" {
        return Ok(missing());
    }
    let (from, to) = (time(ask, "updated_from")?, time(ask, "updated_to")?);
    let (number, size) = (ask.number("page", 1)?, size(ask, "per_page", 50)?);
    if number == 0 {
        return Err("pages are counted from 1".to_owned());
    }
    let mut list = by_change(world.things(world.records, true));
    list.retain(|thing| {
        from.is_none_or(|from| thing.updated >= from) && to.is_none_or(|to| thing.updated < to)
    });
    let page = Page::cut(&list, (number - 1).saturating_mul(size), size);
    let pages = (page.total as u64).div_ceil(size);
    Ok(answer::json(
        json!({ "tickets": page.map(ticket), "meta": { "page": number, "pages": pages, "count": page.total } })
            .to_string(),
    ))
}

pub(super) fn expected(world: &World) -> Value {
    json!({ "tickets": rows(&world.things(world.records, true), ticket) })
}

fn ticket(thing: &Thing) -> Value {
    json!({
        "id": thing.number,
        "subject": thing.title(),
        "status": pick(&["new", "open", "pending", "solved"], thing.dice(1)),
        "priority": if thing.dice(2).is_multiple_of(5) { Value::Null } else { (thing.dice(2) % 4).into() },
        "tags": (["vip", "late", "refund"])[..(thing.dice(3) % 4) as usize],
        "created_at": thing.created_at(),
        "updated_at": thing.updated_at(),
    })
}
