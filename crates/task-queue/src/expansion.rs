//! The product of a spec's `foreach` names, numbered: combination `k` is computed, never stored.

use std::sync::Arc;

use entities::Bindings;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::Windows;

/// One `foreach` name and its values.
#[derive(Clone, Debug)]
pub struct Dimension {
    /// The name.
    pub name: String,
    /// What it runs over.
    pub values: Values,
}

/// The values of a `foreach` name, each computed from its number.
#[derive(Clone, Debug)]
pub enum Values {
    /// A list.
    List(Arc<[Value]>),
    /// Integers, both ends included.
    Range {
        /// First.
        from: i64,
        /// Last, if a step lands on it.
        to: i64,
        /// Never 0.
        step: i64,
    },
    /// Windows of time.
    Windows(Windows),
}

impl Values {
    fn count(&self) -> u64 {
        match self {
            Values::List(values) => values.len() as u64,
            Values::Range { from, to, step } => {
                let (from, to, step) = (i128::from(*from), i128::from(*to), i128::from(*step));
                if step == 0 || (to - from).signum() * step.signum() < 0 {
                    return 0;
                }
                u64::try_from((to - from) / step + 1).unwrap_or(u64::MAX)
            }
            Values::Windows(windows) => windows.count(),
        }
    }

    fn value(&self, index: u64) -> Value {
        match self {
            Values::List(values) => {
                usize::try_from(index).ok().and_then(|i| values.get(i)).cloned().unwrap_or(Value::Null)
            }
            Values::Range { from, step, .. } => {
                let value = i128::from(*from) + i128::from(*step) * i128::from(index);
                i64::try_from(value).map_or(Value::Null, Value::from)
            }
            Values::Windows(windows) => windows.value(index),
        }
    }
}

/// All combinations of a spec's names, the first name outermost. Without names: one, empty.
#[derive(Clone, Debug)]
pub struct Expansion {
    dimensions: Vec<Dimension>,
    count: u64,
}

/// The product is too large to number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than 2^63 combinations")]
pub struct ExpansionError;

impl Expansion {
    /// The product of `dimensions`.
    pub fn new(dimensions: Vec<Dimension>) -> Result<Expansion, ExpansionError> {
        let mut count: u64 = 1;
        for dimension in &dimensions {
            count = count.checked_mul(dimension.values.count()).ok_or(ExpansionError)?;
        }
        if i64::try_from(count).is_err() {
            return Err(ExpansionError);
        }
        Ok(Expansion { dimensions, count })
    }

    /// How many combinations there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The values of combination `index`.
    pub fn bindings(&self, index: u64) -> Bindings {
        let places = self.places(index);
        let values = places.map(|(dimension, at)| (dimension.name.clone(), dimension.values.value(at)));
        Bindings(Arc::new(values.collect::<Map<_, _>>()))
    }

    /// Where the innermost window of combination `index` starts, without overlap, and where it ends.
    pub fn edges(&self, index: u64) -> Option<(Timestamp, Timestamp)> {
        let windows = self.places(index).filter_map(|(dimension, at)| match &dimension.values {
            Values::Windows(windows) => Some(windows.edges(at)),
            _ => None,
        });
        windows.last()
    }

    /// Each dimension, and which of its values combination `index` has.
    fn places(&self, index: u64) -> impl Iterator<Item = (&Dimension, u64)> {
        // Combinations of the names further in.
        let mut further = self.count.max(1);
        self.dimensions.iter().map(move |dimension| {
            let count = dimension.values.count().max(1);
            further /= count;
            (dimension, index / further.max(1) % count)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(name: &str, values: &[&str]) -> Dimension {
        Dimension { name: name.to_owned(), values: Values::List(values.iter().map(|v| json!(v)).collect()) }
    }

    fn range(name: &str, from: i64, to: i64, step: i64) -> Dimension {
        Dimension { name: name.to_owned(), values: Values::Range { from, to, step } }
    }

    fn all(dimensions: Vec<Dimension>) -> Vec<Value> {
        let expansion = Expansion::new(dimensions).unwrap();
        (0..expansion.count()).map(|k| Value::Object((*expansion.bindings(k).0).clone())).collect()
    }

    #[test]
    fn the_first_name_is_outermost() {
        let got = all(vec![list("s", &["A", "B"]), range("n", 1, 5, 2)]);
        let expected = json!([
            {"s": "A", "n": 1}, {"s": "A", "n": 3}, {"s": "A", "n": 5},
            {"s": "B", "n": 1}, {"s": "B", "n": 3}, {"s": "B", "n": 5},
        ]);
        assert_eq!(Value::Array(got), expected);
    }

    #[test]
    fn no_name_is_one_request_and_an_empty_list_is_none() {
        assert_eq!(all(vec![]), [json!({})]);
        assert_eq!(all(vec![list("s", &[]), range("n", 1, 9, 1)]), Vec::<Value>::new());
    }

    #[test]
    fn ranges_go_both_ways_and_never_overflow() {
        assert_eq!(all(vec![range("n", 3, 1, -1)]), [json!({"n": 3}), json!({"n": 2}), json!({"n": 1})]);
        assert_eq!(all(vec![range("n", 3, 1, 1)]).len(), 0);
        let huge = Expansion::new(vec![range("n", i64::MIN, i64::MAX - 1, 1)]);
        assert!(huge.is_err());
        let product = Expansion::new(vec![range("a", 1, i64::MAX, 1), range("b", 1, 3, 1)]);
        assert!(product.is_err());
    }
}
