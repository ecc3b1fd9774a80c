//! The meter: counts an evaluation's steps, weighs its values, and refuses what grows beyond a bound.
//!
//! The filters that show it the values are in `natives`; `rewrite` puts them into programs.

use std::cell::Cell;

use jaq_core::Lut;
use jaq_core::data::HasLut;
use jaq_json::{Num, Val};

use super::Bounded;
use crate::jaq_value::MAX_BYTES;

/// Steps that one evaluation may take; a second at most.
const MAX_STEPS: u64 = 1_200_000;
/// A value is weighed about every so many steps.
const WEIGH_EVERY: u64 = 32;
/// How deep a value may be nested while a program runs.
const MAX_WORKING_DEPTH: usize = 500;
/// Bits that an integer may have.
const MAX_BITS: u64 = 65_536;

/// The meter of one evaluation.
pub(crate) struct Metered<'a> {
    lut: &'a Lut<Bounded>,
    steps: Cell<u64>,
    exceeded: Cell<Option<&'static str>>,
}

impl<'a> HasLut<'a, Bounded> for &'a Metered<'a> {
    fn lut(&self) -> &'a Lut<Bounded> {
        self.lut
    }
}

impl<'a> Metered<'a> {
    pub(crate) fn new(lut: &'a Lut<Bounded>) -> Self {
        Metered { lut, steps: Cell::new(0), exceeded: Cell::new(None) }
    }

    /// The bound that was hit, if one was.
    pub(crate) fn exceeded(&self) -> Option<&'static str> {
        self.exceeded.get()
    }

    pub(super) fn tick(&self, value: &Val) -> bool {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > MAX_STEPS {
            return self.refuse("jq: the program takes more than 1,200,000 steps");
        }
        // Scattered: a loop takes its steps in a rhythm, and might show the scales the same small
        // value each time.
        let scattered = steps.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        if scattered.is_multiple_of(WEIGH_EVERY) { self.weigh(value) } else { self.small(value) }
    }

    /// Looks at the value itself only.
    fn small(&self, value: &Val) -> bool {
        match value {
            Val::TStr(bytes) | Val::BStr(bytes) if bytes.len() > MAX_BYTES => {
                self.refuse("jq: a text grows beyond 64 MiB")
            }
            Val::Num(Num::BigInt(integer)) if integer.bits() > MAX_BITS => {
                self.refuse("jq: an integer grows beyond 65,536 bits")
            }
            _ => true,
        }
    }

    /// Looks at all of the value, and charges steps for it.
    pub(super) fn weigh(&self, value: &Val) -> bool {
        let mut weight = 0;
        let fits = self.small(value) && self.add_weight(value, 0, &mut weight);
        self.steps.set(self.steps.get() + (weight >> 10));
        fits
    }

    fn add_weight(&self, value: &Val, depth: usize, weight: &mut u64) -> bool {
        if depth > MAX_WORKING_DEPTH {
            return self.refuse("jq: a value grows deeper than 500 levels");
        }
        *weight += 16;
        if *weight > 4 * MAX_BYTES as u64 {
            return self.refuse("jq: a value grows beyond 256 MiB");
        }
        match value {
            Val::TStr(bytes) | Val::BStr(bytes) => {
                *weight += bytes.len() as u64;
                true
            }
            Val::Arr(items) => items.iter().all(|item| self.add_weight(item, depth + 1, weight)),
            Val::Obj(map) => map.iter().all(|(key, value)| {
                self.add_weight(key, depth + 1, weight) && self.add_weight(value, depth + 1, weight)
            }),
            other => self.small(other),
        }
    }

    /// Charges for what a filter makes of a text: a step for so many bytes.
    pub(super) fn charge(&self, value: &Val, bytes: u64) -> bool {
        let (Val::TStr(text) | Val::BStr(text)) = value else { return true };
        let steps = text.len() as u64 / bytes;
        self.steps.set(self.steps.get() + steps);
        steps == 0 || self.tick(value)
    }

    pub(super) fn at_most(&self, value: &Val, bytes: usize, why: &'static str) -> bool {
        match value {
            Val::TStr(text) | Val::BStr(text) if text.len() > bytes => self.refuse(why),
            _ => true,
        }
    }

    /// Charges for the pieces that a text is split into.
    pub(super) fn charge_pieces(&self, left: &Val, right: &Val) -> bool {
        let (Val::TStr(text), Val::TStr(separator)) = (left, right) else { return true };
        let pieces = match (std::str::from_utf8(text), std::str::from_utf8(separator)) {
            (Ok(text), Ok(separator)) if !separator.is_empty() => text.matches(separator).count(),
            _ => text.len(),
        };
        self.steps.set(self.steps.get() + pieces as u64 + text.len() as u64 / 64);
        self.tick(left)
    }

    pub(super) fn refuse(&self, why: &'static str) -> bool {
        self.exceeded.set(Some(why));
        false
    }
}
