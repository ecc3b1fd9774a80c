//! The JSON Schema made from the table accepts what loads, and refuses what it can know to be wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use plan::format::schema;
use plan::{Diagnostic, Severity};
use serde_json::{Map, Value};

use super::{around, diagnostics, each_key};

#[test]
fn the_schema_accepts_every_plan_that_loads() {
    let validator = validator();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for folder in ["../../plans", "../../plans/shapes", "tests/valid"] {
        for path in toml_files(folder) {
            texts.insert(path.display().to_string(), std::fs::read_to_string(&path).unwrap());
        }
    }
    assert!(texts.len() >= 7, "{:?}", texts.keys());
    for (section, key) in each_key() {
        texts.insert(format!("{} of {}", key.name, section.title), around(key.example, section.level));
    }
    let mut wrong = Vec::new();
    for (name, text) in &texts {
        let plan = as_json(text).unwrap_or_else(|| panic!("{name} is not TOML:\n{text}"));
        wrong.extend(
            validator.iter_errors(&plan).map(|error| format!("{name}: {}: {error}", error.instance_path())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_published_plan_names_its_schema() {
    for (folder, schema) in
        [("../../plans", "./syncplan.schema.json"), ("../../plans/shapes", "../syncplan.schema.json")]
    {
        for path in toml_files(folder) {
            let text = std::fs::read_to_string(&path).unwrap();
            let first = text.lines().next().unwrap_or_default();
            assert_eq!(first, format!("#:schema {schema}"), "{}", path.display());
        }
    }
}

/// What a schema can know: which keys there are, and of what type their values are.
const KNOWABLE: [&str; 8] = [
    "unknown-key",
    "wrong-type",
    "missing-key",
    "missing-section",
    "wrong-paginate-key",
    "misplaced-key",
    "two-methods",
    "two-bodies",
];

#[test]
fn the_schema_refuses_what_it_can_know_to_be_wrong() {
    let validator = validator();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for path in toml_files("tests/invalid") {
        let text = std::fs::read_to_string(&path).unwrap();
        let errors: Vec<Diagnostic> =
            diagnostics(&text).into_iter().filter(|found| found.severity == Severity::Error).collect();
        let knowable = errors.iter().any(|error| KNOWABLE.contains(&error.code));
        // How many endpoints there are is beyond a schema.
        if path.ends_with("endpoint-choice.toml") {
            continue;
        }
        if let (true, Some(plan)) = (knowable, as_json(&text)) {
            checked += 1;
            if validator.is_valid(&plan) {
                let said: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
                wrong.push(format!("{} passes: {}", path.display(), said.join("; ")));
            }
        }
    }
    assert!(checked >= 15, "only {checked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_schema_itself_is_sound() {
    let schema = schema();
    jsonschema::meta::validate(&schema).unwrap();
    // Whatever is referred to is there, and everything that is there is explained.
    let text = schema.to_string();
    for reference in text.split("\"#/$defs/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schema["$defs"][name].is_object(), "{name}");
    }
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        for (key, property) in definition["properties"].as_object().unwrap() {
            assert!(property["description"].as_str().is_some_and(|text| text.len() > 20), "{key} of {name}");
        }
    }
}

pub(super) fn validator() -> Validator {
    jsonschema::validator_for(&schema()).unwrap()
}

/// A plan as the editors' schema checkers see it: dates are text. None: not TOML.
pub(super) fn as_json(text: &str) -> Option<Value> {
    text.parse::<toml::Table>().ok().map(|table| Value::Object(json_table(&table)))
}

fn json_table(table: &toml::Table) -> Map<String, Value> {
    table.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(value) => Value::from(*value),
        toml::Value::Datetime(at) => Value::from(at.to_string()),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => Value::Object(json_table(table)),
    }
}

fn toml_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}
