//! Forms by next URL, and the responses to each; some forms are private: their responses are a 403.

use http::StatusCode;
use serde_json::{Value, json};

use super::listing::{Page, numbered, rows, size};
use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer, refusal};
use crate::ask::Ask;

const RESPONSES: u64 = 71;

pub(super) fn answer(world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    let forms = forms(world);
    match ask.segments().as_slice() {
        ["forms"] => paged(ask, &forms, form),
        ["forms", id, "responses"] => match numbered(&forms, id) {
            None => Ok(missing()),
            Some(form) if is_private(form) => {
                Ok(refusal(StatusCode::FORBIDDEN, "the owner of this form does not share its responses"))
            }
            Some(form) => paged(ask, &world.children(form, RESPONSES), |thing| response(form.number, thing)),
        },
        _ => Ok(missing()),
    }
}

pub(super) fn expected(world: &World) -> Value {
    let forms = forms(world);
    let shared = forms.iter().filter(|form| !is_private(form));
    let responses: Vec<Value> = shared
        .flat_map(|form| {
            world.children(form, RESPONSES).into_iter().map(|thing| response(form.number, &thing))
        })
        .collect();
    json!({ "forms": rows(&forms, form), "responses": responses })
}

fn paged(ask: &Ask<'_>, list: &[Thing], row: impl Fn(&Thing) -> Value) -> Result<Answer, String> {
    let (start, size) = (ask.number("after", 0)?, size(ask, "count", 10)?);
    let page = Page::cut(list, start, size);
    let next = page.next().map(|next| ask.url_with("after", &next.to_string()));
    Ok(answer::json(json!({ "items": page.map(row), "links": { "next": next } }).to_string()))
}

fn forms(world: &World) -> Vec<Thing> {
    world.things(world.records.div_ceil(4), true)
}

fn is_private(form: &Thing) -> bool {
    form.number.is_multiple_of(7)
}

fn form(thing: &Thing) -> Value {
    json!({
        "id": thing.number,
        "title": thing.title(),
        "public": !is_private(thing),
        "modified": thing.updated_at(),
    })
}

fn response(form: u64, thing: &Thing) -> Value {
    json!({
        "id": thing.number,
        "form": form,
        "answers": { "q1": thing.title(), "q2": thing.dice(4) % 10 },
        "submitted": thing.updated_at(),
    })
}
