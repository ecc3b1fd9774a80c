//! The OpenAPI document: kept in the repository, and of the same routes as the router.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// `UPDATE_OPENAPI=1 cargo test -p rest-server --test it openapi` writes it anew.
#[test]
fn the_file_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    #[expect(clippy::disallowed_methods, reason = "the switch of this test")]
    let update = std::env::var_os("UPDATE_OPENAPI").is_some();
    if update {
        std::fs::write(&path, rest_server::document()).unwrap();
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        held == rest_server::document(),
        "openapi.json is not what the handlers say: UPDATE_OPENAPI=1 cargo test -p rest-server --test it openapi"
    );
}

#[test]
fn it_names_the_routers_routes() {
    let document: Value = serde_json::from_str(rest_server::document()).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let has_token = operation.get("security").is_some();
            described.insert((method.to_uppercase(), path.clone(), has_token));
        }
    }
    let routes: BTreeSet<_> = rest_server::listing()
        .map(|(method, path, token)| (method.to_owned(), path.to_owned(), token))
        .collect();
    assert_eq!(routes, described);
    let open: Vec<_> =
        routes.iter().filter(|(_, _, token)| !token).map(|(_, path, _)| path.as_str()).collect();
    assert_eq!(open, ["/", "/api", "/assets/{name}", "/healthz"]);
}

/// Every `$ref` leads somewhere, and every operation tells what can go wrong.
#[test]
fn it_is_whole() {
    let document: Value = serde_json::from_str(rest_server::document()).unwrap();
    fn follow(document: &Value, value: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(target) = object.get("$ref").and_then(Value::as_str) {
                    let pointer = target.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
                }
                object.values().for_each(|value| follow(document, value));
            }
            Value::Array(list) => list.iter().for_each(|value| follow(document, value)),
            _ => {}
        }
    }
    follow(&document, &document);
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "two operations are called {id}");
            for part in ["summary", "tags"] {
                assert!(operation.get(part).is_some(), "{method} {path} has no {part}");
            }
            let responses = operation["responses"].as_object().unwrap();
            for status in ["400", "403", "415", "421", "500"] {
                let schema = &responses[status]["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
            }
        }
    }
}
