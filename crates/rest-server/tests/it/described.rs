//! Answers held against the OpenAPI document: status, media type, schema. And that every route was asked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{Answer, Body, World};

/// The document, and which operations have answered well.
pub(crate) struct Described {
    document: Value,
    answered: BTreeSet<(String, String)>,
}

impl Described {
    pub(crate) fn new() -> Described {
        let document = serde_json::from_str(rest_server::document()).unwrap();
        Described { document, answered: BTreeSet::new() }
    }

    /// Asks, expects `status`, and holds the answer against what is said of `path` as the document writes it.
    pub(crate) async fn ask(
        &mut self,
        world: &World,
        (method, template): (&str, &str),
        path: &str,
        body: Body<'_>,
        status: u16,
    ) -> Answer {
        let answer = world.ask(method, path, body).await;
        let what = format!("{method} {path}");
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", String::from_utf8_lossy(&answer.body));
        self.check(method, template, &answer, &what);
        answer
    }

    pub(crate) fn check(&mut self, method: &str, template: &str, answer: &Answer, what: &str) {
        let operation = &self.document["paths"][template][method.to_lowercase()];
        assert!(operation.is_object(), "{method} {template} is not described");
        let status = answer.status.as_str();
        let response = &operation["responses"][status];
        assert!(response.is_object(), "{what}: {status} is not described");
        let kind = answer.header("content-type");
        let essence = kind.split(';').next().unwrap().trim();
        let content =
            response["content"].as_object().unwrap_or_else(|| panic!("{what}: {status} has no content"));
        let described = content.get(essence).or_else(|| content.get("*/*"));
        let described = described.unwrap_or_else(|| panic!("{what}: {kind} is not described for {status}"));
        if essence.ends_with("json") {
            let schema = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "allOf": [described["schema"]], "components": self.document["components"],
            });
            let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            let value = answer.json();
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
        }
        if answer.status.is_success() {
            self.answered.insert((method.to_owned(), template.to_owned()));
        }
    }

    /// Every operation of the document has answered well.
    pub(crate) fn all(&self) {
        let routes = rest_server::listing().map(|(method, path, _)| (method.to_owned(), path.to_owned()));
        let missing: Vec<_> = routes.filter(|route| !self.answered.contains(route)).collect();
        assert!(missing.is_empty(), "never asked: {missing:?}");
    }
}
