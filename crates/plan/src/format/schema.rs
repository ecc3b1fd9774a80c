//! The table as JSON Schema (draft 2020-12), for editors: completion, descriptions, and what is wrong
//! before anything is run. It knows less than the reader: what a plan means, it cannot say.

use serde_json::{Map, Value, json};

use super::{Key, Names, Shape, keys_of, sections};

/// The JSON Schema of a plan.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    for section in sections().filter(|section| section.table != "root") {
        if !definitions.contains_key(section.table) {
            definitions.insert(section.table.to_owned(), table(section.table));
        }
    }
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("SyncPlan"));
    schema.insert("description".to_owned(), json!("A plan for syncctl: what to keep a copy of."));
    if let Value::Object(root) = table("root") {
        schema.extend(root);
    }
    schema.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(schema)
}

fn table(name: &str) -> Value {
    let properties: Map<String, Value> =
        keys_of(name).map(|key| (key.name.to_owned(), property(key))).collect();
    let mut definition = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    let required: Vec<&str> = keys_of(name).filter(|key| key.required).map(|key| key.name).collect();
    let conditions = conditions(name);
    if let Value::Object(definition) = &mut definition {
        if !required.is_empty() {
            definition.insert("required".to_owned(), json!(required));
        }
        if !conditions.is_empty() {
            definition.insert("allOf".to_owned(), Value::Array(conditions));
        }
    }
    definition
}

/// Which keys exclude each other, and of which one is needed.
fn conditions(name: &str) -> Vec<Value> {
    let required = |keys: &[&str]| json!({ "required": keys });
    let mut conditions = Vec::new();
    for section in sections().filter(|section| section.table == name) {
        for choice in section.one_of {
            let each: Vec<Value> = choice.iter().map(|key| required(&[key])).collect();
            conditions.push(json!({ "oneOf": each }));
        }
        for choice in section.one_at_most {
            for (index, key) in choice.iter().enumerate() {
                let others = &choice[index + 1..];
                conditions.extend(others.iter().map(|other| json!({ "not": required(&[key, other]) })));
            }
        }
    }
    conditions
}

fn property(key: &Key) -> Value {
    let mut property = Map::new();
    property.insert("description".to_owned(), Value::from(description(key)));
    if let Value::Object(shape) = shape(&key.shape) {
        property.extend(shape);
    }
    Value::Object(property)
}

fn description(key: &Key) -> String {
    let mut text = plain(key.doc);
    if !key.default.is_empty() {
        text.push_str(&format!("\n\nDefault: {}.", key.default));
    }
    text.push_str(&format!("\n\n```toml\n{}\n```", key.example.trim_end()));
    text
}

/// Markdown without links: their targets are in the reference.
fn plain(markdown: &str) -> String {
    let mut out = String::new();
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once("](") {
        let (lead, label) = before.rsplit_once('[').unwrap_or((before, ""));
        out.push_str(lead);
        out.push_str(label);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text | Shape::Template | Shape::Instant => json!({ "type": "string" }),
        Shape::Pattern(pattern, _) => text_like(pattern),
        Shape::ListTemplate => text_like(r"\{\{"),
        Shape::Value | Shape::Any => json!({}),
        Shape::Literal => json!({ "type": ["string", "number", "boolean", "array"] }),
        Shape::Param => {
            let plain = json!(["string", "number", "boolean"]);
            json!({ "type": ["string", "number", "boolean", "array"], "items": { "type": plain } })
        }
        Shape::Jq => json!({ "type": "string", "pattern": r"\S" }),
        Shape::Duration => text_like(&format!("^{DURATION}$")),
        Shape::Size => text_like(r"^\s*[0-9]+\s*([kK]?B|[MG]B|[KMG]iB)\s*$"),
        Shape::Rate => text_like(&format!(
            r"^\s*[0-9_]+\s*/\s*((s|sec|second|min|minute|h|hour|d|day|week|month)\s*|{DURATION})$"
        )),
        Shape::BackOff => text_like(&format!(r"^{DURATION}\.\.{DURATION}$")),
        Shape::Step => text_like(&format!(
            r"^({DURATION}|\s*[0-9]+\s*(day|week|month|year|hour|minute|min|second)s?\s*)$"
        )),
        Shape::CursorStart => json!({ "type": ["string", "integer"] }),
        Shape::Integer(least, most) => integer(*least, *most),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Choice(choices) => json!({ "enum": choices }),
        Shape::Status => {
            let one = json!([integer(100, 599), text_like("^[1-5]xx$")]);
            let several = json!({ "type": "array", "minItems": 1, "items": { "anyOf": one } });
            json!({ "anyOf": [one[0], one[1], several] })
        }
        Shape::List(of) => json!({ "type": "array", "items": self::shape(of) }),
        Shape::Map(names, of) => {
            let mut map = json!({ "type": "object", "additionalProperties": self::shape(of) });
            let pattern = match names {
                Names::Any => None,
                Names::Plain => Some("^[A-Za-z0-9_-]+$"),
                Names::Word => Some("^[A-Za-z_][A-Za-z0-9_]*$"),
            };
            if let Some(pattern) = pattern {
                map["propertyNames"] = json!({ "pattern": pattern });
            }
            map
        }
        Shape::Table(name) => json!({ "$ref": format!("#/$defs/{name}") }),
        Shape::AnyOf(forms) => {
            let forms: Vec<Value> = forms.iter().map(self::shape).collect();
            match forms.as_slice() {
                [only] => only.clone(),
                forms => json!({ "anyOf": forms }),
            }
        }
    }
}

const DURATION: &str = r"\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)\s*";

fn text_like(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn integer(least: i64, most: i64) -> Value {
    let mut integer = json!({ "type": "integer" });
    if least != i64::MIN {
        integer["minimum"] = json!(least);
    }
    if most != i64::MAX {
        integer["maximum"] = json!(most);
    }
    integer
}
