//! `when` rules that compare members of the body with literals: told in a pass over the text.
//!
//! `.error`, `.code != 0`, `.code != null and .code != 0`. Most rules are so, and a tree of every good
//! answer would cost many times what reading its records does. Whatever is not plainly one of these is
//! the interpreter's.

use expr::{PlainPath, Segment};
use serde_json::Value;

use super::decode::glimpse::Glimpse;

/// A predicate that needs no interpreter.
#[derive(Debug, PartialEq)]
pub(super) struct Condition {
    tests: Vec<Test>,
    /// All of them must hold; else one is enough.
    all: bool,
}

#[derive(Debug, PartialEq)]
struct Test {
    path: Vec<String>,
    is: Is,
}

#[derive(Debug, PartialEq)]
enum Is {
    /// Neither null nor false.
    True,
    Equal(Value),
    Different(Value),
}

impl Condition {
    /// The condition that a jq program is, if it is nothing else.
    pub(super) fn parse(source: &str) -> Option<Condition> {
        let pieces = |word: &str| source.split(word).map(Test::parse).collect::<Option<Vec<_>>>();
        match (source.contains(" and "), source.contains(" or ")) {
            (_, false) => Some(Condition { tests: pieces(" and ")?, all: true }),
            (false, true) => Some(Condition { tests: pieces(" or ")?, all: false }),
            (true, true) => None,
        }
    }

    /// What it looks at, in order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &[String]> {
        self.tests.iter().map(|test| test.path.as_slice())
    }

    /// Whether it holds for what stands at its paths; none: the interpreter has to say.
    pub(super) fn holds(&self, found: &[Glimpse]) -> Option<bool> {
        let mut holds = self.all;
        for (test, glimpse) in self.tests.iter().zip(found) {
            let one = test.holds(glimpse)?;
            if one != self.all {
                // jq looks no further.
                return Some(one);
            }
            holds = one;
        }
        Some(holds)
    }
}

impl Test {
    fn parse(piece: &str) -> Option<Test> {
        let (path, is) = match (piece.split_once("=="), piece.split_once("!=")) {
            (None, None) => (piece, Is::True),
            (Some((path, literal)), None) => (path, Is::Equal(scalar(literal)?)),
            (None, Some((path, literal))) => (path, Is::Different(scalar(literal)?)),
            (Some(_), Some(_)) => return None,
        };
        let path = PlainPath::parse(path)?.segments.into_iter().map(|segment| match segment {
            Segment::Field(name) => Some(name),
            Segment::Index(_) | Segment::Each => None,
        });
        let path = path.collect::<Option<Vec<_>>>()?;
        (!path.is_empty()).then_some(Test { path, is })
    }

    fn holds(&self, glimpse: &Glimpse) -> Option<bool> {
        let equal = |literal: &Value| match glimpse {
            Glimpse::Null => Some(literal.is_null()),
            Glimpse::Scalar(value) => Some(value == literal),
            // `1.0` is 1.
            Glimpse::Number => (!literal.is_number()).then_some(false),
            Glimpse::Composite => Some(false),
            Glimpse::Misfit => None,
        };
        match &self.is {
            Is::True => match glimpse {
                Glimpse::Misfit => None,
                Glimpse::Null => Some(false),
                Glimpse::Scalar(value) => Some(*value != Value::Bool(false)),
                Glimpse::Number | Glimpse::Composite => Some(true),
            },
            Is::Equal(literal) => equal(literal),
            Is::Different(literal) => equal(literal).map(|equal| !equal),
        }
    }
}

fn scalar(literal: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(literal.trim()).ok()?;
    let simple = match &value {
        Value::Number(number) => number.as_i64().is_some_and(|whole| whole.to_string() == number.as_str()),
        Value::Array(_) | Value::Object(_) => false,
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    };
    simple.then_some(value)
}

#[cfg(test)]
mod tests {
    use entities::JqText;
    use expr::{Jq, JqScope};
    use proptest::prelude::*;
    use serde_json::Map;

    use super::super::decode::glimpse::glimpses;
    use super::*;

    #[test]
    fn what_is_one() {
        for (source, is_one) in [
            (".error", true),
            (".error != null", true),
            (".a.b.c==\"x y\"", true),
            (".code != null and .code != 0", true),
            (".a or .b == true or .c == -3", true),
            (".[\"odd name\"] == 1", true),
            (".a?", true),
            (".a == 1.0", false),
            (".a == 1e2", false),
            (".a > 1", false),
            (".a == .b", false),
            (".a == \"\\(1)\"", false),
            (".a and .b or .c", false),
            (".a[0]", false),
            (".", false),
            (". == 1", false),
            (".a | not", false),
            ("$status == 1", false),
            (".a == \"x and y\"", false),
            (".a == -0", false),
            ("(.a == 1)", false),
        ] {
            assert_eq!(Condition::parse(source).is_some(), is_one, "{source}");
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            Just("0".to_owned()),
            Just("1".to_owned()),
            Just("1.0".to_owned()),
            Just("-0".to_owned()),
            Just("1e400".to_owned()),
            Just("\"x\"".to_owned()),
            Just("\"\\u0078\"".to_owned()),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(("[ab]", inner), 0..4).prop_map(|fields| {
                    let fields: Vec<String> =
                        fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_says_what_jq_says(
            text in json(),
            source in "\\.[ab](\\.[ab])?( (==|!=) (null|true|false|0|1|\"x\"))?( (and|or) \\.[ab](\\.[ab])?( (==|!=) (null|1|\"x\"))?)?",
        ) {
            let condition = Condition::parse(&source).unwrap();
            let paths: Vec<&[String]> = condition.paths().collect();
            let quick = condition.holds(&glimpses(&text, &paths).unwrap());
            let empty = Map::new();
            let scope = JqScope { status: None, headers: &empty, vars: &empty, bindings: &empty };
            let root = super::super::decode::tree::parse(&text).unwrap();
            let said = Jq::compile(&JqText::new(source.as_str()), &[]).unwrap().holds(&root, &scope);
            if let Some(quick) = quick {
                prop_assert_eq!(said.ok(), Some(quick), "{} of {}", source, text);
            }
        }
    }
}
