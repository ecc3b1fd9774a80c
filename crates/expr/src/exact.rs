//! Numbers that keep digits which neither an integer nor a float of minijinja holds.
//!
//! They pass through as they are, and arithmetic on them is an error. They are never equal to an
//! ordinary number. Where numbers are put in order (`<`, `sort`, `min`, `is gt`), all of them are
//! compared by their digits; a float by the shortest that stand for it. `rewrite` puts the filter
//! around operators, [`install`] takes the place of the filters and tests.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{DynObject, Kwargs, Object, ObjectRepr, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, State};

use crate::convert::{MAX_DEPTH, number_to_jinja};
use crate::filters::invalid;
use crate::rewrite::EXACT;

/// Up to so many significant digits any float gives back what it was read from.
const SAFE_DIGITS: usize = 15;

/// A number as its digits.
#[derive(Debug)]
pub(crate) struct Digits(String);

impl Digits {
    pub(crate) fn new(text: &str) -> Self {
        Digits(text.to_owned())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl Object for Digits {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !Decimal::read(&self.0).digits.is_empty()
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other.downcast_ref::<Digits>().map(|other| order(&self.0, &other.0))
    }
}

pub(crate) fn install(env: &mut Environment<'static>) {
    env.add_filter(EXACT, exact);
    // A name that no template can write; what is called is in `minijinja::filters`.
    env.add_filter("sort!", minijinja::filters::sort);
    env.add_filter("min!", minijinja::filters::min);
    env.add_filter("max!", minijinja::filters::max);
    env.add_filter("dictsort!", minijinja::filters::dictsort);
    for (name, original) in [("sort", "sort!"), ("min", "min!"), ("max", "max!"), ("dictsort", "dictsort!")] {
        env.add_filter(name, move |state: &mut State, value: &Jinja, kwargs: Kwargs| {
            ordered(state, original, value, kwargs)
        });
    }
    for (names, holds) in TESTS {
        for name in names {
            env.add_test(*name, move |state: &State, value: &Jinja, other: &Jinja| {
                Ok::<_, Error>(holds(exact(state, value)?.cmp(&exact(state, other)?)))
            });
        }
    }
}

type Holds = fn(Ordering) -> bool;

const TESTS: [(&[&str], Holds); 4] = [
    (&["lt", "lessthan", "<"], Ordering::is_lt),
    (&["le", "<="], Ordering::is_le),
    (&["gt", "greaterthan", ">"], Ordering::is_gt),
    (&["ge", ">="], Ordering::is_ge),
];

/// A filter that puts values in order, on values all of whose numbers can be compared.
fn ordered(state: &mut State, original: &str, value: &Jinja, kwargs: Kwargs) -> Result<Jinja, Error> {
    // minijinja does not count this one's steps for others.
    if let Some(entries) = value.len().filter(|_| original == "dictsort!") {
        let rounds = u64::from(usize::BITS - entries.leading_zeros());
        state.consume_fuel(rounds.saturating_mul(entries as u64))?;
    }
    if !holds_long(state, value)? {
        return state.apply_filter(original, &[value.clone(), Jinja::from(kwargs)]);
    }
    let value = each_number(value, &as_digits, 0)?;
    let result = state.apply_filter(original, &[value, Jinja::from(kwargs)])?;
    let back = |value: &Jinja| Some(number_to_jinja(value.downcast_object_ref::<Digits>()?.text()));
    each_number(&result, &back, 0)
}

/// A number (or what counts as one) that can be compared with any other; what is none stays.
fn exact(state: &State, value: &Jinja) -> Result<Jinja, Error> {
    match value.kind() {
        ValueKind::Undefined => return Err(Error::from(minijinja::ErrorKind::UndefinedError)),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if holds_long(state, value)? => {
            return Err(invalid(
                "a list or object that holds a number of many digits cannot be compared; compare its elements",
            ));
        }
        _ => {}
    }
    Ok(as_digits(value).unwrap_or_else(|| value.clone()))
}

fn as_digits(value: &Jinja) -> Option<Jinja> {
    match value.kind() {
        ValueKind::Bool => Some(Jinja::from_object(Digits::new(if value.is_true() { "1" } else { "0" }))),
        ValueKind::Number => Some(Jinja::from_object(Digits(value.to_string()))),
        _ => None,
    }
}

/// Whether it is a number that only keeps its digits.
pub(crate) fn is_long(value: &Jinja) -> bool {
    value.downcast_object_ref::<Digits>().is_some()
}

/// Whether there is such a number anywhere in it. Four elements cost a step.
fn holds_long(state: &State, value: &Jinja) -> Result<bool, Error> {
    holds_long_at(state, value, 0, &mut 0)
}

fn holds_long_at(state: &State, value: &Jinja, depth: usize, seen: &mut u32) -> Result<bool, Error> {
    *seen = seen.wrapping_add(1);
    if seen.is_multiple_of(64) {
        state.consume_fuel(16)?;
    }
    let is_map = value.kind() == ValueKind::Map;
    if depth > MAX_DEPTH || !(is_map || matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)) {
        return Ok(is_long(value));
    }
    for item in value.try_iter()? {
        let item = if is_map { value.get_item(&item)? } else { item };
        if holds_long_at(state, &item, depth + 1, seen)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The value with each number in it replaced where `change` gives another one.
fn each_number(
    value: &Jinja,
    change: &dyn Fn(&Jinja) -> Option<Jinja>,
    depth: usize,
) -> Result<Jinja, Error> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("the value is nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(|item| each_number(&item, change, depth + 1));
            Jinja::from(items.collect::<Result<Vec<_>, _>>()?)
        }
        ValueKind::Map => {
            let entry = |key: Jinja| {
                let item = each_number(&value.get_item(&key)?, change, depth + 1)?;
                Ok::<_, Error>((key, item))
            };
            Jinja::from_pairs(value.try_iter()?.map(entry).collect::<Result<Vec<_>, _>>()?)
        }
        // A truth value is not a number in a list.
        ValueKind::Bool => value.clone(),
        _ => change(value).unwrap_or_else(|| value.clone()),
    })
}

/// Whether a number written as text is another one when it is read as a float.
pub(crate) fn loses_digits(text: &str) -> bool {
    let significant = text.bytes().filter(u8::is_ascii_digit).count();
    if significant <= SAFE_DIGITS && !text.contains(['e', 'E']) {
        return false;
    }
    match text.parse::<f64>() {
        Ok(float) => !float.is_finite() || Decimal::read(&float.to_string()) != Decimal::read(text),
        // What is no number is not for us to judge.
        Err(_) => false,
    }
}

/// A decimal number without what does not change its value.
#[derive(PartialEq)]
struct Decimal {
    negative: bool,
    /// From the first that is not zero to the last; none: the number is zero.
    digits: String,
    /// Of ten, of the last digit.
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Decimal {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let kept = digits.trim_end_matches('0');
        let dropped = count(digits.len() - kept.len());
        let kept = kept.trim_start_matches('0');
        if kept.is_empty() {
            return Decimal { negative: false, digits: String::new(), exponent: 0 };
        }
        // Beyond what an i64 holds only the sign matters.
        let far = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
        let exponent = exponent.parse::<i64>().unwrap_or(far);
        let exponent = exponent.saturating_add(dropped).saturating_sub(count(fraction.len()));
        Decimal { negative, digits: kept.to_owned(), exponent }
    }

    /// How it compares with another one without their signs.
    fn magnitude(&self, other: &Decimal) -> Ordering {
        let places = |decimal: &Decimal| decimal.exponent.saturating_add(count(decimal.digits.len()));
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (false, false) => places(self).cmp(&places(other)).then_with(|| self.digits.cmp(&other.digits)),
            (zero, other_zero) => other_zero.cmp(&zero),
        }
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// How two numbers compare. Arithmetic may have made an infinity or NaN of them.
fn order(left: &str, right: &str) -> Ordering {
    let special = |text: &str| text.parse::<f64>().ok().filter(|_| text.contains(['n', 'N']));
    match (special(left), special(right)) {
        (Some(left), Some(right)) => left.total_cmp(&right),
        (Some(left), None) => left.total_cmp(&0.0),
        (None, Some(right)) => 0.0_f64.total_cmp(&right),
        (None, None) => {
            let (left, right) = (Decimal::read(left), Decimal::read(right));
            match (left.negative, right.negative) {
                (false, false) => left.magnitude(&right),
                (true, true) => right.magnitude(&left),
                (negative, other) => other.cmp(&negative),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::order;

    #[test]
    fn numbers_are_ordered_by_their_digits() {
        // Each is less than the one behind it; those in one row are equal.
        let rows: &[&[&str]] = &[
            &["-inf"],
            &["-1e400", "-10e399"],
            &["-12345678901234567890.5"],
            &["-1", "-1.0", "-10e-1"],
            &["-0.1000000000000000000000001"],
            &["-1e-99999999999999999999"],
            &["0", "-0.0", "0e99", "0.000"],
            &["1e-400"],
            &["0.1", "1e-1"],
            &["0.1000000000000000000000001"],
            &["0.11"],
            &["9", "9.0", "+9"],
            &["10"],
            &["9007199254740993"],
            &["9007199254740993.5"],
            &["9007199254740994", "9.007199254740994e15"],
            &["1e400"],
            &["1e99999999999999999999"],
            &["inf"],
            &["NaN"],
        ];
        for (at, row) in rows.iter().enumerate() {
            for (other_at, other_row) in rows.iter().enumerate() {
                for (left, right) in
                    row.iter().flat_map(|left| other_row.iter().map(move |right| (left, right)))
                {
                    assert_eq!(order(left, right), at.cmp(&other_at), "{left} and {right}");
                }
            }
        }
        assert_eq!(order("1", "1"), Ordering::Equal);
    }
}
