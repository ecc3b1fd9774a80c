//! A cache that forgets what was asked for longest ago: plans come and go for months, memory stays.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, at most `most` of them, beside those that may not be forgotten.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    most: usize,
    /// Counts what was asked for.
    turn: u64,
    held: HashMap<K, (u64, V)>,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Recent { most, turn: 0, held: HashMap::new() }
    }

    /// The value of `key`; one is made if there is none. `is_free`: a value may be forgotten for it.
    pub(crate) fn get_or_make<E>(
        &mut self,
        key: K,
        is_free: impl Fn(&V) -> bool,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        self.turn += 1;
        if let Some((turn, value)) = self.held.get_mut(&key) {
            *turn = self.turn;
            return Ok(value.clone());
        }
        let value = make()?;
        if self.held.len() >= self.most {
            let free = self.held.iter().filter(|(_, (_, value))| is_free(value));
            let oldest = free.min_by_key(|(_, (turn, _))| *turn).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.held.remove(&oldest));
        }
        self.held.insert(key, (self.turn, value.clone()));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn the_oldest_that_is_free_goes_first() {
        let mut recent = Recent::new(3);
        let mut made = 0;
        let mut get = |key: u32| {
            let free = |value: &u32| *value != 7;
            let Ok(_) = recent.get_or_make(key, free, || {
                made += 1;
                Ok::<_, Infallible>(key)
            });
            let mut held: Vec<u32> = recent.held.keys().copied().collect();
            held.sort_unstable();
            (made, held)
        };
        for (key, expected) in [
            (7, (1, vec![7])),
            (1, (2, vec![1, 7])),
            (2, (3, vec![1, 2, 7])),
            (1, (3, vec![1, 2, 7])),
            (3, (4, vec![1, 3, 7])),
            (4, (5, vec![3, 4, 7])),
            (7, (5, vec![3, 4, 7])),
        ] {
            assert_eq!(get(key), expected, "{key}");
        }
        for key in 100..1000 {
            assert_eq!(get(key).1.len(), 3);
        }
        // What could not be made is not held.
        assert_eq!(recent.get_or_make(5, |_| true, || Err("no")), Err("no"));
        assert!(!recent.held.contains_key(&5));
    }

    #[test]
    fn what_is_in_use_is_beyond_the_bound() {
        let mut recent = Recent::new(2);
        for key in 0..5 {
            let Ok(_) = recent.get_or_make(key, |_| false, || Ok::<_, Infallible>(key));
        }
        assert_eq!(recent.held.len(), 5);
    }
}
