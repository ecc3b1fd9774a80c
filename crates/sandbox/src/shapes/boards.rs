//! Boards by offset, the lists of a board, the cards of a list: two levels of children. What changes below a board
//! changes the board.

use serde_json::{Value, json};

use super::listing::{Page, numbered, rows, size};
use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer};
use crate::ask::Ask;

const LISTS: u64 = 72;
const CARDS: u64 = 73;

pub(super) fn answer(world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    let boards = boards(world);
    match ask.segments().as_slice() {
        ["boards"] => {
            let page = Page::cut(&boards, ask.number("offset", 0)?, size(ask, "limit", 10)?);
            let body = json!({ "boards": page.map(board), "offset": page.start, "total": page.total });
            Ok(answer::json(body.to_string()))
        }
        ["boards", id, "lists"] => Ok(numbered(&boards, id).map_or_else(missing, |board| {
            let lists = world.children(board, LISTS);
            answer::json(rows(&lists, |thing| list(board.number, thing)).to_string())
        })),
        ["lists", id, "cards"] => {
            let lists: Vec<Thing> = boards.iter().flat_map(|board| world.children(board, LISTS)).collect();
            Ok(numbered(&lists, id).map_or_else(missing, |list| {
                let cards = world.children(list, CARDS);
                answer::json(rows(&cards, |thing| card(list.number, thing)).to_string())
            }))
        }
        _ => Ok(missing()),
    }
}

pub(super) fn expected(world: &World) -> Value {
    let boards = boards(world);
    let (mut lists, mut cards) = (Vec::new(), Vec::new());
    for board in &boards {
        for thing in world.children(board, LISTS) {
            lists.push(list(board.number, &thing));
            cards.extend(world.children(&thing, CARDS).iter().map(|inner| card(thing.number, inner)));
        }
    }
    json!({ "boards": rows(&boards, board), "lists": lists, "cards": cards })
}

fn boards(world: &World) -> Vec<Thing> {
    world.things(world.records.div_ceil(8), true)
}

fn board(thing: &Thing) -> Value {
    json!({ "id": thing.number, "name": thing.title(), "last_activity": thing.updated_at() })
}

fn list(board: u64, thing: &Thing) -> Value {
    json!({ "id": thing.number, "board_id": board, "name": thing.title(), "closed": thing.dice(7).is_multiple_of(9) })
}

fn card(list: u64, thing: &Thing) -> Value {
    json!({
        "id": thing.number,
        "list_id": list,
        "name": thing.title(),
        "estimate": if thing.dice(8).is_multiple_of(3) { Value::Null } else { thing.amount() },
    })
}
