//! What is known of the things met lately. A server that runs for months meets ever new ones: it forgets those that
//! have not come for a long while.

use std::collections::HashMap;

/// Something is forgotten after so many others at the earliest; twice as many are kept at most.
const KEPT: usize = 1 << 14;

/// Values by number, of the numbers that came last.
pub(crate) struct Recent<V> {
    young: HashMap<u64, V>,
    /// Those that have not come since `young` was begun.
    old: HashMap<u64, V>,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Recent { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<V: Default> Recent<V> {
    /// The value of a number; new ones have the default.
    pub(crate) fn of(&mut self, number: u64) -> &mut V {
        if !self.young.contains_key(&number) {
            let known = self.old.remove(&number).unwrap_or_default();
            if self.young.len() >= KEPT {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(number, known);
        }
        self.young.entry(number).or_default()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Recent};

    #[test]
    fn what_comes_again_is_known_and_the_rest_is_forgotten_late() {
        let mut recent: Recent<u64> = Recent::default();
        for number in 0..10 * KEPT as u64 {
            *recent.of(number) += 1;
            assert_eq!(*recent.of(number.saturating_sub(KEPT as u64 / 4)), 1, "not long ago");
            *recent.of(u64::MAX) += 1;
            assert!(recent.len() <= 2 * KEPT);
        }
        assert_eq!(*recent.of(u64::MAX), 10 * KEPT as u64, "it came all the time");
        assert_eq!(*recent.of(0), 0);
    }
}
