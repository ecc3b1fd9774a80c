//! The table of the format: its examples load. Beside it: that reader and schema agree with it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod keys;
mod prose;
mod schema;
mod values;

use std::collections::BTreeSet;

use plan::format::{Key, Level, Section, sections};
use plan::{Diagnostic, Lookup, load};

/// An outside world that has everything.
struct Plenty;

impl Lookup for Plenty {
    fn env(&self, _: &str) -> Result<Option<String>, String> {
        Ok(Some("7".to_owned()))
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Ok(if path.ends_with(".csv") { "symbol\nA\n" } else { "secret" }.to_owned())
    }

    fn command(&self, _: &[String]) -> Result<String, String> {
        Ok("secret".to_owned())
    }
}

/// A plan around an example: what it needs and does not bring.
fn around(example: &str, level: Level) -> String {
    let mut text = String::new();
    match level {
        Level::Plan => text.push_str(example),
        Level::Endpoint => {
            let base = if example.contains("base_url") { "" } else { "base_url = \"https://x.example\"\n" };
            text.push_str(&format!("[endpoints.api]\n{base}{example}"));
        }
        Level::Task => {
            let says = |key: &str| example.lines().any(|line| line.starts_with(key));
            let request = if says("get") || says("post") { "" } else { "get = \"/things\"\n" };
            text.push_str(&format!("[tasks.things]\n{request}{example}"));
        }
    }
    for (section, lines) in [
        ("[plan]", "[plan]\nname = \"example\"\n"),
        ("[endpoints.", "[endpoints.api]\nbase_url = \"https://x.example\"\n"),
        ("[tasks.", "[tasks.things]\nget = \"/things\"\n"),
    ] {
        if !text.contains(section) {
            text.push_str(&format!("\n{lines}"));
        }
    }
    if example.contains("task = \"issues\"") {
        text.push_str("\n[tasks.issues]\nget = \"/issues\"\nkey = [\"id\"]\n");
    }
    for (root, value) in [("vars", "[\"2024-01-01\"]"), ("secrets", "{ env = \"X\" }")] {
        if !text.contains(&format!("[{root}]")) {
            text.push_str(&format!("\n[{root}]\n"));
            for name in names_below(&text.clone(), root) {
                let value = if root == "vars" && !name.ends_with('s') { "\"2024-01-01\"" } else { value };
                text.push_str(&format!("{name} = {value}\n"));
            }
        }
    }
    text
}

/// Every NAME of `root.NAME` in a text.
fn names_below(text: &str, root: &str) -> BTreeSet<String> {
    text.split(&format!("{root}."))
        .skip(1)
        .map(|rest| rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap().to_owned())
        .collect()
}

fn each_key() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    sections().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
}

fn diagnostics(text: &str) -> Vec<Diagnostic> {
    match load("example.toml", text, &Plenty, &[]) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found.list,
    }
}

#[test]
fn every_example_loads() {
    let mut wrong = Vec::new();
    for (section, key) in each_key() {
        let text = around(key.example, section.level);
        let found = load("example.toml", &text, &Plenty, &[]);
        let shown = |what: String| format!("{} of {}:\n{text}\n{what}", key.name, section.title);
        match found {
            Ok(loaded) => {
                // What the frame declares may go unused.
                let own = loaded.warnings.iter().filter(|warning| warning.code != "unused");
                wrong.extend(own.map(|warning| shown(warning.message.clone())));
            }
            Err(found) => wrong.push(shown(found.render(false))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_shows_its_key() {
    for (section, key) in each_key() {
        let named = key.example.contains(&format!("{} =", key.name))
            || key.example.contains(&format!("[{}", key.name))
            || key.example.contains(&format!(".{}]", key.name))
            || key.example.lines().any(|line| line.trim_start().starts_with(key.name));
        assert!(named, "{} of {}: {}", key.name, section.title, key.example);
        assert!(key.doc.ends_with('.') && !key.doc.contains("  "), "{}: {}", key.name, key.doc);
    }
}
