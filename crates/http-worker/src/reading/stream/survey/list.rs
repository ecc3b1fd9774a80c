//! A list of records somewhere in a JSON text.

use std::ops::Range;

use super::super::fit::Unfit;
use super::{Cutter, Layout, Part};
use crate::body::spool::Spooling;
use crate::reading::decode::{plain_end, unescape};

/// A list in a JSON text.
pub(in crate::reading) struct List {
    cutter: Cutter,
    way: Vec<String>,
    /// The offset of the next chunk.
    at: u64,
    is_inside: bool,
    in_string: bool,
    escaped: bool,

    rest: Vec<u8>,
    most: usize,
    /// Open objects and lists around.
    depth: usize,
    /// Those of them that are on the way.
    on_way: usize,
    /// Names of the way that were seen.
    found: usize,
    /// Where the key begins that is being read.
    key: Option<usize>,
    expects_key: bool,
    /// The value that follows is on the way.
    leads_on: bool,

    /// Open objects and lists of a record.
    nested: usize,
    /// There is something in the list.
    any: bool,
    /// Where it begins, and its end.
    list: Option<(u64, u64)>,
    last: Range<u64>,
    cut: usize,
    closed: bool,
}

impl List {
    pub(super) fn begin(way: &[String], spooling: &Spooling) -> List {
        List {
            cutter: Cutter::new(spooling),
            way: way.to_vec(),
            at: 0,
            is_inside: false,
            in_string: false,
            escaped: false,
            rest: Vec::new(),
            most: spooling.most(),
            depth: 0,
            on_way: 0,
            found: 0,
            key: None,
            expects_key: false,
            leads_on: false,
            nested: 0,
            any: false,
            list: None,
            last: 0..0,
            cut: 0,
            closed: false,
        }
    }

    pub(super) fn look(&mut self, chunk: &[u8]) -> Result<(), Unfit> {
        let mut at = 0;
        while at < chunk.len() {
            at = if self.is_inside { self.inside(chunk, at) } else { self.around(chunk, at)? };
        }
        self.at += chunk.len() as u64;
        if self.is_inside {
            self.cutter.within(self.at)?;
        }
        if self.rest.len() > self.most {
            return Err(Unfit(format!("what is around the records is more than {} bytes", self.most)));
        }
        Ok(())
    }

    /// Goes through what is around the records, to the beginning of their list.
    fn around(&mut self, chunk: &[u8], from: usize) -> Result<usize, Unfit> {
        for (at, &byte) in chunk.iter().enumerate().skip(from) {
            self.rest.push(byte);
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.in_string = false;
                        if let Some(key) = self.key.take() {
                            self.key_ends(key)?;
                        }
                    }
                    _ => {}
                }
                continue;
            }
            let leads_on = std::mem::replace(&mut self.leads_on, false);
            let is_on_way = self.on_way > 0 && self.depth == self.on_way;
            match byte {
                b'"' => {
                    self.in_string = true;
                    if is_on_way && self.expects_key {
                        self.key = Some(self.rest.len());
                    }
                }
                b'{' => {
                    let is_root = self.depth == 0 && !self.way.is_empty();
                    if is_root || (leads_on && self.on_way < self.way.len()) {
                        self.on_way += 1;
                        self.expects_key = true;
                    }
                    self.depth += 1;
                }
                b'[' => {
                    let is_root = self.depth == 0 && self.way.is_empty();
                    if self.list.is_none() && (is_root || (leads_on && self.on_way == self.way.len())) {
                        self.is_inside = true;
                        self.cut = self.rest.len();
                        let begins = self.at + at as u64 + 1;
                        self.list = Some((begins, begins));
                        self.cutter.begin(begins);
                        return Ok(at + 1);
                    }
                    self.depth += 1;
                }
                b'}' | b']' => {
                    if is_on_way {
                        self.on_way -= 1;
                    }
                    self.expects_key = false;
                    self.depth = self.depth.saturating_sub(1);
                }
                b',' => self.expects_key = is_on_way,
                b':' | b' ' | b'\n' | b'\r' | b'\t' => self.leads_on = leads_on,
                _ => {}
            }
        }
        Ok(chunk.len())
    }

    fn key_ends(&mut self, key: usize) -> Result<(), Unfit> {
        self.expects_key = false;
        let raw = &self.rest[key..self.rest.len() - 1];
        let name = String::from_utf8_lossy(raw);
        let mut text = String::new();
        unescape(&name, &mut text);
        if self.way.get(self.on_way - 1).is_none_or(|wanted| *wanted != text) {
            return Ok(());
        }
        if self.found >= self.on_way {
            return Err(Unfit(format!("`{text}` stands twice, and the last counts")));
        }
        self.found = self.on_way;
        self.leads_on = true;
        Ok(())
    }

    /// Goes through the records, to the end of their list.
    fn inside(&mut self, chunk: &[u8], from: usize) -> usize {
        let mut at = from;
        while let Some(&byte) = chunk.get(at) {
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                } else {
                    at = plain_end(chunk, at);
                    match chunk.get(at) {
                        None => break,
                        Some(b'"') => self.in_string = false,
                        Some(b'\\') => self.escaped = true,
                        Some(_) => {}
                    }
                }
                at += 1;
                continue;
            }
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.any = true;
                }
                b'{' | b'[' => {
                    self.nested += 1;
                    self.any = true;
                }
                b'}' | b']' if self.nested > 0 => self.nested -= 1,
                b'}' | b']' => {
                    // A brace is wrong here: so it is in what is around.
                    self.rest.push(byte);
                    self.list_ends(self.at + at as u64);
                    self.closed = true;
                    return at + 1;
                }
                b',' if self.nested == 0 => {
                    self.any = true;
                    let end = self.at + at as u64;
                    self.cutter.record(end, end + 1, 0);
                }
                b' ' | b'\n' | b'\r' | b'\t' => {}
                _ => self.any = true,
            }
            at += 1;
        }
        at
    }

    fn list_ends(&mut self, end: u64) {
        self.is_inside = false;
        if let Some((_, ends)) = &mut self.list {
            *ends = end;
        }
        if self.any {
            self.last = self.cutter.last..end;
            let part = Part { bytes: self.cutter.start..end, lines: 0 };
            self.cutter.parts.push(part);
        }
    }

    pub(super) fn end(mut self) -> Layout {
        if self.is_inside {
            self.list_ends(self.at);
        }
        let left_out = self.list.map_or(0, |(begins, ends)| ends - begins);
        Layout {
            rest: self.rest,
            cut: self.cut,
            left_out,
            parts: self.cutter.parts,
            last: self.last,
            closed: self.closed,
            uneven: false,
        }
    }
}
