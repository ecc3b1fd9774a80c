//! Any text as a jq program over any JSON (what stands behind a NUL, else a fixed one): it ends.
#![no_main]

use entities::JqText;
use expr::{Jq, JqScope};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|text: &str| {
    let (source, input) = text.split_once('\0').unwrap_or((text, ""));
    let Ok(program) = Jq::compile(&JqText::new(source), &["day"]) else { return };
    let input = serde_json::from_str(input).unwrap_or_else(|_| {
        json!({ "data": { "items": [{ "id": 1, "at": "2024-01-01" }, { "id": null }], "next": "x" }, "n": 1e300 })
    });
    let mut bindings = Map::new();
    bindings.insert("day".to_owned(), Value::from("2024-01-01"));
    let empty = Map::new();
    let scope = JqScope { status: Some(200), headers: &empty, vars: &empty, bindings: &bindings };
    let _ = program.run(&input, &scope);
    let _ = program.first(&input, &scope);
    let _ = program.holds(&input, &scope);
});
