//! Slices: what is multiplied below a head, numbered. A head is a parent's record (or batch), or a root
//! combination whose windows go on from the cursor.

use std::fmt;
use std::sync::Arc;

use entities::{Bindings, CursorValue, Failure, Slice};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{Expansion, ExpansionError, Lists};

/// What of a spec is evaluated for each of its heads, compiled by the engine. Pure.
pub trait Rules: Send + Sync + fmt::Debug {
    /// What `{{ cursor }}` stands for, given the value landed so far for the combination of `names`.
    fn cursor(&self, landed: &Value, names: &Bindings) -> Value;

    /// Whether it has names that are multiplied below heads.
    fn slices_heads(&self) -> bool;

    /// The slices below a head; `landed` is the value landed so far for a combination.
    fn slices(
        &self,
        head: &Bindings,
        lists: &Lists,
        landed: &dyn Fn(&Bindings) -> Option<Value>,
    ) -> Result<Slices, Failure>;

    /// The head that a slice is below: its bindings without the names of slices.
    fn head(&self, slice: &Bindings) -> Bindings;

    /// The name of the windows that are halved when an answer is cut off: the innermost.
    fn windows(&self) -> Option<&str>;
}

/// The slices of one head.
#[derive(Clone, Debug)]
pub struct Slices {
    order: Arc<[String]>,
    parts: Vec<Numbered>,
    /// Where the parts take turns; empty where they are numbered one behind the other.
    rounds: Vec<Rounds>,
    count: u64,
}

/// Slices that have one combination: the same cursor.
#[derive(Clone, Debug)]
pub struct Part {
    /// The names that all of them have: the head's, and those of the combination.
    pub names: Bindings,
    /// What is multiplied further.
    pub expansion: Expansion,
    /// The cursor's value when nothing of them has landed yet, if windows go on from it: none before
    /// the first run.
    pub landed: Option<Timestamp>,
    /// Their windows go on from a cursor.
    pub from_cursor: bool,
}

#[derive(Clone, Debug)]
struct Numbered {
    first: u64,
    part: Part,
}

/// Rounds in which the same parts have a slice each: the first so many of them.
#[derive(Clone, Copy, Debug)]
struct Rounds {
    /// The number of the first slice.
    first: u64,
    /// The number of the first round: each part's slice in it.
    round: u64,
    parts: u64,
}

/// One slice.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceNames {
    /// All its names, in the plan's order.
    pub bindings: Bindings,
    /// See [`entities::Slice::start`].
    pub start: Option<Value>,
    /// See [`entities::Slice::end`].
    pub end: Option<Value>,
}

impl Slices {
    /// Numbers the parts one behind the other. `order`: all names of the spec, as the plan has them.
    pub fn new(order: Arc<[String]>, parts: Vec<Part>) -> Result<Slices, ExpansionError> {
        let mut count: u64 = 0;
        let mut numbered = Vec::with_capacity(parts.len());
        for part in parts {
            let first = count;
            count = count.checked_add(part.expansion.count()).ok_or(ExpansionError)?;
            numbered.push(Numbered { first, part });
        }
        Ok(Slices { order, parts: numbered, rounds: Vec::new(), count })
    }

    /// Numbers the first of all parts, then the second of all, and so on: for parts whose newest come first.
    pub fn taking_turns(order: Arc<[String]>, mut parts: Vec<Part>) -> Result<Slices, ExpansionError> {
        // Those that have the most come first, so that in each round it is the first so many that have a slice.
        parts.sort_by_key(|part| std::cmp::Reverse(part.expansion.count()));
        let mut slices = Slices::new(order, parts)?;
        let (mut first, mut round) = (0, 0);
        for (at, numbered) in slices.parts.iter().enumerate().rev() {
            let count = numbered.part.expansion.count();
            if count > round {
                let parts = at as u64 + 1;
                slices.rounds.push(Rounds { first, round, parts });
                first += parts * (count - round);
                round = count;
            }
        }
        Ok(slices)
    }

    /// None at all.
    pub(crate) fn none() -> Slices {
        Slices { order: Arc::from([]), parts: Vec::new(), rounds: Vec::new(), count: 0 }
    }

    /// How many parts they are kept in.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Slice `index`; none if there are not as many.
    pub fn get(&self, index: u64) -> Option<SliceNames> {
        if index >= self.count {
            return None;
        }
        let (part, index) = self.place(index)?;
        let own = part.expansion.bindings(index);
        let names = self.order.iter().filter_map(|name| {
            let value = own.0.get(name).or_else(|| part.names.0.get(name))?;
            Some((name.clone(), value.clone()))
        });
        let bindings = Bindings(Arc::new(names.collect::<Map<_, _>>()));
        let edges = part.expansion.edges(index).filter(|_| part.from_cursor);
        // What lookback asks for again has landed: it moves the cursor nowhere.
        let edge = |at: Timestamp| Value::String(part.landed.map_or(at, |landed| at.max(landed)).to_string());
        let (start, end) = edges.map(|(start, end)| (edge(start), edge(end))).unzip();
        Some(SliceNames { bindings, start, end })
    }

    /// The part that a slice is of, and its number there.
    fn place(&self, index: u64) -> Option<(&Part, u64)> {
        if self.rounds.is_empty() {
            // The last part that begins at or before it; parts without slices share their beginning with
            // the one behind.
            let at = self.parts.partition_point(|numbered| numbered.first <= index).checked_sub(1)?;
            let Numbered { first, part } = self.parts.get(at)?;
            return Some((part, index - first));
        }
        let at = self.rounds.partition_point(|rounds| rounds.first <= index).checked_sub(1)?;
        let Rounds { first, round, parts } = self.rounds.get(at)?;
        let part = usize::try_from((index - first) % parts).ok()?;
        Some((&self.parts.get(part)?.part, round + (index - first) / parts))
    }
}

/// The edges of the parts that a slice was split into, given its own: they meet where the parts' windows
/// do. Where it was not the window that was split, each part has the edges of the whole.
pub(crate) fn edges_of_parts(
    whole: &Slice,
    windows: Option<&str>,
    bindings: &Bindings,
    parts: &[Bindings],
) -> Vec<(Option<Value>, Option<Value>)> {
    let end_of = |part: &Bindings| {
        let end = part.0.get(windows?)?.get("end")?.as_str()?;
        end.parse::<Timestamp>().ok()
    };
    let is_cut = parts.first().and_then(end_of) != end_of(bindings);
    let (Some(start), Some(end), true) = (&whole.start, &whole.end, is_cut) else {
        return parts.iter().map(|_| (whole.start.clone(), whole.end.clone())).collect();
    };
    let mut from = start.clone();
    let mut edges = Vec::with_capacity(parts.len());
    for (number, part) in parts.iter().enumerate() {
        let to = end_of(part).map(|at| Value::String(at.to_string()));
        let to = match to {
            Some(to) if number + 1 < parts.len() => CursorValue(to).max(CursorValue(from.clone())).0,
            _ => end.clone(),
        };
        edges.push((Some(std::mem::replace(&mut from, to.clone())), Some(to)));
    }
    edges
}

#[cfg(test)]
mod tests {
    use entities::{Step, TaskId};
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::{Cut, Dimension, Values, Windows};

    fn days(from: &str, to: &str) -> Expansion {
        let at = |text: &str| crate::parse_instant(text, &TimeZone::UTC).unwrap();
        let windows = Windows::new(Cut::new(at(from), at(to), Step::Days(1), TimeZone::UTC)).unwrap();
        let day = Dimension { name: "day".to_owned(), values: Values::Windows(windows) };
        Expansion::new(vec![day]).unwrap()
    }

    fn part(symbol: &str, from: &str, to: &str, landed: Option<&str>) -> Part {
        let names = json!({"symbol": symbol}).as_object().unwrap().clone();
        let landed = landed.map(|text| text.parse().unwrap());
        Part { names: Bindings(Arc::new(names)), expansion: days(from, to), landed, from_cursor: true }
    }

    #[test]
    fn parts_are_numbered_one_behind_the_other_and_empty_ones_take_no_number() {
        let order: Arc<[String]> = ["day".to_owned(), "symbol".to_owned()].into();
        let parts = vec![
            part("A", "2024-01-01", "2024-01-01", None),
            part("B", "2024-01-01", "2024-01-03", Some("2024-01-01T12:00:00Z")),
            part("C", "2024-01-03", "2024-01-03", None),
            part("D", "2024-01-02", "2024-01-03", None),
        ];
        let slices = Slices::new(order, parts).unwrap();
        let got: Vec<_> = (0..slices.count()).filter_map(|index| slices.get(index)).collect();
        let shown: Vec<_> = got
            .iter()
            .map(|slice| {
                let (names, day) = (&slice.bindings.0, slice.bindings.0["day"]["start"].as_str().unwrap());
                let start = slice.start.as_ref().unwrap().as_str().unwrap();
                format!("{} {} from {start}", names["symbol"].as_str().unwrap(), &day[..10])
            })
            .collect();
        assert_eq!(
            shown,
            [
                "B 2024-01-01 from 2024-01-01T12:00:00Z",
                "B 2024-01-02 from 2024-01-02T00:00:00Z",
                "D 2024-01-02 from 2024-01-02T00:00:00Z",
            ]
        );
        assert_eq!(got[0].end, got[1].start, "they meet exactly");
        assert_eq!(got[0].bindings.0.keys().collect::<Vec<_>>(), ["day", "symbol"]);
        assert_eq!(slices.get(3), None);
    }

    #[test]
    fn parts_that_take_turns_have_each_slice_once_round_by_round() {
        let shown = |slice: &SliceNames| {
            let names = &slice.bindings.0;
            let day = names["day"]["start"].as_str().unwrap();
            format!("{}{}", names["symbol"].as_str().unwrap(), &day[8..10])
        };
        let all = |slices: &Slices| -> Vec<String> {
            (0..slices.count() + 3).filter_map(|index| slices.get(index)).map(|slice| shown(&slice)).collect()
        };
        for (ends, expected) in [
            (vec![1, 3, 1, 4, 3], "D01 B01 E01 D02 B02 E02 D03"),
            (vec![2], "A01"),
            (vec![2, 2, 2], "A01 B01 C01"),
            (vec![1, 1], ""),
            (vec![], ""),
            (vec![5, 2], "A01 B01 A02 A03 A04"),
        ] {
            let order: Arc<[String]> = ["symbol".to_owned(), "day".to_owned()].into();
            let parts: Vec<Part> = ["A", "B", "C", "D", "E"]
                .iter()
                .zip(&ends)
                .map(|(symbol, end)| part(symbol, "2024-01-01", &format!("2024-01-0{end}"), None))
                .collect();
            let given = Slices::new(Arc::clone(&order), parts.clone()).unwrap();
            let turns = Slices::taking_turns(order, parts).unwrap();
            assert_eq!(all(&turns).join(" "), expected, "{ends:?}");
            let (mut given, mut turns) = (all(&given), all(&turns));
            given.sort();
            turns.sort();
            assert_eq!(turns, given, "{ends:?}");
        }
    }

    #[test]
    fn the_edges_of_halves_meet_and_know_nothing_of_overlap() {
        let day = |start: &str, end: &str| {
            let window = json!({"day": {"start": start, "end": end}});
            Bindings(Arc::new(window.as_object().unwrap().clone()))
        };
        let text = |value: &str| Some(json!(value));
        let (a, c, e) = ("2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z", "2024-01-05T00:00:00Z");
        let whole = Slice { head: TaskId(1), index: 4, stride: 1, start: text(a), end: text(e), half: false };
        let bound = day("2023-12-31T00:00:00Z", e);
        let halves = [day("2023-12-31T00:00:00Z", "2024-01-03T08:00:00+08:00"), day(c, e)];
        let got = edges_of_parts(&whole, Some("day"), &bound, &halves);
        assert_eq!(got, [(text(a), text(c)), (text(c), text(e))]);
        // The cursor lies in the second half: nothing of the first is news to it.
        let late = Slice { start: text("2024-01-04T00:00:00Z"), ..whole.clone() };
        let got = edges_of_parts(&late, Some("day"), &bound, &halves);
        assert_eq!(got[0], (late.start.clone(), late.start.clone()));
        assert_eq!(got[1], (late.start.clone(), text(e)));
        // A batch that was split, and a slice without edges.
        let got = edges_of_parts(&whole, Some("day"), &bound, &[bound.clone(), bound.clone()]);
        assert_eq!(got, [(text(a), text(e)), (text(a), text(e))]);
        let bare = Slice { start: None, end: None, ..whole };
        assert_eq!(edges_of_parts(&bare, Some("day"), &bound, &halves), [(None, None), (None, None)]);
    }
}
