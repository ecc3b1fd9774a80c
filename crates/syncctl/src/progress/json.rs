//! `--progress json`: one JSON object per line on stderr, for each event and once a second.

use std::sync::Arc;
use std::time::Duration;

use entities::{EngineEvent, Moment, PlanStatus};
use serde::Serialize;
use serde_json::{Value, json};

use super::Progress;
use crate::context::Context;
use crate::terminal::{message, to_stderr};

pub(super) struct Json {
    clock: Arc<dyn Fn() -> Moment + Send + Sync>,
}

impl Json {
    pub(super) fn new(context: &Context) -> Json {
        Json { clock: Arc::clone(&context.clock) }
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
        to_stderr(&message(line, (self.clock)()));
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
