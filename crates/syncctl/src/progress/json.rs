//! `--progress json`: one JSON object per line on stderr, for each event and once a second.

use std::time::Duration;

use entities::{EngineEvent, Moment, PlanStatus};
use serde::Serialize;
use serde_json::{Value, json};

use super::Progress;
use crate::terminal::to_stderr;

pub(super) struct Json {}

impl Json {
    pub(super) fn new() -> Json {
        Json {}
    }
}

impl Progress for Json {
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn status(&mut self, status: &PlanStatus, now: Moment) {
        write(&json!({"event": "status"}), status, now);
    }

    fn event(&mut self, event: &EngineEvent, now: Moment) {
        write(&json!({}), event, now);
    }

    fn say(&mut self, line: &str) {
        to_stderr(&json!({"event": "message", "text": line}).to_string());
    }

    fn finish(&mut self, _now: Moment) {}
}

/// `base`, the time, and the fields of `what` as one object on one line.
fn write(base: &Value, what: &impl Serialize, now: Moment) {
    let mut object = base.as_object().cloned().unwrap_or_default();
    if let Ok(Value::Object(fields)) = serde_json::to_value(what) {
        object.extend(fields);
    }
    object.insert("at".to_owned(), Value::String(now.to_rfc3339()));
    to_stderr(&Value::Object(object).to_string());
}
