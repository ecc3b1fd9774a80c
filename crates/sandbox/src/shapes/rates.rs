//! Rates of four pairs a day, by days written `20240131`, both ends included, a month at most in one answer.

use std::collections::BTreeMap;

use jiff::Span;
use serde_json::{Value, json};

use super::listing::day;
use super::missing;
use super::world::{Thing, World};
use crate::answer::{self, Answer};
use crate::ask::Ask;

const PAIRS: [&str; 4] = ["EURUSD", "EURCHF", "EURGBP", "EURCNY"];
const LONGEST: i64 = 31;

pub(super) fn answer(world: &World, ask: &Ask<'_>) -> Result<Answer, String> {
    if ask.rest != "/rates" {
        return Ok(missing());
    }
    let (Some(from), Some(to)) = (day(ask, "from")?, day(ask, "to")?) else {
        return Err("`from` and `to` are needed, as YYYYMMDD".to_owned());
    };
    if from.checked_add(Span::new().days(LONGEST)).is_ok_and(|end| to >= end) {
        return Err(format!("not more than {LONGEST} days at once"));
    }
    let (first, last) = (from.strftime("%Y%m%d").to_string(), to.strftime("%Y%m%d").to_string());
    let rates: Vec<Value> = all(world)
        .into_iter()
        .filter(|((day, _), _)| *day >= first && *day <= last)
        .map(|((day, pair), thing)| rate(&day, pair, &thing))
        .collect();
    Ok(answer::json(json!({ "base": "EUR", "rates": rates }).to_string()))
}

pub(super) fn expected(world: &World) -> Value {
    let rates: Vec<Value> =
        all(world).into_iter().map(|((day, pair), thing)| rate(&day, pair, &thing)).collect();
    json!({ "rates": rates })
}

/// Data that grow twice in a day have new rates for that day.
fn all(world: &World) -> BTreeMap<(String, &'static str), Thing> {
    let things = world.things(world.records, false).into_iter();
    things.map(|thing| ((thing.day(), PAIRS[(thing.number % 4) as usize]), thing)).collect()
}

fn rate(day: &str, pair: &str, thing: &Thing) -> Value {
    json!({ "day": day, "pair": pair, "rate": thing.amount() })
}
