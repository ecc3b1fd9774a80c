//! A request as the datasets see it: where it goes and its parameters, wherever they came from.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

/// One request below a mount.
pub(crate) struct Ask<'r> {
    pub(crate) method: &'r Method,
    /// The first path segment, as written.
    pub(crate) segment: &'r str,
    /// The path after it, with its slash, or empty.
    pub(crate) rest: &'r str,
    pub(crate) query: &'r str,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) body: Bytes,
    /// The body, where it is JSON.
    pub(crate) json: Option<Value>,
    /// `http://host:port` by which the client knows this server.
    pub(crate) origin: &'r str,
    /// Since the server's start.
    pub(crate) arrived: Duration,
}

impl Ask<'_> {
    /// The segments of the path after the mount.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.rest.split('/').filter(|segment| !segment.is_empty()).collect()
    }

    /// A parameter by name: from the JSON body (at any depth), the form, the query, or a header of that name.
    /// Empty and null count as absent.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        let from_body = || match &self.json {
            Some(json) => leaf(json, name),
            None => value_of(std::str::from_utf8(&self.body).ok()?, name).map(Cow::into_owned),
        };
        let from_headers = || Some(self.headers.get(name)?.to_str().ok()?.to_owned());
        (!self.body.is_empty())
            .then(from_body)
            .flatten()
            .or_else(|| self.query_value(name).map(Cow::into_owned))
            .or_else(from_headers)
            .filter(|value| !value.is_empty())
    }

    /// A whole number, `default` when absent. The error is for the client.
    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        match self.param(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("`{name}` is not a whole number: {text:?}")),
        }
    }

    pub(crate) fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        value_of(self.query, name)
    }

    /// This request's absolute URL with one query parameter replaced.
    pub(crate) fn url_with(&self, name: &str, value: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let kept = url::form_urlencoded::parse(self.query.as_bytes()).filter(|(key, _)| key != name);
        query.extend_pairs(kept).append_pair(name, value);
        format!("{}/{}{}?{}", self.origin, self.segment, self.rest, query.finish())
    }
}

fn value_of<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The first scalar of that name, outermost first.
fn leaf(json: &Value, name: &str) -> Option<String> {
    let object = json.as_object()?;
    match object.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Bool(truth)) => Some(truth.to_string()),
        _ => object.values().find_map(|value| leaf(value, name)),
    }
}
