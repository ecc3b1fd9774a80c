//! Invoices by `Link` header, changed since a time in seconds since 1970.

use http::header::LINK;
use serde_json::{Value, json};

use super::listing::{Page, by_change, integer, rows, size};
use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer, with_header};
use crate::ask::Ask;

pub(super) fn answer(world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    if ask.rest != "/invoices" {
        return Ok(missing());
    }
    let since = integer(ask, "updated_since")?.unwrap_or(0);
    let (number, size) = (ask.number("page", 1)?.max(1), size(ask, "limit", 20)?);
    let mut list = by_change(world.things(world.records, true));
    list.retain(|thing| thing.updated_s() >= since);
    let page = Page::cut(&list, (number - 1).saturating_mul(size), size);
    let response = answer::json(page.map(invoice).to_string());
    Ok(match page.next() {
        Some(_) => {
            let url = ask.url_with("page", &(number + 1).to_string());
            with_header(response, LINK, &format!("<{url}>; rel=\"next\""))
        }
        None => response,
    })
}

pub(super) fn expected(world: &World) -> Value {
    json!({ "invoices": rows(&world.things(world.records, true), invoice) })
}

fn invoice(thing: &Thing) -> Value {
    json!({
        "number": format!("INV-{:06}", thing.number),
        "customer": thing.lasting_dice(5) % 40 + 1,
        "total": thing.amount(),
        "paid": thing.dice(6).is_multiple_of(2),
        "note": thing.title(),
        "updated": thing.updated_s(),
    })
}
