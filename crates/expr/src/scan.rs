//! What is read off a template's source before minijinja sees it. Not a parser: whatever looks
//! unusual is left to minijinja.

use std::ops::Range;

use crate::template::Part;

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

fn dotted(name: &str) -> Option<Box<[Box<str>]>> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let words: Box<[Box<str>]> = name.split('.').map(Box::from).collect();
    (words.iter().all(|word| is_word(word)) && !RESERVED.contains(&&*words[0])).then_some(words)
}

/// `x - duration("7d")` as `x |sub("7d")`, `+` as `|add`: minijinja has no arithmetic on dates.
/// The rewritten source has the same length, so that ranges of errors stay true.
pub(crate) fn desugar_durations(source: &str) -> String {
    let mut out = source.as_bytes().to_vec();
    for at in code(source) {
        let filter: &[u8] = match source.as_bytes()[at] {
            b'-' => b"|sub",
            b'+' => b"|add",
            _ => continue,
        };
        if let Some(paren) = duration_call(source, at + 1) {
            out[at..paren].fill(b' ');
            out[at..at + filter.len()].copy_from_slice(filter);
        }
    }
    // Only ASCII was replaced by ASCII.
    String::from_utf8(out).unwrap_or_else(|_| source.to_owned())
}

/// Where the parenthesis of `duration(` is that starts behind `from` and white space.
fn duration_call(source: &str, from: usize) -> Option<usize> {
    let rest = source.get(from..)?;
    let behind = rest.trim_start().strip_prefix("duration")?.trim_start();
    behind.starts_with('(').then(|| source.len() - behind.len())
}

/// The names of the filters a template uses, by place. minijinja would only miss them when it runs.
pub(crate) fn filters(source: &str) -> Vec<Range<usize>> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let pipes = code(source).into_iter().filter(|at| source.as_bytes()[*at] == b'|');
    let names = pipes.map(|at| {
        let rest = source[at + 1..].trim_start();
        let start = source.len() - rest.len();
        start..start + rest.find(|c| !word(c)).unwrap_or(rest.len())
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// The bytes of a template that are neither text nor in a string, a comment or the braces.
fn code(source: &str) -> Vec<usize> {
    let bytes = source.as_bytes();
    let mut found = Vec::new();
    let (mut inside, mut quote, mut at) = (false, None, 0);
    while at < bytes.len() {
        let (byte, next) = (bytes[at], bytes.get(at + 1));
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if !inside => match (byte, next) {
                (b'{', Some(b'#')) => match source.get(at..).and_then(|rest| rest.find("#}")) {
                    Some(comment) => at += comment + 1,
                    None => return found,
                },
                (b'{', Some(b'{' | b'%')) => {
                    inside = true;
                    // A sign right behind the braces controls white space.
                    at += if matches!(bytes.get(at + 2), Some(b'-' | b'+')) { 2 } else { 1 };
                }
                _ => {}
            },
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None if matches!(byte, b'}' | b'%') && next == Some(&b'}') => {
                inside = false;
                at += 1;
            }
            None => found.push(at),
        }
        at += 1;
    }
    found
}
