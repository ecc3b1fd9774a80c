//! What is read off a template's source before minijinja sees it. Not a parser: whatever looks
//! unusual is left to minijinja.
//!
//! Here is what is code and what is text; `sizes`, `calls` and `names` read it, `rewrite` changes it.

mod calls;
mod names;
mod sizes;

use std::ops::Range;

use crate::template::Part;

pub(crate) use calls::Use;

/// Words that minijinja takes for something else than a variable.
const RESERVED: [&str; 22] = [
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "not",
    "and",
    "or",
    "in",
    "is",
    "if",
    "else",
    "loop",
    "self",
    "super",
    "range",
    "dict",
    "namespace",
    "debug",
    "duration",
    "caller",
];

/// The parts of a template that holds only text and dotted names.
pub(crate) fn names_only(source: &str) -> Option<Vec<Part>> {
    if source.contains("{%") || source.contains("{#") {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = source;
    while let Some(open) = rest.find("{{") {
        if open > 0 {
            parts.push(Part::Text(rest[..open].into()));
        }
        let inside = &rest[open + 2..];
        let close = inside.find("}}")?;
        parts.push(Part::Name(dotted(inside[..close].trim())?));
        rest = &inside[close + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    Some(parts)
}

/// The words of a dotted name.
pub(crate) fn dotted(name: &str) -> Option<Box<[Box<str>]>> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let words: Box<[Box<str>]> = name.split('.').map(Box::from).collect();
    (words.iter().all(|word| is_word(word)) && !RESERVED.contains(&&*words[0])).then_some(words)
}

/// A template's source, and the bytes of it that are neither text nor in a string, a comment or the
/// braces, in order.
pub(crate) struct Code<'s> {
    pub(crate) source: &'s str,
    pub(crate) at: Vec<usize>,
    /// What stands within each pair of braces, without the signs that control white space.
    pub(crate) blocks: Vec<Range<usize>>,
}

impl<'s> Code<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        let mut code = Code { source, at: Vec::new(), blocks: Vec::new() };
        let mut at = 0;
        while let Some(open) = source[at..].find('{').map(|open| at + open) {
            let behind = &source[open + 1..];
            at = match behind.as_bytes().first() {
                Some(b'#') => behind.find("#}").map_or(source.len(), |end| open + 1 + end + 2),
                Some(b'%') => end_of_raw(&behind[1..]).map_or_else(|| code.block(open), |end| open + 2 + end),
                Some(b'{') => code.block(open),
                _ => open + 1,
            };
        }
        code
    }

    /// Takes in what stands in the braces at `open`; gives where they end.
    fn block(&mut self, open: usize) -> usize {
        let bytes = self.source.as_bytes();
        let close = if bytes[open + 1] == b'{' { b'}' } else { b'%' };
        let signed = matches!(bytes.get(open + 2), Some(b'-' | b'+'));
        let start = open + if signed { 3 } else { 2 };
        let (mut at, mut depth, mut quote) = (start, 0_usize, None);
        while let Some(byte) = bytes.get(at).copied() {
            match quote {
                Some(_) if byte == b'\\' => at += 1,
                Some(open) if byte == open => quote = None,
                Some(_) => {}
                None if depth == 0 && byte == close && bytes.get(at + 1) == Some(&b'}') => {
                    let end = match self.at.last() {
                        // A sign right before the braces controls white space.
                        Some(last)
                            if *last + 1 == at && *last >= start && matches!(bytes[*last], b'-' | b'+') =>
                        {
                            *last
                        }
                        _ => at,
                    };
                    self.at.truncate(self.at.partition_point(|at| *at < end));
                    self.blocks.push(start..end);
                    return at + 2;
                }
                None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
                None => {
                    match byte {
                        b'(' | b'[' | b'{' => depth += 1,
                        b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.at.push(at);
                }
            }
            at += 1;
        }
        self.blocks.push(start.min(bytes.len())..bytes.len());
        bytes.len()
    }

    /// The block that `at` lies in.
    pub(crate) fn block_of(&self, at: usize) -> usize {
        self.blocks.partition_point(|block| block.start <= at).saturating_sub(1)
    }

    /// Where the bracket is that closes the one at `open`; the end of the source if none does.
    pub(crate) fn matching(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        let first = self.at.partition_point(|at| *at < open);
        for at in self.at[first..].iter().copied() {
            match self.byte(at) {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return at;
                    }
                }
                _ => {}
            }
        }
        self.source.len()
    }

    /// Names and keywords, by place.
    pub(crate) fn words(&self) -> Vec<Range<usize>> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let mut words: Vec<Range<usize>> = Vec::new();
        for at in self.at.iter().copied().filter(|at| is_word(self.byte(*at))) {
            match words.last_mut() {
                Some(last) if last.end == at => last.end += 1,
                _ => words.push(at..at + 1),
            }
        }
        words.retain(|word| !self.byte(word.start).is_ascii_digit());
        words
    }

    pub(crate) fn byte(&self, at: usize) -> u8 {
        self.source.as_bytes()[at]
    }

    pub(crate) fn before(&self, at: usize) -> Option<u8> {
        self.source[..at].trim_end().bytes().next_back()
    }

    pub(crate) fn after(&self, at: usize) -> Option<u8> {
        self.source.as_bytes().get(at + self.space(at)).copied()
    }

    pub(crate) fn space(&self, at: usize) -> usize {
        let rest = &self.source[at..];
        rest.len() - rest.trim_start().len()
    }
}

/// Where `{% raw %}…{% endraw %}` ends, from behind its first `{%`.
fn end_of_raw(source: &str) -> Option<usize> {
    let tag = |source: &str, word: &str| {
        let rest = source.strip_prefix(['-', '+']).unwrap_or(source).trim_start();
        let rest = rest.strip_prefix(word)?.trim_start();
        let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
        Some(source.len() - rest.len())
    };
    let inside = tag(source, "raw")?;
    let ends = source[inside..].match_indices("{%").map(|(open, _)| inside + open + 2);
    ends.filter_map(|at| Some(at + tag(&source[at..], "endraw")?)).next().or(Some(source.len()))
}
