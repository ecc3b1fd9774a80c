//! The fast path: one pass over the text, from the root to the records and on to the end.
//!
//! Records go straight into rows. Of the objects on the way every other member is only skipped, but
//! noted in an [`Outline`], so that the paths to a next token, a total or column names are looked up
//! without a second pass.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use expr::{PlainPath, Segment};
use serde_json::Value;

use super::lines::Lines;
use super::path::lacking;
use super::rows::Rows;
use super::scanner::Scanner;
use super::{Trouble, path, tree};

/// What becomes of the records.
pub(super) enum Sink {
    /// Objects and single values.
    Rows(Rows),
    /// Arrays, without names yet.
    Arrays(Rows),
    /// Objects, as the bytes that came.
    Lines(Lines),
}

impl Sink {
    #[inline]
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Trouble> {
        match self {
            Sink::Rows(rows) => rows.read(scanner),
            Sink::Arrays(rows) => rows.read_array(scanner),
            Sink::Lines(lines) => lines.read(scanner),
        }
    }
}

/// What one pass found.
pub(super) struct Walked<'a> {
    pub(super) sink: Sink,
    pub(super) outline: Outline<'a>,
    /// The text from the first record to the last, empty if there is none.
    pub(super) records: Range<usize>,
}

/// Whether a path can be walked in one pass.
pub(super) fn can_walk(path: &PlainPath) -> bool {
    path.segments.iter().all(|segment| !matches!(segment, Segment::Index(index) if *index < 0))
}

/// Reads the records that `path` points at.
pub(super) fn walk<'a>(text: &'a str, path: &PlainPath, sink: Sink) -> Result<Walked<'a>, Trouble> {
    let mut walker = Walker {
        path,
        sink,
        outline: Outline { text, members: Vec::new(), leading: leading(path), last: None },
        records: None,
    };
    let mut scanner = Scanner::new(text);
    walker.step(&mut scanner, 0)?;
    scanner.end()?;
    Ok(Walked { sink: walker.sink, outline: walker.outline, records: walker.records.unwrap_or(0..0) })
}

/// What is wrong where an element should be and nothing is.
pub(super) const NO_VALUE: &str = "expected a value";

/// Reads the elements of a list, one after the other, without the brackets around them: as much of it as `text` is.
/// `depth`: how deep they lie in the whole.
pub(super) fn walk_list<'a>(
    text: &'a str,
    depth: u32,
    mut take: impl FnMut(&mut Scanner<'a>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut scanner = Scanner::deep(text, depth);
    loop {
        if scanner.peek() == 0 && scanner.at() == text.len() {
            // A comma or a bracket follows where a value should be.
            return Err(Trouble::Syntax { at: text.len(), why: NO_VALUE });
        }
        take(&mut scanner)?;
        match scanner.peek() {
            b',' => {
                scanner.take(1);
            }
            0 if scanner.at() == text.len() => return Ok(()),
            _ => return Err(scanner.trouble("expected `,` or `]`")),
        }
    }
}

/// How many steps of the path lead through objects, from the root.
fn leading(path: &PlainPath) -> usize {
    path.segments.iter().take_while(|segment| matches!(segment, Segment::Field(_))).count()
}

struct Walker<'a, 'p> {
    path: &'p PlainPath,
    sink: Sink,
    outline: Outline<'a>,
    records: Option<Range<usize>>,
}

impl<'a> Walker<'a, '_> {
    fn step(&mut self, scanner: &mut Scanner<'a>, depth: usize) -> Result<(), Trouble> {
        let path = self.path;
        let first = scanner.peek();
        match path.segments.get(depth) {
            None => self.target(scanner, first),
            Some(Segment::Field(name)) if first == b'{' => self.field(scanner, depth, name),
            Some(Segment::Index(index)) if first == b'[' => self.element(scanner, depth, *index),
            Some(Segment::Each) if first == b'[' || first == b'{' => self.each(scanner, depth, first),
            Some(_) => {
                scanner.skip()?;
                if path.optional { Ok(()) } else { Err(lacking(path, depth, kind_of(first), None)) }
            }
        }
    }

    /// The path's end: an array's elements, else the value itself; null is nothing.
    fn target(&mut self, scanner: &mut Scanner<'a>, first: u8) -> Result<(), Trouble> {
        let depth = self.path.segments.len();
        match first {
            b'n' => {
                scanner.word("null")?;
                if self.path.optional || depth == 0 {
                    return Ok(());
                }
                let whole = path::written(&self.path.segments);
                Err(Trouble::missing(format!("`{whole}` is null in the answer")))
            }
            b'[' if depth == 0 || !matches!(self.path.segments.last(), Some(Segment::Each)) => {
                let mut more = scanner.enter(b']')?;
                while more {
                    self.record(scanner)?;
                    more = scanner.more(b']')?;
                }
                Ok(())
            }
            _ => self.record(scanner),
        }
    }

    fn field(&mut self, scanner: &mut Scanner<'a>, depth: usize, name: &str) -> Result<(), Trouble> {
        let noted = depth < self.outline.leading;
        let mut keys = Vec::new();
        let mut found = false;
        let mut more = scanner.enter(b'}')?;
        while more {
            let key = scanner.key()?.text();
            scanner.peek();
            let start = scanner.at();
            if key == name {
                if found {
                    return Err(Trouble::Repeated);
                }
                found = true;
                self.step(scanner, depth + 1)?;
            } else {
                scanner.skip()?;
            }
            if noted {
                self.outline.members.push(Member { depth, key, value: start..scanner.at() });
            } else {
                keys.push(key);
            }
            more = scanner.more(b'}')?;
        }
        if found || self.path.optional {
            return Ok(());
        }
        let noted =
            self.outline.members.iter().filter(|member| member.depth == depth).map(|member| &member.key);
        let keys: Vec<&str> = keys.iter().chain(noted).map(|key| &**key).collect();
        Err(lacking(self.path, depth, "an object", Some(&keys)))
    }

    fn element(&mut self, scanner: &mut Scanner<'a>, depth: usize, index: i64) -> Result<(), Trouble> {
        let mut at = 0;
        let mut found = false;
        let mut more = scanner.enter(b']')?;
        while more {
            if at == index {
                found = true;
                self.step(scanner, depth + 1)?;
            } else {
                scanner.skip()?;
            }
            at += 1;
            more = scanner.more(b']')?;
        }
        if found || self.path.optional {
            Ok(())
        } else {
            Err(lacking(self.path, depth, &format!("a list of {at}"), None))
        }
    }

    fn each(&mut self, scanner: &mut Scanner<'a>, depth: usize, first: u8) -> Result<(), Trouble> {
        if first == b'[' {
            let mut more = scanner.enter(b']')?;
            while more {
                self.one_of_each(scanner, depth)?;
                more = scanner.more(b']')?;
            }
            return Ok(());
        }
        // Of an object the values; of two equal keys the last. So all are skipped before one is read.
        let mut members: Vec<usize> = Vec::new();
        let mut places = HashMap::new();
        let mut more = scanner.enter(b'}')?;
        while more {
            let key = scanner.key()?.text();
            scanner.peek();
            let start = scanner.at();
            match places.entry(key) {
                Entry::Occupied(place) => members[*place.get()] = start,
                Entry::Vacant(place) => {
                    place.insert(members.len());
                    members.push(start);
                }
            }
            scanner.skip()?;
            more = scanner.more(b'}')?;
        }
        for start in members {
            self.one_of_each(&mut scanner.moved_to(start), depth)?;
        }
        Ok(())
    }

    #[inline]
    fn one_of_each(&mut self, scanner: &mut Scanner<'a>, depth: usize) -> Result<(), Trouble> {
        if depth + 1 == self.path.segments.len() {
            self.record(scanner)
        } else {
            self.step(scanner, depth + 1)
        }
    }

    #[inline]
    fn record(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Trouble> {
        scanner.peek();
        let start = scanner.at();
        self.sink.read(scanner)?;
        let end = scanner.at();
        self.records = Some(match &self.records {
            Some(records) => records.start.min(start)..records.end.max(end),
            None => start..end,
        });
        self.outline.last = Some(start..end);
        Ok(())
    }
}

/// Where the members of the objects on the way to the records stand.
pub(super) struct Outline<'a> {
    text: &'a str,
    members: Vec<Member<'a>>,
    /// Objects on the way: those of depth 0 to `leading` - 1 have their members noted.
    leading: usize,
    last: Option<Range<usize>>,
}

struct Member<'a> {
    depth: usize,
    key: Cow<'a, str>,
    value: Range<usize>,
}

impl Outline<'_> {
    /// The outputs of a plain path, as jq has them; `records` is the path of the records.
    pub(super) fn outputs(&self, wanted: &PlainPath, records: &PlainPath) -> Result<Vec<Value>, Trouble> {
        let mut value = 0..self.text.len();
        let mut rest = wanted.segments.as_slice();
        for depth in 0..self.leading {
            let Some((Segment::Field(name), behind)) = rest.split_first() else { break };
            let member =
                self.members.iter().rev().find(|member| member.depth == depth && member.key == *name);
            let Some(member) = member else {
                return path::outputs(rest, wanted.optional, &Value::Object(serde_json::Map::new()));
            };
            value = member.value.clone();
            rest = behind;
            if !matches!(&records.segments[depth], Segment::Field(on_the_way) if on_the_way == name) {
                return path::outputs(rest, wanted.optional, &tree::parse(&self.text[value])?);
            }
        }
        // Keyset paging asks for the last record's field: only that record is parsed.
        let list = self.text[value.clone()].trim_start().starts_with('[');
        let flat = matches!(&records.segments[self.leading..], [] | [Segment::Each]);
        let on_the_way = wanted.segments.len() - rest.len() == self.leading;
        if let (Some((Segment::Index(-1), behind)), Some(last)) = (rest.split_first(), &self.last)
            && list
            && flat
            && on_the_way
        {
            return path::outputs(behind, wanted.optional, &tree::parse(&self.text[last.clone()])?);
        }
        path::outputs(rest, wanted.optional, &tree::parse(&self.text[value])?)
    }
}

fn kind_of(first: u8) -> &'static str {
    match first {
        b'{' => "an object",
        b'[' => "a list",
        b'"' => "a string",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        _ => "a number",
    }
}
