//! `[vars]`: parameters of a plan: literals, the environment, `--set`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use entities::{Place, SourceText, Vars};
use serde_json::Value;
use toml::de::DeValue;

use crate::diagnostic::Diagnostic;
use crate::findings::Findings;
use crate::item::{Item, float};
use crate::load::{Lookup, why_and_help};
use crate::reader::{Section, suggest_or_list};

/// What `[vars]` declares.
#[derive(Debug, Default)]
pub(crate) struct DeclaredVars {
    /// Every name, and where it is declared.
    pub(crate) names: BTreeMap<String, Range<usize>>,
    /// The values; a name whose value could not be had is missing here.
    pub(crate) values: Vars,
}

/// Reads `[vars]`, applies the environment, then `--set`.
pub(crate) fn vars(
    findings: &Findings,
    item: Option<&Item<'_>>,
    lookup: &dyn Lookup,
    overrides: &[(String, String)],
) -> DeclaredVars {
    let mut declared = DeclaredVars::default();
    let entries =
        item.and_then(|item| item.entries("[vars] with one `name = value` a line")).unwrap_or_default();
    for (name, item) in &entries {
        declared.names.insert((*name).to_owned(), item.key_span.clone());
        check_name("variable", name, item);
        let set = overrides.iter().rev().find(|(key, _)| key == name).map(|(_, text)| text.as_str());
        if let Some(value) = value(name, item, lookup, set) {
            declared.values.insert((*name).to_owned(), value);
        }
    }
    for (key, _) in overrides {
        if !declared.names.contains_key(key) {
            let names = declared.names.keys().map(String::as_str);
            findings.push(
                Diagnostic::error(
                    "unknown-var",
                    Place::default(),
                    format!("--set {key}: the plan has no variable `{key}`"),
                )
                .help(suggest_or_list(key, names, "variables in [vars]")),
            );
        }
    }
    declared
}

/// Names that templates can reach with a dot.
pub(crate) fn check_name(kind: &str, name: &str, item: &Item<'_>) {
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !good {
        item.findings.push(
            item.findings
                .error("bad-name", item.key_span.clone(), format!("`{name}` cannot be the name of a {kind}"))
                .label("not a name that templates can use")
                .help("use letters, digits and `_`, and begin with a letter"),
        );
    }
}

fn value(name: &str, item: &Item<'_>, lookup: &dyn Lookup, set: Option<&str>) -> Option<Value> {
    let (default, env) = match item.get() {
        DeValue::Table(table) => {
            let mut section = Section::new(item.findings, item.what.clone(), item.span(), table);
            let env = section.need("env", "\"NAME_OF_THE_VARIABLE\"");
            let default = section.take("default").and_then(|item| literal(&item));
            section.finish();
            let env = env?;
            (default, Some((env.string()?, env)))
        }
        _ => (Some(literal(item)?), None),
    };
    if let Some(text) = set {
        return match typed(text, default.as_ref()) {
            Ok(value) => Some(value),
            Err(expected) => {
                item.findings.push(
                    Diagnostic::error(
                        "bad-set",
                        Place::default(),
                        format!("--set {name}={text}: `{name}` must be {expected}, as its default is"),
                    )
                    .help(format!("write --set {name}=… with {expected}")),
                );
                None
            }
        };
    }
    let Some((env_name, env)) = env else { return default };
    let read = match lookup.env(env_name) {
        Ok(read) => read,
        // Also if there is a default: which of the two holds must not depend on who runs the plan.
        Err(error) => {
            let instead = "write the value into [vars], or let whoever runs the plan allow it";
            let (why, help) = why_and_help(&error, instead);
            let message = format!("variable `{name}`: cannot read environment variable `{env_name}`: {why}");
            env.wrong("denied-env", message, "may not be read", help);
            return None;
        }
    };
    match (read, default) {
        (Some(text), default) => {
            match typed(&text, default.as_ref()) {
                Ok(value) => Some(value),
                Err(expected) => {
                    env.wrong(
                    "bad-env",
                    format!("environment variable `{env_name}` must be {expected}, as the default of `{name}` is"),
                    "its value does not fit",
                    format!("export {env_name}=… with {expected}, or pass --set {name}=…"),
                );
                    None
                }
            }
        }
        (None, Some(default)) => Some(default),
        (None, None) => {
            env.wrong(
                "unset-env",
                format!("environment variable `{env_name}` is not set, and variable `{name}` has no default"),
                "not set",
                format!("export {env_name}=…, pass --set {name}=…, or give it a default: {{ env = \"{env_name}\", default = … }}"),
            );
            None
        }
    }
}

fn literal(item: &Item<'_>) -> Option<Value> {
    if let DeValue::String(text) = item.get()
        && text.contains("{{")
    {
        item.wrong(
            "template-in-vars",
            format!("{} is a template, but variables are literal values", item.what),
            "would not be evaluated",
            "move the template to where the variable is used",
        );
        return None;
    }
    item.json()
}

/// `text` as a value of the type that `like` has; the error says what was expected.
fn typed(text: &str, like: Option<&Value>) -> Result<Value, &'static str> {
    match like {
        None | Some(Value::Null | Value::String(_)) => Ok(Value::String(text.to_owned())),
        Some(Value::Bool(_)) => text.trim().parse().map(Value::Bool).map_err(|_| "true or false"),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
            text.trim().parse::<i64>().map(Value::from).map_err(|_| "an integer")
        }
        Some(Value::Number(_)) => float(text.trim()).map(Value::Number).ok_or("a number"),
        Some(Value::Array(like)) => list(text, like),
        Some(Value::Object(_)) => toml_value(text).filter(Value::is_object).ok_or("a table in TOML syntax"),
    }
}

fn list(text: &str, like: &[Value]) -> Result<Value, &'static str> {
    if text.trim_start().starts_with('[') {
        return toml_value(text.trim()).ok_or("a list in TOML syntax, such as [\"a\", \"b\"], or a,b");
    }
    if text.trim().is_empty() {
        return Ok(Value::Array(Vec::new()));
    }
    let first = like.first().filter(|first| !first.is_array() && !first.is_object());
    text.split(',')
        .map(|part| typed(part.trim(), first))
        .collect::<Result<_, _>>()
        .map(Value::Array)
        .map_err(|_| "a list whose elements are as those of the default")
}

fn toml_value(text: &str) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    let findings = Findings::new(Arc::new(SourceText { name: String::new(), text: text.to_owned() }));
    let item = Item { findings: &findings, what: String::new(), key_span: 0..0, value: &value };
    let json = item.json()?;
    (!findings.has_errors()).then_some(json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_takes_the_type_of_the_default() {
        let check = |text: &str, like: Value, expected: Result<Value, ()>| {
            assert_eq!(typed(text, Some(&like)).map_err(|_| ()), expected, "{text} like {like}");
        };
        check("x", json!("s"), Ok(json!("x")));
        check("5", json!("s"), Ok(json!("5")));
        check("5", json!(1), Ok(json!(5)));
        check("5.5", json!(1), Err(()));
        check("5.5", json!(1.5), Ok(json!(5.5)));
        check("true", json!(false), Ok(json!(true)));
        check("yes", json!(false), Err(()));
        check("a, b", json!(["x"]), Ok(json!(["a", "b"])));
        check("1,2", json!([7]), Ok(json!([1, 2])));
        check("1,b", json!([7]), Err(()));
        check("[\"a,b\", \"c\"]", json!(["x"]), Ok(json!(["a,b", "c"])));
        check("[\"a", json!(["x"]), Err(()));
        check("", json!(["x"]), Ok(json!([])));
        assert_eq!(typed("x", None), Ok(json!("x")));
    }
}
