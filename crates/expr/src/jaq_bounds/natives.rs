//! The native filters of jq programs: jaq's, without those that reach outside, and the meter's own.
//!
//! The meter's have names that no program can write. `rewrite` says where each of them stands; `meter`
//! does the counting.

use jaq_core::box_iter::box_once;
use jaq_core::native::{self, v};
use jaq_core::{Ctx, Exn, Native};
use jaq_json::{Num, Val};

use super::Bounded;
use super::meter::extent;
use crate::jaq_value::MAX_BYTES;

/// Bytes that a text may have for a regular expression, of which each match takes half a kilobyte.
const MAX_SEARCHED: usize = 1 << 20;
/// Bytes that a regular expression may have.
const MAX_PATTERN: usize = 1 << 10;
/// Elements that a list may have that is put together with `+`.
const MAX_SUM: usize = 4_000_000;
/// Digits that a text may have that becomes a number.
const MAX_DIGITS: usize = 16_384;

/// Counts a step; looks at all of the value now and then.
pub(super) const TICK: &str = "tick!";
/// Looks at all of the value.
pub(super) const WEIGH: &str = "weigh!";
/// Counts the bytes of what passes: before a filter that goes through it whole, and behind what made it.
pub(super) const READ: &str = "read!";
/// The same of texts only.
pub(super) const TEXT: &str = "text!";
/// Before what is sorted.
pub(super) const ORDER: &str = "order!";
/// `+`
pub(super) const PLUS: &str = "plus!";
/// `*`
pub(super) const TIMES: &str = "times!";
/// `/`
pub(super) const SPLIT: &str = "split!";
/// Before a text that is searched.
pub(super) const REGEX: &str = "regex!";
/// Behind a regular expression.
pub(super) const PATTERN: &str = "pattern!";
/// Before a text that is taken apart.
pub(super) const APART: &str = "apart!";
/// Before a text that is escaped.
pub(super) const ESCAPE: &str = "escape!";
/// Behind `+`, which copies.
pub(super) const COPY: &str = "copy!";
/// Before a text that becomes a number.
pub(super) const DIGITS: &str = "digits!";

type Function = native::Fun<Bounded>;

/// The native filters: jaq's, without those that reach outside, and the meter's.
pub(crate) fn functions() -> impl Iterator<Item = Function> {
    let tick = Native::<Bounded>::new(|cv| match cv.0.data().tick(&cv.1) {
        true => box_once(Ok(cv.1)),
        false => box_once(Err(Exn::halt(1))),
    })
    .with_paths(|cv| match cv.0.data().tick(&cv.1.0) {
        true => box_once(Ok(cv.1)),
        false => box_once(Err(Exn::halt(1))),
    })
    .with_update(|cv, f| match cv.0.data().tick(&cv.1) {
        true => f(cv.1),
        false => box_once(Err(Exn::halt(1))),
    });
    let read = Native::<Bounded>::new(|cv| passed(pay(&cv.0, &cv.1), cv.1))
        .with_paths(|cv| match pay(&cv.0, &cv.1.0) {
            true => box_once(Ok(cv.1)),
            false => box_once(Err(Exn::halt(1))),
        })
        .with_update(|cv, f| match pay(&cv.0, &cv.1) {
            true => f(cv.1),
            false => box_once(Err(Exn::halt(1))),
        });
    let text = Native::<Bounded>::new(|cv| passed(pay_text(&cv.0, &cv.1), cv.1))
        .with_paths(|cv| match pay_text(&cv.0, &cv.1.0) {
            true => box_once(Ok(cv.1)),
            false => box_once(Err(Exn::halt(1))),
        })
        .with_update(|cv, f| match pay_text(&cv.0, &cv.1) {
            true => f(cv.1),
            false => box_once(Err(Exn::halt(1))),
        });
    let weigh = Native::<Bounded>::new(|cv| match cv.0.data().weigh(&cv.1) {
        true => box_once(Ok(cv.1)),
        false => box_once(Err(Exn::halt(1))),
    });
    let times = Native::<Bounded>::new(|mut cv| {
        let right = cv.0.pop_var();
        let left = cv.0.pop_var();
        let meter = cv.0.data();
        let made = repeated(&left, &right);
        if made > MAX_BYTES {
            meter.refuse("jq: repeating a text grows beyond 64 MiB");
            return box_once(Err(Exn::halt(1)));
        }
        if !(meter.charge_times(made) && meter.weigh(&left) && meter.weigh(&right)) {
            return box_once(Err(Exn::halt(1)));
        }
        native::bome(left * right)
    });
    let plus = Native::<Bounded>::new(|mut cv| {
        let right = cv.0.pop_var();
        let left = cv.0.pop_var();
        // Often it is the left side too, which is not copied if it has no other owner.
        drop(cv.1);
        match cv.0.data().charge_sum(&left, &right) {
            true => native::bome(left + right),
            false => box_once(Err(Exn::halt(1))),
        }
    });
    let split = Native::<Bounded>::new(|mut cv| {
        let right = cv.0.pop_var();
        let left = cv.0.pop_var();
        match cv.0.data().charge_pieces(&left, &right) {
            true => native::bome(left / right),
            false => box_once(Err(Exn::halt(1))),
        }
    });
    let regex = Native::<Bounded>::new(|cv| {
        let meter = cv.0.data();
        let fits =
            meter.at_most(&cv.1, MAX_SEARCHED, "jq: a regular expression on a text of more than 1 MiB");
        passed(fits && meter.charge(&cv.1, 2), cv.1)
    });
    let pattern = Native::<Bounded>::new(|cv| {
        let why = "jq: a regular expression of more than 1 KiB";
        let meter = cv.0.data();
        passed(meter.at_most(&cv.1, MAX_PATTERN, why) && meter.charge_pattern(&cv.1), cv.1)
    });
    let apart = Native::<Bounded>::new(|cv| passed(cv.0.data().charge(&cv.1, 2), cv.1));
    let escape = Native::<Bounded>::new(|cv| passed(cv.0.data().charge(&cv.1, 16), cv.1));
    let copy = Native::<Bounded>::new(|cv| {
        let fits = match &cv.1 {
            Val::Arr(items) if items.len() > MAX_SUM => {
                cv.0.data().refuse("jq: a list grows beyond 4,000,000 elements")
            }
            value => cv.0.data().shallow(value),
        };
        passed(fits, cv.1)
    });
    let order = Native::<Bounded>::new(|cv| passed(cv.0.data().charge_order(&cv.1), cv.1));
    let digits = Native::<Bounded>::new(|cv| {
        passed(cv.0.data().at_most(&cv.1, MAX_DIGITS, "jq: a number of more than 16,384 digits"), cv.1)
    });
    let own = [
        (TICK, v(0), tick),
        (WEIGH, v(0), weigh),
        (READ, v(0), read),
        (TEXT, v(0), text),
        (ORDER, v(0), order),
        (PLUS, v(2), plus),
        (TIMES, v(2), times),
        (SPLIT, v(2), split),
        (REGEX, v(0), regex),
        (PATTERN, v(0), pattern),
        (APART, v(0), apart),
        (ESCAPE, v(0), escape),
        (COPY, v(0), copy),
        (DIGITS, v(0), digits),
    ];
    let jaq = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    jaq.filter(|(name, ..)| !matches!(*name, "env" | "now" | "halt" | "localtime" | "strflocaltime"))
        .chain(own)
}

/// Pays for the bytes of a value.
fn pay(context: &Ctx<'_, Bounded>, value: &Val) -> bool {
    context.data().spend(extent(value))
}

/// Pays for the bytes of a text.
fn pay_text(context: &Ctx<'_, Bounded>, value: &Val) -> bool {
    !matches!(value, Val::TStr(_) | Val::BStr(_)) || pay(context, value)
}

fn passed<'a>(fits: bool, value: Val) -> jaq_core::ValXs<'a, Val> {
    box_once(if fits { Ok(value) } else { Err(Exn::halt(1)) })
}

/// The bytes of `left * right`, if it repeats a text.
fn repeated(left: &Val, right: &Val) -> usize {
    match (left, right) {
        (Val::TStr(text) | Val::BStr(text), Val::Num(number))
        | (Val::Num(number), Val::TStr(text) | Val::BStr(text)) => {
            let times = match number {
                Num::Int(times) => usize::try_from(*times).unwrap_or(0),
                Num::BigInt(_) => usize::MAX,
                // jaq repeats by integers only.
                Num::Float(_) | Num::Dec(_) => 0,
            };
            text.len().saturating_mul(times)
        }
        _ => 0,
    }
}
