//! What a server tells (events as the API has them), in words for people: one harmless line each. For the log of
//! `serve` and for `plans watch` alike.

use std::time::Duration;

use entities::Failure;
use serde_json::Value;

use crate::progress::words;
use crate::terminal::{bytes, clean, count, counted, duration, rate, rate_words, shorten};

/// Texts that a server or a plan brought are cut behind so many characters.
const LONGEST: usize = 300;
/// Waits shorter than this are part of the pace and are not told.
const WORTH_TELLING: Duration = Duration::from_secs(2);

/// One event as a line; none: it is not worth one.
pub(crate) fn line(event: &Value) -> Option<String> {
    let plan = event["plan"].as_str().or_else(|| event["report"]["plan"].as_str());
    let what = what(event)?;
    Some(match plan {
        Some(plan) => format!("{}: {what}", clean(plan)),
        None => what,
    })
}

fn what(event: &Value) -> Option<String> {
    let field = |name: &str| short(event[name].as_str().unwrap_or_default());
    let number = |name: &str| event[name].as_u64().unwrap_or_default();
    let line = match event["event"].as_str()? {
        "run_started" => {
            let goes_on = if event["resumed"].as_bool() == Some(true) { " is resumed" } else { " begins" };
            let changed = list(&event["changed"]);
            let changed =
                if changed.is_empty() { changed } else { format!(", and not all is as it was: {changed}") };
            format!("run {}{goes_on}{changed}", number("run"))
        }
        "run_ended" => ended(&event["report"]),
        "task_ended" => {
            let failed = number("failed");
            let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
            let (done, records) = (number("done"), number("records"));
            format!(
                "{}: done, {}{failed}, {}",
                field("task"),
                counted(done, "request"),
                counted(records, "row")
            )
        }
        "failed" => format!("{} failed: {}", field("task"), failure(&event["failure"])),
        "waiting" => {
            let how_long = seconds(&event["how_long"])?;
            if how_long < WORTH_TELLING {
                return None;
            }
            format!(
                "{}: everyone waits {}: {}",
                field("endpoint"),
                duration(how_long),
                failure(&event["failure"])
            )
        }
        "learned" => format!(
            "{}: refused although {} was kept; from now on {}",
            field("endpoint"),
            field("limit"),
            rate_words(event["rate"].as_f64().unwrap_or_default())
        ),
        "worker_restarted" => format!("worker {} was replaced: {}", number("worker"), field("why")),
        "plan_added" => "added".to_owned(),
        "plan_replaced" => match list(&event["changes"]) {
            changes if changes.is_empty() => "replaced; nothing changed".to_owned(),
            changes => format!("replaced: {changes}"),
        },
        "plan_removed" => "removed".to_owned(),
        "plan_state" => match event["busy"].as_str() {
            // That can take its time. The others are over in no time, and what came of them has events of its own.
            Some("stopping") => "stopping".to_owned(),
            Some(_) => return None,
            None => match event["state"].as_str()? {
                "paused" => "paused".to_owned(),
                _ => return None,
            },
        },
        "start_failed" => format!("cannot start: {}", field("why")),
        "more" => format!(
            "{} more {} events",
            count(number("count")),
            short(event["of"].as_str().unwrap_or("such"))
        ),
        "gap" => "some events were missed".to_owned(),
        // Retries are part of the day; progress, and who is there, are told otherwise.
        _ => return None,
    };
    Some(line)
}

fn ended(report: &Value) -> String {
    let number = |name: &str| report[name].as_u64().unwrap_or_default();
    let took = seconds(&report["seconds"]).unwrap_or_default();
    let state = match report["state"].as_str().unwrap_or_default() {
        "complete" => "is complete",
        "failed" => "has ended, and some requests failed",
        "paused" => "is paused: a limit asks for a longer wait",
        "interrupted" => "is interrupted; it can go on",
        "broken" => "cannot go on now",
        other => other,
    };
    let mut line = format!(
        "run {} {}: {}, {}, {} in {}",
        number("run"),
        clean(state),
        counted(number("requests"), "request"),
        counted(number("records"), "row"),
        bytes(number("bytes")),
        duration(took)
    );
    let failed: u64 = report["tasks"]
        .as_object()
        .into_iter()
        .flat_map(|tasks| tasks.values())
        .filter_map(|task| task["failed"].as_u64())
        .sum();
    if failed > 0 {
        line.push_str(&format!(", {} failed", count(failed)));
    }
    if let Some(at) = report["resumes_at"].as_str() {
        line.push_str(&format!("; it goes on at {}", short(at)));
    }
    if let Some(reason) = report["reason"].as_str() {
        line.push_str(&format!(": {}", short(reason)));
    }
    line
}

/// One plan of an event of progress: `3,210/10,000 requests, 64,200 rows`; none if nothing has begun.
pub(crate) fn progress(plan: &Value, pace: Option<(f64, f64)>) -> Option<String> {
    let number = |name: &str| plan[name].as_u64().unwrap_or_default();
    let name = plan["plan"].as_str()?;
    let mut line = format!(
        "{}: {} {}/{} requests, {}",
        clean(name),
        short(plan["state"].as_str().unwrap_or_default()),
        count(number("done")),
        count(number("known")),
        counted(number("records"), "row"),
    );
    if number("failed") > 0 {
        line.push_str(&format!(", {} failed", count(number("failed"))));
    }
    if let Some((requests, records)) = pace {
        line.push_str(&format!(" · {} req/s, {} rows/s", rate(requests), rate(records)));
    }
    Some(line)
}

fn failure(value: &Value) -> String {
    match serde_json::from_value::<Failure>(value.clone()) {
        Ok(failure) => words::failure(&failure),
        // Of another version of the server.
        Err(_) => short(value["message"].as_str().unwrap_or_default()),
    }
}

fn list(value: &Value) -> String {
    let texts: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    short(&texts.join("; "))
}

fn short(text: &str) -> String {
    clean(&shorten(text, LONGEST)).into_owned()
}

fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_lines_that_cannot_steer_a_terminal() {
        let failure = json!({"class": "permanent", "kind": "status", "message": "the server answered 404\x1b[2J\nfake",
            "help": null, "status": 404, "request": "GET http://x/\u{202e}", "body": null, "place": null,
            "retry_after": null});
        for (event, expected) in [
            (
                json!({"event": "run_started", "plan": "p", "run": 3, "resumed": true, "changed": ["added [tasks.x\x1b]"]}),
                Some("p: run 3 is resumed, and not all is as it was: added [tasks.x\\u{1b}]"),
            ),
            (
                json!({"event": "run_started", "plan": "p", "run": 3, "resumed": false, "changed": []}),
                Some("p: run 3 begins"),
            ),
            (
                json!({"event": "failed", "plan": "p", "task": "t\r", "failure": failure}),
                Some(
                    "p: t\\r failed: status: the server answered 404\\u{1b}[2J\\nfake (GET http://x/\\u{202e})",
                ),
            ),
            (
                json!({"event": "waiting", "plan": "p", "endpoint": "e", "how_long": 0.5, "failure": failure}),
                None,
            ),
            (json!({"event": "retrying", "plan": "p"}), None),
            (
                json!({"event": "start_failed", "plan": "p", "why": "no\x07"}),
                Some("p: cannot start: no\\u{7}"),
            ),
            (json!({"event": "plan_state", "plan": "p", "state": "running", "busy": null}), None),
            (
                json!({"event": "more", "plan": "p", "of": "failed", "count": 1200}),
                Some("p: 1,200 more failed events"),
            ),
            (
                json!({"event": "run_ended", "report": {"plan": "p", "run": 3, "state": "failed", "requests": 10,
                    "records": 1, "bytes": 2048, "seconds": 3.21, "tasks": {"a": {"failed": 2}}}}),
                Some(
                    "p: run 3 has ended, and some requests failed: 10 requests, 1 row, 2.0 KiB in 3.2s, 2 failed",
                ),
            ),
            (
                json!({"event": "worker_restarted", "worker": 2, "why": "it hung"}),
                Some("worker 2 was replaced: it hung"),
            ),
            (json!({"what": 1}), None),
        ] {
            assert_eq!(line(&event).as_deref(), expected, "{event}");
        }
    }
}
