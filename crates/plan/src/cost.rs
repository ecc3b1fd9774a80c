//! `cost` of a task or of a limit: what a request takes of it.

use entities::{Cost, JqText};
use toml::de::DeValue;

use crate::item::Item;

/// How a cost is written, for help texts.
const FORMS: &str = "a cost is a whole number, cost = 5, or jq over the answer: \
                     cost = { most = 100, actual = \".extensions.cost.actualQueryCost\" }";

/// Reads `cost`.
pub(crate) fn cost(item: &Item<'_>) -> Option<Cost> {
    match item.get() {
        DeValue::Integer(_) => tokens(item).map(Cost::Fixed),
        DeValue::String(_) => Some(Cost::Read { actual: actual(item)?, most: None }),
        DeValue::Table(_) => {
            let mut section = item.section("cost = { most = 100, actual = \".cost\" }")?;
            let most = section.take("most");
            let actual_item = section.need("actual", "\".extensions.cost.actualQueryCost\"");
            section.finish();
            let known = most.as_ref().map(tokens);
            let actual = actual_item.as_ref().and_then(actual);
            match (known, actual) {
                (Some(None), _) | (_, None) => None,
                (known, Some(actual)) => Some(Cost::Read { actual, most: known.flatten() }),
            }
        }
        _ => {
            item.expected("a number or jq", Some(FORMS.to_owned()));
            None
        }
    }
}

/// A cost that is known: at least one.
fn tokens(item: &Item<'_>) -> Option<u32> {
    if let DeValue::Integer(_) = item.get()
        && item.integer() == Some(0)
    {
        item.wrong(
            "out-of-range",
            format!("{} is 0, and a request that costs nothing is not limited", item.what),
            "too small",
            "use 1 or more; what is not limited belongs to an endpoint of its own, with limits = []",
        );
        return None;
    }
    item.integer_in(1, i64::from(u32::MAX)).and_then(|tokens| u32::try_from(tokens).ok())
}

/// The program that reads a cost; one that is a number in quotes is none.
fn actual(item: &Item<'_>) -> Option<JqText> {
    let program = item.jq()?;
    let number = program.source.trim();
    if number.parse::<f64>().is_ok() {
        let help = format!("remove the quotes: {number}");
        item.wrong(
            "bad-cost",
            format!("{} is a number in quotes", item.what),
            "not read from the answer",
            help,
        );
        return None;
    }
    Some(program)
}
