//! Issues by GraphQL: one address, the cursor in the variables, and errors in a 200.

use http::Method;
use serde_json::{Value, json};

use super::listing::{Page, by_change, rows, size, time};
use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer};
use crate::ask::Ask;
use crate::mount::Mount;
use crate::random::hash;

pub(super) fn answer(mount: &Mount, world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    if ask.rest != "/graphql" || ask.method != Method::POST {
        return Ok(missing());
    }
    let query = ask.json.as_ref().and_then(|body| body["query"].as_str()).unwrap_or_default();
    if !query.contains("issues(") {
        return Ok(errors("BAD_QUERY", "this schema has `issues(first, after, since)`"));
    }
    let start = match ask.param("after") {
        None => 0,
        Some(cursor) => cursor.strip_prefix("Y3Vyc29y").and_then(|at| at.parse().ok()).ok_or("bad cursor")?,
    };
    // Every third page is slow at first.
    if start % 3 == 2 && mount.state.is_new(hash(&ask.body, 0)) {
        return Ok(errors("TIMEOUT", "the query took too long"));
    }
    let since = time(ask, "since")?.unwrap_or(0);
    let mut list = by_change(world.things(world.records, true));
    list.retain(|thing| thing.updated >= since);
    let page = Page::cut(&list, start, size(ask, "first", 20)?);
    let info = json!({
        "hasNextPage": page.next().is_some(),
        "endCursor": page.next().map(|next| format!("Y3Vyc29y{next}")),
    });
    let issues = json!({ "nodes": page.map(issue), "pageInfo": info });
    Ok(answer::json(json!({ "data": { "issues": issues } }).to_string()))
}

/// As the plan's `map` makes them.
pub(super) fn expected(world: &World) -> Value {
    let flat = |thing: &Thing| {
        let nested = issue(thing);
        json!({
            "id": nested["id"],
            "title": nested["title"],
            "author": nested["author"]["login"],
            "updated_at": nested["updatedAt"],
        })
    };
    json!({ "issues": rows(&world.things(world.records, true), flat) })
}

fn errors(code: &str, message: &str) -> Answer {
    let error = json!({ "message": message, "extensions": { "code": code } });
    answer::json(json!({ "data": null, "errors": [error] }).to_string())
}

fn issue(thing: &Thing) -> Value {
    json!({
        "id": format!("I_{}", thing.number),
        "title": thing.title(),
        "author": if thing.lasting_dice(15).is_multiple_of(6) {
            Value::Null
        } else {
            json!({ "login": format!("user{}", thing.lasting_dice(16) % 9) })
        },
        "updatedAt": thing.updated_at(),
    })
}
