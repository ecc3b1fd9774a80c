//! Any text as a template, rendered and as a value; never a panic, and no more than is allowed.
#![no_main]

use entities::{Moment, Secrets, TemplateText};
use expr::{Globals, Scope, Template, raw_bytes};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|source: &str| {
    let Ok(template) = Template::compile(&TemplateText::new(source)) else { return };
    let Value::Object(vars) = json!({ "a": "2024-02-30", "b": [1, null, "x"], "c": { "d": 1e300 }, "e": -1 })
    else {
        return;
    };
    let mut bindings = Map::new();
    bindings.insert("day".to_owned(), json!({ "start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z" }));
    let globals = Globals::new(&vars, &Secrets::default(), Moment::from_millis(1_704_164_645_000));
    let (cursor, record) = (json!("2024-01-01"), json!({ "id": 9_007_199_254_740_993_i64 }));
    let scope = Scope {
        globals: &globals,
        bindings: &bindings,
        cursor: Some(&cursor),
        record: Some(&record),
        page: Some(1),
    };
    if let Ok(text) = template.render(&scope) {
        let _ = raw_bytes(&text);
    }
    let _ = template.value(&scope);
});
