//! Trades as `{fields, items}` by POST, by days written `20240131`, both ends included. An answer has [`CAP`] rows at
//! most and does not say that it was cut off.

use http::Method;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::listing::{day, rows};
use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer};
use crate::ask::Ask;

const CAP: usize = 60;
const FIELDS: [&str; 5] = ["trade_id", "ts_code", "trade_date", "price", "volume"];

pub(super) fn answer(world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    if ask.method != Method::POST || !matches!(ask.rest, "" | "/") {
        return Ok(missing());
    }
    if ask.param("api_name").as_deref() != Some("trades") {
        return Ok(answer::json(
            json!({ "code": 40101, "msg": "no such api_name", "data": null }).to_string(),
        ));
    }
    let first = day(ask, "start_date")?.unwrap_or(Date::MIN).strftime("%Y%m%d").to_string();
    let last = day(ask, "end_date")?.unwrap_or(Date::MAX).strftime("%Y%m%d").to_string();
    let items: Vec<Value> = all(world)
        .iter()
        .filter(|thing| thing.day() >= first && thing.day() <= last)
        .take(CAP)
        .map(|thing| {
            let trade = trade(thing);
            FIELDS.iter().map(|field| trade[field].clone()).collect()
        })
        .collect();
    let data = json!({ "fields": FIELDS, "items": items });
    Ok(answer::json(json!({ "code": 0, "msg": null, "data": data }).to_string()))
}

pub(super) fn expected(world: &World) -> Value {
    json!({ "trades": rows(&all(world), trade) })
}

/// More than other APIs have, so that months have more than one answer holds; but a tenth of them, which come on one
/// day when the data grow, fit.
fn all(world: &World) -> Vec<Thing> {
    world.things(world.records * 9 / 4, false)
}

fn trade(thing: &Thing) -> Value {
    let dice = thing.dice(17);
    json!({
        "trade_id": thing.number,
        "ts_code": format!("{:06}.SZ", dice % 5 + 1),
        "trade_date": thing.day(),
        "price": thing.amount(),
        "volume": dice % 100_000,
    })
}
