//! Single members of a JSON text, found in one pass and without building anything.

use serde_json::Value;

use super::Trouble;
use super::number::{self, Number};
use super::scanner::Scanner;

/// What stands at a path of names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::reading) enum Glimpse {
    /// Null, or nothing.
    #[default]
    Null,
    /// A boolean, a text, or a whole number of 64 bits.
    Scalar(Value),
    /// A number that is compared by its digits elsewhere.
    Number,
    /// An array or object.
    Composite,
    /// The way leads through a value that has no members.
    Misfit,
}

/// A path that is looked for, and where what is found goes.
struct Wanted<'w> {
    path: &'w [String],
    nth: usize,
}

/// What stands at each of `paths`. The whole text is checked: of two equal keys the last counts.
pub(in crate::reading) fn glimpses(text: &str, paths: &[&[String]]) -> Result<Vec<Glimpse>, Trouble> {
    let mut found = vec![Glimpse::Null; paths.len()];
    let wanted: Vec<Wanted<'_>> = paths.iter().enumerate().map(|(nth, path)| Wanted { path, nth }).collect();
    let mut scanner = Scanner::new(text);
    value(&mut scanner, &wanted, &mut found)?;
    scanner.end()?;
    Ok(found)
}

fn value(scanner: &mut Scanner<'_>, wanted: &[Wanted<'_>], found: &mut [Glimpse]) -> Result<(), Trouble> {
    let first = scanner.peek();
    let further = wanted.iter().any(|wanted| !wanted.path.is_empty());
    if first != b'{' || !further {
        let range = scanner.skip()?;
        let seen = seen(first, scanner.slice(range));
        for wanted in wanted {
            found[wanted.nth] = match (wanted.path.is_empty(), first) {
                (true, _) => seen.clone(),
                (false, b'n') => Glimpse::Null,
                (false, _) => Glimpse::Misfit,
            };
        }
        return Ok(());
    }
    for wanted in wanted {
        let here = if wanted.path.is_empty() { Glimpse::Composite } else { Glimpse::Null };
        found[wanted.nth] = here;
    }
    let mut more = scanner.enter(b'}')?;
    while more {
        let key = scanner.key()?.text();
        let behind: Vec<Wanted<'_>> = wanted
            .iter()
            .filter_map(|wanted| {
                let (first, rest) = wanted.path.split_first()?;
                (*first == *key).then_some(Wanted { path: rest, nth: wanted.nth })
            })
            .collect();
        if behind.is_empty() {
            scanner.skip()?;
        } else {
            value(scanner, &behind, found)?;
        }
        more = scanner.more(b'}')?;
    }
    Ok(())
}

fn seen(first: u8, text: &str) -> Glimpse {
    match first {
        b'n' => Glimpse::Null,
        b't' => Glimpse::Scalar(Value::Bool(true)),
        b'f' => Glimpse::Scalar(Value::Bool(false)),
        b'"' => match super::tree::parse(text) {
            Ok(text) => Glimpse::Scalar(text),
            Err(_) => Glimpse::Misfit,
        },
        b'{' | b'[' => Glimpse::Composite,
        _ => match number::of(text) {
            Some(Number::Int(number)) => Glimpse::Scalar(Value::from(number)),
            _ => Glimpse::Number,
        },
    }
}
