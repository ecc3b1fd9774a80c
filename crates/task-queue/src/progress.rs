//! Which combinations of an expansion are done: a watermark and the islands above it.

use std::collections::BTreeMap;

/// A set of combination numbers that grows nearly in order. Memory grows with the number of gaps,
/// that is with the tasks in flight or delayed, not with the numbers in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    watermark: u64,
    /// Runs of numbers above the watermark: start → end (exclusive). They never touch.
    islands: BTreeMap<u64, u64>,
}

impl Progress {
    /// All below `watermark`, and each of `beyond`.
    pub fn new(watermark: u64, beyond: &[u64]) -> Self {
        let mut progress = Progress { watermark, islands: BTreeMap::new() };
        for index in beyond {
            progress.insert(*index);
        }
        progress
    }

    /// Every number below this one is in the set.
    pub fn watermark(&self) -> u64 {
        self.watermark
    }

    /// Whether `index` is in the set.
    pub fn contains(&self, index: u64) -> bool {
        index < self.watermark
            || self.islands.range(..=index).next_back().is_some_and(|(_, end)| index < *end)
    }

    /// Adds `index`.
    pub fn insert(&mut self, index: u64) {
        self.insert_run(index, index.saturating_add(1));
    }

    /// Adds every number from `start` to below `end`.
    pub fn insert_run(&mut self, mut start: u64, mut end: u64) {
        if start >= end {
            return;
        }
        // What touches it becomes one with it.
        while let Some((first, last)) = self.islands.range(..=end).next_back().map(|(a, b)| (*a, *b))
            && last >= start
        {
            self.islands.remove(&first);
            start = start.min(first);
            end = end.max(last);
        }
        if start <= self.watermark {
            self.watermark = self.watermark.max(end);
        } else {
            self.islands.insert(start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_with_a_true_watermark(
            first in 0u64..5,
            runs in prop::collection::vec((0u64..40, prop_oneof![3 => Just(1u64), 1 => 0u64..6]), 0..60),
        ) {
            let mut progress = Progress::new(first, &[]);
            let mut model: BTreeSet<u64> = (0..first).collect();
            for (index, length) in runs {
                match length {
                    1 => progress.insert(index),
                    _ => progress.insert_run(index, index + length),
                }
                model.extend(index..index + length);
                let watermark = (0..).find(|n| !model.contains(n)).unwrap();
                prop_assert_eq!(progress.watermark(), watermark);
                for n in 0..50 {
                    prop_assert_eq!(progress.contains(n), model.contains(&n));
                }
                for (start, end) in &progress.islands {
                    prop_assert!(start < end && *start > progress.watermark);
                    prop_assert!(!progress.islands.contains_key(end), "they never touch");
                }
            }
        }
    }
}
