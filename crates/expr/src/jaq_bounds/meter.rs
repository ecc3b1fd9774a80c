//! The meter: counts an evaluation's steps, weighs its values, and refuses what grows beyond a bound.
//!
//! The filters that show it the values are in `natives`; `rewrite` puts them into programs.

use std::cell::Cell;
use std::rc::Rc;

use jaq_core::Lut;
use jaq_core::data::HasLut;
use jaq_json::{Num, Val};

use super::Bounded;
use crate::jaq_value::MAX_BYTES;

/// Steps that one evaluation may take; a second at most.
const MAX_STEPS: u64 = 2_000_000;
/// A value is weighed about every so many steps.
const WEIGH_EVERY: u64 = 32;
/// Bytes that are worth a step where values are made or gone through whole. So an evaluation makes 512 MB at most,
/// however it holds them.
const BYTES_PER_STEP: u64 = 256;
/// How much of a processor's time an evaluation may take, whatever its steps say.
#[cfg(unix)]
const MAX_TIME: std::time::Duration = std::time::Duration::from_secs(3);
/// How deep a value may be nested while a program runs.
const MAX_WORKING_DEPTH: usize = 500;
/// Bits that an integer may have.
const MAX_BITS: u64 = 65_536;

/// The meter of one evaluation.
pub(crate) struct Metered<'a> {
    lut: &'a Lut<Bounded>,
    steps: Cell<u64>,
    exceeded: Cell<Option<&'static str>>,
    #[cfg(unix)]
    began: std::time::Duration,
}

impl<'a> HasLut<'a, Bounded> for &'a Metered<'a> {
    fn lut(&self) -> &'a Lut<Bounded> {
        self.lut
    }
}

impl<'a> Metered<'a> {
    pub(crate) fn new(lut: &'a Lut<Bounded>) -> Self {
        Metered {
            lut,
            steps: Cell::new(0),
            exceeded: Cell::new(None),
            #[cfg(unix)]
            began: time_of_thread(),
        }
    }

    /// The bound that was hit, if one was.
    pub(crate) fn exceeded(&self) -> Option<&'static str> {
        self.exceeded.get()
    }

    pub(super) fn tick(&self, value: &Val) -> bool {
        if !self.take(1) {
            return false;
        }
        let steps = self.steps.get();
        // Scattered: a loop takes its steps in a rhythm, and might show the scales the same small
        // value each time.
        let scattered = steps.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        if scattered.is_multiple_of(WEIGH_EVERY) { self.weigh(value) } else { self.small(value) }
    }

    /// Takes so many steps.
    fn take(&self, steps: u64) -> bool {
        let steps = self.steps.get().saturating_add(steps);
        self.steps.set(steps);
        steps <= MAX_STEPS || self.refuse("jq: the program takes more than 2,000,000 steps")
    }

    /// Takes the steps of making, or going through, so many bytes.
    pub(super) fn spend(&self, bytes: u64) -> bool {
        self.take(bytes / BYTES_PER_STEP)
    }

    /// A backstop for what is slow in a way that no step tells. The time of the thread, not of the day: a busy
    /// machine makes no program fail.
    #[cfg(unix)]
    fn in_time(&self) -> bool {
        time_of_thread().saturating_sub(self.began) <= MAX_TIME
            || self.refuse("jq: the program takes more than 3 s of a processor's time")
    }

    #[cfg(not(unix))]
    fn in_time(&self) -> bool {
        true
    }

    /// Looks at the value itself only.
    pub(super) fn shallow(&self, value: &Val) -> bool {
        self.small(value)
    }

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
        let fits = self.in_time() && self.small(value) && self.add_weight(value, 0, &mut weight);
        self.take(1 + (weight >> 10)) && fits
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

    /// Charges for a sum: what is copied of its left side, unless that has no other owner, and its right side.
    pub(super) fn charge_sum(&self, left: &Val, right: &Val) -> bool {
        let is_copied = match left {
            Val::Arr(items) => Rc::strong_count(items) > 1,
            Val::Obj(map) => Rc::strong_count(map) > 1,
            Val::TStr(text) | Val::BStr(text) => !text.is_unique(),
            _ => false,
        };
        let copied = if is_copied { extent(left) } else { 0 };
        self.take(1) && self.spend(copied + extent(right))
    }

    /// Charges for sorting.
    pub(super) fn charge_order(&self, value: &Val) -> bool {
        let extent = extent(value);
        self.spend(extent * u64::from((extent | 1).ilog2()))
    }

    /// Charges for a pattern that is compiled: repetitions multiply, and classes are large.
    pub(super) fn charge_pattern(&self, pattern: &Val) -> bool {
        let (Val::TStr(pattern) | Val::BStr(pattern)) = pattern else { return true };
        let large = pattern.iter().filter(|byte| b"\\.[".contains(byte)).count() as u64;
        let repeated = pattern.split(|byte| *byte == b'{').skip(1).map(|counts| {
            let digits = counts.iter().take_while(|byte| **byte != b'}').copied();
            let numbers = digits.collect::<Vec<_>>();
            let numbers = numbers.split(|byte| !byte.is_ascii_digit());
            let read = |digits: &[u8]| {
                digits.iter().fold(0_u64, |number, digit| {
                    number.saturating_mul(10).saturating_add(u64::from(*digit - b'0'))
                })
            };
            numbers.map(read).max().unwrap_or(1).max(1)
        });
        let times = repeated.fold(1, u64::saturating_mul);
        self.take(times.saturating_mul(pattern.len() as u64 + 100 * large) / 64)
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

    /// Charges for what `left * right` makes, if it repeats a text.
    pub(super) fn charge_times(&self, bytes: usize) -> bool {
        self.take(1) && self.spend(bytes as u64)
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

/// The bytes of a value itself, without what it holds.
pub(super) fn extent(value: &Val) -> u64 {
    match value {
        Val::TStr(text) | Val::BStr(text) => text.len() as u64,
        Val::Arr(items) => 16 * items.len() as u64,
        Val::Obj(map) => 48 * map.len() as u64,
        _ => 0,
    }
}

#[cfg(unix)]
fn time_of_thread() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::try_from(time).unwrap_or_default()
}
