//! Which fields a `map` keeps, for those that are a plain object construction: `{id, b: .c}`; and
//! which a plain condition reads: `.a == 1 and .b`. Not a jq parser: whatever looks unusual is left alone.

use std::ops::Range;

/// The names of the fields, if the program says them plainly.
pub(crate) fn fields(program: &str) -> Option<Vec<String>> {
    let inner = program.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut fields = Vec::new();
    for entry in split(inner)? {
        let entry = entry.trim();
        if entry.is_empty() {
            continue;
        }
        let name = match top_level_colon(entry) {
            Some(colon) => entry[..colon].trim(),
            None => entry.strip_prefix('$').unwrap_or(entry),
        };
        let quoted = name
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'))
            .filter(|name| !name.contains(['"', '\\']));
        let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match quoted {
            Some(quoted) => fields.push(quoted.to_owned()),
            None if bare => fields.push(name.to_owned()),
            None => return None,
        }
    }
    Some(fields)
}

/// Where a condition names fields of its input, if it says so plainly: the first step of each path,
/// without its dot. None for whatever has another input somewhere.
pub(crate) fn reads(program: &str) -> Option<Vec<Range<usize>>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let (mut in_string, mut escaped) = (false, false);
    let mut before = ' ';
    for (at, c) in program.char_indices() {
        if in_string {
            match c {
                // What is interpolated is a program of its own.
                '(' if escaped => return None,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
            before = c;
            continue;
        }
        match c {
            '"' => in_string = true,
            '|' | '[' | '{' | '#' | ';' => return None,
            '(' if is_word(before) => return None,
            '.' if !(is_word(before) || matches!(before, ')' | '?' | '"' | '.')) => {
                let rest = &program[at + 1..];
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                if length == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
                    return None;
                }
                found.push(at + 1..at + 1 + length);
            }
            _ => {}
        }
        before = c;
    }
    Some(found)
}

/// The entries between commas that are in no bracket or string; none if brackets do not match.
fn split(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, c) in top_level(text)? {
        match c {
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            // `{a} | {b}` and comments are more than an object.
            '|' | '#' => return None,
            _ => {}
        }
    }
    parts.push(&text[start..]);
    Some(parts)
}

fn top_level_colon(entry: &str) -> Option<usize> {
    top_level(entry)?.into_iter().find(|(_, c)| *c == ':').map(|(at, _)| at)
}

/// The characters outside of brackets and strings; none if brackets do not match.
fn top_level(text: &str) -> Option<Vec<(usize, char)>> {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut found = Vec::new();
    for (at, c) in text.char_indices() {
        if in_string {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match c {
            '"' => in_string = true,
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.checked_sub(1)?,
            _ if depth == 0 => found.push((at, c)),
            _ => {}
        }
    }
    (depth == 0 && !in_string).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_conditions_are_read() {
        let check = |program: &str, expected: Option<&[&str]>| {
            let found = reads(program);
            let found = found.map(|found| found.into_iter().map(|at| &program[at]).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{program}");
        };
        check(".state == \"open\"", Some(&["state"]));
        check("(.a.b > 1.5 or .c?) and .d.e != \".f\"", Some(&["a", "c", "d"]));
        check(".a==1 and .b//.c", Some(&["a", "b", "c"]));
        check("$repo == \"x\" and not", Some(&[]));
        check(".a | . == 1", None);
        check(".tags[0] == 1", None);
        check("any(.tags; . == 1)", None);
        check(". == {}", None);
        check(".a == \"\\(.b)\"", None);
        check(".\"a b\"", None);
        check("..", None);
    }

    #[test]
    fn only_plain_constructions_are_read() {
        let check = |program: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(fields(program), expected, "{program}");
        };
        check("{id, user: .user.login}", Some(&["id", "user"]));
        check("{\"a b\": .x, $day}", Some(&["a b", "day"]));
        check("{id, tags: [.tags[] | {name, x: 1}]}", Some(&["id", "tags"]));
        check("{ }", Some(&[]));
        check("{a: \"x, y: z\"}", Some(&["a"]));
        check("{(.name): 1}", None);
        check("{\"a\\(.b)\": 1}", None);
        check("{a} + {b}", None);
        check("{a} | {b}", None);
        check(". + {b: 1}", None);
        check("{a", None);
        check("", None);
        check("{a: 1} | .x}", None);
    }
}
