//! Activities after a time in seconds since 1970, by page, for clients with an OAuth2 refresh token that is good once.

use serde_json::{Value, json};

use super::listing::{Page, integer, rows, size};
use super::world::{Thing, World};
use super::{missing, tokens};
use crate::answer::{self, Answer};
use crate::ask::Ask;
use crate::mount::Mount;
use crate::tracker::pick;

pub(super) fn answer(mount: &Mount, world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    if ask.rest == "/oauth/token" {
        return Ok(tokens::refresh(mount, ask));
    }
    if let Some(refused) = tokens::refused_bearer(mount, ask) {
        return Ok(refused);
    }
    if ask.rest != "/athlete/activities" {
        return Ok(missing());
    }
    let after = integer(ask, "after")?.unwrap_or(i64::MIN);
    let (number, size) = (ask.number("page", 1)?.max(1), size(ask, "per_page", 30)?);
    let mut list = world.things(world.records, false);
    list.retain(|thing| thing.updated_s() > after);
    let page = Page::cut(&list, (number - 1).saturating_mul(size), size);
    Ok(answer::json(page.map(activity).to_string()))
}

pub(super) fn expected(world: &World) -> Value {
    json!({ "activities": rows(&world.things(world.records, false), activity) })
}

fn activity(thing: &Thing) -> Value {
    json!({
        "id": thing.number,
        "name": thing.title(),
        "sport": pick(&["run", "ride", "swim"], thing.dice(9)),
        "distance": thing.amount(),
        "started": thing.updated_s(),
    })
}
