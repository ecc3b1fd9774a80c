//! Issues by GraphQL: one address, the cursor in the variables, and errors in a 200. With the option `points` each
//! query costs some: two, and one for each issue; what it may cost at most is taken first.

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
    let requested = 2 + size(ask, "first", 20)? as u32;
    let left = match mount.pay(requested, ask.arrived) {
        Some(Err(left)) => {
            let mut throttled = errors("THROTTLED", "Throttled");
            throttled["extensions"] = cost(mount, requested, None, left);
            return Ok(answer::json(throttled.to_string()));
        }
        paid => paid,
    };
    let (mut said, issues) = query(mount, world, ask)?;
    if left.is_some() {
        let actual = 2 + issues;
        let left = mount.refund(requested.saturating_sub(actual), ask.arrived);
        said["extensions"] = cost(mount, requested, Some(actual), left);
    }
    Ok(answer::json(said.to_string()))
}

/// The answer's body, and how many issues it holds.
fn query(mount: &Mount, world: &World, ask: &Ask<'_>) -> Result<(Value, u32), String> {
    let query = ask.json.as_ref().and_then(|body| body["query"].as_str()).unwrap_or_default();
    if !query.contains("issues(") {
        return Ok((errors("BAD_QUERY", "this schema has `issues(first, after, since)`"), 0));
    }
    let start = match ask.param("after") {
        None => 0,
        Some(cursor) => cursor.strip_prefix("Y3Vyc29y").and_then(|at| at.parse().ok()).ok_or("bad cursor")?,
    };
    // Every third page is slow at first.
    if start % 3 == 2 && mount.state.is_new(hash(&ask.body, 0)) {
        return Ok((errors("TIMEOUT", "the query took too long"), 0));
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
    Ok((json!({ "data": { "issues": issues } }), page.things.len() as u32))
}

fn cost(mount: &Mount, requested: u32, actual: Option<u32>, left: u32) -> Value {
    let most = mount.options.points.map(|rate| rate.limit);
    let rate = mount.options.points.map(|rate| f64::from(rate.limit) / rate.window.as_secs_f64());
    json!({ "cost": {
        "requestedQueryCost": requested,
        "actualQueryCost": actual,
        "throttleStatus": { "maximumAvailable": most, "currentlyAvailable": left, "restoreRate": rate },
    } })
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

fn errors(code: &str, message: &str) -> Value {
    let error = json!({ "message": message, "extensions": { "code": code } });
    json!({ "data": null, "errors": [error] })
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
