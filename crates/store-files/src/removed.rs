//! Which rows of a part are gone, so that those behind them keep their numbers.

/// Ranges of the places that rows once had in their part: ascending, apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed(Vec<(u64, u64)>);

impl Removed {
    /// As the ledger has them: `[[first, count], …]`.
    pub(crate) fn parse(text: &str) -> Removed {
        Removed(serde_json::from_str(text).unwrap_or_default())
    }

    pub(crate) fn text(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let ranges: Vec<String> = self.0.iter().map(|(first, count)| format!("[{first},{count}]")).collect();
        Some(format!("[{}]", ranges.join(",")))
    }

    /// The place that the `index`-th row that is left once had.
    pub(crate) fn place_of(&self, index: u64) -> u64 {
        let mut place = index;
        for (first, count) in &self.0 {
            if *first > place {
                break;
            }
            place += count;
        }
        place
    }

    /// How many of the rows that are left had a place below this one.
    pub(crate) fn left_below(&self, place: u64) -> u64 {
        let gone = self.0.iter().map(|(first, count)| place.saturating_sub(*first).min(*count)).sum();
        place.saturating_sub(gone)
    }

    /// Adds a place; not one that is gone already.
    pub(crate) fn add(&mut self, place: u64) {
        let at = self.0.partition_point(|(first, _)| *first < place);
        self.0.insert(at, (place, 1));
        if self.0.get(at + 1).is_some_and(|(first, _)| *first == place + 1) {
            self.0[at].1 += self.0.remove(at + 1).1;
        }
        if at > 0 && self.0[at - 1].0 + self.0[at - 1].1 == place {
            self.0[at - 1].1 += self.0.remove(at).1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Removed;

    #[test]
    fn rows_keep_their_places() {
        let mut removed = Removed::default();
        for place in [3, 5, 4, 0] {
            removed.add(place);
        }
        assert_eq!(removed.text().unwrap(), "[[0,1],[3,3]]");
        assert_eq!(Removed::parse("[[0,1],[3,3]]"), removed);
        let left: Vec<u64> = (0..4).map(|index| removed.place_of(index)).collect();
        assert_eq!(left, [1, 2, 6, 7]);
        let below: Vec<u64> = (0..9).map(|place| removed.left_below(place)).collect();
        assert_eq!(below, [0, 0, 1, 2, 2, 2, 2, 3, 4]);
        assert_eq!(Removed::default().text(), None);
    }
}
