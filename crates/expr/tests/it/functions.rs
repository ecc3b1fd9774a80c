//! The table of what templates offer: each example gives what it says, and nothing is left out.

use entities::{Moment, Secret, Secrets, TemplateText};
use expr::{FUNCTIONS, FunctionKind, Globals, Scope, Template};
use serde_json::{Map, Value, json};

#[test]
fn each_example_gives_its_result() {
    let Value::Object(vars) = json!({"since": "2026-01-01", "repos": ["a/b", "c/d"]}) else { unreachable!() };
    let secrets = Secrets([("token".to_owned(), Secret::new("s3cret".to_owned()))].into_iter().collect());
    let globals = Globals::new(&vars, &secrets, Moment::from_millis(1_767_323_045_000));
    let (cursor, record) = (json!("2026-01-01T00:00:00Z"), json!({"id": 5, "closed": null}));
    let scope = Scope {
        globals: &globals,
        bindings: &Map::new(),
        cursor: Some(&cursor),
        record: Some(&record),
        page: Some(3),
    };
    let mut wrong = Vec::new();
    for function in FUNCTIONS {
        let template = Template::compile(&TemplateText::new(function.example));
        let got = match template.and_then(|template| template.value(&scope)) {
            Ok(Value::String(text)) => text,
            Ok(value) => value.to_string(),
            Err(error) => format!("error: {error}"),
        };
        if got != function.result {
            wrong.push(format!("{}: {}\n  {got}", function.name, function.example));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_well_formed() {
    for (at, function) in FUNCTIONS.iter().enumerate() {
        let name = function.name;
        assert!(function.doc.ends_with('.') && !function.doc.contains('\n'), "{name}: {}", function.doc);
        let word = name.trim_matches(|c| "{%} ".contains(c)).split(' ').next().unwrap();
        if word.chars().all(char::is_alphanumeric) {
            assert!(function.example.contains(word), "{name} is not in its example {}", function.example);
        }
        let same = |other: &&expr::Function| other.kind == function.kind && other.name == name;
        assert!(!FUNCTIONS[..at].iter().any(|other| same(&other)), "{name} stands there twice");
        if function.kind == FunctionKind::Name {
            assert!(function.args.is_empty(), "{name}");
        }
    }
}
