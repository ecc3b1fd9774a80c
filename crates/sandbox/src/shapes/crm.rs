//! Accounts changed since a time, by page token, and the contacts of each, for clients with OAuth2 client
//! credentials: `practice` / `practice-secret`.

use serde_json::{Value, json};

use super::listing::{Page, by_change, numbered, rows, size, time};
use super::world::{Thing, World};
use super::{missing, tokens};
use crate::answer::{self, Answer};
use crate::ask::Ask;
use crate::mount::Mount;

const CONTACTS: u64 = 74;

pub(super) fn answer(mount: &Mount, world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    if ask.rest == "/oauth/token" {
        return Ok(tokens::client_credentials(mount, ask));
    }
    if let Some(refused) = tokens::refused_bearer(mount, ask) {
        return Ok(refused);
    }
    let accounts = world.things(world.records.div_ceil(4), true);
    match ask.segments().as_slice() {
        ["accounts"] => {
            let since = time(ask, "modified_since")?.unwrap_or(0);
            let mut list = by_change(accounts);
            list.retain(|thing| thing.updated >= since);
            let page = Page::cut(&list, ask.number("page_token", 0)?, size(ask, "page_size", 10)?);
            let next = page.next().map(|next| next.to_string());
            Ok(answer::json(json!({ "records": page.map(account), "next_page_token": next }).to_string()))
        }
        ["accounts", id, "contacts"] => Ok(numbered(&accounts, id).map_or_else(missing, |account| {
            let contacts = world.children(account, CONTACTS);
            answer::json(json!({ "records": rows(&contacts, contact) }).to_string())
        })),
        _ => Ok(missing()),
    }
}

pub(super) fn expected(world: &World) -> Value {
    let accounts = world.things(world.records.div_ceil(4), true);
    let contacts: Vec<Value> = accounts
        .iter()
        .flat_map(|parent| {
            world.children(parent, CONTACTS).into_iter().map(|thing| {
                let mut row = contact(&thing);
                row["account_id"] = parent.number.into();
                row
            })
        })
        .collect();
    json!({ "accounts": rows(&accounts, account), "contacts": contacts })
}

fn account(thing: &Thing) -> Value {
    json!({
        "id": thing.number,
        "name": thing.title(),
        "revenue": thing.amount(),
        "modified_at": thing.updated_at(),
    })
}

fn contact(thing: &Thing) -> Value {
    json!({
        "id": thing.number,
        "email": format!("c{}@example.com", thing.number),
        "role": thing.title(),
    })
}
