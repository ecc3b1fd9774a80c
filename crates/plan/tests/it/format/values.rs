//! Reader and schema take the values that the table says a key takes, and no others.

use plan::format::{Key, Section, Shape};

use super::schema::{as_json, validator};
use super::{around, diagnostics, each_key};

#[test]
fn reader_and_schema_take_exactly_the_values_of_the_table() {
    let validator = validator();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (section, key) in each_key() {
        let (good, bad): (Vec<String>, Vec<String>) = match key.shape {
            Shape::Integer(least, most) => {
                let bad = [least.checked_sub(1), most.checked_add(1)];
                let mut bad: Vec<String> =
                    bad.into_iter().flatten().map(|number| number.to_string()).collect();
                bad.push("\"1\"".to_owned());
                (vec![least.max(-9).to_string(), most.min(1 << 40).to_string()], bad)
            }
            Shape::Choice(choices) => (
                choices.iter().map(|choice| format!("\"{choice}\"")).collect(),
                vec!["\"zzzz\"".to_owned(), "1".to_owned()],
            ),
            Shape::Bool => {
                (vec!["true".to_owned(), "false".to_owned()], vec!["\"true\"".to_owned(), "1".to_owned()])
            }
            Shape::Duration => (
                vec!["\"90s\"".to_owned(), "\"1.5h\"".to_owned()],
                vec!["90".to_owned(), "\"soon\"".to_owned()],
            ),
            Shape::Size => (
                vec!["\"1024KiB\"".to_owned(), "\"2 MB\"".to_owned()],
                vec!["64".to_owned(), "\"64M\"".to_owned()],
            ),
            Shape::BackOff => (vec!["\"1s..2m\"".to_owned()], vec!["\"1s\"".to_owned()]),
            Shape::Step => {
                (vec!["\"2 weeks\"".to_owned(), "\"6h\"".to_owned()], vec!["\"fortnight\"".to_owned()])
            }
            Shape::Text | Shape::Template | Shape::Jq => (vec![], vec!["1".to_owned(), "[]".to_owned()]),
            _ => continue,
        };
        for (values, expected) in [(good, false), (bad, true)] {
            for value in values {
                checked += 1;
                let (text, start) = with_value(section, key, &value);
                let by_reader = is_refused_at(&text, start);
                let by_schema = as_json(&text).is_none_or(|plan| !validator.is_valid(&plan));
                if by_reader != expected || by_schema != expected {
                    let what = format!("{} of {}: {value}", key.name, section.title);
                    wrong.push(format!("{what} is refused: reader {by_reader}, schema {by_schema}"));
                }
            }
        }
    }
    assert!(checked > 200, "only {checked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The plan around a key's example with another value for the key, and where that stands.
fn with_value(section: &Section, key: &Key, value: &str) -> (String, usize) {
    let text = around(key.example, section.level);
    let is_key = |at: &usize| {
        let before = text[..*at].chars().next_back().unwrap_or(' ');
        let behind = text[at + key.name.len()..].trim_start();
        behind.starts_with('=') && matches!(before, ' ' | '\n' | '{')
    };
    let at = text.match_indices(key.name).map(|(at, _)| at).find(is_key).unwrap();
    let start = at + text[at..].find('=').unwrap() + 2;
    // Examples are right: a string ends with a quote that is not escaped, anything else where it must.
    let rest = &text[start..];
    let length = match rest.as_bytes()[0] {
        b'"' => rest.replace("\\\"", "__")[1..].find('"').unwrap() + 2,
        _ => rest.find([',', ' ', '\n', '}']).unwrap(),
    };
    (format!("{}{value}{}", &text[..start], &rest[length..]), start)
}

/// Whether the reader refuses the value that stands at `start`.
fn is_refused_at(text: &str, start: usize) -> bool {
    let kinds = ["wrong-type", "out-of-range", "bad-", "unknown-"];
    diagnostics(text).iter().any(|error| {
        error.place.start as usize == start && kinds.iter().any(|kind| error.code.starts_with(kind))
    })
}
