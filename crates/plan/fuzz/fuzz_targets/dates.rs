//! Any text as what a server or a plan says of time: `Retry-After` and its kin, cursors, durations of
//! templates. The headers' reader is no public function of http-worker, so its file is part of this target.
#![no_main]

use std::time::Duration;

use entities::{CursorKind, CursorValue, Moment};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[path = "../../../http-worker/src/reading/retry_after.rs"]
#[allow(dead_code, reason = "one of its functions is enough for a target")]
mod retry_after;

fuzz_target!(|text: &str| {
    let now = Moment::from_millis(1_704_164_645_000);
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    let mut headers = HeaderMap::new();
    for (name, value) in [("retry-after", first), ("date", second), ("x-ratelimit-reset", second)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    let _ = retry_after::retry_after(&headers, now);
    let as_value = |text: &str| text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
    let (start, value) = (as_value(first), as_value(second));
    let kind = CursorKind::of(&start);
    let most = kind.at_most(value.clone(), now);
    let _ = (kind.instant(&most), kind.back(&value, Duration::from_secs(86_400 * 400)));
    let _ = CursorValue(start).order(&CursorValue(value));
});
