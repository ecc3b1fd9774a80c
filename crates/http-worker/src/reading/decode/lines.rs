//! Records as the bytes that came, each a line of its own: for stores that keep lines of JSON.
//!
//! Nothing is parsed, all is checked. A record that a store would not hold as it came (no object, a name that is
//! taken or there twice, an escape that is no text) makes the whole text one for the ordinary way.

use std::collections::{HashMap, HashSet};

use entities::RecordBatch;

use super::Trouble;
use super::scanner::{RawString, Scanner, one_line};

/// What the stores call columns of their own.
const TAKEN: [&str; 3] = ["_task", "_more", "_deleted_at"];

/// Lines in the making.
pub(super) struct Lines {
    text: String,
    rows: usize,
    names: Names,
}

impl Lines {
    /// For a text of `bytes` bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Lines { text: String::with_capacity(bytes.saturating_add(1)), rows: 0, names: Names::default() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The next value of the text as a line.
    #[inline]
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Trouble> {
        scanner.note_anew();
        let start = scanner.at();
        if scanner.peek() != b'{' {
            return Err(Trouble::NoLine);
        }
        self.names.begin();
        let mut more = scanner.enter(b'}')?;
        while more {
            let key = scanner.key()?;
            self.names.field(key)?;
            scanner.skip()?;
            more = scanner.more(b'}')?;
        }
        if scanner.is_odd() {
            return Err(Trouble::NoLine);
        }
        self.names.end();
        let record = scanner.slice(start..scanner.at());
        if scanner.is_broken() {
            one_line(record, &mut self.text);
        } else {
            self.text.push_str(record);
        }
        self.text.push('\n');
        self.rows += 1;
        Ok(())
    }

    /// The batch.
    pub(super) fn finish(self) -> RecordBatch {
        RecordBatch { rows: self.rows, text: self.text, lines: self.rows > 0, ..RecordBatch::default() }
    }
}

/// The names of fields, none of which may stand twice in a record. Records look alike, so one that has the fields of
/// the record before in their order is good; only in others each is looked up.
#[derive(Default)]
struct Names {
    /// As they came, and the record that each stood in last.
    known: Vec<(Box<str>, u64)>,
    /// Their places in `known`.
    places: HashMap<Box<str>, usize>,
    /// As stores tell them apart.
    plain: HashSet<String>,
    /// The fields of the record before; up to `nth`, of this one.
    order: Vec<usize>,
    nth: usize,
    /// Counts records.
    record: u64,
    /// The fields of this record so far are not those of the one before.
    differs: bool,
}

impl Names {
    #[inline]
    fn begin(&mut self) {
        self.record += 1;
        self.nth = 0;
        self.differs = false;
    }

    #[inline]
    fn field(&mut self, key: RawString<'_>) -> Result<(), Trouble> {
        let as_before =
            !self.differs && self.order.get(self.nth).is_some_and(|place| *self.known[*place].0 == *key.raw);
        if !as_before {
            self.look_up(key)?;
        }
        self.nth += 1;
        Ok(())
    }

    #[cold]
    fn look_up(&mut self, key: RawString<'_>) -> Result<(), Trouble> {
        if !self.differs {
            self.differs = true;
            for place in &self.order[..self.nth] {
                self.known[*place].1 = self.record;
            }
        }
        let place = match self.places.get(key.raw) {
            Some(place) => *place,
            None => self.add(key)?,
        };
        let stood_in = &mut self.known[place].1;
        if std::mem::replace(stood_in, self.record) == self.record {
            return Err(Trouble::NoLine);
        }
        match self.order.get_mut(self.nth) {
            Some(held) => *held = place,
            None => self.order.push(place),
        }
        Ok(())
    }

    /// A name that no record had. Stores do not tell `id` from `ID`, and call the one that comes second otherwise.
    fn add(&mut self, key: RawString<'_>) -> Result<usize, Trouble> {
        let plain = key.text().to_ascii_lowercase();
        if plain.is_empty() || TAKEN.contains(&plain.as_str()) || !self.plain.insert(plain) {
            return Err(Trouble::NoLine);
        }
        self.known.push((key.raw.into(), 0));
        self.places.insert(key.raw.into(), self.known.len() - 1);
        Ok(self.known.len() - 1)
    }

    #[inline]
    fn end(&mut self) {
        self.order.truncate(self.nth);
    }
}
