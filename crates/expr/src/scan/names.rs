//! The names that a template reads, as far as its source alone tells.

use std::ops::Range;

use super::{Code, RESERVED};

/// Words of statements.
const KEYWORDS: [&str; 16] = [
    "elif",
    "endif",
    "endfor",
    "endset",
    "endwith",
    "filter",
    "endfilter",
    "autoescape",
    "endautoescape",
    "raw",
    "endraw",
    "recursive",
    "do",
    "for",
    "set",
    "with",
];

/// A name where it is read.
pub(crate) struct Read<'s> {
    /// With its dots.
    pub(crate) name: &'s str,
    pub(crate) at: Range<usize>,
    /// `default` or `is defined` stands right behind it: it need not be defined.
    pub(crate) covered: bool,
}

impl<'s> Code<'s> {
    /// The dotted names that are read, in their order, without those of loops and `set`. minijinja
    /// leaves out what is sliced (`day.start[:10]`) and the arguments of filter blocks.
    pub(crate) fn names(&self) -> Vec<Read<'s>> {
        let (mut names, assigned) = self.reads();
        names.retain(|read| !assigned.contains(&read.name.split('.').next().unwrap_or_default()));
        names
    }

    /// All dotted names that are read, in their order, and the names that the template gives values.
    pub(crate) fn reads(&self) -> (Vec<Read<'s>>, Vec<&'s str>) {
        let mut assigned = Vec::new();
        let mut names = Vec::new();
        let mut previous = "";
        let mut targets = false;
        for word in self.words() {
            let text = &self.source[word.clone()];
            let assigns = self.after(word.end) == Some(b'=')
                && self.source.as_bytes().get(word.end + self.space(word.end) + 1) != Some(&b'=');
            match text {
                _ if matches!(self.before(word.start), Some(b'.' | b'|')) => {}
                "for" | "set" | "with" => targets = true,
                "in" => targets = false,
                _ if KEYWORDS.contains(&text) || RESERVED.contains(&text) => {}
                _ if matches!(previous, "is" | "filter") => {}
                _ if assigns => {
                    targets = false;
                    assigned.push(text);
                }
                _ if targets => assigned.push(text),
                _ => names.push(self.read(word)),
            }
            if !(previous == "is" && text == "not") {
                previous = text;
            }
        }
        (names, assigned)
    }

    /// A name with the fields that follow it.
    fn read(&self, word: Range<usize>) -> Read<'s> {
        let mut end = word.end;
        while let Some(field) = self.source[end..].strip_prefix('.') {
            let length = word_length(field);
            if length == 0 {
                break;
            }
            end += 1 + length;
        }
        let at = word.start..end;
        Read { name: &self.source[at.clone()], covered: self.is_covered(end), at }
    }

    fn is_covered(&self, end: usize) -> bool {
        let behind = self.source[end..].trim_start();
        let next = |text: &'s str| {
            let text = text.trim_start();
            text.split_at(word_length(text))
        };
        if let Some(filter) = behind.strip_prefix('|') {
            return matches!(next(filter).0, "default" | "d");
        }
        let (is, rest) = next(behind);
        let (test, rest) = next(rest);
        let test = if test == "not" { next(rest).0 } else { test };
        is == "is" && matches!(test, "defined" | "undefined")
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}
